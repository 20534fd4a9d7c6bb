"""Reuses a file that is already on this machine, without copying its bytes where the file system allows it."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.core.digest import Sha256
    from recipes.manifest.schema import Model, ModelFile

FICLONE = 0x40049409  # Linux, linux/fs.h: share the blocks of another file until one of the two is written
_CANNOT = frozenset(
    (
        *(errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY),
        *(errno.EPERM, errno.EMLINK, errno.EACCES, errno.ENOSYS),
    )
)


@dataclass(frozen=True)
class HubCache:
    """The download cache of the hub's own client: the folder that HF_HUB_CACHE or HF_HOME names."""

    folder: Path

    def places(self, repository: str, revision: str | None, file: str, sha: Sha256) -> tuple[Path, ...]:
        """Return where a file may be: by its digest, or by its name in the pinned commit, if there is one. Pure."""
        base = self.folder / f"models--{repository.replace('/', '--')}"
        named = (base / "snapshots" / revision / file,) if revision else ()
        return (base / "blobs" / sha.hex, *named)


def candidates(
    model: Model, file: ModelFile, sha: Sha256, cache: HubCache | None, named: Path | None
) -> Iterator[Path]:
    """Yield the files of this machine that may be a model's file.

    The user may name a file or a folder; in a folder the file has its own name, or its path in the repository.
    """
    name = str(file.file)
    if named is not None:
        places = (named / name, named / Path(name).name) if named.is_dir() else (named,)
        yield from (place for place in dict.fromkeys(places) if place.is_file())
    if cache is not None and model.repository is not None:
        revision = model.revision.hex if model.revision else None
        for place in cache.places(model.repository, revision, name, sha):
            if place.is_file():
                yield place


def take_over(source: Path, target: Path) -> str:
    """Create `target` with the bytes of `source`; return how: "reflink", "hard link" or "copy".

    Links to the source are followed; the target does not exist, and is on the store's file system. A StoreError is
    raised if the disk refuses.
    """
    source = source.resolve()
    with storage_errors(target, needed_bytes=source.stat().st_size):
        if _reflink(source, target):
            return "reflink"
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
        else:
            return "hard link"
        with source.open("rb") as reading, target.open("xb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
        return "copy"


def _reflink(source: Path, target: Path) -> bool:
    try:
        import fcntl
    except ImportError:
        return False
    with source.open("rb") as reading, target.open("xb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), FICLONE, reading.fileno())
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
        else:
            return True
    target.unlink()
    return False
