"""Whether a run is worse than one with a name.

Two runs of the same thing differ by more than their trials show: nights differ. Where the history is long enough, the
spread of its nights says by how much, and the comparison goes by that. Where it is not, a difference between two runs
may be that of two nights, so that nothing is called worse before a rerun has shown the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from results.history.policy import Policy
from results.history.regress import NIGHTS, NIGHTS_UNKNOWN, Finding, Regress, missing, undecided, watched_of
from results.history.series import Joinable, Series, Wanted, alike, series_of
from results.stats.change_points import MIN_HISTORY, Floats
from results.stats.false_discovery import q_values
from results.stats.unpaired import UnpairedRatio, unpaired_ratio
from results.stats.verdict import judge

if TYPE_CHECKING:
    from results.records import RunRecord
    from results.store import Store


def regress_against(
    store: Store,
    run: RunRecord,
    name: str,
    theirs: RunRecord,
    policy: Policy,
    *,
    wanted: Wanted | None = None,
    joined: Collection[Joinable] = (),
    nights: int = NIGHTS,
) -> Regress:
    """Judge a run by a named one: trial against trial, and by how much nights differ where that is known.

    Args:
        store: open.
        run: of the store.
        name: of the other one.
        theirs: the named run.
        policy: of the suite.
        wanted: which metrics.
        joined: in what runs of one history may differ.
        nights: how many runs before it tell how much nights differ.

    Raises:
        StoreError: the store cannot be read.
    """
    runs = alike(store.runs(), run, joined)[-nights:]
    others = {series.key: series for series in series_of(store, [theirs], wanted)}
    watched = watched_of(series_of(store, runs, wanted), runs, policy)
    pairs = [_Pair.of(series, others.get(series.key), run, name, policy) for series in watched]
    tested = {place: pair.estimate for place, pair in enumerate(pairs) if pair.estimate is not None}
    adjusted = q_values(tested)
    findings = [pair.finding(adjusted.get(place)) for place, pair in enumerate(pairs)]
    return Regress(run, name, len(runs), tuple(findings))


@dataclass(frozen=True, slots=True)
class _Pair:
    """A metric of two runs before it is judged.

    Attributes:
        plain: all but the verdict.
        estimate: trial against trial, with the interval and p-value that nights allow; None where there is none.
        nights_known: whether these are by how much nights differ, and not by the trials alone.
    """

    plain: Finding
    estimate: UnpairedRatio | None = None
    nights_known: bool = False

    @classmethod
    def of(cls, series: Series, theirs: Series | None, run: RunRecord, name: str, policy: Policy) -> _Pair:
        if series.runs[-1].id != run.id:
            return cls(missing(series, policy))
        plain = undecided(series, policy)
        if theirs is None:
            return cls(replace(plain, notes=(f"{name} has no trial of it",)))
        found = unpaired_ratio(series.trials[-1].tolist(), theirs.trials[-1].tolist())
        spread = _spread(series.values)
        if found.ratio is None or found.interval is None or spread is None:
            return cls(plain, found)
        return cls(plain, _by_nights(found, spread), nights_known=True)

    def finding(self, q_value: float | None) -> Finding:
        found, plain = self.estimate, self.plain
        if found is None:
            return plain
        verdict, warnings = judge(found.interval, plain.better, q_value, plain.threshold)
        judged = replace(plain, ratio=found.ratio, interval=found.interval, notes=(*found.warnings, *warnings))
        if self.nights_known or verdict not in {"worse", "better"}:
            return replace(judged, verdict=verdict)
        return replace(judged, suspicious=verdict == "worse", notes=(*judged.notes, NIGHTS_UNKNOWN))


def _spread(values: Floats) -> float | None:
    """The standard deviation of the difference of two nights, logarithmic; None where there are too few to tell.

    From neighbours, whose differences are those of two nights.
    """
    if values.size < MIN_HISTORY or values.min() <= 0:
        return None
    return 1.4826 * float(np.median(np.abs(np.diff(np.log(values)))))


def _by_nights(found: UnpairedRatio, spread: float) -> UnpairedRatio:
    """The same ratio with the p-value that the spread of nights gives, and the wider of the two intervals.

    The nights of the history are medians over trials, so that the noise of the trials is in their spread.
    """
    assert found.ratio is not None
    assert found.interval is not None
    low, high = found.ratio * math.exp(-1.96 * spread), found.ratio * math.exp(1.96 * spread)
    by_nights = math.erfc(abs(math.log(found.ratio)) / spread / math.sqrt(2)) if spread > 0 else 0.0
    return replace(
        found,
        interval=(min(found.interval[0], low), max(found.interval[1], high)),
        p_value=by_nights,
        could_be_significant=True,
    )
