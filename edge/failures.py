"""What picks have taught: nodes that were short of a SKU, or rejected it, may be so again.

A failure counts for less as time goes by: halved after each `HALF_LIFE_MS`. All arithmetic is
on integers, so that the same history gives the same plan on any machine.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

HALF_LIFE_MS: Final = 7 * 86_400_000
_ONE: Final = 1_000
_PRIOR: Final = 4 * _ONE
"""As if there had been four good picks before: one failure is a chance of one in five."""


class Failure(NamedTuple):
    """How often a node has failed a SKU: thousandths of a failure, as of a moment."""

    node_id: str
    sku: str
    score: int
    at_ms: int


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
        """Take note of a failure's new score."""
        self._known.setdefault(failure.sku, {})[failure.node_id] = failure

    def after(self, node_id: str, sku: str, now_ms: int) -> Failure:
        """The score once another failure is added."""
        known = self._known.get(sku, {}).get(node_id)
        score = 0 if known is None else _faded(known, now_ms)
        return Failure(node_id, sku, score + _ONE, now_ms)

    def of(self, sku: str) -> Iterable[Failure]:
        """Nodes that have failed a SKU, each with its score as it was noted."""
        return self._known.get(sku, {}).values()

    def chances(self, sku: str, now_ms: int) -> Iterable[tuple[str, int]]:
        """Nodes that have failed a SKU, with the chance of another failure in thousandths."""
        for node_id, failure in self._known.get(sku, {}).items():
            score = _faded(failure, now_ms)
            if score:
                yield node_id, 1_000 * score // (score + _PRIOR)


def _faded(failure: Failure, now_ms: int) -> int:
    return failure.score >> min(max(now_ms - failure.at_ms, 0) // HALF_LIFE_MS, 62)
