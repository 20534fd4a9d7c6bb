"""The command line of a Mac's sandbox-exec(1), with a profile of its own. Pure.

Written from the manual pages and from the profiles of Nix's and Chromium's builders; nobody has run it on a Mac yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipes.core.confinement.request import Request

PROGRAM = "/usr/bin/sandbox-exec"
# where users keep what is theirs; the rest is the system's
CLOSED = (
    "/Users",
    "/Volumes",
    "/private/var/folders",
    "/private/var/root",
    "/private/tmp",
    "/private/var/tmp",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/stdout", "/dev/stderr", "/dev/fd")
SERVICES = (
    "com.apple.system.notification_center",
    "com.apple.system.opendirectoryd.libinfo",
    "com.apple.system.logger",
    "com.apple.logd",
)


def profile(request: Request) -> str:
    """Return the profile: of its rules the last one that fits holds."""
    return "\n".join(
        (
            "(version 1)",
            "(allow default)",
            "(deny network*)",
            "(deny mach-lookup)",
            f"(allow mach-lookup {_each('global-name', SERVICES)})",
            "(deny signal)",
            "(allow signal (target same-sandbox))",
            "(deny process-info*)",
            "(allow process-info* (target self))",
            f"(deny file-read-data {_each('subpath', CLOSED)})",
            "(deny file-write*)",
            f"(allow file-write* {_each('subpath', DEVICES)})",
            *((f"(allow file-read* {_each('subpath', request.reads)})",) if request.reads else ()),
            *(
                (f"(allow file-read* file-write* {_each('subpath', request.writes)})",)
                if request.writes
                else ()
            ),
        )
    )


def seatbelt_command(request: Request) -> tuple[str, ...]:
    """Return the argv that runs a program under the profile; the environment is what this argv is given."""
    return (PROGRAM, "-p", profile(request), *request.argv)


def _each(kind: str, names: tuple[str, ...]) -> str:
    return " ".join(f'({kind} "{_quoted(name)}")' for name in names)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
