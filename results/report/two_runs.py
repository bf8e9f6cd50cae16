"""A report of two runs: what became of every metric from the first to the later one, and what else was different."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from results.charts.quantities import MISSING, interval, quantity, ratio
from results.charts.style import ArmStyle, arm_styles
from results.charts.throughput import advantage, throughput_chart
from results.compare_runs import BETWEEN_RUNS, EMULATED, Measured, RunComparison, compare_measured, measured, unlike
from results.compare_runs import unshared as unshared_of
from results.records import is_part
from results.report.background import shown_fact
from results.report.data import read_host
from results.report.document import Banner, ColumnKind, Document, Finding, Picture, Section, Table
from results.report.overview import VERDICTS, with_interval
from results.selection import case_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from results.records import RunRecord
    from results.store import Store

_OF_INSTANCES = ("startup_time", "memory_footprint")
"""What is shown beside that which the workloads measure foremost."""


@dataclass(frozen=True)
class TwoRuns:
    """Two runs as their report needs them.

    Attributes:
        first: what the other is divided by.
        later: the other.
        comparisons: of the later run with the first.
        arms: styles of the arms of either.
        hosts: contents of the two runs' ``host.json``, the first run's first; empty where there is none.
    """

    first: Measured
    later: Measured
    comparisons: tuple[RunComparison, ...]
    arms: tuple[ArmStyle, ...]
    hosts: tuple[Mapping[str, Any], Mapping[str, Any]]

    @classmethod
    def load(cls, store: Store, first: RunRecord, later: RunRecord) -> TwoRuns:
        """Read and compare.

        Raises:
            StoreError: the store or a run's ``host.json`` cannot be read.
        """
        runs = measured(store, first), measured(store, later)
        names = list(dict.fromkeys((*first.arms, *later.arms)))
        emulated = {arm for run in runs for case in run.cases for arm in case.arms if case.arms[arm].accel == EMULATED}
        facts = [read_host(store.run_directory(run.id) / "host.json") for run in (first, later)]
        styles = arm_styles(names, first.baseline, emulated)
        return cls(*runs, tuple(compare_measured(runs)), styles, (facts[0], facts[1]))

    @cached_property
    def foremost(self) -> tuple[RunComparison, ...]:
        """What the workloads measure foremost, and start and idle memory in each case's own right."""
        found = [one for one in self.comparisons if not is_part(one.metric) and one.better != "neutral"]
        chosen = [one for one in found if one.primary or (one.workload == "null" and one.metric in _OF_INSTANCES)]
        return tuple(chosen or found)


