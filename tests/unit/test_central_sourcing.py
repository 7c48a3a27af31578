"""What planners publish: immutable versions, one in force, every edge has it."""

import msgspec
import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError

from central.admin import Message
from central.published import read_history
from central.sourcing import AHEAD_MS
from central.tables import activations, sourcings
from central.tables import prices as prices_table
from shared import topics
from shared.clock import to_datetime
from shared.frames import decode_bulk
from shared.prices import Prices
from shared.sourcing import Sourcing
from tests.central_scene import NOW_MS, ScriptedEdge, document, feed_of, scene
from tests.planner import CAREFUL, PLAIN, prices, sourcing, written

KINDS = {"sourcing": Sourcing, "prices": Prices}


@pytest.fixture
def stage(location):
    with scene(location) as found:
        found.location = location
        yield found


def publish(stage, item):
    """Hand a document to central; its answer."""
    kind = "sourcing" if isinstance(item, Sourcing) else "prices"
    out = stage.tell(Message(topics.up("admin", kind), written(item)))
    return msgspec.json.decode(out[0].payload)


def fed(edge_id, messages):
    """Versions of the documents that went down an edge's feed, by kind, in order."""
    return [
        (kind, decode_bulk(body, KINDS[kind]).version)
        for _, kind, body in feed_of(edge_id, messages)
        if kind in KINDS
    ]


def met(stage, *edge_ids):
    """Edges that have the network and have said so."""
    stage.publish(document(edges=edge_ids))
    edges = [ScriptedEdge(edge_id) for edge_id in edge_ids]
    stage.tell(*(edge.hello() for edge in edges))
    stage.tell(*(edge.hello(feed=1) for edge in edges))
    return edges


def in_force(stage):
    return read_history(stage.location)[0].version


# Publishing.


def test_a_sourcing_document_goes_to_every_edge_at_once(stage):
    met(stage, "e1", "e2")
    assert publish(stage, sourcing()) == {"version": "s1"}
    assert fed("e1", stage.sent) == fed("e2", stage.sent) == [("sourcing", "s1")]
    body = next(body for _, kind, body in feed_of("e1", stage.sent) if kind == "sourcing")
    assert decode_bulk(body, Sourcing) == sourcing()


def test_the_answer_names_what_a_rollback_would_bring_back(stage):
    publish(stage, sourcing("s1"))
    assert publish(stage, sourcing("s2")) == {"version": "s2", "before": "s1"}


def test_the_document_in_force_published_again_does_nothing(stage):
    met(stage, "e1")
    publish(stage, sourcing())
    assert publish(stage, sourcing()) == {"version": "s1"}
    assert fed("e1", stage.sent) == [("sourcing", "s1")]
    assert len(stage.rows(activations)) == 1


def test_the_same_document_written_otherwise_is_the_same(stage):
    publish(stage, sourcing())
    spaced = msgspec.json.format(written(sourcing()), indent=4)
    out = stage.tell(Message(topics.up("admin", "sourcing"), spaced))
    assert msgspec.json.decode(out[0].payload) == {"version": "s1"}
    assert len(stage.rows(activations)) == 1


def test_a_published_version_with_other_content_is_refused_and_told_what_to_do(stage):
    met(stage, "e1")
    publish(stage, sourcing())
    refused = publish(stage, sourcing(rules=[]))
    assert (refused["code"], refused["place"]) == ("immutable", "$.version")
    assert "a new version" in refused["expected"]
    assert fed("e1", stage.sent) == [("sourcing", "s1")]


def test_a_published_profile_with_other_content_is_refused_in_any_later_document(stage):
    publish(stage, sourcing("s1"))
    publish(stage, sourcing("s2", profiles=[PLAIN], rules=[]))
    changed = msgspec.structs.replace(CAREFUL, packages_max=2)
    refused = publish(stage, sourcing("s3", profiles=[PLAIN, changed]))
    assert (refused["code"], refused["place"]) == ("immutable", "$.profiles[1]")
    assert "'careful' was published in version 's1'" in refused["detail"]
    renamed = msgspec.structs.replace(changed, version="careful-2")
    again = sourcing("s3", profiles=[PLAIN, renamed], rules=[])
    assert publish(stage, again)["version"] == "s3"


def test_what_is_no_sourcing_document_is_refused_with_its_place(stage):
    refused = stage.admin("sourcing", version="s1", profiles=[{"version": 7}], otherwise="x")
    assert (refused["code"], refused["place"]) == ("invalid_data", "$.profiles[0].version")
    assert stage.rows(sourcings) == []


# Rolling back.


def test_each_rollback_goes_one_further_back_and_never_forward(stage):
    met(stage, "e1")
    for version in ("s1", "s2", "s3"):
        publish(stage, sourcing(version))
    assert stage.admin("rollback") == {"version": "s2", "before": "s1"}
    assert stage.admin("rollback") == {"version": "s1"}
    refused = stage.admin("rollback")
    assert (refused["code"], refused["place"]) == ("nothing_before", "version")
    assert "before 's1'" in refused["detail"]
    versions = [version for _, version in fed("e1", stage.sent)]
    assert versions == ["s1", "s2", "s3", "s2", "s1"]
    assert in_force(stage) == "s1"


