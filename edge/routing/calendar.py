"""When a node works: opening hours, weekly closed days, holidays, in its own local time.

Days are counted from 1970-01-01, a Thursday. Minutes are counted from then too, in UTC.
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Ints, Table, inlined, kernel

day_min = 1440
offset, opens, closes, weekdays, closed_days = range(5)
"""Columns of a calendar, int64[N, 4 + K], a row for each node: minutes east of UTC, opening and
closing minute, bits of the closed weekdays (Monday the lowest), then its closed days, padded
with -1."""
days_ahead_max = 400
"""A node that is closed for longer is taken to open then."""


@inlined
def is_closed(calendar: Table, node: int, day: int) -> bool:
    """Whether a node does not work on a local day."""
    if calendar[node, weekdays] >> ((day + 3) % 7) & 1:
        return True
    for k in range(closed_days, calendar.shape[1]):  # noqa: SIM110 (kernels know no generators)
        if calendar[node, k] == day:
            return True
    return False


@kernel
def waits_min(now_min: int, nodes: Ints, calendar: Table) -> Ints:
    """Minutes until each node works: 0 within its hours, else until it opens next.

    Args:
        now_min: minutes since 1970 UTC.
        nodes: int64[O], positions of nodes; where a node is repeated in a run, it is looked at
            once.
        calendar: of all nodes.
    """
    found = np.empty(len(nodes), np.int64)
    for o in range(len(nodes)):
        node = nodes[o]
        if o and node == nodes[o - 1]:
            found[o] = found[o - 1]
            continue
        local = now_min + calendar[node, offset]
        today = local // day_min
        minute = local - today * day_min
        day = today
        if minute >= calendar[node, closes]:
            day += 1
        while day < today + days_ahead_max and is_closed(calendar, node, day):
            day += 1
        wait = (day - today) * day_min + calendar[node, opens] - minute
        found[o] = max(wait, 0) if day == today else wait
    return found
