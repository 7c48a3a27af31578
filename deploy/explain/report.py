"""An explanation, for a person."""

from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table

from deploy.explain.formats import ExplainedDecision, Explanation
from deploy.explain.words import why_not, why_waits
from deploy.plain import plain
from edge.explanation import Explained, Rival
from shared.clock import to_datetime, to_ms
from shared.parts import Line, Package, Plan, Shortage, StaleInput, Terms

MISSING_SHOWN_MAX: Final = 40
TERMS_SHOWN_MAX: Final = 3


def show(explanation: Explanation, console: Console) -> None:
    """Print it; moments in UTC, amounts in major units."""
    x = explanation
    where = "" if x.destination is None else f" to {x.destination.region}"
    console.print(
        plain(
            f"order {x.order_id}: paid {_moment(x.paid_at)} at {x.store_id} ({x.channel}, "
            f"{x.device}); {x.fulfilment.kind}{where}{_wishes(x)}"
        ),
        style="bold",
    )
    for number, line in enumerate(x.lines):
        console.print(plain(f"  line {number}: {_asked(line)}"))
    for number, decision in enumerate(x.decisions, 1):
        console.print()
        _decision(number, decision, console)
    console.print()
    now = [f"{_lines(p.lines)} from {p.node_id} by {p.service_id}" for p in x.packages]
    now += [f"line {shortage.line} waits" for shortage in x.parked]
    console.print(plain("now: " + ("; ".join(now) or "nothing is left of it")), style="bold")


def _wishes(x: Explanation) -> str:
    wishes = [f"tier {x.customer.tier}, speed {x.customer.speed}"]
    if x.fulfilment.deadline is not None:
        wishes.append(f"wanted by {_moment(x.fulfilment.deadline)}")
    if not x.customer.split_allowed:
        wishes.append("in one package")
    elif x.customer.packages_max is not None:
        wishes.append(f"in at most {x.customer.packages_max} packages")
    return "; " + ", ".join(wishes)


def _asked(line: Line) -> str:
    group = "" if line.group is None else f", ships with group {line.group}"
    return f"{line.quantity} x {line.sku}{group}"


def _decision(number: int, decision: ExplainedDecision, console: Console) -> None:
    about = f", about {_lines(decision.asked)}" if decision.asked else ""
    console.print(
        plain(f"{number}. {decision.said}, {_moment(decision.at)}{about}"), style="bold cyan"
    )
    documents = [f"{x.kind} {x.version} ({x.digest[:12]})" for x in decision.documents]
    if documents:
        console.print(plain("   made by " + ", ".join(documents)))
    console.print("   " + _again(decision.same))
    if decision.plan is not None:
        _plan(decision.plan, console)
    if decision.parked:
        _parked(decision.parked, console)
    if decision.explained is not None:
        _others(decision.explained, console)


def _again(same: bool | None) -> str:
    if same is None:
        return "what it was made by is no longer kept; the plan is from the log"
    if same:
        return "decided again from what was kept: the same plan, bit for bit"
    return (
        "[bold red]decided again from what was kept: another plan[/]. This version decides "
        "otherwise than the one that made it, or the file was changed"
    )


def _plan(plan: Plan, console: Console) -> None:
    table = Table(
        "package", "node", "service", "lines", "ready", "likely", "promise", "in time", "cost"
    )
    for package in plan.packages:
        chance = package.on_time_per_mille
        table.add_row(
            str(package.package),
            plain(package.node_id),
            plain(package.service_id),
            plain(", ".join(f"{x.line}: {x.quantity} x {x.sku}" for x in package.lines)),
            _moment(package.ready_at),
            "" if package.edd_at is None else _moment(package.edd_at),
            _moment(package.arrives_at) + (" (late)" if package.late_s else ""),
            "" if chance is None else f"{chance / 10:.1f} %",
            _money(package.cost_minor),
        )
    console.print(table, _terms(plan.packages))
    currency = plan.cost.currency
    if plan.split_minor:
        console.print(f"split cost {_money(plan.split_minor)} {currency}")
    console.print(
        plain(
            f"cost {_money(plan.cost.minor)} {currency}, {_proof(plan)}; "
            f"profile {plan.profile}, inputs {plan.snapshot}"
        )
    )
    if plan.relaxed:
        console.print(
            plain(
                f"breaks {', '.join(plan.relaxed)}, since no plan keeps all of "
                f"{', '.join(plan.conflict)}"
            ),
            style="yellow",
        )
    for stale in plan.stale:
        console.print(plain(_stale(stale)), style="yellow")


