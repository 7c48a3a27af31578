"""`pointsman trace` over central's database, as a person types it; and what the reader finds."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from central.tracing import tracer
from deploy.cli import app
from shared.clock import to_datetime
from shared.errors import UnknownOrderError
from shared.events import PackageShipped, PickAccepted, PickShort, StockCounted, StockExpected
from shared.parts import Contact, CountLine, PlannedLine, StockLine
from tests.central_scene import NOW_MS, ScriptedEdge, plan, requested, scene
from tests.central_scene import accepted as answer
from tests.company import Company, company
from tests.shop import NORTH, accepted, lines, payment

run = CliRunner()


@pytest.fixture
def firm(tmp_path: Path) -> Iterator[Company]:
    """An order of three units of sku-1, to be picked at dc-north."""
    (tmp_path / "central.toml").write_text(f'data_dir = "{tmp_path}"\n')
    with company(tmp_path) as found:
        found.receive("dc-north", sku_1=12)
        contact = Contact(name="Li Wei", phone="13800138000", address="Nanjing Road 7")
        wanted = payment(lines=lines("sku-1", quantity=3), destination=NORTH, contact=contact)
        found.shops["edge-1"].tell("till-1", wanted, "p1")
        found.carry()
        yield found


def order_of(firm: Company) -> str:
    return accepted(firm.shops["edge-1"]).order_id


def test_trace_tells_each_step_with_its_cause_and_where_the_order_is_stuck(firm: Company) -> None:
    task = firm.shops["edge-2"].last("pick.requested")
    firm.later(60)
    firm.shops["edge-2"].report(PickAccepted, task.task_id)
    missing = [PlannedLine(line=0, sku="sku-1", quantity=3)]
    firm.shops["edge-2"].report(PickShort, task.task_id, missing=missing)
    firm.carry()
    config = str(firm.folder / "central.toml")
    told = run.invoke(app, ["trace", order_of(firm), "-c", config])
    assert told.exit_code == 0, told.output
    assert "\x1b[" not in told.stdout
    first, second = told.stdout.splitlines()[:2]
    assert first.startswith(f"order {order_of(firm)}: parked, kept by edge-1")
    # The machine's clock is years later than the company's: edges are silent, too.
    assert "line 0 waits at edge-1: 3 × sku-1" in told.stdout
    assert "waits at edge-1" in second
    assert "dc-north was short: 3 × sku-1" in told.stdout
    assert "because of 2" in told.stdout
    assert "3 of line 0: picking to short" in told.stdout
    assert "order: planned to picking" in told.stdout


def test_trace_as_json_has_the_story_and_the_reasons_and_no_contact(firm: Company) -> None:
    config = str(firm.folder / "central.toml")
    told = run.invoke(app, ["trace", order_of(firm), "-c", config, "--json"])
    document = msgspec.json.decode(told.stdout)
    assert document["story"]["order_id"] == order_of(firm)
    assert [step["kind"] for step in document["story"]["steps"]] == [
        "order.accepted", "pick.requested",
    ]  # fmt: skip
    assert document["why"]["stuck"]
    for secret in ("Li Wei", "138", "Nanjing"):
        assert secret not in told.stdout


def test_an_order_that_the_ledger_does_not_know_is_an_error_that_teaches(firm: Company) -> None:
    told = run.invoke(app, ["trace", "nothing", "-c", str(firm.folder / "central.toml")])
    assert told.exit_code == 1
    assert "unknown_order" in told.stderr
    assert "its edge has not been" in " ".join(told.stderr.split())
    with tracer(firm.folder) as asked, pytest.raises(UnknownOrderError):
        asked.timeline("nothing")


def test_a_count_that_left_the_package_short_is_found_though_it_is_about_no_order(
    firm: Company,
) -> None:
    counted = StockCounted(node_id="dc-north", lines=[CountLine(sku="sku-1", quantity=1)])
    firm.shops["edge-2"].tell("dc-north", counted, "count-1")
    firm.carry()
    with tracer(firm.folder) as asked:
        steps = asked.timeline(order_of(firm)).steps
    short = next(step for step in steps if step.kind == "pick.short")
    assert short.cause is not None
    assert short.cause.step is not None
    assert steps[short.cause.step - 1].kind == "stock.counted"


def test_units_on_their_way_edges_and_exceptions_are_evidence(firm: Company) -> None:
    one, two = firm.shops["edge-1"], firm.shops["edge-2"]
    task = two.last("pick.requested")
    missing = [PlannedLine(line=0, sku="sku-1", quantity=3)]
    two.report(PickShort, task.task_id, missing=missing)
    firm.carry()
    when = to_datetime(firm.now_ms + 86_400_000)
    coming = StockExpected(
        node_id="dc-south", lot_id="lot-9", lines=[StockLine(sku="sku-1", quantity=40)],
        expected_at=when,
    )  # fmt: skip
    one.tell("dc-south", coming, "lot-9")
    firm.carry()
    with tracer(firm.folder) as asked:
        story, why = asked.why(order_of(firm), firm.now_ms + 1_000)
        _, later = asked.why(order_of(firm), firm.now_ms + 3_600_000)
    assert (story.state, why.by) == ("parked", "edge-1")
    assert [x.code for x in why.reasons] == ["waiting_for_stock"]
    assert any("40 × sku-1 expected at dc-south" in x.text for x in why.reasons[0].facts)
    assert "edge_silent" in [x.code for x in later.reasons]


def test_what_did_not_fit_is_told_from_the_exceptions_and_poison_from_its_own_table(
    tmp_path: Path,
) -> None:
    with scene(tmp_path) as stage:
        edge = ScriptedEdge("e1")
        edge.say(answer("o", plan("dc", "A", 1)), "o")
        edge.say(requested("o", "dc", "A", 1, home="e1"), "o")
        left = [PlannedLine(line=0, sku="A", quantity=7)]
        edge.say(PackageShipped(task_id="o.0.0", node_id="dc", home_edge_id="e1", lines=left), "o")
        edge.say(requested("o", "dc", "A", 1, home="e1"), "o", type="pointsman.moon.landed.v1")
        stage.tell(edge.hello(), edge.batch())
        with tracer(tmp_path) as asked:
            story, why = asked.why("o", NOW_MS)
    assert story.steps[2].misfits[0].startswith("too_many_units")
    assert story.steps[3].no_effect == "unknown_type"
    codes = [x.code for x in why.reasons]
    assert codes[0] == "event_without_effect"
    assert "too_many_units" in codes
