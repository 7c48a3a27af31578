"""`pointsman trace`: what has become of one order, step by step, and why it is where it is."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.plain import plain
from deploy.terminal import ConfigOption, fail, taught
from shared.errors import PointsmanError

if TYPE_CHECKING:
    from central.evidence import Reason, Why
    from central.lines import LineMove
    from central.story import Step, Story

_PIPED_WIDTH = 200
_LINES_MAX = 3
"""More lines than these that go the same way are told in one note."""


def trace(
    order_id: Annotated[str, typer.Argument(help="As in order.accepted.")],
    config: ConfigOption,
    as_json: Annotated[bool, typer.Option("--json", help="Story and reasons as JSON.")] = False,
) -> None:
    """Tell the story of an order: its lines, each step with its cause, and where it is stuck."""
    from central.config import load_config
    from central.tracing import tracer
    from shared.settings import make_clock

    settings = taught(load_config, config)
    try:
        with tracer(settings.location, settings.driven) as asked:
            story, why = asked.why(order_id, make_clock(settings.clock).now_ms())
    except PointsmanError as error:
        fail(error)
    if as_json:
        document = msgspec.json.encode({"story": story, "why": why})
        typer.echo(msgspec.json.format(document, indent=1).decode())
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPED_WIDTH, color_system=None, highlight=False)
    show(story, why, console)


def show(story: "Story", why: "Why", console: Console) -> None:
    """Print it for a person; plain where it does not go to a terminal."""
    from central.wording import moment

    edge = story.edge_id or "an edge that is not known yet"
    promised = "" if story.promised_at is None else f", promised by {moment(story.promised_at)}"
    state = story.state.replace("_", " ")
    console.print(plain(f"order {story.order_id}: {state}, kept by {edge}{promised}"))
    console.print(plain(why.what), style="bold red" if why.stuck else "bold green")
    for x in story.archived:
        told = f"archive file {x.file}: positions {x.first} to {x.last}, moved {moment(x.moved_at)}"
        console.print(plain(told))
    if story.lines:
        table = Table("line", "SKU", "units", "where they are", box=None)
        for line in story.lines:
            where = ", ".join(f"{units} {of}" for of, units in line.states.items())
            table.add_row(str(line.line), plain(line.sku), str(line.quantity), where)
        console.print(table)
    console.print()
    for step in story.steps:
        console.print(_told(step))
    for reason in why.reasons:
        console.print()
        _show_reason(reason, console)


def _told(step: "Step") -> Text:
    from central.wording import moment

    when = "time unknown" if step.time is None else moment(step.time)
    text = plain(f"{step.number:>3}  {when}  {step.what}")
    notes = []
    if step.cause is not None and step.cause.step is not None:
        notes.append(f"because of {step.cause.step}")
    elif step.cause is not None:
        notes.append(f"because of event {step.cause.event_id}")
    if step.order is not None:
        notes.append(f"order: {step.order.before} to {step.order.after}")
    notes += _moved(step.lines)
    promise, late = step.context.promise, step.context.late
    if promise is not None and promise.before is not None:
        notes.append(f"promise: {moment(promise.before)} to {moment(promise.after)}")
    if late is not None:
        notes.append(f"late: {late.whose}, due {moment(late.due_at)}")
    notes += [f"does not fit: {x}" for x in step.misfits]
    for note in notes:
        text.append("\n     ")
        text.append_text(plain(note))
    return text


def _moved(moves: "Iterable[LineMove]") -> Iterator[str]:
    """What has become of units, line by line; of many lines that go the same way in one note."""
    together: dict[tuple[str, str], list[LineMove]] = {}
    for move in moves:
        if move.before is not None:
            together.setdefault((move.before, move.after), []).append(move)
    for (before, after), same in together.items():
        if len(same) > _LINES_MAX:
            units = sum(move.quantity for move in same)
            yield f"{units} units of {len(same)} lines: {before} to {after}"
        else:
            for move in same:
                yield f"{move.quantity} of line {move.line}: {before} to {after}"


def _show_reason(reason: "Reason", console: Console) -> None:
    from central.wording import moment

    style = "bold red" if reason.blocks else "bold"
    console.print(plain(f"{reason.code}: {reason.what}"), style=style)
    for fact in reason.facts:
        when = "" if fact.at is None else f"{moment(fact.at)}  "
        console.print(plain(f"     {when}{fact.text}"))
