"""The table of a loader: derived from source, committed for each recipe, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.build.plan.plan import final_tree
from recipes.core.errors import ManifestError, PinMissingError
from recipes.manifest.load import Manifests
from recipes.models.loader.derive import UnknownFormError, derive_table
from recipes.models.loader.table import KeyRead, derive_command, read_table, table_path, table_text

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS = Manifests()
SOURCE = {
    "src/llama-hparams.h": """
        #define LLAMA_MAX_LAYERS  512
        #define LLAMA_MAX_EXPERTS 384  // a comment
        struct llama_hparams {
            uint32_t n_ctx; float eps = 1.0f;
            std::array<int, 4> sections;
            std::array<uint32_t, LLAMA_MAX_LAYERS> heads;
        };""",
    "src/llama-arch.cpp": """
        static const std::map<llm_arch, const char *> LLM_ARCH_NAMES = {
            { LLM_ARCH_A, "a" }, { LLM_ARCH_B, "b" }, { LLM_ARCH_UNKNOWN, "(unknown)" },
        };
        static const std::map<llm_kv, const char *> LLM_KV_NAMES = {
            { LLM_KV_CONTEXT, "%s.context" }, { LLM_KV_EPS, "%s.eps" }, { LLM_KV_SECTIONS, "%s.sections" },
            { LLM_KV_HEADS, "%s.heads" }, { LLM_KV_LABELS, "%s.labels" }, { LLM_KV_TOKENS, "tokens" },
            { LLM_KV_SCORES, "scores" }, { LLM_KV_BOS, "bos" }, { LLM_KV_EOS, "eos" }, { LLM_KV_OWN, "%s.own" },
        };""",
    "src/llama-model-loader.cpp": """
        template<typename T>
        bool llama_model_loader::get_arr(const std::string & key, std::vector<T> & result, bool required) {
            switch (gt) {
                case GGUF_TYPE_UINT32:
                case GGUF_TYPE_INT32:  GGML_ASSERT((std::is_same<T, int32_t>::value) ||
                                                   (std::is_same<T, uint32_t>::value)); break;
                case GGUF_TYPE_STRING: GGML_ASSERT((std::is_same<T, std::string>::value)); break;
            }
        }
        template<typename T, size_t N_MAX>
        bool llama_model_loader::get_arr(const std::string & key, std::array<T, N_MAX> & result, bool required) {
            switch (gt) {
                case GGUF_TYPE_BOOL:
                case GGUF_TYPE_INT32:  type_ok = std::is_same<T, int32_t>::value ||
                                                 std::is_same<T, uint32_t>::value; break;
            }
        }""",
    "src/llama-model.cpp": """
        llama_model * create() {
            switch (arch) {
                case LLM_ARCH_B:
                    return new llama_model_b(params);
            }
        }
        void llama_model::load_hparams(llama_model_loader & ml) {
            std::vector<std::string> labels;
            ml.get_key(LLM_KV_CONTEXT, hparams.n_ctx);  // ml.get_key(LLM_KV_UNKNOWN, "in a comment");
            ml.get_key_or_arr(LLM_KV_HEADS, hparams.heads, hparams.n_layer, false);
            ml.get_arr(LLM_KV_LABELS, labels, false);
            switch (arch) {
                case LLM_ARCH_A:
                    {
                        ml.get_key(LLM_KV_EPS, hparams.eps);
                        if (true) { ml.get_key_or_arr(LLM_KV_SECTIONS, hparams.sections, 4, true); }
                    } break;
            }
        }""",
    "src/models/b.cpp": """
        void llama_model_b::load_arch_hparams(llama_model_loader & ml) {
            float own = 0.0f;
            ml.get_key(LLM_KV_OWN, own, false);
        }""",
    "src/llama-vocab.cpp": """
