"""When a checkpoint of the ledger is due, and the making of it."""

from typing import Final

import structlog

from central import ledger
from central.checkpoint import Signer
from central.database import Database, transaction
from shared.errors import StorageError

EVENTS: Final = 10_000
EVERY_MS: Final = 600_000

_log = structlog.get_logger("central")


class Signing:
    """Makes checkpoints.

    Args:
        connection: of central's database.
        signer: has the key.
        events: a checkpoint is made after so many, and covers at most so many.
        every_ms: one is made after so long, if there were any events.
        at_start: what the process before has left unsigned is signed at once.
    """

    def __init__(
        self,
        connection: Database,
        signer: Signer,
        *,
        events: int = EVENTS,
        every_ms: int = EVERY_MS,
        at_start: bool = False,
    ) -> None:
        """See the class."""
        self._connection = connection
        self._signer = signer
        self._events = events
        self._every_ms = every_ms
        self._made_ms: int | None = None
        self._at_start = at_start

    def tick(self, elapsed_ms: int, now_ms: int) -> None:
        """Make a checkpoint if one is due. Both times as `central.core` has them."""
        if self._made_ms is None:
            self._made_ms = elapsed_ms
        try:
            with transaction(self._connection) as connection:
                uncovered = ledger.uncovered(connection)
                late = self._at_start or elapsed_ms - self._made_ms >= self._every_ms
                self._at_start = False
                if uncovered < (1 if late else self._events):
                    return
                signed = ledger.checkpoint(connection, self._signer, self._events, now_ms)
        except StorageError as error:
            _log.error("checkpoint_not_stored", detail=str(error))
            return
        self._made_ms = elapsed_ms
        # A log that is kept elsewhere shows it if the last checkpoints are removed.
        _log.info("checkpoint", number=signed.number, position=signed.position, hash=signed.hash)
