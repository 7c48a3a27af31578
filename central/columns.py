"""What all tables of central's database are made of."""

from typing import Final

from sqlalchemy import BigInteger, Integer, MetaData, String

from shared.limits import ID_CHARS_MAX

metadata: Final = MetaData()
Id: Final = String(ID_CHARS_MAX)
Position: Final = BigInteger().with_variant(Integer, "sqlite")
"""A key that counts up: SQLite counts only INTEGER keys up."""
