"""Around everything: a name for each request, an end for clients that take nothing, the log."""

import asyncio
import re
import secrets
import time
from typing import Any, Final

import structlog
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from central.api.problems import REQUEST_ID
from central.api.tokens import Token

HEADER: Final = "X-Request-Id"
SEND_S_MAX: Final = 20.0

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_log = structlog.get_logger("central.api")


class Envelope:
    """An ASGI app around another.

    Args:
        app: the other.
        send_s_max: a client that takes nothing for so long is cut off.
    """

    def __init__(self, app: ASGIApp, send_s_max: float = SEND_S_MAX) -> None:
        """See the class."""
        self._app = app
        self._send_s_max = send_s_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        request: dict[str, Any] = scope  # type: ignore[assignment]  # with a key of our own
        if request["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = request[REQUEST_ID] = _name_of(request)
        started_s = time.monotonic()
        status = 0

        async def say(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_headers(name)]
            async with asyncio.timeout(self._send_s_max):
                await send(message)

        try:
            await self._app(scope, receive, say)
        except TimeoutError:
            _log.warning("client_cut_off", request_id=name)
        finally:
            user = request.get("user")
            _log.info(
                "request",
                request_id=name,
                method=request["method"],
                route=request.get("path_template", ""),
                status=status,
                ms=round((time.monotonic() - started_s) * 1000, 1),
                token=user.name if isinstance(user, Token) else None,
            )


def _name_of(request: dict[str, Any]) -> str:
    for key, value in request["headers"]:
        if key == HEADER.lower().encode() and _NAME.fullmatch(value.decode("latin-1")):
            return str(value.decode("ascii"))
    return secrets.token_hex(8)


def _headers(name: str) -> list[tuple[bytes, bytes]]:
    return [
        (HEADER.lower().encode(), name.encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
