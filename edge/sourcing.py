"""Which profile judges an order: a sourcing document's rules, compiled. Pure.

Each value of a condition knows, as a set of bits, the rules that it passes. The rules that apply
are the intersection over the conditions, and the first of them is its lowest bit: the time does
not grow with the number of rules.
"""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.frames import encode_bulk
from shared.parts import Channel, Credit, FulfilmentKind, Speed, Tier
from shared.sourcing import Profile, Sourcing

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FOR_EVER: Final = sys.maxsize


class _Passing:
    """Which rules a value passes, for one kind of condition.

    Args:
        lists: of each rule, the values that it asks for; empty: it does not ask.
    """

    __slots__ = ("bits", "others")

    def __init__(self, lists: Sequence[Sequence[str]]) -> None:
        """See the class."""
        self.others: Final = sum(1 << rule for rule, names in enumerate(lists) if not names)
        self.bits: Final[dict[str | None, int]] = {}
        for rule, names in enumerate(lists):
            for name in names:
                self.bits[name] = self.bits.get(name, self.others) | 1 << rule


class Rules:
    """Chooses a profile for each order: that of the first rule that applies.

    Args:
        sourcing: the document in force.

    Attributes:
        version: the document's.
        turns_ms: when a rule begins or ends to apply, milliseconds since 1970 UTC.
        packed: its wire form.
        digest: names the document as an input of a plan.
    """

    def __init__(self, sourcing: Sourcing) -> None:
        """See the class."""
        self.version: Final = sourcing.version
        self.packed: Final = encode_bulk(sourcing)
        self.digest = hashlib.sha256(self.packed).digest()
        profiles = {profile.version: profile for profile in sourcing.profiles}
        whens = [rule.when for rule in sourcing.rules]
        self._otherwise: Final = profiles[sourcing.otherwise]
        self._profiles: Final = [profiles[rule.profile] for rule in sourcing.rules]
        self._spans: Final = [
            (_first_ms(when.from_at, 0), _first_ms(when.until_at, _FOR_EVER)) for when in whens
        ]
        self.turns_ms: Final = sorted(
            {ms for span in self._spans for ms in span if 0 < ms < _FOR_EVER}
        )
        self._channels: Final = _Passing([when.channels for when in whens])
        self._tiers: Final = _Passing([when.tiers for when in whens])
        self._speeds: Final = _Passing([when.speeds for when in whens])
        self._credits: Final = _Passing([when.credits for when in whens])
        self._kinds: Final = _Passing([when.kinds for when in whens])
        self._regions: Final = _Passing([when.regions for when in whens])
        self._stores: Final = _Passing([when.stores for when in whens])
        self._tags: Final = _Passing([when.tags for when in whens])

    def choose(
        self,
        *,
        channel: Channel,
        tier: Tier,
        speed: Speed,
        credit: Credit,
        kind: FulfilmentKind,
        region: str | None,
        store_id: str,
        tags: Iterable[str],
        now_ms: int,
    ) -> Profile:
        """The profile of the first rule that applies to such an order, else the document's other.

        Args:
            channel: where it was sold.
            tier: the customer's.
            speed: what the customer prefers.
            credit: the customer's.
            kind: how the goods reach the customer.
            region: the destination's; None: it has none, and no rule that names regions applies.
            store_id: where it is sold.
            tags: of all its products.
            now_ms: milliseconds since 1970 UTC.
        """
        left = (
            self._channels.bits.get(channel, self._channels.others)
            & self._tiers.bits.get(tier, self._tiers.others)
            & self._speeds.bits.get(speed, self._speeds.others)
            & self._credits.bits.get(credit, self._credits.others)
            & self._kinds.bits.get(kind, self._kinds.others)
            & self._regions.bits.get(region, self._regions.others)
            & self._stores.bits.get(store_id, self._stores.others)
        )
        if left:
            tagged = self._tags.others
            for tag in tags:
                tagged |= self._tags.bits.get(tag, 0)
            left &= tagged
        while left:
            lowest = left & -left
            rule = lowest.bit_length() - 1
            begins_ms, ends_ms = self._spans[rule]
            if begins_ms <= now_ms < ends_ms:
                return self._profiles[rule]
            left ^= lowest
        return self._otherwise


def _first_ms(moment: datetime | None, otherwise: int) -> int:
    """The first whole millisecond that is not before a moment."""
    if moment is None:
        return otherwise
    return -((_EPOCH - moment) // timedelta(milliseconds=1))
