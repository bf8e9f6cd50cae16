"""Plans: every trial of a run, in the order of execution, known before anything starts.

The order is that of randomised complete blocks: a block goes through all cases in random order, and through all arms,
in random order again, for each case before the next. So every block holds every case in every arm exactly once, trials
of one case in different arms are neighbours in time, and slow drift of the host falls on all arms alike.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.suite_model import Arm, Suite, Use
from workloads.fields import Scalar
from workloads.files import CarriedFile
from workloads.model import ColdLayer, Workload


@dataclass(frozen=True, slots=True)
class Case:
    """One workload with one value for each parameter.

    Attributes:
        workload: the workload.
        params: every parameter, defaults included.
        label: the workload's name and the parameters that the suite gives, for reading.
        limit: names of limits, and for each the metric that shows how much of it an instance was given.
    """

    workload: Workload = field(hash=False)
    params: Mapping[str, Scalar] = field(hash=False)
    label: str
    limit: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def instances(self) -> int | None:
        """How many instances a trial starts at once, or None for the usual one."""
        return self.workload.instances_at_once(self.params)

    @property
    def cold(self) -> ColdLayer | None:
        """What is not in the page cache when a trial's instance starts, or None for the usual start."""
        return self.workload.cold_layer(self.params)

    @property
    def scratch(self) -> int | None:
        """Bytes of the scratch disk that a trial needs, or None if it needs none."""
        return self.workload.scratch_bytes(self.params)


@dataclass(frozen=True, slots=True)
class Trial:
    """One fresh instance that runs one case.

    Attributes:
        number: in the order of execution, from 1.
        block: from 1.
        position: in its block, from 1.
        case: what is run.
        arm: where.
    """

    number: int
    block: int
    position: int
    case: Case
    arm: Arm


@dataclass(frozen=True, slots=True)
class Plan:
    """All trials of a run.

    Attributes:
        suite: name of the suite.
        suite_hash: what is measured, see :attr:`bench.suite_model.Suite.hash`.
        baseline: name of the arm that the others are divided by.
        seed: of the order.
        blocks: how many there are.
        time_budget: seconds after which no block is begun, or None.
        arms: in the order of the suite.
        cases: in the order of the suite.
        trials: in the order of execution.
    """

    suite: str
    suite_hash: str
    baseline: str
    seed: int
    blocks: int
    time_budget: float | None
    arms: tuple[Arm, ...]
    cases: tuple[Case, ...]
    trials: tuple[Trial, ...]

    def packages(self) -> tuple[str, ...]:
        """The Debian packages that the image needs for all cases and arms, each once, in alphabetical order."""
        wanted = {package for case in self.cases for package in case.workload.packages}
        return tuple(sorted(wanted.union(*(arm.options.packages for arm in self.arms))))

    def kernels(self) -> tuple[str, ...]:
        """The kernels that arms need besides the image's own, each once, in alphabetical order."""
        return tuple(sorted({kernel for arm in self.arms for kernel in arm.options.kernels}))

    def files(self) -> dict[str, CarriedFile]:
        """The files that the image carries for all cases, by ``WORKLOAD/NAME``."""
        return {f"{case.workload.name}/{file.name}": file for case in self.cases for file in case.workload.files}

    def measured_seconds(self) -> float:
        """Seconds that the workloads limited by time measure over all trials: the run takes longer than that."""
        per_block = sum(case.workload.measured_seconds(case.params) or 0.0 for case in self.cases)
        return per_block * len(self.arms) * self.blocks

    def describe(self) -> dict[str, Any]:
        """The plan as plain data, for ``bench run --dry-run``."""
        return {
            "suite": self.suite,
            "suite_hash": self.suite_hash,
            "baseline": self.baseline,
            "seed": self.seed,
            "blocks": self.blocks,
            "time_budget": self.time_budget,
            "measured_seconds": self.measured_seconds(),
            "packages": list(self.packages()),
            "kernels": list(self.kernels()),
            "files": sorted(self.files()),
            "arms": [_arm_data(arm) for arm in self.arms],
            "cases": [_case_data(case) | {"scratch": case.scratch} for case in self.cases],
            "trials": [
                {"trial": trial.number, "block": trial.block, "position": trial.position, "arm": trial.arm.name}
                | _case_data(trial.case)
                for trial in self.trials
            ],
        }


def make_plan(suite: Suite) -> Plan:
    """The plan of a suite with the suite's seed, or with a new one where it has none.

    The same suite and seed give the same plan.
    """
    seed = secrets.randbelow(2**31) if suite.sampling.seed is None else suite.sampling.seed
    cases = tuple(_case(use, given) for use in suite.uses for given in use.combinations())
    return Plan(
        suite=suite.name,
        suite_hash=suite.hash,
        baseline=suite.baseline,
        seed=seed,
        blocks=suite.sampling.blocks,
        time_budget=suite.sampling.time_budget,
        arms=suite.arms,
        cases=cases,
        trials=_trials(cases, suite.arms, suite.sampling.blocks, random.Random(seed)),
    )


def _case(use: Use, given: Mapping[str, Scalar]) -> Case:
    label = " ".join([use.workload.name, *(f"{name}={value}" for name, value in given.items())])
    return Case(use.workload, use.workload.resolve(given), label, use.limit)


def _trials(cases: tuple[Case, ...], arms: tuple[Arm, ...], blocks: int, order: random.Random) -> tuple[Trial, ...]:
    trials: list[Trial] = []
    for block in range(1, blocks + 1):
        before = len(trials)
        for case in order.sample(cases, len(cases)):
            for arm in order.sample(arms, len(arms)):
                number = len(trials) + 1
                trials.append(Trial(number, block, number - before, case, arm))
    return tuple(trials)


def _arm_data(arm: Arm) -> dict[str, Any]:
    return {
        "name": arm.name,
        "runtime": arm.runtime,
        "limits": asdict(arm.limits) | {"cpuset": list(arm.limits.cpuset)},
        "options": arm.options.model_dump(mode="json"),
    }


def _case_data(case: Case) -> dict[str, Any]:
    return {"workload": case.workload.name, "params": dict(case.params)}
