"""JSON Schemas of the what-if's documents and lines, generated from their types.

``python -m deploy.planning.schemas`` writes them; a test fails when the committed ones are stale.
"""

import json
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from deploy.planning.formats import (
    AskedOrder,
    ComparedOrder,
    Comparison,
    PlannedOrder,
    Shelves,
    Summary,
)
from shared.prices import Prices
from shared.schemas import DRAFT
from shared.sourcing import Profile, Sourcing

FOLDER: Final = Path(__file__).parent / "schemas"

_KINDS: Final[dict[str, type[Struct]]] = {
    "order": AskedOrder,
    "stock": Shelves,
    "profile": Profile,
    "sourcing": Sourcing,
    "prices": Prices,
    "plan": PlannedOrder,
    "summary": Summary,
    "difference": ComparedOrder,
    "comparison": Comparison,
}


def documents() -> dict[str, str]:
    """Every schema: file name to text."""
    return {
        f"{name}.schema.json": text_of(f"planning:{name}", kind) for name, kind in _KINDS.items()
    }


def text_of(name: str, kind: type[Struct]) -> str:
    """The schema of a type; the name is that of its room and its own."""
    (root,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    del root
    definition = parts.pop(kind.__name__)
    schema = {
        "$schema": DRAFT,
        "$id": f"urn:pointsman:schema:{name}",
        **definition,
        "title": name.partition(":")[2],
        "$defs": parts,
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    written = documents()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(written)} documents in {FOLDER.name}")


if __name__ == "__main__":
    main()
