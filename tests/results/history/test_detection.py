"""How well changes of level are found, and how seldom alarm is given without one.

``tests/benchmarks/detection.py`` does the same with more histories, beside Otava.
"""

from __future__ import annotations

import numpy as np
import pytest
from histories import NOISES, QUIET, WARM_UP, false_alarms, ours, recall, with_drift, with_step

METRICS, NIGHTS = 20, 100


def test_steps_of_five_percent_are_found_within_five_nights() -> None:
    generator = np.random.default_rng(2026)
    found = [recall([with_step(generator, noise, 0.05) for _ in range(150)], ours, 5) for noise in NOISES]
    assert np.mean(found) >= 0.95
    assert min(found) >= 0.88


@pytest.mark.parametrize(("size", "noise", "least"), [(0.03, 0.01, 0.8), (0.10, 0.02, 0.97)])
def test_other_steps_are_found_within_ten_nights(size: float, noise: float, least: float) -> None:
    generator = np.random.default_rng(7)
    assert recall([with_step(generator, noise, size) for _ in range(60)], ours, 10) >= least


@pytest.mark.parametrize("noise", NOISES)
def test_a_gradual_drift_over_weeks_is_found(noise: float) -> None:
    generator = np.random.default_rng(11)
    histories = [with_drift(generator, noise, 0.10) for _ in range(30)]
    assert recall(histories, ours, 42) >= 0.95


def test_at_most_one_false_alarm_in_a_hundred_quiet_nights_of_twenty_metrics() -> None:
    generator = np.random.default_rng(77)
    counted = {}
    for name, make in QUIET.items():
        noises = [NOISES[metric % len(NOISES)] for metric in range(METRICS)]
        counted[name] = false_alarms([make(generator, noise, WARM_UP + NIGHTS) for noise in noises], ours)
    assert sum(counted.values()) / len(counted) <= 1, counted
