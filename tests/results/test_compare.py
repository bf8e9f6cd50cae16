from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored_runs import RunBuilder, run_record

from results.compare import Comparison, compare, compare_run, to_json
from results.records import HARNESS_METRICS, INSTANCE_METRICS, Sample
from results.store import Store

SIX = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02]


def scaled(factor: float, values: Sequence[float] = SIX) -> list[float]:
    return [factor * value for value in values]


def the_only(comparisons: list[Comparison]) -> Comparison:
    (comparison,) = comparisons
    return comparison


def test_an_arm_twice_as_slow_in_every_block(run: RunBuilder) -> None:
    run.blocks("native", SIX).blocks("vm", scaled(2), accel="kvm")
    outcome = the_only(compare(run.frame, "native"))
    assert (outcome.arm, outcome.baseline, outcome.n, outcome.verdict) == ("vm", "native", 6, "worse")
    assert (outcome.ratio, outcome.ci_low, outcome.ci_high) == pytest.approx((2, 2, 2))
    assert outcome.p_value == outcome.q_value == pytest.approx(2 / 2**6)
    assert (outcome.median, outcome.baseline_median) == pytest.approx((2.02, 1.01))
    assert (outcome.accel, outcome.primary, outcome.warnings) == ("kvm", False, ())


def test_blocks_are_paired_whatever_the_order_of_execution(run: RunBuilder) -> None:
    order = [(block, arm) for block in range(8) for arm in ("native", "vm")]
    random.Random(3).shuffle(order)
    for block, arm in order:
        run.trial(block, arm, time=(10.0**block) * (1.5 if arm == "vm" else 1.0))
    outcome = the_only(compare(run.frame, "native"))
    assert (outcome.ci_low, outcome.ci_high) == pytest.approx((1.5, 1.5))


def test_iterations_of_a_trial_count_once_as_their_median(run: RunBuilder) -> None:
    for block, value in enumerate(SIX):
        run.trial(block, "native", time=[value, value, 100 * value]).trial(block, "vm", time=[3 * value])
    outcome = the_only(compare(run.frame, "native"))
    assert outcome.n == 6
    assert outcome.ratio == pytest.approx(3)


def test_trials_without_partner_are_left_out_and_counted(run: RunBuilder) -> None:
    run.blocks("native", SIX).blocks("vm", scaled(2))
    run.trial(6, "vm", time=50.0).trial(7, "vm", time=50.0).trial(8, "native", time=1.0)
    outcome = the_only(compare(run.frame, "native"))
    assert (outcome.n, outcome.ratio) == (6, pytest.approx(2))
    assert outcome.warnings == ("3 trials without partner left out",)


def test_a_repeated_trial_counts_once_in_its_block(run: RunBuilder) -> None:
    run.blocks("native", SIX).blocks("vm", scaled(2)).trial(0, "vm", time=4.0)
    outcome = the_only(compare(run.frame, "native"))
    assert (outcome.n, outcome.ci_high) == (6, pytest.approx(3))


def test_arms_that_never_shared_a_block(run: RunBuilder) -> None:
    run.trial(0, "native", time=1.0).trial(1, "vm", time=2.0)
    outcome = the_only(compare(run.frame, "native"))
    assert (outcome.n, outcome.ratio, outcome.verdict) == (0, None, "inconclusive")
    assert outcome.warnings == ("no block in which both arms have a trial", "2 trials without partner left out")


def test_a_workload_in_which_the_baseline_failed_is_not_hidden(run: RunBuilder) -> None:
    run.blocks("vm", SIX)
    outcome = the_only(compare(run.frame, "native"))
    assert (outcome.n, outcome.verdict, outcome.baseline_median) == (0, "inconclusive", None)
    assert "no trial of native succeeded" in outcome.warnings


def test_a_metric_that_the_baseline_does_not_have_is_no_comparison(run: RunBuilder) -> None:
    run.trial(0, "native", startup_time=1.0).trial(0, "vm", startup_time=2.0, **{"startup.boot": 1.0})
    assert the_only(compare(run.frame, "native")).metric == "startup_time"


def test_comparisons_come_in_the_order_of_the_suite(run: RunBuilder) -> None:
    for workload, params in (("redis", {}), ("fio", {"bs": "64k"}), ("fio", {"bs": "4k"})):
        for arm in ("vm", "native", "container"):
            run.trial(0, arm, startup=1.0, iops=1.0, workload=workload, params=params)
    assert [(one.workload, one.params, one.metric, one.arm) for one in compare(run.frame, "native")] == [
        (workload, params, metric, arm)
        for workload, params in (("redis", ""), ("fio", "bs=64k"), ("fio", "bs=4k"))
        for metric in ("startup", "iops")
        for arm in ("container", "vm")
    ]


