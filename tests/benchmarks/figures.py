"""From starts to figures: medians, tails, ratios with intervals, and what was aimed at."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from measurement import Measurement, goal_lines, goals_met, interval, phases, quantile, ratio, told_ratio

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


def figures(measured: Measurement) -> dict[str, Any]:
    """Everything as one JSON object; a unit stands in each name that has one."""
    ours, veth = measured.milliseconds(OURS), measured.milliseconds(OURS_VETH)
    found: dict[str, Any] = {"ready_ms": statistics.median(ours)}
    found |= {name: ratio(measured, *pair) for name, pair in RATIOS.items()}
    found |= {"ready_p99_ms": quantile(ours, 0.99), "p99_ratio": quantile(ours, 0.99) / statistics.median(ours)}
    found |= {"veth_ready_ms": statistics.median(veth), "veth_ready_p99_ms": quantile(veth, 0.99)}
    found |= {"veth_p99_ratio": quantile(veth, 0.99) / statistics.median(veth)}
    for name in (name for name in measured.starts if name not in {OURS, OURS_VETH}):
        times = measured.milliseconds(name)
        found |= {f"{name}_ms": statistics.median(times), f"{name}_p99_ms": quantile(times, 0.99)}
    found["n"] = len(ours)
    found["seed"] = measured.seed
    found["intervals"] = {name: interval(measured, *pair) for name, pair in RATIOS.items()}
    found["phases_ms"] = phases(measured.starts[OURS])
    found["veth_phases_ms"] = phases(measured.starts[OURS_VETH])
    found["goals"] = goals_met(found, GOALS)
    return found | {"absent": dict(measured.absent), **measured.facts}


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
        lines.append(row + (told_ratio(found, f"ratio_{name}") if name != FLOOR else ""))
    lines += ["", f"{'phase':24}{'no network':>12}{'veth':>12}"]
    bare, veth = found["phases_ms"], found["veth_phases_ms"]
    for phase in dict.fromkeys([*veth, *bare]):
        cells = (f"{phases[phase]:9.2f} ms" if phase in phases else "–" for phases in (bare, veth))
        lines.append(f"{phase:24}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines + goal_lines(found))


def _row(name: str, median: float, p99: float) -> str:
    return f"{name:24}{median:9.2f} ms{p99:9.2f} ms"
