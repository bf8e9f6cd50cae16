from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import KEY, RUNS, series_of_values
from hypothesis import given
from hypothesis import strategies as st

from results.history.changes import SLACK, changes_of
from results.history.policy import Policy, Rule
from results.records import Acknowledgement
from results.stats.change_points import MIN_HISTORY, find_shifts

GENERATOR = np.random.default_rng(5)
STEPPED = np.concatenate(
    [100 * np.exp(0.005 * GENERATOR.normal(size=40)), 110 * np.exp(0.005 * GENERATOR.normal(size=20))]
)
BACK = np.concatenate([STEPPED, 100 * np.exp(0.005 * GENERATOR.normal(size=20))])


class Everywhere:
    """Proposes a change at every night, as the worst of proposers would."""

    def propose(self, scaled: np.ndarray) -> list[int]:
        return list(range(1, scaled.size))


def test_a_step_is_told_with_its_place_size_and_direction() -> None:
    (change,) = changes_of(series_of_values(STEPPED), 0.02)
    assert (change.shift.index, change.shift.kind) == (40, "step")
    assert change.shift.ratio == pytest.approx(1.1, rel=0.01)
    assert change.shift.interval[0] < 1.1 < change.shift.interval[1]
    assert change.run is RUNS[40]
    assert (change.before, change.after) == (pytest.approx(100, rel=0.01), pytest.approx(110, rel=0.01))
    assert change.worse
    assert change.alarming


def test_the_same_step_is_for_the_better_where_more_is_better() -> None:
    (change,) = changes_of(series_of_values(STEPPED, "higher"), 0.02)
    assert change.worse is False
    assert not change.alarming
    (ours,) = changes_of(Policy(rules=(Rule(KEY.metric, better="lower"),)).directed(change.series), 0.02)
    assert (ours.series.better, ours.alarming) == ("lower", True)
    assert changes_of(series_of_values(STEPPED, "neutral"), 0.02)[0].worse is None


def test_what_went_back_is_no_alarm() -> None:
    there, back = changes_of(series_of_values(BACK), 0.02)
    assert (there.worse, there.lasts, back.worse) == (True, False, False)
    assert not there.alarming


def test_a_change_of_less_than_the_threshold_is_none() -> None:
    assert changes_of(series_of_values(STEPPED), 0.12) == []


def known_at(night: int, ratio: float = 1.1) -> Acknowledgement:
    (change,) = changes_of(series_of_values(STEPPED), 0.02)
    return replace(change.acknowledged("new kernel", "2026-01-02T00:00:00Z"), run=RUNS[night].id, ratio=ratio)


@pytest.mark.parametrize("moved", [-SLACK, 0, SLACK])
def test_an_acknowledged_change_may_be_found_some_nights_off(moved: int) -> None:
    (change,) = changes_of(series_of_values(STEPPED), 0.02, [known_at(40 + moved)])
    assert change.known is not None
    assert change.known.reason == "new kernel"
    assert not change.alarming


@pytest.mark.parametrize(
    "other",
    [
        known_at(40 + SLACK + 1),
        known_at(40, ratio=0.9),
        replace(known_at(40), metric="iops"),
        replace(known_at(40), arm="vm"),
    ],
)
def test_the_acknowledgement_of_another_change_is_none_of_this(other: Acknowledgement) -> None:
    assert changes_of(series_of_values(STEPPED), 0.02, [other])[0].alarming


def test_a_drift_is_no_step() -> None:
    values = 100 * np.exp(0.005 * GENERATOR.normal(size=50)) * np.linspace(1, 1.1, 50)
    changes = changes_of(series_of_values(values), 0.02)
    assert "drift" in {change.shift.kind for change in changes}
    assert changes[-1].alarming


def test_a_segmentation_that_proposes_everything_is_not_believed() -> None:
    values = 100 * np.exp(0.01 * GENERATOR.normal(size=60))
    assert find_shifts(values.tolist(), 0.02, Everywhere()) == []
    found = find_shifts(STEPPED.tolist(), 0.02, Everywhere())
    assert [abs(shift.index - 40) <= 3 for shift in found] == [True]


