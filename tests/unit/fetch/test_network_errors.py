from __future__ import annotations

import errno
import http.client
import socket
import ssl

import pytest
from requests import exceptions

from recipes.fetch.http.network_errors import OriginError, describe_fault, is_lasting, shown_url


def raised_from(outer: Exception, inner: BaseException) -> Exception:
    outer.__cause__ = inner
    return outer


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


CASES = [
    (exceptions.ConnectionError(ConnectionRefusedError(111, "x")), "connection refused"),
    (
        raised_from(exceptions.ConnectionError(), ConnectionResetError(104, "x")),
        "the connection was closed early",
    ),
    (
        exceptions.ConnectionError(socket.gaierror(-2, "x")),
        "its name cannot be resolved (is there a network?)",
    ),
    (
        exceptions.ConnectionError(OSError(errno.ENETUNREACH, "Network is unreachable")),
        "network is unreachable",
    ),
    (raised_from(exceptions.ReadTimeout(), TimeoutError()), "nothing came for 30 s"),
    (exceptions.ChunkedEncodingError(http.client.IncompleteRead(b"")), "the connection was closed early"),
    (exceptions.TooManyRedirects(), "too many redirects"),
    (
        exceptions.SSLError(certificate_error()),
        "its certificate is not trusted: self-signed certificate",
    ),
]


@pytest.mark.parametrize(("error", "text"), CASES)
def test_a_fault_is_said_by_the_cause_that_one_can_act_on(error: Exception, text: str) -> None:
    assert describe_fault(error, 30.0) == text


def test_causes_that_lead_in_a_circle_are_looked_at_once() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert describe_fault(first, 1.0) == "value error"


def test_a_library_text_with_an_address_is_not_shown() -> None:
    error = exceptions.InvalidURL("http://user:secret@host/?token=secret")
    assert describe_fault(error, 1.0) == "invalid url"


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError(ConnectionRefusedError(111, "x")),
        exceptions.ConnectionError(socket.gaierror(-2, "x")),
        exceptions.ConnectionError(OSError(errno.ENETUNREACH, "x")),
        exceptions.ConnectTimeout(),
        exceptions.ProxyError(),
    ],
)
def test_a_server_that_cannot_be_reached_is_left_unless_it_has_answered_before(error: Exception) -> None:
    assert is_lasting(error, has_answered=False)
    assert not is_lasting(error, has_answered=True)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.TooManyRedirects(),
        exceptions.SSLError(),
        exceptions.InvalidURL(),
        exceptions.InvalidSchema(),
    ],
)
def test_an_address_that_is_wrong_is_left_in_any_case(error: Exception) -> None:
    assert is_lasting(error, has_answered=True)


@pytest.mark.parametrize(
    "error", [exceptions.ReadTimeout(), exceptions.ConnectionError(ConnectionResetError(104, "x"))]
)
def test_a_connection_that_broke_is_tried_again(error: Exception) -> None:
    assert not is_lasting(error, has_answered=False)


def test_an_address_is_shown_without_what_can_be_secret() -> None:
    assert shown_url("https://user:secret@host:8443/a/b?token=secret#x") == "https://host:8443/a/b"
    assert shown_url("file:///srv/repository") == "file:///srv/repository"


def test_an_origin_error_says_whether_it_may_pass() -> None:
    assert not OriginError("x").may_pass
    assert OriginError("x", may_pass=True).may_pass
