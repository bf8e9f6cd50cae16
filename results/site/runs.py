"""What the index says of a run, remembered from update to update: comparing two thousand runs takes minutes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from results.report.data import RunData
from results.report.overview import VERDICTS
from results.site.output import digest

if TYPE_CHECKING:
    from results.records import RunRecord
    from results.store import Store


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A line of the index.

    Attributes:
        id: of the run.
        suite: its name.
        status: of the run.
        host: fingerprint of its host.
        started: ISO 8601, UTC.
        seconds: how long it took; None where it did not end by itself.
        arms: names, in the order of the suite.
        emulated: those of them that ran in software emulation.
        trials: how many there are.
        failed: how many of them failed.
        verdicts: how many of the primary metrics got each verdict against the baseline, what was emulated left out.
    """

    id: str
    suite: str
    status: str
    host: str
    started: str
    seconds: float | None
    arms: tuple[str, ...]
    emulated: tuple[str, ...]
    trials: int
    failed: int
    verdicts: Mapping[str, int]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> RunSummary:
        """What :meth:`plain` gave, after it was JSON."""
        verdicts = {word: plain["verdicts"][word] for word in VERDICTS}  # in their order, which JSON's keys have not
        return cls(
            **{**plain, "arms": tuple(plain["arms"]), "emulated": tuple(plain["emulated"]), "verdicts": verdicts}
        )

    def plain(self) -> dict[str, Any]:
        """As data for JSON."""
        return asdict(self)


def state_of(run: RunRecord) -> str:
    """Changes when anything of a run does that a page shows: a run that has ended does not change any more."""
    return digest(repr(astuple(run)))


def summarise(store: Store, run: RunRecord) -> RunSummary:
    """Read and compare one run.

    Raises:
        StoreError: the store cannot be read.
    """
    data = RunData.load(store, run)
    emulated = {trial.arm for trial in data.trials if trial.accel == "tcg"}
    counted = Counter(
        comparison.verdict
        for comparison in data.comparisons
        if comparison.primary and comparison.better != "neutral" and comparison.accel != "tcg"
    )
    return RunSummary(
        id=run.id,
        suite=run.suite,
        status=run.status,
        host=run.host_fingerprint,
        started=run.started,
        seconds=_seconds(run),
        arms=run.arms,
        emulated=tuple(arm for arm in run.arms if arm in emulated),
        trials=len(data.trials),
        failed=sum(trial.status == "failed" for trial in data.trials),
        verdicts={word: counted[word] for word in VERDICTS},
    )


def _seconds(run: RunRecord) -> float | None:
    if run.ended is None:
        return None
    return (datetime.fromisoformat(run.ended) - datetime.fromisoformat(run.started)).total_seconds()
