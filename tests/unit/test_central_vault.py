"""The vault over a real file: who is forgotten, and what is left of them."""

import base64
from datetime import timedelta
from random import Random

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from central import keyfile
from central.admin import Message
from central.database import close_database, open_database, open_reader
from central.sealing import DESTROYED, Keyring, WrongMasterKeyError
from central.tables import accesses, vault, vault_keys
from central.vault import Access, is_empty, prepare, read_accesses
from shared import topics
from shared.errors import ConfigError
from shared.frames import ContactFor, encode_frame
from shared.parts import Contact, Customer
from tests.central_scene import NOW, NOW_MS, ScriptedEdge, accepted, scene

LEI = Contact(name="Li Lei", phone="13800000000", address="1 Example Road")

LATER_TABLES = ("archives", "awaited", "beliefs", "devices", "heard", "locks", "sightings")
LATER_INDEXES = ("exceptions_by_order", "orders_by_state", "tasks_by_age", "tasks_by_node")
"""What versions after 4 have added."""


@pytest.fixture
def stage(location):
    with scene(location) as found:
        yield found


@pytest.fixture
def edge(stage):
    return met(stage)


@pytest.fixture
def filed(tmp_path):
    """The same over a file in `tmp_path`, which tests may look into."""
    with scene(tmp_path) as found:
        yield found


def met(stage):
    found = ScriptedEdge("e1")
    stage.tell(found.hello())
    return found


def contact(order_id, details=LEI):
    batch = [ContactFor(order_id=order_id, contact=details)]
    return Message(topics.up("e1", topics.CONTACTS), encode_frame(batch))


def paid(edge, order_id, token="c-1", days=0):
    """An order, as the edge's batch."""
    order = accepted(order_id, None, parked=1)
    payment = msgspec.structs.replace(
        order.payment, customer=Customer(token=token), paid_at=NOW + timedelta(days=days)
    )
    edge.say(msgspec.structs.replace(order, payment=payment), order_id)
    return edge.batch()


def shown(stage, order_id):
    answer = stage.admin("contact", by="ops", order_id=order_id)
    return answer.get("contact", answer.get("code"))


def subjects(stage):
    """Whose keys there are that open something."""
    return [x["subject"] for x in stage.rows(vault_keys) if x["wrapped"] != DESTROYED]


def stored(directory):
    """The bytes of the database, its log and whatever lies beside it."""
    return b"".join(x.read_bytes() for x in directory.iterdir() if x.is_file())


ORDERLY = [lambda edge: [paid(edge, "o"), contact("o")]]
EARLY = [lambda edge: [contact("o")], lambda edge: [paid(edge, "o")]]
TOGETHER = [lambda edge: [contact("o"), paid(edge, "o")]]
LATE = [lambda edge: [paid(edge, "o")], lambda edge: [contact("o")]]


@pytest.mark.parametrize("bursts", [ORDERLY, EARLY, TOGETHER, LATE])
def test_a_contact_gets_its_customer_s_key_whichever_comes_first(stage, edge, bursts):
    for burst in bursts:
        stage.tell(*burst(edge))
    assert shown(stage, "o") == {k: v for k, v in msgspec.to_builtins(LEI).items() if v}
    assert subjects(stage) == ["customer:c-1"]
    assert stage.admin("forget", by="ops", customer="c-1") == {"contacts": 1}
    assert shown(stage, "o") == "no_contact"
    assert subjects(stage) == []


@pytest.mark.parametrize("bursts", [ORDERLY, EARLY, TOGETHER, LATE])
def test_a_contact_that_comes_again_after_it_was_forgotten_is_not_kept(stage, edge, bursts):
    stage.admin("forget", by="ops", customer="c-1")
    for burst in bursts:
        stage.tell(*burst(edge))
    stage.tell(contact("o"))
    assert shown(stage, "o") == "no_contact"
    assert subjects(stage) == []
    assert stage.rows(vault) == []


def test_a_contact_whose_customer_is_known_only_after_they_were_forgotten_goes_then(stage, edge):
    stage.tell(contact("o"))
    assert subjects(stage) == ["order:o"]
    assert stage.admin("forget", by="ops", customer="c-1") == {}
    stage.tell(paid(edge, "o"))
    assert (shown(stage, "o"), subjects(stage), stage.rows(vault)) == ("no_contact", [], [])


def test_what_a_forgotten_customer_buys_later_is_kept_by_another_key(stage, edge):
    stage.tell(paid(edge, "o1"), contact("o1"))
    stage.admin("forget", by="ops", customer="c-1")
    stage.tell(paid(edge, "o2", days=1), contact("o1"), contact("o2"))
    assert (shown(stage, "o1"), shown(stage, "o2")["name"]) == ("no_contact", "Li Lei")


