"""Whether the clocks inside instances can be relied on: what a tool measures there is by the instance's own clock.

A guest's kernel may give up its clocksource for a worse one while it runs, and a guest's clock may run at another pace
than the host's: rates and latencies are then off, and startup, shutdown and CPU time, which the host takes, are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from results.records import TrialRecord

TOLERANCE = 0.05
"""How far a duration by the instance's clock, divided by that by the host's, may be from 1."""


def clock_warnings(trials: Iterable[TrialRecord]) -> tuple[str, ...]:
    """What is to be said of the clocks of a run's successful trials, a sentence or two each; nothing if all is well.

    It goes by two facts of a trial, each of which may be absent: ``clocksource``, read after the workload, and
    ``clock_ratio``, the workload's duration by the instance's clock divided by that by the host's.
    """
    arms: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        if trial.status == "ok":
            arms.setdefault(trial.arm, []).append(trial)
    return tuple(
        warning
        for arm, of_arm in arms.items()
        for warning in (_clocksources(arm, of_arm), _pace(arm, of_arm))
        if warning
    )


def _clocksources(arm: str, trials: list[TrialRecord]) -> str | None:
    counted = Counter(source for trial in trials if (source := trial.facts.get("clocksource")))
    if len(counted) < 2:
        return None
    listed = ", ".join(f"{source} in {_trials(count)}" for source, count in counted.most_common())
    return (
        f"The trials of {arm} did not all end on the same clocksource: {listed}. What a tool measured inside them by "
        "its own clock is not comparable from one to the other."
    )


def _pace(arm: str, trials: list[TrialRecord]) -> str | None:
    known = [trial for trial in trials if "clock_ratio" in trial.facts]
    wrong = [trial for trial in known if not abs(_number(trial.facts["clock_ratio"]) - 1) <= TOLERANCE]
    if not wrong:
        return None
    named = ", ".join(f"{trial.facts['clock_ratio']} in trial {trial.trial}" for trial in wrong[:3])
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return (
        f"In {len(wrong)} of {_trials(len(known))} of {arm} the instance's clock and the host's differ by more "
        f"than {100 * TOLERANCE:g} %: instance/host is {named}{more}. Rates and latencies measured inside are off "
        "by as much."
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _trials(count: int) -> str:
    return f"{count} {'trial' if count == 1 else 'trials'}"
