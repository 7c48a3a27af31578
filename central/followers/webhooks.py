"""Webhooks: each event that an endpoint wants is posted to it until it has taken it.

One worker for each endpoint, so that one that hangs holds up no other. A worker writes what is to
be delivered when it moves its cursor, sends the earliest open event of each order, and writes what
came of it; what was under way when it died is open still, and is sent again.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import httpx
import structlog

from central.config import Webhook
from central.followers.kinds import Kinds, kind_of
from central.followers.schedule import Answer, next_ms, wait_of
from central.followers.signatures import headers, message_id, read_secrets
from central.followers.store import Delivery, Store
from central.followers.tail import Entry, Tail
from shared.clock import Clock
from shared.ending import end
from shared.envelope import CONTENT_TYPE
from shared.errors import ConfigError

TIMEOUT_S: Final = 15.0
"""An endpoint that has not answered by then has not taken the event."""

OPEN_MAX: Final = 10_000
"""Rows that wait for one endpoint. More stays in the ledger until some are delivered or dead."""

DUE_MAX: Final = 256
POLL_S: Final = 0.25
ANSWER_BYTES_MAX: Final = 65_536
"""Read of an answer, so that its connection can be used again; what it says does not matter."""

_log = structlog.get_logger("central.webhooks")


class Worker:
    """Tells one endpoint.

    Args:
        webhook: the endpoint.
        store: what is remembered; others may use it in between.
        tail: of the ledger; this worker's own.
        clock: real time, since endpoints refuse stamps that are minutes off.
        draw: random numbers from 0 to 1, for jitter.
    """

    def __init__(
        self,
        webhook: Webhook,
        store: Store,
        tail: Tail,
        clock: Clock,
        draw: Callable[[], float],
    ) -> None:
        """See the class."""
        self.name = webhook.name
        self._webhook = webhook
        self._kinds = Kinds(webhook.kinds)
        self._store = store
        self._tail = tail
        self._clock = clock
        self._draw = draw
        self._ready: deque[Delivery] = deque()
        self._flights: dict[asyncio.Task[Answer], Delivery] = {}
        self._delivered: list[int] = []
        self._failed: list[Delivery] = []
        self._failing = False

    async def run(self) -> None:
        """Deliver until cancelled.

        Raises:
            ConfigError: secret or certificates cannot be used.
            StorageError: a database failed. Nothing is lost; it may be run again.
        """
        if self._store.cursor(self.name) is None:
            begin = 0 if self._webhook.begin == "first" else self._tail.end()
            self._store.join(self.name, begin)
        try:
            async with self._client() as client:
                while True:
                    await self._send(client, news=self._refill())
        finally:
            await end(*self._flights)
            for kept in (self._ready, self._flights, self._delivered, self._failed):
                kept.clear()

    def _client(self) -> httpx.AsyncClient:
        verify: ssl.SSLContext | bool = True
        if self._webhook.ca_file is not None:
            try:
                verify = ssl.create_default_context(cafile=self._webhook.ca_file)
            except OSError as error:
                raise ConfigError(
                    f"the certificates cannot be used: {error}",
                    place=f"webhooks.ca_file: {self._webhook.ca_file}",
                    expected="a file of certificates, PEM",
                ) from None
        parallel = self._webhook.parallel
        return httpx.AsyncClient(
            verify=verify,
            timeout=TIMEOUT_S,
            limits=httpx.Limits(max_connections=parallel, max_keepalive_connections=parallel),
            follow_redirects=False,
            trust_env=False,
            headers={"content-type": CONTENT_TYPE, "user-agent": "pointsman"},
        )

    def _refill(self) -> bool:
        """Write what has come of attempts, and see what is due; whether there is more to read."""
        if self._delivered or self._failed:
            self._store.settle(self.name, self._delivered, self._failed)
            self._delivered.clear()
            self._failed.clear()
        self._ready.clear()
        disabled_ms, paused_ms, waiting = self._store.state(self.name)
        if disabled_ms is not None:
            return False
        news = waiting < OPEN_MAX and self._plan()
        now_ms = self._clock.now_ms()
        if now_ms >= paused_ms:
            flying = {delivery.position for delivery in self._flights.values()}
            due = self._store.due(self.name, now_ms, DUE_MAX)
            self._ready.extend(delivery for delivery in due if delivery.position not in flying)
        return news

    def _plan(self) -> bool:
        cursor = self._store.cursor(self.name)
        assert cursor is not None, self.name
        rows = self._tail.read(cursor)
        if not rows:
            return False
        now_ms = self._clock.now_ms()
        found = [
            Delivery(self.name, row.position, kind, row.order_id, 0, now_ms, None, "")
            for row in rows
            if (kind := kind_of(row.type)) is not None and kind in self._kinds
        ]
        self._store.plan(self.name, rows[-1].position, found)
        return True

    async def _send(self, client: httpx.AsyncClient, *, news: bool) -> None:
        """Send what is ready, until something has to be written or read."""
        until_s = time.monotonic() + POLL_S
        keys = read_secrets(self._webhook.secret_file)
        quiet = not self._ready and not self._flights
        while True:
            while self._ready and len(self._flights) < self._webhook.parallel:
                self._start(client, keys, self._ready.popleft())
            if not self._flights:
                if quiet and not news:
                    await asyncio.sleep(POLL_S)
                return
            rest_s = max(0.0, until_s - time.monotonic())
            finished, _ = await asyncio.wait(
                self._flights, timeout=rest_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in finished:
                self._land(self._flights.pop(task), task.result())
            if rest_s == 0.0 or (not self._ready and (finished or news)):
                return

    def _start(self, client: httpx.AsyncClient, keys: list[bytes], delivery: Delivery) -> None:
        entry = self._tail.at(delivery.position)
        if entry is None:
            now_ms = self._clock.now_ms()
            reason = "the ledger does not have it any more"
            self._failed.append(delivery._replace(dead_ms=now_ms, reason=reason))
        else:
            task = asyncio.create_task(self._attempt(client, keys, entry))
            self._flights[task] = delivery

    async def _attempt(self, client: httpx.AsyncClient, keys: list[bytes], entry: Entry) -> Answer:
        message = message_id(entry.source, entry.event_id)
        signed = headers(keys, message, self._clock.now_ms() // 1000, entry.raw)
        answer: Answer | None = None
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                client.stream(
                    "POST", self._webhook.url, content=entry.raw, headers=signed
                ) as response,
            ):
                wait_ms = wait_of(
                    response.status_code,
                    response.headers.get("retry-after"),
                    self._clock.now_ms(),
                )
                answer = Answer(response.status_code, f"HTTP {response.status_code}", wait_ms)
                size = 0
                async for part in response.aiter_raw():
                    size += len(part)
                    if size > ANSWER_BYTES_MAX:
                        break
        except TimeoutError:
            return answer or Answer(None, f"no answer within {TIMEOUT_S:g} s")
        except (httpx.HTTPError, httpx.StreamError) as error:
            return answer or Answer(None, f"{type(error).__name__}: {error}")
        return answer

    def _land(self, delivery: Delivery, answer: Answer) -> None:
        now_ms = self._clock.now_ms()
        if answer.delivered:
            self._delivered.append(delivery.position)
            self._tell_change(failing=False, detail=answer.detail)
            return
        if answer.gone:
            self._store.disable(self.name, now_ms)
            self._ready.clear()
            _log.error("endpoint_disabled", endpoint=self.name, detail=answer.detail)
            return
        attempts = delivery.attempts + 1
        due_ms = next_ms(attempts, now_ms, answer.wait_ms, self._draw())
        failed = delivery._replace(attempts=attempts, reason=answer.detail)
        if due_ms is None:
            self._failed.append(failed._replace(dead_ms=now_ms))
            _log.error(
                "webhook_dead",
                endpoint=self.name,
                position=delivery.position,
                kind=delivery.kind,
                detail=answer.detail,
            )
        else:
            self._failed.append(failed._replace(due_ms=due_ms))
        if answer.wait_ms:
            self._store.pause(self.name, now_ms + answer.wait_ms)
            self._ready.clear()
        self._tell_change(failing=True, detail=answer.detail)

    def _tell_change(self, *, failing: bool, detail: str) -> None:
        # One line for each change, and not for each of ten thousand events.
        if failing != self._failing:
            self._failing = failing
            tell = _log.warning if failing else _log.info
            tell("webhook_failing" if failing else "webhook_recovered",
                 endpoint=self.name, detail=detail)  # fmt: skip
