"""The edge daemon between a real broker of the site and a real broker of central."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import msgspec

from edge.quarantine import read_quarantine
from edge.store import FILE_NAME, Store
from shared.envelope import decode_event, encode_event
from shared.events import PickAccepted, PickRequested
from shared.frames import (
    Grant,
    encode_bulk,
)  # fmt: skip
from shared.parts import CellUnits, Contact, PlannedLine
from shared.topics import up
from tests.brokers import Broker, running
from tests.shop import device_event, network, payment, question
from tests.site import PATIENCE_S, central, client, device, running_edge, site


async def test_a_payment_is_answered_logged_and_picked(
    broker: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with (
        central(wan) as centre,
        running_edge(broker, wan, tmp_path),
        device(broker, "till-1") as till,
        device(broker, "dc-south") as warehouse,
    ):
        await centre.stock(sku_1=5)
        kind, event, quote = await till.ask(device_event("till-1", "q1", question("sku-1")))
        assert (kind, event.causationid) == ("route.planned", "q1")
        assert [package.node_id for package in quote.plan.packages] == ["dc-south"]

        paid = device_event("till-1", "p1", payment("sku-1", "sku-2"))
        kind, first, accepted = await till.ask(paid)
        assert (kind, first.causationid) == ("order.accepted", "p1")
        assert [shortage.sku for shortage in accepted.parked] == ["sku-2"]
        _, second, _ = await till.ask(paid)
        assert second == first

        kind, _, task = await warehouse.answer()
        assert isinstance(task, PickRequested)
        assert task.order_id == accepted.order_id
        done = device_event("dc-south", "a1", PickAccepted(task_id=task.task_id))
        await warehouse.publish(done)
        await centre.until(lambda: len(centre.events) == 4)
        kinds = [event.type.split(".", 1)[1] for event in centre.events.values()]
        assert kinds == [
            "order.accepted.v1", "order.parked.v1", "pick.requested.v1", "pick.accepted.v1",
        ]  # fmt: skip


async def test_tills_are_served_while_central_is_away_and_nothing_is_lost(
    broker: Broker, tmp_path: Path
) -> None:
    with running("embedded", tmp_path / "wan") as wan:
        async with running_edge(broker, wan, tmp_path), device(broker, "till-1") as till:
            async with central(wan) as centre:
                await centre.stock(sku_1=10)
            wan.kill()
            ids = []
            for number in range(5):
                event = device_event("till-1", f"p{number}", payment("sku-1"))
                kind, _, accepted = await till.ask(event)
                assert kind == "order.accepted"
                ids.append(accepted.order_id)
            wan.restart(wipe=True)
            async with central(wan) as centre:
                await centre.until(lambda: len(centre.events) == 10)
                orders = [
                    e.correlationid
                    for e in centre.events.values()
                    if e.type == "pointsman.order.accepted.v1"
                ]
                assert orders == ids


async def test_a_silent_central_gets_the_log_again(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with site(embedded, wan, tmp_path) as (centre, till):
        await centre.stock(sku_1=10)
        centre.silent = True
        before = centre.batches
        await till.ask(device_event("till-1", "p1", payment("sku-1")))
        await centre.until(lambda: centre.batches > before)
        centre.silent = False
        await centre.until(lambda: len(centre.events) == 2)


async def test_contact_details_take_their_own_way_and_are_forgotten(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    contact = Contact(name="Customer 1", phone="000-1234567", address="Example Road 1")
    paid = payment("sku-1", contact=contact)
    async with site(embedded, wan, tmp_path) as (centre, till):
        await centre.stock(sku_1=10)
        _, event, accepted = await till.ask(device_event("till-1", "p1", paid))
        assert b"1234567" not in encode_event(event)
        await centre.until(lambda: centre.contacts)
        assert centre.contacts[0].order_id == accepted.order_id
        assert centre.contacts[0].contact.phone == "000-1234567"
        await centre.until(lambda: len(centre.events) == 2)
        assert all(b"1234567" not in encode_event(event) for event in centre.events.values())
    with contextlib.closing(Store(tmp_path / "edge" / FILE_NAME)) as store:
        assert store.contacts(10) == []


async def test_a_task_for_another_edges_node_goes_to_that_edge_at_once(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with (
        central(wan) as centre,
        running_edge(embedded, wan, tmp_path),
        device(embedded, "till-1") as till,
        client(wan, "edge-2", "pointsman/v1/+/up/tasks/edge-2") as peer,
    ):
        await centre.until(lambda: centre.hellos)
        await centre.feed(1, "network", encode_bulk(network()))
        cells = [CellUnits(node_id="dc-north", sku="sku-1", quantity=1)]
        await centre.feed(2, "grant", encode_bulk(Grant(cells=cells)))
        await centre.until(lambda: centre.hellos[-1].feed == 2)
        await till.ask(device_event("till-1", "p1", payment("sku-1")))
        async with asyncio.timeout(PATIENCE_S):
            message = await anext(peer.messages)
        assert str(message.topic) == "pointsman/v1/edge-1/up/tasks/edge-2"
        assert decode_event(bytes(message.payload)).type == "pointsman.pick.requested.v1"


async def test_a_task_from_a_peer_reaches_the_warehouse_once_although_it_comes_twice(
    embedded: Broker, wan: Broker, tmp_path: Path
) -> None:
    task = PickRequested(
        task_id="o.1.0", order_id="o", home_edge_id="edge-2", node_id="dc-south",
        service_id="standard", lines=[PlannedLine(line=0, sku="sku-1", quantity=1)],
        ready_at=payment("sku-1").paid_at,
        arrives_at=payment("sku-1").paid_at,
    )  # fmt: skip
    event = encode_event(
        msgspec.structs.replace(device_event("x", "t1", task), source="/edges/edge-2")
    )
    async with (
        central(wan) as centre,
        running_edge(embedded, wan, tmp_path),
        device(embedded, "dc-south") as warehouse,
        client(wan, "edge-2") as peer,
    ):
        await centre.until(lambda: centre.hellos)
        await centre.feed(1, "network", encode_bulk(network()))
        await centre.until(lambda: centre.hellos[-1].feed == 1)
        await peer.publish("pointsman/v1/edge-2/up/tasks/edge-1", event, 1)
        kind, _, told = await warehouse.answer()
        assert (kind, told.task_id) == ("pick.requested", "o.1.0")
        await centre.feed(2, "event", event)
        await centre.until(lambda: centre.hellos[-1].feed == 2)
        await warehouse.publish(device_event("dc-south", "a1", PickAccepted(task_id="o.1.0")))
        await centre.until(lambda: len(centre.events) == 1)


async def test_every_kind_of_nonsense_is_refused_with_code_and_place(
    broker: Broker, wan: Broker, tmp_path: Path
) -> None:
    good = msgspec.json.decode(encode_event(device_event("till-1", "p1", payment("sku-1"))))

    def changed(**values: Any) -> bytes:
        return msgspec.json.encode(good | values)

    data = good["data"]
    zero = data | {"lines": [{"sku": "sku-1", "quantity": 0}]}
    card = data | {"card_number": "4111111111111111"}
    alien = data | {"lines": [{"sku": "sku-1", "quantity": 1}, {"sku": "sku-x", "quantity": 1}]}
    deep = b'{"specversion":"1.0","id":"d","source":"/devices/till-1","data":' + b"[" * 100_000
    cases: list[tuple[str, bytes, str, str]] = [
        ("payment.succeeded", b"not json", "not_json", "$"),
        ("payment.succeeded", b"\xff\xfe", "not_json", "$"),
        ("payment.succeeded", deep, "not_json", "$"),
        ("payment.succeeded", b"[]", "invalid_envelope", "$"),
        ("payment.succeeded", changed(id=7), "invalid_envelope", "$.id"),
        ("payment.succeeded", changed(data=data | {"payment_id": 7}), "invalid_data",
         "$.data.payment_id"),
        ("payment.succeeded", changed(data=zero), "invalid_data", "$.data.lines[0].quantity"),
        ("payment.succeeded", changed(data=card), "invalid_data", "$.data"),
        ("payment.succeeded", changed(data=alien), "unknown_sku", "$.data.lines[1].sku"),
        ("payment.succeeded", b" " * (10 * 1024 * 1024), "payload_too_large", "$"),
        ("payment.succeeded", changed(source="/devices/till-2"), "topic_mismatch", "$.source"),
        ("payment.succeeded", changed(type="pointsman.coffee.made.v1"), "unknown_type", "$.type"),
        ("route.requested", changed(), "topic_mismatch", "$.type"),
        ("payment.succeeded", changed(time="1950-01-01T00:00:00Z"), "invalid_envelope", "$.time"),
        ("payment.succeeded", changed(hlc="f" * 16), "invalid_envelope", "$.hlc"),
    ]  # fmt: skip
    async with site(broker, wan, tmp_path) as (centre, till):
        kind, _, told = await till.ask(device_event("till-1", "p0", payment("sku-1")))
        assert (kind, told.code) == ("input.rejected", "no_network")
        await centre.stock(sku_1=5)
        for topic, payload, code, place in cases:
            await till.client.publish(up("till-1", topic), payload, 1)
            kind, _, told = await till.answer()
            assert kind == "input.rejected", payload[:80]
            assert (told.code, told.place) == (code, place), payload[:80]
        kind, _, _ = await till.ask(device_event("till-1", "p9", payment("sku-1")))
        assert kind == "order.accepted"
    rows = read_quarantine(tmp_path / "edge" / FILE_NAME)
    assert {row["code"] for row in rows} == {"no_network"} | {code for _, _, code, _ in cases}
    assert all("4111111111111111" not in row["excerpt"] for row in rows)


async def test_a_wrong_content_type_is_refused(
    mosquitto: Broker, wan: Broker, tmp_path: Path
) -> None:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    xml = Properties(PacketTypes.PUBLISH)
    xml.ContentType = "application/xml"
    async with running_edge(mosquitto, wan, tmp_path), device(mosquitto, "till-1") as till:
        event = encode_event(device_event("till-1", "p1", payment("sku-1")))
        await till.client.publish(up("till-1", "payment.succeeded"), event, 1, properties=xml)
        kind, answered, told = await till.answer()
        assert (kind, answered.causationid, told.code) == (
            "input.rejected", "p1", "wrong_content_type",
        )  # fmt: skip


async def test_a_restarted_edge_goes_on_where_it_was(
    broker: Broker, wan: Broker, tmp_path: Path
) -> None:
    async with central(wan) as centre, device(broker, "till-1") as till:
        async with running_edge(broker, wan, tmp_path):
            await centre.stock(sku_1=1)
            paid = device_event("till-1", "p1", payment("sku-1"))
            _, first, _ = await till.ask(paid)
        async with running_edge(broker, wan, tmp_path):
            _, again, _ = await till.ask(paid)
            assert again == first
            _, _, short = await till.ask(device_event("till-1", "p2", payment("sku-1")))
            assert short.plan is None
            await centre.until(lambda: len(centre.events) == 4)
