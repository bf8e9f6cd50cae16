"""The top of a report: banners, a card for every arm, and the findings in sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from results import checks, limits
from results.charts.cases import arm_medians, case_labels
from results.charts.quantities import MISSING, Written, interval, quantity, ratio
from results.charts.style import ArmStyle
from results.charts.throughput import advantage
from results.clocks import clock_warnings
from results.compare import Comparison
from results.report.data import RunData
from results.report.document import Banner, Card, Finding, Headline
from results.resources import resource_warnings
from results.stats.false_discovery import enough_blocks
from results.stats.verdict import MIN_BLOCKS, UNSETTLED, Verdict

VERDICTS: tuple[Verdict, ...] = ("better", "same", "worse", "inconclusive")


def banners(data: RunData) -> tuple[Banner, ...]:
    """What must be known before any figure is read, the gravest first."""
    found = (
        _emulation(data),
        _unfinished(data),
        _few_blocks(data),
        _unsettled(data),
        _clocks(data),
        _unequal_arms(data),
        _disturbed_blocks(data),
        _failed_trials(data),
        _left_out(data),
    )
    return tuple(banner for banner in found if banner is not None)


def _emulation(data: RunData) -> Banner | None:
    emulated = [arm.name for arm in data.arms if arm.emulated]
    if not emulated:
        return None
    return Banner(
        "alarm",
        "Software emulation: function only, never performance",
        f"All figures of {_listed(emulated)} come from QEMU's software emulation (accel: tcg), because KVM "
        "was not usable or not asked for. They show that the arm works. They say nothing about how fast a "
        "virtual machine is: with KVM it is many times faster.",
    )


def _unfinished(data: RunData) -> Banner | None:
    if data.run.status == "complete":
        return None
    state = {"running": "has not ended", "partial": "is partial", "failed": "failed"}[data.run.status]
    reason = f" Reason: {data.run.stop_reason}." if data.run.stop_reason else ""
    return Banner("notice", f"This run {state}", f"What follows rests on what was measured so far.{reason}")


def _few_blocks(data: RunData) -> Banner | None:
    blocks = len({trial.block for trial in data.trials if trial.status == "ok"})
    if not data.comparisons or blocks >= MIN_BLOCKS:
        return None
    return Banner(
        "notice",
        f"{blocks} block{'' if blocks == 1 else 's'}: at least {MIN_BLOCKS} are needed for an interval",
        f"Nothing is decided: what differs may be chance. Ask for more with bench run --blocks {MIN_BLOCKS}.",
    )


def _unsettled(data: RunData) -> Banner | None:
    """What would be decided if it were the only comparison."""
    controlled = [one for one in data.comparisons if one.q_value is not None]
    unsettled = [one for one in controlled if UNSETTLED in one.warnings]
    if not unsettled:
        return None
    tested = Counter(one.family for one in controlled)
    enough = max(
        enough_blocks(count, tested[family]) for family, count in Counter(one.family for one in unsettled).items()
    )
    plural = len(unsettled) > 1
    return Banner(
        "notice",
        f"{len(unsettled)} difference{'s' if plural else ''} not decided for want of blocks",
        f"{'Their intervals are' if plural else 'Its interval is'} beyond the threshold, but of {tested.total()} "
        "comparisons, some would be by chance in so few blocks (control of false discoveries). If what differs does so "
        f"in every block, {max(enough, max(one.n for one in unsettled) + 1)} blocks decide it: bench run --blocks.",
    )


def _clocks(data: RunData) -> Banner | None:
    if not clock_warnings(data.trials):
        return None
    return Banner(
        "notice",
        "Clocks inside instances are in doubt",
        "Rates and latencies that a tool measured inside an instance, by its clock, may be off: see Host and fairness.",
    )


def _unequal_arms(data: RunData) -> Banner | None:
    unequal = [text for texts in resource_warnings(data.trials, data.run.baseline).values() for text in texts]
    if not unequal:
        return None
    said = f"{'; '.join(unequal)}. What is compared of them is that, too."
    return Banner("notice", "Not all arms had the same to work with", said)


def _disturbed_blocks(data: RunData) -> Banner | None:
    disturbed = sum(block.disturbed for block in data.noise)
    if not disturbed:
        return None
    return Banner(
        "notice",
        f"{disturbed} of {len(data.noise)} blocks disturbed",
        "Something else was at work on the host while they were measured. They are not left out: see Noise.",
    )


def _left_out(data: RunData) -> Banner | None:
    left_out: Mapping[str, str] = data.host.get("left_out", {})
    if not left_out:
        return None
    number = len(left_out)
    return Banner(
        "notice",
        f"{number} arm{'' if number == 1 else 's'} of the suite could not be had on this host",
        f"{'. '.join(f'{name}: {why}' for name, why in left_out.items())}.",
    )


def _failed_trials(data: RunData) -> Banner | None:
    failed = Counter(trial.arm for trial in data.trials if trial.status == "failed")
    if not failed:
        return None
    by_arm = _listed([f"{arm.name} {failed[arm.name]}" for arm in data.arms if failed[arm.name]])
    return Banner(
        "notice",
        f"{failed.total()} of {len(data.trials)} trials failed",
        f"By arm: {by_arm}. A failed trial gives no figure; the reasons stand under Failed trials.",
    )


def cards(data: RunData) -> tuple[Card, ...]:
    """One card an arm, in the order of the suite."""
    return tuple(_card(data, arm) for arm in data.arms)


def findings(data: RunData) -> tuple[Finding, ...]:
    """What was checked and how limits were kept; then who wins what, by how much and how surely."""
    outcomes = [
        Finding(f"{arm.label}:", text)
        for arm in data.arms
        if (
            text := " ".join(
                filter(None, (checks.sentence(data.checks, arm.name), limits.sentence(data.limits, arm.name)))
            )
        )
    ]
    others = [arm for arm in data.arms if arm.name != data.run.baseline]
    return (*outcomes, *(finding for arm in others if (finding := _finding(data, arm))))


def note(data: RunData) -> str:
    """Where the figures of the cards come from."""
    if data.reference is None:
        return "No trial succeeded, so there is nothing to compare."
    metrics = {(comparison.workload, comparison.params, comparison.metric) for comparison in data.throughput}
    throughput = (
        f"Throughput: geometric mean of the ratios to {data.run.baseline} of {len(metrics)} workload metrics, each "
        "turned so that above 1× is better. "
        if metrics
        else ""
    )
    return (
        f"Startup and idle memory: medians over the trials of {' '.join(data.reference).strip()}. {throughput}"
        "CPU time: geometric mean over the workloads of the host CPU time of the instance's processes, where below 1× "
        "is better. In brackets: 95 % confidence intervals."
    )


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """Of those that are there; None if none is."""
    logarithms = [math.log(value) for value in values if value is not None and value > 0]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else None


def with_interval(comparison: Comparison) -> str:
    """A comparison's ratio and interval as it stands, arm/baseline."""
    between = interval(comparison.ci_low, comparison.ci_high)
    text = f"{ratio(comparison.ratio)} [{between}]" if between else ratio(comparison.ratio)
    return Written(text, comparison.ratio)


