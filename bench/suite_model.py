"""What a suite is once its file is checked and resolved: arms, workloads with their parameters, limits, sampling."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.neighbours import Neighbour
from bench.regression import policy_data
from bench.sampling import Sampling
from bench.suite_file import TimeoutsFile
from results.history.policy import WATCH_ALL, Policy
from runtimes.base import START_TIMEOUT, STOP_TIMEOUT, Limits, Options
from workloads.document import dump_document
from workloads.fields import Scalar
from workloads.model import Workload
from workloads.origin import Origin
from workloads.units import format_bandwidth, format_duration, format_size


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an instance may take; a trial in which it takes longer has failed.

    Attributes:
        start: seconds from the request to READY.
        stop: seconds from the request to stop until it is gone.
    """

    start: float = START_TIMEOUT
    stop: float = STOP_TIMEOUT

    def overridden(self, file: TimeoutsFile) -> Timeouts:
        """The same where ``file`` says nothing else."""
        return Timeouts(file.start or self.start, file.stop or self.stop)


@dataclass(frozen=True, slots=True)
class Arm:
    """A configured runtime under comparison.

    Attributes:
        name: in the suite.
        runtime: the runtime's name.
        limits: what every instance of it may use.
        options: an instance of the runtime's ``options_model``.
        timeouts: how long every instance of it may take.
        limits_place: where the limits stand, ``FILE:LINE:COLUMN: limits``, or ``…: arms.NAME.limits`` where the arm has
            limits of its own.
    """

    name: str
    runtime: str
    limits: Limits
    options: Options
    timeouts: Timeouts = Timeouts()
    limits_place: str = field(default="limits", compare=False)


@dataclass(frozen=True, slots=True)
class Use:
    """One workload of a suite and the matrix of its parameters.

    Attributes:
        reference: how the suite refers to it: a name in the catalogue, or an absolute path.
        workload: the workload.
        params: the values of each parameter that the suite gives, in the order of the suite.
        limit: names of limits, and for each the metric that shows how much of it an instance was given.
        iterations: how often a trial executes the measured command; None for as often as the workload says.
        beside: neighbours, with each of which every combination is a case of its own, besides the one alone.
    """

    reference: str
    workload: Workload
    params: Mapping[str, tuple[Scalar, ...]]
    limit: Mapping[str, str] = field(default_factory=dict)
    iterations: int | None = None
    beside: tuple[Neighbour, ...] = ()

    def combinations(self) -> Iterator[dict[str, Scalar]]:
        """Every combination of the values that the suite gives, the last parameter varying fastest."""
        for values in itertools.product(*self.params.values()):
            yield dict(zip(self.params, values, strict=True))

    def cases(self) -> Iterator[tuple[dict[str, Scalar], Neighbour | None]]:
        """Every combination, alone and then with each of the neighbours."""
        for given in self.combinations():
            for neighbour in (None, *self.beside):
                yield given, neighbour


