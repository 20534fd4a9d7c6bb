"""A fault planted in a server is found, by its name and by the attack that met it, and the run goes on."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from recipes.build.plan.plan import final_tree
from recipes.build.source_tree import find_source
from recipes.conformance.hostile import judge
from recipes.conformance.hostile.address_attacks import attacks as address_attacks
from recipes.conformance.hostile.attack import (
    COMPLETION,
    Attack,
    Fault,
    Kind,
    Reply,
    Seen,
    judge_reply,
    request,
)
from recipes.conformance.hostile.canary import canary
from recipes.conformance.hostile.catalogue import all_attacks, quick_attacks
from recipes.conformance.hostile.context_attacks import attacks as context_attacks
from recipes.conformance.hostile.crowd import Crowd
from recipes.conformance.hostile.drawn import draw
from recipes.conformance.hostile.judge import Question, Trial
from recipes.conformance.hostile.model_files import MMPROJ, MODEL, read_draft
from recipes.conformance.hostile.report import HostileResult, issue_of, outcomes, table, to_json
from recipes.conformance.hostile.request_fields import LIST, read_source, to_text
from recipes.conformance.hostile.service import served
from recipes.conformance.hostile.supervisor import Supervisor
from recipes.conformance.results.outcome import CheckVerdict
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.manifest.schema import Advisory
from recipes.models.gguf.reader import read_gguf
from recipes.serve.llamacpp.installation import find_installation
from recipes.serve.llamacpp.server import serve, user
from recipes.store.store import Store
from tests.support.hostile_server import starts, write_hostile_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.conformance.results.inputs import ReferenceModel

TEXT, IMAGE = Question([user("one plus two?")], "3"), Question([user(b"\x89PNG", "which colour?")], "red")
ANSWERS = {"one plus two?": "3", "which colour?": "red"}
PATIENCE = 6.0  # a busy machine is not a fault; what never answers is not waited for as long
WAITS = {"silent", "never"}
ATTACK = request(Kind.GRAMMARS, "planted", COMPLETION, {"grammar": "x"}, must_refuse=True)
CALM = Attack(Kind.CHATS, "calm", lambda _: Seen("nothing"))


def test_serve_starts_in_front_of_the_bundle_to_be_attacked(
    bundle: Path, pocket: ReferenceModel, tmp_path: Path
) -> None:
    inputs = pocket.inputs(find_installation(bundle), tmp_path)
    with served(inputs, read_settings().store) as server:
        assert server.post("/tokenize", b'{"content": "a"}').status_code == 200


@contextmanager
def attacked(folder: Path, fault: str) -> Iterator[Supervisor]:
    """A supervisor of the program with a fault."""
    program = write_hostile_server(folder, fault, ANSWERS)
    patience = 1.0 if fault in WAITS else PATIENCE
    with (
        canary() as watched,
        Supervisor(lambda: serve(program, (), folder), watched, (TEXT, IMAGE), patience) as supervisor,
    ):
        yield supervisor


@pytest.mark.parametrize(
    ("fault", "expected", "restarts"),
    [
        ("none", None, False),
        ("dies", Fault.DEAD, True),
        ("exits", Fault.DEAD, True),
        ("report", Fault.REPORTED, True),
        ("silent", Fault.SILENT, True),
        ("memory", Fault.MEMORY, True),
        ("wrong", Fault.WRONG, True),
        ("never", Fault.UNANSWERED, True),
        ("error", Fault.SERVER_ERROR, False),
        ("careless", Fault.ACCEPTED, False),
    ],
)
def test_a_planted_fault_is_found_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, expected: Fault | None, *, restarts: bool
) -> None:
    monkeypatch.setattr(judge, "MOST_ABOVE_IDLE", 150_000_000)
    with attacked(tmp_path, fault) as supervisor:
        trials = [supervisor.attempt(one) for one in (CALM, ATTACK, CALM)]
    assert [trial.fault for trial in trials] == [None, expected, None]
    assert starts(tmp_path) == supervisor.starts == (2 if restarts else 1)
    assert "signal 11" in trials[1].words or fault != "dies"


@pytest.mark.parametrize(
    ("status", "wanted", "fault"),
    [
        (200, {}, None),
        (400, {}, None),
        (501, {}, None),
        (500, {}, Fault.SERVER_ERROR),
        (0, {}, Fault.UNANSWERED),
        (200, {"must_refuse": True}, Fault.ACCEPTED),
        (403, {"must_refuse": True}, None),
        (400, {"must_answer": True}, Fault.REFUSED),
        (200, {"must_answer": True}, None),
    ],
)
def test_what_an_answer_says_by_itself(status: int, wanted: dict[str, bool], fault: Fault | None) -> None:
    assert judge_reply(Reply(status, "text", {}), **wanted).fault is fault


def test_answers_that_are_mixed_up_are_found(tmp_path: Path) -> None:
    words = [one for one in context_attacks() if one.name.startswith("words of")]
    for fault, expected in (("none", None), ("mixed", Fault.MIXED)):
        with attacked(tmp_path, fault) as supervisor:
            assert words[0].run(supervisor.target).fault is expected


def test_a_crowd_finds_answers_that_are_mixed_up(tmp_path: Path) -> None:
    for fault, expected in (("none", None), ("mixed", Fault.MIXED)):
        with attacked(tmp_path, fault) as supervisor:
            crowd = Crowd([TEXT, IMAGE], 1.5, 0)
            assert crowd.run(supervisor.target).fault is expected
            assert crowd.answers


def test_an_address_that_is_asked_is_found(tmp_path: Path) -> None:
    loopback = next(one for one in address_attacks() if one.name == "image at loopback")
    for fault, expected in (("none", Fault.ACCEPTED), ("curious", Fault.ASKED)):
        with attacked(tmp_path, fault) as supervisor:
            assert loopback.run(supervisor.target).fault is expected


def test_a_page_of_another_origin_that_is_served_is_found(tmp_path: Path) -> None:
    foreign = next(one for one in address_attacks() if one.name == "another origin asks")
    for fault, expected in (("none", Fault.OPEN), ("guarded", None)):
        with attacked(tmp_path, fault) as supervisor:
            assert foreign.run(supervisor.target).fault is expected


def test_the_attacks_are_as_many_as_promised_and_each_has_its_own_name() -> None:
    attacks = list(all_attacks())
    names = Counter((one.kind, one.name) for one in attacks)
    assert [name for name, count in names.items() if count > 1] == []
    images = sum(one.kind is Kind.IMAGES for one in attacks)
    assert images >= 40
    assert len(attacks) - images >= 150
    assert len(MODEL) + len(MMPROJ) >= 60
    quick = {one.kind for one in quick_attacks()}
    assert quick == set(Kind) - {Kind.FILES, Kind.DRAWN, Kind.CROWD}


def test_the_list_of_fields_is_that_of_the_default_recipes_source() -> None:
    manifests = Manifests()
    recipe = manifests.recipe(manifests.defaults().recipe)
    source = find_source(Store.open(read_settings().store), final_tree(recipe))
    assert source, "unpack it first: python3 noxfile.py -s patch"
    fix = f"python -m recipes.conformance.hostile.request_fields {source.path} > {LIST}"
    assert LIST.read_text("utf-8") == to_text(read_source(source.path)), fix


def test_fields_and_routes_are_read_of_every_way_that_the_source_writes_them(tmp_path: Path) -> None:
    (tmp_path / "tools" / "server").mkdir(parents=True)
    (tmp_path / "tools" / "server" / "server-schema.cpp").write_text(
        'add((new field_num("a", x))->add_alias("b")); json_value(data, "c", 1); body.at("d"); data["e"].get<int>();\n'
        'json_field(body, "i", 1); json_object_field(f(body), "j"); json_value(a.b, "k", 1); ctx_http.del ("/l", h);\n'
        'out["f"] = 1; ctx_http.post("/g", h); svr->Get(params.api_prefix + "/h", h);\n'
        'ctx_http.post("/n", ex_wrapper(r.h)); ctx_http.post ("/o", ex_wrapper(r.h));\n'
        'ctx_http.get (R"(/m/(.+))", ex_wrapper(r.one)); svr->Get("/p/:id", [](int) {});'
    )
    (tmp_path / "tools" / "server" / "server-tools.cpp").write_text('json_value(data, "not", 1);')
    assert read_source(tmp_path) == {
        "fields": [*"abcdeijk"],
        "routes": [*("DELETE /l", "GET /h", "GET /m/(.+)", "GET /p/:id"), *("POST /g", "POST /n", "POST /o")],
        "aliases": {"POST /o": "POST /n"},
    }


def test_equal_seeds_draw_equal_requests() -> None:
    first = draw(30, 7)
    assert len(first) == 30
    assert first == draw(30, 7) != draw(30, 8)


def test_a_draft_is_the_file_it_was_read_from(pocket: ReferenceModel, tmp_path: Path) -> None:
    for path in pocket.files.values():
        (tmp_path / "copy.gguf").write_bytes(read_draft(path).encode())
        copy, original = read_gguf(tmp_path / "copy.gguf"), read_gguf(path)
        assert (copy.metadata, copy.tensors) == (original.metadata, original.tensors)
    changed = MODEL["385 experts"](read_draft(pocket.files["model"]))
    (tmp_path / "copy.gguf").write_bytes(changed)
    assert read_gguf(tmp_path / "copy.gguf").metadata["qwen3vlmoe.expert_count"].content == 385


def result(*faults: Fault | None, known: tuple[Advisory, ...] = ()) -> HostileResult:
    trials = tuple(
        Trial(Attack(Kind.GRAMMARS, f"attack {index}", CALM.run), "words", fault, 0.1, 1)
        for index, fault in enumerate(faults)
    )
    return HostileResult(
        "a llama.cpp", "sha256:0", "here", "hostile", datetime.now(UTC), 1.0, 1, trials, known
    )


def advisory(*hostile: str) -> Advisory:
    return Advisory(
        schema="advisory/1",
        id="ISSUE-1",
        component="llama.cpp",
        summary="s",
        severity="low",
        reach="request",
        affects="a",
        links=("https://example.org",),
        says="it",
        checked="2026-11-30",
        hostile=hostile,
    )


def test_a_record_says_what_was_not_held() -> None:
    record = json.loads(to_json(result(None, Fault.DEAD, Fault.ALONE)))
    assert record["verdict"] == "fails"
    assert record["counts"] == {"held": 1, "dead": 1, "alone": 1}
    assert record["trials"][1] | {"seconds": 0} == {
        "kind": "grammars",
        "name": "attack 1",
        "fault": "dead",
        "known": None,
        "words": "words",
        "seconds": 0,
        "peak_mb": 0.0,
    }
    assert next(
        line for line in table(result(None, Fault.DEAD).trials) if line.startswith("grammars")
    ).split() == [*("grammars", "2", "1", "1")]


@pytest.mark.parametrize(
    ("faults", "known", "verdict"),
    [
        ((None, None), (), CheckVerdict.PASSED),
        ((None, Fault.ALONE), (), CheckVerdict.DEVIATES),
        ((None, Fault.DEAD), (), CheckVerdict.FAILED),
        ((None, Fault.DEAD), ("grammars",), CheckVerdict.DEVIATES),
        ((None, Fault.DEAD), ("grammars: attack 1",), CheckVerdict.DEVIATES),
        ((None, Fault.DEAD), ("grammars: attack 0", "images"), CheckVerdict.FAILED),
        ((Fault.DEAD, Fault.DEAD), ("grammars: attack 1",), CheckVerdict.FAILED),
    ],
)
def test_an_advisory_that_names_an_attack_makes_a_failure_a_deviation(
    faults: tuple[Fault | None, ...], known: tuple[str, ...], verdict: CheckVerdict
) -> None:
    found = result(*faults, known=(advisory(*known),))
    assert [one.verdict for one in outcomes(found)] == [verdict]
    assert bool(found.unknown) is (verdict is CheckVerdict.FAILED)


def test_every_advisory_names_attacks_that_there_are() -> None:
    manifests = Manifests()
    names = {kind.value for kind in Kind} | {f"{one.kind.value}: {one.name}" for one in all_attacks()}
    names |= {
        f"{Kind.FILES.value}: {role}: {name}"
        for role, of in (("model", MODEL), ("mmproj", MMPROJ))
        for name in of
    }
    named = {word for one in manifests.advisories().values() for word in one.hostile}
    assert named - names == set()
    assert issue_of(result(Fault.DEAD).trials[0], (advisory("grammars"),)) == "ISSUE-1"
