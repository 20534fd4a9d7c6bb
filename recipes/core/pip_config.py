"""Reads pip's configuration files, for the package index and the certificates that this machine uses.

Source: pip's documentation, "Configuration".
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

INDEX_VARIABLE = "PINNED_LLAMA_INDEX_URL"  # where it is set, these files are not read
PIP_CONFIG_VARIABLE = "PIP_CONFIG_FILE"
# later beats earlier, as pip lets the section of a command beat the one of all commands
SECTIONS = ("global", "install")


def pip_config_files(environ: Mapping[str, str], system: str, prefix: Path) -> tuple[Path, ...]:
    """Return where pip looks for its configuration, the weakest file first."""
    named = environ.get(PIP_CONFIG_VARIABLE, "")
    if named == os.devnull:
        return ()
    # os.path: Path raises where a name is too long, a folder closed or the user unknown
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111
    user_config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    if system == "darwin":
        library = Path("Library/Application Support/pip/pip.conf")
        machine = [Path("/") / library]
        own = home / library
        if not os.path.isdir(own.parent):  # noqa: PTH112
            own = home / ".config/pip/pip.conf"
    else:
        folders = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
        machine = [Path(folder, "pip/pip.conf") for folder in folders if folder] + [Path("/etc/pip.conf")]
        own = user_config / "pip/pip.conf"
    user = () if named and os.path.exists(named) else (home / ".pip/pip.conf", own)  # noqa: PTH110
    return (*machine, *user, prefix / "pip.conf", *((Path(named),) if named else ()))


def pip_value(files: Iterable[Path], key: str) -> tuple[str, str] | None:
    """Return where "index-url" or "cert" is set last and to what; None where it is not set.

    The weakest file comes first; those that do not exist count for nothing. Raises UsageError where pip could not read
    one.
    """
    found: dict[str, tuple[Path, str]] = {}
    for path in files:
        for section, value in _values(path, key).items():
            found[section] = (path, value)
    for section in reversed(SECTIONS):
        if section in found:
            path, value = found[section]
            return f"{path}, {key} in [{section}]", value
    return None


def _values(path: Path, key: str) -> dict[str, str]:
    """Return what one file says of a key, by section; nothing where there is no file."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise UsageError(
            where=str(path),
            expected="a configuration file of pip that can be read, to know which package index to use",
            found=str(error),
            fix=f"fix the file, or set {INDEX_VARIABLE} to the index's address: then it is not read",
        ) from error
    values = {section: parser.get(section, key, fallback="").strip() for section in SECTIONS}
    return {section: value for section, value in values.items() if value}
