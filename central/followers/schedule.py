"""When a webhook is tried again, and what an answer means.

Source: Standard Webhooks 1.0.0, its example of a retry schedule and its status codes.
"""

from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from shared.clock import to_ms

_MINUTE: Final = 60
_HOUR: Final = 3_600

DELAYS_S: Final = (
    0, 5, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR,
    24 * _HOUR,
)  # fmt: skip
"""Before each attempt, since the one before: about 75 hours in all. After the last comes death."""

JITTER: Final = 0.2
"""A delay is longer by up to this fraction, so that what failed together does not come together."""

RETRY_AFTER_S_MAX: Final = 24 * _HOUR
"""An endpoint may not put us off for longer than the longest delay."""

GONE: Final = 410
_WAIT: Final = (429, 503)


class Answer(NamedTuple):
    """What came of one attempt.

    Attributes:
        status: the HTTP status; None if there was no answer.
        detail: for a person, without anything of the body.
        wait_ms: how long the endpoint asks to be left alone; 0 if it does not.
    """

    status: int | None
    detail: str
    wait_ms: int = 0

    @property
    def delivered(self) -> bool:
        """Whether the endpoint has taken the event."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the endpoint wants nothing more, ever."""
        return self.status == GONE


def next_ms(attempts: int, now_ms: int, wait_ms: int, draw: float) -> int | None:
    """When to try again; None: never, the event is dead for this endpoint.

    Args:
        attempts: made so far, at least one, all in vain.
        now_ms: when the last one ended.
        wait_ms: what the endpoint asked for.
        draw: random, from 0 to 1.
    """
    assert attempts > 0, attempts
    if attempts >= len(DELAYS_S):
        return None
    delay_ms = round(DELAYS_S[attempts] * 1000 * (1 + JITTER * draw))
    return now_ms + max(delay_ms, wait_ms)


def wait_of(status: int, retry_after: str | None, now_ms: int) -> int:
    """Milliseconds that an answer asks us to wait; 0 if it asks for nothing that can be read.

    Args:
        status: only 429 and 503 may ask.
        retry_after: the header, seconds or an HTTP date (RFC 9110, 10.2.3).
        now_ms: the time.
    """
    if status not in _WAIT or retry_after is None:
        return 0
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        wanted = int(text[:9]) * 1000
    else:
        try:
            wanted = to_ms(parsedate_to_datetime(text)) - now_ms
        except (ValueError, TypeError, OverflowError):
            return 0
    return max(0, min(wanted, RETRY_AFTER_S_MAX * 1000))
