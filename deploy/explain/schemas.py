"""The JSON Schema of `pointsman explain --json`, generated from its type.

``python -m deploy.explain.schemas`` writes it; a test fails when the committed one is stale.
"""

from pathlib import Path
from typing import Final

from deploy.explain.formats import Explanation
from deploy.planning.schemas import text_of

PATH: Final = Path(__file__).parent / "explanation.schema.json"


def document() -> str:
    """The schema."""
    return text_of("explain:explanation", Explanation)


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8")
