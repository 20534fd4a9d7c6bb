"""`advisories` as a user runs it: the table, VEX files, and feeds from disk and from a server of loopback."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import FetchError, UsageError
from recipes.evidence.feeds import reading
from recipes.manifest.load import Manifests
from tests.support.fixture_project import REPOSITORY, FixtureProject, make_project
from tests.support.http_server import WEB_PAGE, Behaviour, Server
from tests.support.vulnerability_records import cve, events, osv

if TYPE_CHECKING:
    from pathlib import Path

NEW = json.dumps(
    osv("CVE-2099-0001", events({"introduced": "b5"}, {"fixed": "b9"}))
).encode()  # the fixture is b7
OLD = json.dumps(osv("CVE-2099-0003", events({"introduced": "b1"}, {"fixed": "b5"}))).encode()
MEMORY_BYTES = 2 << 30


@pytest.fixture
def own(tmp_path: Path) -> FixtureProject:
    return make_project(tmp_path / "project", tmp_path / "store")


def test_the_table_and_the_vex_files_of_a_recipe(own: FixtureProject, tmp_path: Path) -> None:
    nothing = own.recipes("advisories", "--vex", str(tmp_path / "vex"))
    assert (nothing.status, nothing.out) == (0, "0 findings: 0 affect it, 0 of them grave and within reach\n")
    assert list((tmp_path / "vex").iterdir()) == []
    feed = tmp_path / "a.json"
    feed.write_bytes(NEW)
    assert own.recipes("advisories", "--feed", str(feed), "--write").status == 0
    answer = own.recipes("advisories", "--vex", str(tmp_path / "vex"))
    assert "CVE-2099-0001  under_investigation  high" in answer.out
    assert sorted(path.name for path in (tmp_path / "vex").iterdir()) == ["vex.cdx.json", "vex.openvex.json"]
    statements = json.loads((tmp_path / "vex" / "vex.openvex.json").read_text())["statements"]
    assert [each["status"] for each in statements] == ["under_investigation"]


def test_a_feed_of_a_server_is_read_and_what_is_new_is_written(own: FixtureProject) -> None:
    body = json.dumps({"vulns": [json.loads(NEW), json.loads(OLD)]}).encode()
    with Server() as server:
        url = server.serve("/v1/query", body)
        answer = own.recipes("advisories", "--feed", url)
        assert answer.status == 0, answer.err
        assert "new:     CVE-2099-0001 (high): a request ends it\n" in answer.out
        assert "fixture (llama.cpp): affected\n" in answer.out
        assert (
            "1 findings are new, 0 known, 1 about other versions; 0 differ, 0 could not be read" in answer.out
        )
        assert not (own.root / "manifests" / "advisories").exists()
        written = own.recipes("advisories", "--feed", url, "--write")
        assert "written: manifests/advisories/CVE-2099-0001.yaml\n" in written.out
        assert list(Manifests(own.root).advisories()) == ["CVE-2099-0001"]
        again = own.recipes("advisories", "--feed", url, "--write")
        assert "0 findings are new, 1 known" in again.out
        assert "written" not in again.out


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        (Behaviour(status=404, body=b"{}"), "404"),
        (WEB_PAGE, "web page"),
        (Behaviour(status=302, body=b"", headers=(("Location", "ftp://127.0.0.1/x"),)), ""),
    ],
)
def test_a_server_that_does_not_deliver_is_a_fetch_error(
    own: FixtureProject, behaviour: Behaviour, says: str
) -> None:
    with Server() as server:
        answer = own.recipes("advisories", "--feed", server.serve("/feed.json", NEW, behaviour))
    assert answer.status == FetchError.exit_code, answer.err
    assert "--feed http://" in answer.err
    assert says in answer.err
    assert "Traceback" not in answer.err


def test_offline_no_address_is_asked(own: FixtureProject) -> None:
    with Server() as server:
        answer = own.recipes(
            "advisories", "--feed", server.serve("/feed.json", NEW), PINNED_LLAMA_OFFLINE="1"
        )
        assert server.log == []
    assert answer.status == FetchError.exit_code
    assert "PINNED_LLAMA_OFFLINE=0" in answer.err


def test_a_folder_with_good_and_bad_files_says_which_were_not_read(
    own: FixtureProject, tmp_path: Path
) -> None:
    feed = tmp_path / "feed"
    (feed / "deep").mkdir(parents=True)
    (feed / "deep" / "new.json").write_bytes(NEW)
    (feed / "old.json").write_bytes(OLD)
    (feed / "cve.json").write_text(json.dumps(cve("CVE-2099-0002", {"version": "n/a", "status": "affected"})))
    (feed / "not.txt").write_text("no JSON, and none is asked for")
    (feed / "bad.json").write_text('{"id": "/llama.cpp"')
    (feed / "bytes.json").write_bytes(b"\x00\xff\xfe")
    (feed / "brackets.json").write_bytes(b'["/llama.cpp", ' + b"[" * 1_000_000)
    (feed / "gone.json").symlink_to(feed / "nowhere")
    answer = own.recipes("advisories", "--feed", str(feed))
    assert answer.status == 0, answer.err
    assert "new:     CVE-2099-0002 (high): a file ends it" in answer.out
    assert "fixture (llama.cpp): versions not told: look" in answer.out
    assert (
        "6 files read: 2 findings are new, 0 known, 1 about other versions; 0 differ, 3 could not be read"
        in answer.out
    )
    assert "unread:  bad.json: " in answer.out


def test_what_is_no_feed_is_refused(own: FixtureProject, tmp_path: Path) -> None:
    page = tmp_path / "page.json"
    page.write_text("<html>log in</html>")
    (tmp_path / "empty").mkdir()
    cut = tmp_path / "cut.zip"
    with zipfile.ZipFile(cut, "w") as archive:
        archive.writestr("a.json", NEW)
    cut.write_bytes(cut.read_bytes()[:-30])
    for name in (page, tmp_path / "empty", cut, tmp_path / "nowhere.json"):
        answer = own.recipes("advisories", "--feed", str(name))
        assert answer.status == UsageError.exit_code, answer.err
        assert f"--feed {name}" in answer.err
        assert "Traceback" not in answer.err
    for options, where in ((["--write"], "--write"), (["--feed", str(page), "--vex", "x"], "--vex")):
        answer = own.recipes("advisories", *options)
        assert answer.status == UsageError.exit_code
        assert where in answer.err


def run_with_little_memory(own: FixtureProject, feed: Path) -> subprocess.CompletedProcess[str]:
    """The command with 2 GB of addresses, of which the interpreter with its libraries takes a good part."""
    words = [sys.executable, "-m", "recipes", "advisories", "--project", str(own.root), "--feed", str(feed)]
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=own.environment(),
        timeout=600,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_huge_feed_takes_bounded_memory(own: FixtureProject, tmp_path: Path) -> None:
    """A zip of 1.5 MB with members of 1 GB, one beyond its limit, and 20,000 records about other things."""
    feed = tmp_path / "huge.zip"
    other = b'{"id": "CVE-2099-9999", "details": "' + b"x" * 2000 + b'"}'
    with zipfile.ZipFile(feed, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("bomb.json", "w", force_zip64=True) as member:
            for _ in range(1024):
                member.write(b'"/llama.cpp" ' + b" " * ((1 << 20) - 13))
        for number in range(20_000):
            archive.writestr(f"{number}.json", other)
        archive.writestr("new.json", NEW)
    done = run_with_little_memory(own, feed)
    assert done.returncode == 0, done.stderr
    assert "new:     CVE-2099-0001" in done.stdout
    assert "unread:  bomb.json: it has more than" in done.stdout
    assert "20002 files read: 1 findings are new" in done.stdout


def test_a_zip_whose_list_of_files_is_huge_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = tmp_path / "many.zip"
    with zipfile.ZipFile(feed, "w") as archive:
        for number in range(100):
            archive.writestr(f"{number:050}.json", b"{}")
    size_bytes = reading.directory_bytes(feed)
    assert size_bytes == 100 * (46 + 55)
    assert len(list(reading.read_files(feed))) == 100
    monkeypatch.setattr(reading, "MOST_DIRECTORY_BYTES", size_bytes - 1)
    with pytest.raises(UsageError) as caught:
        reading.read_files(feed)
    assert "list of files" in caught.value.found


def test_the_list_of_files_of_a_large_zip_is_measured_too(tmp_path: Path) -> None:
    feed = tmp_path / "zip64.zip"
    with zipfile.ZipFile(feed, "w") as archive:
        for number in range(66_000):  # more than a zip without the extension can count
            archive.writestr(zipfile.ZipInfo(f"{number:05}.json"), b"")
    assert reading.directory_bytes(feed) == 66_000 * (46 + 10)
