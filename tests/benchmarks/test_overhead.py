"""The benchmark of the harness's overhead: that both ways run the same, and what is made of it."""

from __future__ import annotations

import json
import random

import overhead
import pytest
from click.testing import CliRunner

from results.stats.paired import paired_ratio
from results.stats.verdict import LEVEL, judge


class Fake:
    """A contest with figures that are known."""

    def __init__(self, harness, hand):
        self._harness, self._hand = iter(harness), iter(hand)

    def by_harness(self):
        return next(self._harness)

    def by_hand(self):
        return next(self._hand)


def test_the_first_round_does_not_count():
    found = overhead.measure(Fake([1e9, *[102.0] * 8], [1, *[100.0] * 8]), 8, random.Random(1))
    assert found["ratio_direct"] == pytest.approx(1.02)
    assert (found["n"], found["goal_met"]) == (8, False)
    assert found["ci_low"] <= found["ratio_direct"] <= found["ci_high"]


def test_too_few_rounds_have_no_interval():
    found = overhead.measure(Fake([1, 1, 1], [1, 1, 1]), 2, random.Random(1))
    assert (found["ratio_direct"], found["ci_low"], found["goal_met"]) == (1.0, None, True)


@pytest.mark.host
@pytest.mark.slow
def test_both_ways_give_the_same_figures(monkeypatch):
    monkeypatch.setattr(overhead, "WORKLOADS", {"sysbench-cpu": {"runtime": 1}, "fio": {"runtime": 1, "size": "4M"}})
    result = CliRunner().invoke(overhead.main, ["--rounds", "8", "--json", "--seed", "3"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    for name in ("sysbench-cpu", "fio"):
        outcome = paired_ratio(found[name]["harness"], found[name]["hand"])
        assert outcome.n == 8
        assert outcome.p_value is not None
        # Eight rounds can just show a difference with p < 1 %, so that a busy machine hardly ever does.
        verdict, _ = judge(outcome.interval, "higher", outcome.p_value * LEVEL / 0.01)
        assert verdict not in {"better", "worse"}, found[name]
