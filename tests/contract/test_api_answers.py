"""What the API answers, over a database that the real central has filled."""

import json

import jsonschema
import pytest

from central.api.contract import DOCUMENT
from central.tables import archives
from shared.limits import PAYLOAD_BYTES_MAX
from tests.api_scene import open_api, take

DOC = json.loads(DOCUMENT.read_text(encoding="utf-8"))

PATHS = {
    "/v1/orders": "OrderPage",
    "/v1/orders/o0": "OrderDetail",
    "/v1/orders/o1": "OrderDetail",
    "/v1/orders/o0/timeline": "Timeline",
    "/v1/orders/o1/why": "Why",
    "/v1/orders/o0/events": "EntryPage",
    "/v1/exceptions": "ExceptionPage",
    "/v1/edges": "EdgePage",
    "/v1/stock": "StockPage",
    "/v1/stock/dc/B": "StockDetail",
    "/v1/tasks": "TaskPage",
    "/v1/agreement": "AgreementList",
    "/v1/agreement/differences": "DifferencePage",
    "/v1/devices": "DevicePage",
    "/v1/ledger/verify-state": "LedgerState",
    "/health/live": "Health",
    "/health/ready": "Health",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with open_api(tmp_path_factory.mktemp("api"), signed=True) as found:
        yield found


def validate(name, value):
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOC["components"]}
    jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(value)


def ids(page):
    return [x["order_id"] for x in page["items"]]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_as_the_document_says(api, path):
    validate(PATHS[path], api.get(path))


def test_an_order_comes_with_its_tasks_waiting_lines_and_exceptions(api):
    moved = api.get("/v1/orders/o0")
    assert (moved["order"]["state"], moved["order"]["edge_id"]) == ("picking", "e2")
    assert [(x["node_id"], x["state"], x["late"]) for x in moved["tasks"]] == [
        ("dc", "accepted", True)
    ]
    waits = api.get("/v1/orders/o1")
    assert [(x["sku"], x["units"], x["nodes"]) for x in waits["waiting"]] == [("A", 1, ["dc"])]
    odd = api.get("/v1/orders/nobody")
    assert odd["order"]["exceptions"] == len(odd["exceptions"]) == 1


def test_the_timeline_is_in_the_order_of_causes_and_names_them(api):
    steps = api.get("/v1/orders/o0/timeline")["steps"]
    assert [x["kind"] for x in steps] == ["order.accepted", "pick.requested", "pick.accepted"]
    assert steps[1]["cause"] == {"event_id": "before"}
    assert [x.get("order") for x in steps] == [
        {"before": "accepted", "after": "planned"}, None, {"before": "planned", "after": "picking"},
    ]  # fmt: skip
    assert steps[2]["lines"] == [
        {"line": 0, "sku": "A", "quantity": 1, "before": "planned", "after": "picking"}
    ]
    assert {x["received_at"] for x in steps} == {"2026-01-05T09:00:00Z"}
    assert [x["hlc"] for x in steps] == sorted(x["hlc"] for x in steps)


def test_why_names_what_an_order_waits_for_and_on_whom(api):
    waits = api.get("/v1/orders/o1/why")
    assert (waits["stuck"], waits["by"]) == (True, "e2")
    first = waits["reasons"][0]
    assert (first["code"], first["what"]) == ("waiting_for_stock", waits["what"])
    late = api.get("/v1/orders/o0/why")
    assert (late["reasons"][0]["code"], late["by"]) == ("pick_not_completed", "dc")
    assert late["since"] == api.get("/v1/orders/o0/timeline")["steps"][-1]["time"]
    assert any("it was due by" in x["text"] for x in late["reasons"][0]["facts"])


def test_no_story_tells_a_customer_or_where_one_lives(api):
    for role in ("reader", "admin"):
        for path in ("/v1/orders/o0/timeline", "/v1/orders/o0/why", "/v1/orders/o1/why"):
            text = api.ask(path, role).text
            assert not any(secret in text for secret in ("23.13", "CN-GD", "c-8f31"))


def test_pages_hold_every_order_once_newest_first(api):
    every = ids(api.get("/v1/orders", limit=200))
    assert every == sorted(every, reverse=True)
    assert len(every) == 10
    for limit in (1, 3, 10):
        assert [x["order_id"] for x in api.all("/v1/orders", limit=limit)] == every


