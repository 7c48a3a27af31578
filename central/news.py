"""What of a turn is news for the log."""

import structlog

from central.burst import Outcome
from shared.errors import GapError
from shared.masking import masked

_log = structlog.get_logger("central")


def tell(outcome: Outcome) -> None:
    """Log what became of a turn."""
    for edge_id, refusal in outcome.refusals:
        # A gap is how go-back-N works on a lossy line; everything else is news.
        tell = _log.info if isinstance(refusal, GapError) else _log.error
        tell("log_refused", edge_id=edge_id, code=refusal.code, detail=str(refusal))
    for kind, document in outcome.documents.items():
        edges = len(outcome.streams)
        _log.info(f"{kind}_published", version=document.version, edges=edges)
    for entry in outcome.poisoned:
        _log.error("event_poisoned", entry=entry.key, detail=masked(str(entry.fault)))
    for noted, misfit in outcome.misfits:
        _log.warning(
            "exception", code=misfit.code, detail=misfit.detail, order_id=misfit.order_id,
            entry=None if noted is None else noted.key,
        )  # fmt: skip
