"""What the tests of the store put into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.digest import Sha256

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.store.store import Entry, Store


def put_entry(store: Store, key: str, files: dict[str, bytes]) -> Entry:
    """Make an entry of files, by their paths."""
    with store.stage(key, "bundle", {"name": key}) as staging:
        for name, data in files.items():
            (staging.path / name).parent.mkdir(parents=True, exist_ok=True)
            (staging.path / name).write_bytes(data)
    return staging.entry


def put_blob(store: Store, data: bytes) -> Path:
    """Adopt bytes as a file of the store."""
    sha = Sha256.of_bytes(data)
    store.partial_path(sha).write_bytes(data)
    return store.adopt_blob(store.partial_path(sha), sha)


def overwrite(path: Path, data: bytes) -> None:
    """Change a file of the store, which is read-only."""
    path.chmod(0o644)
    path.write_bytes(data)
