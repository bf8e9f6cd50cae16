"""How quiet the host was while a run was measured, block by block, and which blocks were disturbed.

A run takes a *reading* before its first block and after every block: a probe works for a fixed time on the CPUs that
are measured, and what the kernel has counted since the reading before is taken with it. A block is judged by the
reading after it, and its speed by both that enclose it. Disturbed blocks are marked, and never left out: who leaves out
what was slow finds what was fast.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

OUTSIDE_LIMIT = 0.05
"""Of the host's CPU capacity, used by others. A difference of 5 % is what a verdict is about
(:data:`results.stats.verdict.THRESHOLD`), and others that take as much of every CPU may make it."""

STEAL_LIMIT = 0.02
"""Of the time of the measured CPUs, in which a hypervisor ran somebody else. It is taken from the instance whole, where
outside load goes to idle CPUs first, so that it may be less."""

SPEED_LIMIT = 0.95
"""Of the run's fastest reading: the same 5 % again. A CPU that has cooled down or shares its core is slower than
that; readings of a host that is left alone differ by less than 1 %."""

LEAST_SECONDS = 0.5
"""Blocks shorter than this are not judged by what the kernel counted: it counts in ticks of up to 10 ms."""


@dataclass(frozen=True, slots=True)
class CpuSpin:
    """A probe of one CPU: equal chunks of work, each timed; seconds.

    Attributes:
        cpu: its number.
        chunks: how many.
        median: duration of a chunk. It tells how fast the CPU is, since it does not change while fewer than half are
            held up.
        p99: the 99th percentile.
        longest: the longest.
        gaps: how many took 50 µs longer than the median or more: something else ran.
        lost: share of the time that went beyond the median of each chunk.
    """

    cpu: int
    chunks: int
    median: float
    p99: float
    longest: float
    gaps: int
    lost: float


@dataclass(frozen=True, slots=True)
class NoiseReading:
    """What was found after one block, or before the first. What the kernel does not tell is None.

    Attributes:
        block: after which it was taken; 0 before the first.
        taken: ISO 8601, UTC.
        seconds: since the reading before; None for the first one, which has nothing to count from.
        cost: seconds that taking it took.
        spins: the probe, a CPU each.
        steal: share of the time of the probed CPUs that a hypervisor gave to others.
        own: CPU time of the run and the harness, in CPUs: CPU seconds a second.
        outside: CPU time of all other processes, in CPUs; kernel threads and interrupts are nobody's.
        cpus: how many CPUs the host has.
        interrupts: a second, of the whole host.
        pressure: share of the time in which some task waited, by ``cpu``, ``memory`` and ``io``.
        load: the load average of one minute.
        frequency: mean of the probed CPUs, Hz.
        throttled: how often they were slowed down for their heat.
        temperature: the highest of the host's sensors, degrees Celsius.
    """

    block: int
    taken: str
    seconds: float | None
    cost: float
    spins: tuple[CpuSpin, ...]
    steal: float | None
    own: float | None
    outside: float | None
    cpus: int
    interrupts: float | None
    pressure: Mapping[str, float] = field(default_factory=dict)
    load: float | None = None
    frequency: float | None = None
    throttled: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class BlockNoise:
    """How quiet the host was during one block.

    Attributes:
        block: from 1.
        speed: of the measured CPUs, relative to the run's fastest reading: the slower of the readings before and after.
        jitter: p99 of the probe's chunks divided by their median, the worst CPU of the reading after it.
        gaps: how many chunks something else held up, of all CPUs of the reading after it.
        steal: share of the time of the measured CPUs.
        outside: share of the host's CPU capacity that others used.
        reasons: why the block counts as disturbed, in words; empty where it does not.
    """

    block: int
    speed: float | None
    jitter: float | None
    gaps: int | None
    steal: float | None
    outside: float | None
    reasons: tuple[str, ...]

    @property
    def disturbed(self) -> bool:
        """Whether anything was beyond its limit."""
        return bool(self.reasons)


def blocks_of(readings: Sequence[NoiseReading]) -> list[BlockNoise]:
    """The blocks that readings enclose, in their order; readings are those of one run, in the order taken."""
    fastest = _fastest(readings)
    before: NoiseReading | None = None
    found: list[BlockNoise] = []
    for reading in readings:
        if reading.block > 0:
            found.append(_block(reading, [each for each in (before, reading) if each is not None], fastest))
        before = reading
    return found


def disturbed_blocks(readings: Sequence[NoiseReading]) -> frozenset[int]:
    """The numbers of the blocks that were disturbed."""
    return frozenset(block.block for block in blocks_of(readings) if block.disturbed)


def disturbance_warning(measured: Collection[int], disturbed: Collection[int]) -> tuple[str, ...]:
    """What a comparison over some blocks has to say of those that were disturbed; nothing where none was."""
    touched = len(set(measured) & set(disturbed))
    return (f"{touched} of {len(set(measured))} blocks disturbed",) if touched else ()


def sentence(blocks: Sequence[BlockNoise]) -> str:
    """What a run's noise comes to, in a sentence; empty for a run that took no readings."""
    if not blocks:
        return ""
    disturbed = [block for block in blocks if block.disturbed]
    if not disturbed:
        return f"none of {len(blocks)} blocks disturbed"
    listed = "; ".join(f"block {block.block}: {', '.join(block.reasons)}" for block in disturbed[:3])
    more = f"; and {len(disturbed) - 3} more" if len(disturbed) > 3 else ""
    return f"{len(disturbed)} of {len(blocks)} blocks disturbed ({listed}{more})"


def to_json(blocks: Iterable[BlockNoise]) -> list[dict[str, object]]:
    """The blocks as plain data."""
    return [{**asdict(block), "reasons": list(block.reasons), "disturbed": block.disturbed} for block in blocks]


def _fastest(readings: Iterable[NoiseReading]) -> dict[int, float]:
    """The shortest median chunk of every CPU."""
    fastest: dict[int, float] = {}
    for spin in (spin for reading in readings for spin in reading.spins):
        fastest[spin.cpu] = min(spin.median, fastest.get(spin.cpu, spin.median))
    return fastest


def _block(reading: NoiseReading, around: Sequence[NoiseReading], fastest: Mapping[int, float]) -> BlockNoise:
    speeds = [fastest[spin.cpu] / spin.median for each in around for spin in each.spins]
    speed = min(speeds, default=None)
    counted = reading.seconds is not None and reading.seconds >= LEAST_SECONDS
    steal = reading.steal if counted else None
    outside = reading.outside / reading.cpus if counted and reading.outside is not None else None
    reasons = []
    if outside is not None and outside > OUTSIDE_LIMIT:
        reasons.append(f"others used {_percent(outside)} of the host's CPU time")
    if steal is not None and steal > STEAL_LIMIT:
        reasons.append(f"a hypervisor took {_percent(steal)} of the measured CPUs")
    if speed is not None and speed < SPEED_LIMIT:
        reasons.append(f"a measured CPU ran at {_percent(speed)} of its speed")
    return BlockNoise(
        block=reading.block,
        speed=speed,
        jitter=max((spin.p99 / spin.median for spin in reading.spins), default=None),
        gaps=sum(spin.gaps for spin in reading.spins) if reading.spins else None,
        steal=steal,
        outside=outside,
        reasons=tuple(reasons),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
