"""What may be kept and shown of text that people type: no phone or card number, no e-mail address.

A name cannot be recognised. That none is put into a text is for those who write it.
"""

import re
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from shared.parts import Data

# Bounded on both sides, so that a long text takes no more than a multiple of its length.
_EMAIL: Final = re.compile(r"[\w.+%'-]{1,64}[@\uff20][\w.-]{1,255}")
# Brackets, dots, slashes, hyphens and dashes of all kinds, spaces; full-width ones too.
_BETWEEN: Final = (
    r"[\s()\[\]{}./\\_\-\u00ad\u00b7\u200b-\u200d\u2010-\u2015\u2022\u2212\u3002\u30fb"
    r"\uff08\uff09\uff0d-\uff0f\uff3b\uff3d\uff3f]"
)
_DIGITS: Final = re.compile(rf"\d(?:{_BETWEEN}{{0,3}}\d){{6,}}")  # \d: of any script
_SHOWN: Final = 2

_FREE_TEXTS: Final = ("reason", "detail")

D = TypeVar("D", bound=Data)


def masked(text: str) -> str:
    """The text with e-mail addresses masked, and runs of seven or more digits but the last two.

    A run may have up to three separators between two digits: " - ", ") ", "./". How long it was is
    not shown either. Masked again, a text stays as it is.
    """
    return _DIGITS.sub(_mask, _EMAIL.sub("#####@", text))


def with_masked_texts(data: D) -> D:
    """An event's data with its free texts masked, as they enter a log."""
    changed: dict[str, Any] = {}
    for name in _FREE_TEXTS:
        text = getattr(data, name, None)
        if text and (safe := masked(text)) != text:
            changed[name] = safe
    return replace(data, **changed) if changed else data


def _mask(run: re.Match[str]) -> str:
    digits = [x for x in run[0] if x.isdecimal()]
    return "#####" + "".join(digits[-_SHOWN:])
