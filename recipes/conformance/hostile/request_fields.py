"""The fields that a llama-server reads of requests, and its endpoints, derived from its source. Pure but for the list.

`python -m recipes.conformance.hostile.request_fields FOLDER` prints the list of a source tree; request_fields.json is
that of the default recipe's patched tree, which a test compares.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

LIST = Path(__file__).with_suffix(".json")
SERVER = Path("tools") / "server"
# what the two kinds of server understand alone: programs of the machine, and other llama-servers
NOT_READ = {"server-tools", "server-mcp", "server-models"}
NAME = r"\"([A-Za-z_][\w.]*)\""
DECLARED = re.compile(rf"\bfield_(?:num|bool|str|json|nested)\(\s*{NAME}|\badd_alias\(\s*{NAME}")
READ = re.compile(
    # what is read of an object that an expression gives, too
    rf"\bjson_(?:value|field|object_field)\([^,\"]+,\s*{NAME}|\.(?:at|contains|value|find|count)\(\s*{NAME}|\b\w+\[{NAME}\](?!\s*=[^=])"
)
ROUTE = re.compile(
    r"\b(?:ctx_http\.|svr->)(get|post|del|Get|Post|Delete)\s*\(\s*(?:params\.api_prefix\s*\+\s*)?\"(/[^\"]*)\""
)
METHODS = {"get": "GET", "post": "POST", "del": "DELETE", "delete": "DELETE"}


def read_source(folder: Path) -> dict[str, list[str]]:
    """Return `fields` and `routes` (as `POST /completion`) of a source tree's server, in alphabetical order."""
    paths = [path for path in sorted((folder / SERVER).glob("*.[ch]*")) if path.stem not in NOT_READ]
    text = "\n".join(
        path.read_text(encoding="utf-8", errors="replace") for path in paths if path.suffix != ".html"
    )
    fields = {
        name for pattern in (DECLARED, READ) for found in pattern.findall(text) for name in found if name
    }
    routes = {f"{METHODS[method.lower()]} {path}" for method, path in ROUTE.findall(text)}
    return {"fields": sorted(fields), "routes": sorted(routes)}


def to_text(found: dict[str, list[str]]) -> str:
    """Return the text of the list's file."""
    return json.dumps(found, indent=1) + "\n"


def request_fields() -> tuple[str, ...]:
    """Return the fields of the list."""
    return tuple(json.loads(LIST.read_text(encoding="utf-8"))["fields"])


def routes() -> tuple[tuple[str, str], ...]:
    """Return method and path of each endpoint of the list."""
    return tuple(
        tuple(route.split(" ", 1)) for route in json.loads(LIST.read_text(encoding="utf-8"))["routes"]
    )


if __name__ == "__main__":
    sys.stdout.write(to_text(read_source(Path(sys.argv[1]))))
