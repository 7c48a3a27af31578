"""A scene for the API's tests: a database that the real central has filled, and a client."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from litestar.testing import TestClient

from central.api.app import make_app
from central.api.changes import Changes
from central.api.envelope import Envelope
from central.api.operation import ROLES
from central.api.readers import Readers
from central.api.service import Service
from central.api.tokens import Tokens, make_token
from central.checkpoint import load_signer, make_key
from central.database import open_reader
from central.link import LinkError
from central.signing import Signing
from central.systems import Systems
from shared.events import OrderParked, PackageShipped, PickAccepted, StockExpected
from shared.parts import Contact, Customer, Destination, StockLine
from tests.central_scene import (
    NOW,
    NOW_MS,
    Scene,
    ScriptedEdge,
    accepted,
    document,
    plan,
    received,
    requested,
    scene,
    shortage,
)

LATE_MS = NOW_MS + 2 * 24 * 3_600_000
"""After every promise of the scene."""

HOME = Destination(lat=23.13, lon=113.26, region="CN-GD")


class StandingClock:
    """It stands."""

    def now_ms(self) -> int:
        return LATE_MS


def fill(stage: Scene) -> ScriptedEdge:
    """Orders `o0` to `o8`: every third with a task, parked, or with a plan alone."""
    stage.publish(document())
    one, two = ScriptedEdge("e1"), ScriptedEdge("e2")
    stage.tell(one.hello(), two.hello())
    one.say(received("dc", A=50, B=5))
    lot = [StockLine(sku="B", quantity=7)]
    one.say(StockExpected(node_id="dc", lot_id="asn-1", lines=lot, expected_at=NOW))
    stage.tell(one.batch())
    for number in range(9):
        take(two, f"o{number}", number % 3)
    two.say(PickAccepted(task_id="o0.0.0", node_id="dc", home_edge_id="e2"), "o0")
    two.say(PackageShipped(task_id="o3.0.0", node_id="dc", home_edge_id="e2"), "o3")
    two.say(OrderParked(order_id="nobody", parked=shortage("A", 1)), "nobody")  # an exception
    stage.tell(two.batch())
    return two


def take(edge: ScriptedEdge, order_id: str, kind: int) -> None:
    """An order: with a task (0), parked (1), or with a plan alone (2)."""
    order = accepted(order_id, None if kind == 1 else plan("dc", "A", 1), parked=int(kind == 1))
    paid = msgspec.structs.replace(
        order.payment, customer=Customer(token="c-8f31"), destination=HOME
    )
    edge.say(msgspec.structs.replace(order, payment=paid), order_id)
    if kind == 0:
        edge.say(requested(order_id, "dc", "A", 1, "e2"), order_id, causationid="before")


async def no_contacts(by: str, order_id: str) -> Contact:
    """There is no central behind this scene."""
    raise LinkError(f"{by} asks for {order_id}", place="broker", expected="a running central")


class Api:
    """The app over a database.

    Attributes:
        stage: the central that writes it.
        edge: whose stream may go on.
    """

    def __init__(self, client: "TestClient[Any]", stage: Scene, tokens: dict[str, str]) -> None:
        self.client = client
        self.stage = stage
        self.tokens = tokens
        self.edge: ScriptedEdge | None = None

    def ask(
        self, path: str, role: str | None = "reader", method: str = "GET", **values: Any
    ) -> httpx.Response:
        headers = dict(values.pop("headers", {}))
        if role is not None:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        return self.client.request(method, path, headers=headers, **values)

    def get(self, path: str, role: str = "reader", **query: Any) -> Any:
        """What is answered with 200."""
        answer = self.ask(path, role, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def all(self, path: str, **query: Any) -> list[Any]:
        """Every item of a list, page by page."""
        items: list[Any] = []
        page = self.get(path, **query)
        while page["next"]:
            items += page["items"]
            page = self.get(path, cursor=page["next"], **query)
        return items + page["items"]


def service_over(directory: Path, readers: Readers) -> Service:
    return Service(readers, Changes(readers, 2), no_contacts, None, StandingClock(), 2.0, Systems())


@contextmanager
def open_api(directory: Path, *, full: bool = True, signed: bool = False) -> Iterator[Api]:
    """An API over a database that is filled."""
    path = directory / "tokens.json"
    tokens = {role: make_token(path, f"the-{role}", role, NOW_MS) for role in ROLES}
    readers = Readers(lambda: open_reader(directory / "central"), threads=2)
    try:
        with scene(directory / "central") as stage:
            edge = fill(stage) if full else None
            if signed:
                make_key(directory / "key")
                signing = Signing(
                    stage.database, load_signer(directory / "key"), events=1, every_ms=1
                )
                signing.tick(10_000, NOW_MS)
            app = Envelope(make_app(service_over(directory, readers), Tokens(path)))
            with TestClient(app, raise_server_exceptions=False) as client:
                found = Api(client, stage, tokens)
                found.edge = edge
                yield found
    finally:
        readers.close()
