"""Ingest: one burst of the edges' messages, one transaction.

Ledger, views, accounts, grants and feed change together or not at all. A pool is debited in
the same transaction that writes the grant into the feed, so before anything is sent.
"""

from collections.abc import Iterable
from typing import Final

from central import devices, holdings, hub, ledger, past, streams, views
from central.accounts import Cell, Posting, fills_pool, postings
from central.answers import Report
from central.burst import Burst, Key, Outcome, UnfitError
from central.desk import Desk, Misfit, parked
from central.feed import destinations, document_of
from central.fences import rejoin, retell
from central.greeting import refusal
from central.office import Office
from central.relief import Need, needs_of
from central.stream import Entry, ForgottenError, Stream, WrongEpochError, again, take, take_ahead
from central.territory import territory_of
from central.turn import Turn
from shared.clock import to_ms
from shared.documents import require_later
from shared.errors import InternalError
from shared.events import (
    CapacityAnnounced,
    Data,
    EpochBegan,
    OrderAccepted,
    OrderParked,
    PickRequested,
    RoutePlanned,
    ShareReturned,
)
from shared.frames import Hello
from shared.lots import changes, scope_of
from shared.network import Network, parse_network

Unfit = dict[Key, InternalError]
"""Events that are to have no effect, since they met a fault of ours."""

REVIEW_SKUS_MAX: Final = 200
"""Lines that wait for so many SKUs are looked at again at a time."""


def record(turn: Turn, burst: Burst, unfit: Unfit, past_orders: int) -> Outcome:
    """Take a burst in.

    Args:
        turn: the transaction.
        burst: what was said.
        unfit: see above.
        past_orders: see `central.fences.retell`.

    Raises:
        UnfitError: an event that met a fault of ours.
    """
    rejoined = [edge_id for edge_id, hello in burst.hellos if _greet(turn, edge_id, hello)]
    entries = [_marked(x, unfit) for x in _take(turn, burst)]
    if entries:
        ledger.append(turn.connection, entries, turn.now_ms)
        turn.outcome.entries = len(entries)
        turn.outcome.poisoned = [entry for entry in entries if entry.fault is not None]
        views.save_poison(turn.connection, turn.outcome.poisoned)
    asks = [
        need
        for number, (edge_id, ask) in enumerate(burst.asks)
        if _may_ask(turn, edge_id)
        for need in needs_of(parked(edge_id, str(number), ask.lines))
    ]
    if entries or asks or burst.reports:
        _follow(turn, entries, asks, burst.reports, unfit)
    for entry in entries:
        stream = turn.stream(entry.edge_id)
        # An epoch before that one may be heard of late.
        if (
            isinstance(entry.data, EpochBegan)
            and stream.restored
            and entry.epoch == stream.share_epoch
        ):
            retell(turn, stream, past_orders)
    if rejoined:
        turn.share_out_all()
    for _, received in burst.contacts:
        turn.vault.keep(received)
    return turn.finish()


def publish(turn: Turn, network: Network, document: bytes) -> Outcome:
    """Keep a network, feed it to every edge, share out what it makes shareable.

    The same document again does nothing.

    Raises:
        InvalidDataError: its version is not later than the last one's.
    """
    latest = streams.latest_network(turn.connection)
    if latest is not None:
        last = parse_network(latest)
        if last == network:
            return turn.outcome
        require_later(network.version, last.version)
    streams.save_network(turn.connection, network.version, document)
    turn.territory = territory_of(network)
    turn.publish("network", document_of(network))
    turn.share_out_all()
    return turn.finish()


def review(turn: Turn, after: str) -> tuple[Outcome | None, str]:
    """Look again at pools below zero, and at lines that wait for the SKUs that come `after` one.

    An edge that is asked for units may be gone, and units that were granted may have gone to
    another order: neither tells, so nothing may depend on being told.

    Returns:
        What was done, None if there was nothing to look at; and where to go on the next time.
    """
    skus = views.lacking_after(turn.connection, after, REVIEW_SKUS_MAX)
    last = skus[-1] if len(skus) == REVIEW_SKUS_MAX else ""
    debts = holdings.load_debts(turn.connection)
    if not skus and not debts:
        return None, last
    book = turn.book()
    holdings.load_cells(turn.connection, book, debts)
    turn.share_out(book, views.load_lacking(turn.connection, set(skus)))
    return turn.finish(), last


def replay(
    turn: Turn, edge_id: str | None, sequence: int | None, unfit: Unfit
) -> tuple[Outcome, list[Entry]]:
    """Read poison events again by the present code; those that fit now get their effect.

    Returns:
        What was done, and all entries that were read; those that are still poison have a fault.

    Raises:
        UnfitError: an event that met a fault of ours.
    """
    entries = []
    for of, epoch, at, raw in views.load_poison(turn.connection, edge_id, sequence):
        stream = turn.stream(of)
        entry = again(of, epoch, at, raw, b"")._replace(late=stream.is_late(epoch))
        entries.append(_marked(entry, unfit))
    position = ledger.last_position(turn.connection)
    _follow(turn, entries, [], [], unfit)
    done = [x.key for x in entries if x.fault is None]
    views.drop_poison(turn.connection, done, position)
    return turn.finish(), entries