def test_customers_share_no_key_and_one_s_orders_do(stage, edge):
    for order_id, token in (("o1", "c-1"), ("o2", "c-2"), ("o3", "c-1"), ("o4", None)):
        stage.tell(paid(edge, order_id, token), contact(order_id))
    assert subjects(stage) == ["customer:c-1", "customer:c-2", "order:o4"]
    assert stage.admin("forget", by="ops", customer="c-1") == {"contacts": 2}
    assert [shown(stage, x) for x in ("o1", "o3")] == ["no_contact"] * 2
    assert [shown(stage, x)["name"] for x in ("o2", "o4")] == ["Li Lei"] * 2


def test_one_order_is_forgotten_and_the_customer_s_others_get_another_key(stage, edge):
    stage.tell(paid(edge, "o1"), paid(edge, "o2"), contact("o1"), contact("o2"))
    (before,) = stage.rows(vault_keys)
    assert stage.admin("forget", by="ops", order_id="o1") == {"contacts": 1}
    stage.tell(contact("o1"))
    assert (shown(stage, "o1"), shown(stage, "o2")["name"]) == ("no_contact", "Li Lei")
    assert [x["wrapped"] == DESTROYED for x in stage.rows(vault_keys)] == [True, False]
    assert stage.rows(vault_keys)[1]["subject"] == before["subject"]


def test_an_order_without_a_token_is_forgotten_by_its_own_name(stage, edge):
    stage.tell(paid(edge, "o", token=None), contact("o"))
    assert stage.admin("forget", by="ops", order_id="o") == {"contacts": 1}
    assert stage.admin("forget", by="ops", order_id="o") == {}
    assert (shown(stage, "o"), subjects(stage)) == ("no_contact", [])


def test_a_later_contact_of_an_order_replaces_the_one_before(stage, edge):
    stage.tell(paid(edge, "o"), contact("o"))
    stage.tell(contact("o", Contact(name="Han Meimei")))
    assert shown(stage, "o")["name"] == "Han Meimei"


@pytest.mark.parametrize("asked", [{}, {"customer": "c", "order_id": "o"}])
def test_one_thing_at_a_time_is_forgotten(stage, asked):
    answer = stage.admin("forget", by="ops", **asked)
    assert (answer["code"], "one of customer and order_id" in answer["detail"]) == (
        "invalid_data", True,
    )  # fmt: skip


def test_who_has_read_and_who_has_forgotten_is_recorded_for_good(stage, edge, location):
    stage.tell(paid(edge, "o"), contact("o"))
    stage.admin("contact", by="Ann", order_id="o")
    stage.admin("contact", by="Ann", order_id="nothing")
    stage.admin("forget", by="Bob", customer="c-1")
    assert read_accesses(location) == [
        Access(2, NOW_MS, "Bob", "forget", "customer:c-1", 1),
        Access(1, NOW_MS, "Ann", "read", "order:o", 1),
    ]
    for statement in ("DELETE FROM accesses", "UPDATE accesses SET by = 'Eve'"):
        with pytest.raises(DatabaseError, match="append-only"), stage.database.begin():
            stage.database.execute(text(statement))
    assert len(stage.rows(accesses)) == 2


def test_no_byte_of_a_contact_or_of_a_destroyed_key_is_left_in_a_file(filed, tmp_path):
    stage, edge = filed, met(filed)
    for number in range(0, 600, 20):
        some = range(number, number + 20)
        for x in some:
            paid(edge, f"o{x}", f"customer-{x:0{1 + x % 40}}")
        stage.tell(edge.batch(number + 1), *(contact(f"o{x}") for x in some))
    keys = {x["subject"]: x["wrapped"] for x in stage.rows(vault_keys)}
    assert len(keys) == 600
    gone = Random(3).sample(sorted(keys), 100)
    for subject in gone:
        stage.admin("forget", by="ops", customer=subject.removeprefix("customer:"))
    left = stored(tmp_path)
    assert not [x for x in gone if keys[x] in left]
    assert [x for x in keys if keys[x] in left] == [x for x in keys if x not in gone]
    for secret in (LEI.name, LEI.phone, LEI.address):
        assert secret.encode() not in left


def test_while_somebody_reads_the_answer_says_so_and_the_log_is_emptied_after(filed, tmp_path):
    stage, edge = filed, met(filed)
    stage.tell(paid(edge, "o"), contact("o"))
    (key,) = (x["wrapped"] for x in stage.rows(vault_keys))
    reader = open_reader(tmp_path)
    with reader.begin():
        reader.execute(text("SELECT count(*) FROM ledger")).scalar()
        answer = stage.admin("forget", by="ops", customer="c-1")
        assert answer == {"contacts": 1, "pending": True}
        stage.tick(500)
        assert key in stored(tmp_path)
    close_database(reader)
    stage.tick(500)
    assert key not in stored(tmp_path)


