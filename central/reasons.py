"""Why an order is where it is: what it waits for, since when, on whom, and the evidence. Pure.

Late is against the times that stand in the tasks: ready at the node, with the customer. What has
no such time is given `Patience`. The moment of the question is passed in.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from central.evidence import DeviceHealth, Evidence, Fact, Patience, Reason, Why
from central.story import Step, Story, TaskStory
from central.wording import WHY_SHORT, moment, safe
from shared.parts import Shortage
from shared.tasks import TaskState

_PATIENCE: Final = Patience()
OVER: Final[tuple[TaskState, ...]] = ("delivered", "rejected", "withdrawn")
"""States of tasks of which nothing is expected."""


def why(story: Story, evidence: Evidence, now: datetime, patience: Patience = _PATIENCE) -> Why:
    """Say where an order is stuck, since when and by whom, with the evidence.

    Args:
        story: of `central.story`.
        evidence: what the views say.
        now: the moment of the question.
        patience: see there.
    """
    asked = _Question(story, evidence, now, patience)
    reasons = sorted(asked.reasons(), key=lambda x: not x.blocks)
    blocking = next((x for x in reasons if x.blocks), None)
    answer = Why(
        order_id=story.order_id,
        state=story.state,
        asked_at=now,
        stuck=blocking is not None,
        what="",
        reasons=reasons,
    )
    if blocking is not None:
        answer.what, answer.since, answer.by = blocking.what, blocking.since, blocking.by
        return answer
    if story.archived:
        files = " or ".join(x.file for x in story.archived)
        state = story.state.replace("_", " ")
        answer.what = f"the order is {state}; what happened before is in archive file {files}"
        return answer
    answer.next, answer.next_by = asked.next()
    by = "" if answer.next_by is None else f" by {moment(answer.next_by)}"
    coming = f"next expected: {answer.next}{by}" if answer.next else "nothing more is expected"
    answer.what = f"not stuck: the order is {story.state.replace('_', ' ')}; {coming}"
    return answer


class _Question:
    """One order at one moment."""

    def __init__(self, story: Story, evidence: Evidence, now: datetime, patience: Patience) -> None:
        self.story, self.evidence, self.at, self.patience = story, evidence, now, patience
        self.open = [x for x in story.tasks if x.state not in OVER and x.lines]

    def reasons(self) -> Iterator[Reason]:
        """Everything that can be said, the most telling first."""
        yield from self._unknown()
        for task in self.open:
            yield from self._task(task)
        yield from self._failed()
        for shortage in self.story.waiting:
            yield self._waiting(shortage)
        yield from self._silent()
        yield from self._answers()
        yield from self._poison()
        yield from self._too_late()
        yield from self._till()
        yield from self._noted()

    def next(self) -> tuple[str | None, datetime | None]:
        """What is expected, and until when; of the task that is least far."""
        order: tuple[TaskState, ...] = ("issued", "accepted", "completed", "packed", "shipped")
        for task in sorted(self.open, key=lambda x: order.index(x.state)):
            who = task.node_id or "its node"
            match task.state:
                case "issued":
                    return f"{who} accepts task {task.task_id}", self._accept_by(task)
                case "accepted":
                    return f"{who} picks task {task.task_id}", task.ready_at
                case "completed" | "packed":
                    return f"the package leaves {who}", self._ship_by(task)
                case _:
                    return "the customer has the package", task.arrives_at
        return None, None

    def _unknown(self) -> Iterator[Reason]:
        if self.story.edge_id is None and self.story.steps:
            first = self.story.steps[0]
            yield Reason(
                code="acceptance_missing",
                what="the ledger has events of the order, and no order.accepted: "
                "its edge's log is behind, or that event cannot be read",
                since=first.received_at or first.time,
                by=None,
                blocks=True,
                facts=[Fact(first.time, first.what)],
            )

    def _task(self, task: TaskStory) -> Iterator[Reason]:
        node, task_id = task.node_id or "its node", task.task_id
        match task.state:
            case "issued":
                due, code = self._accept_by(task), "pick_not_accepted"
                what = f"pick task {task_id} was given to {node}, and not accepted"
            case "accepted":
                due, code = task.ready_at, "pick_not_completed"
                what = f"{node} has accepted pick task {task_id}, and not completed it"
            case "completed" | "packed":
                due, code = self._ship_by(task), "not_shipped"
                what = f"the package of task {task_id} is {task.state} at {node}, and has not left"
            case _:
                due, code = task.arrives_at, "delivery_late"
                what = f"the package of task {task_id} left {node}, and is not with the customer"
        signs = [] if task.state == "shipped" else self._signs(task)
        ill = any(blocks for blocks, _ in signs)
        if not ill and (due is None or self.at <= due):
            return
        facts = [*self._reports(task_id), *(fact for _, fact in signs)]
        if due is not None and self.at > due:
            facts.append(Fact(due, f"it was due by {moment(due)}"))
        yield Reason(
            code=code,
            what=f"{what} since {moment(task.since)}" if task.since else what,
            since=task.since or task.given_at,
            by=node,
            blocks=True,
            facts=_sorted(facts),
        )

    def _accept_by(self, task: TaskStory) -> datetime | None:
        if task.given_at is None:
            return task.ready_at
        due = task.given_at + timedelta(seconds=self.patience.accept_s)
        return due if task.ready_at is None or task.ready_at < task.given_at else min(
            due, task.ready_at
        )  # fmt: skip

    def _ship_by(self, task: TaskStory) -> datetime | None:
        if task.ready_at is None:
            return task.arrives_at
        due = task.ready_at + timedelta(seconds=self.patience.ship_s)
        return due if task.arrives_at is None else min(due, task.arrives_at)

    def _reports(self, task_id: str) -> list[Fact]:
        """What was said of a task."""
        steps = [x for x in self.story.steps if x.context.task_id == task_id]
        return [Fact(step.time, step.what) for step in steps]

    def _signs(self, task: TaskStory) -> list[tuple[bool, Fact]]:
        """What is known of the node's device and edge; True: nothing is to be expected of it."""
        found = []
        node = task.node_id or ""
        for device in self.evidence.devices.get(node, []):
            # Another device at the node may be down, and the node work all the same.
            own = device.device == node
            found += [(own and ill, fact) for ill, fact in _health(device, task.given_at)]
        edge_id = task.edge_id or self.evidence.home.get(node)
        if edge_id is not None and self._silence(edge_id) is not None:
            found.append((True, Fact(self._last_seen(edge_id), self._edge(edge_id))))
        return found

    def _silence(self, edge_id: str) -> str | None:
        """The code of what is wrong with an edge."""
        heard = self.evidence.edges.get(edge_id)
        if heard is None:
            return None
        if heard.fenced:
            return "edge_fenced"
        limit = timedelta(seconds=self.patience.silent_s)
        if heard.last_seen_at is not None and self.at - heard.last_seen_at <= limit:
            return None
        return "edge_silent"

    def _last_seen(self, edge_id: str) -> datetime | None:
        heard = self.evidence.edges.get(edge_id)
        return None if heard is None else heard.last_seen_at

    def _edge(self, edge_id: str) -> str:
        """What is known of an edge, in a sentence."""
        heard, seen = self.evidence.edges.get(edge_id), self._last_seen(edge_id)
        last = f"was last heard {moment(seen)}" if seen else "was never heard"
        fenced = heard is not None and heard.fenced
        return f"{edge_id} {last}" + (", and was fenced: its epoch has ended" if fenced else "")

    def _failed(self) -> Iterator[Reason]:
        units = self.story.units("short")
        moves = ((x, y) for x in self.story.steps for y in x.lines if y.after == "short")
        last = max((step.number for step, _ in moves), default=None)
        if not units or last is None:
            return
        step = self.story.steps[last - 1]
        due = step.time
        if due is not None and self.at <= due + timedelta(seconds=self.patience.follow_s):
            return
        edge_id = self.story.edge_id
        facts = [Fact(step.time, step.what)]
        if edge_id is not None:
            facts.append(Fact(self._last_seen(edge_id), self._edge(edge_id)))
        yield Reason(
            code="failure_not_followed",
            what=f"{units} units failed at a node, and {edge_id or 'the order edge'} has not said "
            "what follows",
            since=step.time,
            by=edge_id,
            blocks=True,
            facts=_sorted(facts),
        )

    def _waiting(self, x: Shortage) -> Reason:
        step = self._step(self.story.waiting_step)
        edge_id, since = self.story.edge_id, None if step is None else step.time
        what = f"line {x.line} waits at {edge_id}: {x.quantity} × {x.sku}, {WHY_SHORT[x.reason]}"
        cause = None if step is None or step.cause is None else self._step(step.cause.step)
        facts = [Fact(told.time, told.what) for told in (cause, step) if told is not None]
        if x.expected_at is not None:
            likely = f", likely to {x.expected_per_mille} in 1000" if x.expected_per_mille else ""
            text = f"more {x.sku} expected {moment(x.expected_at)}{likely}"
            facts.append(Fact(since, f"{text}, {edge_id} said"))
        coming = [lot for lot in self.evidence.coming if lot.sku == x.sku]
        for lot in coming:
            text = f"{lot.units} × {lot.sku} expected at {lot.node_id}"
            facts.append(Fact(None, f"{text} {moment(lot.expected_at)}, lot {safe(lot.lot_id)}"))
        if x.expected_at is None and not coming:
            facts.append(Fact(None, f"no arrival of {x.sku} is known"))
        stock = x.group >= 0
        return Reason(
            code="waiting_for_stock" if stock else "waiting_for_planner",
            what=what,
            since=since,
            by=edge_id,
            blocks=True,
            facts=_sorted(facts),
        )

    def _silent(self) -> Iterator[Reason]:
        if not self._unsettled():
            return
        for edge_id in sorted({x for x in (self.story.edge_id, *self._edges()) if x}):
            code = self._silence(edge_id)
            if code is None:
                continue
            home = edge_id == self.story.edge_id
            role = "keeps the order" if home else "speaks for a node of the order"
            seen = self._last_seen(edge_id)
            lost = code == "edge_fenced"
            yield Reason(
                code="home_edge_lost" if home and lost else code,
                what=f"{edge_id}, which {role}, "
                + ("was fenced and has not come back" if lost else "is not heard from"),
                since=seen,
                by=edge_id,
                blocks=True,
                facts=[Fact(seen, self._edge(edge_id))],
            )

    def _edges(self) -> set[str | None]:
        return {x.edge_id or self.evidence.home.get(x.node_id or "") for x in self.open}

    def _unsettled(self) -> bool:
        """Whether anything is still to come; what has left its node needs no edge any more."""
        waits = bool(self.story.waiting) or self.story.units("short", "planned") > 0
        return waits or any(task.state != "shipped" for task in self.open)

    def _answers(self) -> Iterator[Reason]:
        for x in self.evidence.awaited:
            if not x.missed and self.at <= x.due_at:
                continue
            seen = x.last_seen_at
            sign = f"{x.system} was last heard {moment(seen)}" if seen else f"no sign of {x.system}"
            facts = [
                Fact(x.asked_at, f"{x.asked} was sent to {x.system} {moment(x.asked_at)}"),
                Fact(x.due_at, f"no answer by {moment(x.due_at)}"),
                Fact(seen, sign),
            ]
            what = f"{x.system} has not answered {x.asked}, due by {moment(x.due_at)}"
            yield Reason(
                code="answer_missed", what=what, since=x.asked_at, by=x.system,
                blocks=x.blocks, facts=_sorted(facts),
            )  # fmt: skip

    def _poison(self) -> Iterator[Reason]:
        over = self.story.state in ("delivered", "cancelled")
        for step in self.story.steps:
            if step.no_effect is not None:
                at = f"{step.sequence} of epoch {step.epoch}"
                yield Reason(
                    code="event_without_effect",
                    what=f"an event of {step.edge_id} at {at} could not be applied "
                    f"({step.no_effect}): see `pointsman central poison`",
                    since=step.received_at or step.time,
                    by=step.edge_id,
                    blocks=not over,
                    facts=[Fact(step.time, step.what)],
                )

    def _too_late(self) -> Iterator[Reason]:
        for step in self.story.steps:
            if step.context.too_late:
                units = sum(x.quantity for x in step.context.too_late)
                yield Reason(
                    code="cancelled_too_late",
                    what=f"{units} units were cancelled when a warehouse had them already: "
                    "they come back as a return, or go out",
                    since=step.time,
                    by=None,
                    blocks=False,
                    facts=[Fact(step.time, step.what)],
                )

    def _till(self) -> Iterator[Reason]:
        till = self.evidence.till
        signs = [] if till is None else _health(till, self.story.opened_at)
        if till is None or not self._unsettled() or not any(ill for ill, _ in signs):
            return
        lost = till.online is False
        since = till.since if lost else next(x.since for x in till.faults if x.until is None)
        yield Reason(
            code="till_lost" if lost else "till_fault",
            what=f"{till.device}, which has sold the order, "
            + ("is not there" if lost else "has a fault"),
            since=since,
            by=till.device,
            blocks=False,
            facts=_sorted([fact for _, fact in signs]),
        )

    def _noted(self) -> Iterator[Reason]:
        for x in self.evidence.exceptions:
            yield Reason(
                code=x.code, what=safe(x.detail), since=x.at, by=x.by, blocks=False,
                facts=[Fact(x.at, f"noted {moment(x.at)}")],
            )  # fmt: skip
        for belief in self.evidence.beliefs:
            if not belief.agrees:
                yield Reason(
                    code="system_disagrees",
                    what=f"{belief.system} says {safe(belief.word)!r}; here it is "
                    f"{self.story.state}",
                    since=belief.since,
                    by=belief.system,
                    blocks=False,
                    facts=[Fact(belief.since, f"since {moment(belief.since)}")],
                )

    def _step(self, number: int | None) -> Step | None:
        return None if number is None else self.story.steps[number - 1]


