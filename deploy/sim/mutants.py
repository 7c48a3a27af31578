"""Planted bugs: each one a small change to the real code, which the simulator has to catch.

A checker that cannot fail proves nothing. Each mutant breaks one thing that a promise hangs on;
`pointsman sim` finds every one of them within a few seeds, and a test holds it to that.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import central.core
import central.feed
import central.fences
import central.greeting
import central.ingest
import central.stream
from central.accounts import Book, postings
from central.escrow import DemandPolicy
from central.relief import Relief
from central.stream import Stream
from central.turn import Turn
from deploy.sim.edge_process import EdgeProcess
from deploy.sim.run import simulate
from deploy.sim.scenario import FAULTS, Scenario
from deploy.sim.simulation import Violation
from edge import cancellations, counts, orders, shares, tasks
from edge.burst import Burst
from edge.core import Core
from edge.engine import Engine
from edge.records import Decision
from edge.store import Store
from edge.sync import Sync
from shared.errors import GapError, StorageError
from shared.events import Data, PickShort, ShareReturned, StockReceived

Patch = Callable[[], AbstractContextManager[Any]]


class Mutant(NamedTuple):
    """A planted bug.

    Attributes:
        name: what it does wrong.
        plant: puts the bug in, as long as the context lasts.
        steps, edges: a world that is small, and shows it soon.
    without: faults that would only hide it.
    """

    name: str
    plant: Patch
    steps: int = 900
    edges: int = 4
    without: frozenset[str] = frozenset()


def _acknowledge_before_commit() -> AbstractContextManager[Any]:
    commit = EdgeProcess._commit

    def hasty(self: EdgeProcess, burst: Burst) -> None:
        core = self.core
        assert core is not None
        outcome = core.settle(burst, self.now_ms())
        self.watcher.edge_said(self, burst, outcome)
        self._say(outcome.sends)
        commit(self, Burst())

    return patch.object(EdgeProcess, "_commit", hasty)


def _commit_is_not_durable() -> AbstractContextManager[Any]:
    opened = Store.__init__

    def careless(self: Store, *args: Any, **options: Any) -> None:
        opened(self, *args, **options)
        self._connection.execute("pragma synchronous = off")

    return patch.object(Store, "__init__", careless)


def _grant_sent_before_debit() -> AbstractContextManager[Any]:
    # The units go out, and the pool keeps them as well until something else moves the cell.
    post = Book.post

    def late(self: Book, rule: Any, cell: Any, units: int, edge_id: str, **options: Any) -> None:
        if rule != "grant":
            post(self, rule, cell, units, edge_id, **options)

    return patch.object(Book, "post", late)


def _pool_not_debited() -> AbstractContextManager[Any]:
    # The share is written down, but the pool gets the units back behind everyone's back.
    post = Book.post

    def generous(
        self: Book, rule: Any, cell: Any, units: int, edge_id: str, **options: Any
    ) -> None:
        post(self, rule, cell, units, edge_id, **options)
        if rule == "grant":
            post(self, "receive", cell, units, edge_id)

    return patch.object(Book, "post", generous)


def _grant_applied_twice() -> AbstractContextManager[Any]:
    from_feed = Engine._from_feed

    def again(self: Engine, number: int, item: Any, now_ms: int) -> Decision:
        if number == self.state.feed and not self.state.unfit:
            self.state.feed -= 1
        return from_feed(self, number, item, now_ms)

    def careless(self: Sync, topic: str, kind: str, payload: bytes) -> None:
        applied, self._applied = self._applied, lambda: applied() - 1
        try:
            take_feed(self, topic, kind, payload)
        finally:
            self._applied = applied

    take_feed = Sync._take_feed
    return _both(
        patch.object(Engine, "_from_feed", again), patch.object(Sync, "_take_feed", careless)
    )


def _feed_gap_accepted() -> AbstractContextManager[Any]:
    from_feed = Engine._from_feed

    def hasty(self: Engine, number: int, item: Any, now_ms: int) -> Decision:
        if number > self.state.feed + 1 and not self.state.unfit:
            self.state.feed = number - 1
        return from_feed(self, number, item, now_ms)

    return patch.object(Engine, "_from_feed", hasty)


def _sequence_gap_accepted() -> AbstractContextManager[Any]:
    take_one = central.stream._take_one

    def hasty(stream: Stream, raw: bytes, taken: Any) -> None:
        before = stream.sequence
        try:
            take_one(stream, raw, taken)
        except GapError:
            _, sequence, _, _ = central.stream._placed(stream, raw)
            stream.sequence = max(before, sequence - 1)
            take_one(stream, raw, taken)

    return patch.object(central.stream, "_take_one", hasty)


def _share_credited_twice() -> AbstractContextManager[Any]:
    def twice(data: Any) -> Any:
        found = postings(data)
        return found * 2 if isinstance(data, ShareReturned) else found

    return patch("central.ingest.postings", twice)


def _recall_answered_and_kept() -> AbstractContextManager[Any]:
    give_back = shares.give_back

    def greedy(state: Any, decision: Decision, *args: Any) -> None:
        give_back(state, decision, *args)
        decision.taken = []

    return patch.object(shares, "give_back", greedy)


def _epoch_ignored() -> AbstractContextManager[Any]:
    return patch.object(Stream, "is_late", lambda self, epoch: False)


def _old_shares_kept() -> AbstractContextManager[Any]:
    write = Store.write

    def keep(self: Store, decision: Decision) -> None:
        if decision.epochs is None:
            write(self, decision)
            return
        cells = list(self.cells())
        write(self, decision)
        self._connection.executemany("insert or ignore into cells values (?, ?, ?)", cells)

    return patch.object(Store, "write", keep)


def _fence_keeps_shares() -> AbstractContextManager[Any]:
    post = Book.post

    def forgetful(
        self: Book, rule: Any, cell: Any, units: int, edge_id: str, **options: Any
    ) -> None:
        if rule == "return" and not options:
            options = {"late": True}
        post(self, rule, cell, units, edge_id, **options)

    return patch.object(Book, "post", forgetful)


def _log_forgotten_at_puback() -> AbstractContextManager[Any]:
    said = Sync.said

    def hasty(self: Sync, words: Any, elapsed_ms: int) -> None:
        said(self, words, elapsed_ms)
        self.acked = max(self.acked, self._sent)

    return patch.object(Sync, "said", hasty)


def _payment_not_recognised() -> AbstractContextManager[Any]:
    return patch.object(Store, "answer", lambda self, source, event_id: None)


def _restored_store_sells() -> AbstractContextManager[Any]:
    return patch("edge.start.unfit", lambda kept, found: "")


def _twin_not_recognised() -> AbstractContextManager[Any]:
    return _both(
        patch.object(central.ingest, "refusal", lambda *_, **__: ""),
        patch("edge.start.unfit", lambda kept, found: ""),
    )


def _short_releases_units() -> AbstractContextManager[Any]:
    follow = orders.follow

    def generous(state: Any, decision: Decision, event: Any, told: Any, now_ms: int) -> None:
        follow(state, decision, event, told, now_ms)
        if isinstance(told, PickShort):
            decision.given += orders.cells_of(told.node_id or "", told.missing)

    return patch.object(orders, "follow", generous)


def _accepted_task_released() -> AbstractContextManager[Any]:
    return patch.object(
        cancellations, "_issued", lambda task: task is not None and task.state != "withdrawn"
    )


def _afar_task_lost() -> AbstractContextManager[Any]:
    def deaf(state: Any, decision: Any, event: Any, request: Any) -> None:
        del state, decision, event, request

    return patch.object(tasks, "take_from_afar", deaf)


def _no_reload_after_rollback() -> AbstractContextManager[Any]:
    def undo(self: Core, burst: Burst, error: StorageError, now_ms: int, elapsed_ms: int) -> None:
        del now_ms
        self.store.rollback()
        burst.fail(error)
        self._resting_ms = elapsed_ms + 1_000

    return patch.object(Core, "undo", undo)


def _feed_number_not_kept() -> AbstractContextManager[Any]:
    write = Store.write

    def forgetful(self: Store, decision: Decision) -> None:
        if decision.granted:
            decision.feed = None
        write(self, decision)

    return patch.object(Store, "write", forgetful)


def _central_forgets_waiting_feed() -> AbstractContextManager[Any]:
    feed = Turn.feed

    def lossy(self: Turn, edge_id: str, kind: Any, body: bytes) -> int:
        number = feed(self, edge_id, kind, body)
        if kind == "event":
            item = self.outcome.items[-1]
            self.outcome.items[-1] = item._replace(body=item.body[:-1])
        return number

    return patch.object(Turn, "feed", lossy)


def _debt_is_granted() -> AbstractContextManager[Any]:
    return patch.object(DemandPolicy, "_reserve", lambda self, free: -2)


def _count_shortens_nothing() -> AbstractContextManager[Any]:
    shorten = counts._shorten

    def silent(state: Any, decision: Decision, *args: Any) -> None:
        shorten(state, decision, *args)
        decision.after = []

    return patch.object(counts, "_shorten", silent)


def _rules_forgotten_at_a_start() -> AbstractContextManager[Any]:
    return patch.object(Store, "sourcing", lambda self: None)


def _newcomers_not_told() -> AbstractContextManager[Any]:
    feed_documents = Turn.feed_documents

    def terse(self: Turn, edge_id: str) -> None:
        told, self.memory = self.memory, replace(self.memory, documents={})
        feed_documents(self, edge_id)
        self.memory = told

    return patch.object(Turn, "feed_documents", terse)


@contextlib.contextmanager
def _both(*patches: AbstractContextManager[Any]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for one in patches:
            stack.enter_context(one)
        yield


def _receipts_stay_at_home() -> AbstractContextManager[Any]:
    # Other edges go on waiting for goods that have come.
    found = central.feed.destinations

    def forgetful(edge_id: str, data: Data, *rest: Any) -> tuple[str, ...]:
        return () if isinstance(data, StockReceived) else found(edge_id, data, *rest)

    return patch.object(central.ingest, "destinations", forgetful)


def _lots_not_told_again() -> AbstractContextManager[Any]:
    return patch.object(Turn, "feed_announced", lambda *_: None)


def _walk_in_fence_ignored() -> AbstractContextManager[Any]:
    return patch.object(Relief, "_fence", lambda *_: 0)


_CALM: Final = frozenset(FAULTS)

MUTANTS: Final = (
    Mutant("acknowledge before commit", _acknowledge_before_commit),
    Mutant("a commit is not durable", _commit_is_not_durable),
    Mutant("grant without a debit", _grant_sent_before_debit),
    Mutant("pool not debited", _pool_not_debited),
    Mutant("grant applied twice", _grant_applied_twice),
    Mutant("gap in the feed accepted", _feed_gap_accepted),
    Mutant("gap in the log accepted", _sequence_gap_accepted),
    Mutant("returned share credited twice", _share_credited_twice),
    Mutant("returned share kept", _recall_answered_and_kept),
    Mutant("epoch ignored", _epoch_ignored),
    Mutant("old shares kept in a new epoch", _old_shares_kept),
    Mutant("fence leaves the shares", _fence_keeps_shares),
    Mutant("log forgotten at the PUBACK", _log_forgotten_at_puback),
    Mutant("payment not recognised", _payment_not_recognised),
    Mutant("restored store sells", _restored_store_sells, 900, 4, _CALM - {"restores"}),
    Mutant("twin not recognised", _twin_not_recognised, 900, 4, _CALM - {"clones"}),
    Mutant("short pick releases units", _short_releases_units),
    Mutant("accepted task released", _accepted_task_released, 1_500, 3, _CALM),
    Mutant("task from afar lost", _afar_task_lost),
    Mutant("no reload after a rollback", _no_reload_after_rollback, 900, 4, _CALM - {"full"}),
    Mutant("feed number not kept", _feed_number_not_kept),
    Mutant("feed event torn", _central_forgets_waiting_feed),
    Mutant("more granted than there is", _debt_is_granted),
    Mutant("rules forgotten", _rules_forgotten_at_a_start, 900, 4, _CALM - {"networks", "crashes"}),
    Mutant("newcomers not told", _newcomers_not_told, 900, 4, _CALM - {"networks", "restores"}),
    Mutant("receipts of lots stay at home", _receipts_stay_at_home),
    Mutant("a restored edge is told of no lots", _lots_not_told_again),
    Mutant("a store gives its last units away", _walk_in_fence_ignored),
    Mutant("count tells nobody", _count_shortens_nothing, 1_500, 1, _CALM - {"losses"}),
)


def catch(mutant: Mutant, seeds_max: int) -> tuple[Scenario, Violation] | None:
    """The first seed that shows a planted bug, and would be sound without it.

    Args:
        mutant: the bug; planted here.
        seeds_max: how many are tried, from 0 on.
    """
    for seed in range(seeds_max):
        scenario = Scenario(
            seed=seed, steps=mutant.steps, edges=mutant.edges, without=mutant.without
        )
        with mutant.plant():
            violation = simulate(scenario).violation
        if violation is not None and simulate(scenario).violation is None:
            return scenario, violation
    return None
