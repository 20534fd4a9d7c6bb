"""Brings the packages of an npm lock into the store: npm fetches them, and each is hashed again here.

npm is the ordinary client: it knows the user's registry, mirror, proxy and credentials. It stores an archive under the
digest of its bytes (https://github.com/npm/cacache), and finds it there again without a network; so the entry is such
a cache's content, with nothing in it that the lock does not name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.plan.plan import canonical_json
from recipes.build.webpage.npm_lock import parse_npm_lock
from recipes.core.digest import Sha256, blob_entries, hash_file
from recipes.core.errors import FetchError, PinMissingError, StoreError, VerifyError
from recipes.core.filesystem import copy_tree, shown
from recipes.core.invocation import this_command
from recipes.core.process import Command, run
from recipes.core.settings import OFFLINE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recipes.build.webpage.npm_lock import Package
    from recipes.core.settings import Settings
    from recipes.store.context import Context
    from recipes.store.entry import Entry
    from recipes.store.store import Store

LOCK = "package-lock.json"
NEEDED = ("package.json", LOCK)  # what npm reads to know what to fetch
CONTENT = Path("content-v2", "sha512")  # in the folder `_cacache` of npm's cache
# No script of a package is run, nothing is asked or told beside the archives, and nothing is left out that the user's
# configuration would leave out.
INSTALL = (
    *("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"),
    *("--include=dev", "--include=optional"),
)
# of the user's environment: where npm finds its configuration
PASSED_ON = ("HOME", "XDG_CONFIG_HOME", "PATH")


def packages_key(source: Sha256, folder: str, node: str) -> str:
    """Name the store entry of the packages that a lock in a source names.

    `node` is the key of the unpacked toolchain, which is one machine's: what npm takes of a lock depends on the
    machine.
    """
    return f"npm-packages-{Sha256.of_bytes(canonical_json([source.hex, folder, node])).hex[:32]}"


def partial_name(key: str) -> Sha256:
    """Name what has been fetched so far of the packages of a key, as downloads are named: by a digest."""
    return Sha256.of_bytes(key.encode())


def read_npm_lock(folder: Path, where: str) -> tuple[Package, ...]:
    """Return the packages that the lock of a page's folder names.

    Raises PinMissingError where there is no lock, and VerifyError where it does not pin every package.
    """
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise PinMissingError(
            where=where,
            expected=f"{' and '.join(NEEDED)} in `folder`, of the patched source",
            found=f"no {' and no '.join(missing)} there",
            fix=(
                "correct `folder`: where the source has its page now;\n"
                "or remove `page:`, where the source carries a page that is built already"
            ),
        )
    return parse_npm_lock((folder / LOCK).read_bytes(), f"{where}: {LOCK}")


def ensure_packages(key: str, folder: Path, node: Entry, where: str, context: Context) -> Entry:
    """Return the archives that a lock names and this machine needs, fetched where they are missing.

    The folder holds package.json and package-lock.json, and is only read. Raises as `read_npm_lock`, FetchError where
    npm does not get them, or the network is not to be used, and VerifyError where the bytes are others.
    """
    packages = read_npm_lock(folder, where)
    # what npm has got so far stays where it is when it is interrupted, and is not fetched again
    cache = context.store.partial / f"{partial_name(key).hex}.npm"

    def make(into: Path) -> None:
        if context.settings.offline:
            raise FetchError(
                where=where,
                expected=f"the {len(packages)} packages of {LOCK} in the store",
                found=f"none, and {OFFLINE_VARIABLE} is set",
                fix=f"{OFFLINE_VARIABLE}=0 {this_command('fetch')}",
            )
        with (
            context.console.task(f"fetch up to {len(packages)} packages of npm", None),
            context.store.scratch(f"{key}-fetch") as scratch,
        ):
            _fetch(folder, node, cache, scratch, where, context.settings)
            _take(packages, cache / "_cacache", into, f"{where}: {LOCK}")

    inputs = {LOCK: str(hash_file(folder / LOCK)), "node": node.key}
    entry, is_new = context.store.ensure(
        key,
        "npm-packages",
        inputs,
        make,
        console=context.console,
        check=lambda entry: _check_packages(context.store, entry, packages, f"{where}: {LOCK}"),
    )
    if is_new:
        shutil.rmtree(cache, ignore_errors=True)  # gc removes what cannot be removed now
    return entry


def find_packages(store: Store, key: str, folder: Path, where: str) -> Entry | None:
    """Return the packages of a key that are in the store, each hashed again and compared with the lock in a folder.

    Raises StoreError where one is another, and as `read_npm_lock`.
    """
    entry = store.find(key)
    if entry is None:
        return None
    packages = read_npm_lock(folder, where)
    return store.find_verified(key, lambda entry: _check_packages(store, entry, packages, f"{where}: {LOCK}"))


def _check_packages(store: Store, entry: Entry, packages: tuple[Package, ...], where: str) -> None:
    """Demand that an entry holds archives that the lock names, and nothing else: its record is not what pins it."""
    pinned = {str(_place(package.sha512)) for package in packages}
    for name in blob_entries(entry.path, Sha256):
        file = entry.path / name
        found = None if file.is_symlink() else hashlib.sha512(file.read_bytes()).hexdigest()
        if name not in pinned or found is None or str(_place(found)) != name:
            kept = store.set_aside(entry.key, f"{name} is not what the lock pins")
            raise StoreError(
                where=f"{entry.path}: {shown(name)}",
                expected=f"an archive that {where} names, under the digest of its bytes",
                found=f"another file, set aside with all of them in {kept}",
                fix="run the same command again: the packages are fetched again",
            )


def _place(sha512: str) -> Path:
    """Where npm's cache has the bytes of a digest."""
    return CONTENT / sha512[:2] / sha512[2:4] / sha512[4:]


