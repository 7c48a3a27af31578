"""What picks have taught: nodes that were short of a SKU, or rejected it, may be so again.

The chance of it is the share of failed picks among those of a node and a SKU. Good picks count
from the first failure on; what was before is the prior. All of it counts for less as time goes
by: halved after each `HALF_LIFE_MS`. All arithmetic is on integers, so that the same history
gives the same plan on any machine.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

HALF_LIFE_MS: Final = 7 * 86_400_000
ONE: Final = 1_000
"""A pick, in the thousandths that are counted."""

_PRIOR: Final = 4 * ONE
"""As if there had been four good picks before: one failure is a chance of one in five."""


class Failure(NamedTuple):
    """How often a node has failed a SKU, and how often not since: thousandths, as of a moment."""

    node_id: str
    sku: str
    score: int
    at_ms: int
    good: int = 0


class Failures:
    """Failures by SKU and node.

    Args:
        known: what the store has.
    """

    def __init__(self, known: Iterable[Failure] = ()) -> None:
        """See the class."""
        self._known: dict[str, dict[str, Failure]] = {}
        for failure in known:
            self.put(failure)

    def put(self, failure: Failure) -> None:
        """Take note of what is known now of a node and a SKU."""
        self._known.setdefault(failure.sku, {})[failure.node_id] = failure

    def after(self, node_id: str, sku: str, now_ms: int) -> Failure:
        """What is known once another failure is added."""
        known = self._known.get(sku, {}).get(node_id) or Failure(node_id, sku, 0, now_ms)
        score, good = _faded(known, now_ms)
        return Failure(node_id, sku, score + ONE, now_ms, good)

    def picked(self, node_id: str, skus: Iterable[str], now_ms: int) -> Iterable[Failure]:
        """What is known once a node has picked these; nothing of what it has never failed."""
        for sku in sorted(set(skus)):
            known = self._known.get(sku, {}).get(node_id)
            if known is not None:
                score, good = _faded(known, now_ms)
                yield Failure(node_id, sku, score, now_ms, good + ONE)

    def of(self, sku: str) -> Iterable[Failure]:
        """Nodes that have failed a SKU, each with its score as it was noted."""
        return self._known.get(sku, {}).values()

    def chances(self, sku: str, now_ms: int) -> Iterable[tuple[str, int]]:
        """Nodes that have failed a SKU, with the chance of another failure in thousandths."""
        for node_id, failure in self._known.get(sku, {}).items():
            score, good = _faded(failure, now_ms)
            if score:
                yield node_id, 1_000 * score // (score + good + _PRIOR)


def _faded(failure: Failure, now_ms: int) -> tuple[int, int]:
    half_lives = min(max(now_ms - failure.at_ms, 0) // HALF_LIFE_MS, 62)
    return failure.score >> half_lives, failure.good >> half_lives
