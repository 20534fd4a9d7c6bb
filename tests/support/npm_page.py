"""A web page in small: one npm package, which a registry on loopback serves, and a folder that builds a page of it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile

LOCK = "package-lock.json"
PATH = "/tiny/-/tiny-1.0.0.tgz"  # of the package, at its registry
# The page: what the package exports, and more. Its folder is removed and made again, as SvelteKit does it.
BUILD = (
    "const fs = require('fs');"
    "fs.rmSync(process.env.OUT, {recursive: true}); fs.mkdirSync(process.env.OUT);"
    "fs.writeFileSync(process.env.OUT + '/index.html', require('tiny') + process.env.EXTRA);"
)


def archive_of(**files: str) -> bytes:
    """Return a package as npm packs it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"package/{name.replace('_', '.')}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


TINY = archive_of(
    package_json='{"name": "tiny", "version": "1.0.0", "scripts": {"install": "exit 1"}}',
    index_js="module.exports = 'a page';",
)


def integrity_of(data: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def page_files(resolved: str, *, pinned: bool = True) -> dict[str, str]:
    """Return the files of the page's folder; the lock names the package at an address, and pins it or does not."""
    tiny = {"version": "1.0.0", "resolved": resolved, "integrity": integrity_of(TINY), "dev": True}
    if not pinned:
        del tiny["integrity"]
    top = {"name": "page", "version": "1.0.0", "devDependencies": {"tiny": "1.0.0"}}
    lock = {"name": "page", "version": "1.0.0", "lockfileVersion": 3, "requires": True}
    return {
        "build.js": BUILD,
        "package.json": json.dumps({**top, "scripts": {"build": "node build.js"}}),
        LOCK: json.dumps({**lock, "packages": {"": top, "node_modules/tiny": tiny}}),
    }