def _greet(turn: Turn, edge_id: str, hello: Hello) -> bool:
    """Take a hello in; True: the edge was fenced, and has its way back now."""
    stream = turn.stream(edge_id)
    try:
        stream.open(hello.epoch)
    except WrongEpochError as error:
        turn.outcome.refusals.append((edge_id, error))
        return False
    boot = hello.boots[-1]
    if stream.fenced:
        stream.last_seen_ms = turn.now_ms
        rejoin(turn, stream, hello)
        turn.outcome.greetings.append((edge_id, boot, ""))
        return True
    lost = boot != stream.boot and streams.is_noted(
        turn.connection, edge_id, hello.boots, "edge_behind"
    )
    refused = refusal(stream, hello, lost=lost)
    turn.outcome.greetings.append((edge_id, boot, refused))
    if refused:
        # A twin changes nothing: the one that it was copied from goes on.
        stream.closed = stream.closed or refused == "behind"
        detail = (
            f"{edge_id}, start {boot}, is not the process that central knows: was its disk copied?"
            if refused == "twin"
            else f"{edge_id} is at {hello.sequence} of epoch {hello.epoch}, feed {hello.feed}; "
            f"known is {stream.sequence} of {stream.epoch}, feed {stream.feed_acked}: "
            "was its disk restored?"
        )
        turn.note_once(Misfit(f"edge_{refused}", detail, edge_id=edge_id), edge_id, boot)
        return False
    stream.boot, stream.closed, stream.last_seen_ms = boot, False, turn.now_ms
    if hello.feed >= stream.feed_next:
        detail = (
            f"{edge_id} has applied feed item {hello.feed}; the last one here is "
            f"{stream.feed_next - 1}: has central's database been restored?"
        )
        turn.outcome.refusals.append((edge_id, ForgottenError(detail)))
    elif hello.feed > stream.feed_acked:
        stream.feed_acked = hello.feed
        streams.prune_feed(turn.connection, edge_id, hello.feed)
    return False


def _may_ask(turn: Turn, edge_id: str) -> bool:
    stream = turn.find(edge_id)
    return stream is not None and bool(stream.epoch) and not stream.fenced and not stream.closed


def _take(turn: Turn, burst: Burst) -> Iterable[Entry]:
    for number, (edge_id, raws) in enumerate(burst.logs):
        stream = turn.stream(edge_id)
        if stream.closed:
            detail = f"{edge_id} is behind what it has said before"
            turn.outcome.refusals.append((edge_id, ForgottenError(detail)))
            continue
        stream.last_seen_ms = turn.now_ms
        ahead = burst.ahead.get(number)
        taken = (ahead and take_ahead(stream, ahead)) or take(stream, raws)
        if taken.ended:
            ledger.save_ends(turn.connection, taken.ended)
            for entry in taken.entries:
                _check_ends(turn, entry)
        if taken.repeats:
            _compare(turn, stream, taken.repeats)
        yield from taken.entries
        if taken.refusal is not None:
            turn.outcome.refusals.append((edge_id, taken.refusal))


def _check_ends(turn: Turn, entry: Entry) -> None:
    """What a disk still holds of an epoch that went on without it comes too late for the ledger."""
    if isinstance(entry.data, EpochBegan):
        epoch, sequence = entry.data.previous_epoch, entry.data.previous_sequence
        end = ledger.end_of(turn.connection, entry.edge_id, epoch)
        if sequence > end:
            detail = (
                f"{entry.edge_id} has written through {sequence} in epoch {epoch}, which ended "
                f"at {end}: read its log from {end + 1} on"
            )
            turn.note(Misfit("epoch_over", detail), entry)


def _compare(turn: Turn, stream: Stream, repeats: list[tuple[int, int, bytes]]) -> None:
    """What is said again must be what was said before."""
    differing = ledger.differing(turn.connection, stream.edge_id, repeats)
    if differing:
        epoch, sequence = differing[0]
        detail = f"{stream.edge_id} says something else than before at {sequence} of epoch {epoch}"
        misfit = Misfit("diverged", detail, edge_id=stream.edge_id)
        turn.note_once(misfit, stream.edge_id, stream.boot)


def _marked(entry: Entry, unfit: Unfit) -> Entry:
    fault = unfit.get(entry.key)
    return entry if fault is None else entry._replace(data=None, fault=fault)


