"""Plans: every trial that a run may have, in the order of execution, known before anything starts.

The order is that of randomised complete blocks: a block goes through all cases in random order, and through all arms,
in random order again, for each case before the next. So every block holds every case in every arm exactly once, trials
of one case in different arms are neighbours in time, and slow drift of the host falls on all arms alike. The order of a
block depends on the seed and the block's number alone, so that it is the same however many blocks there are.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

from bench.neighbours import Neighbour
from bench.sampling import Sampling
from bench.suite_model import Arm, Suite, Use
from results.records import BESIDE
from workloads.fields import Scalar
from workloads.files import CarriedFile
from workloads.model import ColdLayer, Workload
from workloads.origin import Imported, Need, Origin
from workloads.several import Crowd


@dataclass(frozen=True, slots=True)
class Case:
    """One workload with one value for each parameter.

    Attributes:
        workload: the workload.
        params: every parameter, defaults included.
        label: the workload's name and the parameters that the suite gives, for reading.
        limit: names of limits, and for each the metric that shows how much of it an instance was given.
        iterations: how often a trial executes the measured command.
        beside: what another instance runs meanwhile, or None where it is alone.
    """

    workload: Workload = field(hash=False)
    params: Mapping[str, Scalar] = field(hash=False)
    label: str
    limit: Mapping[str, str] = field(default_factory=dict, hash=False)
    iterations: int = 1
    beside: Neighbour | None = None

    @property
    def shown_params(self) -> dict[str, Scalar]:
        """The parameters, and who is beside: what sets the case apart from others of its workload."""
        return {**self.params, **({} if self.beside is None else {BESIDE: self.beside.identity})}

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """All that is run in a trial."""
        return (self.workload,) if self.beside is None else (self.workload, self.beside.workload)

    @property
    def neighbour(self) -> Case | None:
        """What the neighbour runs, as a case of its own."""
        if self.beside is None:
            return None
        workload = self.beside.workload
        return Case(workload, workload.resolve(self.beside.params), self.beside.identity)

    @property
    def instances(self) -> int | None:
        """How many instances a trial starts at once, or None for the usual one."""
        return self.workload.instances_at_once(self.params)

    @property
    def crowd(self) -> Crowd | None:
        """The instances that a trial starts one after the other, or None for the usual one."""
        return self.workload.crowd(self.params)

    @property
    def cold(self) -> ColdLayer | None:
        """What is not in the page cache when a trial's instance starts, or None for the usual start."""
        return self.workload.cold_layer(self.params)

    @property
    def measured_seconds(self) -> float | None:
        """How long a trial measures, where the workload is limited by time; None where its work is given."""
        seconds = self.workload.measured_seconds(self.params)
        return None if seconds is None else seconds * self.iterations

    @property
    def scratch(self) -> int | None:
        """Bytes of the scratch disk that a trial needs, or None if it needs none."""
        return self.workload.scratch_bytes(self.params)

    @property
    def scratch_in_all(self) -> int | None:
        """The same with that of the neighbour."""
        sizes = [case.scratch for case in (self, self.neighbour) if case is not None and case.scratch is not None]
        return sum(sizes) if sizes else None


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
    """All trials that a run may have.

    Attributes:
        suite: name of the suite.
        suite_hash: what is measured, see :attr:`bench.suite_model.Suite.hash`.
        baseline: name of the arm that the others are divided by.
        seed: of the order.
        sampling: how many blocks there are, and when there are enough.
        arms: in the order of the suite.
        cases: in the order of the suite.
        left_out: arms of the suite that this host lacks the runtime of, and why.
        origin: of the image's root file system, where it is imported.
    """

    suite: str
    suite_hash: str
    baseline: str
    seed: int
    sampling: Sampling
    arms: tuple[Arm, ...]
    cases: tuple[Case, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    origin: Origin | None = None

    @property
    def trials_a_block(self) -> int:
        """How many trials every block has."""
        return len(self.cases) * len(self.arms)

    def block(self, number: int) -> tuple[Trial, ...]:
        """The trials of one block, from 1, in the order of execution."""
        order = random.Random(f"{self.seed}/{number}")
        pairs = [
            (case, arm)
            for case in order.sample(self.cases, len(self.cases))
            for arm in order.sample(self.arms, len(self.arms))
        ]
        before = (number - 1) * self.trials_a_block
        return tuple(
            Trial(before + position, number, position, case, arm) for position, (case, arm) in enumerate(pairs, start=1)
        )

    def trials(self) -> Iterator[Trial]:
        """The trials of all blocks that there may be, in the order of execution."""
        return chain.from_iterable(map(self.block, range(1, self.sampling.max_blocks + 1)))

    def packages(self) -> tuple[str, ...]:
        """The Debian packages that the image needs for all cases and arms, each once, in alphabetical order."""
        wanted = {package for case in self.cases for workload in case.workloads for package in workload.packages}
        return tuple(sorted(wanted.union(*(arm.options.packages for arm in self.arms))))

    def imported(self) -> Imported | None:
        """What every arm runs in place of Debian's packages, and what all cases and arms need of it."""
        if self.origin is None:
            return None
        workloads = {workload.name: workload for case in self.cases for workload in case.workloads}
        needs = [_need(workload) for workload in workloads.values()]
        needs += [Need(f"arm {arm.name}", systemd=True) for arm in self.arms if arm.options.needs_systemd]
        return Imported(self.origin, tuple(needs))

    def kernels(self) -> tuple[str, ...]:
        """The kernels that arms need besides the image's own, each once, in alphabetical order."""
        return tuple(sorted({kernel for arm in self.arms for kernel in arm.options.kernels}))

    def files(self) -> dict[str, CarriedFile]:
        """The files that the image carries for all cases, by ``WORKLOAD/NAME``."""
        workloads = [workload for case in self.cases for workload in case.workloads]
        return {f"{workload.name}/{file.name}": file for workload in workloads for file in workload.files}

    def measured_seconds(self) -> float:
        """Seconds that the workloads limited by time measure in every block: the block takes longer than that."""
        return sum(case.measured_seconds or 0.0 for case in self.cases) * len(self.arms)

    def describe(self) -> dict[str, Any]:
        """The plan as plain data, for ``bench run --dry-run``."""
        return {
            "suite": self.suite,
            "suite_hash": self.suite_hash,
            "baseline": self.baseline,
            "seed": self.seed,
            "sampling": {key: value for key, value in asdict(self.sampling).items() if key != "seed"},
            "measured_seconds_a_block": self.measured_seconds(),
            "image": None if self.origin is None else self.origin.as_data(),
            "packages": list(self.packages()),
            "kernels": list(self.kernels()),
            "files": sorted(self.files()),
            "arms": [_arm_data(arm) for arm in self.arms],
            "cases": [
                _case_data(case) | {"iterations": case.iterations, "scratch": case.scratch_in_all}
                for case in self.cases
            ],
            "trials": [
                {"trial": trial.number, "block": trial.block, "position": trial.position, "arm": trial.arm.name}
                | _case_data(trial.case)
                for trial in self.trials()
            ],
        }


def make_plan(suite: Suite) -> Plan:
    """The plan of a suite with the suite's seed, or with a new one where it has none.

    The same cases, arms and seed give the same plan.
    """
    seed = secrets.randbelow(2**31) if suite.sampling.seed is None else suite.sampling.seed
    cases = tuple(_case(use, given, beside) for use in suite.uses for given, beside in use.cases())
    return Plan(
        suite=suite.name,
        suite_hash=suite.hash,
        baseline=suite.baseline,
        seed=seed,
        sampling=suite.sampling,
        arms=suite.arms,
        cases=cases,
        origin=suite.origin,
    )


def _need(workload: Workload) -> Need:
    programs, all_known = workload.programs()
    return Need(f"workload {workload.name}", workload.packages, programs, all_known)


def _case(use: Use, given: Mapping[str, Scalar], beside: Neighbour | None) -> Case:
    shown = {**given, **({} if beside is None else {BESIDE: beside.identity})}
    label = " ".join([use.workload.name, *(f"{name}={value}" for name, value in shown.items())])
    iterations = use.workload.iterations if use.iterations is None else use.iterations
    return Case(use.workload, use.workload.resolve(given), label, use.limit, iterations, beside)


def _arm_data(arm: Arm) -> dict[str, Any]:
    return {
        "name": arm.name,
        "runtime": arm.runtime,
        "limits": asdict(arm.limits) | {"cpuset": list(arm.limits.cpuset)},
        "options": arm.options.model_dump(mode="json"),
    }


def _case_data(case: Case) -> dict[str, Any]:
    return {"workload": case.workload.name, "params": case.shown_params}
