"""The file system as the store needs it: durable, read-only, and with errors that a user can fix.

Nothing here knows what a store is made of; `recipes.store.blobs`, `recipes.store.store` and `recipes.store.gc` do.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STORE_VARIABLE = "PINNED_LLAMA_STORE"  # moves the store
SYNC_WORKERS = 8  # a journal commits many files at once only when many ask at once
_KEPT = "then run the same command: verified files are kept"


@dataclass(frozen=True)
class _Advice:
    expected: str
    fix: str
    shows_room: bool = False
    shows_user: bool = False


_NO_ROOM = _Advice(
    "room to write",
    f"free some space, or set {STORE_VARIABLE} to a folder with room, {_KEPT}",
    shows_room=True,
)
_NO_RIGHT = _Advice(
    "permission to read and write it",
    f"give this user the permission, or set {STORE_VARIABLE} to a folder of your own, {_KEPT}",
    shows_user=True,
)
_NO_FOLDER = _Advice(
    "nothing but folders on the way to it, and nothing else in its place",
    f"move away what is in the way, or set {STORE_VARIABLE} to another folder, {_KEPT}",
)
_TOO_MANY = _Advice(
    "room for one more open file", f"raise the limit with `ulimit -n 4096` in this shell, {_KEPT}"
)
_NO_DISK = _Advice(
    "a disk that reads and writes",
    f"check the disk, or set {STORE_VARIABLE} to a folder on another one, {_KEPT}",
)
_NO_LOCKS = _Advice(
    "a file system that can lock files", f"set {STORE_VARIABLE} to a folder on a local disk, {_KEPT}"
)
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _NO_ROOM),
    **dict.fromkeys((errno.EACCES, errno.EPERM), _NO_RIGHT),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP), _NO_FOLDER),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _TOO_MANY),
    **dict.fromkeys((errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE), _NO_DISK),
    **dict.fromkeys((errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP), _NO_LOCKS),
    errno.EROFS: _Advice(
        "a file system that can be written",
        f"make it writable, or set {STORE_VARIABLE} to a folder that is, {_KEPT}",
    ),
    errno.EFBIG: _Advice(
        "files of any size", f"raise the limit with `ulimit -f unlimited` in this shell, {_KEPT}"
    ),
    errno.ENAMETOOLONG: _Advice(
        "a name that is short enough", f"set {STORE_VARIABLE} to a folder with a shorter path, {_KEPT}"
    ),
}


@contextmanager
def storage_errors(
    path: Path, *, needed_bytes: int | None = None, below: Path | None = None
) -> Iterator[None]:
    """Turn what a disk or its permissions refuse into an error with a fix; every other error passes.

    `path` is named where the system's error names no file. An error that names a file outside of `below` is not the
    store's, and passes. Raises StoreError for each of _ADVICE: no space, permission or file descriptor, ...
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0)
        # of two names the second is the place of the change: the first is a link's target or an old place
        given = (error.filename2, error.filename)
        names = [Path(os.fsdecode(name)) for name in given if isinstance(name, str | bytes)]
        if below is not None and names:
            names = [name for name in names if name.is_relative_to(below)]
            advice = advice if names else None
        if advice is None:
            raise
        where = names[0] if names else path
        expected, found = advice.expected, os.strerror(error.errno or 0)
        if advice.shows_room:
            found += f": {size_text(free_bytes(where))} free"
            expected = f"{size_text(needed_bytes)} free" if needed_bytes is not None else expected
        if advice.shows_user:
            found += f" for user {os.geteuid()}"
        raise StoreError(where=shown(str(where)), expected=expected, found=found, fix=advice.fix) from error


@contextmanager
def elsewhere_by(words: str) -> Iterator[None]:
    """Let the fix of a StoreError within say what names another place than the store's: `give --archive`."""
    try:
        yield
    except StoreError as error:
        error.fix = error.fix.replace(f"set {STORE_VARIABLE} to", words)
        raise


def free_bytes(path: Path) -> int:
    """Room that this user has left on the file system of `path`, which need not exist itself."""
    # os.path: Path.exists raises where a name is too long or a folder closed
    nearest = next((folder for folder in (path, *path.parents) if os.path.exists(folder)), "/")  # noqa: PTH110
    status = os.statvfs(nearest)
    return status.f_bavail * status.f_frsize


