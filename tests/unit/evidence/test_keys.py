"""Keys: one form, one identifier, and none that anybody can sign for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from recipes.cli.main import main
from recipes.core.errors import UsageError
from recipes.evidence.keys import (
    PRIME,
    SMALL_ORDER,
    KeyFileError,
    digits_of,
    distinct,
    new_signer,
    public_key,
    public_pem,
    read_public_key,
    read_signer,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_a_key_is_the_same_from_each_of_its_forms() -> None:
    signer = new_signer()
    digits = digits_of(signer.public_key)
    forms = (public_pem(signer.public_key), digits.encode(), f"{digits}\n".encode())
    keys = [*map(read_public_key, forms), read_signer(signer.private_bytes).public_key]
    assert {key.keyid for key in keys} == {signer.public_key.keyid}
    assert len(distinct(keys)) == 1
    assert len(distinct((*keys, new_signer().public_key))) == 2


def encoded(y: int) -> bytes:
    return y.to_bytes(32, "little")


def test_a_point_of_small_order_signs_anything_and_is_no_key() -> None:
    """What the refusal is for: with such a key, one signature is good for many messages that nobody signed."""
    forged = encoded(1) + bytes(32)  # R is the neutral element, S is 0
    for y in SMALL_ORDER:
        key = Ed25519PublicKey.from_public_bytes(encoded(y))
        good = 0
        for number in range(64):
            try:
                key.verify(forged, f"message {number}".encode())
                good += 1
            except InvalidSignature:
                pass
        assert good > 0, hex(y)
        for sign in (0, 1 << 255):
            with pytest.raises(KeyFileError, match="small order"):
                public_key(encoded(y | sign).hex())
    for y in (PRIME, PRIME + 1, 2**255 - 1):
        with pytest.raises(KeyFileError, match="one form"):
            public_key(encoded(y).hex())


def test_what_is_no_key_of_ours_is_refused() -> None:
    other = rsa.generate_private_key(65537, 2048)
    signer = new_signer()
    pem = load_pem_private_key(signer.private_bytes, None)
    sealed = pem.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    other_pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for data, word in ((b"", "no private key"), (sealed, "encrypted"), (other_pem, "another kind")):
        with pytest.raises(KeyFileError, match=word):
            read_signer(data)
    public = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for data, word in (
        (b"", "neither"),
        (b"0" * 63, "neither"),
        (signer.private_bytes, "a private key"),
        (public, "another kind"),
    ):
        with pytest.raises(KeyFileError, match=word):
            read_public_key(data)


def test_a_new_key_is_its_owners_alone_and_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    assert main(["attest", "--new-key", str(path)]) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    data = path.read_bytes()
    assert main(["attest", "--new-key", str(path)]) == UsageError.exit_code
    assert path.read_bytes() == data
    link = tmp_path / "link.key"
    link.symlink_to(tmp_path / "elsewhere")
    assert main(["attest", "--new-key", str(link)]) == UsageError.exit_code
    assert not (tmp_path / "elsewhere").exists()


def test_no_key_is_written_into_a_work_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / ".git").write_text("gitdir: elsewhere\n")
    (tmp_path / "way").symlink_to(tmp_path / "tree" / "sub")
    for folder in ("tree", "tree/sub", "way", "tree/sub/../sub"):
        path = tmp_path / folder / "a.key"
        assert main(["attest", "--new-key", str(path)]) == UsageError.exit_code, folder
        assert "work tree" in capsys.readouterr().err
        assert not path.exists()


def test_a_private_key_that_others_can_read_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.key"
    assert main(["attest", "--new-key", str(path)]) == 0
    path.chmod(0o640)
    assert main(["attest", str(tmp_path), "--key", str(path)]) == UsageError.exit_code
    assert "chmod 600" in capsys.readouterr().err