void load() {
    if (tokenizer_pre == "split") {
    }
    if (tokenizer_model == "x" || tokenizer_model == "y") {
        special_bos_id = 11;
    }
    const int token_idx = gguf_find_key(ctx, kv(LLM_KV_TOKENS).c_str());
    const int score_idx = gguf_find_key(ctx, kv(LLM_KV_SCORES).c_str());
    scores = (const float * ) gguf_get_arr_data(ctx, score_idx);
    word = gguf_get_arr_str(ctx, token_idx, i);
    const std::vector<std::pair<llm_kv, int &>> ids = {
        { LLM_KV_BOS, special_bos_id }, { LLM_KV_EOS, special_eos_id },
    };
    for (auto & it : ids) {
        uint32_t new_id;
        if (!ml.get_key(std::get<0>(it), new_id, false)) { continue; }
    }
}
""",
    "tools/mtmd/clip-impl.h": """
        #define KEY_N_EMBD "clip.%s.width"
        #define KEY_WINDOW "clip.window"
        #define KEY_LAYERS "clip.layers"
        static std::map<projector_type, std::string> PROJECTOR_TYPE_NAMES = { { PROJECTOR_TYPE_P, "p" }, };""",
    "tools/mtmd/clip.cpp": """
        struct loader {
            void load() {
                get_u32(string_format(KEY_N_EMBD, prefix), n_embd);
                get_arr_int(KEY_LAYERS, layers, false);
                switch (type) {
                    case PROJECTOR_TYPE_P: { get_u32(KEY_WINDOW, window); } break;
                }
            }
            void get_u32(const std::string & key, int & output) { output = gguf_get_val_u32(ctx, i); }
            void get_arr_int(const std::string & key, std::vector<int> & output) {
                const int32_t * values = (const int32_t *) gguf_get_arr_data(ctx, i);
            }
        };""",
    "ggml/include/ggml.h": "enum { GGML_TYPE_F32 = 0, GGML_TYPE_F16 = 1, GGML_TYPE_COUNT = 2 };",
}


def derived(**changes: str) -> dict[str, KeyRead]:
    source = SOURCE | {
        path.replace("__", "/").replace("_", "-") + ".cpp": text for path, text in changes.items()
    }
    table = derive_table(source.__getitem__, source, "tree")
    return {read.key: read for read in (*table.model, *table.projector)}


def test_each_form_of_reading_a_key_is_found() -> None:
    table = derive_table(SOURCE.__getitem__, SOURCE, "tree")
    assert (table.tree, table.max_layers, table.max_experts, table.types) == ("tree", 512, 384, (0, 1))
    assert (table.architectures, table.projectors) == (("a", "b"), ("p",))
    assert table.splitters == ("split",)
    assert table.default_ids == {"x": {"bos": 11}, "y": {"bos": 11}}
    assert list(table.model) == [
        KeyRead("%s.context", one=("UINT32",)),
        KeyRead("%s.eps", one=("FLOAT32",), of=("a",)),
        KeyRead("%s.heads", one=("UINT32",), many=("BOOL", "INT32"), length="block_count", most=512),
        KeyRead("%s.labels", many=("STRING",)),
        KeyRead("%s.own", one=("FLOAT32",), of=("b",)),
        KeyRead("%s.sections", one=("INT32",), many=("BOOL", "INT32"), length="4", most=4, of=("a",)),
        KeyRead("bos", one=("UINT32",)),
        KeyRead("eos", one=("UINT32",)),
        KeyRead("scores", many=("FLOAT32",)),
        KeyRead("tokens", many=("STRING",)),
    ]
    assert list(table.projector) == [
        KeyRead("clip.%s.width", one=("UINT32",)),
        KeyRead("clip.layers", many=("INT32",)),
        KeyRead("clip.window", one=("UINT32",), of=("p",)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "void llama_model_b::f(llama_model_loader & ml) { ml.get_key(name_of(3), x); }",
        "void llama_model_b::f(llama_model_loader & ml) { ml.get_key(LLM_KV_EPS, undeclared); }",
        "void llama_model_b::f(llama_model_loader & ml) { std::vector<odd_type> x; ml.get_arr(LLM_KV_EPS, x); }",
        "void llama_model_c::f(llama_model_loader & ml) { float x; ml.get_key(LLM_KV_EPS, x); }",
        "void f() { const int idx = gguf_find_key(ctx, kv(LLM_KV_EPS).c_str()); }",
    ],
)
def test_a_form_that_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(UnknownFormError):
        derived(src__models__c=text)


@pytest.mark.parametrize("recipe", MANIFESTS.recipe_names())
def test_each_recipe_has_the_table_of_its_own_tree(recipe: str) -> None:
    table = read_table(MANIFESTS, recipe)
    assert table.tree == str(final_tree(MANIFESTS.recipe(recipe))), f"run {derive_command(recipe)}"
    path = MANIFESTS.project / table_path(recipe)
    assert path.read_text(encoding="utf-8") == table_text(table)
    assert {"qwen3vlmoe", "qwen3vl", "qwen2vl"} <= set(table.architectures)


def test_a_missing_or_damaged_table_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    manifests = Manifests(tmp_path)
    with pytest.raises(PinMissingError) as caught:
        read_table(manifests, "x")
    assert (caught.value.where, caught.value.fix) == ("manifests/loaders/x.json", derive_command("x"))
    path = tmp_path / table_path("x")
    path.parent.mkdir(parents=True)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ManifestError) as damaged:
        read_table(manifests, "x")
    assert damaged.value.fix == derive_command("x")