def test_there_is_nothing_to_go_back_to_before_anything_was_published(stage):
    assert stage.admin("rollback")["code"] == "nothing_before"
    publish(stage, sourcing())
    assert stage.admin("rollback")["code"] == "nothing_before"


def test_what_is_published_after_a_rollback_can_be_rolled_back_to_where_that_went(stage):
    for version in ("s1", "s2"):
        publish(stage, sourcing(version))
    stage.admin("rollback")
    assert publish(stage, sourcing("s3")) == {"version": "s3", "before": "s1"}
    assert stage.admin("rollback")["version"] == "s1"


def test_a_version_that_was_rolled_back_comes_in_force_again_when_it_is_published_again(stage):
    met(stage, "e1")
    for version in ("s1", "s2"):
        publish(stage, sourcing(version))
    stage.admin("rollback")
    assert publish(stage, sourcing("s2")) == {"version": "s2", "before": "s1"}
    assert fed("e1", stage.sent)[-1] == ("sourcing", "s2")
    assert len(stage.rows(sourcings)) == 2


def test_the_history_tells_what_was_in_force_since_when(stage):
    for version in ("s1", "s2"):
        publish(stage, sourcing(version))
    stage.admin("rollback")
    history = read_history(stage.location)
    assert [x.version for x in history] == ["s1", "s2", "s1"]
    assert {x.at_ms for x in history} == {NOW_MS}


@pytest.mark.parametrize("table", [sourcings, activations])
def test_what_was_published_can_be_neither_changed_nor_deleted(stage, table):
    publish(stage, sourcing())
    for statement in (update(table).values(version="x"), delete(table)):
        with pytest.raises(IntegrityError, match="append-only"), stage.database.begin():
            stage.database.execute(statement)


# Prices.


def test_prices_go_to_every_edge_and_only_the_newest_are_kept(stage):
    met(stage, "e1", "e2")
    assert publish(stage, prices(1)) == {"version": 1}
    assert publish(stage, prices(5)) == {"version": 5}
    assert fed("e2", stage.sent) == [("prices", 1), ("prices", 5)]
    assert [row["version"] for row in stage.rows(prices_table)] == [5]


def test_the_version_of_prices_rises(stage):
    met(stage, "e1")
    publish(stage, prices(5))
    for refused in (publish(stage, prices(4)), publish(stage, prices(5, bids=[]))):
        assert (refused["code"], refused["place"]) == ("invalid_data", "$.version")
        assert refused["expected"] == "a version greater than 5"
    assert publish(stage, prices(5)) == {"version": 5}
    assert fed("e1", stage.sent) == [("prices", 5)]


def test_what_is_no_prices_document_is_refused_with_its_place(stage):
    refused = stage.admin("prices", version=0)
    assert (refused["code"], refused["place"]) == ("invalid_data", "$.version")


def test_prices_of_the_future_are_refused(stage):
    made = [to_datetime(NOW_MS + AHEAD_MS + late_ms) for late_ms in (1, 0)]
    refused = publish(stage, prices(1, made_at=made[0]))
    assert (refused["code"], refused["place"]) == ("invalid_data", "$.made_at")
    assert publish(stage, prices(1, made_at=made[1])) == {"version": 1}


# Edges that come later.


def test_edges_that_join_later_get_the_documents_in_force_whoever_names_them(stage):
    publish(stage, sourcing("s1"))
    publish(stage, sourcing("s2"))
    publish(stage, prices(3))
    stage.admin("rollback")
    stage.publish(document())  # names e1 and e2
    edges = [ScriptedEdge(edge_id) for edge_id in ("e1", "e2", "e9")]
    stage.tell(*(edge.hello() for edge in edges))
    for edge in edges:
        assert sorted(fed(edge.edge_id, stage.sent)) == [("prices", 3), ("sourcing", "s1")]
        assert "network" in [kind for _, kind, _ in feed_of(edge.edge_id, stage.sent)]


def test_a_central_that_starts_again_introduces_edges_with_the_same_documents(stage):
    publish(stage, sourcing("s1"))
    publish(stage, sourcing("s2"))
    stage.admin("rollback")
    publish(stage, prices(3))
    stage.restart()
    edge = ScriptedEdge("e1")
    stage.tell(edge.hello())
    assert sorted(fed("e1", stage.sent)) == [("prices", 3), ("sourcing", "s1")]


def test_an_edge_that_has_lost_its_store_is_told_the_documents_again(stage):
    (edge,) = met(stage, "e1")
    publish(stage, sourcing())
    publish(stage, prices())
    stage.tell(edge.hello(feed=3))
    stage.admin("fence", edge_id="e1")
    new = ScriptedEdge("e1", boots=(2,))
    out = stage.tell(new.hello(feed=0, unfit=True))
    kinds = [kind for _, kind, _ in feed_of("e1", out)]
    assert kinds[0] == "rejoin"
    assert sorted(fed("e1", out)) == [("prices", 1), ("sourcing", "s1")]


def test_an_edge_that_only_rejoins_is_told_nothing_twice(stage):
    (edge,) = met(stage, "e1")
    publish(stage, sourcing())
    stage.tell(edge.hello(feed=2))
    stage.admin("fence", edge_id="e1")
    out = stage.tell(edge.hello(feed=2))
    assert [kind for _, kind, _ in feed_of("e1", out)] == ["rejoin"]
