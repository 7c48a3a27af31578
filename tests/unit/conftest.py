"""Fixtures of the unit tests."""

from pathlib import Path

import pytest

from tests.shop import Shop, open_shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An edge with the network and no stock, driven by hand."""
    return open_shop(tmp_path / "edge.db")
