"""A turn's dealings with systems: commands that follow, answers that come or stay out."""

from collections.abc import Iterable, Mapping
from typing import Final

from central import answers, consequences, correspondence, ledger, views
from central.answers import Report
from central.burst import Key, UnfitError
from central.dealings import Awaited
from central.desk import Desk, Misfit
from central.feed import Line
from central.hub_stream import Cause
from central.stream import Entry
from central.turn import Turn
from shared.clock import to_datetime, to_ms
from shared.errors import IdReusedError, InternalError, InvalidDataError, PointsmanError
from shared.events import (
    OrderCancelled,
    OrderParked,
    PickReport,
    PickShort,
    RoutePlanned,
)
from shared.systems import AnswerMissed, StatusReported, Step
from shared.topics import HUB

MISSED_MAX: Final = 100
"""Answers of one step that are found missing at a time."""

AHEAD_MS: Final = 600_000
"""What a system believes from later on would hide all that it says until then."""

_CHANGES: Final = (RoutePlanned, OrderParked, OrderCancelled, PickShort)


class Office:
    """One turn's dealings.

    Args:
        turn: the transaction.
        entries: what edges have said in it.
        reports: what systems have said in it.
        unfit: see `central.ingest`.
    """

    def __init__(
        self,
        turn: Turn,
        entries: Iterable[Entry] = (),
        reports: Iterable[Report] = (),
        unfit: Mapping[Key, InternalError] | None = None,
    ) -> None:
        """See the class."""
        self._turn = turn
        self._reports = list(reports)
        self._unfit = unfit or {}
        self._written: list[Entry] = []
        # Before a system is named or has ever spoken there is nothing that could be told of.
        self._idle = not turn.memory.systems.systems and turn.hub.head.stream is None
        orders, tasks = (set(), set()) if self._idle else _concerned(entries)
        said = [(x.system, x.event, x.data) for x in self._reports]
        self.dealings = correspondence.load(
            turn.connection,
            orders=orders,
            tasks=tasks,
            commands={event.causationid for _, event, _ in said if event.causationid is not None},
            beliefs={(x, data.order_id) for x, _, data in said if isinstance(data, StatusReported)},
            events={(event.source, event.id) for _, event, _ in said},
        )

    def order_ids(self) -> set[str]:
        """Of the orders that systems have spoken of."""
        return {report.data.order_id for report in self._reports}

    def follow(self, entry: Entry, desk: Desk) -> None:
        """An entry is about to be applied to the desk: command what follows from it."""
        if self._idle or entry.event is None or entry.data is None:
            return
        systems = self._turn.memory.systems
        self.dealings.apply(entry.edge_id, entry.event, entry.data, None)
        made = consequences.follow(
            entry.edge_id, entry.event, entry.data, desk, self.dealings, systems
        )
        for command in made:
            self._write(self._turn.hub.decide(command, Cause.of(entry.event)), desk)

    def hear(self, desk: Desk) -> None:
        """Take in what systems have said, after all that edges have said."""
        for report in self._reports:
            at = self.dealings.heard.get((report.event.source, report.event.id))
            error: PointsmanError | None = None
            if at is None:
                error = self._too_early(report)
            elif not self._is_same(report, at):
                error = IdReusedError(
                    f"event {report.event.id!r} was used before with other content",
                    place="$.id",
                    expected="a new id for a new event",
                )
            if error is not None:
                reply = answers.refused(report.system, report.event.id, error)
                self._turn.outcome.replies.append(reply)
                continue
            if at is None:
                entry = self._turn.hub.report(report.event, report.data)
                self._write(entry, desk)
                self._note_word(report, entry)
            self._turn.outcome.replies.append(answers.recorded(report))

    def miss(self, step: Step, limit_ms: int, seen_ms: Mapping[str, int]) -> None:
        """Note the commands of a step whose answers have stayed out for too long."""
        before_ms = self._turn.now_ms - limit_ms
        for row in correspondence.overdue(self._turn.connection, step, before_ms, MISSED_MAX):
            assert row.sequence is not None, row
            self.dealings.put(row)
            command = self._event_at(row.sequence)
            self._miss(row, Cause(row.command_id, command), seen_ms.get(row.system))

    def miss_tasks(
        self,
        limit_ms: int,
        after: tuple[int, str],
        lines: Mapping[str, Line],
    ) -> tuple[int, str]:
        """The same for pick tasks, from a place on; returns where to go on.

        Args:
            limit_ms: how long a warehouse may take.
            after: time and id of the task that was last looked at.
            lines: by edge id. What an edge that was away has to say of that time may still be
                on its way.
        """
        turn = self._turn
        before_ms = turn.now_ms - limit_ms
        rows = correspondence.overdue_tasks(turn.connection, after, before_ms, MISSED_MAX)
        for row in rows:
            edge_id = turn.territory.home.get(row.node_id or "")
            line = lines.get(edge_id or "")
            if row.command_id is not None or not row.units or row.order_id is None:
                continue
            if line is not None and line.back_ms > before_ms:
                continue
            cause = correspondence.request_of(turn.connection, row.order_id, row.task_id)
            if cause is not None:
                task = Awaited(
                    cause.id, row.order_id, row.node_id, "pick_acceptance", row.changed_ms,
                    task_id=row.task_id,
                )  # fmt: skip
                seen_ms = None if line is None else line.stream.last_seen_ms or None
                self._miss(task, cause, seen_ms, edge_id)
        return (rows[-1].changed_ms, rows[-1].task_id) if len(rows) == MISSED_MAX else (0, "")

    def save(self) -> None:
        """Write what was said and what has changed."""
        turn, dealings = self._turn, self.dealings
        ledger.append(turn.connection, self._written, turn.now_ms)
        views.save_poison(turn.connection, [x for x in self._written if x.fault is not None])
        correspondence.save(turn.connection, dealings)
        correspondence.save_sightings(
            turn.connection, {x.system for x in self._reports}, turn.now_ms
        )
        for command_id in dealings.commanded:
            row = dealings.awaited[command_id]
            assert row.sequence is not None, row
            turn.outcome.commanded[row.system] = row.sequence
        for command_id in dealings.closed:
            turn.outcome.closed.append((dealings.awaited[command_id].system, command_id))

    def _write(self, entry: Entry, desk: Desk | None) -> None:
        event, data = entry.event, entry.data
        assert event is not None
        assert data is not None
        if entry.key in self._unfit:
            entry = entry._replace(data=None, fault=self._unfit[entry.key])
            self._written.append(entry)
            self._turn.outcome.poisoned.append(entry)
            return
        order = None if desk is None else desk.orders.get(event.correlationid or "")
        try:
            state = None if order is None else order.state
            misfits = self.dealings.apply(HUB, event, data, state)
        except Exception as error:
            fault = InternalError(f"{type(error).__name__}: {error}")
            raise UnfitError(entry.key, fault) from error
        self._written.append(entry)
        for misfit in misfits:
            self._turn.note(misfit, entry)

    def _miss(
        self, row: Awaited, cause: Cause, seen_ms: int | None, edge_id: str | None = None
    ) -> None:
        data = AnswerMissed(
            order_id=row.order_id,
            system=row.system,
            step=row.step,
            command_id=row.command_id,
            since=to_datetime(row.since_ms),
            task_id=row.task_id,
            edge_id=edge_id,
            last_seen=None if seen_ms is None else to_datetime(seen_ms),
        )
        self._write(self._turn.hub.decide(data, cause), None)

    def _too_early(self, report: Report) -> InvalidDataError | None:
        data = report.data
        if not isinstance(data, StatusReported):
            return None
        if to_ms(data.at) <= self._turn.now_ms + AHEAD_MS:
            return None
        return InvalidDataError(
            f"{data.at.isoformat()} is more than {AHEAD_MS // 60_000} minutes ahead of "
            f"central's clock, which says {to_datetime(self._turn.now_ms).isoformat()}",
            place="$.data.at",
            expected="since when it is so, by a clock that is set",
        )

    def _note_word(self, report: Report, entry: Entry) -> None:
        """A word that the configuration does not know is kept, and someone has to see it."""
        data = report.data
        if not isinstance(data, StatusReported):
            return
        words = self._turn.memory.systems.words.get(report.system, {})
        if data.state not in words:
            detail = f"{report.system} says {data.state!r}, and [systems.states] has no such word"
            self._turn.note(Misfit("unknown_status", detail, data.order_id), entry)

    def _is_same(self, report: Report, sequence: int) -> bool:
        event = next((x.event for x in self._written if x.sequence == sequence), None)
        if event is None:
            entry = correspondence.entry_at(self._turn.connection, sequence)
            if entry is None:
                return True  # archived: there is nothing left to hold it against
            event = entry.event
        assert event is not None, sequence
        return answers.is_same(report.event, report.data, event)

    def _event_at(self, sequence: int) -> str | None:
        entry = correspondence.entry_at(self._turn.connection, sequence)
        return None if entry is None or entry.event is None else entry.event.hlc


def _concerned(entries: Iterable[Entry]) -> tuple[set[str], set[str]]:
    """Orders whose locks may change, and tasks that may be answered."""
    orders: set[str] = set()
    tasks: set[str] = set()
    for entry in entries:
        data, event = entry.data, entry.event
        if isinstance(data, _CHANGES) and event is not None:
            order_id = getattr(data, "order_id", None) or event.correlationid
            orders |= {order_id} if order_id else set()
        if isinstance(data, PickReport):
            tasks.add(data.task_id)
        elif isinstance(data, OrderCancelled):
            tasks |= set(data.withdrawn)
    return orders, tasks
