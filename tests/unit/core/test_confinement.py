"""What the ways to confine a program are told. That they hold is tested in tests/integration/build/."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.confinement.bubblewrap import bubblewrap_command
from recipes.core.confinement.landlock import (
    ALLOW,
    IF_AT_LEAST,
    IF_EQUAL,
    LOAD,
    MACHINE_AT,
    OTHER_NUMBERS,
    REFUSE,
    REFUSED_CALLS,
    RETURN,
    filter_program,
)
from recipes.core.confinement.request import Request, decode
from recipes.core.confinement.seatbelt import profile, seatbelt_command

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST = Request(("/bin/true", "x"), "/w", {"A": "b"}, ("/usr", "/s"), ("/w",), (("/t", "/place"),))
texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@given(
    st.builds(
        Request,
        st.lists(texts, min_size=1).map(tuple),
        texts,
        st.dictionaries(texts, texts),
        st.lists(texts).map(tuple),
        st.lists(texts).map(tuple),
        st.lists(st.tuples(texts, texts)).map(tuple),
    )
)
def test_a_request_is_read_as_it_was_written(request: Request) -> None:
    assert decode(request.encode()) == request


def run_filter(code: bytes, machine: int, number: int) -> int:
    """Run a filter as the kernel does (bpf(4)): return what it answers to one system call."""
    at, found = 0, 0
    while True:
        operation, if_true, if_false, value = struct.unpack_from("=HBBI", code, at * 8)
        at += 1
        if operation == RETURN:
            return int(value)
        if operation == LOAD:
            found = machine if value == MACHINE_AT else number
        else:
            assert operation in {IF_EQUAL, IF_AT_LEAST}
            holds = found == value if operation == IF_EQUAL else found >= value
            at += if_true if holds else if_false


numbers = st.one_of(st.integers(0, 500), st.integers(0, 2**32 - 1))


@given(st.sampled_from(sorted(REFUSED_CALLS)), numbers, st.none() | st.integers(0, 2**32 - 1))
def test_the_filter_refuses_what_it_names_and_every_call_of_another_machine(
    name: str, number: int, other: int | None
) -> None:
    machine, refused = REFUSED_CALLS[name]
    code = filter_program(machine, refused)
    assert {run_filter(code, machine, each) for each in refused} == {REFUSE}
    asked, from_machine = number, machine if other is None else other
    is_refused = asked in refused or asked >= OTHER_NUMBERS or from_machine != machine
    assert run_filter(code, from_machine, asked) == (REFUSE if is_refused else ALLOW)


def pairs(words: Sequence[str], option: str) -> list[tuple[str, str]]:
    return [(words[at + 1], words[at + 2]) for at, word in enumerate(words) if word == option]


def test_bubblewrap_is_given_each_path_and_no_other() -> None:
    words = bubblewrap_command("/usr/bin/bwrap", REQUEST)
    assert words[0] == "/usr/bin/bwrap"
    assert {"--unshare-all", "--die-with-parent", "--clearenv"} <= set(words)
    assert pairs(words, "--ro-bind") == [("/usr", "/usr"), ("/s", "/s"), ("/t", "/place")]
    assert pairs(words, "--bind") == [("/w", "/w")]
    assert pairs(words, "--setenv") == [("A", "b")]
    assert words[-3:] == ("--", "/bin/true", "x")


def test_the_profile_of_a_mac_closes_first_and_then_opens_what_is_named() -> None:
    rules = profile(REQUEST).splitlines()
    assert rules[0] == "(version 1)"
    assert rules.index("(deny network*)") > rules.index("(allow default)")
    assert '(allow file-read* (subpath "/usr") (subpath "/s"))' in rules
    assert rules[-1] == '(allow file-read* file-write* (subpath "/w"))'
    assert seatbelt_command(REQUEST)[-2:] == REQUEST.argv


@pytest.mark.parametrize("name", ['a"b', "a\\b", 'a") (allow default) ("'])
def test_no_name_of_a_folder_adds_a_rule_to_the_profile(name: str) -> None:
    rules = profile(Request(("/bin/true",), "/w", {}, (), (f"/{name}",))).splitlines()
    assert len(rules) == len(profile(REQUEST).splitlines()) - 1
    inside = rules[-1].removeprefix('(allow file-read* file-write* (subpath "').removesuffix('"))')
    assert inside.replace("\\\\", "").replace('\\"', "").count('"') == 0
