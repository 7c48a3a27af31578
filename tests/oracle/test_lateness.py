"""The tables and kernels of lateness beside plain sampling, and beside plain Python."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.routing.lateness import (
    arrival_min,
    beyond,
    expected_cost,
    late_by,
    lateness,
    one_ppm,
    promised,
    step_bits,
    unwidened,
)
from edge.routing.tails import chance_ppm
from edge.transits import LEVELS_PPM, POINT, Known, Rows
from shared.network import LEVELS_PER_MILLE

EVERY_DAY = 0b1111111
EAST_MIN = 480
ALWAYS = np.array([[EAST_MIN, 0, 1_440, 0, -1]], np.int64)
NO_PICKUPS = np.empty((0, 3), np.int64)
READY_MIN = 28_945_680  # a Monday, noon in the node's own time
SAMPLES = 200_000


@st.composite
def spreads(draw: Any, most_min: int = 6_000) -> Known:
    steps = draw(st.lists(st.integers(0, most_min // 14), min_size=14, max_size=14))
    return tuple(int(x) for x in np.cumsum([draw(st.integers(0, 500)), *steps]))


def sample(rng: np.random.Generator, spread: Known) -> np.ndarray:
    """By the inverse of the distribution function."""
    return np.interp(rng.random(SAMPLES), np.array(LEVELS_PER_MILLE) / 1_000, spread)


def some_spread(rng: np.random.Generator, most_min: int) -> Known:
    return tuple(int(x) for x in np.cumsum(rng.integers(0, most_min // 14, 15)))


@pytest.mark.parametrize("seed", range(12))
def test_the_sum_of_two_durations_is_what_sampling_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = some_spread(rng, 300 * (1 + seed)), some_spread(rng, 6_000)
    rows = Rows()
    row = rows.row(one, other)
    tails = rows.tails()
    drawn = sample(rng, one) + sample(rng, other)
    for x in np.linspace(drawn.min() - 60, drawn.max() + 60, 41).astype(int):
        late, seconds = beyond(tails, row, int(x), unwidened)
        assert late / one_ppm == pytest.approx((drawn > x).mean(), abs=0.006)
        excess_min = np.maximum(drawn - x, 0).mean()
        assert seconds / 60 == pytest.approx(excess_min, rel=0.02, abs=0.01 * drawn.mean())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("days", [EVERY_DAY, 0b0010001])
def test_a_cut_off_is_what_sampling_says(seed: int, days: int) -> None:
    rng = np.random.default_rng(seed)
    overrun = tuple(x - 120 for x in some_spread(rng, 400 + 600 * seed))
    transit, cutoff_min = some_spread(rng, 4_000), int(rng.integers(300, 1_300))
    rows = Rows()
    row, own = rows.row(transit), rows.row(overrun)
    pickups = np.array([[cutoff_min, days, own]], np.int64)
    ready = READY_MIN + sample(rng, overrun)
    leaves = []
    for at in ready:
        local = at + EAST_MIN
        day = int(local // 1_440)
        while day * 1_440 + cutoff_min < local or not days >> ((day + 3) % 7) & 1:
            day += 1
        leaves.append(day * 1_440 + cutoff_min - EAST_MIN)
    arrives = np.array(leaves) + sample(rng, transit)
    tables = rows.tails(), pickups, ALWAYS, unwidened
    bin_min = 1 << int(tables[0][row, step_bits])
    for x in np.linspace(arrives.min() - 60, arrives.max() + 60, 25).astype(int):
        late, seconds = late_by(*tables, 0, row, 0, READY_MIN, int(x))
        # Within a bin of the table the line is straight, whatever the quantiles do there.
        sooner, later = (arrives > x + bin_min).mean(), (arrives > x - bin_min).mean()
        assert sooner - 0.006 <= late / one_ppm <= later + 0.006
        excess_min = np.maximum(arrives - x, 0).mean()
        assert seconds / 60 == pytest.approx(excess_min, rel=0.03, abs=30)
    for share in (0.5, 0.9):
        at = arrival_min(*tables, 0, row, 0, READY_MIN, round((1 - share) * one_ppm))
        assert (arrives <= at - bin_min).mean() - 0.006 <= share
        assert share <= (arrives <= at + bin_min).mean() + 0.006


@given(spreads(), st.integers(-100, 9_000))
def test_the_distribution_function_is_the_straight_line_between_its_quantiles(
    spread: Known, x: int
) -> None:
    found = chance_ppm(np.array(spread, np.int64), LEVELS_PPM, x)
    i = bisect_right(spread, x)
    if i == 0:
        assert found == 0
    elif i == len(spread):
        assert found == one_ppm
    else:
        low, high = LEVELS_PER_MILLE[i - 1], LEVELS_PER_MILLE[i]
        share = low + (high - low) * (x - spread[i - 1]) / (spread[i] - spread[i - 1])
        assert abs(found - share * 1_000) <= 1


@settings(max_examples=50)
@given(spreads(), spreads(900), st.sampled_from([1_000, 1_100, 2_000]), st.integers(0, 1_440))
def test_lateness_never_grows_with_the_deadline_and_quantiles_are_in_order(
    transit: Known, overrun: Known, widen: int, cutoff_min: int
) -> None:
    rows = Rows()
    together, alone, own = rows.row(transit, overrun), rows.row(transit), rows.row(overrun)
    pickups = np.array([[cutoff_min, EVERY_DAY, own]], np.int64)
    tables = rows.tails(), pickups, ALWAYS, widen
    for row, pickup in ((together, -1), (alone, 0)):
        found = [
            late_by(*tables, 0, row, pickup, READY_MIN, READY_MIN + x)
            for x in range(-2_000, 14_000, 61)
        ]
        for before, after in pairwise(found):
            assert after[0] <= before[0]
            assert after[1] <= before[1] + 1
        asked = (990_000, 500_000, 100_000, 10_000)
        quantiles = [arrival_min(*tables, 0, row, pickup, READY_MIN, late) for late in asked]
        assert quantiles == sorted(quantiles)
        for late, at in zip(asked, quantiles, strict=True):
            assert late_by(*tables, 0, row, pickup, READY_MIN, at)[0] <= late
            assert late_by(*tables, 0, row, pickup, READY_MIN, at - 1)[0] > late


@given(spreads(), st.integers(-100, 9_000))
def test_widening_spreads_about_the_median_and_never_makes_the_tail_thinner(
    spread: Known, x: int
) -> None:
    rows = Rows()
    row = rows.row(spread)
    tails = rows.tails()
    middle = int(tails[row, 2])
    plain, wide = beyond(tails, row, x, 1_000)[0], beyond(tails, row, x, 1_500)[0]
    assert (wide >= plain) if x >= middle else (wide <= plain)


def test_all_options_at_once_are_the_options_one_by_one() -> None:
    rng = np.random.default_rng(5)
    rows = Rows()
    rows_of = np.array(
        [rows.row(some_spread(rng, 5_000), some_spread(rng, 500)) for _ in range(40)], np.int64
    )
    pickups = np.array([[900, EVERY_DAY, rows.row(some_spread(rng, 300))]], np.int64)
    pickup = rng.integers(-1, 1, 40)
    ready = READY_MIN + rng.integers(0, 600, 40)
    nodes = np.zeros(40, np.int64)
    tables = rows.tails(), pickups, ALWAYS, 1_100
    delay = rng.integers(0, 200, 40)
    options = *tables, nodes, rows_of, pickup, ready * 60_000 - 59_999, delay, READY_MIN + 3_000
    late, seconds = lateness(*options)
    cost = expected_cost(*options, 700, 90, 800)
    for o in range(40):
        one = *tables, 0, rows_of[o], pickup[o], ready[o]
        assert (late[o], seconds[o]) == late_by(*one, READY_MIN + 3_000 - delay[o])
        assert cost[o] == min(late[o] * 700 // one_ppm + seconds[o] * 90 // 3_600, 800)
        assert promised(*one, 100_000, READY_MIN + 3_000) == (
            arrival_min(*one, 500_000),
            arrival_min(*one, 100_000),
            late_by(*one, READY_MIN + 3_000)[0],
        )


def test_a_duration_that_is_certain_is_a_step() -> None:
    rows = Rows()
    row = rows.row((90,) * len(LEVELS_PER_MILLE), POINT)
    tails = rows.tails()
    assert beyond(tails, row, 89, unwidened) == (one_ppm, 60)
    assert beyond(tails, row, 90, unwidened) == (0, 0)
