"""The report of one run against another: what differs around them, and how much faster or slower each arm is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from results.charts import style
from results.charts.cases import case_labels
from results.charts.quantities import quantity
from results.charts.style import ArmStyle, arm_styles
from results.charts.throughput import advantage, throughput_chart
from results.compare_runs import (
    BETWEEN_RUNS,
    NOT_COMPARED,
    RunComparison,
    compare_measured,
    is_not_compared,
    measured,
    unlike,
    unshared,
)
from results.host_record import read_host
from results.records import EMULATED, INSTANCE_METRICS, is_part, split_params
from results.report.build import Report, write_document
from results.report.document import Banner, ColumnKind, Document, Finding, Picture, Section, Table
from results.report.overview import VERDICTS, with_interval
from results.report.scores import score
from results.report.sections import ARROWS
from results.trials import natural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from results.records import RunRecord
    from results.store import Store

_CHART = "runs"
_NOT_THE_SAME = "not the same "
_MOST = 12
"""Changes shown first at most: more are not grasped at once."""


def write_comparison(store: Store, first: RunRecord, later: RunRecord, directory: Path) -> Report:
    """Write the report of ``later`` against ``first``, as :func:`results.report.build.write_report` does that of one.

    Raises:
        StoreError: the store or a run's ``host.json`` cannot be read, or the directory cannot be written.
    """
    runs = [measured(store, first), measured(store, later)]
    found = sorted(compare_measured(runs), key=lambda one: natural((one.workload, one.params)))
    emulated = {one.arm for one in found if one.accel == "tcg"}
    arms = arm_styles(later.arms, later.baseline, emulated)
    hosts = [read_host(store.run_directory(run.id) / "host.json") for run in (first, later)]
    of_results = [one for one in found if one.family == "results"]  # what instances have before any work: once only
    foremost = [one for one in of_results if one.primary or one.metric in INSTANCE_METRICS]
    wide, narrow = (_figures(foremost, arms, width) for width in (style.WIDE, style.NARROW))
    document = _document(first, later, found, foremost, arms, hosts, unshared(runs), charted=bool(wide))
    return write_document(document, wide, narrow, directory)


def _figures(found: Sequence[RunComparison], arms: Sequence[ArmStyle], width: float) -> dict[str, Figure]:
    # What a mark is compared with is the other run, and not the arm of the same name.
    compared = [replace(one, baseline=f"run {one.baseline_run}") for one in found if not is_not_compared(one)]
    figure = throughput_chart(compared, arms, width)
    return {} if figure is None else {_CHART: figure}


def _document(
    first: RunRecord,
    later: RunRecord,
    found: Sequence[RunComparison],
    foremost: Sequence[RunComparison],
    arms: Sequence[ArmStyle],
    hosts: Sequence[Mapping[str, object]],
    left_out: Sequence[str],
    *,
    charted: bool,
) -> Document:
    labels = {arm.name: arm.label for arm in arms}
    picture = Picture(
        _CHART,
        f"{later.id} relative to {first.id}",
        f"{later.id} relative to {first.id}: {_counted(foremost)}. The table below has all.",
        "Each arm against the same arm of the other run. Further right is better, for every metric. Logarithmic axis. "
        "Lines are 95 % confidence intervals, the shaded band is the practical threshold, a hollow mark is "
        "inconclusive.",
    )
    rest = [one for one in found if not is_part(one.metric)]
    parts = [one for one in found if is_part(one.metric)]
    return Document(
        title=f"{later.suite}: {later.id} against {first.id}",
        subtitle=f"{later.id} started {later.started}, {first.id} started {first.started}",
        banners=_banners(first, later, found),
        scores=_foremost_changes(foremost, labels, first),
        cards=(),
        findings=_findings(foremost, arms),
        overview_note=f"Ratios are {later.id} divided by {first.id}. {BETWEEN_RUNS}",
        sections=(
            Section(
                "results",
                "What the workloads measure, startup and memory",
                tuple(left_out) if found else ("The two runs have no case, metric and arm in common.", *left_out),
                (),
                (picture,) if charted else (),
                _filled(_table(foremost, labels, "Foremost metrics", folded=False)),
            ),
            Section("differences", "What differs around the runs", (), (), (), (_differences(first, later, hosts),)),
            Section(
                "comparisons",
                "All comparisons",
                (),
                (),
                (),
                _filled(
                    _table(rest, labels, "Every metric", folded=True),
                    _table(parts, labels, "Phases and parts", folded=True),
                ),
            ),
        ),
    )


def _banners(first: RunRecord, later: RunRecord, found: Sequence[RunComparison]) -> tuple[Banner, ...]:
    """One that says all that makes the runs unlike, then those of runs that are not whole."""
    around = unlike(later, first)
    unequal = [*around, *_unlike_arms(found, around)]
    emulated = sorted({one.arm for one in found if one.accel == EMULATED and not is_not_compared(one)})
    banners = []
    if unequal:
        text = (
            f"{'. '.join(f'{each[0].upper()}{each[1:]}' for each in unequal)}. What differs below may come from that."
        )
        banners.append(Banner("alarm", "The two runs are not alike", f"{text} {_emulation(emulated)}".rstrip()))
    elif emulated:
        banners.append(Banner("alarm", "Software emulation: function only, never performance", _emulation(emulated)))
    notices = (
        Banner("notice", f"{run.id} is {run.status}", run.stop_reason or "No reason is recorded.")
        for run in (first, later)
        if run.status != "complete"
    )
    return (*banners, *notices)


def _unlike_arms(found: Sequence[RunComparison], around: Sequence[str]) -> list[str]:
    """What arms do not have in common, beside what whole runs have not: a sentence for each, with the arms."""
    arms: dict[str, dict[str, None]] = {}
    for one in found:
        # That the accelerator is another is why an arm is not compared.
        kinds = (NOT_COMPARED,) if is_not_compared(one) else (_NOT_THE_SAME,)
        for warning in one.warnings:
            if warning.startswith(kinds) and warning not in around:
                arms.setdefault(warning, {})[one.arm] = None
    return [f"{text} ({', '.join(names)})" for text, names in arms.items()]


def _emulation(arms: Sequence[str]) -> str:
    if not arms:
        return ""
    return (
        f"{', '.join(arms)} ran under software emulation in both: function only, never performance. That shows how "
        "their emulation differs, and nothing of a virtual machine's speed."
    )


def _foremost_changes(found: Sequence[RunComparison], labels: Mapping[str, str], first: RunRecord) -> Table | None:
    """A row a change, the decided ones first and each sort by how far from 1 they are; emulated arms come last."""
    compared = [one for one in found if not is_not_compared(one)]
    if not compared:
        return None
    titles = case_labels((one.workload, one.params) for one in compared)
    ranks = ("better", "worse"), ("inconclusive",), ("same",)

    def rank(one: RunComparison) -> tuple[bool, int, float]:
        sort = next(place for place, words in enumerate(ranks) if one.verdict in words)
        return one.accel == EMULATED, sort, -abs(math.log(advantage(one).ratio or 1))

    shown = sorted(compared, key=rank)[:_MOST]
    left_out = len(compared) - len(shown)
    columns: dict[str, ColumnKind] = {"What": "text", "Arm": "text"}
    columns |= {"Before": "number", "Now": "number", "Change": "score"}
    rows = tuple(
        (
            f"{titles[one.workload, one.params]}, {one.metric}",
            labels.get(one.arm, one.arm),
            quantity(one.baseline_median, one.unit),
            quantity(one.median, one.unit),
            score(one),
        )
        for one in shown
    )
    more = f"; {left_out} more stand below" if left_out else ""
    caption = (
        f"The foremost changes since {first.id}, decided ones first (▲ better, = same, ▼ worse, ? not decided; "
        f"percentages, and what is not decided, are of the figure itself; in brackets 95 % intervals{more})"
    )
    return Table(caption, columns, rows)


def _findings(found: Sequence[RunComparison], arms: Sequence[ArmStyle]) -> tuple[Finding, ...]:
    counted = ((arm, [one for one in found if one.arm == arm.name]) for arm in arms)
    return tuple(Finding(f"{arm.label}:", f"{_counted(own)}.") for arm, own in counted if own)


def _counted(found: Sequence[RunComparison]) -> str:
    compared = [one for one in found if not is_not_compared(one)]
    verdicts = Counter(one.verdict for one in compared)
    words = [f"{verdicts[word]} {word}" for word in VERDICTS if verdicts[word]]
    words += [f"{len(found) - len(compared)} not compared"] * (len(compared) < len(found))
    return ", ".join(words) or "nothing in common"


def _table(found: Sequence[RunComparison], labels: Mapping[str, str], caption: str, *, folded: bool) -> Table:
    columns: dict[str, ColumnKind] = {"Workload": "text", "Metric": "text", "Arm": "text"}
    columns |= dict.fromkeys(("Median", "Before", "Ratio [95 % interval]", "n", "n before"), "number")
    columns |= {"Verdict": "verdict", "Warnings": "text"}
    rows = tuple(
        (
            f"{one.workload} {', '.join(split_params(one.params))}".rstrip(),
            f"{one.metric} {ARROWS[one.better]}".rstrip(),
            labels.get(one.arm, one.arm),
            quantity(one.median, one.unit),
            quantity(one.baseline_median, one.unit),
            with_interval(one),
            str(one.n),
            str(one.baseline_n),
            one.verdict,
            "; ".join(one.warnings),
        )
        for one in found
    )
    return Table(f"{caption} (↑ higher is better, ↓ lower is better)", columns, rows, folded, grouped=True)


def _differences(first: RunRecord, later: RunRecord, hosts: Sequence[Mapping[str, object]]) -> Table:
    """Everything recorded of the runs and their hosts that is not the same."""
    names = ("suite", "suite_hash", "image", "host_fingerprint", "version", "baseline", "threshold", "seed", "arms")
    facts = [{name: _shown(getattr(run, name)) for name in names} for run in (first, later)]
    for known, host in zip(facts, hosts, strict=True):
        of_host = host.get("facts", {})
        if isinstance(of_host, Mapping):
            known |= {f"host: {name}": _shown(value) for name, value in of_host.items()}
    rows = tuple(
        (name.replace("_", " "), *(known.get(name, "not recorded") for known in facts))
        for name in dict.fromkeys((*facts[0], *facts[1]))
        if facts[0].get(name) != facts[1].get(name)
    )
    columns: dict[str, ColumnKind] = {"Fact": "text", first.id: "text", f"{later.id} (later)": "text"}
    return Table("Not the same in both", columns, rows or (("nothing that is recorded", "", ""),))


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _filled(*tables: Table) -> tuple[Table, ...]:
    return tuple(table for table in tables if table.rows)
