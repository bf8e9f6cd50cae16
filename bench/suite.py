"""Suites: what is to be measured in which arms, read from a file, checked as a whole, and resolved.

    suite = load_suite("quick", blocks=10)

Everything that can be wrong with the file is found here, before anything starts, and said with file, line and column.
What the host cannot give is not looked at here.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.asked_limits import check_limit
from bench.suite_file import ArmFile, LimitsFile, LimitsOverride, SuiteFile, TimeoutsFile, UseFile
from runtimes.base import START_TIMEOUT, STOP_TIMEOUT, IoLimits, Limits, NetLimits, Options
from workloads.document import Document, InvalidValue, Location, Problem, check, dump_document, invalid, read_document
from workloads.errors import InvalidInput, expected
from workloads.fields import Scalar
from workloads.loader import is_path, load_workload
from workloads.model import Workload
from workloads.units import format_bandwidth, format_duration, format_size

SUITES = Path(__file__).parent / "suites"
"""The shipped suites, one YAML file each, named like the suite."""

MAX_CASES = 1000
"""The most cases that a matrix may expand to: more is a slip, since every case costs a trial in every arm and block."""


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
    """

    reference: str
    workload: Workload
    params: Mapping[str, tuple[Scalar, ...]]
    limit: Mapping[str, str] = field(default_factory=dict)

    def combinations(self) -> Iterator[dict[str, Scalar]]:
        """Every combination of the values that the suite gives, the last parameter varying fastest."""
        for values in itertools.product(*self.params.values()):
            yield dict(zip(self.params, values, strict=True))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How much is measured.

    Attributes:
        blocks: rounds over all cases and arms.
        seed: of the random order, or None for a new one in every run.
        time_budget: seconds; no block is begun after them. None for no limit.
    """

    blocks: int
    seed: int | None
    time_budget: float | None


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
    """

    name: str
    description: str
    baseline: str
    limits: Limits
    arms: tuple[Arm, ...]
    uses: tuple[Use, ...]
    sampling: Sampling
    timeouts: Timeouts = Timeouts()

    @property
    def definitions(self) -> dict[str, Workload]:
        """The workloads by name."""
        return {use.workload.name: use.workload for use in self.uses}

    @property
    def hash(self) -> str:
        """SHA-256 of all that decides what is measured, hexadecimal.

        That is the baseline, the arms with limits and options, and the cases with the definition of their workloads;
        not the order they stand in, not how often they are measured, not when a trial is given up, and no text that is
        only for reading.
        """
        reading = {"description", "source", "tags", "quick"}
        cases = [
            [
                use.workload.model_dump(mode="json", exclude=reading, exclude_defaults=True),
                use.workload.resolve(params),
                *([dict(use.limit)] if use.limit else []),
            ]
            for use in self.uses
            for params in use.combinations()
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
        sampling: dict[str, Any] = {"blocks": self.sampling.blocks}
        if self.sampling.seed is not None:
            sampling["seed"] = self.sampling.seed
        if self.sampling.time_budget is not None:
            sampling["time_budget"] = format_duration(self.sampling.time_budget)
        return {
            "name": self.name,
            "description": self.description,
            "baseline": self.baseline,
            "limits": limits_data(self.limits),
            **({"timeouts": timeouts} if timeouts else {}),
            "arms": arms,
            "workloads": [_use_data(use) for use in self.uses],
            "sampling": sampling,
        }

    def as_yaml(self) -> str:
        """The suite as the text of a file that :func:`load_suite` reads back as the same suite."""
        return dump_document(self.as_data())


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
    if not use.params and not use.limit:
        return use.reference
    params = {name: values[0] if len(values) == 1 else list(values) for name, values in use.params.items()}
    data: dict[str, Any] = {"workload": use.reference}
    return data | ({"params": params} if params else {}) | ({"limit": dict(use.limit)} if use.limit else {})


def shipped_suites() -> tuple[str, ...]:
    """The names of the shipped suites, in alphabetical order."""
    return tuple(sorted(path.stem for path in SUITES.glob("*.yaml")))


def registered_options_model(runtime: str) -> type[Options]:
    """The options model of a registered runtime."""
    from runtimes.registry import load_runtime

    return load_runtime(runtime).options_model


def registered_runtimes() -> tuple[str, ...]:
    """The names of the registered runtimes."""
    from runtimes.registry import RUNTIMES

    return tuple(RUNTIMES)


def load_suite(
    reference: str,
    *,
    blocks: int | None = None,
    seed: int | None = None,
    arms: Sequence[str] = (),
    workloads: Sequence[str] = (),
    connect: str | None = None,
    options_model_for: Callable[[str], type[Options]] = registered_options_model,
    runtime_names: Sequence[str] | None = None,
) -> Suite:
    """Load a suite and check it.

    Args:
        reference: name of a shipped suite, or a path: with a ``/`` in it, or ending in ``.yaml``.
        blocks: instead of the suite's own number.
        seed: instead of the suite's own.
        arms: names of the only arms to keep; the baseline is always kept. Empty for all.
        workloads: names of the only workloads to keep. Empty for all.
        connect: instead of what arms whose runtime has the option ``connect`` say.
        options_model_for: the options model of a runtime.
        runtime_names: the runtimes that there are; without it, those that are registered.

    Raises:
        InvalidInput: there is no such suite, its file is wrong (one line for each mistake), or an override is.
    """
    if is_path(reference):
        path = Path(reference)
    elif reference in shipped_suites():
        path = SUITES / f"{reference}.yaml"
    else:
        raise InvalidInput(
            f"unknown suite '{reference}'; {expected(reference, shipped_suites())}, or the path of a file"
        )
    names = registered_runtimes() if runtime_names is None else runtime_names
    suite = _Resolver(read_document(path), path.parent, names, options_model_for).suite()
    suite = _override(suite, blocks, seed, arms, workloads)
    return suite if connect is None else replace(suite, arms=tuple(_connected(arm, connect) for arm in suite.arms))


def _override(
    suite: Suite, blocks: int | None, seed: int | None, arms: Sequence[str], workloads: Sequence[str]
) -> Suite:
    if blocks is not None and blocks < 1:
        raise InvalidInput(f"expected at least 1 block, got {blocks}")
    if seed is not None and seed < 0:
        raise InvalidInput(f"expected a seed of at least 0, got {seed}")
    for what, asked, known in (
        ("arm", arms, [arm.name for arm in suite.arms]),
        ("workload", workloads, list(suite.definitions)),
    ):
        for name in asked:
            if name not in known:
                raise InvalidInput(f"unknown {what} '{name}' in suite {suite.name}; {expected(name, known)}")
    return replace(
        suite,
        arms=tuple(arm for arm in suite.arms if not arms or arm.name in (*arms, suite.baseline)),
        uses=tuple(use for use in suite.uses if not workloads or use.workload.name in workloads),
        sampling=replace(
            suite.sampling,
            blocks=suite.sampling.blocks if blocks is None else blocks,
            seed=suite.sampling.seed if seed is None else seed,
        ),
    )


def _connected(arm: Arm, connect: str) -> Arm:
    """The arm with another connection, if it is one that has any."""
    model = type(arm.options)
    if "connect" not in model.model_fields:
        return arm
    try:
        options = model.model_validate(arm.options.model_dump(exclude_unset=True) | {"connect": connect})
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"--connect: '{connect}': {problem}") from error
    return replace(arm, options=options)


