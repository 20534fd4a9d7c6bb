"""Who may ask, for any Host and Origin: what passes is this machine by name or in digits, or what was allowed."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

from hypothesis import assume, given
from hypothesis import strategies as st

from recipes.serve.door.admission import (
    LOCAL_NAMES,
    Admission,
    Authority,
    Origin,
    admit,
    allowed_origin,
    is_own_host,
    parse_authority,
    parse_origin,
)
from recipes.serve.door.refusal import RefusedError

ADDRESSES = st.sampled_from(["127.0.0.1", "0.0.0.0", "192.168.1.7", "::", "::1", "fe80::1"])  # noqa: S104
PORTS = st.integers(1, 65535)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z][a-z0-9]{0,8}){0,3}", fullmatch=True)
NEAR = st.sampled_from(
    ["localhost", "127.0.0.1", "[::1]", "192.168.1.7", "[fe80::1]", "evil.example", "@", ":", "."]
)
TEXTS = st.text(max_size=40) | st.lists(NEAR | st.text(":/@.[]0189 ", max_size=3), max_size=4).map("".join)


def authority(text: str, port: int) -> Authority:
    found = parse_authority(text, port)
    assert found
    return found


def admissions(*allowed: str) -> st.SearchStrategy[Admission]:
    found = (parse_origin(text) for text in allowed)
    origins = frozenset(origin for origin in found if origin)
    return st.builds(Admission, ADDRESSES, PORTS, st.just(origins))


@given(TEXTS, admissions("https://app.example"))
def test_a_host_that_passes_is_local_in_digits_or_allowed(host: str, admission: Admission) -> None:
    if not is_own_host(host, admission):
        return
    named = authority(host, 80)
    if named.name in LOCAL_NAMES or named.name == "app.example":
        return
    address = ipaddress.ip_address(named.name.strip("[]"))
    own = ipaddress.ip_address(admission.host)
    assert own.is_unspecified or (own == address and admission.port == named.port)


@given(NAMES, PORTS, admissions())
def test_no_name_but_the_machine_s_own_passes(name: str, port: int, admission: Admission) -> None:
    assume(name != "localhost")
    assert not is_own_host(f"{name}:{port}", admission)
    assert not is_own_host(name, admission)


@given(TEXTS, st.sampled_from(["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "localhost"]))
def test_an_origin_that_passes_is_the_host_s_own_or_allowed(text: str, host: str) -> None:
    admission = Admission("127.0.0.1", 8080, frozenset({Origin("https", authority("a.b", 443))}))
    with suppress(RefusedError):
        readable = allowed_origin(text, host, admission)
        origin = parse_origin(text)
        assert origin
        if readable is None:
            assert origin == Origin("http", authority(host, 80))
        else:
            assert (readable, str(origin)) == (text, "https://a.b")


@given(NAMES, PORTS, PORTS)
def test_another_port_of_the_same_name_is_another_origin(name: str, one: int, other: int) -> None:
    assume(one != other)
    admission = Admission("127.0.0.1", one, frozenset({Origin("http", authority(name, one))}))
    assert admit({"origin": f"http://{name}:{one}"}, [f"{name}:{one}"], admission) is not None
    with suppress(RefusedError):
        admit({"origin": f"http://{name}:{other}"}, [f"{name}:{one}"], admission)
        raise AssertionError


@given(st.text(max_size=60))
def test_what_is_read_as_an_origin_is_written_as_one_again(text: str) -> None:
    origin = parse_origin(text)
    if origin is not None:
        assert parse_origin(str(origin)) == origin
