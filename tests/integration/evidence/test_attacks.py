"""`verify` of a published bundle: all holds, and each attack on it or on what is said of it fails, by name."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from securesystemslib.dsse import Envelope

from recipes.build.evidence_files import (
    CONFORMANCE,
    PROVENANCE,
    SBOM,
    VEX_CYCLONEDX,
    VEX_OPENVEX,
    signed_name,
)
from recipes.conformance.report.json_record import to_json
from recipes.conformance.results.outcome import Part
from recipes.core.errors import ArchiveError, EvidenceError, ManifestError, UsageError
from recipes.evidence.keys import read_signer
from recipes.evidence.rebuild import Seen, rebuild_statement
from recipes.evidence.statement import REBUILD
from tests.support import paths
from tests.support.release import (
    BUILT,
    Release,
    conformance,
    copy_documents,
    key_digits,
    make_release,
    sign_payload,
    write_checksum,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OK, BROKEN = 0, EvidenceError.exit_code


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return make_release(tmp_path / "release")


@pytest.fixture
def key(release: Release) -> Path:
    key = release.new_key("release.key")
    assert release.attest(key) == OK
    return key


def public(key: Path) -> str:
    return f"{key}.pub"


def test_a_release_holds_without_a_key_and_with_it(
    release: Release, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release.verify() == OK
    assert release.verify("--key", public(key)) == OK
    out = capsys.readouterr().out
    assert f"is {release.tree}" in out
    assert "fails" not in out
    assert "missing" not in out


def test_a_folder_is_verified_as_an_archive_is(release: Release, key: Path) -> None:
    release.evidence.rename(release.bundle.with_name("bundle.evidence"))
    archive, release.archive = release.archive, release.bundle
    assert release.verify("--key", public(key)) == OK
    release.archive = archive
    assert release.verify("--key", public(key)) == BROKEN


def flip(path: Path, offset: int = -20) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def change_program(release: Release) -> None:
    flip(release.bundle / "bin" / "fixture", 3)
    release.pack()


def change_mode(release: Release) -> None:
    (release.bundle / "LICENSE").chmod(0o755)
    release.pack()


def add_program(release: Release) -> None:
    (release.bundle / "bin" / "added").write_bytes(b"more\n")
    release.pack()


@pytest.mark.parametrize("change", [change_program, change_mode, add_program])
def test_a_changed_bundle_is_not_the_pinned_one(
    release: Release,
    key: Path,
    change: Callable[[Release], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(release)
    assert release.verify("--key", public(key)) == BROKEN
    err = capsys.readouterr().err
    assert "bundle: pin fails" in err
    assert f"{PROVENANCE} fails" in err


def test_a_changed_archive_is_refused(release: Release, capsys: pytest.CaptureFixture[str]) -> None:
    flip(release.archive)
    assert release.verify() == ArchiveError.exit_code
    assert release.archive.name in capsys.readouterr().err


def test_a_checksum_of_another_archive_fails(release: Release, capsys: pytest.CaptureFixture[str]) -> None:
    path = release.archive.with_name(f"{release.archive.name}.sha256")
    path.write_text(path.read_text().replace(path.read_text()[:4], "0000", 1))
    assert release.verify() == BROKEN
    assert "archive: checksum fails" in capsys.readouterr().err
    path.unlink()
    assert release.verify() == BROKEN
    assert "archive: checksum missing" in capsys.readouterr().err


def test_an_archive_under_another_recipes_name_fails(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    other = release.archive.with_name("llama.cpp-fixture2-linux-x86_64-cpu.tar.zst")
    release.evidence.rename(release.evidence.with_name("llama.cpp-fixture2-linux-x86_64-cpu.evidence"))
    release.archive.rename(other)
    release.archive = other
    write_checksum(other)
    assert release.verify() == BROKEN
    assert "archive: name fails" in capsys.readouterr().err


@pytest.mark.parametrize("name", [PROVENANCE, SBOM, CONFORMANCE])
def test_each_missing_statement_is_named(
    release: Release, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    release.document(name).unlink()
    assert release.verify() == BROKEN
    assert f"{name} missing" in capsys.readouterr().err


@pytest.mark.parametrize("name", [PROVENANCE, SBOM, CONFORMANCE])
def test_each_missing_signature_is_named(
    release: Release, key: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    release.signed(name).unlink()
    assert release.verify() == OK
    assert release.verify("--key", public(key)) == BROKEN
    assert f"{name}: signatures missing" in capsys.readouterr().err


@pytest.mark.parametrize("name", [PROVENANCE, SBOM, CONFORMANCE])
def test_a_signed_statement_of_another_bundle_fails(
    release: Release, key: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_release(tmp_path / "other", program=b"another program\n")
    assert other.attest(key) == OK
    release.signed(name).write_bytes(other.signed(name).read_bytes())
    assert release.verify("--key", public(key)) == BROKEN
    assert f"{name} fails" in capsys.readouterr().err


def test_vex_is_signed_and_of_its_bundle_where_something_is_known(
    release: Release, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_release(tmp_path / "other", program=b"another program\n")
    for each in (release, other):
        each.learn("squares-are-round", severity="low")
        assert each.attest(key) == OK
    signed = release.signed(VEX_CYCLONEDX)
    signed.write_bytes(other.signed(VEX_CYCLONEDX).read_bytes())
    assert release.verify("--key", public(key)) == BROKEN
    assert f"{VEX_CYCLONEDX} fails" in capsys.readouterr().err
    signed.unlink()
    assert release.verify() == OK
    assert release.verify("--key", public(key)) == BROKEN
    assert f"{VEX_CYCLONEDX}: signatures missing" in capsys.readouterr().err


def test_all_statements_of_another_bundle_fail(
    release: Release, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_release(tmp_path / "other", program=b"another program\n")
    assert other.attest(key) == OK
    copy_documents(other, release)
    assert release.verify("--key", public(key)) == BROKEN
    err = capsys.readouterr().err
    assert f"{PROVENANCE} fails" in err  # old provenance with a new bundle
    assert f"{CONFORMANCE} fails" in err


@pytest.mark.parametrize("name", [PROVENANCE, SBOM, CONFORMANCE])
def test_a_statement_of_another_folder_fails(
    release: Release, key: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No archive is named here: what tells the two apart is the bundle's digest alone."""
    other = make_release(tmp_path / "other", program=b"another program\n")
    for each in (release, other):
        each.evidence.rename(each.bundle.with_name("bundle.evidence"))
        each.archive = each.bundle
        for path in each.bundle.with_name("bundle.evidence").glob("*.dsse.json"):
            path.unlink()
        assert each.attest(key) == OK
    signed = other.bundle.with_name("bundle.evidence") / signed_name(name)
    (release.bundle.with_name("bundle.evidence") / signed.name).write_bytes(signed.read_bytes())
    assert release.verify("--key", public(key)) == BROKEN
    assert f"{name} fails" in capsys.readouterr().err


