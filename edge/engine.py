"""The engine: commands in, decisions out. No clock, no network, no disk of its own.

It reads records through a port, and holds in memory what a decision needs (`State`). A
decision changes the memory at once and the disk when the store commits it; if the commit
fails, `reload` goes back to what the disk says. Nothing may be sent before the commit.
"""

import hashlib
from typing import Final

import msgspec

from edge import cancellations, counts, orders, rebuild, shares, tasks
from edge.commands import (
    Command,
    FeedItem,
    FollowUp,
    FromDevice,
    FromFeed,
    FromPeer,
    RetryParked,
    StopSelling,
)
from edge.journal import Cause
from edge.records import Answer, Decision, Records, Send
from edge.state import State
from shared.clock import to_datetime
from shared.envelope import Event, encode_event, make_event
from shared.errors import (
    AnswerPrunedError,
    GapError,
    IdReusedError,
    InternalError,
    OutboxFullError,
    PointsmanError,
    StaleStoreError,
    StorageError,
    TopicMismatchError,
    UnknownTypeError,
)
from shared.events import (
    CapacityAnnounced,
    Data,
    InputRejected,
    OrderAccepted,
    OrderCancelled,
    Payment,
    PickKept,
    PickRejected,
    PickReport,
    PickRequested,
    PickShort,
    PickWithdrawn,
    RouteRequested,
    StockCounted,
    StockExpected,
    StockMoved,
    StockReceived,
    type_of,
)
from shared.frames import Grant, Lots, Recall, Rejoin
from shared.network import Network
from shared.prices import Prices
from shared.sourcing import Sourcing
from shared.topics import edge_source

_ANSWERED: Final = {
    type_of(Payment): OrderAccepted.kind,
    type_of(OrderCancelled): OrderCancelled.kind,
}


