"""Foreign text on a terminal: no markup, no control characters."""

import re
from typing import Final

from rich.text import Text

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def plain(text: object) -> Text:
    """Text that came from outside, as it is and harmless."""
    return Text(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text)))
