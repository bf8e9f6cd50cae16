"""What the verdicts are worth, by simulation, through all that a user's run goes through: samples of trials in blocks,
one value a trial, per-block ratios, control of false discoveries, verdict.

A simulated host drifts by a fifth over a run, and wanders besides; arms meet it in random order within each block, as
the runner has them. A trial has noise of its own, and its iterations have more. Seeds are fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from results.compare import Comparison, compare

METRICS = 20
"""Of one run: as many as a small suite has."""

NOISE = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "heavy tails": lambda generator, shape: generator.standard_t(3, size=shape) / 3**0.5,
    "skewed": lambda generator, shape: generator.exponential(size=shape) - 1,
}
"""Of standard deviation 1, to be scaled by the spread."""


@dataclass(frozen=True)
class Simulation:
    """How a run is simulated.

    Attributes:
        blocks: of the run.
        noise: between trials and between iterations alike.
        spread: standard deviation between trials, as a share of the value.
        iterations: of each trial.
        within: standard deviation between the iterations of one trial, as a share of the value.
        drift: by how much the host gets slower from the first to the last trial, as a share.
        wander: standard deviation of its random steps from trial to trial, as a share.
        shuffled: whether arms change their order from block to block.
        effects: true ratios of the arm by the metric's number; 1 where none is named.
        metrics: how many.
    """

    blocks: int
    noise: str = "normal"
    spread: float = 0.02
    iterations: int = 1
    within: float = 0.02
    drift: float = 0.2
    wander: float = 0.005
    shuffled: bool = True
    effects: Mapping[int, float] | None = None
    metrics: int = METRICS

    def frame(self, generator: np.random.Generator) -> pd.DataFrame:
        """One run's samples, as the store gives them."""
        shape = (self.metrics, self.blocks, 2, self.iterations)
        draw = NOISE[self.noise]
        order = np.broadcast_to([0, 1], shape[:3])
        order = generator.permuted(order, axis=2) if self.shuffled else order
        when = 2 * np.arange(self.blocks)[:, None] + order
        steps = generator.normal(0, self.wander, (self.metrics, 2 * self.blocks)).cumsum(axis=1)
        host = self.drift * when / (2 * self.blocks)
        host += np.take_along_axis(steps, when.reshape(self.metrics, -1), axis=1).reshape(shape[:3])
        trial = host + self.spread * draw(generator, shape[:3])
        logarithms = trial[..., None] + self.within * draw(generator, shape) * (self.iterations > 1)
        for metric, ratio in (self.effects or {}).items():
            logarithms[metric, :, 1] += np.log(ratio)
        metric, block, arm, iteration = (place.ravel() for place in np.indices(shape))
        names = [f"metric{number}" for number in range(self.metrics)]
        columns = {
            "metric": pd.Categorical.from_codes(metric, names),
            "arm": pd.Categorical.from_codes(arm, ["native", "vm"]),
            "block": block,
            "trial": 2 * block + arm,
            "iteration": iteration,
            "value": np.exp(logarithms.ravel()),
            "primary": False,
        }
        same = {"workload": "work", "params": "", "unit": "s", "better": "lower", "runtime": "r", "accel": "none"}
        everywhere = np.zeros(metric.size, dtype=np.int8)
        return pd.DataFrame(columns | {k: pd.Categorical.from_codes(everywhere, [v]) for k, v in same.items()})

    def runs(self, count: int, threshold: float, seed: int = 1) -> list[list[Comparison]]:
        """The comparisons of ``count`` runs."""
        generator = np.random.default_rng(seed)
        return [compare(self.frame(generator), "native", threshold) for _ in range(count)]


def called(one: Comparison) -> bool:
    return one.verdict in {"better", "worse"}


def significant(one: Comparison) -> bool:
    return one.p_value is not None and one.p_value <= 0.05


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize(("blocks", "iterations"), [(6, 1), (20, 1), (10, 5)])
def test_where_nothing_differs_one_in_twenty_is_significant(noise: str, blocks: int, iterations: int) -> None:
    """Of 3,000 comparisons, before anything is controlled; the standard error is 0.4 %."""
    frame = Simulation(blocks, noise, iterations=iterations, metrics=3000).frame(np.random.default_rng(blocks))
    assert np.mean([significant(one) for one in compare(frame, "native")]) <= 0.06


