"""What the router is asked, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.events import Payment, RouteRequested
from shared.parts import Alternative, Channel, Customer, Destination, Fulfilment, Plan, Shortage


@dataclass(frozen=True, slots=True)
class Want:
    """A line that looks for a node: its number in the order, and its ship-together group.

    Attributes:
        node_id: set for a piece of a line that several nodes ship: it comes from this one.
    """

    line: int
    sku: str
    quantity: int
    group: str | None = None
    node_id: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be routed.

    Attributes:
        packages_used: packages that the order has already; they count against the limit.
        others: SKUs of the order that are not looked for now; rules may ask for their tags.
        waited: units by node and SKU that the order itself has waited for until now: they are
            not another's.
        failed: nodes that failed this order before and are not asked again.
    """

    wants: Sequence[Want]
    fulfilment: Fulfilment
    store_id: str
    customer: Customer
    destination: Destination | None
    packages_used: int = 0
    failed: frozenset[str] = frozenset()
    channel: Channel = "pos"
    others: Sequence[str] = ()
    waited: Mapping[tuple[str, str], int] = field(default_factory=dict)


def question_of(asked: Payment | RouteRequested) -> Question:
    """All lines of what a device asks or has been paid for."""
    return Question(
        wants=[Want(i, x.sku, x.quantity, x.group) for i, x in enumerate(asked.lines)],
        fulfilment=asked.fulfilment,
        store_id=asked.store_id,
        customer=asked.customer,
        destination=asked.destination,
        channel=asked.channel,
    )


@dataclass(frozen=True, slots=True)
class Routed:
    """A plan for what can be fulfilled now, and the lines that cannot."""

    plan: Plan | None
    shortages: list[Shortage]
    alternatives: list[Alternative] = field(default_factory=list)


def group_wants(wants: Sequence[Want], split_allowed: bool) -> list[list[Want]]:
    """Lines that ship together, in the order of their first lines.

    Lines of one group ship together, and so do lines of one SKU: two packages that draw on
    one cell would have to share it between them. Where the customer refuses splits, all do.
    Pieces of one line go each with what else their node is to ship of it.
    """
    alone = split_allowed and all(want.group is None for want in wants)
    if alone and len({want.sku for want in wants}) == len(wants):
        return [[want] for want in wants]  # As most orders are.
    groups: list[list[Want]] = []
    home: dict[str, list[Want]] = {}
    for want in wants:
        keys = [f"s {want.sku} {want.node_id or ''}"] + (
            [] if want.group is None else ["g " + want.group]
        )
        if not split_allowed:
            keys = ["all"]
        found = {id(group): group for key in keys if (group := home.get(key)) is not None}
        if not found:
            target: list[Want] = []
            groups.append(target)
        else:
            target, *others = sorted(found.values(), key=lambda group: group[0].line)
            for other in others:
                target.extend(other)
                groups.remove(other)
                home.update((key, target) for key, group in home.items() if group is other)
        target.append(want)
        home.update((key, target) for key in keys)
    return groups
