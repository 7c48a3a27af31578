"""When a node works: opening hours, weekly closed days, holidays, in its own local time; slots.

Days are counted from 1970-01-01, a Thursday. Minutes are counted from then too, in UTC.
"""

from __future__ import annotations

import numpy as np

from edge.routing.kernel import Ints, Table, inlined, kernel

day_min = 1440
minute_ms = 60_000
offset, opens, closes, weekdays, closed_days = range(5)
"""Columns of a calendar, int64[N, 4 + K], a row for each node: minutes east of UTC, opening and
closing minute, bits of the closed weekdays (Monday the lowest), then its closed days, padded
with -1."""
days_ahead_max = 400
"""A node that is closed for longer is taken to open then."""
unlimited, full = -1, -2
"""Instead of a slot."""


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
def ready_at(now_ms: int, nodes: Ints, calendar: Table, handling_min: Ints) -> Ints:
    """When each node has a package ready that is ordered now, if all goes as stated.

    Work starts at once within opening hours, else at the next opening.

    Args:
        now_ms: milliseconds since 1970 UTC.
        nodes: int64[K], positions of nodes.
        calendar: of all nodes.
        handling_min: int64[N], how long the work takes at each node.

    Returns:
        int64[K], milliseconds since 1970 UTC.
    """
    found = np.empty(len(nodes), np.int64)
    now_min = now_ms // minute_ms
    for k in range(len(nodes)):
        node = nodes[k]
        local = now_min + calendar[node, offset]
        today = local // day_min
        minute = local - today * day_min
        day = today
        if minute >= calendar[node, closes]:
            day += 1
        while day < today + days_ahead_max and is_closed(calendar, node, day):
            day += 1
        wait = (day - today) * day_min + calendar[node, opens] - minute
        if day == today:
            wait = max(wait, 0)
        found[k] = now_ms + (wait + handling_min[node]) * minute_ms
    return found


@kernel
def first_slots(ready_ms: Ints, nodes: Ints, first: Ints, ends_ms: Ints, left: Ints) -> Ints:
    """The first slot of each node in which a package that is ready then can still be picked.

    Args:
        ready_ms: int64[K], milliseconds since 1970 UTC.
        nodes: int64[K], positions of nodes.
        first: int64[N + 1], first slot of each node, and the end; a node's are in order.
        ends_ms: int64[S], when each slot ends.
        left: int64[S], packages that still fit.

    Returns:
        int64[K], positions of slots; `unlimited` where a node has none, `full` where none has
        room.
    """
    found = np.empty(len(nodes), np.int64)
    for k in range(len(nodes)):
        begin, end = first[nodes[k]], first[nodes[k] + 1]
        found[k] = unlimited if begin == end else full
        for slot in range(begin, end):
            if ends_ms[slot] > ready_ms[k] and left[slot] > 0:
                found[k] = slot
                break
    return found
