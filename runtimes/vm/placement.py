"""Where a daemon's QEMU gets what an embedded driver's has by itself: the run's tap, and CPU limits.

The run's bridge is in a network namespace of the run's own, where a daemon cannot put a tap. It is made here, and the
emulator is handed it open; for that nobody needs any capability, whichever user QEMU is, and whatever namespaces the
daemon has put it into.

CPU limits are our cgroup's, which the emulator joins, except where the daemon makes a cgroup: it moves QEMU's threads
to and fro below it, and fails if they are elsewhere. Then it is told the limits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtimes import user_namespace
from runtimes.base import HostError, Limits
from runtimes.cgroup import describe_version
from runtimes.cgroup.base import QUOTA_PERIOD, quota
from runtimes.network import RunNetwork
from runtimes.vm.domain import CpuTuning
from runtimes.vm.emulator import FIRST_KEPT
from runtimes.vm.hardware import Hardware
from runtimes.vm.process import NOTHING, Handed

VHOST_DEVICE = Path("/dev/vhost-net")

_DEFAULT_WEIGHT, _DEFAULT_SHARES = 100, 1024
"""What version 2 and version 1 have for the same share."""


@dataclass(frozen=True, slots=True)
class HandedTap:
    """A tap for an emulator that cannot make one.

    Attributes:
        handed: what the emulator is to be handed.
        tap_descriptor: number under which QEMU then finds the tap; None where libvirt makes it.
        vhost_descriptor: the same for vhost, or None for none.
    """

    handed: Handed = NOTHING
    tap_descriptor: int | None = None
    vhost_descriptor: int | None = None


@contextmanager
def handed_tap(network: RunNetwork, name: str, hardware: Hardware) -> Iterator[HandedTap]:
    """Make a tap on the run's bridge, with vhost as the hardware has it. Both are gone with QEMU once it has them.

    Raises:
        HostError: it cannot be made, or there is no vhost although it was asked for.
    """
    with ExitStack() as stack:
        kept = [stack.enter_context(network.make_tap(name))]
        vhost = _open_vhost(hardware)
        if vhost is not None:
            stack.callback(os.close, vhost)
            kept.append(vhost)
        entered = None
        if not user_namespace.is_initial():
            # Outside of the run's user namespace the kernel would not tell us QEMU's proportional set size (ptrace(2)).
            entered = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, entered)
        handed = Handed(tuple(kept), entered, stack.close)
        yield HandedTap(handed, FIRST_KEPT, None if vhost is None else FIRST_KEPT + 1)


def cpu_tuning(limits: Limits) -> CpuTuning:
    """The limits as libvirt puts them on a cgroup that it makes (libvirt's "CPU Tuning")."""
    weight = limits.cpu_weight
    shares = None
    if weight is not None:
        shares = weight if describe_version() == "v2" else round(weight * _DEFAULT_SHARES / _DEFAULT_WEIGHT)
    return CpuTuning(quota(limits.cpus), QUOTA_PERIOD, shares)


def _open_vhost(hardware: Hardware) -> int | None:
    if hardware.vhost is False or hardware.devices != "virtio":
        return None
    try:
        return os.open(VHOST_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if hardware.vhost:
            raise HostError(f"vhost: true needs {VHOST_DEVICE}: {error.strerror}; modprobe vhost_net") from error
        return None
