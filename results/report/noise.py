"""How quiet the host was, in a report."""

from __future__ import annotations

from collections.abc import Collection

from results.charts.quantities import MISSING, number, percent
from results.noise import OUTSIDE_LIMIT, SPEED_LIMIT, STEAL_LIMIT, BlockNoise, sentence
from results.report.data import RunData
from results.report.document import ColumnKind, Picture, Section, Table

_READING = (
    "Before the first block and after each, equal chunks of work are timed on the CPUs that are measured, and the "
    "kernel's counters are read. Speed is that of the slowest measured CPU, relative to the run's fastest reading; "
    "stolen is the share of the measured CPUs' time that a hypervisor gave to others; outside load is the share of the "
    "host's CPU time that other processes used, kernel threads and interrupts aside. Jitter is the 99th percentile of "
    "a chunk's time divided by the median, and a gap is a chunk that took 50 µs more than the median."
)


def noise(data: RunData, charts: Collection[str]) -> tuple[Section, ...]:
    """The strip of the blocks and its figures; nothing for a run that took no readings."""
    if not data.noise:
        return ()
    rule = (
        f"A block is disturbed if speed was below {percent(SPEED_LIMIT)}, if more than {percent(STEAL_LIMIT)} was "
        f"stolen, or if others used more than {percent(OUTSIDE_LIMIT)}. It is marked, and never left out."
    )
    told = sentence(data.noise)
    picture = Picture(
        "noise",
        "Noise, block by block",
        f"{told[0].upper()}{told[1:]}.",
        "Filled and framed cells are beyond their limit.",
    )
    columns: dict[str, ColumnKind] = {"Block": "number"}
    columns |= dict.fromkeys(("Speed", "Stolen", "Outside load", "Jitter", "Gaps"), "number")
    columns["Disturbed"] = "text"
    table = Table("Noise by block", columns, tuple(map(_row, data.noise)), folded=True)
    paragraphs = (f"{told[0].upper()}{told[1:]}. {rule}", _READING)
    return (Section("noise", "Noise", paragraphs, (), (picture,) if "noise" in charts else (), (table,)),)


def _row(block: BlockNoise) -> tuple[str, ...]:
    return (
        str(block.block),
        *(percent(share) for share in (block.speed, block.steal, block.outside)),
        MISSING if block.jitter is None else number(block.jitter),
        MISSING if block.gaps is None else str(block.gaps),
        "; ".join(block.reasons) or "no",
    )
