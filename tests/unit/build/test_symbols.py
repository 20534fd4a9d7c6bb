from __future__ import annotations

import pytest

from recipes.build.audit.symbols import check_exports, is_standard_symbol


@pytest.mark.parametrize(
    "name",
    [
        "_ZNSt3__16locale7classicEv",
        "_ZNKSt3__112basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEE4sizeEv",
        "_ZNSt12length_errorC2B9nie220108EPKc",
        "_ZNOSt8optionalIiE5valueEv",
        "_ZSt9terminatev",
        "_ZStlsISt11char_traitsIcEERSt13basic_ostreamIcT_ES5_PKc",
        "_ZTVNSt3__114basic_iostreamIcNS_11char_traitsIcEEEE",
        "_ZTISt9exception",
        "_ZTSNSt3__18functionIFvvEEE",
        "_ZTIPSt9exception",
        "_ZTIi",
        "_ZTSPKc",
        "_ZTVN10__cxxabiv117__class_type_infoE",
        "_ZGVNSt3__15ctypeIcE2idE",
        "_ZGVZNSt3__16locale7classicEvE1c",
        "_ZZNSt3__16locale7classicEvE1c",
        "_ZThn16_NSt3__114basic_iostreamIcED0Ev",
        "_ZTv0_n24_NSt3__19strstreamD1Ev",
        "_ZTCNSt3__19strstreamE0_NS_13basic_istreamE",
        "_ZNSaIcED1Ev",
        "_ZNSs4_Rep20_S_empty_rep_storageE",
        "_Znwm",
        "_ZnamSt11align_val_t",
        "_ZdlPv",
        "_ZdaPvmSt11align_val_t",
        "__cxa_throw",
        "__gxx_personality_v0",
        "__dynamic_cast",
        "_Unwind_Resume",
    ],
)
def test_a_name_that_a_cxx_runtime_defines_is_known(name: str) -> None:
    assert is_standard_symbol(name)


@pytest.mark.parametrize(
    "name",
    [
        "llama_decode",
        "_Z17gguf_write_to_bufPK12gguf_contextRNSt3__16vectorIaNS2_9allocatorIaEEEEb",
        "_ZN5clip3runERKNSt3__16vectorIfEE",
        "_ZTV12clip_context",
        "_ZTI6llm_no",
        "_ZlsRNSt3__113basic_ostreamIcEERK5thing",
        "_ZN3Std4loadEv",
        "_ZN2StC1Ev",
        "_Z4_Znwm",
        "cxa_throw",
        "Unwind_Resume",
        "__dynamic_cast_count",
    ],
)
def test_a_name_of_the_project_is_not_taken_for_the_runtimes(name: str) -> None:
    assert not is_standard_symbol(name)


def test_operator_new_may_be_exported_and_the_rest_of_a_runtime_may_not() -> None:
    assert list(check_exports("lib/x", ["_Znwm", "_ZdaPvmSt11align_val_t", "llama_decode"], "hide it")) == []
    (violation,) = check_exports("lib/x", ["_Znwm", "__cxa_throw", "_ZTISt9exception"], "hide it")
    assert violation.found == "lib/x: 2, such as __cxa_throw"
