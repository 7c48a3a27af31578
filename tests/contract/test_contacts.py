"""A contact on its whole way: through both real cores, and through every file they leave behind."""

import json
from dataclasses import replace

import msgspec
import pytest

from central.admin import Message
from central.sealing import DESTROYED
from central.tables import ledger, poison, vault, vault_keys
from edge.core import ASK_MS_MAX, WIPE_MS
from edge.quarantine import read_quarantine
from shared import topics
from shared.envelope import encode_batch
from shared.parts import Contact, Customer
from tests import central_scene, edge_scene, shop
from tests.central_scene import ScriptedEdge, accepted

LEI = Contact(
    name="Li Lei of Example", phone="138-0013-8000", address="1 Example Road", note="ring twice"
)
SECRETS = [x.encode() for x in msgspec.structs.astuple(LEI)]


class Pair:
    """An edge and central, and the line between them."""

    def __init__(self, folder, central):
        self.folder = folder
        self.central = central
        self._carried = 0
        (folder / "edge").mkdir()
        self.edge = edge_scene.Scene(folder / "edge" / "edge.db")

    def talk(self):
        """What either has to say, until neither has."""
        for _ in range(20):
            words = self.edge.words()
            self.central.tell(*(Message(*x) for x in words))
            self.central.tick(500)
            out, self._carried = self.central.sent[self._carried :], len(self.central.sent)
            for topic, payload in out:
                device, kind = topics.parse_down(topic)
                if device == "edge-1":
                    self.edge.hear(kind, payload)
            self.edge.rest()
            self.edge.turn()
            if not words and not out:
                return
        raise AssertionError("it never comes to rest")

    def wait(self):
        """As long as an edge may keep traces of what it has deleted."""
        self.edge.elapsed_ms += WIPE_MS
        self.edge.turn()

    def traces(self, part):
        """Which of the contact's parts stand in the files of "edge" or "central"."""
        files = b"".join(x.read_bytes() for x in (self.folder / part).iterdir())
        assert files
        return [x for x in SECRETS if x in files]


@pytest.fixture
def pair(tmp_path):
    with central_scene.scene(tmp_path / "central") as central:
        found = Pair(tmp_path, central)
        found.talk()
        central.publish(msgspec.json.encode(shop.network()))
        found.talk()
        yield found
        found.edge.store.close()


def order_id(pair, event_id):
    return pair.edge.answers(event_id)[0][1].order_id


def test_a_contact_is_in_no_file_and_no_log_and_can_be_shown_until_it_is_forgotten(pair, capsys):
    paid = shop.payment("sku-1", contact=LEI, customer=Customer(token="c-1"))
    for number in range(30):
        pair.edge.tell("till-1", paid, f"p{number}")
    pair.edge.elapsed_ms += ASK_MS_MAX
    pair.edge.rest()
    assert pair.traces("edge") == SECRETS
    pair.talk()
    pair.wait()
    assert pair.edge.store.contacts(10) == []
    assert pair.traces("edge") == pair.traces("central") == []
    assert len(pair.central.rows(vault)) == 30

    asked = {"by": "ops", "order_id": order_id(pair, "p3")}
    assert pair.central.admin("contact", **asked)["contact"] == msgspec.to_builtins(LEI)
    assert pair.central.admin("forget", by="ops", customer="c-1") == {"contacts": 30}

    # The same payments again, and what an edge still had of them.
    late = topics.up("edge-1", topics.CONTACTS)
    pair.central.tell(Message(late, json.dumps([
        {"order_id": order_id(pair, "p3"), "contact": msgspec.to_builtins(LEI)}
    ]).encode()))  # fmt: skip
    pair.edge.tell("till-1", paid, "p3")
    pair.talk()
    assert pair.central.admin("contact", **asked)["code"] == "no_contact"
    assert {x["wrapped"] for x in pair.central.rows(vault_keys)} == {DESTROYED}
    pair.wait()
    assert pair.traces("edge") == pair.traces("central") == []
    shown = capsys.readouterr()
    assert not [x for x in SECRETS if x.decode() in shown.out + shown.err]


def test_a_crash_before_the_log_was_emptied_leaves_no_trace_after_the_next_start(pair):
    pair.edge.tell("till-1", shop.payment("sku-1", contact=LEI), "p1")
    pair.talk()
    assert pair.edge.store.contacts(10) == []
    assert pair.traces("edge") == SECRETS
    pair.edge.restart()
    pair.edge.turn()
    assert pair.traces("edge") == []


def test_a_payment_that_is_refused_leaves_no_contact_behind(pair, capsys):
    for old, new in ((b'"sku-1"', b'"nope"'), (b'"quantity":1', b'"quantity":"1"'), (b"{", b"")):
        good = pair.edge.message("till-1", shop.payment("sku-1", contact=LEI), "p1")
        payload = good.payload.replace(old, new, 1)
        assert payload != good.payload
        pair.edge.turn(replace(good, payload=payload, size=len(payload)))
    pair.talk()
    pair.wait()
    assert len(read_quarantine(pair.edge.path)) == 3
    assert pair.traces("edge") == pair.traces("central") == []
    shown = capsys.readouterr()
    assert not [x for x in SECRETS if x.decode() in shown.out + shown.err]


def test_an_edge_that_puts_contacts_into_its_log_is_named_and_they_are_not_kept(tmp_path, capsys):
    with central_scene.scene(tmp_path) as stage:
        stage.publish(central_scene.document())
        edge, other = ScriptedEdge("e1"), ScriptedEdge("e2")
        stage.tell(edge.hello(), other.hello())
        order = accepted("o", None, parked=1)
        leaky = msgspec.structs.replace(order.payment, contact=LEI)
        edge.say(msgspec.structs.replace(order, payment=leaky), "o")
        raw = edge.say(msgspec.structs.replace(order, payment=leaky), "p")
        edge.log[-1] = raw.replace(b'"quantity":1', b'"quantity":"1"', 1)  # nobody can read it
        out = stage.tell(edge.batch())
        assert central_scene.acks(out) == {"e1": 2}
        assert stage.codes() == ["contact_in_log"]
        assert len(stage.rows(ledger)) == 2
        assert len(stage.rows(poison)) == 1
        stage.tell(Message(topics.up("e1", topics.LOG), encode_batch(edge.log)))
        assert stage.codes() == ["contact_in_log"]  # the same again is the same as before
        files = b"".join(x.read_bytes() for x in tmp_path.iterdir())
        assert not [x for x in SECRETS if x in files]
    shown = capsys.readouterr()
    assert not [x for x in SECRETS if x.decode() in shown.out + shown.err]