def test_an_unsigned_bill_of_another_build_fails(
    release: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_release(tmp_path / "other", program=b"another program\n")
    release.document(SBOM).write_bytes(other.document(SBOM).read_bytes())
    assert release.verify() == BROKEN
    assert "sbom: bundle fails" in capsys.readouterr().err


def without(name: str) -> Callable[[dict[str, Any]], None]:
    def change(said: dict[str, Any]) -> None:
        before = len(said["components"])
        said["components"] = [each for each in said["components"] if each["name"] != name]
        assert len(said["components"]) < before

    return change


def one_more(said: dict[str, Any]) -> None:
    said["components"].append(
        {"type": "library", "name": "curl", "version": "1", "bom-ref": "component:curl"}
    )


def another_version(said: dict[str, Any]) -> None:
    next(each for each in said["components"] if each["name"] == "name")["version"] = "1.0.1"


def another_patch(said: dict[str, Any]) -> None:
    own = next(each for each in said["components"] if each["name"] == "fixture")
    own["pedigree"]["patches"] = []


def in_no_file(said: dict[str, Any]) -> None:
    for each in said["components"]:
        each["properties"] = [one for one in each.get("properties", []) if one["value"] != "bin/fixture"]


@pytest.mark.parametrize(
    ("change", "row", "named"),
    [
        (without("libc++"), "components", "without libc++"),
        (without("fixture"), "components", "without fixture"),
        (without("name"), "components", "without npm:@scope/name@1.0.0"),
        (one_more, "components", "with curl 1"),
        (another_version, "components", "without npm:@scope/name@1.0.0; with npm:@scope/name@1.0.1"),
        (another_patch, "source", "without patches/"),
        (in_no_file, "files", "without bin/fixture"),
        (without("ziglang"), "toolchain", "others: "),
    ],
)
def test_a_bill_from_which_something_was_taken_fails_by_name(
    release: Release,
    change: Callable[[dict[str, Any]], None],
    row: str,
    named: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = json.loads(release.document(SBOM).read_text())
    change(said)
    release.document(SBOM).write_text(json.dumps(said))
    assert release.verify() == BROKEN
    err = capsys.readouterr().err
    assert f"sbom: {row} fails" in err
    assert named in err
    assert release.attest(release.new_key("release.key")) == BROKEN  # and nobody signs it by accident
    assert not release.signed(SBOM).exists()


def test_a_bundle_without_a_table_of_components_vouches_for_no_bill(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    (release.bundle / "licences" / "COMPONENTS.txt").write_bytes(b"nothing\n")
    release.pack()
    assert release.verify() == BROKEN
    assert "sbom: components fails" in capsys.readouterr().err


def test_a_statement_of_another_archive_of_the_same_bundle_fails(
    release: Release, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = zstandard.ZstdDecompressor().decompressobj().decompress(release.archive.read_bytes())
    release.archive.write_bytes(zstandard.ZstdCompressor(1).compress(content))
    write_checksum(release.archive)
    assert release.verify("--key", public(key)) == BROKEN
    assert "another archive" in capsys.readouterr().err


def envelope(path: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads(path.read_text())
    return content


def another_type(content: dict[str, object]) -> None:
    content["payloadType"] = "application/json"


def another_payload(content: dict[str, object]) -> None:
    payload = json.loads(base64.b64decode(str(content["payload"])))
    payload["predicate"]["runDetails"]["metadata"]["startedOn"] = "2026-01-01T00:00:00Z"
    content["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()


def url_safe(content: dict[str, object]) -> None:
    payload = str(content["payload"])
    content["payload"] = payload[:8] + "\n" + payload[8:]


def spare_bits(content: dict[str, object]) -> None:
    signature = content["signatures"][0]  # type: ignore[index]
    sig = signature["sig"]
    assert sig.endswith("==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    signature["sig"] = sig[:-3] + alphabet[alphabet.index(sig[-3]) ^ 1] + "=="


def no_padding(content: dict[str, object]) -> None:
    signature = content["signatures"][0]  # type: ignore[index]
    signature["sig"] = signature["sig"].rstrip("=")


def twice(content: dict[str, object]) -> None:
    content["signatures"] = [*content["signatures"]] * 2  # type: ignore[misc]


def nobody(content: dict[str, object]) -> None:
    content["signatures"] = []


def more(content: dict[str, object]) -> None:
    content["comment"] = "nothing"


def many(content: dict[str, object]) -> None:
    content["signatures"] = [{"keyid": f"{number:064x}", "sig": "AAAA"} for number in range(100_000)]


def no_text(content: dict[str, object]) -> None:
    content["payload"] = ["a"]


def no_key_id(content: dict[str, object]) -> None:
    content["signatures"][0]["keyid"] = 7  # type: ignore[index]


@pytest.mark.parametrize(
    "change",
    [
        *(another_type, another_payload, url_safe, spare_bits, no_padding, twice, nobody, more, many),
        *(no_text, no_key_id),
    ],
)
def test_an_envelope_that_was_changed_fails(
    release: Release,
    key: Path,
    change: Callable[[dict[str, object]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = release.signed(PROVENANCE)
    content = envelope(path)
    change(content)
    path.write_text(json.dumps(content))
    assert release.verify("--key", public(key)) == BROKEN
    assert path.name in capsys.readouterr().err


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def doubled(data: bytes) -> bytes:
    return data + data


def empty(_: bytes) -> bytes:
    return b""


def deep(_: bytes) -> bytes:
    return b'{"payload":' + b"[" * 1_000_000


def huge(_: bytes) -> bytes:
    return b'{"payload":"' + b"A" * (17 << 20) + b'"}'


def a_name_twice(data: bytes) -> bytes:
    return data.replace(b'{"payload"', b'{"payloadType":"application/json","payload"', 1)


def not_utf8(data: bytes) -> bytes:
    return data.replace(b"payloadType", b"payloadTyp\xff", 1)


def in_a_list(data: bytes) -> bytes:
    return b"[" + data + b"]"


@pytest.mark.parametrize("change", [half, doubled, empty, deep, huge, a_name_twice, not_utf8, in_a_list])
def test_an_envelope_that_is_damaged_fails(
    release: Release, key: Path, change: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = release.signed(PROVENANCE)
    path.write_bytes(change(path.read_bytes()))
    for options in ((), ("--key", public(key))):
        assert release.verify(*options) == BROKEN
        assert f"{path.name} fails" in capsys.readouterr().err


def test_an_envelope_that_was_signed_as_another_type_fails(
    release: Release, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    payload = base64.b64decode(str(envelope(release.signed(SBOM))["payload"]))
    other = Envelope(payload, "application/json", {})
    other.sign(read_signer(key.read_bytes()))
    release.signed(SBOM).write_text(json.dumps(other.to_dict()))
    assert release.verify("--key", public(key)) == BROKEN
    assert "a payload of another type" in capsys.readouterr().err


def test_a_payload_with_a_name_twice_fails(
    release: Release, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    payload = base64.b64decode(str(envelope(release.signed(PROVENANCE))["payload"]))
    payload = payload.replace(b'{"_type"', b'{"predicate":{},"_type"', 1)
    sign_payload(payload, key, release.signed(PROVENANCE))
    assert release.verify("--key", public(key)) == BROKEN
    assert f"{PROVENANCE} fails" in capsys.readouterr().err


def test_a_signature_by_another_key_does_not_count(
    release: Release, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = release.new_key("other.key")
    assert release.verify("--key", public(other)) == BROKEN
    assert f"{SBOM}: signatures fails" in capsys.readouterr().err
    # the other's signature, under the identifier of the key that is asked for
    content = envelope(release.signed(SBOM))
    keyid = content["signatures"][0]["keyid"]  # type: ignore[index]
    payload = base64.b64decode(str(content["payload"]))
    sign_payload(payload, other, release.signed(SBOM))
    swapped = envelope(release.signed(SBOM))
    swapped["signatures"][0]["keyid"] = keyid  # type: ignore[index]
    release.signed(SBOM).write_text(json.dumps(swapped))
    assert release.verify("--key", public(key)) == BROKEN
    assert "is not of these bytes" in capsys.readouterr().err


def test_a_document_beside_its_signed_form_must_be_the_same(
    release: Release, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release.edit(SBOM, "fixture@", "fixturf@")
    release.edit(CONFORMANCE, "a machine", "b machine")
    assert release.verify("--key", public(key)) == BROKEN
    err = capsys.readouterr().err
    assert f"{SBOM} fails" in err
    assert f"{CONFORMANCE} fails" in err


def test_a_file_that_nobody_vouches_for_fails(
    release: Release, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("README.md", "sbom.spdx.json", "a\nb", "other.dsse.json"):
        path = release.evidence / name
        path.write_text("{}")
        assert release.verify("--key", public(key)) == BROKEN, name
        assert "file " in capsys.readouterr().err
        path.unlink()
    (release.evidence / "more").mkdir()
    assert release.verify("--key", public(key)) == BROKEN


def test_a_link_is_no_document(release: Release, capsys: pytest.CaptureFixture[str]) -> None:
    release.document(SBOM).rename(release.folder / "elsewhere.json")
    release.document(SBOM).symlink_to(release.folder / "elsewhere.json")
    assert release.verify() == BROKEN
    assert f"{SBOM} fails" in capsys.readouterr().err


def test_a_link_in_a_bundle_fails(release: Release, capsys: pytest.CaptureFixture[str]) -> None:
    release.evidence.rename(release.bundle.with_name("bundle.evidence"))
    release.archive = release.bundle
    (release.bundle / "bin" / "fixture").rename(release.folder / "outside")
    (release.bundle / "bin" / "fixture").symlink_to(release.folder / "outside")
    assert release.verify() == BROKEN
    assert "bundle: files fails" in capsys.readouterr().err
    os.mkfifo(release.bundle / "pipe")
    assert release.verify() == BROKEN
    assert "pipe" in capsys.readouterr().err


def write_tar(release: Release, *names: str) -> None:
    prefix = release.archive.name.removesuffix(".tar.zst")
    plain = release.folder / "plain.tar"
    with tarfile.open(plain, "w") as tar:
        tar.add(release.bundle, prefix)
        for name in names:
            member = tarfile.TarInfo(name.format(prefix))
            tar.addfile(member)
    release.archive.write_bytes(zstandard.ZstdCompressor().compress(plain.read_bytes()))
    write_checksum(release.archive)


@pytest.mark.parametrize("name", ["{}/LICENSE", "{}/bin/../../../x", "/tmp/x", "{}/license"])
def test_an_archive_that_two_readers_would_unpack_in_two_ways_is_refused(release: Release, name: str) -> None:
    write_tar(release, name)
    assert release.verify() == ArchiveError.exit_code


def test_an_archive_with_more_than_its_bundle_is_refused(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tar(release)
    assert release.verify() == OK  # other bytes, the same tree: nothing was signed
    write_tar(release, "added")
    assert release.verify() == BROKEN
    assert "one folder at the top" in capsys.readouterr().err


# Policies


def test_a_policy_that_is_empty_or_misspelled_or_demands_nothing_is_refused(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [
        ("", ""),
        ("{}\n", "schema"),
        ("schema: policy/1\n", "summary"),
    ]
    for text, word in bad:
        assert release.verify("--policy", str(release.write_policy(text=text))) == ManifestError.exit_code
        assert word in capsys.readouterr().err
    for before, after, word in (
        ("isolation: required", "isolaton: required", "isolaton"),
        ("isolation: required", "isolation: requird", "isolation"),
        ("isolation: required\n", "", "isolation"),
        ("[provenance, sbom, vex, conformance]", "[]", "statements"),
        ("[provenance, sbom, vex, conformance]", "[sbom]", "provenance"),
        ("signatures: 0", "signatures: 1", "signatures"),
        ("signatures: 0", "signatures: -1", "signatures"),
        ("signatures: 0", "signatures: 0\nsignatures: 0", "signatures"),
        ("policy/1", "policy/2", "schema"),
        ("findings: none", "findings: none\npermits: [CVE-1]", "permits"),
    ):
        path = release.write_policy((before, after))
        assert release.verify("--policy", str(path)) == ManifestError.exit_code, after
        assert word in capsys.readouterr().err
    assert release.verify("--policy", str(release.folder / "none.yaml")) == ManifestError.exit_code


def signers(*named: tuple[str, str]) -> str:
    return "[" + ", ".join(f"{{name: {name}, key: {key}}}" for name, key in named) + "]"


def test_as_many_different_signers_must_have_signed_as_the_policy_says(
    release: Release, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = release.new_key("second.key")
    both = signers(("first", key_digits(key)), ("second", key_digits(second)))
    policy = release.write_policy(("signers: []", f"signers: {both}"), ("signatures: 0", "signatures: 2"))
    assert release.verify("--policy", str(policy)) == BROKEN
    assert f"{PROVENANCE}: signatures fails" in capsys.readouterr().err
    assert release.attest(second) == OK  # beside the first's
    assert release.verify("--policy", str(policy)) == OK


def test_one_key_under_two_names_is_refused(
    release: Release, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = signers(("first", key_digits(key)), ("second", key_digits(key)))
    policy = release.write_policy(("signers: []", f"signers: {same}"), ("signatures: 0", "signatures: 2"))
    assert release.verify("--policy", str(policy)) == ManifestError.exit_code
    assert "who has two is one" in capsys.readouterr().err
    rebuilders = f"rebuilders: {{at_least: 1, of: {signers(('other', key_digits(key)))}}}\n"
    policy = release.write_policy(
        ("signers: []", f"signers: {signers(('first', key_digits(key)))}"), more=rebuilders
    )
    assert release.verify("--policy", str(policy)) == ManifestError.exit_code


def test_the_same_key_named_twice_on_the_command_line_is_one(release: Release, key: Path) -> None:
    other = release.folder / "copy.pub"
    other.write_text(key_digits(key))
    assert release.verify("--key", public(key), "--key", str(other)) == OK


# Rebuilders


def rebuilt(release: Release, key: Path, *, name: str = "", differs: bool = False) -> None:
    tree = release.tree
    found = type(tree)("0" * 64) if differs else tree
    seen = Seen(release.plan.digest.hex, found, (), "isolated by own namespaces", "a machine", BUILT)
    path = release.evidence / f"rebuild-{name or key.stem}.dsse.json"
    sign_payload(rebuild_statement(release.plan.name, tree, seen), key, path)


@pytest.fixture
def rebuilders(release: Release) -> list[Path]:
    return [release.new_key(f"rebuilder{number}.key") for number in range(3)]


def two_of(release: Release, keys: list[Path]) -> str:
    named = signers(*((key.stem, key_digits(key)) for key in keys))
    return str(release.write_policy(more=f"rebuilders: {{at_least: 2, of: {named}}}\n"))


def test_so_many_rebuilders_must_have_got_the_same(
    release: Release, rebuilders: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    policy = two_of(release, rebuilders)
    assert release.verify("--policy", policy) == BROKEN
    assert "policy: rebuilders missing" in capsys.readouterr().err
    rebuilt(release, rebuilders[0])
    assert release.verify("--policy", policy) == BROKEN
    assert "policy: rebuilders fails" in capsys.readouterr().err
    rebuilt(release, rebuilders[2])
    assert release.verify("--policy", policy) == OK


def test_a_rebuilder_counts_once(
    release: Release, rebuilders: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    policy = two_of(release, rebuilders)
    rebuilt(release, rebuilders[0])
    rebuilt(release, rebuilders[0], name="somebody-else")
    assert release.verify("--policy", policy) == BROKEN
    assert "policy: rebuilders fails" in capsys.readouterr().err
    rebuilt(release, release.new_key("unknown.key"))
    assert release.verify("--policy", policy) == BROKEN


def test_a_rebuilder_that_got_other_bytes_fails_the_bundle(
    release: Release, rebuilders: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    policy = two_of(release, rebuilders)
    rebuilt(release, rebuilders[0])
    rebuilt(release, rebuilders[1])
    rebuilt(release, rebuilders[2], differs=True)
    assert release.verify("--policy", policy) == BROKEN
    assert "rebuild rebuild-rebuilder2.dsse.json fails" in capsys.readouterr().err


def test_a_rebuilder_signs_for_its_own_bundle_and_plan_alone(
    release: Release, rebuilders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = two_of(release, rebuilders)
    other = make_release(tmp_path / "other", program=b"another program\n")
    for key in rebuilders[:2]:
        rebuilt(other, key)
        name = f"rebuild-{key.stem}.dsse.json"
        (release.evidence / name).write_bytes((other.evidence / name).read_bytes())
    assert release.verify("--policy", policy) == BROKEN
    assert "another bundle" in capsys.readouterr().err
    # a statement of another kind, about this bundle, is none of a rebuilder's
    payload = base64.b64decode(str(envelope(release.evidence / name)["payload"]))
    sign_payload(payload.replace(REBUILD.encode(), b"urn:other"), rebuilders[0], release.evidence / name)
    assert release.verify("--policy", policy) == BROKEN
    assert "another type" in capsys.readouterr().err


# What the documents say


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ('"planSha256": "', '"planSha256": "0', "provenance: plan"),
        ('"O3', '"O2', "provenance: plan"),
        ('"recipe": "fixture"', '"recipe": "b6751"', "provenance: recipe"),
        ("aXNvbGF0ZWQgYnkgb3duIG5hbWVzcGFjZXM=", "bm90IGlzb2xhdGVk", "policy: isolation"),
        ('"version": {}', '"version": {"cc": "12"}', "policy: compiler"),
        (":pinned-compiler:", ":host-compiler:", "policy: compiler"),
        (":isolated", ":not-isolated", "policy: isolation"),
        ('"digest": {"sha256": "', '"digest": {"sha256": "0', "provenance: inputs"),
        ('"gitCommit": "0', '"gitCommit": "1', "provenance: commit"),
        ('"finishedOn": "2026', '"finishedOn": "2096', "provenance: time"),
        ('"finishedOn": "2026-', '"finishedOn": "', "provenance: time"),
    ],
)
def test_provenance_that_says_something_else_fails(
    release: Release, before: str, after: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if before not in release.document(PROVENANCE).read_text():
        before, after = "-O3", "-O2"
    release.edit(PROVENANCE, before, after)
    assert release.verify() == BROKEN
    assert f"{word} fails" in capsys.readouterr().err


def test_an_old_build_and_another_commit_or_patch_fail_where_the_policy_says_so(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    release.edit(PROVENANCE, '"finishedOn": "2026', '"finishedOn": "2020')
    patch = release.plan.inputs.patches[0][1].hex
    for more, word in (
        ("max_age_days: 30\n", "policy: age"),
        (f"commits: [{'1' * 40}]\n", "policy: commits"),
        ("commits: []\n", "policy: commits"),
        ("patches: []\n", "policy: patches"),
        (f"patches: [{'1' * 64}]\n", "policy: patches"),
    ):
        assert release.verify("--policy", str(release.write_policy(more=more))) == BROKEN, more
        assert f"{word} fails" in capsys.readouterr().err
    commit = "0123456789abcdef0123456789abcdef01234567"
    more = f"commits: [{commit}]\npatches: [{patch}]\nmax_age_days: 36500\n"
    assert release.verify("--policy", str(release.write_policy(more=more))) == OK


@pytest.mark.parametrize("part", [Part.IMAGES, Part.PAGE])
def test_conformance_of_which_a_part_was_not_run_is_not_whole(
    release: Release, part: Part, capsys: pytest.CaptureFixture[str]
) -> None:
    release.document(CONFORMANCE).write_text(to_json(conformance(release.tree, without=part)))
    assert release.verify() == BROKEN
    assert "conformance: whole fails" in capsys.readouterr().err
    policy = release.write_policy(("conformance: whole", "conformance: passed"))
    assert release.verify("--policy", str(policy)) == OK


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ('"verdict": "passes"', '"verdict": "fails"', "conformance: verdict"),
        ('"verdict": "passed"', '"verdict": "failed"', "conformance: verdict"),
        ('"digest": "sha256:', '"digest": "sha256:0', "conformance: bundle"),
        ('"is_bundle": true', '"is_bundle": false', "conformance: bundle"),
    ],
)
def test_conformance_that_says_something_else_fails(
    release: Release, before: str, after: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    release.edit(CONFORMANCE, before, after)
    assert release.verify() == BROKEN
    assert f"{word} fails" in capsys.readouterr().err


# What is known against it


def test_what_is_grave_and_within_reach_fails_and_what_is_neither_does_not(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    release.learn("CVE-2000-0001", severity="medium")
    release.learn("CVE-2000-0002", reach="option")
    assert release.verify() == OK
    release.learn("CVE-2000-0003")
    assert release.verify() == BROKEN
    err = capsys.readouterr().err
    assert "policy: findings fails" in err
    assert "CVE-2000-0003" in err
    assert "CVE-2000-0001" not in err


def test_a_finding_that_is_permitted_must_be_recorded(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    release.learn("CVE-2000-0003")
    policy = release.write_policy(
        ("findings: none", "findings: permitted\npermits: [CVE-2000-0003, CVE-2000-0009]")
    )
    assert release.verify("--policy", str(policy)) == BROKEN
    assert "provenance: permitted fails" in capsys.readouterr().err
    release.edit(PROVENANCE, '"permitted": []', '"permitted": ["CVE-2000-0003"]')
    assert release.verify("--policy", str(policy)) == OK
    other = release.write_policy(("findings: none", "findings: permitted\npermits: [CVE-2000-0009]"))
    assert release.verify("--policy", str(other)) == BROKEN
    assert release.verify() == BROKEN  # a policy that permits nothing asks nobody what was permitted


@pytest.mark.parametrize("name", [VEX_CYCLONEDX, VEX_OPENVEX])
def test_vex_that_is_missing_or_older_than_a_finding_is_named(
    release: Release, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    release.learn("CVE-2000-0001", severity="low")
    older = release.document(name).read_bytes()
    release.learn("CVE-2000-0002", severity="low")
    assert release.verify() == OK
    release.document(name).write_bytes(older)
    assert release.verify() == BROKEN
    err = capsys.readouterr().err
    assert f"{name}: findings fails" in err
    assert "CVE-2000-0002" in err
    key = release.new_key("vex.key")
    assert release.attest(key) == OK  # writes what is known now
    assert release.verify("--key", public(key)) == OK
    release.document(name).unlink()
    release.signed(name).unlink()
    assert release.verify() == BROKEN
    assert f"{name} missing" in capsys.readouterr().err


def test_nothing_of_another_bundle_is_signed(
    release: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_release(tmp_path / "other", program=b"another program\n")
    key = release.new_key("k.key")
    for name in (PROVENANCE, SBOM, CONFORMANCE):
        kept = release.document(name).read_bytes()
        release.document(name).write_bytes(other.document(name).read_bytes())
        assert release.attest(key) == BROKEN
        assert name in capsys.readouterr().err
        assert not list(release.evidence.glob("*.dsse.json"))
        release.document(name).write_bytes(kept)


def test_a_bundle_alone_needs_no_option_of_the_store(release: Release) -> None:
    assert release.verify("--all-origins") == UsageError.exit_code


def test_who_judges_a_bundle_imports_nothing_that_fetches_or_builds(release: Release) -> None:
    """To import all of it took longer than to judge a bundle, and is code that a stranger need not run."""
    words = ["verify", str(release.archive), "--project", str(release.project)]
    words += ["--policy", str(release.write_policy())]
    code = f"import sys; from recipes.cli.main import main; sys.exit(main({words!r}) or 'requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=paths.PROJECT, check=False).returncode == OK
