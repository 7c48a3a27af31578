"""How likely a package is late, and by how much: look-ups in tables of the snapshot.

A row of `Tails` holds the distribution of a duration, in minutes from a nominal moment: how
likely it takes longer than each edge of 256 bins, and the expected seconds beyond that edge,
both as integers, with straight lines between (`tails` makes them, and says how); a bin
is a power of two of minutes wide, because shifts are ten times as fast as divisions. A row
is either what follows a node's nominal ready time when a carrier takes packages at any time
(the node's overrun and the lane's transit, convolved), or one of the two alone where a carrier
collects at a cut-off: then

    P(late) = sum over collections k of P(leaves with k) * P(transit > deadline - cut-off of k)

and a package leaves with the first collection after it is ready.

Old tables are widened, not mended: a duration X becomes ``m + w * (X - m)`` about its median m,
so that ``P(X > x)`` is read at ``m + (x - m) / w``, and the expected excess grows w-fold.

Everything is integer arithmetic: the same on every machine. Chances are parts per million.
"""

from __future__ import annotations

import numpy as np

from edge.routing.calendar import day_min, is_closed, minute_ms, offset
from edge.routing.kernel import Ints, Table, Tails, inlined, kernel

one_ppm = 1_000_000
even_ppm = one_ppm // 2
"""Of what is as likely late as not."""
unwidened = 1_000
bins = 256
starts, step_bits, middle, edges = range(4)
"""Columns of `Tails`, int32[R, 3 + 2 * (bins + 1)]: first minute, bits of the minutes to a bin,
median, then of each edge the chance and the excess."""
cutoff, comes, overrun = range(3)
"""Columns of the table of collections: minute of the day, bits of the weekdays, row of `Tails`."""
collections_max = 32
"""What has not left by so many collections, leaves with the last of them."""
days_ahead_max = 400
late_s_max = 10_000 * 3_600
"""Lateness beyond 10,000 hours costs no more."""
reach_min = 1 << 22
"""No arrival is looked for later than so many minutes (8 years) after its nominal ready time."""


@inlined
def beyond(tails: Tails, row: int, x_min: int, widen: int) -> tuple[int, int]:
    """P(duration > x) in parts per million, and E(duration - x)+ in seconds."""
    x = x_min
    if widen != unwidened:
        x = tails[row, middle] + (x_min - tails[row, middle]) * unwidened // widen
    x -= tails[row, starts]
    bits = int(tails[row, step_bits])
    if x < 0:
        late, seconds = one_ppm, int(tails[row, edges + 1]) - x * 60
    elif x >> bits >= bins:
        late, seconds = 0, 0
    else:
        i = x >> bits
        part = x - (i << bits)
        i = edges + 2 * i
        late, seconds = int(tails[row, i]), int(tails[row, i + 1])
        late -= (late - tails[row, i + 2]) * part >> bits
        seconds -= (seconds - tails[row, i + 3]) * part >> bits
    if widen != unwidened:
        seconds = seconds * widen // unwidened
    return late, seconds


@inlined
def late_by(
    tails: Tails,
    pickups: Table,
    calendar: Table,
    widen: int,
    node: int,
    row: int,
    pickup: int,
    ready_min: int,
    deadline_min: int,
) -> tuple[int, int]:
    """P(late) in parts per million, and expected seconds late, of one option.

    Args:
        tails: see the module.
        pickups: int64[Q, 3], when carriers collect.
        calendar: of all nodes.
        widen: w of the module, per mille.
        node: position of the node.
        row: of the tails.
        pickup: row of `pickups`, or -1: at any time.
        ready_min: nominal ready time, minutes since 1970 UTC.
        deadline_min: likewise.
    """
    if pickup < 0:
        return beyond(tails, row, deadline_min - ready_min, widen)
    own = pickups[pickup, overrun]
    east_min = calendar[node, offset]
    day = (ready_min + tails[own, starts] + east_min) // day_min
    left, late, seconds, leaves, count = one_ppm, 0, 0, ready_min, 0
    for _ in range(days_ahead_max):
        if pickups[pickup, comes] >> ((day + 3) % 7) & 1 and not is_closed(calendar, node, day):
            leaves = day * day_min + pickups[pickup, cutoff] - east_min
            missed = beyond(tails, own, leaves - ready_min, widen)[0]
            count += 1
            if count == collections_max:
                missed = 0
            if missed < left:
                then = beyond(tails, row, deadline_min - leaves, widen)
                late += (left - missed) * then[0]
                seconds += (left - missed) * then[1]
                left = missed
            if not left:
                break
        day += 1
    if left:
        then = beyond(tails, row, deadline_min - leaves, widen)
        late += left * then[0]
        seconds += left * then[1]
    return late // one_ppm, seconds // one_ppm