def figures(data: TwoRuns, width: float) -> dict[str, Figure]:
    """The charts by name: arms that the host executes, and those under software emulation."""
    drawn = {
        name: throughput_chart(_executed(data, emulated=emulated), data.arms, width, against=data.first.record.id)
        for name, emulated in (("changes", False), ("changes-emulated", True))
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def document(data: TwoRuns, charts: Mapping[str, Figure]) -> Document:
    """What the report says."""
    first, later = data.first.record, data.later.record
    return Document(
        title=f"{later.suite}: {later.id} against {first.id}",
        subtitle=f"Ratios are run {later.id} divided by run {first.id}, in the same arm",
        banners=_banners(data),
        cards=(),
        findings=tuple(found for arm in data.arms if (found := _finding(data, arm))),
        overview_note=BETWEEN_RUNS,
        sections=(_changes(data, charts), _everything(data), _environment(data), _runs(data)),
    )


def _executed(data: TwoRuns, *, emulated: bool) -> list[RunComparison]:
    return [one for one in data.foremost if (one.accel == EMULATED) == emulated]


def _banners(data: TwoRuns) -> tuple[Banner, ...]:
    found = []
    means = sorted({warning for one in data.comparisons for warning in one.warnings if _is_of_means(warning)})
    different = (*unlike(data.later.record, data.first.record), *means)
    if different:
        title = "These runs are not alike: a difference may come from there"
        found.append(Banner("alarm", title, f"{'; '.join(different)}."))
    if any(arm.emulated for arm in data.arms):
        names = ", ".join(arm.name for arm in data.arms if arm.emulated)
        text = f"Figures of {names} come from software emulation in at least one of the runs: function only."
        found.append(Banner("notice", "Software emulation is no performance", text))
    only = unshared_of([data.first, data.later])
    if only:
        found.append(Banner("notice", "Not everything is in both runs", f"{'; '.join(only)}."))
    return tuple(found)


def _is_of_means(warning: str) -> bool:
    return warning.startswith(("not the same runtime", "not the same accelerator", "not compared"))


def _finding(data: TwoRuns, arm: ArmStyle) -> Finding | None:
    own = [one for one in data.foremost if one.arm == arm.name]
    if not own:
        return None
    counted = Counter(one.verdict for one in own)
    text = ", ".join(f"{counted[word]} {word}" for word in VERDICTS if counted[word])
    for word, name, sign in (("better", "gain", 1), ("worse", "loss", -1)):
        decided = [one for one in own if one.verdict == word]
        if decided:
            most = max(decided, key=lambda one: sign * (advantage(one).ratio or 1))
            turned = advantage(most)
            between = interval(turned.low, turned.high) or MISSING
            text += f". Greatest {name}: {case_name(most.workload, most.params)}, {most.metric}, "
            text += f"{ratio(turned.ratio)} [{between}]"
    return Finding(f"{arm.label}:", f"{text}.")


def _changes(data: TwoRuns, charts: Mapping[str, Figure]) -> Section:
    first = data.first.record.id
    if not data.comparisons:
        return Section("changes", "What changed", ("The runs have no metric of the same workload and arm in common.",))
    reading = (
        "Further right is better, for every metric: where lower values are better the ratio is turned over. "
        "Logarithmic axis; lines are 95 % confidence intervals, the shaded band is the practical threshold, and a "
        "hollow mark is inconclusive."
    )
    pictures = (
        Picture("changes", f"Relative to {first}", f"Ratio to {first}; the table below has all.", "Executed arms."),
        Picture(
            "changes-emulated",
            "Software emulation: function only, never performance",
            f"Ratio to {first} under emulation; the table below has all.",
            "Arms under software emulation, on a scale of their own.",
        ),
    )
    shown = tuple(picture for picture in pictures if picture.name in charts)
    table = _table(data, data.foremost, "What the workloads measure foremost, and the start of an instance")
    return Section("changes", "What changed", (reading,), (), shown, (table,))


def _everything(data: TwoRuns) -> Section:
    table = _table(data, data.comparisons, "Every metric", folded=True)
    text = "Ratios as measured, so whether above 1× is good depends on the metric."
    return Section("comparisons", "All comparisons", (text,), (), (), (table,) if table.rows else ())


def _table(data: TwoRuns, found: Sequence[RunComparison], caption: str, *, folded: bool = False) -> Table:
    first, later = data.first.record.id, data.later.record.id
    columns: dict[str, ColumnKind] = {"Workload": "text", "Metric": "text", "Arm": "text"}
    columns |= {first: "number", later: "number", "Ratio [95 % interval]": "number", "n": "number"}
    columns |= {"Verdict": "verdict", "Warnings": "text"}
    labels = {arm.name: arm.label for arm in data.arms}
    rows = tuple(
        (
            case_name(one.workload, one.params),
            one.metric,
            labels[one.arm],
            quantity(one.baseline_median, one.unit),
            quantity(one.median, one.unit),
            with_interval(one),
            f"{one.baseline_n}, {one.n}",
            one.verdict,
            "; ".join(one.warnings),
        )
        for one in found
    )
    return Table(caption, columns, rows, folded, grouped=True)


def _environment(data: TwoRuns) -> Section:
    facts = [host.get("facts", {}) for host in data.hosts]
    runs = (data.first.record.id, data.later.record.id)
    missing = [run for run, known in zip(runs, facts, strict=True) if not known]
    title = "What differed around the runs"
    if missing:
        return Section("environment", title, (f"No host facts are recorded of {' and '.join(missing)}.",))
    names = dict.fromkeys((*facts[0], *facts[1]))
    rows = tuple(
        (name, shown_fact(facts[0].get(name)), shown_fact(facts[1].get(name)))
        for name in names
        if facts[0].get(name) != facts[1].get(name)
    )
    if not rows:
        return Section("environment", title, (f"Nothing: all {len(names)} facts of the host are the same.",))
    columns: dict[str, ColumnKind] = {"Fact": "text", runs[0]: "text", runs[1]: "text"}
    text = f"{len(names) - len(rows)} of {len(names)} facts of the host are the same in both runs."
    return Section("environment", title, (text,), (), (), (Table("Facts of the host that differ", columns, rows),))


def _runs(data: TwoRuns) -> Section:
    runs = (data.first.record, data.later.record)
    items = ("suite", "suite_hash", "image", "host_fingerprint", "version", "started", "ended", "status", "stop_reason")
    rows = tuple(
        (name.replace("_", " "), *(shown_fact(getattr(run, name)) for run in runs)) for name in (*items, "seed")
    )
    columns: dict[str, ColumnKind] = {"Item": "text", runs[0].id: "text", runs[1].id: "text"}
    return Section("provenance", "The runs", (), (), (), (Table("Provenance", columns, rows),))