@pytest.mark.parametrize(
    ("arm", "baseline", "expected"), [("tcg", "none", "tcg"), ("none", "tcg", "tcg"), ("kvm", "none", "kvm")]
)
def test_software_emulation_on_either_side_marks_the_comparison(
    run: RunBuilder, arm: str, baseline: str, expected: str
) -> None:
    run.blocks("native", SIX, accel=baseline).blocks("vm", SIX, accel=arm)
    assert the_only(compare(run.frame, "native")).accel == expected


def test_direction_and_primary_come_from_the_samples(run: RunBuilder) -> None:
    for block, value in enumerate(SIX):
        run.trial(block, "native", Sample("iops", value, "1/s", "higher", primary=True))
        run.trial(block, "vm", Sample("iops", 2 * value, "1/s", "higher", primary=True))
    outcome = the_only(compare(run.frame, "native"))
    assert (outcome.verdict, outcome.primary, outcome.unit) == ("better", True, "1/s")


def test_exchanging_arm_and_baseline_exchanges_the_verdict(run: RunBuilder) -> None:
    run.blocks("native", SIX).blocks("vm", scaled(1.3, [1.0, 1.2, 0.9, 1.01, 0.97, 1.0]))
    forth, back = the_only(compare(run.frame, "native")), the_only(compare(run.frame, "vm"))
    assert forth.ratio is not None
    assert back.ratio == pytest.approx(1 / forth.ratio)
    assert (forth.verdict, back.verdict) == ("worse", "better")


def test_one_true_difference_among_many_null_metrics_needs_more_than_six_blocks(run: RunBuilder) -> None:
    """At six blocks the least p-value is 0.031, which among twenty metrics is to be expected by chance."""
    generator = np.random.default_rng(8)
    for block in range(6):
        noise = generator.normal(0, 0.01, (2, 20))
        for row, arm in zip(noise, ("native", "vm"), strict=True):
            run.trial(block, arm, **{f"null{number}": float(np.exp(value)) for number, value in enumerate(row)})
            run.trial(block, arm, slow=2.0 if arm == "vm" else 1.0)
    slow = next(one for one in compare(run.frame, "native") if one.metric == "slow")
    assert slow.q_value is not None
    assert slow.p_value == pytest.approx(2 / 2**6)
    assert slow.q_value > 0.05
    assert slow.verdict == "inconclusive"
    assert "false discoveries" in slow.warnings[-1]


def test_metrics_that_cannot_differ_significantly_do_not_dilute_the_others(run: RunBuilder) -> None:
    constants = {f"constant{number}": 4096.0 for number in range(20)}
    neutral = [Sample(f"neutral{number}", 1.0 + number, "bytes", "neutral") for number in range(20)]
    for block, value in enumerate(SIX):
        run.trial(block, "native", *neutral, time=value, **constants)
        run.trial(block, "vm", *neutral, time=2 * value, **constants)
    outcomes = {one.metric: one for one in compare(run.frame, "native")}
    assert outcomes["time"].verdict == "worse"
    assert outcomes["constant3"].verdict == outcomes["neutral3"].verdict == "same"
    assert outcomes["constant3"].q_value is None


CERTAIN = ["startup.boot", "image_size.kernel", *(f"memory.part{number}" for number in range(10))]


def with_noise(run: RunBuilder, more: Sequence[str], cases: int) -> RunBuilder:
    """Seven blocks: in the case ``null`` a metric ``score`` that is half as fast in vm, among fifteen that are not.

    Certain differences are ``more`` metrics in the case null, and startup in it and ``cases`` further ones.
    """
    generator = np.random.default_rng(2)
    for block in range(7):
        noise = np.exp(generator.normal(0, 0.01, (2, 16)))
        for row, arm, factor in zip(noise, ("native", "vm"), (1.0, 2.0), strict=True):
            same = {f"same{number}": float(value) for number, value in enumerate(row[1:])}
            certain = dict.fromkeys((*more, "startup_time"), factor * (1 + block / 100))
            run.trial(block, arm, workload="null", score=float(row[0]) * factor, **same, **certain)
            for case in range(cases):
                run.trial(block, arm, workload=f"other{case}", startup_time=factor * (1 + block / 100))
    return run


def test_certain_differences_of_parts_and_repeats_do_not_let_the_bar_down_for_results(tmp_path: Path) -> None:
    found = []
    for number, (more, cases) in enumerate((([], 0), (CERTAIN, 0), ([], 12), (CERTAIN, 12))):
        with Store(tmp_path / str(number)).open(create=True) as store:
            outcomes = compare(with_noise(RunBuilder(store, run_record()), more, cases).frame, "native")
        assert len(outcomes) == 17 + len(more) + cases
        found.append([one for one in outcomes if one.workload == "null" and one.metric not in CERTAIN])
        padding = [one for one in outcomes if one not in found[-1]]
        assert {one.family for one in padding} <= {"parts", "repeats"}
        assert all(one.q_value is not None and one.q_value == one.p_value for one in padding)
        assert {one.verdict for one in padding} <= {"worse"}
    (score,) = (one for one in found[0] if one.metric == "score")
    assert score.p_value is not None
    assert score.p_value < 0.05
    assert score.verdict == "inconclusive"  # as it would not be, had the certain ones a say in it
    assert found[0] == found[1] == found[2] == found[3]


