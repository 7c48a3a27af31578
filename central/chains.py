"""Walking the ledger: chains, checkpoints and ends, and the first place that is not as written.

Pure: the same walk goes over the database and over a file that was exported.
"""

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from central.checkpoint import Checkpoint, Head, Signatures, Signed
from central.stream import genesis, link
from shared.errors import PointsmanError

Stream = tuple[str, int]
"""Edge id and epoch."""


class Verdict(NamedTuple):
    """What `verify` found. `position` is the first broken one; None: the ledger is whole.

    A row that is missing has no position: then it is that of the row where the gap shows, or
    one after the last row if the end of a stream is missing. What only a checkpoint contradicts
    is at the position of its stream's first row after the checkpoint before.

    Attributes:
        trusted: the checkpoints were held against keys from outside the database.
    """

    entries: int
    position: int | None = None
    edge_id: str = ""
    epoch: int = 0
    sequence: int = 0
    reason: str = ""
    checkpoints: int = 0
    trusted: bool = False

    def __str__(self) -> str:
        """One line for a person."""
        if self.position is not None:
            where = f" ({self.edge_id}, epoch {self.epoch}, sequence {self.sequence})"
            return (
                f"broken at position {self.position}{where if self.edge_id else ''}: {self.reason}"
            )
        whole = f"{self.entries} entries, every chain is whole"
        if not self.checkpoints:
            return f"{whole}; there is no signed checkpoint" if self.trusted else whole
        known = "" if self.trusted else "; no public key was given to hold them against"
        return f"{whole}; {self.checkpoints} signed checkpoints agree{known}"


class BrokenLedgerError(PointsmanError):
    """A ledger is not whole, so nothing may be built on it."""

    code: ClassVar[str] = "broken_ledger"


def require_whole(verdict: Verdict) -> None:
    """See that a ledger is whole.

    Raises:
        BrokenLedgerError: it is not.
    """
    if verdict.position is not None:
        raise BrokenLedgerError(
            str(verdict), place="ledger", expected="a ledger that `pointsman central verify` passes"
        )


class BrokenError(Exception):
    """The walk has met the first place that is not as written."""

    def __init__(self, verdict: Verdict) -> None:
        """See the class."""
        super().__init__(str(verdict))
        self.verdict = verdict


class Walk:
    """One walk over a ledger in the order of positions.

    Args:
        signatures: holds the signatures of checkpoints against keys.
    """

    def __init__(self, signatures: Signatures) -> None:
        """See the class."""
        self.entries = 0
        self.covered = 0  # position of the last checkpoint
        self._position = 0
        self._signatures = signatures
        self._checkpoints = 0
        self._heads: dict[Stream, tuple[int, bytes]] = {}
        self._since: dict[Stream, tuple[int, int]] = {}  # first position, sequence uncovered

    def resume(self, position: int, heads: Iterable[Head], checkpoint: int, before: str) -> None:
        """Begin behind a position, where the streams stood so; nothing was walked yet.

        Args:
            position: see above.
            heads: of all streams.
            checkpoint: number of the last one up to there.
            before: its hash.
        """
        self._position = position
        self._heads = {(x.edge_id, x.epoch): (x.sequence, bytes.fromhex(x.hash)) for x in heads}
        self._signatures.resume(checkpoint, before)

    def skip(self, signed: Signed) -> None:
        """Believe a checkpoint instead of walking what it covers.

        Raises:
            BrokenError: it is not signed by a trusted key, or is not the next one.
        """
        checkpoint = self._open(signed)
        for head in checkpoint.heads:
            self._heads[head.edge_id, head.epoch] = (head.sequence, bytes.fromhex(head.hash))
        self._position = self.covered = checkpoint.position
        self._checkpoints += 1

    def heads(self) -> list[Head]:
        """Where the streams stand that were walked, sorted."""
        return [Head(*key, at, head.hex()) for key, (at, head) in sorted(self._heads.items())]

    def _open(self, signed: Signed) -> Checkpoint:
        checkpoint, reason = self._signatures.open(signed)
        if checkpoint is None:
            raise self.broken(self._position + 1, reason=f"checkpoint {signed.number} {reason}")
        return checkpoint

    def take(
        self, position: int, edge_id: str, epoch: int, sequence: int, raw: bytes, digest: bytes
    ) -> None:
        """Go on to the next row.

        Raises:
            BrokenError: it does not follow from the one before in its stream.
        """
        self.entries += 1
        stream = (edge_id, epoch)
        last, head = self._heads.get(stream) or (0, genesis(edge_id, epoch))
        if sequence != last + 1 or position <= self._position:
            reason = f"expected sequence {last + 1} of this stream: a row is missing or moved"
            raise self.broken(position, edge_id, epoch, sequence, reason)
        if link(head, raw) != digest:
            reason = "the hash does not follow from the entry before and the bytes"
            raise self.broken(position, edge_id, epoch, sequence, reason)
        self._position = position
        self._heads[stream] = (sequence, digest)
        if stream not in self._since:
            self._since[stream] = (position, sequence)

    def checkpoint(self, signed: Signed) -> None:
        """Hold what was walked against a checkpoint, which was made just here.

        Raises:
            BrokenError: it is not signed by a trusted key, is not the next one, or disagrees.
        """
        checkpoint = self._open(signed)
        heads = {(head.edge_id, head.epoch): head for head in checkpoint.heads}
        broken = []
        for stream in heads.keys() | self._since.keys():
            sequence, digest = self._heads.get(stream) or (0, b"")
            if heads.get(stream) != Head(*stream, sequence, digest.hex()):
                place = self._since.get(stream) or (self._position + 1, sequence + 1)
                broken.append((place, stream))
        if broken:
            (position, sequence), stream = min(broken)
            told = heads.get(stream)
            reason = (
                f"checkpoint {checkpoint.number}, made at position {checkpoint.position}, has "
                f"signed {'nothing' if told is None else f'something else through {told.sequence}'}"
                " of this stream, from here on"
            )
            raise self.broken(position, *stream, sequence, reason)
        self._checkpoints += 1
        self.covered = checkpoint.position
        self._since.clear()

    def end(self, ends: Iterable[tuple[str, int, int, bytes]]) -> None:
        """Hold the ends of all streams against where they were acknowledged: edge, epoch, place.

        Raises:
            BrokenError: an end is missing.
        """
        for edge_id, epoch, end, head in ends:
            last = self._heads.get((edge_id, epoch)) or (0, genesis(edge_id, epoch))
            if epoch and last != (end, head):
                reason = f"the stream ends at {last[0]}, and was acknowledged through {end}"
                raise self.broken(self._position + 1, edge_id, epoch, last[0] + 1, reason)

    def verdict(self) -> Verdict:
        """What was found where nothing is broken."""
        return Verdict(
            self.entries, checkpoints=self._checkpoints, trusted=bool(self._signatures.trusted)
        )

    def broken(
        self, position: int, edge_id: str = "", epoch: int = 0, sequence: int = 0, reason: str = ""
    ) -> BrokenError:
        """The error for a place that is not as written."""
        return BrokenError(Verdict(self.entries, position, edge_id, epoch, sequence, reason))
