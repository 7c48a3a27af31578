"""What a person may see of text that could hold a phone or a card number."""

import re
from typing import Final

_DIGITS: Final = re.compile(r"\d(?:[ -]?\d){6,}")
_SHOWN: Final = 2


def masked(text: str) -> str:
    """The text with runs of seven digits or more masked, all but the last two.

    A run may have single spaces or hyphens in it. How long it was is not shown either.
    """
    return _DIGITS.sub(_mask, text)


def _mask(run: re.Match[str]) -> str:
    digits = run[0].replace(" ", "").replace("-", "")
    return "#####" + digits[-_SHOWN:]
