"""Real Mach-O files, signed twice: what is left without the signatures is one; what else changed is named."""

from __future__ import annotations

import shutil
import struct
from typing import TYPE_CHECKING

import pytest

from recipes.build.audit.macho.facts import inspect
from recipes.build.audit.macho.payload import payload_digest, strip_signature
from recipes.cli.main import main
from tests.support.mac_files import sign

if TYPE_CHECKING:
    from pathlib import Path

# a Requirements blob of none, and a CMS blob, as cs_blobs.h frames them
REQUIREMENTS = struct.pack(">III", 0xFADE0C01, 12, 0)
CMS = struct.pack(">II", 0xFADE0B01, 8 + 5000) + bytes(range(250)) * 20


def signed_by_another(bundle: Path) -> Path:
    for path in (bundle / "bin/program", bundle / "lib/libadd.dylib"):
        path.write_bytes(sign(path.read_bytes(), f"org.example.{path.name}", REQUIREMENTS, CMS))
    return bundle


def test_what_signs_the_files_here_signs_them_right(mac_bundle: Path, tmp_path: Path) -> None:
    bundle = signed_by_another(shutil.copytree(mac_bundle, tmp_path / "bundle"))
    facts = inspect(bundle / "bin/program", "bin/program")
    assert facts.signature
    assert facts.signature.identifier == "org.example.program"
    assert not facts.signature.is_ad_hoc
    assert (facts.wrong_pages, facts.wrong_slots) == ((), ())
    assert facts.signature_end_bytes == facts.size_bytes


def test_two_signatures_of_one_build_leave_the_same_payload(
    mac_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = signed_by_another(shutil.copytree(mac_bundle, tmp_path / "bundle"))
    for name in ("bin/program", "lib/libadd.dylib"):
        assert (bundle / name).read_bytes() != (mac_bundle / name).read_bytes()
        assert payload_digest(bundle / name) == payload_digest(mac_bundle / name)
    assert main(["payload", str(mac_bundle), str(bundle)]) == 0
    assert "the same in both (3 files)" in capsys.readouterr().out
    assert main(["payload", str(mac_bundle)]) == 0
    assert "bin/program" in capsys.readouterr().out


def test_a_file_that_was_stripped_is_its_own_payload(mac_bundle: Path) -> None:
    once = strip_signature((mac_bundle / "bin/program").read_bytes())
    assert strip_signature(once) == once
    assert len(once) < (mac_bundle / "bin/program").stat().st_size


@pytest.mark.parametrize("offset", [0x20, 0x4100, 0xC010])
def test_one_changed_byte_under_a_new_signature_is_named(
    mac_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], offset: int
) -> None:
    bundle = shutil.copytree(mac_bundle, tmp_path / "bundle")
    path = bundle / "bin/program"
    data = bytearray(path.read_bytes())
    data[offset + 24] ^= 1  # in a load command, in code or data, in the loader's tables
    path.write_bytes(sign(bytes(data), "program"))
    before, after = payload_digest(mac_bundle / "bin/program"), payload_digest(path)
    assert main(["payload", str(mac_bundle), str(bundle)]) == 13
    error = capsys.readouterr().err
    assert f"bin/program: {after.hex}, not {before.hex}" in error
    assert "lib/libadd.dylib" not in error


def test_a_file_more_or_less_is_named(
    mac_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(mac_bundle, tmp_path / "bundle")
    (bundle / "lib/libadd.dylib").unlink()
    (bundle / "lib/libevil.dylib").write_bytes(b"x")
    assert main(["payload", str(mac_bundle), str(bundle)]) == 13
    error = capsys.readouterr().err
    assert "lib/libadd.dylib: absent, not " in error
    assert "lib/libevil.dylib: not in the first" in error


def test_the_folder_that_signing_a_folder_adds_is_no_difference(mac_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(mac_bundle, tmp_path / "bundle")
    (bundle / "_CodeSignature").mkdir()
    (bundle / "_CodeSignature/CodeResources").write_text("<plist/>\n")
    assert main(["payload", str(mac_bundle), str(bundle)]) == 0


@pytest.mark.parametrize("cut", [8, 100, 0x600])
def test_a_cut_file_is_refused_in_words(
    mac_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cut: int
) -> None:
    bundle = shutil.copytree(mac_bundle, tmp_path / "bundle")
    path = bundle / "bin/program"
    path.write_bytes(path.read_bytes()[:cut])
    assert main(["payload", str(bundle)]) == 2
    assert "expected: the folder of an unpacked bundle\n  found:    bin/program: " in capsys.readouterr().err


def test_a_folder_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["payload", str(tmp_path / "nothing")]) == 2
    assert "found:    nothing there" in capsys.readouterr().err
