"""The tables of the life cycle: closed, told in the documentation, and of events that there are."""

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from central.desk import OrderState
from central.lifecycle import (
    LIFECYCLE_VERSION,
    LINE_OF_TASK,
    LINE_STATES,
    LINE_STEPS,
    ORDER_STATES,
    ORDER_STEPS,
    PROGRESS,
    LineState,
    Step,
)
from shared.events import BY_TYPE
from shared.tasks import STEPS, TaskState

DOC = Path(__file__).resolve().parents[2] / "docs" / "lifecycle.md"
BEGIN, END = "<!-- tables: central/lifecycle.py -->\n", "<!-- end of tables -->"
KINDS = {kind.kind for kind in BY_TYPE.values()}


def test_every_state_has_a_sentence_and_every_step_is_between_states() -> None:
    assert set(ORDER_STATES) == set(get_args(OrderState))
    assert set(LINE_STATES) == set(get_args(LineState))
    for steps, states in ((ORDER_STEPS, ORDER_STATES), (LINE_STEPS, LINE_STATES)):
        assert {x.after for x in steps} <= set(states)
        assert {x.before for x in steps} <= {*states, ""}
        assert len({(x.before, x.after) for x in steps}) == len(steps)
    assert {x.after for x in LINE_STEPS} == set(LINE_STATES)
    assert all(x.before not in ("delivered", "cancelled") for x in LINE_STEPS)


def test_steps_happen_on_events_that_there_are() -> None:
    for step in (*ORDER_STEPS, *LINE_STEPS):
        assert set(step.on.split()) <= KINDS, step


def test_every_state_of_a_task_has_a_place_for_its_units() -> None:
    assert set(LINE_OF_TASK) == set(get_args(TaskState))
    assert set(PROGRESS) == set(get_args(TaskState)) - {"rejected", "withdrawn"}


def test_the_documentation_shows_these_tables() -> None:
    text = DOC.read_text()
    shown = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    assert shown == "\n".join(tables()) + "\n", (
        "put the output of `python -m " + __name__ + "` there"
    )


def tables() -> Iterable[str]:
    """What the documentation shows between its marks."""
    yield f"Version {LIFECYCLE_VERSION}.\n\n## States of an order\n"
    yield from _states(ORDER_STATES.items())
    yield "\n## Steps of an order\n"
    yield "A report that came before its task or its order makes a leap from `accepted`.\n"
    yield from _steps(ORDER_STEPS)
    yield "\n## States of a line's units\n"
    yield from _states(LINE_STATES.items())
    yield "\n## Steps of a line's units\n"
    yield from _steps(LINE_STEPS)
    yield "\n## Steps of a pick task\n"
    yield "| on | from | to |\n| --- | --- | --- |"
    for kind, (found, leads_to) in STEPS.items():
        before = ", ".join(sorted(found, key=get_args(TaskState).index))
        yield f"| `{kind}` | {before} | {leads_to or 'as it was'} |"
    yield ""


def _states(states: Iterable[tuple[str, str]]) -> Iterable[str]:
    yield "| state | what it means |\n| --- | --- |"
    for state, sentence in states:
        yield f"| `{state}` | {sentence} |"


def _steps(steps: Iterable[Step]) -> Iterable[str]:
    yield "| from | to | on | why |\n| --- | --- | --- | --- |"
    for x in steps:
        on = ", ".join(f"`{kind}`" for kind in dict.fromkeys(x.on.split()))
        yield f"| {x.before or '(paid)'} | {x.after} | {on} | {x.why} |"


if __name__ == "__main__":
    print("\n".join(tables()))
