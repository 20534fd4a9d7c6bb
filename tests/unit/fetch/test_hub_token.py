"""Who gets the token."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.settings import parse_settings
from recipes.fetch.http.hub_token import Credential

TOKEN = "hf_secret"
HUB = Credential("https://hub.example", TOKEN)
GIVEN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    "url",
    ["https://hub.example/a/b/resolve/c/d.gguf", "https://hub.example:443/a", "https://hub.example/a?b=c"],
)
def test_the_hub_gets_it(url: str) -> None:
    assert HUB.headers_for(url) == GIVEN


@pytest.mark.parametrize(
    "url",
    [
        "http://hub.example/a",
        "https://hub.example:444/a",
        "https://cdn.hub.example/a",
        "https://hub.example.evil.example/a",
        "https://evil.example/hub.example",
        "https://hub.example@evil.example/a",
        "https://someone@hub.example/a",
        "https://evil.example\\@hub.example/a",
        "https://hub.example\\.evil.example/a",
        "https://hub.example#@evil.example/",
        "https://hub.example\n.evil.example/a",
        "https://hub.example:99999/a",
        "https://HUB.example.\uff0eevil/a",
        "https://:443/",
        "//hub.example/a",
        "/a",
        "",
    ],
)
def test_nobody_else_gets_it(url: str) -> None:
    assert HUB.headers_for(url) == {}


def test_an_address_that_a_server_named_gets_nothing_even_of_the_hub() -> None:
    assert HUB.headers_for("https://hub.example/a", is_redirected=True) == {}


def test_no_token_no_header() -> None:
    assert Credential("https://hub.example", None).headers_for("https://hub.example/a") == {}


@pytest.mark.parametrize(
    ("hub", "is_given"),
    [
        ("http://hub.example", False),
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("http://[::1]:8000", True),
        ("http://127.0.0.1.evil.example", False),
    ],
)
def test_it_never_leaves_this_machine_unencrypted(hub: str, *, is_given: bool) -> None:
    credential = Credential(hub, TOKEN)
    assert credential.headers_for(f"{hub}/a") == (GIVEN if is_given else {})
    assert credential.usable_token == (TOKEN if is_given else None)


@given(st.text(max_size=30), st.text(max_size=30))
def test_whoever_gets_it_is_the_hub(before: str, after: str) -> None:
    url = f"https://{before}hub.example{after}"
    if HUB.headers_for(url):
        assert not before
        assert not after or after[0] in ":/?"


def test_it_is_in_no_text_of_what_holds_it() -> None:
    settings = parse_settings({"HF_TOKEN": TOKEN}, default_store=Path("/s"))
    assert settings.hub_token == TOKEN
    assert TOKEN not in repr(settings) + str(settings) + repr(HUB) + str(HUB)
