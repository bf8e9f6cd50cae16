"""Series: one metric of one arm in one workload case, a point a run.

Points are joined only where everything is alike that a figure depends on: suite and its hash, image, host fingerprint
and accelerator. Who wants to see across a change of one of them says so by ``joined``.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from results.checks import UNIT as CHECK
from results.history.samples import Case, Samples, StoredMetric, medians
from results.limits import is_limit
from results.records import INSTANCE_METRICS, Accel, Acknowledgement, RunRecord, is_part, is_step
from results.selection import EVERYTHING, Selection, case_name
from results.trials import WorkloadCase, choose_reference, natural

if TYPE_CHECKING:
    from results.store import Store

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

Joinable = Literal["suite_hash", "image", "host_fingerprint"]
JOINABLE: tuple[Joinable, ...] = ("suite_hash", "image", "host_fingerprint")


@dataclass(frozen=True, slots=True)
class Lineage:
    """What runs must have in common for points of theirs to be of one series.

    Attributes:
        suite: name of the suite.
        suite_hash: of the suite as run.
        image: id of the image.
        host_fingerprint: of the host.
    """

    suite: str
    suite_hash: str
    image: str
    host_fingerprint: str

    @classmethod
    def of(cls, run: RunRecord | Acknowledgement) -> Lineage:
        """That of a run, or of the runs in which a change is acknowledged."""
        return cls(run.suite, run.suite_hash, run.image, run.host_fingerprint)

    def has(self, run: RunRecord, joined: Collection[Joinable] = ()) -> bool:
        """Whether a run is of it, or would be if it did not differ in what is joined."""
        return all(name in joined or getattr(run, name) == getattr(self, name) for name in ("suite", *JOINABLE))


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What the points of a series have in common, beside suite, image and host.

    Attributes:
        suite: name of the suite.
        workload: name of the workload.
        params: its parameters as one string.
        arm: name of the arm.
        accel: what executed the arm's instructions; ``tcg`` is never joined with anything else.
        metric: name of the metric.
    """

    suite: str
    workload: str
    params: str
    arm: str
    accel: Accel
    metric: str

    @property
    def case(self) -> str:
        """The workload and its parameters, for a reader."""
        return case_name(self.workload, self.params)

    @property
    def title(self) -> str:
        """The whole of it in a line, for a reader."""
        emulated = " (emulated)" if self.accel == "tcg" else ""
        return f"{self.arm}{emulated} · {self.case} · {self.metric}"


@dataclass(frozen=True)
class Series:
    """One metric over time.

    Attributes:
        key: whose.
        unit: of the values.
        better: ``lower``, ``higher`` or ``neutral``.
        primary: whether the workload names the metric as what it measures foremost.
        runs: a point each, the earliest first.
        values: the median over the trials of each run.
        trials: the values of every run's trials, one array a run.
    """

    key: SeriesKey
    unit: str
    better: str
    primary: bool
    runs: tuple[RunRecord, ...]
    values: Floats
    trials: tuple[Floats, ...]

    def quartiles(self, index: int) -> tuple[float, float]:
        """Lower and upper quartile of a run's trials."""
        low, high = np.quantile(self.trials[index], (0.25, 0.75))
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which series.

    Attributes:
        selection: by their names.
        parts: also parts of metrics, and what instances have in other cases than the one that stands for them.
    """

    selection: Selection = EVERYTHING
    parts: bool = False

    def has(self, metric: StoredMetric) -> bool:
        """Whether series of a metric are wanted; one that is named need not be a whole."""
        patterns = self.selection.metrics
        if patterns:
            return any(fnmatchcase(metric.name, pattern) for pattern in patterns)
        return self.parts or metric.primary or not is_part(metric.name)


def alike(runs: Sequence[RunRecord], anchor: RunRecord, joined: Collection[Joinable] = ()) -> list[RunRecord]:
    """The complete runs that make one history with ``anchor``, up to it, the earliest first.

    Args:
        runs: of the store.
        anchor: the last of them.
        joined: in what they may differ.
    """
    lineage = Lineage.of(anchor)
    found = [
        run
        for run in runs
        if run.id == anchor.id
        or (
            run.status == "complete"
            and (run.started, run.id) < (anchor.started, anchor.id)
            and lineage.has(run, joined)
        )
    ]
    return sorted(found, key=lambda run: (run.started, run.id))


def series_of(store: Store, runs: Sequence[RunRecord], wanted: Wanted | None = None) -> list[Series]:
    """The series that runs have, by workload case, metric and arm.

    Checks, limits and the steps of a trial have none. What an instance has before any workload touches it is told of
    the one case that stands for it, as in a comparison.

    Args:
        store: open.
        runs: of the store, the earliest first: those of :func:`alike`.
        wanted: which.

    Raises:
        StoreError: the store cannot be read.
    """
    wanted = wanted or Wanted()
    if not runs:
        return []
    metrics = [
        metric
        for metric in store.metrics()
        if metric.unit != CHECK and not is_limit(metric.name) and not is_step(metric.name) and wanted.has(metric)
    ]
    trials = store.case_trials([run.id for run in runs])
    arms: dict[WorkloadCase, set[str]] = {}
    for workload, params, arm, _ in (each.case for each in trials):
        arms.setdefault((workload, params), set()).add(arm)
    reference = choose_reference({case: len(names) for case, names in arms.items()})
    suite = runs[-1].suite

    def has(case: Case, metric: StoredMetric) -> bool:
        is_repeat = metric.name in INSTANCE_METRICS and case[:2] != reference
        return (wanted.parts or not is_repeat) and wanted.selection.keeps(SeriesKey(suite, *case, metric.name))

    # What is not wanted is not read.
    asked = [(each, [metric.id for metric in metrics if has(each.case, metric)]) for each in trials]
    found = _grouped(store.samples([(each, those) for each, those in asked if those]), metrics, runs)
    order = {name: place for place, name in enumerate(runs[-1].arms)}
    return sorted(found, key=lambda each: _place(each, reference, order))


def _grouped(samples: Samples, metrics: Sequence[StoredMetric], runs: Sequence[RunRecord]) -> list[Series]:
    by_trial = medians(samples.value, samples.metric, samples.case, samples.run, samples.trial)
    metric, case, run, _ = by_trial.keys
    named = {each.id: each for each in metrics}
    suite = runs[-1].suite
    found = []
    # The keys are sorted, so that a series lies together, and in it the trials of a run.
    for begin, end in _stretches(metric, case):
        about = named[int(metric[begin])]
        key = SeriesKey(suite, *samples.cases[int(case[begin])], about.name)
        places = [(begin + first, begin + last) for first, last in _stretches(run[begin:end])]
        trials = tuple(by_trial.values[first:last] for first, last in places)
        values = np.array([statistics.median(each.tolist()) for each in trials])
        of_runs = tuple(runs[int(run[first])] for first, _ in places)
        found.append(Series(key, about.unit, about.better, about.primary, of_runs, values, trials))
    return found


def _place(series: Series, reference: tuple[str, str] | None, arms: dict[str, int]) -> tuple[object, ...]:
    case = series.key.workload, series.key.params
    return (
        case != reference,
        natural(case),
        not series.primary,
        series.key.metric,
        arms.get(series.key.arm, len(arms)),
    )


def _stretches(*keys: Integers) -> list[tuple[int, int]]:
    """Beginning and end of each stretch in which no key changes."""
    if not keys[0].size:
        return []
    changes = np.flatnonzero(np.any([key[1:] != key[:-1] for key in keys], axis=0)) + 1
    return list(zip([0, *changes.tolist()], [*changes.tolist(), keys[0].size], strict=True))
