"""Who may ask: which Host, which Origin, which key."""

from __future__ import annotations

import pytest

from recipes.serve.door.admission import (
    Admission,
    Origin,
    admit,
    demand_key,
    is_open,
    is_own_host,
    parse_origin,
)
from recipes.serve.door.refusal import RefusedError

LOCAL = Admission("127.0.0.1", 8080)
EVERYWHERE = Admission("0.0.0.0", 8080)  # noqa: S104 - nothing listens
KEY = "a-key-of-more-than-16-letters"


def origin(text: str) -> Origin:
    found = parse_origin(text)
    assert found
    return found


@pytest.mark.parametrize(
    ("host", "admission"),
    [
        ("127.0.0.1:8080", LOCAL),
        ("localhost:8080", LOCAL),
        ("LOCALHOST:8080", LOCAL),
        ("[::1]:8080", LOCAL),
        ("[0:0:0:0:0:0:0:1]:8080", LOCAL),
        ("localhost", LOCAL),
        ("localhost:9000", LOCAL),  # the end of a tunnel
        ("192.168.1.7:8080", Admission("192.168.1.7", 8080)),
        ("192.168.1.7:8080", EVERYWHERE),
        ("[fe80::1]:8080", EVERYWHERE),
        ("llm.example.org", Admission("127.0.0.1", 8080, frozenset({origin("http://llm.example.org")}))),
    ],
)
def test_an_address_that_is_this_server_s(host: str, admission: Admission) -> None:
    assert is_own_host(host, admission)
    assert admit({}, [host], admission) is None


@pytest.mark.parametrize(
    ("hosts", "admission"),
    [
        (["evil.example"], LOCAL),
        (["evil.example:8080"], EVERYWHERE),
        (["127.0.0.1.evil.example:8080"], LOCAL),
        (["localhost.evil.example:8080"], LOCAL),
        (["localhost.:8080"], LOCAL),
        (["192.168.1.7:8080"], LOCAL),
        (["192.168.1.7:81"], Admission("192.168.1.7", 8080)),
        (["127.1:8080"], LOCAL),
        (["2130706433:8080"], LOCAL),
        (["localhost:8080@evil.example"], LOCAL),
        (["user@localhost:8080"], LOCAL),
        (["localhost:123456"], LOCAL),
        ([""], LOCAL),
        ([], LOCAL),
        (["localhost", "localhost"], LOCAL),
        (["[::1%25lo]:8080"], LOCAL),
        (["[127.0.0.1]:8080"], EVERYWHERE),
    ],
)
def test_another_address_is_refused(hosts: list[str], admission: Admission) -> None:
    with pytest.raises(RefusedError) as caught:
        admit({}, hosts, admission)
    assert caught.value.status == 403


@pytest.mark.parametrize("same", ["http://localhost:8080", "http://LOCALHOST:8080"])
def test_the_page_s_own_origin_may_ask_and_needs_no_cors(same: str) -> None:
    assert admit({"origin": same}, ["localhost:8080"], LOCAL) is None


def test_the_scheme_s_own_port_may_be_left_out() -> None:
    assert admit({"origin": "http://localhost"}, ["localhost:80"], Admission("127.0.0.1", 80)) is None


@pytest.mark.parametrize(
    "other",
    [
        "http://evil.example",
        "http://localhost:3000",
        "http://127.0.0.1:8080",  # the same machine, but not the address in Host
        "https://localhost:8080",
        "null",
        "*",
        "",
        "http://localhost:8080/",
        "http://localhost:8080, http://localhost:8080",
        "chrome-extension://abc",
        "http://localhost:8080@evil.example",
    ],
)
def test_another_origin_is_refused(other: str) -> None:
    with pytest.raises(RefusedError) as caught:
        admit({"origin": other}, ["localhost:8080"], LOCAL)
    assert (caught.value.status, "--allow-origin" in caught.value.message) == (403, True)


def test_an_origin_that_is_allowed_may_read_and_no_other() -> None:
    admission = Admission("127.0.0.1", 8080, frozenset({origin("https://app.example")}))
    assert admit({"origin": "https://app.example"}, ["localhost:8080"], admission) == "https://app.example"
    for other in ("https://app.example.evil", "http://app.example", "https://app.example:444"):
        with pytest.raises(RefusedError):
            admit({"origin": other}, ["localhost:8080"], admission)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_page_loads_without_an_origin_is_refused_and_a_link_is_not(site: str) -> None:
    with pytest.raises(RefusedError):
        admit({"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}, ["localhost:8080"], LOCAL)
    assert admit({"sec-fetch-site": site, "sec-fetch-mode": "navigate"}, ["localhost:8080"], LOCAL) is None
    assert admit({"sec-fetch-site": "none"}, ["localhost:8080"], LOCAL) is None


@pytest.mark.parametrize("text", ["*", "null", "example.org", "http://", "http://a b", "ftp://example.org"])
def test_what_is_no_origin(text: str) -> None:
    assert parse_origin(text) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY}"},
        {"authorization": KEY},
        {"x-api-key": KEY},
    ],
)
def test_the_key_is_taken_as_each_api_sends_it(headers: dict[str, str]) -> None:
    demand_key(headers, KEY)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer é\udce9"},
        {"x-api-key": KEY.upper()},
        {"authorization": "Bearer x", "x-api-key": KEY},
    ],
)
def test_any_other_key_is_refused_without_naming_it(headers: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as caught:
        demand_key(headers, KEY)
    assert caught.value.status == 401
    assert KEY not in caught.value.message


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health"),
        ("GET", "/v1/health"),
        ("GET", "/"),
        ("HEAD", "/index.html"),
        ("GET", "/_app/immutable/bundle.BHySb6NS.js"),
        ("GET", "/manifest.webmanifest"),
    ],
)
def test_health_and_the_page_s_files_need_no_key(method: str, path: str) -> None:
    assert is_open(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(
            ("GET", path)
            for path in ("/props", "/slots", "/metrics", "/v1/models", "/models", "/tools", "/cors-proxy")
        ),
        *(("GET", path) for path in ("/v1/models/x.json", "/models/x.js", "/v1/stream", "/lora-adapters")),
        *(("GET", path) for path in ("/%70rops", "/props/", "//props", "/health/", "/props.", "/props%2ejs")),
        *(("POST", path) for path in ("/", "/health", "/x.js", "/v1/chat/completions")),
        ("DELETE", "/v1/stream"),
    ],
)
def test_everything_else_needs_it(method: str, path: str) -> None:
    assert not is_open(method, path)
