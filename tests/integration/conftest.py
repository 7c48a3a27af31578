"""Fixtures of the integration tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import Broker, running


@pytest.fixture
def wan(tmp_path: Path) -> Iterator[Broker]:
    """Central's broker."""
    with running("embedded", tmp_path / "wan") as broker:
        yield broker
