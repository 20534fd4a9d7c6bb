"""What upstream's tests start in place of llama-server: it serves the pocket model, and writes down how it ended.

Its tests name models of a hub by `--hf-repo`; each is replaced by the pocket model. A server that ends by a signal
nobody sent is a crash, written as a line of JSON with the test's name.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

SERVER, MODEL, MMPROJ, CRASHES = "WRAPPED_SERVER", "WRAPPED_MODEL", "WRAPPED_MMPROJ", "WRAPPED_CRASHES"
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# options with a value that name files of a hub or of a network
OF_A_HUB = {"--hf-repo", "--hf-file", "--model-url", "--mmproj-url", "--hf-repo-draft", "--lora"}


def arguments(given: list[str], model: str, mmproj: str) -> list[str]:
    """Return the arguments with the pocket model in the place of a hub's.

    >>> arguments(["--hf-repo", "a/b", "-c", "5"], "m", "p")
    ['-c', '5', '--model', 'm', '--mmproj', 'p']
    """
    kept, names_hub = [], False
    words = iter(given)
    for word in words:
        if word in OF_A_HUB:
            names_hub = True
            next(words, None)
        else:
            kept.append(word)
    return [*kept, "--model", model, "--mmproj", mmproj] if names_hub else kept


def end_with_parent() -> None:
    """Let the kernel end this process with its parent: a test may kill what it started, which cannot pass that on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """Run the server until it ends or is told to."""
    environment = os.environ
    words = arguments(sys.argv[1:], environment[MODEL], environment[MMPROJ])
    asked: list[int] = []
    servers: list[subprocess.Popen[bytes]] = []

    def end(number: int, _: object) -> None:
        asked.append(number)
        for server in servers:
            server.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with subprocess.Popen([environment[SERVER], *words], preexec_fn=end_with_parent) as server:  # noqa: PLW1509 - one thread
        servers.append(server)
        if asked:  # before there was a server
            server.send_signal(asked[0])
        status = server.wait()
    if status < 0 and -status not in asked:
        line = json.dumps({"test": environment.get("PYTEST_CURRENT_TEST", ""), "signal": -status})
        with Path(environment[CRASHES]).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    return 0 if status < 0 and asked else abs(status)


if __name__ == "__main__":
    sys.exit(main())
