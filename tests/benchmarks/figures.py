"""From starts to figures: medians, tails, ratios with intervals, and what was aimed at."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.stats
from starts import Start

OURS = "ours"
OURS_VETH = "ours_veth"
FLOOR = "floor"

RATIOS = {
    "ratio_runc": (OURS, "runc"),
    "ratio_bwrap": (OURS, "bwrap"),
    "ratio_nspawn": (OURS, "nspawn"),
    "ratio_crun": (OURS, "crun"),
    "ratio_veth_runc": (OURS_VETH, "runc"),
}
"""Each the median of the first divided by the median of the second."""

GOALS = {
    "ratio_runc": 0.20,
    "ratio_bwrap": 0.90,
    "ratio_veth_runc": 0.40,
    "p99_ratio": 3.0,
    "veth_p99_ratio": 3.0,
}
"""At most."""

_LEAST_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one interleaved run gave.

    Attributes:
        starts: of each contestant, one a round, in the order of the rounds.
        seed: of the order inside the rounds.
        absent: why a peer has none, by its name.
        facts: versions, host, and how it was measured.
    """

    starts: Mapping[str, Sequence[Start]]
    seed: int
    absent: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def milliseconds(self, name: str) -> list[float]:
        """From request to READY, of every start of a contestant."""
        return [start.ready for start in self.starts[name]]


def figures(measured: Measurement) -> dict[str, Any]:
    """Everything as one JSON object; a unit stands in each name that has one."""
    ours, veth = measured.milliseconds(OURS), measured.milliseconds(OURS_VETH)
    found: dict[str, Any] = {"ready_ms": statistics.median(ours)}
    found |= {name: _ratio(measured, *pair) for name, pair in RATIOS.items()}
    found |= {"ready_p99_ms": quantile(ours, 0.99), "p99_ratio": quantile(ours, 0.99) / statistics.median(ours)}
    found |= {"veth_ready_ms": statistics.median(veth), "veth_ready_p99_ms": quantile(veth, 0.99)}
    found |= {"veth_p99_ratio": quantile(veth, 0.99) / statistics.median(veth)}
    for name in (name for name in measured.starts if name not in {OURS, OURS_VETH}):
        times = measured.milliseconds(name)
        found |= {f"{name}_ms": statistics.median(times), f"{name}_p99_ms": quantile(times, 0.99)}
    found["n"] = len(ours)
    found["seed"] = measured.seed
    found["intervals"] = {name: _interval(measured, *pair) for name, pair in RATIOS.items()}
    found["phases_ms"] = _phases(measured.starts[OURS])
    found["veth_phases_ms"] = _phases(measured.starts[OURS_VETH])
    found["goals"] = {
        name: {"at_most": most, "met": None if found[name] is None else found[name] <= most}
        for name, most in GOALS.items()
    }
    return found | {"absent": dict(measured.absent), **measured.facts}


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest value that a share of ``q`` of all does not exceed."""
    return sorted(values)[math.ceil(q * len(values)) - 1]


def _ratio(measured: Measurement, ours: str, peer: str) -> float | None:
    if peer not in measured.starts:
        return None
    return statistics.median(measured.milliseconds(ours)) / statistics.median(measured.milliseconds(peer))


def _interval(measured: Measurement, ours: str, peer: str) -> tuple[float, float] | None:
    """The 95 % interval of the ratio of medians: percentiles over rounds drawn anew (Efron's bootstrap), all of a round
    at once, since a round's starts met the same moment of the host. None where there are too few rounds to draw from.
    """
    if peer not in measured.starts or len(measured.starts[peer]) < _LEAST_ROUNDS:
        return None
    drawn = scipy.stats.bootstrap(
        (measured.milliseconds(ours), measured.milliseconds(peer)),
        lambda arm, base, axis: np.median(arm, axis=axis) / np.median(base, axis=axis),
        paired=True,
        method="percentile",
        rng=measured.seed,
    )
    low, high = drawn.confidence_interval
    return float(low), float(high)


def _phases(starts: Sequence[Start]) -> dict[str, float]:
    return {phase: statistics.median(start.phases[phase] for start in starts) for phase in starts[0].phases}


def table(found: Mapping[str, Any]) -> str:
    """The same for readers."""
    lines = [f"Request to READY, {found['n']} interleaved rounds, seed {found['seed']}", ""]
    lines.append(f"{'':24}{'median':>12}{'p99':>12}   ours / it (95 % interval)")
    lines.append(_row("ours, no network", found["ready_ms"], found["ready_p99_ms"]))
    lines.append(_row("ours, veth on a bridge", found["veth_ready_ms"], found["veth_ready_p99_ms"]))
    for name in (FLOOR, "runc", "crun", "bwrap", "nspawn"):
        if name in found["absent"]:
            lines.append(f"{name:24}{'–':>12}   {found['absent'][name]}")
            continue
        row = _row(name, found[f"{name}_ms"], found[f"{name}_p99_ms"])
        lines.append(row + (_told_ratio(found, f"ratio_{name}") if name != FLOOR else ""))
    lines += ["", f"{'phase':24}{'no network':>12}{'veth':>12}"]
    bare, veth = found["phases_ms"], found["veth_phases_ms"]
    for phase in dict.fromkeys([*veth, *bare]):
        cells = (f"{phases[phase]:9.2f} ms" if phase in phases else "–" for phases in (bare, veth))
        lines.append(f"{phase:24}" + "".join(f"{cell:>12}" for cell in cells))
    lines += ["", f"{'goal':24}{'at most':>12}{'found':>12}"]
    for name, goal in found["goals"].items():
        verdict = {True: "met", False: "missed", None: "not measured"}[goal["met"]]
        value = "–" if found[name] is None else f"{found[name]:.2f}"
        lines.append(f"{name:24}{goal['at_most']:12.2f}{value:>12}   {verdict}")
    return "\n".join(lines)


def _told_ratio(found: Mapping[str, Any], name: str) -> str:
    interval = found["intervals"][name]
    return f"   {found[name]:.2f}" + (f" ({interval[0]:.2f}–{interval[1]:.2f})" if interval else "")


def _row(name: str, median: float, p99: float) -> str:
    return f"{name:24}{median:9.2f} ms{p99:9.2f} ms"
