"""Debian's docker-registry on loopback, with or without TLS and a login."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import trustme

from tests.support.programs import demand_program

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "docker-registry"
USER, PASSWORD = "builder", "correct horse"
# of the password, by htpasswd -nbB
HTPASSWD = "builder:$2y$05$4D5W8n1iOFYk1XXQQS11FuZi5dDp/2mzpWDvgNO7aFcaG6kp4PpDi\n"
CONFIG = """\
version: 0.1
log: {{level: info, formatter: text, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {data}}}
  delete: {{enabled: {deletes}}}
http: {{addr: "127.0.0.1:0", secret: of-a-test{tls}}}
{auth}
"""


@dataclass
class DockerRegistry:
    """Use it as a context manager; `host` is its address then, and `authority` the certificate to trust."""

    folder: Path
    is_secure: bool = False
    has_login: bool = False
    deletes: bool = True
    host: str = ""
    authority: Path | None = None
    lines: list[str] = field(default_factory=list, repr=False)
    _is_told: threading.Event = field(default_factory=threading.Event, repr=False)
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def __enter__(self) -> Self:
        program = demand_program(PROGRAM)
        self.folder.mkdir(parents=True, exist_ok=True)
        tls = auth = ""
        if self.is_secure:
            tls = f", tls: {{certificate: {self._certificate()}, key: {self.folder / 'key.pem'}}}"
        if self.has_login:
            (self.folder / "htpasswd").write_text(HTPASSWD)
            auth = f"auth: {{htpasswd: {{realm: test, path: {self.folder / 'htpasswd'}}}}}"
        config = self.folder / "config.yml"
        config.write_text(
            CONFIG.format(data=self.data, tls=tls, auth=auth, deletes=str(self.deletes).lower())
        )
        self._process = subprocess.Popen(
            [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._follow, daemon=True).start()
        self._is_told.wait()
        assert self.host, f"docker-registry did not start: {self.lines}"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _follow(self) -> None:
        """Read all that it says, or it stops when the pipe is full; the first of it has the address."""
        assert self._process is not None
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self.lines.append(line)
                if found := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
                    self.host = found[1]
                    self._is_told.set()
        self._is_told.set()

    def repository(self, path: str = "team/llama") -> str:
        """The name of a repository there, as a user types it."""
        return f"{'' if self.is_secure else 'http://'}{self.host}/{path}"

    def log_in(self, home: Path, password: str = PASSWORD) -> dict[str, str]:
        """Write docker's config.json as `docker login` does; return the variables that a command needs."""
        home.mkdir(parents=True, exist_ok=True)
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        (home / "config.json").write_text(json.dumps({"auths": {self.host: {"auth": auth}}}))
        trust = {"PIP_CERT": str(self.authority)} if self.authority else {}
        return {"DOCKER_CONFIG": str(home), **trust}

    def _certificate(self) -> Path:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        self.authority = self.folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        certificate.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        path = self.folder / "certificate.pem"
        path.write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
        return path
