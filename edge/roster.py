"""The part of the store that keeps the site's devices: see `edge.health`."""

from collections.abc import Iterable

from edge.archive import Archive
from shared.devices import DeviceReported
from shared.events import type_of


class Roster(Archive):
    """Devices in the edge's file, a row each."""

    def devices(self) -> list[str]:
        """What is kept of each device."""
        return [body for (body,) in self._rows("select body from devices order by device")]

    def health_after(self, position: int) -> list[int]:
        """Log positions behind one that tell of health."""
        rows = self._rows(
            "select position from log where position > ? and type = ? order by position",
            position,
            type_of(DeviceReported),
        )
        return [found for (found,) in rows]

    def _enrol(self, rows: Iterable[tuple[str, str | None]]) -> None:
        """Write in the open transaction; a device without a body is forgotten."""
        rows = list(rows)
        self._many(
            "insert or replace into devices values (?, ?)",
            [(device, body) for device, body in rows if body is not None],
        )
        self._many(
            "delete from devices where device = ?", [(x,) for x, body in rows if body is None]
        )