def _terms(packages: list[Package]) -> Table:
    """The terms of each package that cost anything."""
    table = Table("cost of", *(f"package {package.package}" for package in packages))
    for name in Terms.__struct_fields__:
        minor = [getattr(package.terms, name) for package in packages]
        if any(minor):
            table.add_row(name.removesuffix("_minor"), *map(_money, minor))
    return table


def _proof(plan: Plan) -> str:
    if plan.optimal:
        return "proven the cheapest"
    gap = 100 * (plan.cost.minor - plan.bound_minor) / max(plan.cost.minor, 1)
    return f"no plan costs less than {_money(plan.bound_minor)}: {gap:.1f} % may be left"


def _stale(stale: StaleInput) -> str:
    days = stale.age_s / 86_400
    if stale.source == "prices":
        return f"old prices ({days:.1f} days) count {stale.counted_per_mille / 10:.0f} %"
    widened = (stale.widened_per_mille - 1_000) / 10
    return f"old times ({days:.1f} days) are taken as {widened:.0f} % less certain"


def _parked(parked: list[Shortage], console: Console) -> None:
    table = Table("waits", "why", "expected", "chance", "could ship it")
    for x in parked:
        table.add_row(
            plain(f"{x.line}: {x.quantity} x {x.sku}"),
            plain(why_waits(x)),
            "not known" if x.expected_at is None else _moment(x.expected_at),
            "" if x.expected_per_mille is None else f"{x.expected_per_mille / 10:.0f} %",
            plain(", ".join(x.nodes)),
        )
    console.print(table)


def _others(explained: Explained, console: Console) -> None:
    if explained.rivals:
        table = Table(
            "could have shipped", "lines", "by", "beside", "costs more", "wins if cheaper by",
            "because of",
        )  # fmt: skip
        for rival in explained.rivals:
            table.add_row(
                plain(rival.node_id),
                _list(rival.lines),
                plain(", ".join(rival.services)),
                plain(", ".join(rival.others)),
                _money(rival.more_minor) + ("" if rival.exact else " at most"),
                _fall(rival),
                plain(_because(rival)),
            )
        console.print(table)
        if explained.rivals_left_out:
            console.print(f"and {explained.rivals_left_out} nodes more that could have shipped")
    if explained.unshipped:
        table = Table("nobody could ship", "nearest", "why not")
        for missing in explained.unshipped[:MISSING_SHOWN_MAX]:
            table.add_row(_lines(missing.lines), plain(missing.node_id), plain(why_not(missing)))
        console.print(table)
    if explained.missing:
        table = Table("could not ship", "nearest to", "why not")
        for missing in explained.missing[:MISSING_SHOWN_MAX]:
            near = _lines(missing.lines) if missing.lines else ""
            table.add_row(plain(missing.node_id), near, plain(why_not(missing)))
        console.print(table)
        more = len(explained.missing) - MISSING_SHOWN_MAX
        if more > 0:
            console.print(f"and {more} more: --json has all")


def _fall(rival: Rival) -> str:
    if rival.more_minor < 0:
        return "nothing: the search had not found it"
    each = " a package" if len(rival.services) > 1 else ""
    return _money(rival.fall_minor) + each


def _because(rival: Rival) -> str:
    return ", ".join(
        f"{x.term} {_money(x.plan_minor)} → {_money(x.rival_minor)}"
        for x in rival.terms[:TERMS_SHOWN_MAX]
    )


def _lines(numbers: list[int]) -> str:
    return f"{'line' if len(numbers) == 1 else 'lines'} {_list(numbers)}"


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _moment(moment: datetime) -> str:
    return f"{to_datetime(to_ms(moment)):%Y-%m-%d %H:%M}Z"


def _money(minor: int) -> str:
    return f"{minor / 100:,.2f}"
