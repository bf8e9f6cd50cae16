"""All that a report is made from, read from the store once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.charts.cases import of_case, reference_case
from results.charts.catalogue import ChartData
from results.charts.style import ArmStyle, arm_styles
from results.checks import Checks, checks_of
from results.compare import Comparison
from results.density import Density, densities_of
from results.host_record import read_host
from results.interference import Slowdown, slowdowns_of
from results.limits import GivenLimit, limits_of
from results.noise import BlockNoise, blocks_of
from results.records import HARNESS_METRICS, is_part
from results.references import Reference, references_of, runtimes_of
from results.stored_comparisons import comparisons_of
from results.trials import WorkloadCase, natural

if TYPE_CHECKING:
    import pandas as pd

    from results.records import RunRecord, TrialRecord
    from results.store import Store


@dataclass(frozen=True)
class RunData:
    """One run as the report needs it.

    Attributes:
        run: its record.
        directory: its directory in the store.
        trials: all its trials, failed ones too.
        frame: the samples of those that succeeded.
        comparisons: every arm against the baseline.
        noise: how quiet the host was in each block; empty for a run that did not look.
        arms: styles in the order of the suite.
    """

    run: RunRecord
    directory: Path
    trials: tuple[TrialRecord, ...]
    frame: pd.DataFrame
    comparisons: tuple[Comparison, ...]
    noise: tuple[BlockNoise, ...]
    arms: tuple[ArmStyle, ...]

    @classmethod
    def load(cls, store: Store, run: RunRecord) -> RunData:
        """Read and compare.

        Raises:
            StoreError: the store has no such run or cannot be read.
        """
        trials = tuple(store.trials(run.id))
        frame = store.frame(run.id)
        directory = store.run_directory(run.id)
        noise = tuple(blocks_of(store.noise(run.id)))
        emulated = {trial.arm for trial in trials if trial.accel == "tcg"}
        return cls(
            run=run,
            directory=directory,
            trials=trials,
            frame=frame,
            comparisons=tuple(_sorted(comparisons_of(store, run, frame))),
            noise=noise,
            arms=arm_styles(run.arms, run.baseline, emulated),
        )

    @cached_property
    def host(self) -> Mapping[str, Any]:
        """The content of ``host.json``, as :func:`read_host` gives it."""
        return read_host(self.directory / "host.json")

    @cached_property
    def labels(self) -> dict[str, str]:
        """Every arm's label by its name."""
        return {arm.name: arm.label for arm in self.arms}

    @cached_property
    def reference(self) -> WorkloadCase | None:
        """The workload case whose trials stand for startup and idle footprint."""
        return reference_case(self.frame)

    @cached_property
    def reference_frame(self) -> pd.DataFrame:
        """The samples of the reference case."""
        return of_case(self.frame, self.reference)

    @cached_property
    def throughput(self) -> tuple[Comparison, ...]:
        """Comparisons of what the workloads measure foremost; of all they measure, where none is named foremost."""
        own = [
            comparison
            for comparison in self.comparisons
            if comparison.metric not in HARNESS_METRICS
            and not is_part(comparison.metric)
            and comparison.better != "neutral"
        ]
        return tuple([comparison for comparison in own if comparison.primary] or own)

    @cached_property
    def checks(self) -> tuple[Checks, ...]:
        """The checks by workload case."""
        return tuple(checks_of(self.frame))

    @cached_property
    def limits(self) -> tuple[GivenLimit, ...]:
        """The limits that were measured."""
        return tuple(limits_of(self.frame))

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """What others have published of the same as this run's comparisons."""
        return tuple(references_of(self.comparisons, runtimes_of(self.frame)))

    @cached_property
    def densities(self) -> tuple[Density, ...]:
        """What each further instance cost."""
        return tuple(densities_of(self.frame))

    @cached_property
    def slowdowns(self) -> tuple[Slowdown, ...]:
        """How much slower workloads are beside neighbours."""
        return tuple(slowdowns_of(self.frame, self.run.threshold, {one.block for one in self.noise if one.disturbed}))

    @property
    def charts(self) -> ChartData:
        """What the charts are drawn from."""
        return ChartData(
            frame=self.frame,
            reference=self.reference_frame,
            throughput=self.throughput,
            limits=self.limits,
            references=self.references,
            densities=self.densities,
            slowdowns=self.slowdowns,
            arms=self.arms,
            noise=self.noise,
        )

    def against_baseline(self, arm: str, metric: str) -> Comparison | None:
        """The comparison of ``metric`` in the reference case, if there is one."""
        return next(
            (
                comparison
                for comparison in self.comparisons
                if (comparison.workload, comparison.params) == self.reference
                and (comparison.arm, comparison.metric) == (arm, metric)
            ),
            None,
        )


def _sorted(comparisons: Iterable[Comparison]) -> list[Comparison]:
    return sorted(comparisons, key=lambda comparison: natural((comparison.workload, comparison.params)))