class Engine:
    """Decides for one edge.

    Args:
        edge_id: this edge.
        records: what the edge keeps.
        now_ms: milliseconds since 1970 UTC.
    """

    def __init__(self, edge_id: str, records: Records, now_ms: int) -> None:
        """See the class."""
        self.edge_id = edge_id
        self._records = records
        self.state = State(edge_id, records, now_ms)

    def reload(self, now_ms: int) -> None:
        """Forget the memory and take what the store holds, after a commit has failed."""
        self.state = State(self.edge_id, self._records, now_ms)

    def handle(self, command: Command, now_ms: int) -> Decision:
        """Decide one command.

        Args:
            command: what was said; valid by its own schema.
            now_ms: the time of the decision, milliseconds since 1970 UTC.

        Returns:
            What changes and what is to be said. The memory has it already; the caller makes
            it durable before anything is sent.

        Raises:
            PointsmanError: the input is refused; nothing has changed.
            LackError: a patient payment lacks units; nothing has changed.
        """
        journal = self.state.journal
        position = journal.position
        decision = Decision()
        try:
            match command:
                case StopSelling(reason):
                    decision.unfit = reason
                case FromFeed(number, item):
                    decision = self._from_feed(number, item, now_ms)
                case FromPeer() if self.state.idle:
                    pass  # The certain way brings the task when there is where to keep it.
                case _ if self.state.unfit:
                    raise _unfit(self.state.unfit)
                case FromDevice():
                    self._from_device(decision, command, now_ms)
                case FromPeer(event, PickRequested() as request):
                    tasks.take_from_afar(self.state, decision, event, request)
                case FromPeer(event):
                    raise _unknown(event.type, "pick.requested")
                case RetryParked(order_id):
                    orders.retry(self.state, decision, order_id, now_ms)
                case FollowUp(event, PickShort() | PickRejected() as told):
                    orders.follow(self.state, decision, event, told, now_ms)
                case FollowUp(event, PickWithdrawn() | PickKept() as told):
                    cancellations.settle(self.state, decision, event, told, now_ms)
                case FollowUp(event, OrderAccepted() as first):
                    cancellations.yield_to(self.state, decision, event, first, now_ms)
        except BaseException:
            journal.position = position
            raise
        self.state.apply(decision)
        return decision

    def due(self) -> RetryParked | None:
        """The next order to try again, if any."""
        order_id = next(iter(self.state.due), None)
        if order_id is None or self.state.idle:
            return None
        del self.state.due[order_id]
        return RetryParked(order_id)

    def refuse(
        self, device: str, cause_id: str, error: PointsmanError, now_ms: int,
        retry_after_ms: int | None = None,
    ) -> Send:  # fmt: skip
        """The answer to an input that was refused.

        Args:
            device: who is told.
            cause_id: id of the refused event, or another name for it where it has none.
            error: why.
            now_ms: milliseconds since 1970 UTC.
            retry_after_ms: when to send the same event again, if that may help.
        """
        data = InputRejected(
            code=error.code,
            detail=error.detail[:1024],
            place=error.place[:1024],
            expected=error.expected[:1024],
            retry_after_ms=retry_after_ms,
        )
        return self._reply(device, cause_id, data, now_ms)

    def _reply(self, device: str, cause_id: str, data: Data, now_ms: int) -> Send:
        """An answer that is not logged, since it commits nothing."""
        event = make_event(
            data,
            id=f"{cause_id[:100]}.{data.kind}",
            source=edge_source(self.edge_id),
            time=to_datetime(now_ms),
            causationid=cause_id,
        )
        return Send(device, data.kind, encode_event(event))

    def _from_device(self, decision: Decision, command: FromDevice, now_ms: int) -> None:
        state = self.state
        device, event, data = command.device, command.event, command.data
        if isinstance(data, RouteRequested):
            decision.sends.append(
                self._reply(device, event.id, orders.quote(state, data, now_ms), now_ms)
            )
            return
        state.require_whole()
        digest = hashlib.blake2b(
            event.type.encode() + msgspec.json.encode(data), digest_size=16
        ).digest()
        known = self._records.answer(event.source, event.id)
        if known is not None:
            self._answer_again(decision, device, event, digest, known)
            return
        if state.journal.position >= state.log_end_max:
            raise OutboxFullError(
                "central has not taken this edge's log for too long",
                place="outbox",
                expected="a link to central; send the event again when it is back",
            )
        position: int | None = None
        match data:
            case Payment():
                position = state.journal.position + 1
                orders.accept(state, decision, command, data, now_ms)
            case OrderCancelled():
                position = state.journal.position + 1
                cancellations.cancel(state, decision, device, event, data, now_ms)
            case PickReport():
                logged, told = tasks.report(state, decision, device, event, data, now_ms)
                if (
                    isinstance(told, PickShort | PickRejected)
                    and told.home_edge_id == state.edge_id
                ):
                    orders.follow(state, decision, logged, told, now_ms)
            case (
                StockReceived()
                | StockExpected()
                | StockCounted()
                | StockMoved()
                | CapacityAnnounced()
            ):
                self._stock_report(decision, device, event, data, now_ms)
            case _:
                raise _unknown(event.type, "an event that devices publish")
        decision.answers.append((event.source, event.id, Answer(digest, position)))

    def _answer_again(
        self, decision: Decision, device: str, event: Event, digest: bytes, known: Answer
    ) -> None:
        """The same event again gets the stored answer; the same id with other content, none."""
        if known.digest and digest != known.digest:
            raise IdReusedError(
                f"event {event.id!r} of {event.source} was sent before with other content",
                place="$.id",
                expected="a new id for a new event; the very same event to repeat one",
            )
        kind = _ANSWERED.get(event.type)
        if kind is None:
            return
        payload = None if known.position is None else self._records.log_entry(known.position)
        if payload is None:  # Pruned, or lost with the disk.
            raise AnswerPrunedError(
                f"event {event.id!r} was answered long ago; the answer is no longer kept here",
                place="$.id",
                expected="nothing: it has had its effect, and central's ledger has the answer",
            )
        decision.sends.append(Send(device, kind, payload))

    def _stock_report(
        self,
        decision: Decision,
        device: str,
        event: Event,
        data: StockReceived | StockExpected | StockCounted | StockMoved | CapacityAnnounced,
        now_ms: int,
    ) -> None:
        """Stock is told by its own node; central, which keeps the accounts, hands it out."""
        state = self.state
        state.require_own_node(data.node_id, "$.data.node_id")
        if device != data.node_id:
            raise TopicMismatchError(
                f"stock of node {data.node_id!r} on the topic of device {device!r}",
                place="topic",
                expected=f"the report on {data.node_id}'s own topic",
            )
        if isinstance(data, CapacityAnnounced):
            decision.capacity.append(data)
            beginning = Cause.of(event)
            state.journal.report(decision, event, data, now_ms, cause=beginning, order_id=event.id)
            return
        for number, sku in enumerate([line.sku for line in data.lines]):
            state.require_sku(sku, f"$.data.lines[{number}].sku")
        self._expect(decision, event.id, data, now_ms)
        if isinstance(data, StockMoved):
            state.require_node(data.to_node_id, "$.data.to_node_id")
            # The goods are gone: what this edge could still promise of them goes with them.
            from_share = state.shares(data.node_id, data.lines)
            decision.taken += from_share
            data = msgspec.structs.replace(data, from_share=from_share)
        logged = state.journal.report(
            decision, event, data, now_ms, cause=Cause.of(event), order_id=event.id
        )
        if isinstance(data, StockCounted):
            counts.follow(state, decision, logged, data, now_ms)

    def _expect(self, decision: Decision, event_id: str, data: Data, now_ms: int) -> None:
        """What an event says of stock that is not here yet; who waits for it may look again."""
        decision.incoming += self.state.incoming.after(event_id, data, now_ms)
        for lot in decision.incoming:
            decision.due += self.state.waiting(lot.sku)

    def _from_feed(
        self,
        number: int,
        item: FeedItem | PointsmanError,
        now_ms: int,
    ) -> Decision:
        state = self.state
        if number <= state.feed:
            return Decision()  # Applied before: numbers make every item count once.
        restored = isinstance(item, Rejoin) and item.restored
        if state.unfit and not isinstance(item, Rejoin):
            raise _unfit(state.unfit)
        if number != state.feed + 1 and not restored:
            raise GapError(
                f"feed item {number} arrived after {state.feed}",
                place="topic",
                expected=f"item {state.feed + 1}; central sends again from there",
            )
        position, epochs = state.journal.position, state.journal.epochs
        decision = Decision()
        try:
            if isinstance(item, PointsmanError):
                raise item
            self._take_item(decision, number, item, now_ms)
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001  # it must not hold up what comes behind it
            state.journal.position, state.journal.epochs = position, epochs
            decision = Decision(fault=_fault(error))
            if isinstance(item, Grant | list):
                # Without it shares or orders would be missing for good: begin anew.
                decision.unfit = f"feed item {number} could not be applied: {error}"
        decision.feed = number
        return decision

    def _take_item(self, decision: Decision, number: int, item: FeedItem, now_ms: int) -> None:
        state = self.state
        match item:
            case Network():
                decision.network = item
            case Sourcing():
                decision.sourcing = item
            case Prices():
                decision.prices = item
            case Recall(cells=cells):
                shares.give_back(state, decision, number, cells, now_ms)
            case Rejoin():
                shares.rejoin(state, decision, item, now_ms)
            case list():
                rebuild.follow(state, decision, item)
            case Grant(cells=cells):
                decision.given += cells
                decision.granted = True
                decision.orders += shares.forgiven(state, cells)
            case (event, PickRequested() as request):
                tasks.take_from_afar(state, decision, event, request)
            case (event, PickShort() | PickRejected() as told):
                orders.follow(state, decision, event, told, now_ms)
            case (event, PickWithdrawn() | PickKept() as told):
                cancellations.settle(state, decision, event, told, now_ms)
            case (event, OrderCancelled() as asked):
                tasks.withdraw(state, decision, event, asked, now_ms)
            case (event, OrderAccepted() as accepted):
                cancellations.yield_to(state, decision, event, accepted, now_ms)
            case (_, CapacityAnnounced() as announced):
                decision.capacity.append(announced)
            case Lots(lots=lots):
                decision.incoming += lots
            case (event, StockExpected() | StockMoved() | StockReceived() as told):
                self._expect(decision, event.id, told, now_ms)
            case (event, _):
                raise _unknown(event.type, "an event that central forwards")


def _fault(error: Exception) -> PointsmanError:
    if isinstance(error, PointsmanError):
        return error
    fault = InternalError(f"{type(error).__name__}: {error}", place="feed")
    fault.__cause__ = error
    return fault


def _unfit(reason: str) -> StaleStoreError:
    return StaleStoreError(
        reason,
        place="store",
        expected="`pointsman central fence` for this edge: it then begins a new epoch",
    )


def _unknown(type_name: str, expected: str) -> UnknownTypeError:
    return UnknownTypeError(
        f"{type_name[:100]!r} is not taken here", place="$.type", expected=expected
    )
