from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from stored_runs import RunBuilder, run_record

from results.compare import compare
from results.noise_floor import BLOCKS, LEAST_ADVISED, advised, noise_floors, overhead, summary, to_json
from results.report.build import build_document
from results.report.data import RunData
from results.stats.paired import paired_ratio
from results.store import Store
from results.terminal.show import show_json, show_renderables

SUITE = "arms: {native: {runtime: native}, container: {runtime: container}, container-again: {runtime: container}}"
PAIR = [("container", "container-again")]


@pytest.fixture
def run(store: Store) -> RunBuilder:
    return RunBuilder(store, run_record(arms=("native", "container", "container-again")))


def twins(run: RunBuilder, blocks: int = 10, spread: float = 0.02) -> RunBuilder:
    generator = np.random.default_rng(blocks)
    for block in range(blocks):
        for arm in run.record.arms:
            noise = np.exp(generator.normal(0, spread, 2))
            common = {"startup_time": 0.002 * noise[0], "cpu_time": 0.001, "startup.exec": 0.001 * noise[1]}
            run.trial(block, arm, workload="null", **common)
            run.trial(block, arm, workload="work", score=float(noise[1]), **common)
    return run


def test_every_whole_metric_once(run: RunBuilder) -> None:
    floors = noise_floors(twins(run).frame, PAIR, 0.05)
    assert [(one.workload, one.metric) for one in floors] == [
        ("null", "startup_time"),
        ("null", "cpu_time"),
        ("work", "score"),
        ("work", "cpu_time"),
    ]
    assert {(one.arm, one.twin, one.n) for one in floors} == {("container", "container-again", 10)}


def test_figures_are_those_of_the_blocks(run: RunBuilder) -> None:
    arm, twin = [1.0] * 20, [1.01, 1 / 1.02, 1.03, 1 / 1.04, *[1.0] * 16]
    run.blocks("container", arm).blocks("container-again", twin)
    (floor,) = noise_floors(run.frame, PAIR, 0.05)
    assert floor.spread == pytest.approx(0.0305, abs=0.001)
    interval = paired_ratio(twin, arm).interval
    assert interval is not None
    assert floor.half_width == pytest.approx(math.sqrt(interval[1] / interval[0]) - 1)
    assert (floor.ratio, floor.n, floor.verdict) == (pytest.approx(1, abs=0.001), 20, "same")


def test_equal_figures_have_no_noise(run: RunBuilder) -> None:
    run.blocks("container", [0.0] * 6).blocks("container-again", [0.0] * 6)
    (floor,) = noise_floors(run.frame, PAIR, 0.05)
    assert (floor.ratio, floor.spread, floor.half_width, floor.advised) == (1, 0, 0, LEAST_ADVISED)


def test_too_few_blocks_advise_nothing(run: RunBuilder) -> None:
    run.blocks("container", [1.0] * 3).blocks("container-again", [1.1] * 3)
    (floor,) = noise_floors(run.frame, PAIR, 0.05)
    assert (floor.half_width, floor.advised) == (None, None)
    assert floor.spread == pytest.approx(0.1)


def test_a_false_verdict_is_named(run: RunBuilder) -> None:
    run.blocks("container", [1.0] * 8).blocks("container-again", [1.2] * 8)
    floors = noise_floors(run.frame, PAIR, 0.05)
    assert summary(floors).startswith("1 of 1 comparisons call identical arms different")
    assert summary(floors).endswith("work time (container-again).")


def test_all_twins_are_held_against_the_first_of_them(run: RunBuilder) -> None:
    for arm in ("native", "container", "container-again"):
        run.blocks(arm, [1.0] * 6)
    floors = noise_floors(run.frame, [("native", "container", "container-again")], 0.05)
    assert [(one.arm, one.twin) for one in floors] == [("native", "container"), ("native", "container-again")]


@pytest.mark.parametrize(
    ("half_width", "blocks", "expected"),
    [(0, 10, 0.001), (0.0001, 10, 0.001), (0.0049, 10, 0.01), (0.01, 10, 0.03), (0.01, 40, 0.05), (0.05, 10, 0.15)],
)
def test_what_is_advised(half_width: float, blocks: int, expected: float) -> None:
    assert advised(half_width, blocks) == expected


