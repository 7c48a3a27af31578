"""The edge's core: bursts in, durable decisions out. No loop, no thread, no wire, no clock.

Driven by `edge.dispatcher` on the daemon's loop, and by the simulator. The order of things is
the promise: decide a burst into one transaction, commit it, and only then say and acknowledge.

Times are of two clocks: `now_ms` is wall time, for stamps and decisions; `elapsed_ms` only
moves forward, for patience.
"""

from collections import deque
from dataclasses import replace
from typing import Final

import msgspec
import structlog

from edge.burst import Burst, Outcome
from edge.commands import Command, FromDevice, FromFeed, LackError, StopSelling
from edge.config import LogLimits
from edge.engine import Engine
from edge.health import Health
from edge.intake import Message, read, sender_of
from edge.outbox import Outbox
from edge.records import Decision, Send, Task
from edge.store import Store
from edge.sync import Item, Sync
from shared.clock import to_datetime
from shared.errors import (
    GapError,
    InternalError,
    NoNetworkError,
    OutboxFullError,
    OverloadedError,
    PointsmanError,
    StaleStoreError,
    StorageError,
)
from shared.frames import Ask

UNLISTED_MAX: Final = 1_000
"""Refused questions that wait to be written into the quarantine; beyond it the oldest go."""

REST_MS: Final = 1_000
"""After the disk has failed, before anything but a device's message tries it again."""

FEED_ITEMS_MAX: Final = 4
RETRIES_MAX: Final = 4
"""Per turn, so that neither a backlog of feed nor of parked orders holds up a till."""

WAKES_MAX: Final = 1_000
"""Orders per turn that are due because what they wait for was expected by now."""

TASKS_REMINDED_MAX: Final = 50
"""Per node."""

RETRY_AFTER_MS: Final = 1_000

ASK_MS_MAX: Final = 100
"""How long a payment waits for central to find units: within the 200 ms of an answer."""

ASKS_MAX: Final = 64
"""Payments that wait so at once; more are decided with what is here."""

SILENCE_MS: Final = 90_000
HOUSEKEEPING_MS: Final = 1_000
WIPE_MS: Final = 10_000
"""Contacts that central has stay in the database's log for about so long at most."""

PRUNED_ROWS_MAX: Final = 2_000
_DAY_MS: Final = 86_400_000

log = structlog.get_logger()


