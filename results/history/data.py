"""Series, changes and what became of a run as plain data, for ``--format json``, and for CSV and Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from results.history.changes import Change
from results.history.regress import Finding, Regress
from results.history.series import Series, SeriesKey


def key_data(key: SeriesKey) -> dict[str, object]:
    """What a series is of."""
    return {
        "suite": key.suite,
        "workload": key.workload,
        "params": key.params,
        "arm": key.arm,
        "accel": key.accel,
        "metric": key.metric,
    }


def change_data(change: Change) -> dict[str, object]:
    """A change of level, with how it was acknowledged or None."""
    return {
        "id": change.id,
        "run": change.run.id,
        "started": change.run.started,
        "kind": change.shift.kind,
        "ratio": change.shift.ratio,
        "ci_low": change.shift.interval[0],
        "ci_high": change.shift.interval[1],
        "p_value": change.shift.p_value,
        "before": change.before,
        "after": change.after,
        "worse": change.worse,
        "lasts": change.lasts,
        "acknowledged": None if change.known is None else change.known.reason,
    }


def series_data(series: Series, changes: Iterable[Change]) -> dict[str, object]:
    """A series: whose, its points and its changes."""
    points = [
        {
            "run": run.id,
            "started": run.started,
            "value": float(series.values[place]),
            "quartile_low": series.quartiles(place)[0],
            "quartile_high": series.quartiles(place)[1],
            "n": int(series.trials[place].size),
        }
        for place, run in enumerate(series.runs)
    ]
    return {
        **key_data(series.key),
        "unit": series.unit,
        "better": series.better,
        "points": points,
        "changes": [change_data(change) for change in changes],
    }


def point_rows(found: Sequence[Series]) -> list[dict[str, object]]:
    """One row a point, for a table of figures."""
    rows = []
    for series in found:
        data = series_data(series, ())
        points = data["points"]
        assert isinstance(points, list)
        rows += [{**key_data(series.key), **point, "unit": series.unit, "better": series.better} for point in points]
    return rows


def finding_data(finding: Finding) -> dict[str, object]:
    """What became of one metric."""
    low, high = finding.interval or (None, None)
    return {
        **key_data(finding.key),
        "unit": finding.unit,
        "better": finding.better,
        "verdict": finding.verdict,
        "value": finding.value,
        "nights": finding.nights,
        "ratio": finding.ratio,
        "ci_low": low,
        "ci_high": high,
        "threshold": finding.threshold,
        "suspicious": finding.suspicious,
        "confirmed": finding.confirmed,
        "change": None if finding.change is None else change_data(finding.change),
        "notes": list(finding.notes),
    }


def regress_data(found: Regress, *, strict: bool) -> dict[str, object]:
    """What became of a run."""
    return {
        "run": found.run.id,
        "suite": found.run.suite,
        "baseline": found.baseline,
        "runs": found.runs,
        "exit_code": found.exit_code(strict=strict),
        "regressed": len(found.alarms),
        "suspicious": len(found.suspicious),
        "findings": [finding_data(each) for each in found.findings],
    }
