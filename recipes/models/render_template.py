"""A program of its own: renders one chat template once, in little memory and time, and says what became of it.

    python -I render_template.py FILE MEMORY_BYTES PROCESSOR_S

It is given another one's program. It runs in Jinja's sandbox, with these limits, and can open no file any more when it
begins. It prints one line of JSON: `outcome` and `what`. Where the limits end it, the one who started it sees that.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from jinja2 import TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError, TemplateRuntimeError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jinja2.parser import Parser

MOST_CHARACTERS = 1 << 20  # of output; a template writes a few hundred of its own

IMAGE = {"type": "image"}
USER = {"role": "user", "content": "Hello"}
ANSWER = {"role": "assistant", "content": "Hi"}
TALK = ({"role": "system", "content": "Be brief."}, USER, ANSWER, USER)
WITH_IMAGE = ({"role": "user", "content": [IMAGE, {"type": "text", "text": "What is it?"}]},)
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look.",
        "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    },
}


class TemplateEndError(Exception):
    """What a template raised itself, with raise_exception."""


class DeafError(Exception):
    """A template leaves out what the user says."""


class TooLongError(Exception):
    """A template writes without an end."""


ENDINGS: tuple[tuple[type[Exception], tuple[str, str]], ...] = (
    (RecursionError, ("endless", "calls itself without an end, or is nested too deep")),
    (SyntaxError, ("refused", "is not a template: it has a `break` or the like in a wrong place")),
    (ZeroDivisionError, ("refused", "divides by zero, which ends the program in some llama.cpp")),
    (MemoryError, ("endless", "takes too much memory")),
    (OverflowError, ("endless", "counts or writes without an end")),
    (DeafError, ("refused", "leaves out what the user says")),
    (TooLongError, ("endless", f"writes more than {MOST_CHARACTERS} characters")),
)


class Generation(Extension):
    """The tag {% generation %}, which transformers knows: its content is rendered as it is."""

    tags = {"generation"}  # noqa: RUF012 - as the class above declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return what is between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def raise_exception(message: object = "") -> NoReturn:
    """End a template, as many publishers' do where they refuse a conversation."""
    raise TemplateEndError(str(message))


def strftime_now(pattern: str) -> str:
    """Return the time of now."""
    return datetime.now(tz=UTC).strftime(pattern)


def to_json(value: object, indent: int | None = None, **_options: object) -> str:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def environment() -> ImmutableSandboxedEnvironment:
    """Return an environment as transformers and llama.cpp have it, in the sandbox."""
    found = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
    )
    found.filters["tojson"] = to_json
    found.globals |= {"raise_exception": raise_exception, "strftime_now": strftime_now}
    return found


def render(text: str) -> tuple[str, str]:
    """Return what became of a template: "rendered", "raised", "refused" or "endless", and words about it."""
    try:
        _render_all(text)
    except TemplateSyntaxError as error:
        return "refused", f"is not a template: line {error.lineno}: {error.message}"
    except SecurityError as error:
        return "refused", f"reaches for Python itself: {error}"
    except Exception as error:  # noqa: BLE001 - whatever another one's program raises
        return next((words for kind, words in ENDINGS if isinstance(error, kind)), _raised(error))
    return "rendered", ""


def _raised(error: Exception) -> tuple[str, str]:
    return "raised", f"ends with {type(error).__name__}: {error}"


def _render_all(text: str) -> None:
    """Render some conversations; a template may refuse one, and know no images and no tools."""
    template = environment().from_string(text)
    written = []
    for messages, tools in ((TALK, None), (WITH_IMAGE, None), (TALK, [TOOL])):
        with contextlib.suppress(TemplateEndError):
            try:
                written.append(_joined(template.generate(**_given(messages, tools))))
            except (SecurityError, OverflowError):
                raise
            except (TypeError, ValueError, LookupError, AttributeError, TemplateRuntimeError):
                if messages is TALK and tools is None:
                    raise
    if not any(USER["content"] in one for one in written):
        raise DeafError


def _given(messages: Iterable[object], tools: object) -> dict[str, object]:
    texts = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return {
        **texts,
        "messages": list(messages),
        "tools": tools,
        "add_generation_prompt": True,
        "enable_thinking": True,
    }


def _joined(pieces: Iterable[str]) -> str:
    found, count = [], 0
    for piece in pieces:
        found.append(piece)
        count += len(piece)
        if count > MOST_CHARACTERS:
            raise TooLongError
    return "".join(found)


def _limit(most: tuple[tuple[int, int], ...]) -> None:
    for what, amount in most:
        with contextlib.suppress(OSError, ValueError):  # macOS has some of these and does not keep them
            resource.setrlimit(what, (amount, amount))


def main() -> None:
    """Read the file, give up what is not needed, render."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    for part in ("[{}] | tojson", "strftime_now('%Y')", "1 / 0"):  # loads what is loaded later
        render("{{ " + part + " }}")
    _limit(
        (
            (resource.RLIMIT_AS, int(sys.argv[2])),
            (resource.RLIMIT_CPU, int(sys.argv[3])),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, 3),
        )
    )
    outcome, what = render(text)
    print(json.dumps({"outcome": outcome, "what": what[:300]}))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
