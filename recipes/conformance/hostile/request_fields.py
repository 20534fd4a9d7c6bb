"""The fields that a llama-server reads of requests, and its endpoints, derived from its source. Pure but for the list.

`python -m recipes.conformance.hostile.request_fields FOLDER` prints the list of a source tree; request_fields.json is
that of the default recipe's patched tree, which a test compares.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_suffix(".json")
SERVER = Path("tools") / "server"
# what the two kinds of server understand alone: programs of the machine, and other llama-servers
NOT_READ = {"server-tools", "server-mcp", "server-models"}
NAME = r"\"([A-Za-z_][\w.]*)\""
DECLARED = re.compile(rf"\bfield_(?:num|bool|str|json|nested)\(\s*{NAME}|\badd_alias\(\s*{NAME}")
READ = re.compile(
    # what is read of an object that an expression gives, too
    rf"\b(?:json_(?:value|field|object_field)|take_member)\([^,\"]+,\s*{NAME}|\.(?:at|contains|value|find|count)\(\s*{NAME}|\b\w+\[{NAME}\](?!\s*=[^=])"
)
ROUTE = re.compile(
    r"\b(?:ctx_http\.|svr->)(get|post|del|Get|Post|Delete)\s*\(\s*(?:params\.api_prefix\s*\+\s*)?"
    r"(?:R\"\((/.*?)\)\"|\"(/[^\"]*)\")(?:\s*,\s*(?:ex_wrapper\()?([\w.>-]+))?"
)
PLACE = re.compile(r":\w+|\(\.[+*]\)")  # what stands for a part of a path
METHODS = {"get": "GET", "post": "POST", "del": "DELETE", "delete": "DELETE"}


def read_source(folder: Path) -> dict[str, Any]:
    """Return what a source tree's server reads and offers.

    `fields` and `routes` (as `POST /completion`) are in alphabetical order; `aliases` names, for a route that does the
    same as one before it, that one.
    """
    paths = [path for path in sorted((folder / SERVER).glob("*.[ch]*")) if path.stem not in NOT_READ]
    text = "\n".join(
        path.read_text(encoding="utf-8", errors="replace") for path in paths if path.suffix != ".html"
    )
    fields = {
        name for pattern in (DECLARED, READ) for found in pattern.findall(text) for name in found if name
    }
    handlers: dict[str, str] = {}
    for method, raw, plain, handler in ROUTE.findall(text):
        handlers.setdefault(f"{METHODS[method.lower()]} {raw or plain}", handler)
    first: dict[tuple[str, str], str] = {}
    aliases = {
        route: first[route.split()[0], handler]
        for route, handler in handlers.items()
        if handler and first.setdefault((route.split()[0], handler), route) != route
    }
    return {"fields": sorted(fields), "routes": sorted(handlers), "aliases": dict(sorted(aliases.items()))}


def to_text(found: dict[str, Any]) -> str:
    """Return the text of the list's file."""
    return json.dumps(found, indent=1) + "\n"


def request_fields() -> tuple[str, ...]:
    """Return the fields of the list."""
    return tuple(_list()["fields"])


def routes() -> tuple[tuple[str, str], ...]:
    """Return method and path of each endpoint of the list."""
    return tuple(_split(route) for route in _list()["routes"])


def distinct_routes() -> tuple[tuple[str, str], ...]:
    """Return method and path of the endpoints that do not the same as another."""
    found = _list()
    return tuple(_split(route) for route in found["routes"] if route not in found["aliases"])


def path_of(path: str) -> str:
    """Return the path of a request to an endpoint.

    >>> path_of("/slots/:id_slot"), path_of("/v1/models/(.+)")
    ('/slots/0', '/v1/models/0')
    """
    return PLACE.sub("0", path)


def _list() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(LIST.read_text(encoding="utf-8"))
    return found


def _split(route: str) -> tuple[str, str]:
    method, path = route.split(" ", 1)
    return method, path


if __name__ == "__main__":
    sys.stdout.write(to_text(read_source(Path(sys.argv[1]))))