@pytest.mark.parametrize(
    "path,key",
    [
        ("/v1/tasks", "task_id"),
        ("/v1/edges", "edge_id"),
        ("/v1/stock", "sku"),
        ("/v1/orders/o0/events", "position"),
    ],
)
def test_pages_of_every_list_hold_all_once(api, path, key):
    found = [x[key] for x in api.all(path, limit=1)]
    assert found == [x[key] for x in api.get(path)["items"]]
    assert len(set(found)) == len(found) > 1


@pytest.mark.parametrize(
    "query,expected",
    [
        ({"state": "parked", "store_id": "s-e1"}, ["o7", "o4", "o1"]),
        ({"state": "picking"}, ["o0"]),
        ({"state": "delivered"}, []),
        ({"store_id": "s-e1", "state": "shipped"}, ["o3"]),
        ({"edge_id": "e1"}, []),
        ({"has_exceptions": "true"}, ["nobody"]),
        ({"has_exceptions": "false", "state": "shipped"}, ["o3"]),
        ({"promised_before": "2026-01-06T09:00:00Z"}, []),
        ({"promised_after": "2026-01-06T09:00:00Z", "state": "shipped"}, ["o3"]),
        ({"changed_since": "2099-01-01T00:00:00Z"}, []),
    ],
)
def test_filters_narrow_the_list(api, query, expected):
    assert ids(api.get("/v1/orders", **query)) == expected


def test_tasks_are_found_by_node_state_and_lateness(api):
    assert [x["task_id"] for x in api.get("/v1/tasks", late="true")["items"]] == [
        "o6.0.0",
        "o0.0.0",
    ]
    assert [x["task_id"] for x in api.get("/v1/tasks", node_id="dc", state="shipped")["items"]] == [
        "o3.0.0"
    ]
    assert api.get("/v1/tasks", node_id="s-e1")["items"] == []


def test_stock_adds_up(api):
    for x in api.get("/v1/stock")["items"]:
        held = x["pool"] + sum(share["units"] for share in x["shares"])
        assert held + x["committed"] + x["shipped"] == x["received"] - x["adjusted"]
    assert [x["sku"] for x in api.get("/v1/stock", sku="B")["items"]] == ["B"]


def test_events_are_the_ledgers_and_show_persons_to_those_alone_who_may_see_them(api):
    (hidden, *_) = api.get("/v1/orders/o0/events")["items"]
    (whole, *_) = api.get("/v1/orders/o0/events", role="support")["items"]
    assert (hidden["withheld"], whole["withheld"]) == (True, False)
    assert whole["event"]["data"]["payment"]["destination"]["region"] == "CN-GD"
    assert "23.13" not in json.dumps(hidden)
    assert "c-8f31" not in json.dumps(hidden)
    assert hidden["hash"] == whole["hash"]


def test_the_ledgers_state_tells_how_far_it_is_signed(api):
    found = api.get("/v1/ledger/verify-state")
    assert found["checkpoint"] == found["signed_position"] == 1
    assert found["last_position"] > 1


def test_what_is_known_already_is_not_sent_again(api):
    first = api.ask("/v1/orders/o0")
    tag = first.headers["ETag"]
    again = api.ask("/v1/orders/o0", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == tag
    other = api.ask("/v1/orders/o1", headers={"If-None-Match": tag})
    assert other.status_code == 200


def test_an_etag_changes_with_the_order(tmp_path):
    with open_api(tmp_path) as api:
        before = api.ask("/v1/orders/o2").headers["ETag"]
        assert api.edge is not None
        take(api.edge, "o2", 0)
        api.stage.tell(api.edge.batch())
        assert api.ask("/v1/orders/o2").headers["ETag"] != before


@pytest.mark.parametrize(
    "path,status,code,place",
    [
        ("/v1/orders/nope", 404, "not_found", "order_id"),
        ("/v1/orders/nope/timeline", 404, "not_found", "order_id"),
        ("/v1/orders/nope/why", 404, "not_found", "order_id"),
        ("/v1/orders/nope/events", 404, "not_found", "order_id"),
        ("/v1/stock/dc/none", 404, "not_found", "sku"),
        ("/v1/nothing", 404, "not_found", "request"),
        ("/v1/orders?limit=201", 400, "invalid_parameter", "limit"),
        ("/v1/orders?limit=null", 400, "invalid_parameter", "limit"),
        ("/v1/orders?limit=1&limit=2", 400, "invalid_parameter", "limit"),
        ("/v1/orders?sate=parked", 400, "invalid_parameter", "query"),
        ("/v1/orders?promised_before=2026-01-05", 400, "invalid_parameter", "promised_before"),
        ("/v1/orders?state=%ff", 400, "invalid_parameter", "query"),
        ("/v1/orders?cursor=bm8", 400, "invalid_cursor", "cursor"),
        ("/v1/stock?cursor=MTIz", 400, "invalid_cursor", "cursor"),
        ("/v1/orders/%00", 400, "invalid_parameter", "order_id"),
        ("/v1/devices?status=broken", 400, "invalid_parameter", "status"),
        ("/v1/agreement/differences?cursor=MTIz", 400, "invalid_cursor", "cursor"),
        ("/v1/changes?after=99999", 400, "invalid_parameter", "Last-Event-ID"),
    ],
)
def test_refusals_say_what_is_wrong_and_where(api, path, status, code, place):
    answer = api.ask(path)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["place"]) == (status, code, place)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    validate("Problem", problem)


