"""The bundle in a container image, unpacked and run as an engine runs it: not as root, and nothing can be written."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from recipes.core.process import Command, start
from recipes.serve.container.document import API_KEY, FOLDER, PORT, PROGRAM, USER_ID
from recipes.serve.llamacpp.listen_address import LOOPBACK, free_port
from recipes.serve.llamacpp.server import EndedError, Server, base_url, wait_for_health
from tests.support.llama_service import ANSWER, PICTURE, QUESTION, run
from tests.support.programs import demand_program

KEY = "a-key-of-more-than-16-letters"
STARTS_S = 300.0
PATH = f"{os.defpath}:/usr/sbin:/sbin"  # chroot is there
# what an engine does: the root read-only, a file system of its own for /tmp, the kernel's, and the mounted key
ENGINE = f"""\
set -e
root="$0" key="$1"; shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount --bind /dev "$root/dev"
mount --bind "$key" "$root{API_KEY.rpartition("/")[0]}"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -o remount,ro,bind "$root"
if touch "$root/x" 2>/dev/null; then exit 99; fi
exec chroot --userspec={USER_ID}:{USER_ID} "$root" "$@"
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting what an engine mounts needs root")


@dataclass(frozen=True)
class Unpacked:
    """An image's root folder and configuration."""

    root: Path
    words: tuple[str, ...]
    health: tuple[str, ...]

    def command(self, key: Path, *words: str) -> Command:
        engine = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENGINE)
        return Command((*engine, str(self.root), str(key), *words), self.root.parent, {"PATH": PATH})


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    folder = tmp_path_factory.mktemp("image")
    umoci, skopeo = demand_program("umoci"), demand_program("skopeo")
    demand_program("unshare")
    made = run("image", "--with-model", "pocket", "--to", f"oci:{folder / 'layout'}")
    assert made.returncode == 0, made.stderr
    name = next(line.rpartition(":")[2] for line in made.stdout.splitlines() if line.startswith("image:"))
    layout = f"{folder / 'layout'}:{name}"
    subprocess.run((umoci, "unpack", "--image", layout, folder / "unpacked"), check=True, capture_output=True)
    config = subprocess.run(
        (skopeo, "inspect", "--raw", "--config", f"oci:{layout}"), check=True, capture_output=True
    ).stdout
    settings = json.loads(config)["config"]
    words = (*settings["Entrypoint"], *settings["Cmd"])
    return Unpacked(folder / "unpacked" / "rootfs", words, tuple(settings["Healthcheck"]["Test"][1:]))


def test_it_answers_a_question_about_an_image_and_says_that_it_is_healthy(
    image: Unpacked, tmp_path: Path
) -> None:
    key = key_folder(tmp_path, KEY)
    port = str(free_port())

    def here(words: tuple[str, ...]) -> tuple[str, ...]:
        """The words with a port that is free on this machine, whose network it shares."""
        return tuple(word.replace(str(PORT), port) for word in words)

    def is_healthy() -> bool:
        asked = image.command(key, *here(image.health))
        return subprocess.run(asked.argv, cwd=asked.cwd, env=asked.env, check=False).returncode == 0

    assert not is_healthy()
    command = image.command(key, *here(image.words), "--threads", "1")
    with start(command, tmp_path / "log") as process:
        server = Server(base_url(LOOPBACK, int(port)), process, tmp_path / "log")
        wait_for_health(server, STARTS_S)
        assert is_healthy()
        assert users_of(port) == {USER_ID}
        picture = f"data:image/png;base64,{base64.b64encode(PICTURE.read_bytes()).decode()}"
        content = [
            {"type": "image_url", "image_url": {"url": picture}},
            {"type": "text", "text": QUESTION},
        ]
        asked = {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 20}
        address = f"{server.base}/v1/chat/completions"
        assert requests.post(address, json=asked, timeout=STARTS_S).status_code == requests.codes.unauthorized
        known = {"Authorization": f"Bearer {KEY}"}
        reply = requests.post(address, json=asked, headers=known, timeout=STARTS_S)
        assert ANSWER in reply.json()["choices"][0]["message"]["content"]


def key_folder(folder: Path, key: str | None) -> Path:
    """Return what is mounted where the key is expected, readable by all."""
    folder = folder / "key"
    folder.mkdir()
    if key is not None:
        (folder / "api-key").write_text(key)
    return folder


def users_of(port: str) -> set[int]:
    """The users of the servers of an image that listen at a port: the real, effective, saved and file system's one."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            words = (path / "cmdline").read_bytes().decode().split("\0")
            if words[0] == f"/{FOLDER}/{PROGRAM}" and port in words:
                status = (path / "status").read_text()
                found |= {int(each) for each in status.partition("Uid:")[2].splitlines()[0].split()}
    return found


def test_it_ends_at_once_without_a_key(image: Unpacked, tmp_path: Path) -> None:
    command = image.command(key_folder(tmp_path, None), *image.words)
    with start(command, tmp_path / "log") as process:
        server = Server(base_url(LOOPBACK, free_port()), process, tmp_path / "log")
        with pytest.raises(EndedError, match="api-key"):
            wait_for_health(server, STARTS_S)
