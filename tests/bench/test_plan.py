from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan import Plan, make_plan
from bench.sampling import Sampling
from bench.suite_model import Arm, Suite, Use
from runtimes.base import Limits, Options
from workloads.loader import load_catalogue

CATALOGUE = load_catalogue()
LIMITS = Limits(cpus=1, cpuset=(), memory=2**29)


class NoOptions(Options):
    pass


def build(
    arms: int = 3, blocks: int = 6, uses: tuple[str, ...] = ("null", "fio", "redis"), seed: int | None = None
) -> Suite:
    matrix = {"fio": {"rw": ("randread", "write"), "bs": ("4k",), "runtime": (1,)}}
    return Suite(
        name="made",
        description="",
        baseline="arm0",
        limits=LIMITS,
        arms=tuple(Arm(f"arm{number}", "native", LIMITS, NoOptions()) for number in range(arms)),
        uses=tuple(Use(name, CATALOGUE[name], matrix.get(name, {})) for name in uses),
        sampling=Sampling.fixed(blocks, seed=seed, time_budget=60.0),
    )


def order(plan: Plan) -> list[tuple[int, str, str]]:
    return [(trial.block, trial.case.label, trial.arm.name) for trial in plan.trials()]


def planned(suite: Suite, seed: int) -> Plan:
    return make_plan(replace(suite, sampling=replace(suite.sampling, seed=seed)))


shapes = st.builds(
    build,
    arms=st.integers(1, 5),
    blocks=st.integers(1, 8),
    uses=st.lists(st.sampled_from(sorted(CATALOGUE)), min_size=1, unique=True).map(tuple),
)


@given(shapes, st.integers(0, 2**63 - 1))
def test_every_block_holds_every_case_in_every_arm_once(suite: Suite, seed: int) -> None:
    plan = planned(suite, seed)
    expected = {
        (block, case.label, arm.name)
        for block in range(1, suite.sampling.max_blocks + 1)
        for case in plan.cases
        for arm in suite.arms
    }
    assert set(order(plan)) == expected
    assert len(order(plan)) == len(expected)


@given(shapes, st.integers(0, 2**63 - 1))
def test_trials_are_numbered_in_order_and_a_case_goes_through_its_arms_before_the_next(suite: Suite, seed: int) -> None:
    plan = planned(suite, seed)
    width = len(plan.arms)
    per_block = width * len(plan.cases)
    trials = list(plan.trials())
    assert [trial.number for trial in trials] == list(range(1, len(trials) + 1))
    assert [trial.block for trial in trials] == [index // per_block + 1 for index in range(len(trials))]
    assert [trial.position for trial in trials] == [index % per_block + 1 for index in range(len(trials))]
    for start in range(0, len(trials), width):
        assert len({trial.case.label for trial in trials[start : start + width]}) == 1


@given(shapes, st.integers(0, 2**63 - 1))
def test_the_order_of_a_block_is_the_same_however_many_there_are(suite: Suite, seed: int) -> None:
    longer = planned(replace(suite, sampling=Sampling.fixed(50)), seed)
    assert list(planned(suite, seed).trials()) == list(longer.trials())[: len(order(planned(suite, seed)))]


@given(shapes, st.integers(0, 2**63 - 1))
def test_a_seed_gives_one_order(suite: Suite, seed: int) -> None:
    assert planned(suite, seed) == planned(suite, seed)


def test_different_seeds_give_different_orders() -> None:
    orders = {json.dumps(order(planned(build(), seed))) for seed in range(50)}
    assert len(orders) == 50


def test_the_order_of_a_seed_stays_the_same_from_version_to_version() -> None:
    plan = planned(build(arms=2, blocks=2, uses=("null", "redis")), 7)
    assert " ".join(f"{label}/{arm}" for _, label, arm in order(plan)) == (
        "null/arm0 null/arm1 redis/arm1 redis/arm0 redis/arm1 redis/arm0 null/arm1 null/arm0"
    )


def test_every_arm_is_first_about_equally_often() -> None:
    plan = planned(build(arms=3, blocks=400, uses=("null",)), 1)
    first = Counter(trial.arm.name for trial in plan.trials() if trial.position == 1)
    assert all(first[f"arm{number}"] == pytest.approx(400 / 3, abs=45) for number in range(3))


def test_cases_have_every_parameter_and_a_label_of_those_given() -> None:
    plan = planned(build(), 1)
    assert [case.label for case in plan.cases] == [
        "null",
        "fio rw=randread bs=4k runtime=1",
        "fio rw=write bs=4k runtime=1",
        "redis",
    ]
    given, defaults = {"rw": "randread", "bs": "4k", "runtime": 1}, {"iodepth": 1, "jobs": 1, "size": "1G"}
    assert plan.cases[1].params == given | defaults | {"ioengine": "libaio"}
    assert plan.cases[0].scratch is None
    assert (plan.cases[1].scratch or 0) > 2**30


def test_packages_and_time() -> None:
    plan = planned(build(), 1)
    assert plan.packages() == ("fio", "redis-server", "redis-tools")
    assert plan.measured_seconds() == 2 * 1 * 3
    assert planned(build(uses=("null",)), 1).packages() == ()


def test_files_and_limits_of_a_use_are_those_of_its_cases() -> None:
    suite = build(uses=("isolation", "memory-fill"))
    plan = planned(replace(suite, uses=(suite.uses[0], replace(suite.uses[1], limit={"memory": "filled"}))), 1)
    assert [dict(case.limit) for case in plan.cases] == [{}, {"memory": "filled"}]
    files = plan.files()
    assert {"isolation/isolation/__main__.py", "memory-fill/memory_fill/fill.py"} <= set(files)
    assert plan.describe()["files"] == sorted(files)
    assert files["memory-fill/memory_fill/fill.py"].source.is_file()


def test_the_description_is_plain_data() -> None:
    plan = planned(build(blocks=1), 1)
    description = json.loads(json.dumps(plan.describe()))
    assert description["seed"] == 1
    assert [arm["name"] for arm in description["arms"]] == ["arm0", "arm1", "arm2"]
    assert [trial["trial"] for trial in description["trials"]] == list(range(1, 13))
    assert [(trial["workload"], trial["arm"]) for trial in description["trials"]] == [
        (trial.case.workload.name, trial.arm.name) for trial in plan.trials()
    ]


def test_a_suite_without_a_seed_gets_a_new_one() -> None:
    assert make_plan(build(seed=11)).seed == 11
    assert len({make_plan(build(blocks=1)).seed for _ in range(5)}) > 1


def test_arms_have_their_packages_and_kernels_in_the_image() -> None:
    class Demanding(Options):
        @property
        def packages(self) -> tuple[str, ...]:
            return ("systemd-sysv",)

        @property
        def kernels(self) -> tuple[str, ...]:
            return ("host", "generic")

    suite = build(uses=("fio",))
    before = make_plan(suite)
    assert before.kernels() == ()
    arms = (*suite.arms, Arm("guest", "vm", LIMITS, Demanding()), Arm("other", "vm", LIMITS, Demanding()))
    plan = make_plan(replace(suite, arms=arms))
    assert plan.packages() == tuple(sorted({*before.packages(), "systemd-sysv"}))
    assert plan.kernels() == ("generic", "host")
    assert plan.describe()["kernels"] == ["generic", "host"]
