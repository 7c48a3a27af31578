"""What followers read and remember, on SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert, select, text

from central.config import Config, Republish, Webhook
from central.database import close_database, open_database
from central.followers import tables
from central.followers.daemon import first_needed, open_followers
from central.followers.republish import FOLLOWER
from central.followers.store import Delivery, open_store
from central.followers.tail import Tail
from central.tables import ledger
from shared.errors import ConfigError, StorageError


@pytest.fixture
def server(postgresql):
    name = postgresql.take()
    yield postgresql.location(name)
    postgresql.give_back(name)


@pytest.fixture
def engine(server):
    close_database(open_database(server))
    made = create_engine(server.dialled())
    yield made
    made.dispose()


def row(sequence):
    return {
        "edge_id": "e1", "epoch": 1, "sequence": sequence, "raw": b"{}", "hash": b"",
        "received_ms": 0,
    }  # fmt: skip


def put(connection, *sequences):
    known = ledger.c.keys()
    for sequence in sequences:
        values = {k: v for k, v in row(sequence).items() if k in known}
        connection.execute(insert(ledger).values(values))


def test_a_position_that_is_still_to_be_committed_is_waited_for(engine):
    with engine.connect() as slow, engine.connect() as quick, engine.connect() as reader:
        tail = Tail(reader)
        begun = slow.begin()
        put(slow, 1)
        with quick.begin():
            put(quick, 2, 3)
        assert tail.read(0) == []
        assert tail.read(0) == []
        with quick.begin():
            put(quick, 4)
        begun.commit()
        assert [x.position for x in tail.read(0)] == [1, 2, 3, 4]


def test_a_position_that_was_rolled_back_is_passed(engine):
    with engine.connect() as slow, engine.connect() as quick, engine.connect() as reader:
        tail = Tail(reader)
        with quick.begin():
            put(quick, 1)
        begun = slow.begin()
        put(slow, 2)
        with quick.begin():
            put(quick, 3)
        assert [x.position for x in tail.read(0)] == [1]
        assert tail.read(1) == []
        later = quick.begin()
        put(quick, 4)
        begun.rollback()
        assert [x.position for x in tail.read(1)] == [3], "who came later is not waited for"
        later.commit()
        assert [x.position for x in tail.read(3)] == [4]


def test_no_position_is_missed_while_many_write(engine):
    writers, bursts = 4, 60

    def write(writer):
        with engine.connect() as connection:
            for burst in range(bursts):
                begun = connection.begin()
                put(connection, *(writer * 100_000 + burst * 10 + n for n in range(3)))
                if burst % 7 == writer:
                    begun.rollback()
                else:
                    begun.commit()

    found = []
    with ThreadPoolExecutor(writers) as pool, engine.connect() as reader:
        tail = Tail(reader)
        jobs = [pool.submit(write, writer) for writer in range(writers)]
        while True:
            done = all(job.done() for job in jobs)
            page = tail.read(found[-1] if found else 0)
            found += [x.position for x in page]
            if done and not page and tail._doubt is None:
                break
        for job in jobs:
            job.result()
        everything = list(reader.scalars(select(ledger.c.position).order_by(ledger.c.position)))
    assert found == everything


def test_one_daemon_follows_a_database_and_its_tables_are_apart_from_central_s(server, engine):
    first = open_store(server, daemon=True)
    with pytest.raises(ConfigError, match="another"):
        open_store(server, daemon=True)
    beside = open_store(server)
    first.join("erp", 7)
    assert beside.cursor("erp") == 7
    with engine.connect() as connection:
        public = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        found = set(connection.scalars(text(public)))
    assert "ledger" in found
    assert not found & set(tables.metadata.tables)
    first.close()
    beside.close()
    open_store(server, daemon=True).close()


def test_a_daemon_that_lost_its_connection_goes_on_only_if_no_other_follows(server, postgresql):
    first = open_store(server, daemon=True)
    postgresql.hang_up(server.url().database)
    with pytest.raises(StorageError):
        first.cursor("erp")
    second = open_store(server, daemon=True)
    with pytest.raises(StorageError, match="another"):
        first.cursor("erp")
    second.close()
    assert first.cursor("erp") is None
    first.close()


def deliveries(orders):
    return [
        Delivery("erp", position, "pick.short", order, 0, 0, None, "")
        for position, order in enumerate(orders, 1)
    ]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_store_keeps_the_order_of_each_order(kind, tmp_path, request):
    location = tmp_path / "f.db" if kind == "sqlite" else request.getfixturevalue("server")
    store = open_store(location)
    store.join("erp", 0)
    store.plan("erp", 6, deliveries(["a", "a", None, None, "b", "b"]))
    assert [x.position for x in store.due("erp", 0, 9)] == [1, 3, 4, 5]
    first = store.due("erp", 0, 1)[0]
    store.settle("erp", [3, 5], [first._replace(due_ms=50, attempts=1, reason="x" * 999)])
    assert [x.position for x in store.due("erp", 49, 9)] == [4, 6]
    assert [x.position for x in store.due("erp", 50, 9)] == [1, 4, 6]
    store.settle("erp", [], [first._replace(dead_ms=60, attempts=10)])
    assert [x.position for x in store.due("erp", 60, 9)] == [2, 4, 6]
    (found,) = store.overview()
    assert (found.position, found.delivered, found.open, found.dead) == (6, 2, 3, 1)
    assert [x.position for x in store.dead(None, 9)] == [1]
    assert store.replay(None, [1], 70) == (1, 0)
    assert [x.position for x in store.due("erp", 70, 9)] == [1, 4, 6]
    store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_follower_needs_what_it_has_not_read_and_what_is_not_delivered(kind, tmp_path, request):
    location = tmp_path / "f.db" if kind == "sqlite" else request.getfixturevalue("server")
    store = open_store(location)
    store.advance("/republish", 40)
    store.join("erp", 0)
    store.plan("erp", 6, deliveries(["a", "b", "c"]))
    first, second, _ = store.due("erp", 0, 9)
    assert store.needed() == {"/republish": 41, "erp": 1}
    store.settle("erp", [], [first._replace(dead_ms=1)])
    assert store.needed()["erp"] == 2
    store.settle("erp", [3], [second._replace(dead_ms=1)])
    assert store.needed()["erp"] == 7
    assert store.replay(None, [], 9, archived=1) == (1, 1)
    assert store.needed()["erp"] == 2
    assert [x.position for x in store.dead(None, 9)] == [1]
    store.close()


def test_only_configured_followers_hold_the_ledger_and_new_ones_as_they_begin(tmp_path):
    def needed(**values):
        return first_needed(Config(data_dir=tmp_path, **values))

    def endpoint(name, begin="next"):
        secret = tmp_path / "secret"
        return Webhook(name=name, url="https://example.org/", secret_file=secret, begin=begin)

    assert needed() is None
    assert needed(webhooks=(endpoint("erp", "first"),)) == (1, "webhook erp")
    store = open_followers(Config(data_dir=tmp_path))
    store.join("erp", 6)
    store.join("bi", 8)
    store.advance(FOLLOWER, 9)
    store.close()
    assert needed() == (10, "[republish]")
    assert needed(republish=Republish(kinds=())) is None
    assert needed(webhooks=(endpoint("bi"), endpoint("new"))) == (9, "webhook bi")
    assert needed(webhooks=(endpoint("bi"), endpoint("erp", "first"))) == (7, "webhook erp")


@settings(max_examples=20, deadline=None)
@given(orders=st.lists(st.sampled_from([None, "a", "b", "c"]), max_size=30), data=st.data())
def test_whatever_fails_an_order_s_events_come_in_order(orders, data, tmp_path_factory):
    store = open_store(tmp_path_factory.mktemp("store") / "f.db")
    store.join("erp", 0)
    store.plan("erp", len(orders), deliveries(orders))
    done: dict[str, list[int]] = {}
    now_ms, over = 0, 0
    while over < len(orders):
        now_ms += 1
        delivered, failed = [], []
        for delivery in store.due("erp", now_ms, 5):
            end = data.draw(st.sampled_from(["delivered", "failed", "dead"]))
            if end == "delivered":
                delivered.append(delivery.position)
            else:
                dead_ms = now_ms if end == "dead" else None
                failed.append(delivery._replace(due_ms=now_ms + 2, dead_ms=dead_ms))
            if end != "failed":
                over += 1
                if delivery.order_id is not None:
                    done.setdefault(delivery.order_id, []).append(delivery.position)
        store.settle("erp", delivered, failed)
    store.close()
    assert all(found == sorted(found) for found in done.values())
