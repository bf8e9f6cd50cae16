"""From a guest's starts to figures, and what was aimed at."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from libvirt_share import GuestStart
from measurement import Measurement, goal_lines, goals_met, interval, phases, ratio, told_ratio

STOCK, TUNED, RESTORE = "stock", "tuned", "restore"
PLAIN, PLAIN_QUIET, BEST = "plain", "plain_quiet", "best"

RATIOS = {
    "ratio_best": (TUNED, BEST),
    "ratio_plain": (TUNED, PLAIN),
    "ratio_plain_quiet": (TUNED, PLAIN_QUIET),
    "ratio_restore": (RESTORE, TUNED),
}
"""Each the median of the first divided by the median of the second."""

GOALS = {"ratio_best": 1.10, "ratio_plain": 0.70, "ratio_restore": 0.25, "libvirt_ms": 120.0}
"""At most."""


def figures(measured: Measurement) -> dict[str, Any]:
    """Everything as one JSON object; a unit stands in each name that has one.

    ``libvirt_ms`` is the median of what libvirt itself took of the tuned guest's starts, by its own log
    (:func:`libvirt_share.libvirt_share`); None where it wrote none.
    """
    found: dict[str, Any] = {
        f"{name}_s": statistics.median(measured.milliseconds(name)) / 1e3 for name in measured.starts
    }
    shares = [start.libvirt for start in measured.starts[TUNED] if isinstance(start, GuestStart)]
    known = [share for share in shares if share is not None]
    found["libvirt_ms"] = statistics.median(known) if known else None
    found |= {name: ratio(measured, *pair) for name, pair in RATIOS.items()}
    found["n"] = len(measured.starts[TUNED])
    found["seed"] = measured.seed
    found["intervals"] = {name: interval(measured, *pair) for name, pair in RATIOS.items()}
    ours = [name for name in (STOCK, TUNED, RESTORE) if name in measured.starts]
    found["phases_ms"] = {name: phases(measured.starts[name]) for name in ours}
    found["goals"] = goals_met(found, GOALS)
    return found | {"absent": dict(measured.absent), **measured.facts}


def table(found: Mapping[str, Any]) -> str:
    """The same for readers."""
    lines = [
        f"Request to READY, {found['n']} interleaved rounds, seed {found['seed']}, accelerator {found['accel']}",
        "",
        f"{'':24}{'median':>12}   tuned / it (95 % interval)",
    ]
    for name in (STOCK, TUNED, RESTORE, PLAIN, PLAIN_QUIET, BEST):
        if name in found["absent"]:
            lines.append(f"{name:24}{'–':>12}   {found['absent'][name]}")
            continue
        told = told_ratio(found, f"ratio_{name}") if name in (PLAIN, PLAIN_QUIET, BEST) else ""
        lines.append(f"{name:24}{found[f'{name}_s']:10.3f} s{told}")
    if found["libvirt_ms"] is not None:
        lines.append(f"{'libvirt, of tuned':24}{found['libvirt_ms']:9.0f} ms")
    for name, medians in found["phases_ms"].items():
        lines += ["", f"phases of {name}"]
        lines += [f"  {phase:22}{milliseconds:9.1f} ms" for phase, milliseconds in medians.items()]
    return "\n".join(lines + goal_lines(found))