def _card(data: RunData, arm: ArmStyle) -> Card:
    is_baseline = arm.name == data.run.baseline
    tags = ("baseline",) * is_baseline + ("emulated",) * arm.emulated
    headlines = [
        _level(data, arm, "Startup", "startup_time", "s"),
        _level(data, arm, "Idle memory", "memory_footprint", "bytes"),
    ]
    if data.densities:
        headlines.append(_level(data, arm, "One more instance", "marginal_memory", "bytes"))
    if data.slowdowns:
        headlines.append(_worst_neighbour(data, arm))
    if data.checks:
        headlines.append(Headline("Claims", checks.total(data.checks, arm.name), ""))
    if data.limits:
        headlines.append(Headline("Limits", limits.total(data.limits, arm.name), ""))
    own = [comparison for comparison in data.throughput if comparison.arm == arm.name]
    speed = geometric_mean(advantage(comparison).ratio for comparison in own)
    cost = geometric_mean(comparison.ratio for comparison in _of(data.comparisons, arm.name, "cpu_time"))
    if data.throughput:
        count = f"mean of {len(own)}" if own else ""
        headlines.append(Headline("Throughput", "1×" if is_baseline else ratio(speed), count))
    headlines.append(Headline("CPU time", "1×" if is_baseline else ratio(cost), ""))
    counted = Counter(comparison.verdict for comparison in own)
    return Card(arm.name, arm.index, tags, tuple(headlines), {word: counted[word] for word in VERDICTS} if own else {})