@pytest.mark.postgresql
def test_a_server_is_asked_to_take_destroyed_keys_out_and_says_when_it_cannot_yet(postgresql):
    name = postgresql.take()
    location = postgresql.location(name)
    hidden = text("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'vault_keys'")
    with scene(location) as stage:
        edge = met(stage)
        stage.tell(paid(edge, "o", "c-1"), contact("o"), paid(edge, "p", "c-2"), contact("p"))
        assert stage.admin("forget", by="ops", customer="c-1") == {"contacts": 1}
        with stage.database.begin():
            assert stage.database.scalar(hidden) == 0
        reader = open_reader(location)
        with reader.begin():
            reader.scalar(text("SELECT count(*) FROM ledger"))
            answer = stage.admin("forget", by="ops", customer="c-2")
            assert answer == {"contacts": 1, "pending": True}
        close_database(reader)
        stage.tick(500)
        with stage.database.begin():
            assert stage.database.scalar(hidden) == 0
    postgresql.give_back(name)


def test_a_changed_row_stops_nobody_but_who_reads_it(stage, edge):
    stage.tell(contact("o"), contact("p"), paid(edge, "p"))
    with stage.database.begin():
        stage.database.execute(vault.update().values(sealed=bytes(40)))
    stage.tell(paid(edge, "o"))
    assert stage.codes() == ["contact_unreadable"]
    assert shown(stage, "o") == shown(stage, "p") == "vault_unreadable"
    assert stage.admin("forget", by="ops", customer="c-1") == {"contacts": 1}
    assert stage.admin("forget", by="ops", order_id="o") == {"contacts": 1}


# The start.


def test_the_key_of_another_database_is_refused(stage, edge):
    prepare(stage.database, stage.keyring)
    assert is_empty(stage.database)
    stage.tell(contact("o"))
    assert not is_empty(stage.database)
    prepare(stage.database, stage.keyring)
    with pytest.raises(ConfigError) as caught:
        prepare(stage.database, Keyring([b"x" * 32], Random(2).randbytes))
    assert caught.value.place == "vault_key_file"
    assert "wrapped by master key" in caught.value.detail
    stage.admin("forget", by="ops", order_id="o")
    assert is_empty(stage.database)


def test_a_rotation_wraps_every_key_anew_and_the_old_one_opens_nothing(
    stage, edge, places, tmp_path
):
    for number in range(3):
        stage.tell(paid(edge, f"o{number}", f"c-{number}"), contact(f"o{number}"))
    stage.admin("forget", by="ops", customer="c-1")
    old = [x["wrapped"] for x in stage.rows(vault_keys) if x["wrapped"] != DESTROYED]
    path = tmp_path / "vault.key"
    path.write_bytes(base64.b64encode(bytes(32)))
    path.chmod(0o600)
    keyfile.rotate(path)
    keyring = keyfile.open_keyring(path, fresh=False)
    prepare(stage.database, keyring)
    before, stage.keyring = stage.keyring, keyring
    stage.restart()
    assert [shown(stage, f"o{number}")["name"] for number in (0, 2)] == ["Li Lei"] * 2
    for row in stage.rows(vault_keys):
        with pytest.raises(WrongMasterKeyError):
            before.unwrap(row["wrapped"], row["subject"])
    if places.server is None:
        assert not [key for key in old if key in stored(tmp_path / "central-1")]


def test_contacts_that_were_plain_are_sealed_and_leave_no_trace(tmp_path):
    details = [Contact(name=f"Li Lei {x}", address="x" * (x % 700)) for x in range(500)]
    with scene(tmp_path) as stage:
        edge = ScriptedEdge("e1")
        stage.tell(edge.hello(), paid(edge, "o7", "c-7"))
        with stage.database.begin():
            for table in (vault, vault_keys, accesses):
                stage.database.execute(text(f"DROP TABLE {table.name}"))
            stage.database.execute(text("DROP TABLE forgotten"))
            stage.database.execute(text("DROP TABLE alembic_version"))
            for name in LATER_TABLES:
                stage.database.execute(text(f"DROP TABLE {name}"))
            for name in LATER_INDEXES:
                stage.database.execute(text(f"DROP INDEX {name}"))
            stage.database.execute(text("ALTER TABLE orders DROP COLUMN state_ms"))
            stage.database.execute(text("CREATE TABLE schema_version (version INTEGER)"))
            stage.database.execute(text("INSERT INTO schema_version VALUES (3)"))
            stage.database.execute(text("ALTER TABLE ledger DROP COLUMN received_ms"))
            stage.database.execute(text("CREATE TABLE contacts (order_id TEXT PRIMARY KEY, body)"))
            rows = [
                {
                    "id": f"o{x}",
                    "body": encode_frame(ContactFor(order_id=f"o{x}", contact=details[x])),
                }
                for x in range(500)
            ]
            stage.database.execute(text("INSERT INTO contacts VALUES (:id, :body)"), rows)
    assert b"Li Lei" in stored(tmp_path)
    database = open_database(tmp_path)
    close_database(database)
    with scene(tmp_path) as stage:
        prepare(stage.database, stage.keyring)
        assert b"Li Lei" not in stored(tmp_path)
        assert shown(stage, "o499")["name"] == "Li Lei 499"
        assert stage.admin("forget", by="ops", customer="c-7") == {"contacts": 1}
        prepare(stage.database, stage.keyring)
        assert shown(stage, "o499")["name"] == "Li Lei 499"
