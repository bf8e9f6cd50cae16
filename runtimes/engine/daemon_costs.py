"""What instances cost in the cgroup of a daemon that starts them all, shared among those that live."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runtimes.accounting import anonymous_part
from runtimes.cgroup import Cgroup, DaemonTree
from runtimes.cgroup.figures import CpuTime
from runtimes.engine.instance import HELD_BY_HELPERS, NO_CPU_TIME, Outside


class Share:
    """What one instance has cost in the daemon's cgroup.

    Attributes:
        begun: whether it has been requested.
        cpu: CPU time up to the last reading.
    """

    def __init__(self, costs: DaemonCosts) -> None:
        self._costs = costs
        self.begun = False
        self.cpu = NO_CPU_TIME

    def begin(self) -> None:
        """The instance is requested now. Nothing is read, and nobody waited for: its start is being timed."""
        self.begun = True

    def outside(self, shim: int) -> Outside:
        """Read it.

        Args:
            shim: the process in the daemon's cgroup that is there for this instance alone.
        """
        grown, cpu = self._costs.read(self)
        held = anonymous_part(shim)
        return Outside({"shim": held, "daemon": max(grown - held, 0)}, cpu)


class DaemonCosts:
    """Keeps the accounts of one daemon; several threads may use it.

    CPU time is shared equally by those that live while it passes, from when an instance is requested until it is gone.
    Memory that a daemon holds beyond what it held when no instance was there, likewise by those that live at the time.
    Where several are requested at the same time, what passes before the first reading after that is shared by all of
    them, from when the last account was opened: just before.
    """

    def __init__(self, tree: DaemonTree) -> None:
        self._tree = tree
        self._lock = threading.Lock()
        self._open: list[Share] = []
        self._idle = self._memory()
        self._cpu = self._own_cpu()

    @property
    def idle(self) -> int:
        """Bytes that the daemon held when no instance was there last."""
        return self._idle

    @contextmanager
    def account(self) -> Iterator[Share]:
        """The account of an instance, open from just before its request, which :meth:`Share.begin` tells, until it is
        gone.
        """
        share = Share(self)
        with self._lock:
            if not self._open:
                self._idle = self._memory()
            self._divide()
            self._open.append(share)
        try:
            yield share
        finally:
            with self._lock:
                self._divide()
                self._open.remove(share)

    def read(self, share: Share) -> tuple[int, CpuTime]:
        """Bytes of the daemon's growth, and the CPU time, that are one instance's now."""
        with self._lock:
            self._divide()
            return max(self._memory() - self._idle, 0) // max(len(self._living()), 1), share.cpu

    def _living(self) -> list[Share]:
        return [share for share in self._open if share.begun]

    def _divide(self) -> None:
        now, living = self._own_cpu(), self._living()
        for share in living:
            part = _scaled(_less(now, self._cpu), 1 / len(living))
            share.cpu = _less(share.cpu, _scaled(part, -1))
        self._cpu = now

    def _own_cpu(self) -> CpuTime:
        # The part that is taken away is read first: it must not be ahead of the whole.
        instances = self._tree.instances.cpu()
        return _less(self._tree.whole.cpu(), instances)

    def _memory(self) -> int:
        return _held(self._tree.whole) - _held(self._tree.instances)


def _held(cgroup: Cgroup) -> int:
    parts = cgroup.split()
    return sum(parts.get(part, 0) for part in HELD_BY_HELPERS)


def _less(one: CpuTime, other: CpuTime) -> CpuTime:
    return CpuTime(one.total - other.total, one.user - other.user, one.system - other.system, 0.0)


def _scaled(time: CpuTime, factor: float) -> CpuTime:
    return CpuTime(time.total * factor, time.user * factor, time.system * factor, 0.0)
