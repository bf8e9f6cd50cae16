"""Figures that the kernel gives for a cgroup, as its files have them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from runtimes.base import IoUsage


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU time of all processes that are or were in a cgroup, seconds.

    Attributes:
        total: all of it.
        user: the part outside the kernel.
        system: the rest.
        throttled: how long its CPUs were held up by the quota; not a part of ``total``.
    """

    total: float
    user: float
    system: float
    throttled: float

    @classmethod
    def divided(cls, total: float, user: float, system: float, throttled: float) -> Self:
        """``total`` divided in the proportion of ``user`` to ``system``, which the kernel samples at its clock ticks.

        Version 2 divides so by itself (``cputime_adjust`` in kernel/sched/cputime.c): without any sample of ``system``
        all of it is ``user``.
        """
        inside = total * system / (user + system) if system else 0.0
        return cls(total, total - inside, inside, throttled)


def parse_flat(text: str) -> dict[str, int]:
    """A flat keyed file (``memory.stat``, ``cpu.stat``, ``memory.events``): one name and number a line."""
    return {name: int(value) for name, value in (line.split() for line in text.splitlines() if line)}


def parse_io_stat(text: str, counts: Callable[[str], bool]) -> IoUsage:
    """The sum of an ``io.stat`` of version 2: a line a disk, such as ``254:0 rbytes=4096 wbytes=0 rios=1 wios=0``.

    Args:
        text: of the file.
        counts: whether a disk, given as ``MAJOR:MINOR``, is to be counted.
    """
    sums = dict.fromkeys(("rbytes", "wbytes", "rios", "wios"), 0)
    for line in text.splitlines():
        device, *figures = line.split()
        if not counts(device):
            continue
        for figure in figures:
            name, _, value = figure.partition("=")
            if name in sums:
                sums[name] += int(value)
    return IoUsage(*sums.values())


def parse_blkio(service_bytes: str, serviced: str, counts: Callable[[str], bool]) -> IoUsage:
    """The sums of ``blkio.throttle.io_service_bytes`` and ``.io_serviced`` of version 1.

    Each has lines such as ``254:0 Read 4096``.

    Args:
        service_bytes: the text of the first file, or of its recursive sister.
        serviced: of the second.
        counts: as for :func:`parse_io_stat`.
    """

    def both(text: str) -> tuple[int, int]:
        sums = {"Read": 0, "Write": 0}
        for line in text.splitlines():
            device, *figure = line.split()
            if len(figure) == 2 and figure[0] in sums and counts(device):
                sums[figure[0]] += int(figure[1])
        return sums["Read"], sums["Write"]

    (read_bytes, write_bytes), (read_ops, write_ops) = both(service_bytes), both(serviced)
    return IoUsage(read_bytes, write_bytes, read_ops, write_ops)


def parse_pressure(text: str) -> float | None:
    """Seconds in which at least one task waited, of a pressure file (kernel documentation, accounting/psi).

    Its line is ``some avg10=0.00 avg60=0.00 avg300=0.00 total=1234``, in microseconds; None without it.
    """
    for line in text.splitlines():
        kind, *figures = line.split()
        if kind == "some":
            return int(dict(figure.split("=") for figure in figures)["total"]) / 1e6
    return None
