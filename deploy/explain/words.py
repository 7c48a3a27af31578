"""Codes in words."""

from typing import Final

from edge.explanation import Missing, UnitsShort
from shared.parts import ExclusionCode, Shortage, ShortageReason

_WHY_NOT: Final[dict[ExclusionCode, str]] = {
    "share": "too few units that this edge may promise",
    "walk_in": "the units are left for customers who walk in",
    "area": "the destination is outside of its service area",
    "closed": "it is closed",
    "no_lane": "no carrier goes from there to the destination",
    "carrier_limit": "too heavy for its carriers",
    "not_chosen_by_customer": "the customer takes the goods elsewhere",
    "failed_before": "it has failed this order before",
    "capacity": "nobody there can pick it in time",
    "goods_class": "it, or its carrier, cannot take such goods",
    "tier_promise": "it would break what the customer's tier is promised",
    "required_nodes": "other nodes are required",
    "forbidden_nodes": "it is forbidden",
    "required_services": "other services are required",
    "forbidden_services": "its services are forbidden",
}

_WAITS: Final[dict[ShortageReason, str]] = {
    "share": "no node may promise enough of it",
    "ship_together": "what it ships with is not all in one place",
    "unroutable": "no open way to the customer takes it",
    "packages_max": "only in more packages than allowed",
    "capacity": "nobody can pick it in any slot that is known",
    "fenced": "what is demanded of it clashes",
    "incoming": "it is better to wait for stock on its way",
}


def why_not(missing: Missing) -> str:
    """Why a node ships nothing, and how much is missing."""
    found = [_WHY_NOT[missing.code], *(_short(x) for x in missing.short)]
    if missing.classes:
        found.append("lacks " + ", ".join(missing.classes))
    if missing.limit_g:
        found.append(f"{missing.weight_g:,} g, at most {missing.limit_g:,} g")
    if missing.on_time_per_mille is not None:
        found.append(f"in time in {missing.on_time_per_mille / 10:.1f} % at best")
    if missing.code == "capacity":
        slot = "no slot that is known has room" if missing.slot is None else f"slot {missing.slot}"
        found.append(slot)
    return "; ".join(found)


def _short(short: UnitsShort) -> str:
    lacking = short.wanted - short.held + short.kept_back
    kept = f", {short.kept_back} of them kept back" if short.kept_back else ""
    return f"{lacking} {short.sku} short: has {short.held} of {short.wanted}{kept}"


def why_waits(shortage: Shortage) -> str:
    """Why a line waits."""
    clash = f": {', '.join(shortage.conflict)}" if shortage.conflict else ""
    return _WAITS[shortage.reason] + clash
