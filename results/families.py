"""Which comparisons there are in a run, and among which of them false discoveries are controlled together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from results.checks import UNIT as CHECK
from results.limits import is_limit
from results.records import INSTANCE_METRICS, is_part, is_step
from results.stats.estimate import RatioEstimate
from results.stats.false_discovery import q_values
from results.trials import Case, WorkloadCase

Family = Literal["results", "parts", "repeats"]
"""What a comparison's p-value is adjusted with.

* ``results``: what workloads measure, peak memory and CPU time in every case, and what an instance has before any
  workload (:data:`results.records.INSTANCE_METRICS`) in the one case that stands for it
  (:func:`results.trials.choose_reference`);
* ``parts``: phases of startup, parts of memory and of the image;
* ``repeats``: what an instance has before any workload, in the other cases: the same quantities once more.

Parts and repeats are many, and most of them are certain: a guest starts slower than a process in every case and in
every phase. Each rejection lets the bar down for all others of its family, so that they are kept apart and change
nothing in what the run says of its results.
"""


def is_compared(case: Case) -> bool:
    """Whether a case is compared at all: checks, limits and the steps of a density are not.

    A claim holds or does not, and a limit is kept or not, whatever it does elsewhere (:mod:`results.checks`,
    :mod:`results.limits`).
    """
    return case.unit != CHECK and not is_limit(case.metric) and not is_step(case.metric)


def family_of(case: Case, reference: WorkloadCase | None) -> Family:
    """The family of a case's comparisons; ``reference`` is the case that stands for what an instance has by itself."""
    if is_part(case.metric):
        return "parts"
    if case.metric in INSTANCE_METRICS and (case.workload, case.params) != reference:
        return "repeats"
    return "results"


def adjusted(tests: Sequence[tuple[Case, Family, RatioEstimate]]) -> list[float | None]:
    """The q-value of each test, controlled within its family; None of those that take no part.

    These are the metrics without a good direction, and those that :func:`results.stats.false_discovery.q_values`
    leaves out.
    """
    families: dict[Family, dict[int, RatioEstimate]] = {}
    for index, (case, family, estimate) in enumerate(tests):
        if case.better != "neutral":
            families.setdefault(family, {})[index] = estimate
    found: dict[int, float] = {}
    for members in families.values():
        found |= q_values(members)
    return [found.get(index) for index in range(len(tests))]
