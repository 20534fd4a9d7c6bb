"""Pins a model of a hub for one user: what the hub says of a commit becomes a manifest of the user's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.errors import UsageError, VerifyError
from recipes.fetch.http.hub_token import Credential
from recipes.fetch.http.network_errors import shown_url
from recipes.lock.model_hub import read_repository
from recipes.manifest.decode import unknown
from recipes.models.gguf.other_kinds import MERGE, part_names
from recipes.models.own_manifest import OwnFile, OwnModel, free_name, name_of_file, quantisation_of

if TYPE_CHECKING:
    from recipes.lock.model_hub import HubRepository
    from recipes.manifest.load import Manifests
    from recipes.store.context import Context

HUB = "https://huggingface.co"
PREFIX = "hf:"
ADDRESS = re.compile(
    r"hf:(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?:(?P<file>[^\s:]+)",
    re.ASCII,
)
PREFERRED = ("F16", "BF16", "Q8_0")  # of several projectors; they are small


@dataclass(frozen=True)
class HubAddress:
    """A file of a repository of the hub, at a revision or at the newest one."""

    repository: str
    file: str
    revision: str | None = None


def parse_address(word: str) -> HubAddress:
    """Read an address; a UsageError is raised if it is none.

    >>> parse_address("hf:someone/Some-GGUF@main:sub/model.gguf")
    HubAddress(repository='someone/Some-GGUF', file='sub/model.gguf', revision='main')
    """
    match = ADDRESS.fullmatch(word)
    if match is None:
        raise UsageError(
            where=f"models -- add: {word}",
            expected="hf:OWNER/REPOSITORY:FILE, or hf:OWNER/REPOSITORY@REVISION:FILE",
            found=repr(word),
            fix="hf:unsloth/Qwen3-VL-8B-Instruct-GGUF:Qwen3-VL-8B-Instruct-Q4_K_M.gguf",
        )
    return HubAddress(match["repository"], match["file"], match["revision"])


def pin_hub_model(  # noqa: PLR0913, PLR0917 - as the session's options
    manifests: Manifests, context: Context, word: str, mmproj: str | None, name: str | None, again: str
) -> OwnModel:
    """Ask the hub for a file and its projector, and return the model that pins both; nothing is downloaded.

    A UsageError is raised for what is no address, a FetchError where the hub gives no answer, a VerifyError where it
    does not have the files.
    """
    address = parse_address(word)
    title = free_name(manifests, name or name_of_file(address.file))
    credential = Credential(context.settings.hub_url or HUB, context.settings.hub_token)
    with context.console.task(f"ask {credential.hub} for {address.repository}", None):
        hub = read_repository(address.repository, credential, context.settings, again, address.revision)
    where = f"{shown_url(credential.hub)}/{address.repository} at {hub.revision.hex}"
    _demand_whole(address.file, where)
    files = (
        _file("model", address.file, hub, where),
        _file("mmproj", mmproj or _projector(hub, where), hub, where),
    )
    return OwnModel(
        name=title,
        summary=f"{address.file} of {address.repository}, added",
        files=files,
        trusts=f"The digests are the word of {shown_url(credential.hub)}, once; no second source was compared.",
        hub=credential.hub,
        repository=address.repository,
        revision=hub.revision,
    )


def _file(role: str, name: str, hub: HubRepository, where: str) -> OwnFile:
    found = hub.files.get(name)
    if found is None or found.sha256 is None:
        known = [each for each in hub.files if each.lower().endswith(".gguf")]
        raise VerifyError(
            where=where,
            expected=f"{name}, with its sha256",
            found=unknown(name, known)
            if found is None
            else "a small file, which the hub keeps in git, without one",
            fix=f"name one of: {', '.join(known[:8])}" if known else "name a repository of GGUF files",
        )
    return OwnFile(role, name, found.size_bytes, found.sha256, quantisation_of(name))


def _demand_whole(file: str, where: str) -> None:
    if part_names(file.rpartition("/")[2])[1:]:
        raise VerifyError(
            where=where,
            expected="a model in one file",
            found=f"{file}, a part of one",
            fix=f"download all parts into one folder, {MERGE}, then models -- add OUT.gguf --mmproj FILE",
        )


def _projector(hub: HubRepository, where: str) -> str:
    known = [name for name in hub.files if name.lower().endswith(".gguf") and "mmproj" in name.lower()]
    if len(known) == 1:
        return known[0]
    for kind in PREFERRED:
        of_kind = [name for name in known if quantisation_of(name) == kind]
        if len(of_kind) == 1:
            return of_kind[0]
    raise VerifyError(
        where=where,
        expected="a projector (mmproj), without which a model sees no images",
        found=f"several: {', '.join(known)}" if known else "none",
        fix=f"--mmproj {known[0]}"
        if known
        else "name another repository of the model: one that has an mmproj file",
    )
