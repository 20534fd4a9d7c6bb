"""Names of a registry's things: a repository, and a manifest in it by tag or digest. Pure.

The grammar is that of the OCI Distribution Specification 1.1, "Pulling manifests".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from recipes.core.digest import Sha256

_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_HOST = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?|\[[0-9a-fA-F:]+\](?::[0-9]{1,5})?"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
MOST_PATH_CHARACTERS = 255
MOST_TAG_CHARACTERS = 128
SHAPE = "HOST[:PORT]/REPOSITORY"


@dataclass(frozen=True)
class Repository:
    """One repository of a registry; `base` is the registry's address, with its scheme, without a slash at the end."""

    base: str
    path: str

    @property
    def host(self) -> str:
        """Host and port, as docker's configuration names them."""
        return urlsplit(self.base).netloc

    def url(self, kind: str, name: str = "") -> str:
        """Return the address of something in it: `kind` is manifests, blobs, tags or referrers."""
        return f"{self.base}/v2/{self.path}/{kind}/{name}"

    def at(self, name: str | Sha256) -> Reference:
        """Return a reference into it."""
        return Reference(self, name)

    def __str__(self) -> str:
        return f"{self.base.removeprefix('https://')}/{self.path}"


@dataclass(frozen=True)
class Reference:
    """A manifest of a repository, by tag or by digest."""

    repository: Repository
    name: str | Sha256

    @property
    def url(self) -> str:
        """The manifest's address."""
        return self.repository.url("manifests", str(self.name))

    def __str__(self) -> str:
        return f"{self.repository}{'@' if isinstance(self.name, Sha256) else ':'}{self.name}"


def parse_repository(text: str) -> Repository:
    """Read HOST[:PORT]/REPOSITORY; https, unless `http://` stands before it. Raises ValueError, which says why.

    >>> str(parse_repository("example.org:5000/team/llama"))
    'example.org:5000/team/llama'
    """
    repository, name = _split(text)
    if name is not None:
        raise ValueError(f"a repository without a tag or digest is meant ({SHAPE}), not {text!r}")
    return repository


def parse_reference(text: str) -> Reference | Repository:
    """Read a repository, with or without :TAG or @DIGEST; raises ValueError as `parse_repository`."""
    repository, name = _split(text)
    return repository if name is None else Reference(repository, name)


def tag_of(*words: str) -> str:
    """Return words joined by dashes as a tag; what a tag cannot hold becomes an underscore.

    >>> tag_of("plan", "b6751+x")
    'plan-b6751_x'
    """
    return re.sub(r"[^A-Za-z0-9._-]", "_", "-".join(words))[:MOST_TAG_CHARACTERS]


def _split(text: str) -> tuple[Repository, str | Sha256 | None]:
    scheme, separator, rest = text.rpartition("://")
    if separator and scheme not in {"https", "http"}:
        raise ValueError(f"https or http is expected, not {scheme!r}")
    rest, has_digest, digest = rest.partition("@")
    host, has_path, path = rest.rstrip("/").partition("/")
    path, has_tag, tag = path.partition(":")
    if (
        not has_path
        or not _HOST.fullmatch(host)
        or not (separator or set(".:[") & set(host) or host == "localhost")
    ):
        raise ValueError(f"{SHAPE} is expected, not {text!r}")
    if not _PATH.fullmatch(path) or len(path) > MOST_PATH_CHARACTERS:
        hint = "; its letters are small ones" if path != path.lower() else ""
        raise ValueError(f"{path!r} is no name of a repository{hint}")
    repository = Repository(f"{scheme or 'https'}://{host}", path)
    if has_digest:
        algorithm, _, digits = digest.partition(":")
        if algorithm != Sha256.algorithm:
            raise ValueError(f"a digest as sha256:... is expected, not {digest!r}")
        return repository, Sha256(digits)
    if has_tag:
        if not _TAG.fullmatch(tag):
            raise ValueError(
                f"{tag!r} is no tag: letters, digits, dot, dash and underscore, {MOST_TAG_CHARACTERS} at most"
            )
        return repository, tag
    return repository, None