@dataclass(frozen=True, slots=True)
class Suite:
    """A whole suite, checked and resolved.

    Attributes:
        name: of the suite.
        description: what it is for, in a sentence.
        baseline: name of the arm that the others are divided by.
        limits: of every arm that does not override them.
        timeouts: likewise.
        arms: in the order of the file.
        uses: the workloads, in the order of the file.
        sampling: how much is measured.
        regress: what is watched over many runs.
        origin: of the root file system that every arm runs; None for one that is built from Debian's packages.
    """

    name: str
    description: str
    baseline: str
    limits: Limits
    arms: tuple[Arm, ...]
    uses: tuple[Use, ...]
    sampling: Sampling
    timeouts: Timeouts = Timeouts()
    regress: Policy = WATCH_ALL
    origin: Origin | None = None

    @property
    def definitions(self) -> dict[str, Workload]:
        """The workloads by name."""
        return {use.workload.name: use.workload for use in self.uses}

    @property
    def hash(self) -> str:
        """SHA-256 of all that decides what is measured, hexadecimal.

        That is the baseline, the arms with limits and options, and the cases with the definition of their workloads;
        not the order they stand in, not how often they are measured, not when a trial is given up, not what is watched
        over time, not where an image is from (runs have its id besides), and no text that is only for reading.
        """
        reading = {"description", "source", "tags", "quick"}
        cases = [
            [
                use.workload.model_dump(mode="json", exclude=reading, exclude_defaults=True),
                use.workload.resolve(params),
                *([dict(use.limit)] if use.limit else []),
                *([{"iterations": use.iterations}] if use.iterations is not None else []),
                *([_neighbour_content(neighbour, reading)] if neighbour is not None else []),
            ]
            for use in self.uses
            for params, neighbour in use.cases()
        ]
        arms = {arm.name: [arm.runtime, asdict(arm.limits), arm.options.model_dump(mode="json")] for arm in self.arms}
        content = [self.baseline, arms, sorted(json.dumps(case, sort_keys=True) for case in cases)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def place(self, arm: str) -> str:
        """Where the limits that hold for an arm stand, for a message about them: ``FILE:LINE:COLUMN: limits``.

        Raises:
            KeyError: the suite has no such arm.
        """
        return {each.name: each.limits_place for each in self.arms}[arm]

    def as_data(self) -> dict[str, Any]:
        """The suite as plain data in the form of a suite file."""
        arms = {arm.name: _arm_data(arm, self) for arm in self.arms}
        timeouts = _timeouts_data(self.timeouts, Timeouts())
        return {
            "name": self.name,
            "description": self.description,
            "baseline": self.baseline,
            **({"image": self.origin.as_data()} if self.origin else {}),
            "limits": limits_data(self.limits),
            **({"timeouts": timeouts} if timeouts else {}),
            "arms": arms,
            "workloads": [_use_data(use) for use in self.uses],
            "sampling": self.sampling.as_data(),
            **({"regress": policy_data(self.regress)} if self.regress != WATCH_ALL else {}),
        }

    def as_yaml(self) -> str:
        """The suite as the text of a file that :func:`load_suite` reads back as the same suite."""
        return dump_document(self.as_data())


def _neighbour_content(neighbour: Neighbour, reading: set[str]) -> dict[str, Any]:
    return {
        "workload": neighbour.workload.model_dump(mode="json", exclude=reading, exclude_defaults=True),
        "params": neighbour.workload.resolve(neighbour.params),
        "arm": neighbour.arm,
        "cpus": neighbour.cpus,
    }


def limits_data(limits: Limits) -> dict[str, Any]:
    """Limits as plain data in the form of a suite file, without those that are not set."""
    cpus = int(limits.cpus) if limits.cpus.is_integer() else limits.cpus
    data: dict[str, Any] = {"cpus": cpus, "memory": format_size(limits.memory)}
    if limits.cpuset:
        data["cpuset"] = list(limits.cpuset)
    if limits.memory_swap:
        data["memory_swap"] = format_size(limits.memory_swap)
    data |= {key: value for key in ("cpu_weight", "pids") if (value := getattr(limits, key)) is not None}
    io = {key: value for key, value in asdict(limits.io).items() if value is not None}
    if io:
        data["io"] = {key: format_size(value) if key.endswith("_bytes") else value for key, value in io.items()}
    net = {key: format_bandwidth(value) for key, value in asdict(limits.net).items() if value is not None}
    return data | ({"net": net} if net else {})


def _timeouts_data(timeouts: Timeouts, common: Timeouts) -> dict[str, str]:
    given = asdict(common)
    return {key: format_duration(value) for key, value in asdict(timeouts).items() if value != given[key]}


def _arm_data(arm: Arm, suite: Suite) -> dict[str, Any]:
    data: dict[str, Any] = {"runtime": arm.runtime}
    if arm.limits != suite.limits:
        # An arm without a limit that the suite has must say so.
        lifted = dict.fromkeys(limits_data(suite.limits))
        data["limits"] = lifted | limits_data(arm.limits)
    timeouts = _timeouts_data(arm.timeouts, suite.timeouts)
    if timeouts:
        data["timeouts"] = timeouts
    return data | arm.options.model_dump(mode="json", exclude_unset=True)


def _use_data(use: Use) -> str | dict[str, Any]:
    if not use.params and not use.limit and not use.beside and use.iterations is None:
        return use.reference
    params = {name: values[0] if len(values) == 1 else list(values) for name, values in use.params.items()}
    data: dict[str, Any] = {"workload": use.reference}
    data |= ({"params": params} if params else {}) | ({"limit": dict(use.limit)} if use.limit else {})
    data |= {"iterations": use.iterations} if use.iterations is not None else {}
    return data | ({"beside": [each.as_data() for each in use.beside]} if use.beside else {})
