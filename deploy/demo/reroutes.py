"""What became of picks that failed: another node, or waiting. Counted from the ledger's events."""

from dataclasses import dataclass, field
from typing import Any, Final

_SHORT: Final = "pointsman.pick.short.v1"
_REJECTED: Final = "pointsman.pick.rejected.v1"
_REQUESTED: Final = "pointsman.pick.requested.v1"
_OUTCOMES: Final = ("pointsman.route.planned.v1", "pointsman.order.parked.v1")


@dataclass(slots=True)
class Reroutes:
    """Short and rejected picks, and what the order's edge decided at once upon each.

    What waits at first and finds a node later counts as parked here.
    """

    _failed: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    """Id of the report to its task, and to the units that failed; None: all of the task."""

    _units: dict[str, int] = field(default_factory=dict)
    _found: dict[str, int] = field(default_factory=dict)
    """Id of the report to the units for which another node was found."""

    def note(self, event: dict[str, Any]) -> None:
        """Take an event of the ledger, in any order."""
        kind, data = event["type"], event["data"]
        if kind == _REQUESTED:
            self._units[data["task_id"]] = _sum(data.get("lines", []))
        elif kind == _SHORT:
            self._failed[event["id"]] = data["task_id"], _sum(data["missing"])
        elif kind == _REJECTED:
            self._failed[event["id"]] = data["task_id"], None
        elif kind in _OUTCOMES and event.get("causationid"):
            packages = (data.get("plan") or {}).get("packages", [])
            self._found[event["causationid"]] = sum(_sum(x["lines"]) for x in packages)

    def count(self) -> dict[str, int | float | None]:
        """The figures.

        Returns:
            picks and units that failed; of them, units that another node got at once and units
            that had to wait; picks of which everything, something or nothing found a node.
        """
        failed = found = rerouted = partly = decided = 0
        for report_id, (task_id, missing) in self._failed.items():
            if report_id not in self._found:
                continue  # the order was cancelled meanwhile: nobody looks for a node any more
            units = self._units.get(task_id, 0) if missing is None else missing
            here = self._found[report_id]
            decided += 1
            failed += units
            found += here
            rerouted += here >= units
            partly += 0 < here < units
        return {
            "picks": decided,
            "rerouted": rerouted,
            "partly": partly,
            "parked": decided - rerouted - partly,
            "units": failed,
            "units_rerouted": found,
            "units_parked": failed - found,
            "share": round(found / failed, 4) if failed else None,
        }


def _sum(lines: list[dict[str, Any]]) -> int:
    return sum(line["quantity"] for line in lines)
