"""A model's file, from servers on loopback that do each thing that hubs do wrong."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.core.digest import Sha256
from recipes.core.errors import FetchError, PinMissingError, StoreError, VerifyError
from recipes.fetch.download.piece_file import note_path, pieces_path
from recipes.models import fetch as model_fetch
from recipes.models import local_copies as reuse
from tests.support import http_server as servers
from tests.support import paths
from tests.support.gguf_drafts import model_keys, model_tensors, number, whole_draft
from tests.support.http_server import GOOD, Behaviour, Server
from tests.support.model_project import (
    AT,
    DATA,
    MMPROJ,
    MMPROJ_AT,
    MMPROJ_SHA,
    OTHER,
    PIECE,
    SHA,
    ModelBench,
    manifest,
)
from tests.support.pieces import leave_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGAIN = "python3 noxfile.py -s models -- fetch hub"
RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelBench]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as hub, Server() as cdn:
        yield ModelBench(tmp_path, hub, cdn)


def test_both_files_come_by_several_connections_and_each_byte_is_asked_for_once(bench: ModelBench) -> None:
    bench.serve()
    path = bench.fetch()
    assert path == bench.store.blob_path(SHA)
    assert path.read_bytes() == DATA
    assert [file.path.read_bytes() for file in bench.files()] == [DATA, MMPROJ]
    asked = sorted(
        tuple(map(int, match.groups())) for text in bench.asked() if (match := RANGE.fullmatch(text or ""))
    )
    assert asked[0][0] == 0
    assert asked[-1][1] == len(DATA) - 1
    assert [end + 1 for _, end in asked[:-1]] == [start for start, _ in asked[1:]]
    assert len(asked) == 5
    assert list(bench.store.partial.iterdir()) == []
    assert path.stat().st_mode & 0o777 == 0o444


def test_what_is_here_costs_neither_a_request_nor_a_reading(
    bench: ModelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.serve()
    bench.fetch()
    count = len(bench.hub.log)
    monkeypatch.setattr(model_fetch, "verify_pinned", lambda *_: pytest.fail("it was read"))
    assert bench.fetch().read_bytes() == DATA
    assert len(bench.hub.log) == count


def test_a_size_that_is_not_known_is_asked_for(bench: ModelBench) -> None:
    bench.pin(manifest(size_bytes=None))
    bench.serve()
    assert bench.fetch().read_bytes() == DATA
    assert bench.asked()[0] == "bytes=0-0"


def test_a_server_that_takes_one_connection_only_is_served_by_one(bench: ModelBench) -> None:
    bench.serve(GOOD, *(Behaviour(status=503, body=b"one at a time"),) * 15, GOOD)
    assert bench.fetch().read_bytes() == DATA


def test_a_server_that_asks_to_wait_for_ever_is_given_up_and_what_came_is_kept(bench: ModelBench) -> None:
    bench.connections = 1
    bench.serve(GOOD, servers.asks_to_wait("100000"))
    error = bench.refusal(FetchError)
    assert error.where == "manifests/models/hub.yaml: files[0], model.gguf"
    assert error.expected == f"{SHA}, {len(DATA)} bytes"
    assert "asks to wait 100000 s" in error.found
    assert error.fix.startswith(AGAIN)
    assert "network" in error.fix
    bench.serve()
    before = len(bench.asked())
    assert bench.fetch().read_bytes() == DATA
    assert bench.asked()[before] == "bytes=65536-131071"


def test_a_server_that_does_not_know_ranges_sends_all_once(bench: ModelBench) -> None:
    bench.serve(servers.IGNORES_RANGE)
    assert bench.fetch().read_bytes() == DATA
    assert "one connection" in bench.said.getvalue()


def test_a_tag_that_changes_while_the_bytes_do_not_costs_nothing(bench: ModelBench) -> None:
    bench.serve(*(Behaviour(etag=f'"{number}"') for number in range(9)))
    assert bench.fetch().read_bytes() == DATA
    assert len(bench.asked()) == 5


def test_a_file_that_changes_its_size_is_fetched_anew_where_the_size_is_not_pinned(bench: ModelBench) -> None:
    bench.pin(manifest(size_bytes=None))
    bench.connections = 1
    bench.serve(Behaviour(body=OTHER[:200_000]), Behaviour(body=OTHER[:200_000]), GOOD)
    assert bench.fetch().read_bytes() == DATA
    assert "changed its size" in bench.said.getvalue()


# Redirects and the token


def test_a_redirect_is_followed_once_and_remembered(bench: ModelBench) -> None:
    bench.connections = 1
    bench.serve_by_redirect()
    assert bench.fetch().read_bytes() == DATA
    assert len(bench.asked()) == 1
    assert len(bench.cdn.log) == 5


def test_a_redirect_that_has_expired_is_asked_for_again_at_once(bench: ModelBench) -> None:
    bench.connections = 1
    bench.serve_by_redirect(GOOD, Behaviour(status=403, body=b"expired"), GOOD)
    assert bench.fetch().read_bytes() == DATA
    assert len(bench.asked()) == 2
    assert bench.waits == []


def test_a_redirect_that_never_works_is_given_up(bench: ModelBench) -> None:
    bench.connections = 1
    bench.serve_by_redirect(Behaviour(status=403, body=b"expired"))
    assert "HTTP 403" in bench.refusal(FetchError).found
    assert bench.waits == [1.0, 2.0, 4.0, 8.0]


def test_the_token_goes_to_the_hub_and_never_on(bench: ModelBench) -> None:
    bench.set(hub_token="hf_secret")
    bench.serve_by_redirect()
    bench.fetch()
    assert {request.headers.get("authorization") for request in bench.hub.log} == {"Bearer hf_secret"}
    assert {request.headers.get("authorization") for request in bench.cdn.log} == {None}


def test_the_token_does_not_go_to_where_the_hub_redirects_even_on_its_own_host(bench: ModelBench) -> None:
    bench.set(hub_token="hf_secret")
    bench.serve(servers.redirects_to("/elsewhere"))
    bench.hub.serve("/elsewhere", DATA)
    assert bench.fetch().read_bytes() == DATA
    asked = {request.path: request.headers.get("authorization") for request in bench.hub.log}
    assert asked == {AT: "Bearer hf_secret", MMPROJ_AT: "Bearer hf_secret", "/elsewhere": None}


def test_the_token_does_not_go_to_a_mirror(bench: ModelBench) -> None:
    bench.serve()
    bench.cdn.serve(f"/{SHA.hex}", b"", servers.redirects_to(bench.hub.url(AT)))
    bench.set(hub_token="hf_secret", mirrors=(bench.cdn.base,))
    bench.fetch()
    assert {request.headers.get("authorization") for request in bench.cdn.log} == {None}
    assert {request.headers.get("authorization") for request in bench.hub.log if request.path == AT} == {None}


def test_a_login_of_netrc_does_not_take_the_tokens_place_and_goes_nowhere(
    bench: ModelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.folder / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(bench.folder / "netrc"))
    bench.set(hub_token="hf_secret")
    bench.serve_by_redirect()
    bench.fetch()
    assert {request.headers.get("authorization") for request in bench.hub.log} == {"Bearer hf_secret"}
    assert {request.headers.get("authorization") for request in bench.cdn.log} == {None}


def test_the_token_is_in_nothing_that_is_said_kept_or_noted(bench: ModelBench) -> None:
    bench.set(hub_token="hf_secret")
    bench.serve(Behaviour(status=401, body=b"hf_secret?"))
    error = bench.refusal(FetchError)
    assert "HTTP 401" in error.found
    assert "HF_TOKEN" in error.found
    bench.serve(servers.closes_after(100_000), replace(GOOD, body=OTHER))
    bench.refusal(VerifyError)
    texts = [path.read_bytes() for path in bench.store.root.rglob("*") if path.is_file()]
    assert not any(
        b"hf_secret" in text for text in (*texts, bench.said.getvalue().encode(), str(error).encode())
    )


# What is not the pinned file


def kept(bench: ModelBench) -> Path:
    return next(path for path in bench.store.rejected.glob("*/*") if path.name != "why.txt")


def test_other_bytes_are_kept_with_the_cause(bench: ModelBench) -> None:
    bench.serve(data=OTHER)
    error = bench.refusal(VerifyError)
    assert error.where == "manifests/models/hub.yaml: files[0], model.gguf"
    assert error.expected == f"{SHA}, {len(DATA)} bytes"
    for told in ("not a GGUF", str(Sha256.of_bytes(OTHER)), str(kept(bench))):
        assert told in error.found
    assert "mirror" in error.fix
    assert error.fix.endswith(AGAIN)
    assert bench.rejected() == [OTHER]
    assert [path for path in bench.store.partial.iterdir() if path.stat().st_size] == []
    assert list(bench.store.blobs.iterdir()) == []


def sound(file_type: int) -> bytes:
    keys = {**model_keys("qwen3vlmoe"), "general.file_type": number(file_type)}
    return whole_draft(keys, model_tensors("qwen3vlmoe")).encode()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 18556686912\n"


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (servers.PAGE, "a web page: "),
        (b'{"error": "Rate limited"}', "JSON"),
        (LFS, "a Git LFS pointer to a file of 18556686912 bytes"),
        (bytes(4096), "zeros"),
        (sound(15)[:-20], "truncated: "),
        (sound(14), "another quantisation: Q4_K_S"),
        (sound(15), "a sound model file with other contents"),
        (b"GGUF" + sound(15)[8:], "damaged, and not sound GGUF: "),
        (MMPROJ, "another pinned file: mmproj.gguf of hub"),
    ],
)
def test_the_cause_is_named(bench: ModelBench, data: bytes, cause: str) -> None:
    bench.pin(manifest(size_bytes=None))
    bench.serve(data=data)
    error = bench.refusal(VerifyError)
    assert error.found.startswith(f"{bench.hub.base}: it is {cause}")
    assert bench.rejected() == [data]


@pytest.mark.parametrize(
    ("data", "cause"), [(servers.PAGE, "a web page: "), (LFS, "a Git LFS pointer to a file of ")]
)
def test_the_cause_is_named_and_the_answer_kept_where_its_length_alone_is_wrong(
    bench: ModelBench, data: bytes, cause: str
) -> None:
    bench.serve(replace(servers.IGNORES_RANGE, body=data))
    error = bench.refusal(FetchError)
    assert f"it would send {len(data)} bytes, pinned are {len(DATA)}: {cause}" in error.found
    assert error.found.endswith(f", kept in {kept(bench)}")
    assert bench.rejected() == [data]


REVISION = "c3" * 20
AT_REVISION = AT.replace("main", REVISION)


def linked(data: bytes, **more: str) -> dict[str, str]:
    return {"X-Linked-ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Linked-Size": str(len(data)), **more}


def test_a_hub_that_says_it_has_other_bytes_is_refused_before_the_first_of_them(bench: ModelBench) -> None:
    bench.serve_by_redirect(data=OTHER, headers=linked(OTHER, **{"X-Repo-Commit": REVISION}))
    error = bench.refusal(FetchError)
    for told in ("upstream changed", str(Sha256.of_bytes(OTHER)), f"{len(OTHER)} bytes", REVISION):
        assert told in error.found
    assert "lock -- --model hub" in error.fix
    assert len(bench.cdn.log) <= bench.connections  # each learns it from the answer to its first request
    assert bench.rejected() == []
    assert not bench.pieces.exists() or bench.pieces.stat().st_blocks == 0


def test_a_hub_that_says_it_has_the_pinned_bytes_and_sends_others(bench: ModelBench) -> None:
    bench.serve_by_redirect(data=OTHER, headers=linked(DATA))
    assert "not a GGUF" in bench.refusal(VerifyError).found


# Room, this machine, mirrors, offline


def test_room_on_the_disk_is_asked_for_before_the_first_byte(
    bench: ModelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_fetch, "free_bytes", lambda _: 300_000)
    bench.serve()
    error = bench.refusal(StoreError)
    assert (error.where, error.found) == (str(bench.store.root), "300.0 kB free")
    assert error.expected.startswith("305.1 kB free")
    assert AGAIN in error.fix
    assert bench.hub.log == []


def test_what_has_arrived_already_needs_no_room(bench: ModelBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.connections = 1
    bench.serve(GOOD, Behaviour(status=404, body=b""))
    bench.refusal(FetchError)
    arrived = bench.pieces.stat().st_blocks * 512
    monkeypatch.setattr(model_fetch, "free_bytes", lambda _: len(DATA) - arrived + len(MMPROJ))
    bench.serve()
    assert bench.fetch().read_bytes() == DATA


def test_a_model_without_a_digest_is_refused_by_the_command_that_pins_it(bench: ModelBench) -> None:
    bench.pin(manifest(sha=None, size_bytes=None))
    error = bench.refusal(PinMissingError)
    assert error.where == "manifests/models/hub.yaml: files[0]"
    assert "lock -- --model hub" in error.fix
    assert bench.hub.log == []


def in_hub_cache(bench: ModelBench, data: bytes) -> Path:
    """As the hub's own client lays a file down: a blob by its digest, and a link by its name."""
    base = bench.folder / "cache" / "models--someone--Some-GGUF"
    blob = base / "blobs" / SHA.hex
    blob.parent.mkdir(parents=True)
    blob.write_bytes(data)
    link = base / "snapshots" / REVISION / "model.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(f"../../blobs/{SHA.hex}")
    bench.set(hub_cache=bench.folder / "cache")
    return blob


