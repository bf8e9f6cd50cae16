"""The charts of a run by name, all drawn from the same data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.charts.density import density_chart
from results.charts.interference import interference_chart
from results.charts.latency import latency_chart
from results.charts.levels import cpu_time_chart, memory_peak_chart
from results.charts.limits import limits_chart
from results.charts.memory import image_chart, memory_chart
from results.charts.noise import noise_chart
from results.charts.references import references_chart
from results.charts.starts import cold_start_chart, parallel_start_chart, startup_chart
from results.charts.startup import shutdown_phases_chart, startup_phases_chart
from results.charts.throughput import throughput_chart
from results.charts.waterfall import moments_chart, waterfall_chart

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.charts.style import ArmStyle
    from results.compare import Comparison
    from results.density import Density
    from results.interference import Slowdown
    from results.limits import GivenLimit
    from results.noise import BlockNoise
    from results.references import Reference


@dataclass(frozen=True)
class ChartData:
    """What the charts of one run are drawn from.

    Attributes:
        frame: all samples of the run, with the columns of the CSV export.
        reference: those of the case that stands for startup and idle footprint
            (:func:`results.charts.cases.reference_case`).
        throughput: the comparisons of what the workloads measure foremost.
        limits: those that the run measured.
        references: what others have published of the same.
        densities: what each further instance cost.
        slowdowns: of workloads beside neighbours.
        arms: styles of the arms in the order of the suite.
        noise: how quiet the host was in each block.
    """

    frame: pd.DataFrame
    reference: pd.DataFrame
    throughput: tuple[Comparison, ...]
    limits: tuple[GivenLimit, ...]
    references: tuple[Reference, ...]
    densities: tuple[Density, ...]
    slowdowns: tuple[Slowdown, ...]
    arms: tuple[ArmStyle, ...]
    noise: tuple[BlockNoise, ...]


def _executed(data: ChartData, *, emulated: bool) -> list[Comparison]:
    """Emulated arms have a chart of their own: they are no performance, and on a common axis would crush the others."""
    return [comparison for comparison in data.throughput if (comparison.accel == "tcg") == emulated]


CHARTS: Mapping[str, Callable[[ChartData, float], Figure | None]] = {
    "startup": lambda data, width: startup_chart(data.reference, data.arms, width),
    "startup-phases": lambda data, width: startup_phases_chart(data.reference, data.arms, width),
    "shutdown-phases": lambda data, width: shutdown_phases_chart(data.reference, data.arms, width),
    "cold-start": lambda data, width: cold_start_chart(data.frame, data.reference, data.arms, width),
    "parallel-start": lambda data, width: parallel_start_chart(data.frame, data.reference, data.arms, width),
    "memory": lambda data, width: memory_chart(data.reference, data.arms, width),
    "memory-waterfall": lambda data, width: waterfall_chart(data.reference, data.arms, width),
    "memory-moments": lambda data, width: moments_chart(data.frame, data.arms, width),
    "memory-peak": lambda data, width: memory_peak_chart(data.frame, data.arms, width),
    "image-size": lambda data, width: image_chart(data.reference, data.arms, width),
    "throughput": lambda data, width: throughput_chart(_executed(data, emulated=False), data.arms, width),
    "throughput-emulated": lambda data, width: throughput_chart(_executed(data, emulated=True), data.arms, width),
    "latency": lambda data, width: latency_chart(data.frame, data.arms, width),
    "cpu-time": lambda data, width: cpu_time_chart(data.frame, data.arms, width),
    "references": lambda data, width: references_chart(
        [each for each in data.references if each.comparison.accel != "tcg"], data.arms, width
    ),
    "density": lambda data, width: density_chart(data.densities, data.arms, width),
    "interference": lambda data, width: interference_chart(data.slowdowns, data.arms, width),
    "noise": lambda data, width: noise_chart(data.noise, width),
    "limits": lambda data, width: limits_chart(data.limits, data.arms, width),
}
"""Every chart by the name it has in a report and in :func:`results.report.save_chart`."""