class _Resolver:
    """Makes a suite of a document, collecting all that is wrong with it."""

    def __init__(
        self,
        document: Document,
        directory: Path,
        runtime_names: Sequence[str],
        options_model_for: Callable[[str], type[Options]],
    ) -> None:
        self._document = document
        self._directory = directory
        self._runtime_names = runtime_names
        self._options_model_for = options_model_for
        self._problems: list[Problem] = []

    def suite(self) -> Suite:
        file, problems = check(self._document, SuiteFile)
        if file is None:
            raise invalid(problems)
        if file.baseline not in file.arms:
            self._problem(("baseline",), f"no arm '{file.baseline}'; {expected(file.baseline, file.arms)}")
        limits = self._limits(file.limits, LimitsOverride(), ("limits",))
        arms = [self._arm(name, arm, file) for name, arm in file.arms.items()]
        uses = [self._use(index, use) for index, use in enumerate(file.workloads)]
        kept = [use for use in uses if use is not None]
        for arm in arms:
            self._check_network(arm, kept)
        if None not in arms:
            self._check_limits(uses, [arm.limits for arm in arms if arm is not None])
        if not self._problems:
            self._check_cases(kept)
        if self._problems:
            raise invalid(self._problems)
        return Suite(
            name=file.name,
            description=file.description,
            baseline=file.baseline,
            limits=limits,
            arms=tuple(arm for arm in arms if arm is not None),
            uses=tuple(kept),
            sampling=Sampling(file.sampling.blocks, file.sampling.seed, file.sampling.time_budget),
            timeouts=Timeouts().overridden(file.timeouts),
        )

    def _problem(self, location: Location, message: str, *, at_key: bool = False) -> None:
        self._problems.append(self._document.problem(location, message, at_key=at_key))

    def _limits(self, common: LimitsFile, override: LimitsOverride, location: Location) -> Limits:
        given = override.given()
        limits = common.model_copy(update=given)
        own = location == ("limits",) or {"cpus", "cpuset"} & given.keys()
        if own and limits.cpuset and len(limits.cpuset) < math.ceil(limits.cpus):
            self._problem(location, f"{limits.cpus:g} CPUs do not fit into a cpuset of {len(limits.cpuset)}")
        values = limits.model_dump()
        return Limits(**values | {"io": IoLimits(**values["io"]), "net": NetLimits(**values["net"])})

    def _arm(self, name: str, arm: ArmFile, suite: SuiteFile) -> Arm | None:
        location: Location = ("arms", name)
        own: Location = (*location, "limits")
        limits = self._limits(suite.limits, arm.limits, own)
        if arm.runtime not in self._runtime_names:
            message = f"unknown runtime '{arm.runtime}'; {expected(arm.runtime, self._runtime_names)}"
            self._problem((*location, "runtime"), message)
            return None
        model = self._options_model_for(arm.runtime)
        options, problems = check(self._document, model, location, also=("runtime", "limits", "timeouts"))
        self._problems += problems
        if options is None:
            return None
        place = self._document.place(own if arm.limits.model_fields_set else ("limits",))
        timeouts = Timeouts().overridden(suite.timeouts).overridden(arm.timeouts)
        return Arm(name, arm.runtime, limits, options, timeouts, place)

    def _check_network(self, arm: Arm | None, uses: Sequence[Use]) -> None:
        """An arm without a network has no workload whose client stands outside it."""
        if arm is None or getattr(arm.options, "network", None) != "none":
            return
        outside = dict.fromkeys(use.workload.name for use in uses if use.workload.client == "peer")
        if outside:
            message = f"'none': {', '.join(outside)}: the client is outside the instance; expected a network"
            self._problem(("arms", arm.name, "network"), message)

    def _use(self, index: int, use: UseFile) -> Use | None:
        location: Location = ("workloads", index)
        named: Location = (*location, "workload") if isinstance(self._document.at(location), dict) else location
        try:
            workload = load_workload(use.workload, self._directory)
        except InvalidInput as error:
            for line in str(error).splitlines():
                self._problem(named, line)
            return None
        for name, values in use.params.items():
            for position, value in enumerate(values):
                try:
                    workload.resolve({name: value})
                except InvalidValue as error:
                    inside = (position,) if isinstance(self._document.at((*location, "params", name)), list) else ()
                    self._problem((*location, "params", name, *inside), str(error), at_key=error.at_key)
        reference = str((self._directory / use.workload).resolve()) if is_path(use.workload) else use.workload
        return Use(reference, workload, use.params, use.limit)

    def _check_limits(self, uses: Sequence[Use | None], arms: Sequence[Limits]) -> None:
        """What is to be measured of the limits can be."""
        for index, use in enumerate(uses):
            if use is None:
                continue
            for name, metric in use.limit.items():
                try:
                    check_limit(name, metric, use.workload, arms)
                except InvalidValue as error:
                    self._problem(("workloads", index, "limit", name), str(error), at_key=error.at_key)

    def _check_cases(self, uses: list[Use]) -> None:
        """Every case stands in the suite once, and one name means one workload."""
        number = sum(math.prod(len(values) for values in use.params.values()) for use in uses)
        if number > MAX_CASES:
            self._problem(("workloads",), f"the parameters expand to {number} cases; at most {MAX_CASES} are possible")
            return
        seen: dict[str, int] = {}
        references: dict[str, str] = {}
        for index, use in enumerate(uses):
            name = use.workload.name
            if references.setdefault(name, use.reference) != use.reference:
                self._problem(("workloads", index), f"another workload of the suite is named '{name}' too")
            for params in use.combinations():
                case = json.dumps([name, use.workload.resolve(params)], sort_keys=True)
                if case in seen:
                    message = f"the same case of {name} stands in the suite already, as workloads[{seen[case]}]"
                    self._problem(("workloads", index), message)
                    break
                seen[case] = index