@given(st.floats(0, 10), st.integers(6, 100))
def test_advice_is_the_whole_width_or_a_little_more(half_width: float, blocks: int) -> None:
    whole = math.expm1(2 * math.log1p(half_width) * math.sqrt(blocks / BLOCKS))
    assert max(whole, LEAST_ADVISED) * (1 - 1e-6) <= advised(half_width, blocks) <= max(2 * whole, LEAST_ADVISED)


def test_at_the_advised_threshold_identical_arms_are_the_same() -> None:
    """By the median advice of 200 comparisons with 10 blocks; 95 % is what is said of it."""
    generator = np.random.default_rng(6)
    pairs = np.exp(generator.normal(0, 0.02, (400, 2, 10)))
    outcomes = [paired_ratio(arm.tolist(), twin.tolist()) for arm, twin in pairs]
    half_widths = [math.sqrt(one.interval[1] / one.interval[0]) - 1 for one in outcomes[:200] if one.interval]
    # Without the rounding, which is to the safe side.
    threshold = math.expm1(2 * math.log1p(float(np.median(half_widths))))
    bound = math.log1p(threshold)
    intervals = [one.interval for one in outcomes[200:] if one.interval]
    same = [-bound <= math.log(low) and math.log(high) <= bound for low, high in intervals]
    assert 0.9 <= np.mean(same) <= 1


def test_what_the_harness_costs_in_a_sentence(run: RunBuilder) -> None:
    twins(run, 3)
    text = overhead(run.frame, run.store.trials(run.record.id))
    assert text.startswith(
        "A trial that runs nothing takes, to the beginning of the next one: native 1.00 s, of which the"
    )
    assert "the start takes 2.0" in text
    assert "; container-again 1.00 s" in text
    assert "at 1.00 ms of CPU time" in text


def test_the_bare_exec_is_told_beside_it(run: RunBuilder) -> None:
    for number in range(3):
        run.trial(number, "native", workload="null", runtime="bare", startup_time=0.001)
    text = overhead(run.frame, run.store.trials(run.record.id))
    assert text.endswith("Executing the same agent with nothing in between takes 1.00 ms.")


def test_without_the_workload_that_does_nothing_nothing_is_said_of_it(run: RunBuilder) -> None:
    run.blocks("native", [1.0] * 6)
    assert overhead(run.frame, run.store.trials(run.record.id)) == ""


def told(run: RunBuilder) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=80)
    for each in show_renderables(run.store, run.store.resolve("latest")):
        console.print(each)
    return " ".join(stream.getvalue().split())


def test_show_and_report_tell_of_it_where_arms_are_identical(run: RunBuilder) -> None:
    twins(run)
    directory = run.store.run_directory(run.record.id)
    (directory / "suite.yaml").write_text(SUITE)
    text = told(run)
    assert "noise floor ratio spread interval advised n null startup_time container-again" in text
    assert "None of 4 comparisons calls identical arms different. A trial that runs nothing takes" in text
    floors = noise_floors(run.frame, PAIR, run.record.threshold)
    assert show_json(run.store, run.record)["noise_floor"] == json.loads(json.dumps(to_json(floors)))
    document = build_document(RunData.load(run.store, run.record), frozenset(), run.store.directory)
    (section,) = (section for section in document.sections if section.name == "noise-floor")
    assert [row[:3] for row in section.tables[0].rows] == [
        (one.workload, one.metric, "container-again / container") for one in floors
    ]
    assert any("None of 4 comparisons" in paragraph for paragraph in section.paragraphs)


def test_nothing_is_told_where_no_arms_are_identical(run: RunBuilder) -> None:
    twins(run)
    assert "noise floor" not in told(run)
    assert show_json(run.store, run.record)["noise_floor"] == []
    document = build_document(RunData.load(run.store, run.record), frozenset(), run.store.directory)
    assert "noise-floor" not in {section.name for section in document.sections}


def test_the_verdicts_are_those_of_a_comparison_of_the_two_alone(run: RunBuilder) -> None:
    frame = twins(run).frame
    alone = {
        (one.workload, one.metric): one.verdict for one in compare(frame[frame["arm"].isin(PAIR[0])], "container", 0.01)
    }
    assert all(alone[one.workload, one.metric] == one.verdict for one in noise_floors(frame, PAIR, 0.01))
