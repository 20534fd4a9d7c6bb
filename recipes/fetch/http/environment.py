"""What in the user's environment makes requests fail: proxies, certificates, logins. Looked at once one has failed."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path

from recipes.core.errors import UsageError
from recipes.core.settings import PIP_CERT_VARIABLE

CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXY_SCHEMES = frozenset({"http", "https"})
UNSET = "correct it, or unset it"


def check_environment(error: Exception, url: str, certificates: str | None) -> None:
    """Raise a UsageError where a variable, a login or `certificates`, which the user named for pip, is the fault."""
    from requests import RequestException
    from requests.exceptions import SSLError

    is_of_network = isinstance(error, RequestException) or not isinstance(error, OSError)
    if is_of_network and not isinstance(error, SSLError | ValueError | ImportError):
        return
    _check_proxy(url)
    if url.startswith("https:"):
        for name in CERTIFICATE_VARIABLES:
            _check_certificates(f"the variable {name}", os.environ.get(name, ""))
        _check_certificates(f"the variable {PIP_CERT_VARIABLE}, or `cert` of pip.conf", certificates or "")
    _check_logins()


def _check_proxy(url: str) -> None:
    from importlib.util import find_spec

    from requests.utils import get_environ_proxies, select_proxy
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return
    try:
        parts = parse_url(proxy if "://" in proxy else f"http://{proxy}")
        is_good = bool(parts.host) and parts.scheme in PROXY_SCHEMES
        is_socks = (parts.scheme or "").startswith("socks")
    except LocationParseError:
        is_good = is_socks = False
    if is_good or (is_socks and find_spec("socks")):
        return
    names = [name for name, value in os.environ.items() if name.lower().endswith("_proxy") and value == proxy]
    shown = repr(re.sub(r"^(\w+://)?[^/@]*@", r"\1***@", proxy))  # it can carry a password
    raise UsageError(
        where=f"the variable {names[0]}" if names else "this machine's proxy settings",
        expected="the address of an HTTP proxy, as http://host:port",
        found=f"{shown}, a SOCKS proxy: PySocks, which it needs, is not installed" if is_socks else shown,
        fix=f"{UNSET}, or list the hosts that need no proxy in NO_PROXY",
    )


def _check_certificates(where: str, value: str) -> None:
    """Raise where none of what is named can be loaded; SSL_CERT_DIR may name several folders."""
    paths = [Path(part) for part in ([value] if Path(value).exists() else value.split(os.pathsep)) if part]
    faults = [fault for path in paths if (fault := _loading_fault(path)) is not None]
    if paths and len(faults) == len(paths):
        raise UsageError(
            where=where,
            expected="a file of certificates (PEM), or a folder of them",
            found=f"{value!r}: {faults[0]}",
            fix=UNSET,
        )


def _loading_fault(path: Path) -> str | None:
    try:
        if path.is_dir():
            return None
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:  # an OSError too
        return "no certificates are in it"
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
    return None


def _check_logins() -> None:
    import netrc

    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            netrc.netrc(path.expanduser())
        except (OSError, netrc.NetrcParseError):
            continue  # requests goes on without it
        except ValueError as error:
            raise UsageError(
                where=str(path),
                expected="a file of logins (netrc) in UTF-8",
                found=str(error).partition(":")[0],
                fix="correct the file, or set NETRC to another one",
            ) from error