def test_a_file_of_the_hubs_own_cache_is_reused_without_a_copy(bench: ModelBench) -> None:
    bench.serve()
    blob = in_hub_cache(bench, DATA)
    before = blob.stat().st_mode
    path = bench.fetch()
    assert path.read_bytes() == DATA
    assert bench.asked() == []
    assert blob.stat().st_mode == before
    assert re.search(r"model.gguf: reused .*\((reflink|hard link)\)\n", bench.said.getvalue())


def test_a_file_of_the_cache_with_other_bytes_is_left_alone(bench: ModelBench) -> None:
    bench.serve()
    blob = in_hub_cache(bench, OTHER)
    assert bench.fetch().read_bytes() == DATA
    assert blob.read_bytes() == OTHER
    assert f"{blob} is another file: {Sha256.of_bytes(OTHER)}, pinned is {SHA}" in bench.said.getvalue()


def test_a_file_of_the_cache_with_another_size_is_not_even_read(
    bench: ModelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.serve()
    blob = in_hub_cache(bench, DATA[:-1])
    monkeypatch.setattr(model_fetch, "take_over", lambda *_: pytest.fail("it was taken"))
    assert bench.fetch().read_bytes() == DATA
    assert f"{blob} is another file: {len(DATA) - 1} bytes, pinned are {len(DATA)}" in bench.said.getvalue()


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_file_that_the_user_names_is_reused(bench: ModelBench, *, is_folder: bool) -> None:
    bench.serve()
    folder = bench.folder / "mine"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(DATA)
    assert bench.fetch(folder if is_folder else folder / "model.gguf").read_bytes() == DATA
    assert bench.asked() == []


def test_where_there_are_neither_reflinks_nor_hard_links_it_is_copied(
    bench: ModelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(reuse, "_reflink", lambda *_: False)
    monkeypatch.setattr(os, "link", refuse)
    bench.serve()
    blob = in_hub_cache(bench, DATA)
    path = bench.fetch()
    assert path.read_bytes() == DATA
    assert path.stat().st_ino != blob.stat().st_ino
    assert "(copy)" in bench.said.getvalue()


def test_a_mirror_is_asked_first_and_skipped_where_it_lies(bench: ModelBench) -> None:
    bench.serve()
    bench.cdn.serve(f"/{SHA.hex}", OTHER)
    bench.set(mirrors=(bench.cdn.base,))
    assert bench.fetch().read_bytes() == DATA
    assert f"skipped: mirror {bench.cdn.base}: " in bench.said.getvalue()
    assert bench.rejected() == [OTHER]
    bench.assert_nothing_wrong_in_store()


def test_a_mirror_that_has_it_leaves_the_hub_alone(bench: ModelBench) -> None:
    bench.serve()
    bench.cdn.serve(f"/{SHA.hex}", DATA)
    bench.set(mirrors=(bench.cdn.base,))
    assert bench.fetch().read_bytes() == DATA
    assert bench.asked() == []


def test_what_a_mirror_brought_is_completed_by_the_hub(bench: ModelBench) -> None:
    bench.connections = 1
    bench.serve()
    bench.cdn.serve(f"/{SHA.hex}", DATA, GOOD, servers.NOT_FOUND)
    bench.set(mirrors=(bench.cdn.base,))
    assert bench.fetch().read_bytes() == DATA
    assert bench.asked()[0] == "bytes=65536-131071"


def test_offline_nothing_is_asked_and_what_lacks_is_named(bench: ModelBench) -> None:
    bench.serve()
    bench.set(offline=True)
    error = bench.refusal(FetchError)
    assert "PINNED_LLAMA_OFFLINE=1" in error.found
    assert error.fix == f"PINNED_LLAMA_OFFLINE=0 {AGAIN}"
    assert bench.hub.log == []


def test_offline_what_is_here_is_given(bench: ModelBench) -> None:
    bench.serve()
    bench.fetch()
    bench.set(offline=True)
    assert bench.fetch().read_bytes() == DATA


# What a killed process leaves

WORKER = """
import sys
from pathlib import Path
from recipes.core.console import Silent
from recipes.manifest.load import Manifests
from recipes.core.settings import Settings
from recipes.fetch.fetcher import Fetcher
from recipes.models.fetch import ModelFetcher
from recipes.store.store import Store
store = Store.open(Path(sys.argv[1]))
manifests = Manifests(Path(sys.argv[2]))
settings = Settings(store.root, hub_url=sys.argv[3])
downloads = Fetcher(store, Silent(), settings, connections=4, piece_bytes=1024)
ModelFetcher(manifests, downloads).fetch(manifests.model("hub"))
"""


def noted(bench: ModelBench) -> int:
    path = note_path(bench.pieces)
    return path.read_text().count("\n") if path.is_file() else 0


def test_a_process_that_is_killed_again_and_again_gets_there_and_asks_for_no_noted_piece_twice(
    bench: ModelBench,
) -> None:
    bench.serve(servers.stalls_after(20_000), *(servers.stalls_after(20_000),) * 40)
    argv = (
        sys.executable,
        "-c",
        WORKER,
        str(bench.folder / "store"),
        str(bench.manifests.project),
        bench.hub.base,
    )
    for _ in range(3):
        count = noted(bench)
        with subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": str(paths.PROJECT)}) as process:
            while noted(bench) < count + 40:
                assert process.poll() is None
                threading.Event().wait(0.01)
            process.send_signal(signal.SIGKILL)
    arrived = noted(bench)
    bench.serve()
    count = len(bench.asked())
    assert bench.fetch().read_bytes() == DATA
    asked = [
        tuple(map(int, match.groups()))
        for text in bench.asked()[count:]
        if (match := RANGE.fullmatch(text or ""))
    ]
    wanted = sum(end + 1 - start for start, end in asked)
    assert wanted <= len(DATA) - PIECE * (arrived - 5)
    bench.assert_nothing_wrong_in_store()


def test_a_process_that_was_killed_after_the_last_byte_needs_no_network(bench: ModelBench) -> None:
    leave_pieces(bench.pieces, DATA, len(DATA), PIECE)
    leave_pieces(pieces_path(bench.store, MMPROJ_SHA), MMPROJ, len(MMPROJ), PIECE)
    bench.set(offline=True)
    bench.fetch()
    assert [file.path.read_bytes() for file in bench.files()] == [DATA, MMPROJ]
    assert list(bench.store.partial.iterdir()) == []


@pytest.mark.parametrize("damage", [b"\0" * PIECE, b"x"])
def test_a_piece_that_a_power_cut_left_empty_is_fetched_again_and_no_other(
    bench: ModelBench, damage: bytes
) -> None:
    bench.connections = 1
    bench.serve(GOOD, GOOD, Behaviour(status=404, body=b""))
    bench.refusal(FetchError)
    with bench.pieces.open("r+b") as file:
        file.seek(7 * PIECE)
        file.write(damage)
    bench.serve()
    count = len(bench.asked())
    assert bench.fetch().read_bytes() == DATA
    assert f"what had arrived at byte {7 * PIECE} is damaged, and fetched again" in bench.said.getvalue()
    assert f"bytes={7 * PIECE}-{8 * PIECE - 1}" in bench.asked()[count:]
    assert "bytes=0-65535" not in bench.asked()[count:]


@pytest.mark.parametrize(
    "note", [b"", b"pieces/1 5 5\n", b"\xff\xfe", b"pieces/1 300123 1024\n0 00000000 0\n"]
)
def test_an_invalid_note_costs_what_had_arrived_and_nothing_else(bench: ModelBench, note: bytes) -> None:
    bench.pieces.write_bytes(OTHER)
    note_path(bench.pieces).write_bytes(note)
    bench.serve()
    assert bench.fetch().read_bytes() == DATA


def test_two_processes_fetch_a_file_once(bench: ModelBench) -> None:
    bench.serve()
    results: list[Path] = []
    threads = [threading.Thread(target=lambda: results.append(bench.fetch())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in results] == [DATA, DATA]
    assert len(bench.asked()) == 5


def test_a_store_that_was_changed_is_refused(bench: ModelBench) -> None:
    bench.serve()
    path = bench.fetch()
    path.chmod(0o644)
    path.write_bytes(OTHER)
    error = bench.refusal(StoreError)
    assert (error.where, error.expected, error.found) == (str(path), str(SHA), str(Sha256.of_bytes(OTHER)))
    assert "gc -- --damaged" in error.fix


# What a refusal of the hub says, and what helps

GATED = (
    b'{"error":"Access to model someone/Some-GGUF is restricted. You must be authenticated to access it."}'
)


@pytest.mark.parametrize("token", [None, "hf_secret"])
@pytest.mark.parametrize("by_header", [False, True])
def test_a_gated_model_is_refused_in_the_hub_s_own_words_and_the_fix_is_about_access(
    bench: ModelBench, token: str | None, *, by_header: bool
) -> None:
    bench.set(hub_token=token)
    words = "Your request for hf_secret waits \x1b[2J for its author"
    headers = (
        (("X-Error-Message", words.replace("\x1b", "?")), ("X-Error-Code", "GatedRepo")) if by_header else ()
    )
    bench.serve(Behaviour(status=403 if token else 401, body=GATED, headers=headers))
    error = bench.refusal(FetchError)
    assert ("waits" if by_header else "Access to model someone/Some-GGUF is restricted.") in error.found
    assert "mirror" not in error.fix
    assert ("ask for access" if token else "HF_TOKEN=...") in error.fix
    if token:
        assert token not in str(error)


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"{", b'{"error": {"a": 1}}', b"[]", b"", b'{"error": "\\u001b]0;x\\u0007"}', b"\xff" * 99],
)
def test_what_a_hub_says_is_never_more_than_a_line(bench: ModelBench, body: bytes) -> None:
    bench.serve(Behaviour(status=404, body=body))
    error = bench.refusal(FetchError)
    assert "HTTP 404" in error.found
    assert error.found.isprintable()


def test_a_login_page_of_the_network_says_so(bench: ModelBench) -> None:
    bench.serve(replace(servers.WEB_PAGE, honours_range=False))
    error = bench.refusal(FetchError)
    assert "a web page" in error.found
    assert "log in" in error.fix
