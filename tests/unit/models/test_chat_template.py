"""A chat template is rendered once, in little time and memory; what must not be run is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.models import chat_template
from recipes.models.chat_template import judge_template, judge_templates
from recipes.models.gguf.findings import Severity
from recipes.models.gguf.reader import Value, ValueType, read_gguf
from tests.support.gguf_drafts import F32, whole_draft, word
from tests.support.paths import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

POCKET = PROJECT / "tests/data/pocket/pocket-qwen3-vl-moe-f16.gguf"
SAYS = "{{ messages[-1]['content'] }}"
GOOD = (
    SAYS,
    (
        "{% for m in messages %}{{ m.role }}{% if m.content is string %}{{ m.content.split('a')[-1].lstrip() }}"
        "{% else %}{% for part in m.content %}{{ part.type }}{% endfor %}{% endif %}{% endfor %}"
    ),
    "{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}{{ strftime_now('%Y') }}{{ bos_token }}" + SAYS,
    "{% if messages[0].role != 'user' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}Hello",
    "{% generation %}x{% endgeneration %}{% for i in [1, 2] %}{% break %}{% endfor %}" + SAYS,
    "{% set ns = namespace(n=0) %}{% for m in messages[::-1] %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"
    + SAYS,
    "{% for m in messages %}{{ m.content.strip() }}{% endfor %}",  # a model without images
)
DEEP = "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}"
BAD = (
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself"),
    ("{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ g() }}", "calls itself"),
    (DEEP, "nested too deep"),
    ("{% if true %}" * 3000 + "{% endif %}" * 3000, "nested too deep"),
    ("{% for i in range(10**9) %}x{% endfor %}", "without an end"),
    ("{% for i in range(99999) %}{{ messages[0].content }}{{ 'x' * 99 }}{% endfor %}", "more than 1048576"),
    ("{{ 'a' * 10**10 }}", "memory"),
    ("{% set x = namespace(s='a') %}{% for i in range(60) %}{% set x.s = x.s ~ x.s %}{% endfor %}", "memory"),
    ("{{ '%9999999999s' | format('a') }}", "memory"),
    ("{{ ''.__class__.__mro__ }}", "reaches for Python"),
    ("{{ cycler.__init__.__globals__ }}", "reaches for Python"),
    ("{{ 1 % 0 }}", "divides by zero"),
    ("{% if %}", "is not a template"),
    ("{% break %}", "is not a template"),
    ("yarn", "leaves out what the user says"),
    ("x" * (1 << 20) + "x", "more than 1048576"),
)


@pytest.mark.parametrize("text", GOOD)
def test_a_template_of_a_publisher_passes(text: str) -> None:
    assert judge_template(text, "k") is None


@pytest.mark.parametrize(("text", "found"), BAD)
def test_a_template_that_must_not_be_run_is_refused(text: str, found: str) -> None:
    finding = judge_template(text, "k")
    assert finding is not None
    assert (finding.severity, finding.where, found in finding.what) == (Severity.ERROR, "k", True), finding


def test_a_template_that_fails_with_a_plain_question_is_warned_about() -> None:
    finding = judge_template("{{ nothing.at_all }}", "k")
    assert finding is not None
    assert (finding.severity, "UndefinedError" in finding.what) == (Severity.WARNING, True)


def test_a_template_that_computes_without_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    monkeypatch.setattr(chat_template, "PROCESSOR_S", 1)
    finding = judge_template(text, "k")
    assert finding is not None
    assert "1 s of processor time" in finding.what
    monkeypatch.setattr(chat_template, "TIME_S", 0.0)
    finding = judge_template(text, "k")
    assert finding is not None
    assert "within 0 s" in finding.what


def test_all_templates_of_a_model_are_judged(tmp_path: Path) -> None:
    assert judge_templates(read_gguf(POCKET)) == ()
    keys = {
        "tokenizer.chat_template": Value(ValueType.UINT32, 1),
        "tokenizer.chat_template.tool_use": word("{% if %}"),
        "tokenizer.chat_templates": Value(ValueType.STRING, ("tool_use",)),
    }
    (tmp_path / "x.gguf").write_bytes(whole_draft(keys, {"a": (F32, (8,))}).encode())
    found = judge_templates(read_gguf(tmp_path / "x.gguf"))
    assert [(one.where, one.what.split()[0]) for one in found] == [
        ("tokenizer.chat_template", "is"),
        ("tokenizer.chat_template.tool_use", "is"),
    ]