def _level(data: RunData, arm: ArmStyle, name: str, metric: str, unit: str) -> Headline:
    median = arm_medians(data.reference_frame, metric).get(arm.name)
    comparison = data.against_baseline(arm.name, metric)
    return Headline(name, quantity(median, unit), with_interval(comparison) if comparison else "")


def _worst_neighbour(data: RunData, arm: ArmStyle) -> Headline:
    own = [one for one in data.slowdowns if one.arm == arm.name and one.slowdown is not None]
    worst = max(own, key=lambda one: one.slowdown or 0.0, default=None)
    if worst is None:
        return Headline("Worst neighbour", MISSING, "")
    name = worst.neighbour.partition("(")[0]
    return Headline("Worst neighbour", ratio(worst.slowdown), f"{worst.workload} beside {name}")


def _finding(data: RunData, arm: ArmStyle) -> Finding | None:
    baseline = data.run.baseline
    parts = []
    startup = data.against_baseline(arm.name, "startup_time")
    if startup and startup.ratio is not None:
        parts.append(f"takes {with_interval(startup)} as long as {baseline} to start{_undecided(startup)}")
    memory = data.against_baseline(arm.name, "memory_footprint")
    if memory and memory.ratio is not None:
        parts.append(f"needs {with_interval(memory)} the idle memory{_undecided(memory)}")
    own = [comparison for comparison in data.throughput if comparison.arm == arm.name]
    speed = geometric_mean(advantage(comparison).ratio for comparison in own)
    if speed is not None:
        counted = Counter(comparison.verdict for comparison in own)
        verdicts = ", ".join(f"{counted[word]} {word}" for word in VERDICTS if counted[word])
        parts.append(f"reaches {ratio(speed)} the throughput ({verdicts})")
    if not parts:
        return None
    emulated = " (emulated: function only, never performance)" if arm.emulated else ""
    return Finding(arm.name + emulated, f"{_listed(parts)}.{_extremes(own)}")


def _undecided(one: Comparison) -> str:
    return " (not decided)" if one.verdict == "inconclusive" else ""


def _extremes(own: Sequence[Comparison]) -> str:
    """The greatest gain and the greatest loss among those decided."""
    labels = case_labels((comparison.workload, comparison.params) for comparison in own)
    text = ""
    for word, name, sign in (("better", "gain", 1), ("worse", "loss", -1)):
        decided = [comparison for comparison in own if comparison.verdict == word]
        if decided:
            most = max(decided, key=lambda comparison: sign * (advantage(comparison).ratio or 1))
            turned = advantage(most)
            between = interval(turned.low, turned.high)
            title = f"{labels[most.workload, most.params]}, {most.metric}"
            text += f" Greatest {name}: {title}, {ratio(turned.ratio)} [{between or MISSING}]."
    return text


def _of(comparisons: Iterable[Comparison], arm: str, metric: str) -> list[Comparison]:
    return [comparison for comparison in comparisons if (comparison.arm, comparison.metric) == (arm, metric)]


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
