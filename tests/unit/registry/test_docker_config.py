from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from recipes.core.errors import UsageError
from recipes.registry.docker_config import StoredLogin, config_path, find_login

HOST = "registry.example:5000"
AUTH = base64.b64encode(b"builder:se:cret").decode()


def write(folder: Path, config: object) -> dict[str, str]:
    (folder / "config.json").write_text(json.dumps(config))
    return {"DOCKER_CONFIG": str(folder)}


def helper(folder: Path, name: str, script: str) -> dict[str, str]:
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_the_folder_is_docker_s() -> None:
    assert config_path({"HOME": "/home/x"}) == Path("/home/x/.docker/config.json")
    assert config_path({"HOME": "/home/x", "DOCKER_CONFIG": "/etc/y"}) == Path("/etc/y/config.json")


@pytest.mark.parametrize(
    ("auths", "user", "secret", "token"),
    [
        ({HOST: {"auth": AUTH}}, "builder", "se:cret", ""),
        ({f"https://{HOST}": {"auth": AUTH}}, "builder", "se:cret", ""),
        ({f"https://{HOST}/v1/": {"username": "builder", "password": "x"}}, "builder", "x", ""),
        ({HOST: {"identitytoken": "t"}}, "", "", "t"),
    ],
)
def test_a_login_of_the_file_is_found(
    tmp_path: Path, auths: dict[str, object], user: str, secret: str, token: str
) -> None:
    login = find_login(HOST, write(tmp_path, {"auths": auths}))
    assert login is not None
    assert (login.user, login.secret, login.identity_token) == (user, secret, token)
    assert "se:cret" not in repr(login)


@pytest.mark.parametrize(
    "config", [{}, {"auths": {}}, {"auths": {HOST: {}}}, {"auths": {"registry.example": {"auth": AUTH}}}]
)
def test_a_login_of_another_host_is_none(tmp_path: Path, config: object) -> None:
    assert find_login(HOST, write(tmp_path, config)) is None
    assert find_login(HOST, {"DOCKER_CONFIG": str(tmp_path / "nowhere")}) is None


def test_a_helper_comes_before_the_file_and_is_asked_for_the_host(tmp_path: Path) -> None:
    environ = helper(
        tmp_path, "x", 'read host; echo "{\\"Username\\": \\"$1-$host\\", \\"Secret\\": \\"s\\"}"'
    )
    environ |= write(tmp_path, {"credsStore": "x", "auths": {HOST: {"auth": AUTH}}})
    assert find_login(HOST, environ) == StoredLogin("docker-credential-x", f"get-{HOST}", "s")


def test_a_helper_may_give_an_identity_token_or_nothing(tmp_path: Path) -> None:
    environ = helper(tmp_path, "x", 'echo \'{"Username": "<token>", "Secret": "t"}\'')
    environ |= write(tmp_path, {"credHelpers": {HOST: "x"}})
    assert find_login(HOST, environ) == StoredLogin("docker-credential-x", identity_token="t")
    environ |= helper(tmp_path, "x", "echo credentials not found in native keychain; exit 1")
    environ |= write(tmp_path, {"credHelpers": {HOST: "x"}, "auths": {HOST: {"auth": AUTH}}})
    login = find_login(HOST, environ)
    assert login is not None
    assert login.user == "builder"


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ("echo secret; exit 3", "exit status 3"),
        ("echo secret", "no JSON"),
        ('echo \'{"Username": "u"}\'', "no JSON"),
    ],
)
def test_a_helper_that_fails_is_named_and_what_it_said_is_not_shown(
    tmp_path: Path, script: str, word: str
) -> None:
    environ = helper(tmp_path, "x", script) | write(tmp_path, {"credsStore": "x"})
    with pytest.raises(UsageError) as caught:
        find_login(HOST, environ)
    assert caught.value.where.startswith("docker-credential-x")
    assert word in caught.value.found
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent", "../x", "a b"])
def test_a_helper_that_is_not_there_or_no_name_is_refused(tmp_path: Path, name: str) -> None:
    environ = write(tmp_path, {"credsStore": name}) | {"PATH": str(tmp_path)}
    with pytest.raises(UsageError):
        find_login(HOST, environ)
