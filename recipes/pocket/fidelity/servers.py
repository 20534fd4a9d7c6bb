"""How a server is started: the setting it computes in, and how it cuts prompts into batches. Pure."""

from __future__ import annotations

from recipes.conformance.results.inputs import STRICT

CONTEXT = ("-c", "4096")
# By name: how many tokens a server takes at once (-b), how many it computes at once (-ub), for how many clients (-np).
SERVERS: dict[str, tuple[str, ...]] = {
    "ubatch 512": (*CONTEXT, "-b", "2048", "-ub", "512"),  # llama.cpp's own
    "ubatch 32": (*CONTEXT, "-b", "2048", "-ub", "32"),
    "ubatch 64": (*CONTEXT, "-b", "2048", "-ub", "64"),
    "ubatch 100": (*CONTEXT, "-b", "2048", "-ub", "100"),
    "batch 64": (*CONTEXT, "-b", "64", "-ub", "32"),
    "batch 300": (*CONTEXT, "-b", "300", "-ub", "100"),
    "ubatch 2048": (*CONTEXT, "-b", "2048", "-ub", "2048"),
    "two clients": ("-c", "8192", "-b", "256", "-ub", "128", "-np", "2"),
}
SETTINGS: dict[str, tuple[str, ...]] = {"strict": STRICT, "default": ()}


def number_of(server: str, option: str) -> int:
    """Return the number that a server is started with for an option; 1 where it is not named."""
    options = SERVERS[server]
    return int(options[options.index(option) + 1]) if option in options else 1
