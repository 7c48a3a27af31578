"""Fixtures of the unit tests."""

from pathlib import Path

import pytest

from tests.edge_line import Line, pay
from tests.edge_scene import Scene, open_scene
from tests.shop import Shop, open_shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An edge with the network and no stock, driven by hand."""
    return open_shop(tmp_path / "edge.db")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A core that has met central and has the network, and no stock."""
    return open_scene(tmp_path / "edge.db")


@pytest.fixture
def line(shop: Shop) -> Line:
    """A line that is connected; ten entries wait."""
    pay(shop, 5)
    return Line(shop)
