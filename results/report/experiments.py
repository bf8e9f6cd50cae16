"""Experiments with more than one instance in a trial: density and interference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from results.charts.interference import victim_labels
from results.charts.quantities import MISSING, Written, interval, quantity, ratio
from results.density import READING as DENSITY_READING
from results.density import WAYS, Density, Estimate, Knee
from results.interference import READING as INTERFERENCE_READING
from results.interference import Slowdown
from results.records import split_params
from results.report.data import RunData
from results.report.document import ColumnKind, Picture, Section, Table


def density(data: RunData, charts: Collection[str]) -> tuple[Section, ...]:
    """What each further instance cost; no section where none was measured."""
    if not data.densities:
        return ()
    picture = Picture(
        "density",
        "Memory and start against the number of instances",
        f"What one more instance adds to the footprint: {_spoken_densities(data)}. The table below has all.",
        "Left the footprint of all instances together, right the start of the last. Logarithmic axes. Faint lines are "
        "single trials, full ones their medians; a dotted line stands where most trials have a knee.",
    )
    tables = (_marginal_table(data), _crowd_table(data))
    pictures = (picture,) if picture.name in charts else ()
    return (Section("density", "Density", (DENSITY_READING,), (), pictures, tables),)


def interference(data: RunData, charts: Collection[str]) -> tuple[Section, ...]:
    """How much slower workloads are beside neighbours; no section where none had any."""
    if not data.slowdowns:
        return ()
    picture = Picture(
        "interference",
        "Slowdown beside a neighbour",
        f"{_spoken_slowdowns(data)} The table below has all.",
        "Down: what is measured. Across: what ran beside it in another instance. The colours are centred on 1×, orange "
        "is slower and purple faster than alone, on one scale for all arms. Bold figures are decided by their verdict; "
        "below each its 95 % confidence interval.",
    )
    pictures = (picture,) if picture.name in charts else ()
    where = _placements(data)
    text = (INTERFERENCE_READING, *((where,) if where else ()))
    return (Section("interference", "Interference", text, _warnings(data), pictures, (_slowdown_table(data),)),)


def _marginal_table(data: RunData) -> Table:
    columns: dict[str, ColumnKind] = {"Workload": "text", "Arm": "text"}
    columns |= dict.fromkeys((f"By {way}" for way in WAYS.values()), "number")
    columns |= {"n": "number"}
    rows = tuple(
        (_case(one), data.labels[one.arm], *(_estimate(one.marginal[way]) for way in WAYS), str(len(one.steps)))
        for one in data.densities
    )
    return Table("Memory of one more instance, with 95 % intervals over the trials", columns, rows, grouped=True)


def _crowd_table(data: RunData) -> Table:
    columns: dict[str, ColumnKind] = {
        "Workload": "text",
        "Arm": "text",
        "Last start over first": "number",
        "Instances reached": "number",
        "Knee of memory": "text",
        "Knee of start": "text",
        "Unsettled steps": "number",
    }
    rows = tuple(
        (
            _case(one),
            data.labels[one.arm],
            ratio(one.growth),
            _reached(one),
            knee_words(one.memory_knee),
            knee_words(one.start_time_knee),
            str(one.unsettled),
        )
        for one in data.densities
    )
    return Table("Starts, and how far the instances went", columns, rows, grouped=True)


def _case(one: Density | Slowdown) -> str:
    return f"{one.workload} {', '.join(split_params(one.params))}".rstrip()


def knee_words(knee: Knee) -> str:
    """Where the trials leave their line, in words: ``at 6 (in 5 of 6 trials)``."""
    if knee.at is None:
        return "none"
    return f"at {knee.at:g} (in {knee.found} of {knee.trials} trials)"


def _reached(one: Density) -> str:
    least, most = one.reached
    return str(most) if least == most else f"{least} to {most}"


def _estimate(figure: Estimate) -> str:
    value = quantity(figure.value, "bytes")
    if figure.low is None:
        return value
    return Written(f"{value} [{quantity(figure.low, 'bytes')} – {quantity(figure.high, 'bytes')}]", figure.value)


def _spoken_densities(data: RunData) -> str:
    return ", ".join(
        f"{one.workload} {data.labels[one.arm]} {quantity(one.marginal['marginal_memory'].value, 'bytes')}"
        for one in data.densities
    )


def _slowdown_table(data: RunData) -> Table:
    columns: dict[str, ColumnKind] = {
        "Measured": "text",
        "Beside": "text",
        "Arm": "text",
        "Alone": "number",
        "Beside it": "number",
        "Slowdown [95 % interval]": "number",
        "n": "number",
        "Verdict": "verdict",
    }
    rows = tuple(
        (
            f"{_case(one)} {one.metric}",
            one.neighbour,
            data.labels[one.arm],
            quantity(one.alone, one.unit),
            quantity(one.beside, one.unit),
            _with_interval(one),
            str(one.n),
            one.verdict,
        )
        for one in data.slowdowns
    )
    return Table("Slowdowns, medians and ratios within blocks", columns, rows, grouped=True)


def _warnings(data: RunData) -> tuple[str, ...]:
    """Every warning once, with how many slowdowns it is about."""
    counted = Counter(warning for one in data.slowdowns for warning in one.warnings)
    return tuple(f"{count} of {len(data.slowdowns)} slowdowns: {warning}." for warning, count in counted.items())


def _with_interval(one: Slowdown) -> str:
    between = interval(one.ci_low, one.ci_high)
    return Written(f"{ratio(one.slowdown)} [{between}]" if between else ratio(one.slowdown), one.slowdown)


def _spoken_slowdowns(data: RunData) -> str:
    victims = victim_labels(data.slowdowns)
    return (
        "; ".join(
            f"{data.labels[one.arm]}: {victims[one.workload, one.params, one.metric]} beside {one.neighbour} "
            f"{MISSING if one.slowdown is None else ratio(one.slowdown)}"
            for one in data.slowdowns
        )
        + "."
    )


def _placements(data: RunData) -> str:
    """On which CPUs the instances and their neighbours ran, by what their trials recorded."""
    placed: dict[str, set[str]] = {}
    for trial in data.trials:
        if "beside_cpus" in trial.facts:
            own, other = trial.facts["own_cpus"], trial.facts["beside_cpus"]
            where = f"on CPU {own}, the neighbour on CPU {other}"
            placed.setdefault(where, set()).add(data.labels.get(trial.arm, trial.arm))
    return " ".join(f"{', '.join(sorted(arms))}: the instance ran {where}." for where, arms in sorted(placed.items()))
