"""A refusal of the door: a status, and words that name what was wrong, in the shape of OpenAI's errors."""

from __future__ import annotations

import json

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, NOT_ALLOWED = 400, 401, 403, 404, 405
TIMED_OUT, TOO_LARGE, WRONG_TYPE, BAD_GATEWAY, BUSY = 408, 413, 415, 502, 503
KINDS = {
    UNAUTHORIZED: "authentication_error",
    FORBIDDEN: "permission_error",
    NOT_FOUND: "not_found_error",
    BAD_GATEWAY: "server_error",
    BUSY: "unavailable_error",
}


class RefusedError(Exception):
    """A request that is not passed on; `param` is the field that is wrong, where it is one."""

    def __init__(self, status: int, message: str, param: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.param = status, message, param

    @property
    def body(self) -> bytes:
        """The error as JSON."""
        return error_body(self.status, self.message, self.param)


def error_body(status: int, message: str, param: str = "") -> bytes:
    """Return an error in the shape that llama-server and OpenAI's API share."""
    kind = KINDS.get(status, "invalid_request_error")
    error = {"code": status, "message": message, "type": kind, **({"param": param} if param else {})}
    return json.dumps({"error": error}).encode()
