"""What a server says of itself that the videos of a question depend on."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from recipes.serve.llamacpp.server import local_session

CONNECT_S = 10.0
PROPS_S = 60.0  # a busy server may say it late


@dataclass(frozen=True)
class ServerLimits:
    """What a server says of itself: the tokens of its context (0: not known), and whether it reads videos."""

    context: int = 0
    videos: bool | None = None


def server_limits(base: str, *, key: str | None) -> ServerLimits:
    """Return what a server says of itself; nothing is known of one that does not."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with local_session() as session:
            answer = session.get(
                f"{base}/props", headers=headers, timeout=(CONNECT_S, PROPS_S), allow_redirects=False
            )
            said = answer.json()
            context = int(said["default_generation_settings"]["n_ctx"])
            return ServerLimits(context, said.get("modalities", {}).get("video") is True)
    except (requests.RequestException, ValueError, LookupError, TypeError, AttributeError):
        return ServerLimits()
