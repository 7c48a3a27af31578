"""A central with systems, for the tests of what it does with them."""

import pytest

from tests.central_scene import ScriptedEdge, document, received, scene
from tests.system_scene import SYSTEMS, ScriptedSystem, assert_rebuilt_alike


@pytest.fixture
def stage(location):
    with scene(location, systems=SYSTEMS) as found:
        found.publish(document())
        yield found
        assert_rebuilt_alike(found)


@pytest.fixture
def erp():
    return ScriptedSystem("erp")


@pytest.fixture
def sms():
    return ScriptedSystem("sms")


@pytest.fixture
def edge(stage):
    one = ScriptedEdge("e1")
    stage.tell(one.hello())
    one.say(received("dc", A=10))
    return one