@kernel
def lateness(
    tails: Tails,
    pickups: Table,
    calendar: Table,
    widen: int,
    nodes: Ints,
    rows: Ints,
    pickup: Ints,
    ready_ms: Ints,
    delay_min: Ints,
    deadline_min: int,
) -> tuple[Ints, Ints]:
    """`late_by` of every option: int64[O] parts per million, int64[O] seconds.

    Arguments as there, of each option; but ready times are milliseconds since 1970 UTC, a begun
    minute counting as a whole one, and `delay_min`, int64[O], is what carriers take longer.
    """
    late = np.empty(len(nodes), np.int64)
    seconds = np.empty(len(nodes), np.int64)
    for o in range(len(nodes)):
        ready_min, by_min = -(-ready_ms[o] // minute_ms), deadline_min - delay_min[o]
        if pickup[o] < 0:  # As there, without handing on what only collections need: much faster.
            late[o], seconds[o] = beyond(tails, rows[o], by_min - ready_min, widen)
        else:
            late[o], seconds[o] = late_by(
                tails, pickups, calendar, widen, nodes[o], rows[o], pickup[o], ready_min, by_min
            )
    return late, seconds


@kernel
def expected_cost(
    tails: Tails,
    pickups: Table,
    calendar: Table,
    widen: int,
    nodes: Ints,
    rows: Ints,
    pickup: Ints,
    ready_ms: Ints,
    delay_min: Ints,
    moment_min: int,
    minor: int,
    minor_per_h: int,
    minor_max: int,
) -> Ints:
    """int64[O], what missing a moment is expected to cost each option: see `arrival`.

    Arguments as of `lateness`, then minor units: for missing it, for each hour, and at most.
    """
    late, seconds = lateness(
        tails, pickups, calendar, widen, nodes, rows, pickup, ready_ms, delay_min, moment_min
    )
    cost = np.empty(len(nodes), np.int64)
    for o in range(len(nodes)):
        expected = late[o] * minor // one_ppm
        expected += min(seconds[o], late_s_max) * minor_per_h // 3_600
        cost[o] = min(expected, minor_max)
    return cost


@kernel
def arrival_min(
    tails: Tails,
    pickups: Table,
    calendar: Table,
    widen: int,
    node: int,
    row: int,
    pickup: int,
    ready_min: int,
    late_ppm: int,
) -> int:
    """The first minute that an option arrives after with a chance of at most `late_ppm`."""
    low, high = ready_min - reach_min, ready_min + reach_min
    while low < high:
        middle_min = low + (high - low) // 2
        late = late_by(
            tails, pickups, calendar, widen, node, row, pickup, ready_min, middle_min
        )[0]  # fmt: skip
        if late > late_ppm:
            low = middle_min + 1
        else:
            high = middle_min
    return low


@kernel
def promised(
    tails: Tails,
    pickups: Table,
    calendar: Table,
    widen: int,
    node: int,
    row: int,
    pickup: int,
    ready_min: int,
    late_ppm: int,
    deadline_min: int,
) -> tuple[int, int, int]:
    """Of one option: `arrival_min` for an even chance and for `late_ppm`, P(late) at a deadline."""
    even = arrival_min(tails, pickups, calendar, widen, node, row, pickup, ready_min, even_ppm)
    arrives = arrival_min(tails, pickups, calendar, widen, node, row, pickup, ready_min, late_ppm)
    late, _ = late_by(tails, pickups, calendar, widen, node, row, pickup, ready_min, deadline_min)
    return even, arrives, late
