"""From a suite's document to the suite: names are looked up, defaults put in, and all that is wrong is collected."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.asked_limits import check_limit
from bench.neighbours import SAME_ARM, Neighbour
from bench.regression import policy_of
from bench.sampling import Sampling
from bench.suite_file import (
    ArmFile,
    BesideFile,
    ImageFile,
    LimitsFile,
    LimitsOverride,
    SuiteFile,
    TaggedFile,
    UseFile,
)
from bench.suite_model import Arm, Suite, Timeouts, Use
from results.records import BESIDE
from runtimes.base import IoLimits, Limits, NetLimits, Options
from workloads.document import Document, InvalidValue, Location, Problem, check, invalid
from workloads.errors import InvalidInput, expected
from workloads.fields import Scalar
from workloads.loader import Catalogue
from workloads.model import Workload
from workloads.origin import Origin

MAX_CASES = 1000
"""The most cases that a matrix may expand to: more is a slip, since every case costs a trial in every arm and block."""


class _PlacedUse(NamedTuple):
    """A workload of the suite, and the number of the entry in the document's list that it comes from."""

    entry: int
    use: Use


class Resolver:
    """Makes a suite of a document, collecting all that is wrong with it."""

    def __init__(
        self,
        document: Document,
        directory: Path,
        catalogue: Catalogue,
        runtime_names: Sequence[str],
        options_model_for: Callable[[str], type[Options]],
    ) -> None:
        self._document = document
        self._directory = directory
        self._catalogue = catalogue
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
        placed = self._uses(file.workloads, file.arms)
        uses = [use for _, use in placed]
        for arm in arms:
            self._check_network(arm, uses)
        if None not in arms:
            self._check_limits(placed, [arm.limits for arm in arms if arm is not None])
        if not self._problems:
            self._check_cases(placed)
            if not placed:
                self._problem(("workloads",), "no workload is left once those after 'except' are left out")
        if self._problems:
            raise invalid(self._problems)
        return Suite(
            name=file.name,
            description=file.description,
            baseline=file.baseline,
            limits=limits,
            arms=tuple(arm for arm in arms if arm is not None),
            uses=tuple(uses),
            sampling=Sampling.of_file(file.sampling),
            regress=policy_of(file.regress),
            timeouts=Timeouts().overridden(file.timeouts),
            origin=self._origin(file.image),
        )

    def _problem(self, location: Location, message: str, *, at_key: bool = False) -> None:
        self._problems.append(self._document.problem(location, message, at_key=at_key))

    def _origin(self, image: ImageFile | None) -> Origin | None:
        """Where the root file system is; whether it is there, the image tells when it is made."""
        if image is None:
            return None
        kind, path, ref = image.given()
        return Origin(kind, (self._directory / path).resolve(), ref)

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
        beside = [each.workload for use in uses for each in use.beside if each.arm in (None, arm.name)]
        run = [*(use.workload for use in uses), *beside]
        outside = dict.fromkeys(workload.name for workload in run if workload.client == "peer")
        if outside:
            message = f"'none': {', '.join(outside)}: the client is outside the instance; expected a network"
            self._problem(("arms", arm.name, "network"), message)

    def _uses(self, entries: Sequence[UseFile | TaggedFile], arms: Collection[str]) -> list[_PlacedUse]:
        """What the entries stand for, in their order: a tag brings what no name and no earlier tag has brought."""
        placed: dict[int, list[Use]] = {}
        for index, entry in enumerate(entries):
            if isinstance(entry, UseFile):
                use = self._use(index, entry, arms)
                placed[index] = [] if use is None else [use]
        taken = {use.workload.name for uses in placed.values() for use in uses}
        for index, entry in enumerate(entries):
            if isinstance(entry, TaggedFile):
                placed[index] = self._tagged(index, entry, taken)
                taken |= {use.workload.name for use in placed[index]}
        return [_PlacedUse(index, use) for index, uses in sorted(placed.items()) for use in uses]

    def _tagged(self, index: int, entry: TaggedFile, taken: Collection[str]) -> list[Use]:
        location: Location = ("workloads", index)
        try:
            tagged = self._catalogue.tagged(entry.tag)
        except InvalidInput as error:
            for line in str(error).splitlines():
                self._problem((*location, "tag"), line)
            return []
        for position, name in enumerate(entry.leave_out):
            if name not in tagged:
                message = f"no workload '{name}' has the tag '{entry.tag}'; {expected(name, tagged)}"
                self._problem((*location, "except", position), message)
        left = [each for name, each in tagged.items() if name not in {*entry.leave_out, *taken}]
        known = dict.fromkeys(name for workload in left for name in workload.parameters)
        for name, values in entry.params.items():
            if name not in known:
                message = f"no workload that this tag brings has this parameter; {expected(name, known)}"
                self._problem((*location, "params", name), message, at_key=True)
            for workload in left:
                if name in workload.parameters:
                    self._check_values(location, workload, name, values, f"{workload.name}: ")
        return [
            Use(
                self._catalogue.lasting_reference(workload.name),
                workload,
                {name: values for name, values in entry.params.items() if name in workload.parameters},
            )
            for workload in left
        ]

    def _check_values(
        self, location: Location, workload: Workload, name: str, values: Sequence[Scalar], whose: str = ""
    ) -> None:
        """Check the values that an entry gives for a parameter."""
        for position, value in enumerate(values):
            try:
                workload.resolve({name: value})
            except InvalidValue as error:
                inside = (position,) if isinstance(self._document.at((*location, "params", name)), list) else ()
                self._problem((*location, "params", name, *inside), f"{whose}{error}", at_key=error.at_key)

    def _load(self, reference: str, location: Location) -> Workload | None:
        """The workload that stands at ``location``, or as ``workload`` in the mapping there."""
        named: Location = (*location, "workload") if isinstance(self._document.at(location), dict) else location
        try:
            return self._catalogue.load(reference, self._directory)
        except InvalidInput as error:
            for line in str(error).splitlines():
                self._problem(named, line)
            return None

    def _use(self, index: int, use: UseFile, arms: Collection[str]) -> Use | None:
        location: Location = ("workloads", index)
        workload = self._load(use.workload, location)
        if workload is None:
            return None
        for name, values in use.params.items():
            self._check_values(location, workload, name, values)
        if use.iterations is not None and workload.run is None:
            message = f"{workload.name} runs no command that could be repeated"
            self._problem((*location, "iterations"), message, at_key=True)
        reference = self._catalogue.lasting_reference(use.workload, self._directory)
        beside = self._neighbours(location, workload, use.beside, arms)
        return Use(reference, workload, use.params, use.limit, use.iterations, beside)

    def _neighbours(
        self, location: Location, victim: Workload, entries: Sequence[BesideFile], arms: Collection[str]
    ) -> tuple[Neighbour, ...]:
        """Who runs beside ``victim``."""
        place: Location = (*location, BESIDE)
        if entries and victim.run is None:
            self._problem(place, f"{victim.name} runs nothing, so there is nothing to disturb", at_key=True)
        if entries and BESIDE in victim.parameters:
            self._problem(place, f"{victim.name} has a parameter of this name already", at_key=True)
        found: dict[str, Neighbour] = {}
        for index, entry in enumerate(entries):
            neighbour = self._neighbour((*place, index), entry, arms)
            if neighbour is None:
                continue
            if neighbour.identity in found:
                self._problem((*place, index), f"the neighbour {neighbour.identity} stands in the list already")
            found[neighbour.identity] = neighbour
        return tuple(found.values())

    def _neighbour(self, location: Location, entry: BesideFile, arms: Collection[str]) -> Neighbour | None:
        workload = self._load(entry.workload, location)
        if workload is None:
            return None
        if workload.run is None:
            self._problem(location, f"{workload.name} runs nothing, so it disturbs nobody")
        for name, value in entry.params.items():
            self._check_values(location, workload, name, (value,))
        if entry.arm != SAME_ARM and entry.arm not in arms:
            known = [SAME_ARM, *arms]
            self._problem((*location, "arm"), f"no arm '{entry.arm}'; {expected(entry.arm, known)}")
        return Neighbour(
            reference=self._catalogue.lasting_reference(entry.workload, self._directory),
            workload=workload,
            params=entry.params,
            arm=None if entry.arm == SAME_ARM else entry.arm,
            cpus=entry.cpus,
        )

    def _check_limits(self, placed: Sequence[_PlacedUse], arms: Sequence[Limits]) -> None:
        """What is to be measured of the limits can be."""
        for entry, use in placed:
            for name, metric in use.limit.items():
                try:
                    check_limit(name, metric, use.workload, arms)
                except InvalidValue as error:
                    self._problem(("workloads", entry, "limit", name), str(error), at_key=error.at_key)

    def _check_cases(self, placed: Sequence[_PlacedUse]) -> None:
        """Every case stands in the suite once, and one name means one workload."""
        number = sum(
            math.prod(len(values) for values in use.params.values()) * (1 + len(use.beside)) for _, use in placed
        )
        if number > MAX_CASES:
            self._problem(("workloads",), f"the parameters expand to {number} cases; at most {MAX_CASES} are possible")
            return
        seen: dict[str, int] = {}
        references: dict[str, str] = {}
        for entry, use in placed:
            name = use.workload.name
            run = [(use.workload, use.reference), *((each.workload, each.reference) for each in use.beside)]
            for workload, reference in run:
                if references.setdefault(workload.name, reference) != reference:
                    message = f"another workload of the suite is named '{workload.name}' too"
                    self._problem(("workloads", entry), message)
            for params in use.combinations():
                case = json.dumps([name, use.workload.resolve(params)], sort_keys=True)
                if case in seen:
                    message = f"the same case of {name} stands in the suite already, as workloads[{seen[case]}]"
                    self._problem(("workloads", entry), message)
                    break
                seen[case] = entry
