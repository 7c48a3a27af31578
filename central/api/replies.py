"""Answers as bytes, with an ETag where there is one thing to answer."""

import hashlib
from typing import Any, Final

import msgspec
from litestar import Request, Response

from central.api.answers import Resource
from central.api.problems import ProblemError

JSON: Final = "application/json"
TAGS_CHARS_MAX: Final = 4_096
"""Of an If-None-Match."""


def reply(
    answer: Resource, status: int = 200, headers: dict[str, str] | None = None
) -> Response[bytes]:
    """An answer that nobody keeps: lists change all the time, and persons are not to be kept."""
    return Response(
        msgspec.json.encode(answer), status_code=status, media_type=JSON,
        headers={"Cache-Control": "no-store"} | (headers or {}),
    )  # fmt: skip


def single(request: Request[Any, Any, Any], answer: Resource) -> Response[bytes]:
    """One thing, with a strong ETag; 304 without a body for who has it already (RFC 9110).

    Raises:
        ProblemError: 400; If-None-Match is too long.
    """
    known = request.headers.get("if-none-match", "")
    if len(known) > TAGS_CHARS_MAX:
        raise ProblemError(
            400, "invalid_parameter", f"{len(known)} characters", place="If-None-Match",
            expected=f"at most {TAGS_CHARS_MAX}",
        )  # fmt: skip
    body = msgspec.json.encode(answer)
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    # What a role may see differs, so an answer is its asker's alone.
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if _has(known, tag):
        return Response(b"", status_code=304, headers=headers, media_type=JSON)
    return Response(body, media_type=JSON, headers=headers)


def _has(header: str, tag: str) -> bool:
    known = [x.strip().removeprefix("W/") for x in header.split(",")]
    return tag in known or known == ["*"]
