from typing import Any

from deploy.demo.reroutes import Reroutes


def event(kind: str, event_id: str, cause: str | None = None, **data: Any) -> dict[str, Any]:
    return {"type": f"pointsman.{kind}.v1", "id": event_id, "causationid": cause, "data": data}


def lines(*units: int) -> list[dict[str, Any]]:
    return [{"line": i, "sku": f"sku-{i}", "quantity": n} for i, n in enumerate(units)]


def plan(*units: int) -> dict[str, Any]:
    return {"packages": [{"lines": lines(n)} for n in units]}


def count(*events: dict[str, Any]) -> dict[str, Any]:
    reroutes = Reroutes()
    for one in events:
        reroutes.note(one)
    return reroutes.count()


def test_a_day_without_failed_picks_has_no_share():
    assert count(event("pick.requested", "t", task_id="task", lines=lines(3)))["share"] is None


def test_a_short_pick_counts_what_is_missing():
    found = count(
        event("pick.short", "short", task_id="task", missing=lines(2, 2)),
        event("route.planned", "e", "short", plan=plan(1, 2)),
    )
    assert (found["picks"], found["rerouted"], found["partly"], found["parked"]) == (1, 0, 1, 0)
    assert (found["units"], found["units_rerouted"], found["units_parked"]) == (4, 3, 1)
    assert found["share"] == 0.75


def test_a_rejected_task_counts_all_of_it_even_if_the_task_is_read_last():
    found = count(
        event("pick.rejected", "no", task_id="task"),
        event("route.planned", "e", "no", plan=plan(5)),
        event("pick.requested", "t", task_id="task", lines=lines(2, 3)),
    )
    assert (found["picks"], found["rerouted"], found["units_rerouted"]) == (1, 1, 5)


def test_what_waits_was_not_rerouted():
    found = count(
        event("pick.requested", "t", task_id="task", lines=lines(2)),
        event("pick.rejected", "no", task_id="task"),
        event("order.parked", "e", "no", parked=lines(2)),
        event("route.planned", "later", "e", plan=plan(2)),
    )
    assert (found["picks"], found["parked"], found["units_parked"]) == (1, 1, 2)
    assert found["share"] == 0.0


def test_a_failure_that_nobody_had_to_answer_is_left_out():
    assert count(event("pick.short", "short", task_id="task", missing=lines(2)))["picks"] == 0
