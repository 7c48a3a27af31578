"""Sourcing and prices come down the feed, last, and wake what waits."""

import sqlite3
from contextlib import closing

import pytest
import sqlite_utils
from structlog.testing import capture_logs

from edge.migrations import migrations
from shared.frames import Rejoin, encode_bulk, feed_kind
from tests.edge_scene import open_scene
from tests.planner import prices, sourcing
from tests.shop import open_shop, payment


@pytest.fixture
def scene(tmp_path):
    return open_scene(tmp_path / "edge.db")


@pytest.mark.parametrize("item, kind", [(sourcing(), "sourcing"), (prices(), "prices")])
def test_a_document_is_applied_told_and_outlives_a_restart(scene, item, kind):
    assert getattr(scene.core.engine.state, kind) is None
    with capture_logs() as said:
        scene.feed(item)
    assert {"event": f"{kind}_applied", "version": item.version, "log_level": "info"} in said
    assert getattr(scene.core.engine.state, kind) == item
    scene.restart()
    assert getattr(scene.core.engine.state, kind) == item


def test_a_document_takes_the_place_of_the_one_before_and_of_no_other(scene):
    scene.feed(sourcing("s1"), prices(1), sourcing("s2"), prices(2), sourcing("s1"))
    scene.restart()
    state = scene.core.engine.state
    assert (state.sourcing, state.prices) == (sourcing("s1"), prices(2))


def test_a_document_counts_only_once_it_is_durable(scene):
    scene.feed(sourcing("s1"))
    scene.send(sourcing("s2"))
    with capture_logs() as said:
        scene.turn(broken_disk=True)
    assert scene.core.engine.state.sourcing == sourcing("s1")
    assert "sourcing_applied" not in [x["event"] for x in said]


@pytest.mark.parametrize("item", [sourcing(), prices()])
def test_orders_that_wait_are_tried_again_when_a_document_comes(tmp_path, item):
    shop = open_shop(tmp_path / "edge.db")
    shop.tell("till-1", payment("sku-1"))
    shop.retry()
    assert shop.engine.due() is None
    shop.feed(item)
    (decision,) = shop.retry()
    assert not decision.log  # nothing has changed for it


def test_an_edge_keeps_its_documents_through_a_rejoin(scene):
    scene.feed(sourcing(), prices(), Rejoin(epoch=2))
    assert scene.core.engine.state.sourcing == sourcing()
    scene.restart()
    assert scene.core.engine.state.prices == prices()


def test_an_edge_that_is_restored_keeps_its_documents(scene):
    scene.feed(sourcing(), prices(), Rejoin(epoch=2, restored=True), [])
    scene.restart()
    state = scene.core.engine.state
    assert (state.sourcing, state.prices) == (sourcing(), prices())


@pytest.mark.parametrize("kind", ["sourcing", "prices"])
def test_a_document_that_cannot_be_read_is_named_and_what_was_before_stays(scene, kind):
    scene.feed(sourcing(), prices())
    scene.feed_sent += 1
    body = encode_bulk(prices() if kind == "sourcing" else sourcing())
    scene.hear(feed_kind(scene.feed_sent, kind), body)
    with capture_logs() as said:
        scene.rest()
    assert "feed_item_skipped" in [x["event"] for x in said]
    assert scene.core.applied == scene.feed_sent
    state = scene.core.engine.state
    assert (state.sourcing, state.prices) == (sourcing(), prices())


def test_a_store_of_the_version_before_is_upgraded(tmp_path):
    with closing(sqlite3.connect(tmp_path / "edge.db")) as connection:
        migrations.apply(sqlite_utils.Database(connection), stop_before="m003_documents")
    scene = open_scene(tmp_path / "edge.db")
    scene.feed(sourcing())
    assert scene.core.engine.state.sourcing == sourcing()
