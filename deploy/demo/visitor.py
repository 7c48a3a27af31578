"""What a person can paste to take part, once the day is over."""

import shlex
import shutil
import sys
from pathlib import Path

from deploy.demo.goods import opening
from deploy.demo.script import Script, till_device
from deploy.demo.world import CURRENCY, EDGES, dc_ids, nodes
from shared.clock import to_datetime
from shared.envelope import Event, decode_data, encode_event, make_event
from shared.events import Payment
from shared.parts import Destination, Fulfilment, Line, Money
from shared.topics import ROOT, device_source, up

EDGE_ID = EDGES[0]
"""Whose broker the visitor is shown."""


def payment(script: Script, now_ms: int) -> Event:
    """A payment of the visitor's own, for two of what the nearest centre has most of.

    It stays at one edge, so that the whole of it is seen on one broker.
    """
    centre = next(node for node in nodes() if node.node_id == dc_ids(EDGE_ID)[0])
    store = next(x for x in nodes() if x.kind == "store" and x.region == centre.region)
    shelf = opening(script)[centre.node_id]
    till, now = till_device("visitor"), to_datetime(now_ms)
    paid = Payment(
        payment_id="visitor-1",
        terminal_id=till,
        store_id=store.node_id,
        paid_at=now,
        amount=Money(minor=990, currency=CURRENCY),
        channel="pos",
        fulfilment=Fulfilment(kind="delivery"),
        lines=[Line(sku=max(shelf, key=lambda sku: shelf[sku]), quantity=2, unit_price_minor=495)],
        destination=Destination(lat=centre.lat, lon=centre.lon, region=centre.region),
    )
    return make_event(paid, id="visitor-1", source=device_source(till), time=now)


def lines_to_paste(folder: Path, port: int, script: Script, now_ms: int) -> list[str]:
    """Three commands: watch, pay with mosquitto_pub, pay with our own till.

    Args:
        folder: where the file with the payment goes.
        port: the broker of `EDGE_ID`.
        script: what the nodes have in stock follows from it.
        now_ms: simulated time.
    """
    document = folder / "payment.json"
    event = payment(script, now_ms)
    document.write_bytes(encode_event(event))
    paid = decode_data(event)
    assert isinstance(paid, Payment)
    assert paid.destination is not None
    place = f"{paid.destination.lat},{paid.destination.lon},{paid.destination.region}"
    own = f"{paid.lines[0].sku}:3 --store {paid.store_id} --to {place} --currency {CURRENCY}"
    topic = up(till_device("visitor"), Payment.kind)
    pointsman = shlex.quote(str(Path(sys.executable).with_name("pointsman")))
    watch = f"{pointsman} pos watch --port {port}"
    if shutil.which("mosquitto_sub"):
        watch = f"mosquitto_sub -p {port} -v -t '{ROOT}/#'"
    return [
        watch,
        f"mosquitto_pub -p {port} -q 1 -t {topic} -f {shlex.quote(str(document))}",
        f"{pointsman} pos pay {own} --port {port}",
    ]
