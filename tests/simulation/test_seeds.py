"""A few small worlds, with everything going wrong that can: every promise holds."""

import pytest

from deploy.sim.run import report, run, run_seeds, simulate
from deploy.sim.scenario import FAULTS, Scenario, draw_weather, parse_faults, parse_seeds
from shared.errors import ConfigError


@pytest.mark.parametrize("seed", range(6))
def test_every_promise_holds_whatever_goes_wrong(seed):
    result = simulate(Scenario(seed=seed, steps=900, edges=4))
    assert result.violation is None, result.violation
    assert result.measures.orders > 0


def test_every_promise_holds_with_more_edges():
    result = simulate(Scenario(seed=7, steps=2_000, edges=8))
    assert result.violation is None, result.violation
    assert sum(result.faults.values()) > 0


@pytest.mark.parametrize("seed", [3, 105, 205])
def test_disks_that_are_put_back_again_and_again_come_back_each_time(seed):
    others = frozenset(FAULTS) - {"restores", "fences"}
    result = simulate(Scenario(seed=seed, steps=1_200, edges=2, without=others))
    assert result.violation is None, result.violation
    assert result.faults["restores"] > 0


def test_nothing_goes_wrong_where_all_faults_are_switched_off():
    result = simulate(Scenario(seed=3, steps=900, edges=3, without=frozenset(FAULTS)))
    assert result.violation is None, result.violation
    assert result.faults == {"messages lost": 0}


def test_all_kinds_of_accidents_happen():
    found = set()
    for seed in range(40):
        found |= set(draw_weather(Scenario(seed=seed)).accidents)
    assert found >= {"partitions", "crashes", "cuts", "central", "restores", "clones", "fences"}
    assert found <= set(FAULTS)


def test_the_report_adds_up_and_is_written(tmp_path):
    scenarios = [Scenario(seed=seed, steps=300, edges=2) for seed in (1, 2)]
    results = run_seeds(scenarios, 1)
    found = report(scenarios, results, 1.0)
    assert found.seeds == "1:3"
    assert found.measures.orders == sum(x.measures.orders for x in results)
    status = run((1, 3), 300, 2, 0, frozenset(), 1, tmp_path / "out.json", 0)
    assert status == len(found.violations) > 0 or status == 0
    assert '"violations"' in (tmp_path / "out.json").read_text()


def test_seeds_and_faults_are_read_and_refused():
    assert parse_seeds("3:9") == (3, 9)
    assert parse_faults("cuts,clones") == {"cuts", "clones"}
    assert parse_faults("all") == set(FAULTS)
    for wrong in ("", "3", "9:3", "a:b"):
        with pytest.raises(ConfigError):
            parse_seeds(wrong)
    with pytest.raises(ConfigError, match="weather"):
        parse_faults("weather")
