"""Everything that the OpenAPI document allows, and what it does not, sent to a real server."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from central.api.contract import DOCUMENT
from central.api.orders import event_of
from shared.clock import to_ms
from shared.ids import order_id
from tests import shop
from tests.conftest import skip_without_mosquitto
from tests.town import CONTACT, town

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow]

EXAMPLES_MAX = 25
KEYS = ("seed-000001", "seed-000002")
PAYMENT = shop.payment("sku-1", "sku-9", contact=CONTACT)

# It has no end; test_api_changes.py asks for it.
ENDLESS = "/v1/changes"


def known_ids():
    """The orders that are there: their ids follow from their keys."""
    events = [event_of("api", "the-operator", key, PAYMENT) for key in KEYS]
    return [order_id(event.source, event.id, to_ms(event.time)) for event in events]


def document():
    """The document, with examples of what is there."""
    found = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    there = {"order_id": known_ids(), "node_id": ["dc-south"], "sku": ["sku-1"]}
    for methods in found["paths"].values():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                if parameter["name"] in there:
                    parameter["schema"]["examples"] = there[parameter["name"]]
    return found


SCHEMA = schemathesis.openapi.from_dict(document()).exclude(path=ENDLESS)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    skip_without_mosquitto()
    with town(tmp_path_factory.mktemp("town")) as found:
        for key in KEYS:
            found.until(found.put_in(PAYMENT, key).headers["Location"])
        found.until(f"/v1/orders/{known_ids()[1]}/contact")
        yield found


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES_MAX, derandomize=True, deadline=None, database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much,
                           HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)  # fmt: skip
def test_every_answer_is_one_that_the_document_promises(case, place):
    case.call_and_validate(
        base_url=str(place.client.base_url),
        headers={"Authorization": f"Bearer {place.tokens['admin']}"},
        # No schema says which cursors were given out, nor which goods the network has.
        excluded_checks=[positive_data_acceptance],
    )
