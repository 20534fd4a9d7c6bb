"""Why a complete file is not the pinned one: the cause, and how to fix it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.fetch.http.sniff import name_wrong_start, shown_start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recipes.core.digest import Sha256
    from recipes.fetch.http.redirects import Statement

# enum llama_ftype of llama.h: what general.file_type says
_NAMES = (
    "F32 F16 Q4_0 Q4_1 - - - Q8_0 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K IQ2_XXS IQ2_XS"
    " Q2_K_S IQ3_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ3_M IQ2_S IQ2_M IQ4_XS IQ1_M BF16 - - - TQ1_0 TQ2_0 MXFP4_MOE"
)
FILE_TYPES = {number: name for number, name in enumerate(_NAMES.split()) if name != "-"}


@dataclass(frozen=True)
class Evidence:
    """What is known of a file that is not the pinned one."""

    digest: Sha256
    size_bytes: int
    start: bytes  # its first bytes
    pinned: Sha256  # the digest that it should have
    pinned_bytes: int | None  # if the size is pinned
    quantisation: str  # the one that the manifest names
    known: Mapping[Sha256, str]  # the names of other pins
    statement: Statement | None = None  # what the hub states about its file
    revision: str | None = None  # the pinned commit, if there is one
    fault: str | None = None  # the GGUF reader's error; None if it found none
    file_type: int | None = None  # the file's general.file_type


@dataclass(frozen=True)
class Cause:
    """Why the file is another one, and what to do; `may_pass` if fetching again may help."""

    text: str
    advice: str
    may_pass: bool = False


FROM_ELSEWHERE = "fetch it from another network or mirror"
RELOCK = "compare the digests with a second source, then pin the new one with lock -- --model"


def diagnose(evidence: Evidence) -> Cause:  # noqa: PLR0911 - one answer for each cause
    """Return the cause, the surest sign first.

    | evidence                                              | cause                    |
    |-------------------------------------------------------|--------------------------|
    | the digest of another pin                             | that file                |
    | the start of a page, of JSON, of an LFS pointer       | that                     |
    | the digest that the hub states, at the pinned commit  | wrong pin                |
    | the digest that the hub states, no commit is pinned   | upstream changed         |
    | fewer bytes than pinned, or than its own table needs  | truncated                |
    | another general.file_type than the manifest names     | another quantisation     |
    | none of these                                         | other contents           |
    """
    e = evidence
    if name := e.known.get(e.digest):
        return Cause(
            f"it is another pinned file: {name}", "ask for that model, or correct `file:` in the manifest"
        )
    if strange := _name_other_format(e.start):
        return Cause(f"it is {strange}", FROM_ELSEWHERE)
    if e.statement and e.statement.sha256 == e.digest:
        if e.revision and e.statement.commit in {"", e.revision}:
            return Cause(
                f"wrong pin: at the pinned commit {e.revision} the hub has exactly these bytes", RELOCK
            )
        return Cause("upstream changed: these are the bytes that the hub has now", RELOCK)
    if e.pinned_bytes is not None and e.size_bytes < e.pinned_bytes:
        missing = e.pinned_bytes - e.size_bytes
        return Cause(
            f"it is truncated: {missing} of {e.pinned_bytes} bytes are missing",
            "fetch it again",
            may_pass=True,
        )
    if e.fault and "missing" in e.fault:
        return Cause(f"it is truncated: {e.fault}", "fetch it again", may_pass=True)
    if e.fault:
        return Cause(f"it is damaged, and not sound GGUF: {e.fault}", "fetch it again", may_pass=True)
    found = FILE_TYPES.get(e.file_type) if e.file_type is not None else None
    if found and found != e.quantisation:
        advice = f"correct `file:` in the manifest, or pin this file as {found}"
        return Cause(f"it is another quantisation: {found}, pinned is {e.quantisation}", advice)
    text = "it is a sound model file with other contents: upstream changed it, the pin is wrong, or it was damaged"
    return Cause(text, f"fetch it again; if the digest is the same, {RELOCK}", may_pass=True)


def _name_other_format(start: bytes) -> str | None:
    """Return what a file is that starts so; None of a GGUF file."""
    if start.startswith(b"GGUF"):
        return None
    if wrong := name_wrong_start(start):
        return wrong
    if start[8:10] == b'{"':
        return "a safetensors file, not GGUF"
    return f"not a GGUF file: it starts with {shown_start(start[:16])}"
