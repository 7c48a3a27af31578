"""A town for the API's tests: brokers, central, an edge and the API, each a process of its own."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from central.api.operation import ROLES
from central.api.tokens import make_token
from shared.envelope import encode_event
from shared.events import Payment, StockReceived
from shared.parts import Contact, StockLine
from shared.topics import up
from tests import shop
from tests.brokers import Broker, running
from tests.paho_client import Client
from tests.processes import Daemon

PATIENCE_S = 30.0
CONTACT = Contact(name="Lei Wu", phone="138 0000 4711", address="1 Example Road")


class Town:
    """What a test needs of it.

    Attributes:
        client: of the API, without a token.
        tokens: one for each role.
        edge: its process.
        lan: the broker of the edge's site.
    """

    def __init__(
        self, client: httpx.Client, tokens: dict[str, str], edge: Daemon, lan: Broker, config: Path
    ) -> None:
        self.client = client
        self.tokens = tokens
        self.edge = edge
        self.lan = lan
        self.config = config

    def ask(self, path: str, role: str = "admin", method: str = "GET", **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} | more.pop("headers", {})
        return self.client.request(method, path, headers=headers, **more)

    def put_in(self, payment: Payment, key: str, **more: Any) -> httpx.Response:
        """Put an order in."""
        answer: httpx.Response = self.ask(
            "/v1/orders", "operator", "POST", content=msgspec.json.encode(payment),
            headers={"Idempotency-Key": key, "Content-Type": "application/json"}, **more,
        )  # fmt: skip
        return answer

    def until(self, path: str, role: str = "admin", status: int = 200) -> Any:
        """Ask until it is answered so."""
        deadline = time.monotonic() + PATIENCE_S
        while (answer := self.ask(path, role)).status_code != status:
            assert time.monotonic() < deadline, answer.text
        return answer.json() if answer.content else None

    def until_true(self, true: Any) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline


@contextlib.contextmanager
def town(folder: Path, kind: str = "mosquitto", answer_s: float = 10.0) -> Iterator[Town]:
    """Everything runs, the edge has the network, and stock to promise."""
    with (
        running(kind, folder / "lan") as lan,
        running("embedded", folder / "wan") as wan,
        contextlib.ExitStack() as daemons,
    ):
        version = "5" if kind == "mosquitto" else "3.1.1"
        config, edge_config = folder / "central.toml", folder / "edge.toml"
        config.write_text(
            f'data_dir = "central"\n[broker]\nport = {wan.port}\nmqtt_version = "3.1.1"\n'
            f"[api]\nport = 0\nanswer_s = {answer_s}\n"
            f'[api.lan]\nport = {lan.port}\nmqtt_version = "{version}"\n'
        )
        edge_config.write_text(
            f'edge_id = "edge-1"\ndata_dir = "edge"\n'
            f'[lan]\nport = {lan.port}\nmqtt_version = "{version}"\n'
            f'[wan]\nport = {wan.port}\nmqtt_version = "3.1.1"\n'
        )
        tokens = {
            role: make_token(folder / "central" / "tokens.json", f"the-{role}", role, 1)
            for role in ROLES
        }

        def start(*arguments: str) -> Daemon:
            daemon = Daemon(*arguments)
            daemons.callback(daemon.stop)
            return daemon

        central = start("central", "run", "-c", str(config))
        edge = start("edge", "run", "-c", str(edge_config))
        api = start("central", "api", "-c", str(config))
        central.until("ready")
        edge.until("ready")
        ready = api.until("ready")
        url = f"http://127.0.0.1:{ready['port']}"
        client = daemons.enter_context(httpx.Client(base_url=url, timeout=PATIENCE_S))
        found = Town(client, tokens, edge, lan, config)
        _supply(found, wan, lan)
        yield found


def _supply(found: Town, wan: Broker, lan: Broker) -> None:
    operator = Client(wan, "planner")
    operator.publish(up("admin", "network"), msgspec.json.encode(shop.network()))
    operator.close()
    found.edge.until("network_applied")
    lines = [StockLine(sku=f"sku-{number}", quantity=100) for number in range(5)]
    event = shop.device_event("dc-south", "opening", StockReceived(node_id="dc-south", lines=lines))
    warehouse = Client(lan, "dc-south")
    warehouse.publish(up("dc-south", "stock.received"), encode_event(event))
    warehouse.close()
    found.until_true(lambda: found.client.get("/health/ready").json().get("orders") == "open")
    found.until("/v1/stock/dc-south/sku-4")
