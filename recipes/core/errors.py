"""The errors a user can meet: one root, few classes, one exit code each.

Every refusal says where it happened, what was expected, what was found and how to fix it.
docs/reference/exit-codes.md is generated from this module.
"""

from __future__ import annotations

from typing import ClassVar


class RecipeError(Exception):
    """A refusal that a user can act on.

    Parameters
    ----------
    where
        The file and line, origin, stage or path concerned.
    expected
        What the pin, the plan or the format demands.
    found
        What was there instead, with the path of any bytes that were kept.
    fix
        The command, or the edit, that fixes it.
    """

    exit_code: ClassVar[int] = 1
    title: ClassVar[str] = "refused"

    def __init__(self, *, where: str, expected: str, found: str, fix: str) -> None:
        super().__init__(where, expected, found, fix)
        self.where = where
        self.expected = expected
        self.found = found
        self.fix = fix

    def __str__(self) -> str:
        lines = [f"error: {self.title}"]
        for label in ("where", "expected", "found", "fix"):
            first, *rest = getattr(self, label).splitlines() or [""]
            lines.append(f"  {label + ':':<10}{first}")
            lines.extend(f"  {'':<10}{line}" for line in rest)
        return "\n".join(lines)


class UsageError(RecipeError):
    """An unknown recipe or platform, options that exclude each other, or a setting that is not valid."""

    exit_code = 2
    title = "the command line or a setting is not valid"


class ManifestError(RecipeError):
    """A manifest that does not follow the schema."""

    exit_code = 10
    title = "the manifest is not valid"


class PinMissingError(RecipeError):
    """Something without a pin: no pin, no fetch."""

    exit_code = 11
    title = "a pin is missing, and nothing is used without one"


class FetchError(RecipeError):
    """No origin delivered the pinned bytes."""

    exit_code = 12
    title = "no origin delivered the pinned bytes"


class VerifyError(RecipeError):
    """Bytes or trees that differ from their pin."""

    exit_code = 13
    title = "the bytes differ from their pin"


class ArchiveError(RecipeError):
    """An archive that cannot be unpacked safely."""

    exit_code = 14
    title = "the archive is not safe to unpack"


class PatchError(RecipeError):
    """A patch that does not apply exactly."""

    exit_code = 15
    title = "the patch does not apply exactly"


class ToolchainError(RecipeError):
    """A toolchain that this machine does not have or that is not the pinned one."""

    exit_code = 16
    title = "the toolchain cannot be used"


class BuildError(RecipeError):
    """A build command that failed."""

    exit_code = 17
    title = "the build failed"


class AuditError(RecipeError):
    """A resolved build, or a built file, that departs from the plan."""

    exit_code = 18
    title = "the build departs from its plan"


class OutputError(RecipeError):
    """A bundle that is not the pinned one."""

    exit_code = 19
    title = "the bundle is not the pinned one"


class StoreError(RecipeError):
    """A store that cannot be read or written, or whose entry was changed."""

    exit_code = 20
    title = "the store cannot be used"


class PolicyError(RecipeError):
    """A recipe that the user's policy refuses, or a machine that cannot isolate builds as the policy demands."""

    exit_code = 21
    title = "the policy refuses this"


class ConformanceError(RecipeError):
    """A llama.cpp that must not be shipped: a check failed."""

    exit_code = 22
    title = "the llama.cpp does not conform"


class ModelMissingError(RecipeError):
    """A pinned model whose files are not on this machine."""

    exit_code = 23
    title = "the model is not on this machine"


class MemoryShortError(RecipeError):
    """A model that needs more memory than this machine has left."""

    exit_code = 24
    title = "this machine has too little memory left"


class AddressError(RecipeError):
    """An address or a port that the server cannot listen on."""

    exit_code = 25
    title = "the server cannot listen there"


class ApiKeyError(RecipeError):
    """An API key that is missing, badly kept, or not demanded by the server."""

    exit_code = 26
    title = "the API key cannot be used"


class BundleMissingError(RecipeError):
    """A recipe whose bundle was not built on this machine."""

    exit_code = 27
    title = "the bundle is not built"


class ServerEndedError(RecipeError):
    """A server that ended by itself."""

    exit_code = 28
    title = "the server ended by itself"


class ServerSilentError(RecipeError):
    """A server that runs and does not become healthy."""

    exit_code = 29
    title = "the server does not become healthy"


class PictureError(RecipeError):
    """An image or a video that cannot be read, by us or by the server."""

    exit_code = 30
    title = "the image or video cannot be read"


class AnswerError(RecipeError):
    """A server that answers a question with an error, or not to its end."""

    exit_code = 31
    title = "there is no answer"


class EvidenceError(RecipeError):
    """A bundle whose evidence does not hold: a statement is missing, broken, of something else, or not as demanded."""

    exit_code = 33
    title = "the evidence does not hold"


class KnownVulnerabilityError(RecipeError):
    """A recipe that something of high severity is known against, within reach, and that nobody permitted by name."""

    exit_code = 34
    title = "something of high severity is known against this recipe"


class UndecidedError(RecipeError):
    """A challenge that nothing can be said of: what it is about cannot be built here, or is not known."""

    exit_code = 35
    title = "nothing can be said"


class OperatingSystemError(RecipeError):
    """A fault of the operating system that no other class describes, as an output that cannot be written."""

    exit_code = 32
    title = "the operating system refused"


class RegistryError(RecipeError):
    """A registry that does not take what is published."""

    exit_code = 36
    title = "the registry did not take it"


class DisagreementError(RegistryError):
    """Two builders that made different bytes of one plan: neither is to be used before it is known why."""

    exit_code = 38
    title = "two builders disagree"


INTERRUPTED = 130  # 128 + SIGINT, as shells report it
