from __future__ import annotations

import math

import numpy as np
import pytest
from stored_runs import RunBuilder

from results.precision import Precision, precisions, widest
from results.records import Sample
from results.stats.paired import paired_ratio


def blocks(run: RunBuilder, arm: str, values: list[float], *, accel: str = "none", primary: bool = True) -> None:
    for block, value in enumerate(values, start=1):
        run.trial(block, arm, Sample("time", value, "s", "lower", primary=primary), accel=accel)


def test_only_primary_ratios_that_could_be_known_count(run: RunBuilder) -> None:
    values = [1.0, 1.1, 0.9, 1.02, 0.97, 1.04]
    blocks(run, "native", values)
    blocks(run, "container", values[::-1])
    blocks(run, "vm", values, accel="tcg")
    (one,) = precisions(run.frame, "native")
    assert (one.arm, one.metric, one.n) == ("container", "time", 6)
    assert one.width is not None
    assert one.name == "work time in container"


def test_a_metric_that_is_not_primary_does_not_count(run: RunBuilder) -> None:
    blocks(run, "native", [1.0] * 6, primary=False)
    blocks(run, "container", [1.0] * 6, primary=False)
    assert precisions(run.frame, "native") == []


def test_a_side_without_a_trial_does_not_count(run: RunBuilder) -> None:
    blocks(run, "container", [1.0] * 6)
    assert precisions(run.frame, "native") == []


def test_below_six_blocks_nothing_is_known(run: RunBuilder) -> None:
    blocks(run, "native", [1.0] * 5)
    blocks(run, "container", [1.0] * 5)
    (one,) = precisions(run.frame, "native")
    assert one.width is None
    assert one.blocks_for(0.05) is None
    assert widest([one, Precision("a", "", "b", "c", 9, 0.5)]) is one


def test_the_width_is_the_same_whichever_arm_is_the_baseline(run: RunBuilder) -> None:
    blocks(run, "native", [1.0, 1.2, 0.9, 1.1, 1.0, 0.8, 1.05])
    blocks(run, "container", [2.0, 2.2, 2.1, 1.9, 2.0, 2.3, 2.4])
    (ours,), (theirs,) = precisions(run.frame, "native"), precisions(run.frame, "container")
    assert ours.width == pytest.approx(theirs.width)


def stopped_at(differences: np.ndarray, width: float) -> tuple[int, tuple[float, float]]:
    """Where a run whose per-block log-ratios are these would have ended, and the interval it would have reported."""
    for n in range(10, differences.size + 1):
        interval = paired_ratio(np.exp(differences[:n]), np.ones(n)).interval
        assert interval is not None
        if interval[1] / interval[0] - 1 <= width:
            break
    return n, interval


@pytest.mark.parametrize("tail", ["normal", "heavy"])
def test_stopping_at_a_width_leaves_the_coverage(tail: str) -> None:
    rng = np.random.default_rng(20261130)
    truth, runs = math.log(1.1), 600
    covered, ends = 0, []
    for _ in range(runs):
        noise = rng.normal(0, 0.04, 40) if tail == "normal" else 0.03 * rng.standard_t(4, 40)
        n, (low, high) = stopped_at(truth + noise, 0.05)
        covered += low <= 1.1 <= high
        ends.append(n)
    # 600 runs: a true 93 % shows less than 91 % once in forty times.
    assert covered / runs >= 0.93 - 2 * math.sqrt(0.93 * 0.07 / runs)
    # Otherwise nothing was shown: runs ended at different blocks, hardly any at the first look or the last.
    assert 11 < np.median(ends) < 39