def test_hardly_a_run_calls_anything_different_where_nothing_is() -> None:
    """450 runs of 20 metrics, and a threshold of 0, with which certainty is all that a verdict needs.

    What control of false discoveries promises is a false verdict in 5 % of runs; the standard error is 1 %.
    """
    runs = [run for noise in NOISE for run in Simulation(10, noise, iterations=2).runs(150, threshold=0)]
    assert sum(any(map(called, run)) for run in runs) / len(runs) <= 0.06
    assert sum(called(one) for run in runs for one in run) / (len(runs) * METRICS) <= 0.01


def test_the_practical_threshold_leaves_nothing_of_chance() -> None:
    runs = Simulation(10, "heavy tails").runs(30, threshold=0.05)
    assert not any(called(one) for run in runs for one in run)


def test_iterations_that_count_as_trials_find_differences_where_there_are_none() -> None:
    """The same samples, once as they are and once with every iteration in a block of its own: 10 blocks of 10."""
    generator = np.random.default_rng(4)
    frame = Simulation(10, iterations=10, metrics=500).frame(generator)
    pooled = frame.assign(
        block=10 * frame["block"] + frame["iteration"], trial=10 * frame["trial"] + frame["iteration"], iteration=0
    )
    shares = [np.mean([significant(one) for one in compare(samples, "native")]) for samples in (frame, pooled)]
    assert shares[0] <= 0.06
    assert shares[1] >= 0.3


def test_without_random_order_a_drift_of_the_host_is_taken_for_a_difference() -> None:
    simulation = Simulation(10, drift=1.0, metrics=500)
    generator = np.random.default_rng(5)
    shares = [
        np.mean([significant(one) for one in compare(one_way.frame(generator), "native")])
        for one_way in (simulation, replace(simulation, shuffled=False))
    ]
    assert shares[0] <= 0.06
    assert shares[1] >= 0.9


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("blocks", range(6, 21))
def test_intervals_cover_the_true_ratio(noise: str, blocks: int) -> None:
    """Of 1,000 ratios; the exact distribution promises 95.0 to 97.8 %, and the standard error is 0.7 %."""
    effects = dict.fromkeys(range(1000), 1.2)
    outcomes = compare(
        Simulation(blocks, noise, effects=effects, metrics=1000).frame(np.random.default_rng(100 + blocks)), "native"
    )
    covered = [
        one.ci_low <= 1.2 <= one.ci_high for one in outcomes if one.ci_low is not None and one.ci_high is not None
    ]
    assert len(covered) == 1000
    assert np.mean(covered) >= 0.93


POWERS = [
    # blocks, spread, threshold, noise, the least share of runs in which 3 % is called worse
    (10, 0.005, 0.01, "normal", 0.95),
    (10, 0.01, 0.01, "normal", 0.5),
    (20, 0.01, 0.01, "normal", 0.95),
    (20, 0.01, 0.01, "heavy tails", 0.95),
    (20, 0.01, 0.01, "skewed", 0.95),
]


@pytest.mark.parametrize(("blocks", "spread", "threshold", "noise", "least"), POWERS)
def test_a_slowdown_of_3_percent_is_found(
    blocks: int, spread: float, threshold: float, noise: str, least: float
) -> None:
    """In one of 20 metrics, the others without any difference, in 60 runs."""
    simulation = Simulation(blocks, noise, spread=spread, wander=0.001, effects={7: 1.03})
    runs = simulation.runs(60, threshold)
    slow = [one for run in runs for one in run if one.metric == "metric7"]
    others = [one for run in runs for one in run if one.metric != "metric7"]
    share = np.mean([one.verdict == "worse" for one in slow])
    assert share >= least
    assert sum(map(called, others)) / len(others) <= 0.01


def test_more_blocks_less_noise_and_a_lower_threshold_find_more() -> None:
    plain = Simulation(12, spread=0.015, wander=0.001, effects=dict.fromkeys(range(METRICS), 1.03))
    kinds = [(plain, 0.01), (replace(plain, blocks=20), 0.01), (replace(plain, spread=0.008), 0.01), (plain, 0.0)]
    usual, *better = [
        np.mean([called(one) for run in simulation.runs(25, threshold) for one in run])
        for simulation, threshold in kinds
    ]
    assert all(share > usual + 0.1 for share in better)