@given(st.lists(st.floats(min_value=1e-3, max_value=1e9), max_size=40))
def test_any_history_has_an_answer_that_is_of_its_form(values: list[float]) -> None:
    found = find_shifts(values, 0.02)
    assert all(0 < shift.index < len(values) or shift.kind == "drift" for shift in found)
    if len(values) < MIN_HISTORY or len(set(values)) == 1:
        assert found == []
    for shift in found:
        assert shift.interval[0] <= shift.ratio <= shift.interval[1]


def test_figures_that_are_mostly_equal_and_those_without_logarithm() -> None:
    assert find_shifts([0.0, 1.0] * 10, 0.02) == []
    assert find_shifts([1.0] * 9 + [0.0], 0.02) == []
    assert find_shifts([4096.0] * 15 + [8192.0] * 5, 0.02)[0].index == 15
    assert find_shifts([4096.0] * 19 + [8192.0], 0.02) == []


def test_an_acknowledgement_of_before_the_history_or_of_another_one_is_none_of_this() -> None:
    values = np.repeat([100.0, 150.0], [4, 30]) * np.exp(0.005 * GENERATOR.normal(size=34))
    (change,) = changes_of(series_of_values(values), 0.02)
    known = change.acknowledged("meant", "2026-01-02T00:00:00Z")
    assert changes_of(series_of_values(values), 0.02, [known])[0].known is known
    others = {"run": "20200101-000000-0000", "image": "another", "host_fingerprint": "another", "kind": "drift"}
    for name, value in others.items():
        assert changes_of(series_of_values(values), 0.02, [replace(known, **{name: value})])[0].alarming


def test_an_acknowledgement_is_of_one_change_the_nearest() -> None:
    values = np.repeat([100.0, 104.0, 109.0], [30, 5, 25]) * np.exp(0.002 * GENERATOR.normal(size=60))
    first, second = changes_of(series_of_values(values), 0.02)
    known = second.acknowledged("meant", "2026-01-02T00:00:00Z")
    assert [change.known for change in changes_of(series_of_values(values), 0.02, [known])] == [None, known]
    assert (first.shift.index, second.shift.index) == (30, 35)


def drifting(size: float, nights: int) -> np.ndarray:
    """A level that creeps up after forty quiet nights."""
    noise = np.random.default_rng(8).normal(size=40 + nights)
    return 100 * np.exp(0.01 * noise) * np.concatenate([np.ones(40), np.linspace(1, 1 + size, nights)])


def test_an_acknowledged_step_is_no_acknowledgement_of_the_drift_after_it() -> None:
    values = drifting(0.04, 60)
    values[:40] /= 1.15
    step, drift = changes_of(series_of_values(values), 0.02)
    assert (step.shift.kind, drift.shift.kind) == ("step", "drift")
    known = step.acknowledged("meant", "2026-01-02T00:00:00Z")
    found = changes_of(series_of_values(values), 0.02, [known])
    assert [change.alarming for change in found] == [False, True]
    assert step.id != drift.id


def test_an_acknowledged_drift_is_known_only_as_far_as_it_had_come() -> None:
    values = drifting(0.04, 60)[40:]
    (drift,) = changes_of(series_of_values(values), 0.02)
    assert drift.shift.kind == "drift"
    known = drift.acknowledged("known", "2026-01-02T00:00:00Z")
    assert not changes_of(series_of_values(values), 0.02, [known])[-1].alarming
    assert changes_of(series_of_values(values), 0.02, [replace(known, ratio=1.01)])[-1].alarming


def test_what_is_before_the_last_zero_is_not_looked_at() -> None:
    values = [100.0, 101.0, 0.0, *STEPPED.tolist()]
    (change,) = changes_of(series_of_values(np.array(values)), 0.02)
    assert change.shift.index == 43
    assert change.before == pytest.approx(100, rel=0.01)
