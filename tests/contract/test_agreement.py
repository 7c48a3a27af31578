"""Which orders systems believe to be in another state, since when, and how many."""

from datetime import timedelta

import pytest

from central.agreement import Difference, differences, rate, read_agreement
from central.api import answers, asked, sources
from central.config import load_config
from central.systems import System, Systems
from shared.errors import ConfigError
from shared.events import PackageDelivered, PackageShipped
from shared.parts import PlannedLine
from shared.systems import StatusReported
from tests.central_scene import (
    NOW,
    NOW_MS,
    ScriptedEdge,
    accepted,
    document,
    plan,
    requested,
    scene,
)
from tests.system_scene import SYSTEMS, ScriptedSystem

WORDS = SYSTEMS.words["erp"]


@pytest.fixture
def stage(location):
    with scene(location, systems=SYSTEMS) as found:
        found.publish(document())
        yield found


def believe(stage, erp, *said):
    for order_id, word in said:
        stage.tell(erp.say(StatusReported(order_id=order_id, state=word, at=NOW)))


def test_a_coarser_word_agrees_with_each_of_its_states_and_the_rest_differs(stage, location):
    edge, erp = ScriptedEdge("e1"), ScriptedSystem("erp")
    edge.say(accepted("a", plan("dc", "A", 1)), "a")
    edge.say(accepted("b", None, parked=1), "b")
    edge.say(accepted("c", plan("dc", "A", 1)), "c")
    stage.tell(edge.batch())
    believe(stage, erp, ("a", "NEW"), ("b", "NEW"), ("c", "DONE"), ("d", "NEW"), ("a2", "MOON"))
    with stage.database.begin():
        assert rate(stage.database, "erp", WORDS) == ("erp", 4, 2, 1)
        found = differences(stage.database, "erp", WORDS)
        first = differences(stage.database, "erp", WORDS, rows_max=1)
        rest = differences(stage.database, "erp", WORDS, after=first[-1].order_id)
    assert found == first + rest
    c, d = found
    assert (c.order_id, c.word, c.state) == ("c", "DONE", "planned")
    assert d == Difference("d", "NEW", None, NOW_MS)
    assert list(read_agreement(location, SYSTEMS.words)) == [("erp", 4, 2, 1), c, d]


def test_a_difference_is_as_old_as_the_later_of_both_sides(stage):
    edge, erp = ScriptedEdge("e1"), ScriptedSystem("erp")
    edge.say(accepted("o", plan("dc", "A", 1)), "o")
    stage.tell(edge.batch())
    believe(stage, erp, ("o", "NEW"))
    edge.say(requested("o", "dc", "A", 1, home="e1"), "o")
    task = {"task_id": "o.0.0", "node_id": "dc", "home_edge_id": "e1"}
    edge.say(PackageShipped(**task, lines=[PlannedLine(line=0, sku="A", quantity=1)]), "o")
    edge.say(PackageDelivered(**task), "o")
    stage.tell(edge.batch())
    with stage.database.begin():
        (found,) = differences(stage.database, "erp", WORDS)
    assert (found.state, found.since_ms) == ("delivered", NOW_MS + 4_000)  # the fourth event
    believe(stage, erp, ("o", "DONE"))
    with stage.database.begin():
        assert differences(stage.database, "erp", WORDS) == []


def test_what_is_told_late_of_an_earlier_time_says_nothing_new(stage):
    erp = ScriptedSystem("erp")
    believe(stage, erp, ("o", "DONE"))
    early = StatusReported(order_id="o", state="NEW", at=NOW.replace(hour=1))
    stage.tell(erp.say(early))
    with stage.database.begin():
        (found,) = differences(stage.database, "erp", WORDS)
    assert found.word == "DONE"


def test_the_api_tells_how_far_each_system_agrees(stage):
    believe(stage, ScriptedSystem("erp"), ("a", "NEW"), ("b", "MOON"))
    with stage.database.begin():
        found = sources.agreement(stage.database, SYSTEMS, asked.Systems())
        other = sources.agreement(stage.database, SYSTEMS, asked.Systems(system="sms"))
        none = sources.agreement(stage.database, Systems(), asked.Systems())
    assert found.items == [answers.Agreement(system="erp", told=1, differing=1, unknown_words=1)]
    assert other.items == none.items == []


def test_the_api_lists_what_differs_since_when_page_by_page_over_all_systems(stage):
    words = {"NEW": "planned"}
    both = Systems([System(name="erp", states=words), System(name="sms", states=words)])
    edge = ScriptedEdge("e1")
    edge.say(accepted("a", plan("dc", "A", 1)), "a")
    edge.say(accepted("b", None, parked=1), "b")
    stage.tell(edge.batch())
    believe(stage, ScriptedSystem("erp"), ("a", "NEW"), ("b", "NEW"), ("c", "NEW"), ("d", "NEW"))
    believe(stage, ScriptedSystem("sms"), ("b", "NEW"), ("c", "NEW"))
    pages, wanted = [], asked.Differences(limit=2)
    with stage.database.begin():
        while True:
            pages.append(sources.differences(stage.database, both, wanted))
            if pages[-1].next is None:
                break
            wanted = asked.Differences(limit=2, cursor=pages[-1].next)
        only = sources.differences(stage.database, both, asked.Differences(system="erp"))
    found = [x for page in pages for x in page.items]
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert [(x.system, x.order_id) for x in found] == [
        ("erp", "b"), ("erp", "c"), ("erp", "d"), ("sms", "b"), ("sms", "c"),
    ]  # fmt: skip
    assert found[0] == answers.Difference(
        system="erp", order_id="b", word="NEW", state="parked", since=NOW + timedelta(seconds=2)
    )
    assert found[1].state is None
    assert only.items == found[:3]


def test_systems_and_their_words_are_read_from_the_configuration(tmp_path):
    path = tmp_path / "central.toml"
    path.write_text(
        'data_dir = "data"\n'
        '[[systems]]\nname = "sap"\nrole = "erp"\n'
        '[systems.states]\nOPEN = ["accepted", "planned"]\n"已发货" = "shipped"\n'
        "[answers]\nlock_s = 30\n"
    )
    driven = load_config(path).driven
    assert driven.words == {"sap": {"OPEN": ("accepted", "planned"), "已发货": ("shipped",)}}
    assert driven.limits_ms == {"lock": 30_000, "confirmation": 300_000}


@pytest.mark.parametrize(
    "text",
    [
        '[[systems]]\nname = "hub"',
        '[[systems]]\nname = "a"\n[[systems]]\nname = "a"',
        '[[systems]]\nname = "a"\nrole = "erp"\n[[systems]]\nname = "b"\nrole = "erp"',
        '[[systems]]\nname = "a"\n[systems.states]\nOPEN = "flying"',
        "[answers]\nlock_s = 0",
    ],
)
def test_a_wrong_configuration_of_systems_is_refused(tmp_path, text):
    path = tmp_path / "central.toml"
    path.write_text(f'data_dir = "data"\n{text}\n')
    with pytest.raises(ConfigError):
        load_config(path)