class Core:
    """Owns engine, store and the conversation with central.

    Args:
        edge_id: this edge.
        store: keeps.
        boots: see `edge.sync.Sync`.
        limits: how much of the log is kept.
        now_ms: wall time.
        silence_ms: see `edge.health.Health`.

    Attributes:
        applied: number of the newest feed item that is durable; the memory may be ahead.
        committing: set by who commits on another thread: the store must not be touched.
    """

    def __init__(
        self,
        edge_id: str,
        store: Store,
        boots: list[str],
        limits: LogLimits,
        now_ms: int,
        silence_ms: int = SILENCE_MS,
    ) -> None:
        """See the class."""
        self.engine = Engine(edge_id, store, now_ms)
        self.store = store
        self.sync = Sync(edge_id, store, boots, lambda: self.applied)
        self.sync.refused = self.engine.state.unfit
        self.applied = self.engine.state.feed
        self.health = Health(store.devices(), store.health_after(self.sync.acked), silence_ms)
        self._limits = limits
        self._outbox = Outbox(limits.outbox_rows_max)
        self._house_ms = self._wipe_ms = self._asks = 0
        self.committing = False
        self._boots_known = list(boots)
        self._resend_all = False
        self._unlisted: deque[tuple[str, bytes, PointsmanError]] = deque(maxlen=UNLISTED_MAX)
        self._asking: dict[str, tuple[Message, int]] = {}
        self._resting_ms: int | None = None

    # What a turn consists of.

    def answer(self, message: Message, now_ms: int) -> list[Send]:
        """Answer a question from memory. It commits nothing, so it waits for nothing."""
        try:
            return self._handle(read(message), now_ms).sends
        except PointsmanError as error:
            self._unlisted.append((message.topic, message.payload, error))
            return self.refuse(message, error, now_ms)

    def decide(self, messages: list[Message], now_ms: int, elapsed_ms: int) -> Burst:
        """Decide messages, and what else waits, into the store's transaction.

        Commit it if `store.dirty`; then call `settle`, or `undo` first if that failed.
        """
        burst = Burst()
        try:
            self._fill(burst, messages, now_ms, elapsed_ms)
        except StorageError as error:
            self.undo(burst, error, now_ms, elapsed_ms)
        return burst

    def undo(self, burst: Burst, error: StorageError, now_ms: int, elapsed_ms: int) -> None:
        """The disk has failed: go back to what it says."""
        log.error("storage_failed", error=str(error))
        self.store.rollback()
        self.health.undone(self.store.durable)
        self._reload(now_ms)
        burst.fail(error)
        self._resting_ms = elapsed_ms + REST_MS

    def settle(self, burst: Burst, now_ms: int) -> Outcome:
        """The burst is durable: what is to be said and acknowledged now."""
        outcome = Outcome()
        self.applied = self.engine.state.feed
        self.health.settled()
        for decision in burst.decisions:
            if decision.network is not None:
                log.info("network_applied", version=decision.network.version)
                outcome.network = True
            if decision.sourcing is not None:
                log.info("sourcing_applied", version=decision.sourcing.version)
            if decision.prices is not None:
                log.info("prices_applied", version=decision.prices.version)
            if decision.granted:
                log.info("grant_applied", feed=decision.feed, cells=len(decision.given))
            if decision.epochs is not None:
                log.warning("epoch_began", epoch=decision.epochs[-1][0])
                self.sync.rejoined()
                self.health.retell()
                outcome.rejoined = True
            outcome.sends += decision.sends
            for peer in decision.peers:
                self.sync.forward(peer)
            outcome.news |= bool(decision.log or decision.contact or decision.peers)
        for message, reason in burst.refused:
            outcome.sends += self.refuse(message, reason, now_ms)
        outcome.done += burst.messages
        if burst.greet:
            self.sync.greet()
            outcome.news = True
        self._outbox.watch(self.store.durable - self.sync.acked)
        return outcome

    def has_work(self, elapsed_ms: int) -> bool:
        """Whether another turn is due, apart from what devices have sent."""
        if self._ready_asks(elapsed_ms):
            return True
        if self._resting_ms is not None and elapsed_ms < self._resting_ms:
            return False
        state = self.engine.state
        return bool(
            self._must_stop
            or self._unlisted
            or self.sync.inbox
            or self.sync.kept_contacts
            or (state.due and not state.idle)
            or self._resend_all
        )

    def resend_all(self) -> None:
        """The broker may have forgotten the tasks that it was given."""
        self._resend_all = True

    def reminders(self) -> list[Task]:
        """Tasks that no warehouse has accepted."""
        return self.store.issued_tasks(TASKS_REMINDED_MAX)

    def forget_asks(self) -> None:
        """The broker will deliver anew what waits here unacknowledged."""
        self._asking.clear()

    def refuse(self, message: Message, error: PointsmanError, now_ms: int) -> list[Send]:
        """The answer to a message that was refused; none where its topic names nobody."""
        device, cause_id = sender_of(message)
        if device is None:
            return []  # The quarantine keeps it.
        helps = NoNetworkError | OutboxFullError | OverloadedError | StaleStoreError | StorageError
        again = RETRY_AFTER_MS if isinstance(error, helps) else None
        return [self.engine.refuse(device, cause_id, error, now_ms, again)]

    # Deciding.

    def _fill(self, burst: Burst, messages: list[Message], now_ms: int, elapsed_ms: int) -> None:
        self._bound_log()
        waited = [self._asking.pop(ask_id)[0] for ask_id in self._ready_asks(elapsed_ms)]
        # All of them: a burst that fails refuses every message that it has taken.
        burst.messages = [*waited, *messages]
        if self._must_stop:
            # Asked anew in each turn, so that a disk that fails does not make it forget.
            self._decide(burst, StopSelling(self.sync.refused), now_ms)
            log.error("store_unfit", reason=self.sync.refused)
        for message in waited:
            self._take_message(burst, message, now_ms, None)
        for message in messages:
            wait = elapsed_ms + ASK_MS_MAX if self._may_ask(elapsed_ms) else None
            self._take_message(burst, message, now_ms, wait)
        if self._resting_ms is not None:
            if elapsed_ms < self._resting_ms:
                return  # The disk has failed: only devices, who are told, may try it.
            self._resting_ms = None
        while self._unlisted:
            self._quarantine(*self._unlisted[0], now_ms)
            self._unlisted.popleft()
        if self._resend_all:
            self._resend_all = False
            sends = [Send(x.request.node_id, x.request.kind, x.event) for x in self.reminders()]
            burst.decisions.append(Decision(sends=sends))
        for _ in range(min(len(self.sync.inbox), FEED_ITEMS_MAX)):
            self._take_item(burst, *self.sync.inbox.popleft(), now_ms)
        self._note_central()
        self._tell_health(burst, now_ms, elapsed_ms)
        self._keep_house(now_ms, elapsed_ms)
        self.engine.state.wake(now_ms, WAKES_MAX)
        for _ in range(RETRIES_MAX):
            retry = self.engine.due()
            if retry is None:
                break
            try:
                self._decide(burst, retry, now_ms)
            except StorageError:
                raise
            except PointsmanError as error:
                log.error("retry_failed", order_id=retry.order_id, error=str(error))

    def _take_message(
        self, burst: Burst, message: Message, now_ms: int, wait_until_ms: int | None
    ) -> None:
        """Decide a message; a payment may wait for units until `wait_until_ms`, if that is set."""
        try:
            command = replace(read(message), patient=wait_until_ms is not None)
            self._decide(burst, command, now_ms)
        except LackError as lack:
            burst.messages.remove(message)
            self._asks += 1
            # The first half names this process, so that no answer to another one's is taken.
            ask = Ask(id=f"{self.sync.boots[-1][:8]}{self._asks:08x}", lines=lack.lines)
            assert wait_until_ms is not None
            self._asking[ask.id] = message, wait_until_ms
            self.sync.ask(ask)
            burst.asked = True
        except StorageError:
            raise
        except PointsmanError as error:
            burst.refused.append((message, error))
            self._quarantine(message.topic, message.payload, error, now_ms)

    def _may_ask(self, elapsed_ms: int) -> bool:
        return len(self._asking) < ASKS_MAX and self.sync.near(elapsed_ms)

    @property
    def _must_stop(self) -> bool:
        return bool(self.sync.refused) and not self.engine.state.unfit

    def _ready_asks(self, elapsed_ms: int) -> list[str]:
        """Asks that central has answered, with the units here; or that have waited enough."""
        answered = self.sync.answered
        for ask_id in [x for x in answered if x not in self._asking]:
            del answered[ask_id]
        return [
            ask_id
            for ask_id, (_, due_ms) in self._asking.items()
            if elapsed_ms >= due_ms
            or (ask_id in answered and answered[ask_id] <= self.engine.state.feed)
        ]

    def _note_central(self) -> None:
        """Write down what central has said."""
        if self.sync.kept_contacts:
            self.store.forget_contacts(self.sync.kept_contacts)
            self.sync.kept_contacts.clear()
        if self.sync.boots != self._boots_known:
            self.store.set_meta("boots", msgspec.json.encode(self.sync.boots).decode())
            self._boots_known = list(self.sync.boots)

    def _tell_health(self, burst: Burst, now_ms: int, elapsed_ms: int) -> None:
        """Log what has become of devices; what cannot be logged now is later."""
        if elapsed_ms >= self._house_ms:
            self.health.look(now_ms, elapsed_ms)
        told = None if self.engine.state.idle else self.health.due(elapsed_ms, self.sync.acked)
        if told is None:
            return
        try:
            self.health.logged(x.position for x in self._decide(burst, told, now_ms).log)
        except InternalError:  # said by `_handle`
            self.health.undone(self.store.durable)

    def _keep_house(self, now_ms: int, elapsed_ms: int) -> None:
        """Now and then: note how far central is, forget what it has had for long enough."""
        if elapsed_ms < self._house_ms:
            return
        self._house_ms = elapsed_ms + HOUSEKEEPING_MS
        before_ms = now_ms - self._limits.log_days * _DAY_MS
        pruned = self.store.prune_log(self.sync.acked, before_ms, PRUNED_ROWS_MAX)
        self.store.prune_decisions(self._limits.decided_rows_max, PRUNED_ROWS_MAX)
        if str(self.sync.acked) != self.store.meta("acked", "0") or pruned:
            self.store.set_meta("acked", str(self.sync.acked))
        if self.store.traces and elapsed_ms >= self._wipe_ms:
            self._wipe_ms = elapsed_ms + WIPE_MS
            self.store.wipe()

    def _handle(self, command: Command, now_ms: int) -> Decision:
        """Decide; a fault of ours at one input must not stop the tills."""
        try:
            if isinstance(command, FromDevice) and self.health.take(command, now_ms):
                return Decision()
            return self.engine.handle(command, now_ms)
        except (PointsmanError, LackError):
            raise
        except Exception as error:
            log.exception("internal_error", command=type(command).__name__)
            if not self.committing:
                self._reload(now_ms)  # The memory may have moved half-way.
            raise InternalError(
                f"{type(error).__name__} while deciding",
                expected="a report of this fault, with the quarantined input",
            ) from error

    def _reload(self, now_ms: int) -> None:
        self.engine.reload(now_ms)
        self._bound_log()

    def _bound_log(self) -> None:
        acked = self.sync.acked
        self.engine.state.log_end_max = self._outbox.end_max(acked, self.health.unacked(acked))

    def _decide(self, burst: Burst, command: Command, now_ms: int) -> Decision:
        """Decide, and what follows from it, and put it into the open transaction."""
        decision = self._handle(command, now_ms)
        self.store.write(decision)
        burst.decisions.append(decision)
        for follow_up in decision.after:
            try:
                self._decide(burst, follow_up, now_ms)
            except StorageError:
                raise
            except PointsmanError as error:
                log.error("follow_up_failed", event_id=follow_up.event.id, error=str(error))
        return decision

    def _take_item(self, burst: Burst, topic: str, payload: bytes, item: Item, now_ms: int) -> None:
        """Something from central or a peer."""
        if isinstance(item, PointsmanError):
            self._quarantine(topic, payload, item, now_ms)
            return
        burst.greet |= isinstance(item, FromFeed)
        try:
            decision = self._decide(burst, item, now_ms)
        except StorageError:
            raise
        except GapError as error:
            log.info("feed_gap", detail=error.detail)
        except PointsmanError as error:
            self._quarantine(topic, payload, error, now_ms)
        else:
            if decision.fault is not None:
                cause = decision.fault.__cause__
                log.error("feed_item_skipped", topic=topic, exc_info=cause)
                self._quarantine(topic, payload, decision.fault, now_ms)

    def _quarantine(self, topic: str, payload: bytes, error: PointsmanError, now_ms: int) -> None:
        log.warning("input_rejected", topic=topic[:200], code=error.code, place=error.place[:200])
        self.store.quarantine(topic, payload, error, to_datetime(now_ms).isoformat())
