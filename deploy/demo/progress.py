"""What a person sees: live progress, and the table at the end."""

import time
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.demo.counts import spread
from deploy.demo.script import local_time

_PLAIN_S: Final = 5.0


class Progress:
    """Live on a terminal, a line now and then elsewhere.

    Args:
        console: where to.
        orders: how many there will be.

    Attributes:
        quiet: says nothing of its own accord any more.
    """

    def __init__(self, console: Console, orders: int) -> None:
        """See the class."""
        self.quiet = False
        self._console = console
        self._orders = orders
        self._facts: dict[str, Any] = {}
        self._quotes_ms: list[float] = []
        self._accepts_ms: list[float] = []
        self._wan = "whole"
        self._step = ""
        self._simulated_ms = 0
        self._plain_s = 0.0
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._draw)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal clean."""
        if self._live:
            self._live.stop()

    def step(self, text: str) -> None:
        """What is going on now."""
        self._step = text
        self._console.print(f"· {text}", highlight=False, soft_wrap=True)

    def wan(self, text: str) -> None:
        """How the WAN is."""
        self._wan = text
        self._console.print(f"· WAN {text}", highlight=False, soft_wrap=True)

    def mishap(self, text: str) -> None:
        """What has befallen the day, and that it is over."""
        self._console.print(f"· {text}", highlight=False, soft_wrap=True)

    def take(self, facts: dict[str, Any]) -> None:
        """What the devices say of themselves."""
        self._quotes_ms += facts.pop("quotes_ms", [])
        self._accepts_ms += facts.pop("accepts_ms", [])
        self._facts |= facts

    def tick(self, simulated_ms: int) -> None:
        """Time goes on."""
        self._simulated_ms = simulated_ms
        if self.quiet or self._live is not None:
            return
        if time.monotonic() - self._plain_s > _PLAIN_S:
            self._plain_s = time.monotonic()
            self._console.print(f"  {self._line()}", highlight=False, soft_wrap=True)

    def _line(self) -> str:
        facts = self._facts
        quotes, accepts = spread(self._quotes_ms), spread(self._accepts_ms)
        return (
            f"{local_time(self._simulated_ms):%H:%M}  "
            f"{facts.get('accepted', 0)}/{self._orders} orders, {facts.get('parked', 0)} parked  "
            f"{facts.get('shipped', 0)}/{facts.get('tasks', 0)} packages shipped  "
            f"quote {quotes['p50']:.1f}/{quotes['p99']:.1f} ms  "
            f"accept {accepts['p50']:.1f}/{accepts['p99']:.1f} ms (p50/p99)  WAN {self._wan}"
        )

    def _draw(self) -> Group:
        bar = ProgressBar(total=self._orders, completed=self._facts.get("sent", 0), width=60)
        return Group(Text(self._step, style="dim"), bar, Text(self._line()))


def table(report: dict[str, Any]) -> Table:
    """The report for people."""
    orders, stock, tasks = report["orders"], report["stock"], report["tasks"]
    found = Table("", "", title=f"One trading day, {report['day']}", show_header=False)
    found.add_row(
        "orders",
        f"{orders['sent']} sent, {orders['accepted']} accepted, {orders['parked']} had to wait, "
        f"{orders['retried_planned']} planned later",
    )
    found.add_row(
        "routing",
        f"{orders['packages']} packages, {orders['splits']} orders split, "
        f"{orders['optimal']} plans proven the cheapest",
    )
    found.add_row(
        "cancelled",
        f"{orders['cancelled']} orders, {orders['cancelled_units']} units, "
        f"{orders['cancelled_too_late_units']} units too late",
    )
    found.add_row("quote", _latency(report["quote_ms"]))
    found.add_row("accept", _latency(report["accept_ms"]))
    promise = report["promise"]
    found.add_row(
        "promise",
        f"{_percent(promise['within_deadline'])} of {promise['packages_with_deadline']} packages "
        "promised within their deadline, "
        f"{_percent(promise['shipped_by_ready_at'])} shipped in time",
    )
    cut = report["wan_cut"]
    if cut:
        found.add_row(
            f"WAN of {cut['edge_id']} cut",
            f"{cut['simulated_h']} h; {cut['orders_answered']} of {cut['orders_sent']} orders "
            f"answered meanwhile, max {max(cut['quote_ms']['max'], cut['accept_ms']['max'])} ms",
        )
    for outage in report["outages"]:
        found.add_row(
            f"{outage['name']}: {outage['kind']}",
            f"away {outage['real_s']} s; {outage['orders_answered']} of {outage['orders_sent']} "
            f"orders of that time answered, the last after {outage['wait_ms_max']:.0f} ms",
        )
    failed = report["reroutes"]
    found.add_row(
        "short or rejected picks",
        f"{failed['picks']}, {failed['units']} units: {failed['rerouted']} found another node at "
        f"once, {failed['partly']} in part, {failed['parked']} had to wait "
        f"({_percent(failed['share'])} of the units re-routed)",
    )
    found.add_section()
    found.add_row(
        "P1 never oversell",
        f"{_mark(not stock['oversold'])} {stock['oversold']} of {stock['cells']} cells oversold",
    )
    found.add_row(
        "P2 conservation",
        f"{_mark(stock['conserved'])} {stock['loaded_units']} units loaded, "
        f"{stock['shipped_units']} shipped, {stock['broken_units']} damaged",
    )
    found.add_row(
        "P3 never lose, never double",
        f"{_mark(not (orders['lost'] or orders['duplicated']))} {orders['in_ledger']} in the "
        f"ledger, {orders['lost']} lost, {orders['duplicated']} double; tasks: {tasks['issued']} "
        f"issued, {tasks['lost']} lost, {tasks['duplicated']} double",
    )
    for text in report["failures"]:
        found.add_row("[bold red]failed[/]", text)
    return found


def _latency(ms: dict[str, float]) -> str:
    return f"p50 {ms['p50']} ms, p99 {ms['p99']} ms, max {ms['max']} ms"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _mark(good: bool) -> str:
    return "[green]kept[/]" if good else "[bold red]BROKEN[/]"