def _follow(
    turn: Turn, entries: list[Entry], asks: list[Need], reports: list[Report], unfit: Unfit
) -> None:
    """Apply events to views and accounts, pass them on, and share out what they moved."""
    office = Office(turn, entries, reports, unfit)
    moves = [[] if x.data is None else postings(x.data) for x in entries]
    answers = _answers(turn, entries)
    order_ids, task_ids = mentioned(entries)
    cells, skus = _stock(entries, moves, answers.values())
    skus |= {sku for ask in asks for sku in ask.units}
    desk = views.load_desk(turn.connection, order_ids | office.order_ids(), task_ids)
    book = turn.book()
    holdings.load_cells(turn.connection, book, cells)
    edges = {*turn.memory.streams, *turn.territory.edges, *turn.outcome.streams}
    for entry, posted in zip(entries, moves, strict=True):
        if entry.event is None or entry.data is None:
            continue
        misfits: list[Misfit] = []
        try:
            for rule, cell, units in posted:
                book.post(rule, cell, units, entry.edge_id, late=entry.late)
            for cell, units in answers.get(entry.key, ()):
                book.recall(cell, -units, entry.edge_id)
            office.follow(entry, desk)
            misfits += hub.apply(desk, entry.edge_id, entry.event, entry.data)
        except Exception as error:
            fault = InternalError(f"{type(error).__name__}: {error}")
            # One bad event must not stop all edges. Nothing in this block asks the disk.
            raise UnfitError(entry.key, fault) from error
        misfits += _late_sale(entry, posted)
        for misfit in misfits:
            turn.note(misfit, entry)
        _pass_on(turn, entry, entry.data, desk, edges)
    office.hear(desk)
    office.save()
    views.save_desk(turn.connection, desk)
    devices.follow(turn.connection, entries)
    for misfit in turn.vault.claim(
        {x.data.order_id for x in entries if isinstance(x.data, OrderAccepted)}
    ):
        turn.note(misfit)
    turn.share_out(book, views.load_lacking(turn.connection, skus), asks=asks)


def _answers(turn: Turn, entries: list[Entry]) -> dict[Key, list[tuple[Cell, int]]]:
    """What the recalls have asked for that are answered here."""
    return {
        entry.key: holdings.take_recall(turn.connection, entry.edge_id, entry.data.recall)
        for entry in entries
        if isinstance(entry.data, ShareReturned) and entry.data.recall is not None
    }


def mentioned(entries: list[Entry]) -> tuple[set[str], set[str]]:
    """Orders and tasks that entries are about, as far as they say."""
    order_ids, task_ids = set(), set()
    for entry in entries:
        if entry.event is not None and entry.data is not None:
            order_id, task_id = hub.mentions(entry.event, entry.data)
            order_ids.add(order_id)
            task_ids.add(task_id)
    return {x for x in order_ids if x is not None}, {x for x in task_ids if x is not None}


def _stock(
    entries: list[Entry],
    moves: list[list[Posting]],
    answers: Iterable[list[tuple[Cell, int]]],
) -> tuple[set[Cell], set[str]]:
    """Cells that move, and SKUs of which a pool may get units or that somebody lacks."""
    cells: set[Cell] = set()
    skus: set[str] = set()
    for entry, posted in zip(entries, moves, strict=True):
        for rule, cell, _ in posted:
            cells.add(cell)
            if fills_pool(rule, late=entry.late):
                skus.add(cell[1])
        if entry.data is not None:
            skus |= _parked_skus(entry.data)
    for answered in answers:
        cells |= {cell for cell, _ in answered}
        skus |= {cell[1] for cell, _ in answered}
    return cells, skus


def _late_sale(entry: Entry, posted: list[Posting]) -> list[Misfit]:
    if not entry.late or not any(rule == "commit" for rule, _, _ in posted):
        return []
    order_id = getattr(entry.data, "order_id", None)
    detail = f"{entry.edge_id} has sold in epoch {entry.epoch}, whose shares were taken back"
    return [Misfit("late_sale", detail, order_id)]


def _pass_on(turn: Turn, entry: Entry, data: Data, desk: Desk, edges: set[str]) -> None:
    territory = turn.territory
    for edge_id in destinations(entry.edge_id, data, territory, edges):
        turn.feed(edge_id, "event", entry.raw)
    if isinstance(data, CapacityAnnounced):
        assert entry.event is not None
        ends_ms = max(to_ms(slot.ends_at) for slot in data.slots)
        streams.save_capacity(turn.connection, entry.event.id, ends_ms, entry.raw)
    if entry.event is not None and (scope := scope_of(entry.event.id, data)) is not None:
        known = holdings.load_lots(turn.connection, scope)
        holdings.save_lots(turn.connection, changes(scope, data, known, turn.now_ms))
    if isinstance(data, PickRequested) and data.node_id not in territory.home:
        turn.note(Misfit("unknown_node", f"no network has node {data.node_id}"), entry)
    if isinstance(data, OrderAccepted):
        first = desk.orders[data.order_id].edge_id
        if first is not None and first != entry.edge_id:
            # The second edge learns whose the order is, and withdraws what it can.
            raw = past.acceptance(turn.connection, data.order_id, first)
            if raw is not None:
                turn.feed(entry.edge_id, "event", raw)


def _parked_skus(data: Data) -> set[str]:
    match data:
        case OrderAccepted(parked=parked) | OrderParked(parked=parked):
            return {x.sku for x in parked if x.group >= 0}
        case RoutePlanned(order_id=str(), parked=parked):
            return {x.sku for x in parked if x.group >= 0}
        case _:
            return set()
