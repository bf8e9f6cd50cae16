"""The steps that every process of the launcher begins and ends with."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence

from runtimes.cgroup import Cgroup
from runtimes.launcher.client import FURTHER, LOG, STREAM
from runtimes.launcher.steps import Descriptor, Steps
from runtimes.syscalls import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER

AGENT_FD = 3
"""The descriptor under which the program finds its stream."""

_PR_SET_PDEATHSIG = 1
_CLOSE_RANGE_CLOEXEC = 4
_OUT_OF_THE_WAY = 100
_CPUS_A_BYTE = 8


def enter(cgroup: Cgroup, cpus: Sequence[int]) -> Steps:
    """The first steps: apart from the launcher's session, in the cgroup, on the CPUs.

    Args:
        cgroup: what to join, unless it is started there.
        cpus: the CPUs that it may run on.
    """
    steps = Steps("leave the launcher")
    steps.stamp("clone")
    steps.call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGKILL), about="PR_SET_PDEATHSIG")
    steps.call("setsid")
    steps.purpose("join the cgroup")
    for path in cgroup.files_to_join:
        steps.write_file(str(path), "0")
    steps.purpose("keep to the CPUs of the instance")
    mask = _cpu_mask(cpus)
    steps.call("sched_setaffinity", 0, len(mask), mask, about=str(list(cpus)))
    steps.stamp("join")
    return steps


def join_network(place: int = FURTHER) -> Steps:
    """Enter the network namespace whose descriptor is passed along at ``place``."""
    steps = Steps("join the network")
    steps.call("setns", Descriptor(place), CLONE_NEWNET)
    return steps


def join_mounts(place: int = FURTHER) -> Steps:
    """Enter the mount namespace whose descriptor is passed along at ``place``; paths are from here on those in it."""
    steps = Steps("join the mounts")
    steps.call("setns", Descriptor(place), CLONE_NEWNS)
    return steps


def become_root_of(user_namespace: Descriptor) -> Steps:
    """Enter a user namespace and be root in it."""
    steps = Steps("enter the user namespace")
    steps.call("setns", user_namespace, CLONE_NEWUSER)
    steps.call("setresgid", 0, 0, 0)
    steps.call("setresuid", 0, 0, 0)
    # The kernel has forgotten it with the change of users (prctl(2)).
    steps.call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGKILL), about="PR_SET_PDEATHSIG")
    return steps


def run(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Steps:
    """The last steps: standard input from /dev/null, output and error to the log, the stream at its place, and execve.

    Everything else is closed.

    Args:
        argv: the program and its arguments.
        environment: all of its environment; None for none.
    """
    steps = _moved_away()
    steps.open_as("/dev/null", os.O_RDONLY, 0)
    for source, target in ((LOG, 1), (LOG, 2), (STREAM, AGENT_FD)):
        steps.call("dup3", _OUT_OF_THE_WAY + source, target, 0)
    return _executed(steps, AGENT_FD + 1, argv, environment)


def run_on_stream(argv: Sequence[str], environment: Mapping[str, str]) -> Steps:
    """The same of a program that finds the stream at its standard input and output, such as a container engine's: it
    hands them on.

    Args:
        argv: the program and its arguments.
        environment: all of its environment.
    """
    steps = _moved_away()
    for source, target in ((STREAM, 0), (STREAM, 1), (LOG, 2)):
        steps.call("dup3", _OUT_OF_THE_WAY + source, target, 0)
    return _executed(steps, 3, argv, environment)


def _moved_away() -> Steps:
    steps = Steps("arrange the descriptors")
    # Out of the way first: any of them may have a number that another is about to get.
    for place in (STREAM, LOG):
        steps.call("dup3", Descriptor(place), _OUT_OF_THE_WAY + place, 0)
    return steps


def _executed(
    steps: Steps, first_closed: int, argv: Sequence[str], environment: Mapping[str, str] | None = None
) -> Steps:
    steps.call("close_range", first_closed, 0xFFFFFFFF, _CLOSE_RANGE_CLOEXEC)
    steps.purpose("execute the program")
    steps.stamp("exec")
    steps.execute(argv, environment)
    return steps


def _cpu_mask(cpus: Sequence[int]) -> bytes:
    """A ``cpu_set_t`` (sched_setaffinity(2))."""
    mask = bytearray((max(cpus) // 64 + 1) * 8)
    for cpu in cpus:
        mask[cpu // _CPUS_A_BYTE] |= 1 << cpu % _CPUS_A_BYTE
    return bytes(mask)
