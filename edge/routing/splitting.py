"""One line from several nodes, where no node has all of it and the profile allows it.

A line is cut among as few nodes as have enough together. Of the ways to choose them and to cut
(each node but one gives all that it has, one gives the rest), the one with the cheapest plan for
the whole order is taken. Lines are cut one after the other, those with more units first.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Final

import numpy as np

from edge.routing import fences
from edge.routing.attempt import Attempt, attempt
from edge.routing.gather import Asked, Gathered
from edge.routing.question import Want

CUTS_MAX: Final = 48
"""Ways to cut one line that are tried, those from the fullest nodes first."""
LINES_CUT_MAX: Final = 4
NODES_MAX: Final = 16


def tried(asked: Asked) -> Attempt:
    """One try at a question, with lines cut where the profile allows it."""
    found = attempt(asked)
    return split_lines(found) if asked.profile.split_lines else found


def split_lines(first: Attempt) -> Attempt:
    """Cut the lines that no node has whole.

    Args:
        first: the try without cutting.

    Returns:
        The try at the question with pieces. Its plan is the cheapest of all that this module
        allows; unless not every way was looked at: then it has no bound.
    """
    asked = first.gathered.asked
    if not asked.question.customer.split_allowed:
        return first
    every = True
    on_shelf = np.logical_or.reduce(first.gathered.can[: first.gathered.shelf], axis=0)
    short = [
        group
        for group, whole in zip(first.gathered.groups, on_shelf.tolist(), strict=True)
        if not whole and _divisible(group)
    ]
    short.sort(key=lambda group: -sum(want.quantity for want in group))
    cuts = 0
    for group in short[:LINES_CUT_MAX]:
        lines = {want.line for want in group}
        others = [want for want in asked.question.wants if want.line not in lines]
        planned = first.planned
        kept = frozenset((line, node) for line, node in planned if line not in lines)
        best: tuple[int, Attempt] | None = None
        if first.solution is not None and len(kept) < len(planned):
            best = first.solution.cost, first  # It would wait for stock on its way.
        ways, all_nodes = _ways(first, group)
        every = every and all_nodes
        for tried, pieces in enumerate(ways):
            if tried == CUTS_MAX:
                every = False
                break
            question = replace(asked.question, wants=others + pieces)
            found = attempt(replace(asked, question=question))
            wanted = kept | {(piece.line, piece.node_id) for piece in pieces}
            if found.solution is None or not found.planned >= wanted:
                continue
            if best is None or found.solution.cost < best[0]:
                best = found.solution.cost, found
        if best is not None:
            cuts += best[1] is not first
            _, first = best
            asked = first.gathered.asked
    if first.solution is None or (every and cuts <= 1):
        return first
    return replace(first, solution=replace(first.solution, bound=0, optimal=False))


def _divisible(group: list[Want]) -> bool:
    """Whether a group is of one SKU, and no line of it must ship with another."""
    together = [want.group for want in group if want.group is not None]
    return len({want.sku for want in group}) == 1 and len(together) == len(set(together))


def _ways(first: Attempt, group: list[Want]) -> tuple[Iterator[list[Want]], bool]:
    """Ways to cut a group's units among as few nodes as possible; whether among all nodes."""
    gathered = first.gathered
    number = next(i for i, other in enumerate(gathered.groups) if other[0].line == group[0].line)
    masks = gathered.masks[: gathered.shelf, number] & ~gathered.asked.relaxed
    entry = gathered.skus.index(group[0].sku)
    reserve = gathered.asked.known.stock.reserve
    have: list[tuple[int, int]] = []
    for node, rows in gathered.base.rows.items():
        # A piece weighs less than the whole.
        soft = fences.share | fences.walk_in | fences.carrier_limit
        if (masks[rows] & ~soft == 0).any():
            units = int(gathered.shares[entry, node] - reserve[node])
            if units > 0:
                have.append((units, node))
    have.sort(key=lambda x: (-x[0], x[1]))
    return _cuts(gathered, group, have[:NODES_MAX]), len(have) <= NODES_MAX


def _cuts(
    gathered: Gathered, group: list[Want], have: list[tuple[int, int]]
) -> Iterator[list[Want]]:
    """Ways to cut among nodes that have so many units, the fullest first."""
    wanted = sum(want.quantity for want in group)
    count, total = 0, 0
    while total < wanted and count < len(have):
        total += have[count][0]
        count += 1
    if total < wanted or count < 2:
        return
    names = gathered.snapshot.network.nodes
    for chosen in combinations(have, count):
        surplus = sum(units for units, _ in chosen) - wanted
        if surplus < 0:
            continue
        for last in range(count):
            if surplus >= chosen[last][0]:
                continue  # With fewer nodes, that would be.
            parts = [
                (units - surplus if at == last else units, names[node].node_id)
                for at, (units, node) in enumerate(chosen)
            ]
            yield _pieces(group, parts)
            if not surplus:
                break  # All give everything, whichever is the last.


def _pieces(group: list[Want], parts: list[tuple[int, str]]) -> list[Want]:
    pieces: list[Want] = []
    queue = list(parts)
    units, node_id = queue.pop(0)
    for want in group:
        left = want.quantity
        while left:
            if not units:
                units, node_id = queue.pop(0)
            took = min(left, units)
            pieces.append(replace(want, quantity=took, group=None, node_id=node_id))
            left, units = left - took, units - took
    return pieces
