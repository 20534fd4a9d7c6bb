"""What the gate for files passes does not end a real llama.cpp: run after `build`, with the default recipe's bundle."""

from __future__ import annotations

import resource
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipes.core.errors import RecipeError
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.models.chat_template import judge_templates
from recipes.models.gguf.reader import Value, ValueType, read_gguf
from recipes.models.loader.table import read_table
from recipes.store.store import Store
from tests.support import gguf_hybrid as hybrid
from tests.support import gguf_qwen2 as qwen2
from tests.support.bundles import bundle_plan
from tests.support.gguf_drafts import number, whole_draft, word
from tests.support.gguf_rewrites import FILES, HEADS, changed, changes, errors, rewritten, with_file
from tests.support.paths import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

PLAN = bundle_plan()
TABLE = read_table(Manifests(), PLAN.recipe)
TEMPLATE = "tokenizer.chat_template"
MEMORY_BYTES, PROCESSOR_S = 6 << 30, 60
EDITS = st.sampled_from(("model", "mmproj")).flatmap(
    lambda role: st.tuples(st.just(role), st.lists(changes(role, TABLE), min_size=1, max_size=3))
)


def limit() -> None:
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, PROCESSOR_S),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def ask(model: Path, mmproj: Path, context: int = 512) -> subprocess.CompletedProcess[str]:
    """Load both files and ask a question about an image, as a server would."""
    entry = Store.open(read_settings().store).find(PLAN.bundle_key)
    assert entry, f"build it first: python3 noxfile.py -s build -- --recipe {PLAN.recipe}"
    picture = PROJECT / "docs/assets/shapes.png"
    jinja = ["--jinja"] if "llama-completion" in PLAN.contents.bin else []  # b6751's program has none of both
    return subprocess.run(
        [
            *(entry.path / "bin/llama-mtmd-cli", "-m", model, "--mmproj", mmproj, "--image", picture),
            *("-p", "What?", "-n", "2", "-t", "1", "-c", str(context), "--temp", "0", *jinja),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        preexec_fn=limit,
    )


def test_the_pocket_model_passes_and_answers() -> None:
    assert errors(HEADS, TABLE) == []
    assert ask(FILES["model"], FILES["mmproj"]).returncode == 0


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(EDITS)
def test_what_the_gate_passes_does_not_end_the_program(
    tmp_path: Path, edits: tuple[str, list[tuple[str, Value | None]]]
) -> None:
    role, changes_ = edits
    path = tmp_path / f"{role}.gguf"
    path.write_bytes(rewritten(role, changed(role, changes_)))
    try:
        files = with_file(role, path)
        found = errors(files, TABLE)
    except RecipeError:  # the only thing that the gate raises
        return
    if found or (any(key == TEMPLATE for key, _ in changes_) and judge_templates(files["model"])):
        return
    paths = FILES | {role: path}
    done = ask(paths["model"], paths["mmproj"])
    assert done.returncode >= 0, (changes_, done.stderr[-2000:])
    if TEMPLATE in files["model"].metadata:  # this program asks for one
        assert done.returncode == 0, (changes_, done.stderr[-2000:])


@pytest.mark.parametrize("kind", ["qwen2vl_merger", "qwen2.5vl_merger"])
@pytest.mark.parametrize("exchanged", [False, True])
def test_what_is_demanded_of_qwen2_is_what_the_program_loads(
    tmp_path: Path, kind: str, *, exchanged: bool
) -> None:
    template = word("{% for m in messages %}{{ m.content }}{% endfor %}")
    model, mmproj = tmp_path / "model.gguf", tmp_path / "mmproj.gguf"
    model.write_bytes(whole_draft(qwen2.MODEL_KEYS | {TEMPLATE: template}, qwen2.MODEL_TENSORS).encode())
    tensors = qwen2.mmproj_tensors(kind, exchanged=exchanged)
    mmproj.write_bytes(whole_draft(qwen2.mmproj_keys(kind), tensors).encode())
    assert errors({"model": read_gguf(model), "mmproj": read_gguf(mmproj)}, TABLE) == []
    done = ask(model, mmproj, context=4096)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.skipif("qwen35moe" not in TABLE.architectures, reason="this recipe's llama.cpp does not load it")
@pytest.mark.parametrize("with_drafts", [False, True])
def test_what_is_demanded_of_linear_attention_is_what_the_program_loads(
    tmp_path: Path, *, with_drafts: bool
) -> None:
    template = word("{% for m in messages %}{{ m.content }}{% endfor %}")
    model, mmproj = tmp_path / "model.gguf", tmp_path / "mmproj.gguf"
    keys = hybrid.model_keys() | {TEMPLATE: template} | (hybrid.DRAFT_KEYS if with_drafts else {})
    tensors = hybrid.TENSORS | (hybrid.DRAFT_BLOCK if with_drafts else {})
    model.write_bytes(whole_draft(keys, tensors).encode())
    mmproj.write_bytes(hybrid.MMPROJ)
    assert errors({"model": read_gguf(model), "mmproj": read_gguf(mmproj)}, TABLE) == []
    done = ask(model, mmproj, context=4096)
    assert done.returncode == 0, done.stderr[-2000:]


U8 = ValueType.UINT8
SEEN = (
    ("model", "tokenizer.ggml.scores", Value(U8, (1,))),
    ("model", TEMPLATE, word("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")),
    ("model", "qwen3vlmoe.expert_count", number(TABLE.max_experts + 1)),
    ("model", "qwen3vlmoe.block_count", number(TABLE.max_layers + 1)),
    ("mmproj", "clip.vision.feature_layer", Value(U8, (0,) * 10**6)),
    ("model", "general.architecture", word("llama")),
)


@pytest.mark.parametrize(("role", "key", "value"), SEEN, ids=[key for _, key, _ in SEEN])
def test_what_ended_a_llama_cpp_is_refused(tmp_path: Path, role: str, key: str, value: Value) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(rewritten(role, changed(role, [(key, value)])))
    files = with_file(role, path)
    assert errors(files, TABLE) or judge_templates(files["model"])