def test_methods_and_media_types_that_are_not_served_are_refused(api):
    deleted = api.ask("/v1/orders/o0", method="DELETE")
    assert deleted.status_code == 405
    assert "GET" in deleted.headers["Allow"]
    assert api.ask("/v1/orders", headers={"Accept": "text/html"}).json()["code"] == "not_acceptable"
    assert api.ask("/v1/orders", headers={"Accept": "application/*"}).status_code == 200
    assert api.ask("/v1/changes", headers={"Accept": "application/json"}).status_code == 406


def put_in(api, body=b"{}", role="operator", key="key-00001", content_type="application/json"):
    headers = {"Idempotency-Key": key, "Content-Type": content_type}
    return api.ask("/v1/orders", role, "POST", content=body, headers=headers)


def test_an_order_that_is_no_payment_is_refused_before_it_goes_anywhere(api):
    for body, status, code, place in [
        (b"{", 400, "not_json", "body"),
        (b"\xff", 400, "not_json", "body"),
        (b"[" * 100_000, 422, "invalid_data", "$"),
        (b"{}", 422, "invalid_data", "$"),
        (b'{"contact": {"name": "a\\u0000b"}}', 422, "invalid_data", "$"),
        (b'{"payment_id": 5}', 422, "invalid_data", "$.payment_id"),
        (b" " * (PAYLOAD_BYTES_MAX + 1), 413, "payload_too_large", "request"),
    ]:
        answer = put_in(api, body)
        assert answer.status_code == status, answer.text
        assert (answer.json()["code"], answer.json()["place"]) == (code, place)
    assert put_in(api, content_type="text/plain").status_code == 415
    for key in ("", "short", "with a space", "x" * 129):
        assert put_in(api, key=key).json()["place"] == "Idempotency-Key"


def test_a_request_keeps_the_id_that_it_came_with_if_that_is_one(api):
    kept = api.ask("/health/live", None, headers={"X-Request-Id": "shop-7"})
    assert kept.headers["X-Request-Id"] == "shop-7"
    made = api.ask("/health/live", None, headers={"X-Request-Id": "a b"})
    assert len(made.headers["X-Request-Id"]) == 16


def test_an_empty_database_is_answered_from_too(tmp_path):
    with open_api(tmp_path, full=False) as api:
        assert api.get("/v1/orders") == {"items": [], "next": None}
        assert api.get("/v1/ledger/verify-state")["last_position"] == 0


def test_changes_from_a_position_that_is_archived_are_gone_and_the_answer_says_where_to_begin(
    tmp_path,
):
    with open_api(tmp_path) as found:
        gone = {
            "number": 1, "first": 1, "last": 7, "entries": 7, "file": "x", "sha256": "",
            "heads": b"[]", "digest": "", "at_ms": 0,
        }  # fmt: skip
        with found.stage.database.begin() as _:
            found.stage.database.execute(archives.insert().values(**gone))
        for answer in (
            found.ask("/v1/changes", params={"after": 6}),
            found.ask("/v1/changes", headers={"Last-Event-ID": "6"}),
        ):
            assert answer.status_code == 410
            assert answer.headers["Content-Type"] == "application/problem+json"
            validate("Problem", answer.json())
            assert answer.json()["code"] == "archived"
            assert "7 or more" in answer.json()["expected"]
