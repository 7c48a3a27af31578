"""`pointsman explain` over the file of an edge, as a person types it."""

from datetime import timedelta
from pathlib import Path

import jsonschema
import msgspec
import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.explain import schemas
from deploy.explain.formats import Explanation
from edge.store import FILE_NAME
from shared.clock import to_datetime
from shared.events import PickShort
from shared.parts import Customer, Fulfilment
from tests.shop import NOON_MS, Shop, accepted, network, open_shop, payment, task_of

run = CliRunner()
WIDE = {"COLUMNS": "200"}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An edge that has split an order, lost a pick, and let a line wait."""
    shop = open_shop(tmp_path / FILE_NAME)
    shop.grant("store-1", sku_1=3)
    shop.grant("dc-south", sku_1=9, sku_2=1)
    shop.grant("dc-north", sku_1=2)
    wanted = Fulfilment(kind="delivery", deadline=to_datetime(NOON_MS) + timedelta(hours=30))
    shop.tell("till-1", payment("sku-1", "sku-2", "sku-3", fulfilment=wanted))
    task = task_of(shop)
    shop.now_ms += 600_000
    shop.report(PickShort, task.task_id, missing=task.lines[:1])
    return shop


def told(shop: Shop, *more: str) -> str:
    done = run.invoke(
        app, ["explain", accepted(shop).order_id, "--data-dir", str(shop.path.parent), *more],
        env=WIDE,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return done.output


def refused(shop: Shop, *arguments: str) -> str:
    done = run.invoke(app, ["explain", *arguments], env=WIDE)
    assert done.exit_code == 1, done.output
    return done.output


def test_an_order_is_told_decision_by_decision_for_a_person(shop: Shop) -> None:
    text = told(shop)
    assert text.index("1. order.accepted") < text.index("2. route.planned")
    assert text.count("decided again from what was kept: the same plan, bit for bit") == 2
    for words in (
        "made by network 1",
        "proven the cheapest",
        "profile p1",
        "94.5 %",
        "lateness",
        "no node may promise enough of it",
        "1 sku-3 short: has 0 of 1",
        "it has failed this order before",
        "tariff 5.00 → 10.00",
        "now: line 1 from dc-south by standard; line 0 from store-1 by standard; line 2 waits",
    ):
        assert words in text, words


def test_the_json_fits_its_schema_and_its_type(shop: Shop) -> None:
    document = told(shop, "--json")
    story = msgspec.json.decode(document, type=Explanation)
    assert [decision.said for decision in story.decisions] == ["order.accepted", "route.planned"]
    assert [decision.same for decision in story.decisions] == [True, True]
    explained = story.decisions[0].explained
    assert explained is not None
    assert [rival.node_id for rival in explained.rivals] == ["store-1", "dc-north"]
    schema = msgspec.json.decode(schemas.document())
    jsonschema.validate(msgspec.json.decode(document), schema)


def test_the_committed_schema_is_what_the_type_says() -> None:
    assert schemas.PATH.read_text() == schemas.document(), "python -m deploy.explain.schemas"


def test_a_configuration_names_the_folder_as_well(shop: Shop, tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text('edge_id = "edge-1"\ndata_dir = "."\n')
    done = run.invoke(app, ["explain", accepted(shop).order_id, "-c", str(config)], env=WIDE)
    assert done.exit_code == 0, done.output


def test_relaxed_fences_splits_and_old_times_are_told(tmp_path: Path) -> None:
    shop = open_shop(tmp_path / FILE_NAME)
    profile = msgspec.structs.replace(network().profile, relax=["packages_max"])
    old = to_datetime(NOON_MS) - timedelta(days=40)
    shop.feed(network(2, profile=profile, made_at=old))
    shop.grant("store-1", sku_1=1)
    shop.grant("dc-south", sku_2=1)
    shop.tell("till-1", payment("sku-1", "sku-2", customer=Customer(packages_max=1)))
    text = told(shop)
    assert "breaks packages_max, since no plan keeps all of packages_max" in text
    assert "split cost 4.00 CNY" in text
    assert "old times (40.0 days)" in text
    assert "in at most 1 packages" in text


def test_a_plan_whose_inputs_are_pruned_is_told_from_the_log(shop: Shop) -> None:
    shop.store.prune_decisions(0, 1_000)
    shop.store.commit()
    text = told(shop)
    assert "what it was made by is no longer kept; the plan is from the log" in text
    assert "could have shipped" not in text


def test_a_changed_file_shows(shop: Shop) -> None:
    connection = shop.store._connection
    (blob,) = connection.execute("select inputs from decisions order by position").fetchone()
    other = blob.replace(b"sku-1", b"sku-4")
    connection.execute("update decisions set inputs = ? where position = 1", (other,))
    assert "decided again from what was kept: another plan" in told(shop)
    connection.execute("update decision_documents set body = x'00'")
    assert "is another one" in refused(
        shop, accepted(shop).order_id, "--data-dir", str(shop.path.parent)
    )
    connection.execute("update decisions set inputs = x'00'")
    assert "made by cannot be read" in refused(
        shop, accepted(shop).order_id, "--data-dir", str(shop.path.parent)
    )


def test_an_unknown_order_a_pruned_one_and_a_wrong_folder_are_taught(
    shop: Shop, tmp_path: Path
) -> None:
    folder = str(shop.path.parent)
    text = refused(shop, "order-of-another-edge", "--data-dir", folder)
    assert "unknown_order" in text
    assert "this very edge" in text

    order_id = accepted(shop).order_id
    text = refused(shop, order_id, "--data-dir", str(tmp_path / "elsewhere"))
    assert "storage_failed" in text
    assert "the data_dir of an edge that has run" in text

    text = refused(shop, order_id)
    assert "--config, or --data-dir" in text

    shop.tell("till-1", payment("sku-1"))
    shop.store.prune_log(len(shop.log()), shop.now_ms + 1, 1_000)
    shop.store.commit()
    text = refused(shop, order_id, "--data-dir", folder)
    assert "decision_pruned" in text
    assert "central's ledger" in text
