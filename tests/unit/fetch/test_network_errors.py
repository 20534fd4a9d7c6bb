from __future__ import annotations

import errno
import http.client
import socket
import ssl

import pytest
from requests import exceptions

from recipes.fetch.http.network_errors import describe_fault, is_lasting, shown_url


def raised_from(outer: Exception, inner: BaseException) -> Exception:
    outer.__cause__ = inner
    return outer


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (exceptions.ConnectionError(ConnectionRefusedError(111, "x")), "connection refused"),
        (raised_from(exceptions.ConnectionError(), ConnectionResetError(104, "x")), "closed early"),
        (exceptions.ChunkedEncodingError(http.client.IncompleteRead(b"")), "closed early"),
        (exceptions.ConnectionError(socket.gaierror(-2, "x")), "its name cannot be resolved"),
        (exceptions.ConnectionError(OSError(errno.ENETUNREACH, "Network is unreachable")), "unreachable"),
        (raised_from(exceptions.ReadTimeout(), TimeoutError()), "nothing came for 30 s"),
        (exceptions.TooManyRedirects(), "too many redirects"),
        (exceptions.SSLError(certificate_error()), "its certificate is not trusted: self-signed"),
        (exceptions.ProxyError(ConnectionRefusedError(111, "x")), "its proxy: connection refused"),
    ],
)
def test_a_fault_is_said_by_the_cause_that_one_can_act_on(error: Exception, text: str) -> None:
    assert text in describe_fault(error, 30.0)


def test_causes_that_lead_in_a_circle_are_looked_at_once() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert describe_fault(first, 1.0) == "value error"


def test_a_library_text_with_an_address_is_not_shown() -> None:
    error = exceptions.InvalidURL("http://user:secret@host/?token=secret")
    assert describe_fault(error, 1.0) == "invalid url"


UNREACHABLE = [
    exceptions.ConnectionError(ConnectionRefusedError(111, "x")),
    exceptions.ConnectionError(socket.gaierror(-2, "x")),
    exceptions.ConnectionError(OSError(errno.ENETUNREACH, "x")),
    exceptions.ConnectTimeout(),
    exceptions.ProxyError(),
]
WRONG = [
    exceptions.TooManyRedirects(),
    exceptions.SSLError(),
    exceptions.InvalidURL(),
    exceptions.InvalidSchema(),
]
BROKEN = [exceptions.ReadTimeout(), exceptions.ConnectionError(ConnectionResetError(104, "x"))]


@pytest.mark.parametrize(
    ("errors", "at_first", "later"),
    [(UNREACHABLE, True, False), (WRONG, True, True), (BROKEN, False, False)],
    ids=["not reached, unless it has answered before", "a wrong address", "a connection that broke"],
)
def test_a_place_is_left_where_asking_again_would_not_help(
    errors: list[Exception], *, at_first: bool, later: bool
) -> None:
    for error in errors:
        assert is_lasting(error, has_answered=False) is at_first
        assert is_lasting(error, has_answered=True) is later


def test_an_address_is_shown_without_what_can_be_secret() -> None:
    assert shown_url("https://user:secret@host:8443/a/b?token=secret#x") == "https://host:8443/a/b"
    assert shown_url("file:///srv/repository") == "file:///srv/repository"