def size_text(size_bytes: int) -> str:
    """Return a size for people, in decimal units as disks are sold."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"


def shown(name: str) -> str:
    r"""Return a file's name as it can be printed on one line, whatever bytes it has.

    >>> shown("lib/ünïcode"), shown("a\nb")
    ('lib/ünïcode', "'a\\nb'")
    """
    return name if name.isprintable() else ascii(name)


def make_folders(path: Path) -> None:
    """Make a folder and those above it where they are missing; nobody else can write in them, whatever the umask."""
    if not path.is_dir():
        make_folders(path.parent)
        path.mkdir(mode=0o755, exist_ok=True)


def open_no_link(path: Path, flags: int, mode: int = 0o644) -> int:
    """Open a file, and never what a link in its place leads to; return its descriptor.

    Raises an OSError (ELOOP) where it is a link, or, to be written, a second name of a file that lies elsewhere; and
    (EEXIST) where it is no file.
    """
    # a pipe in its place would be waited for
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode)
    status = os.fstat(descriptor)
    is_file = stat.S_ISREG(status.st_mode)
    if is_file and (status.st_nlink == 1 or flags & os.O_ACCMODE == os.O_RDONLY):
        return descriptor
    os.close(descriptor)
    number = errno.ELOOP if is_file else errno.EEXIST
    raise OSError(number, os.strerror(number), str(path))


def open_to_write(path: Path, mode: int = 0o644) -> int:
    """Open a file that is empty then, in the place of whatever had its name; return its descriptor.

    What is there is not written into but removed, if it is not a file of this one name.
    """
    flags = os.O_WRONLY | os.O_CREAT
    try:
        descriptor = open_no_link(path, flags, mode)
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.EEXIST, errno.ENXIO}:
            raise
        path.unlink()
        descriptor = open_no_link(path, flags | os.O_EXCL, mode)
    os.ftruncate(descriptor, 0)
    return descriptor


def read_no_link(path: Path, most_bytes: int = -1) -> bytes:
    """Return the bytes of a file, or the first of them; raises an OSError as `open_no_link`."""
    with os.fdopen(open_no_link(path, os.O_RDONLY), "rb") as file:
        return file.read(most_bytes)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Wait until all files and folders of a tree are on the disk."""
    with ThreadPoolExecutor(SYNC_WORKERS) as pool:
        for _ in pool.map(sync, [root, *_regular_files_and_folders(root)]):
            pass


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on the disk; the caller makes it appear by rename."""
    with os.fdopen(open_to_write(path), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def freeze_tree(root: Path) -> None:
    """Make everything below `root` read-only, with the same modes whatever the umask; not `root` itself.

    A folder that is read-only cannot be moved to another parent, so the mover freezes `root` afterwards.
    """
    root.chmod(0o755)  # also opens a folder that its builder closed
    with os.scandir(root) as listing:
        items = list(listing)
    for item in items:
        path = Path(item.path)
        if item.is_dir(follow_symlinks=False):
            freeze_tree(path)
            path.chmod(0o555)
        elif not item.is_symlink():
            runs = item.stat(follow_symlinks=False).st_mode & stat.S_IXUSR
            path.chmod(0o555 if runs else 0o444)


def copy_tree(source: Path, into: Path, copy_file: Callable[[str, Path], object] = shutil.copyfile) -> None:
    """Copy a tree, its links as they are, into a folder that is made where it is missing.

    Unlike `shutil.copytree` it ends at the first error, as a full disk, and keeps its number.
    """
    into.mkdir(parents=True, exist_ok=True)
    with os.scandir(source) as listing:
        items = list(listing)
    for item in items:
        target = into / item.name
        if item.is_symlink():
            target.symlink_to(os.readlink(item.path))  # noqa: PTH115 - Path.readlink drops "./" and a last "/"
        elif item.is_dir():
            copy_tree(Path(item.path), target, copy_file)
        else:
            copy_file(item.path, target)


def copy_writable(source: Path, into: Path) -> None:
    """Copy a read-only tree into an empty folder, so that its owner can write the copy."""

    def copy_file(file: str, target: Path) -> None:
        shutil.copy2(file, target)
        target.chmod(target.stat().st_mode | stat.S_IWUSR)

    copy_tree(source, into, copy_file)


def move(path: Path, target: Path) -> None:
    """Rename a file or a folder, frozen or not, on one file system."""
    if path.is_dir() and not path.is_symlink():
        path.chmod(0o755)  # a folder's ".." changes with its parent: that is a write
    path.rename(target)


def remove_tree(path: Path) -> None:
    """Remove a file, a link or a folder, frozen or not; another process may do the same at the same time."""
    try:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            path.unlink()
            return
        path.chmod(0o700)
        with os.scandir(path) as listing:
            names = [item.name for item in listing]
        for name in names:
            remove_tree(path / name)
        path.rmdir()
    except FileNotFoundError:
        return


def tree_size_bytes(path: Path) -> int:
    """Bytes of the files in a tree, or of the one file."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0
    if not stat.S_ISDIR(status.st_mode):
        return status.st_size
    return sum(item.lstat().st_size for item in _regular_files_and_folders(path) if not item.is_dir())


def _regular_files_and_folders(root: Path) -> Iterator[Path]:
    with os.scandir(root) as listing:
        items = list(listing)
    for item in items:
        if item.is_dir(follow_symlinks=False):
            yield Path(item.path)
            yield from _regular_files_and_folders(Path(item.path))
        elif item.is_file(follow_symlinks=False):
            yield Path(item.path)
