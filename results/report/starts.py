"""Startup in a report: the usual start beside its floor, where it goes, cold ones, several at once, and the end."""

from __future__ import annotations

from collections.abc import Iterable

from results.charts.cases import arm_medians, trial_values
from results.charts.quantities import MISSING, quantity
from results.charts.starts import Starts, cold_starts, parallel_starts, parallel_stops, usual_starts
from results.charts.startup import shutdown_phases, startup_phases
from results.floor import floor_of, times_floor
from results.report.data import RunData
from results.report.document import ColumnKind, Picture, Table

_ON_THE_FLOOR = (
    "The dashed line is the floor: the same agent executed by the harness with vfork and execve, with no launcher, "
    "namespace or mount in between and its cgroup joined before the clock starts. The second figure of a row is the "
    "start as a multiple of the floor, as 2.6×. "
)
_AGAIN = "The dashed line is the floor, a bare exec, and the second figure of a row the multiple of it. "


def pictures(data: RunData) -> tuple[Picture, ...]:
    """The charts in their order, in words for who cannot see them."""
    reference = data.reference_frame
    floor, again = (_ON_THE_FLOOR, _AGAIN) if floor_of(reference) is not None else ("", "")
    log = "Logarithmic axis: each step to the right multiplies. Faint marks are single trials, full ones medians."
    return (
        Picture(
            "startup",
            "Startup time",
            f"Startup time by arm, medians: {_spoken(data, arm_medians(reference, 'startup_time'))}.",
            f"From the request to the agent's first message, on the host's monotonic clock. {floor}{log}",
        ),
        Picture(
            "startup-phases",
            "Where startup goes",
            f"Startup phases by arm, medians: {_spoken_phases(data, startup_phases(reference))}.",
            "Median of each phase, named by the event that ends it; each begins where the last ended, and in every "
            "trial they add up to the startup time. Every arm has a scale of its own, so compare shares within a panel "
            "and never lengths between panels. Hatched phases end by the guest's clock, counted back from READY; all "
            "others are by the host's.",
        ),
        Picture(
            "cold-start",
            "Starts from a cold page cache",
            f"Medians: {_spoken_kinds(data, cold_starts(data.frame))}.",
            "The same start, with files that it reads dropped from the host's page cache before: the image (the root "
            "file system), the kernel (with initramfs, firmware and VMM: what an arm has of its own below the image), "
            f"or all. An arm that has no such layer shows its usual start there. {again}{log}",
        ),
        Picture(
            "parallel-start",
            "Several at once",
            f"Medians: {_spoken_kinds(data, [*parallel_starts(data.frame), *parallel_stops(data.frame)])}.",
            "So many instances are asked for at once, when all are prepared; the time runs until the last is ready, "
            f"and on the way back until the last is gone. {again}{log}",
        ),
        Picture(
            "shutdown-phases",
            "Where shutdown goes",
            f"Shutdown phases by arm, medians: {_spoken_phases(data, shutdown_phases(reference))}.",
            "From the request to stop: goodbye, when the agent has ended all that it ran; powered_off, when a guest "
            "has switched itself off; exited, when the instance's process on the host has ended; stopped, when all "
            "that was made for it is gone. Every arm has a scale of its own.",
        ),
    )


def other_starts_table(data: RunData) -> Table:
    """Every kind of start in every arm, beside the floor; a row a kind and an arm, kinds never mixed."""
    others = [*cold_starts(data.frame), *parallel_starts(data.frame), *parallel_stops(data.frame)]
    kinds = [*usual_starts(data.reference_frame), *others] if others or floor_of(data.reference_frame) else []
    columns: dict[str, ColumnKind] = {
        "Start": "text",
        "Arm": "text",
        "Median": "number",
        "Least": "number",
        "Greatest": "number",
        "n": "number",
        "× bare exec": "number",
        "Dropped from the page cache": "number",
        "Read anew": "number",
    }
    rows = tuple(row for kind in kinds for row in _rows(data, kind))
    return Table("Starts of every kind, and their multiple of the bare exec", columns, rows, grouped=True)


def _rows(data: RunData, kind: Starts) -> Iterable[tuple[str, ...]]:
    values = trial_values(kind.frame, kind.metric)
    dropped = {arm: _cached(kind, arm, "before") - _cached(kind, arm, "left") for arm in kind.medians}
    for arm in data.arms:
        of_arm = values[values["arm"] == arm.name]["value"]
        if of_arm.empty:
            continue
        median = kind.medians[arm.name]
        cold = kind.metric == "cold_start_time"
        yield (
            kind.title,
            arm.label,
            quantity(median, "s"),
            quantity(float(of_arm.min()), "s"),
            quantity(float(of_arm.max()), "s"),
            str(len(of_arm)),
            times_floor(median, kind.floor(data.reference_frame)),
            quantity(dropped[arm.name], "bytes") if cold else MISSING,
            quantity(_cached(kind, arm.name, "read"), "bytes") if cold else MISSING,
        )


def _cached(kind: Starts, arm: str, moment: str) -> float:
    return arm_medians(kind.frame, f"page_cache.{moment}").get(arm, 0.0)


def _spoken(data: RunData, medians: dict[str, float]) -> str:
    return ", ".join(f"{arm.label} {quantity(medians[arm.name], 's')}" for arm in data.arms if arm.name in medians)


def _spoken_kinds(data: RunData, kinds: Iterable[Starts]) -> str:
    return "; ".join(f"{kind.title}: {_spoken(data, kind.medians)}" for kind in kinds)


def _spoken_phases(data: RunData, phases: dict[str, dict[str, float]]) -> str:
    return "; ".join(
        f"{arm.label}: " + ", ".join(f"{name} {quantity(value, 's')}" for name, value in phases[arm.name].items())
        for arm in data.arms
        if arm.name in phases
    )