def _health(device: DeviceHealth, after: datetime | None) -> list[tuple[bool, Fact]]:
    """A device in sentences; True: nothing is to be expected of it. Faults over by then are none.

    Args:
        device: as it is known.
        after: what was over before this moment is left out.
    """
    name, since, seen = device.device, device.since, device.last_seen_at
    begun = f" since {moment(since)}" if since else ""
    told = f" last seen {moment(seen)}," if seen else ""
    if device.online is False:
        found = [(True, Fact(since or seen, f"device {name}{told} lost{begun}"))]
    elif device.online:
        found = [(False, Fact(since or seen, f"device {name} online{begun}"))]
    else:
        text = f"device {name}{told} not told of since its edge began anew"
        found = [(False, Fact(seen, text))]
    for fault in device.faults:
        if fault.until is not None and after is not None and fault.until < after:
            continue
        part = f" of {safe(fault.part)}" if fault.part else ""
        text = f"{name} reported a fault{part}: {safe(fault.code)}"
        text += f", {safe(fault.detail)}" if fault.detail else ""
        text += f", {moment(fault.since)}"
        text += f", over {moment(fault.until)}" if fault.until else ""
        found.append((fault.until is None, Fact(fault.since, text)))
    return found


def _sorted(facts: list[Fact]) -> list[Fact]:
    return sorted(facts, key=lambda x: (x.at is None, x.at and x.at.timestamp()))