def npm_command(node: Path, *words: str) -> tuple[str, ...]:
    """Return npm's argv, run by the pinned node."""
    return (str(node / "bin" / "node"), str(node / "bin" / "npm"), *words)


def link_cache(packages: Path, into: Path) -> None:
    """Lay out a cache that npm finds the packages in, by their digests alone."""
    (into / "_cacache").mkdir(parents=True)
    copy_tree(
        packages / CONTENT, into / "_cacache" / CONTENT, lambda source, target: target.symlink_to(source)
    )


def _fetch(folder: Path, node: Entry, cache: Path, work: Path, where: str, settings: Settings) -> None:  # noqa: PLR0913, PLR0917 - one call
    for name in NEEDED:
        shutil.copyfile(folder / name, work / name)
    command = npm_command(node.path, *INSTALL, "--cache", str(cache))
    done = run(Command(command, work, npm_environment(os.environ, node.path, settings)))
    if done.status != 0:
        is_wrong = "EINTEGRITY" in done.text
        raise (VerifyError if is_wrong else FetchError)(
            where=where,
            expected=f"every package of {LOCK}" + (", with the digest that it pins" if is_wrong else ""),
            found=f"npm ended with exit status {done.status}, after\n{done.text}",
            fix=(
                "npm config get registry  # a registry or mirror that delivers other bytes is not to be used"
                if is_wrong
                else "the same command again goes on from there; npm config get registry says who was asked"
            ),
        )


def npm_environment(environ: Mapping[str, str], node: Path, settings: Settings) -> dict[str, str]:
    """Return what npm sees while it fetches: the user's own configuration of it, and how to reach the network.

    The programs of the unpacked toolchain, in the folder `node`, come first.
    """
    kept = {name: environ[name] for name in PASSED_ON if name in environ}
    own = {name: value for name, value in environ.items() if name.lower().startswith("npm_config_")}
    certificates = {"NODE_EXTRA_CA_CERTS": settings.certificates} if settings.certificates else {}
    path = os.pathsep.join(filter(None, (str(node / "bin"), kept.get("PATH", ""))))
    return {**kept, **own, **dict(settings.network), **certificates, "PATH": path}


def _take(packages: tuple[Package, ...], cacache: Path, into: Path, where: str) -> None:
    """Copy what the lock names, each hashed on the way; what is for other machines only is not there."""
    for digest in sorted({package.sha512 for package in packages}):
        place = _place(digest)
        try:
            data = (cacache / place).read_bytes()
        except FileNotFoundError:
            continue
        found = hashlib.sha512(data).hexdigest()
        if found != digest:
            (cacache / place).unlink()
            names = ", ".join(sorted({item.place for item in packages if item.sha512 == digest}))
            raise VerifyError(
                where=f"{where}: {names}",
                expected=f"sha512:{digest}",
                found=f"sha512:{found} in npm's cache",
                fix="run the same command again: it fetches the package again",
            )
        (into / place).parent.mkdir(parents=True, exist_ok=True)
        (into / place).write_bytes(data)