def test_the_families_of_a_run(run: RunBuilder) -> None:
    metrics = dict.fromkeys((*HARNESS_METRICS, "startup.boot", "memory.pss", "iops"), 1.0)
    for arm in ("native", "vm"):
        for workload in ("fio", "null"):
            run.trial(0, arm, workload=workload, **metrics)
    families = {(one.workload, one.metric): one.family for one in compare(run.frame, "native")}
    for workload in ("fio", "null"):
        for metric in metrics:
            expected = "parts" if "." in metric else "results"
            if workload == "fio" and metric in INSTANCE_METRICS:
                expected = "repeats"
            assert families[workload, metric] == expected, (workload, metric)


def test_the_practical_threshold_is_a_matter_of_choice(run: RunBuilder) -> None:
    run.blocks("native", [*SIX, 1.0, 1.0]).blocks("vm", scaled(1.03, [*SIX, 1.0, 1.0]))
    verdicts = {threshold: the_only(compare(run.frame, "native", threshold)) for threshold in (0.01, 0.03001, 0.05)}
    assert [one.verdict for one in verdicts.values()] == ["worse", "same", "same"]
    assert [one.threshold for one in verdicts.values()] == list(verdicts)
    assert the_only(compare(run.frame, "native")) == verdicts[0.05]


def test_what_a_comparison_could_have_seen(run: RunBuilder) -> None:
    run.blocks("native", [1.0] * 7).blocks("vm", [1.0, 1.1, 0.9, 1.2, 0.8, 1.0, 1.3])
    outcome = the_only(compare(run.frame, "native"))
    assert outcome.verdict == "inconclusive"
    assert outcome.ci_low is not None
    assert outcome.ci_high is not None
    half_width = math.log(outcome.ci_high / outcome.ci_low) / 2
    assert outcome.detectable == pytest.approx(1.05 * math.exp(2.8016 / 1.96 * half_width), rel=1e-4)


def test_an_empty_run_has_no_comparison(run: RunBuilder) -> None:
    assert compare(run.frame, "native") == []


def test_a_frame_of_plain_strings_serves_as_well(run: RunBuilder) -> None:
    run.blocks("native", SIX).blocks("vm", scaled(2))
    plain = run.frame.astype(dict.fromkeys(("workload", "params", "arm", "metric", "unit", "better", "accel"), "str"))
    assert compare(plain, "native") == compare(run.frame, "native")


def test_json_has_the_keys_of_the_contract_and_null_for_what_is_not_there(run: RunBuilder) -> None:
    run.trial(0, "native", time=1.0).trial(0, "vm", time=0.0)
    (row,) = json.loads(json.dumps(to_json(compare(run.frame, "native")), allow_nan=False))
    contract = ["workload", "params", "metric", "unit", "better", "arm", "baseline"]
    contract += ["n", "ratio", "ci_low", "ci_high", "p_value", "verdict"]
    assert list(row) == [*contract, "q_value", "family", "threshold", "detectable", "accel", "warnings"]
    assert (row["ratio"], row["ci_low"], row["p_value"], row["n"]) == (None, None, None, 1)


def simulated(generator: np.random.Generator, blocks: int, metrics: int) -> pd.DataFrame:
    """Two identical arms: noise between trials, far more of it within, five iterations a trial."""
    index = pd.MultiIndex.from_product(
        [range(metrics), range(blocks), ("native", "vm"), range(5)], names=["metric", "block", "arm", "iteration"]
    )
    frame = index.to_frame(index=False)
    between = np.repeat(generator.normal(0, 0.05, metrics * blocks * 2), 5)
    frame["value"] = np.exp(between + generator.normal(0, 0.01, len(frame)))
    frame["trial"] = 2 * frame["block"] + (frame["arm"] == "vm")
    frame["metric"] = "metric" + frame["metric"].astype(str)
    constants = {"workload": "w", "params": "", "unit": "s", "better": "lower", "runtime": "r", "accel": "none"}
    return frame.assign(**constants, primary=False)


def test_comparing_a_run_takes_a_few_seconds_at_the_most() -> None:
    """Six blocks of 500 metrics: about thirty metrics in each of sixteen workload cases."""
    frame = simulated(np.random.default_rng(1), 6, 500)
    compare(frame, "native")
    before = time.process_time()
    compare(frame, "native")
    assert time.process_time() - before < 3


def test_a_run_is_judged_by_its_own_threshold(store: Store) -> None:
    run = RunBuilder(store, run_record(threshold=0.01))
    run.blocks("native", SIX).blocks("vm", scaled(1.03))
    assert the_only(compare_run(run.frame, run.record)) == the_only(compare(run.frame, "native", 0.01))
