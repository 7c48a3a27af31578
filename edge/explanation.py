"""What would have had to be otherwise for another plan: facts, for people and programs.

`edge.routing.explaining` finds them; `pointsman explain` tells them.
"""

from typing import Annotated, Final

from msgspec import Meta

from shared.limits import LINES_MAX, MONEY_MINOR_MAX, NAMES_MAX, NODES_MAX, QUANTITY_MAX
from shared.parts import ExclusionCode, LineNumber, Minor, Name, Part

RIVALS_MAX: Final = 10

Change = Annotated[int, Meta(ge=-MONEY_MINOR_MAX, le=MONEY_MINOR_MAX, description="Minor units.")]
Lines = Annotated[list[LineNumber], Meta(max_length=LINES_MAX)]
Names = Annotated[list[Name], Meta(max_length=NODES_MAX)]


class TermChange(Part, frozen=True):
    """One term of the cost, summed over a plan's packages."""

    term: Name
    plan_minor: Annotated[Minor, Meta(description="In the plan.")]
    rival_minor: Annotated[Minor, Meta(description="With the other node in it.")]


class Rival(Part, frozen=True):
    """A node that could ship and is not in the plan, with the cheapest plan that has it."""

    node_id: Name
    lines: Annotated[Lines, Meta(description="What it would ship.")]
    services: Annotated[Names, Meta(description="By which services, package by package.")]
    others: Annotated[Names, Meta(description="The other nodes of that plan.")]
    more_minor: Annotated[Change, Meta(description="What that plan costs more.")]
    fall_minor: Annotated[
        Minor,
        Meta(description="With each package of the node cheaper by this, that plan would win."),
    ]
    exact: Annotated[bool, Meta(description="False: a cheaper plan with the node may exist.")]
    terms: Annotated[
        list[TermChange],
        Meta(max_length=16, description="Terms that differ, those that differ most first."),
    ] = []


class UnitsShort(Part, frozen=True):
    """A SKU of which a node has too little."""

    sku: Name
    wanted: Annotated[int, Meta(ge=1, le=QUANTITY_MAX * LINES_MAX)]
    held: Annotated[int, Meta(ge=0, description="What the edge's share has there.")]
    kept_back: Annotated[int, Meta(ge=0, description="Of it, for customers who walk in.")] = 0


class Missing(Part, frozen=True):
    """A node that cannot ship some lines, or nothing at all, and what it would take."""

    node_id: Name
    code: ExclusionCode
    lines: Annotated[Lines, Meta(description="The lines that it comes nearest to.")] = []
    kept_by: Annotated[Names, Meta(description="All fences that keep it from these.")] = []
    short: Annotated[list[UnitsShort], Meta(max_length=LINES_MAX)] = []
    classes: Annotated[
        list[Name],
        Meta(max_length=NAMES_MAX, description="Of goods that it, or its service, lacks."),
    ] = []
    weight_g: Annotated[int, Meta(ge=0, description="Of the lines, if too heavy.")] = 0
    limit_g: Annotated[int, Meta(ge=0, description="The heaviest package, if too light.")] = 0
    on_time_per_mille: (
        Annotated[int, Meta(ge=0, le=1_000, description="P(in time), if too low for the tier.")]
        | None
    ) = None
    slot: Annotated[Name, Meta(description="The slot with too little room, if known.")] | None = (
        None
    )


class Explained(Part, frozen=True):
    """What would have had to be otherwise."""

    rivals: Annotated[
        list[Rival], Meta(max_length=RIVALS_MAX, description="The nearest by cost first.")
    ] = []
    rivals_left_out: Annotated[
        int, Meta(ge=0, description="Nodes that could ship something, too, and are not listed.")
    ] = 0
    missing: Annotated[
        list[Missing], Meta(max_length=NODES_MAX, description="Nodes that can ship nothing of it.")
    ] = []
    unshipped: Annotated[
        list[Missing],
        Meta(max_length=3 * LINES_MAX, description="Nodes nearest to lines that nobody can ship."),
    ] = []
