"""The steps there are, in the order in which they are taken and put back."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import PurePath

from bench.tune.step import FileStep, Host, Step, Values
from runtimes.accounting import parse_meminfo
from runtimes.topology import format_cpus, parse_cpus

_CPU = "/sys/devices/system/cpu"
_SMT_CONTROL = f"{_CPU}/smt/control"
_GOVERNOR = "performance"
_SWAP_HEADROOM = 64 << 20
"""Bytes of memory that are to be left after all that is swapped out has been taken in."""


class SmtStep(FileStep):
    """The second threads of cores: they share a core's caches and units with the first (ABI/testing, smt/control)."""

    def __init__(self) -> None:
        super().__init__(
            "smt", "second threads of cores offline", [_SMT_CONTROL], "off", absent="the kernel has no SMT control"
        )

    def missing(self, host: Host) -> str:
        state = host.read(_SMT_CONTROL)
        if state is None or state in ("on", "off"):
            return super().missing(host)
        return f"SMT is {state} here"


class GovernorStep(FileStep):
    """Who chooses frequencies: always the highest, instead of one that follows the load and lags behind it."""

    def __init__(self) -> None:
        super().__init__(
            "governor",
            "frequency governor performance",
            [f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor"],
            _GOVERNOR,
            absent="the kernel does not set frequencies here; in a guest the hypervisor's host does",
        )

    def missing(self, host: Host) -> str:
        available = {
            host.read(str(PurePath(place).with_name("scaling_available_governors"))) for place in self.show(host)
        }
        if any(listed is not None and _GOVERNOR not in listed.split() for listed in available):
            return f"the frequency driver has no governor {_GOVERNOR}"
        return super().missing(host)


class TurboStep(FileStep):
    """Frequencies above the nominal one, which last as long as heat and the number of busy cores allow."""

    _INTEL = f"{_CPU}/intel_pstate/no_turbo"
    _OTHERS = f"{_CPU}/cpufreq/boost"

    def __init__(self) -> None:
        super().__init__(
            "turbo", "turbo off", [self._INTEL, self._OTHERS], "", absent="no driver here can switch turbo"
        )

    def wanted(self, host: Host) -> Values:
        off = {self._INTEL: "1", self._OTHERS: "0"}
        return {place: off[place] for place in self.show(host)}


class HugePagesStep(FileStep):
    """Transparent huge pages: given to whoever is quick, they come and go between trials. ``never`` is left alone."""

    _PLACES = ("/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/mm/transparent_hugepage/defrag")

    def __init__(self) -> None:
        super().__init__(
            "huge-pages", "transparent huge pages for who asks", self._PLACES, "madvise", absent="the kernel has none"
        )

    def _value_of(self, host: Host, place: str) -> str | None:
        text = host.read(place)
        return None if text is None else text.partition("[")[2].partition("]")[0] or text

    def wanted(self, host: Host) -> Values:
        return {place: "never" if value == "never" else "madvise" for place, value in self.show(host).items()}


class SwapStep:
    """Swap, by swapoff(8) and swapon(8).

    A place is a device or file, its value ``off``, or ``on`` and the priority, if it is not one that the kernel chose:
    those are negative, other ones each time, and cannot be asked for.
    """

    name = "swap"
    summary = "swap off"
    unasked = True
    insists = True

    def missing(self, host: Host) -> str:
        areas = self._areas(host)
        if not areas:
            return "there is no swap"
        used = sum(used for used, _ in areas.values())
        available = parse_meminfo((host.read("/proc/meminfo") or "").encode()).get("available", 0)
        if used + _SWAP_HEADROOM > available:
            return f"{used >> 20} MiB are swapped out, and memory has {available >> 20} MiB for them"
        return ""

    def show(self, host: Host) -> Values:
        return {
            place: "on" if priority.startswith("-") else f"on {priority}"
            for place, (_, priority) in self._areas(host).items()
        }

    def wanted(self, host: Host) -> Values:
        return dict.fromkeys(self._areas(host), "off")

    def apply(self, host: Host, place: str, value: str) -> None:
        if value == "off":
            host.run_program(["swapoff", place])
            return
        priority = value.removeprefix("on").split()
        host.run_program(["swapon", *(["-p", *priority] if priority else []), place])

    def _areas(self, host: Host) -> dict[str, tuple[int, str]]:
        """By device or file: bytes in use, and the priority (proc_swaps(5))."""
        areas: dict[str, tuple[int, str]] = {}
        for line in (host.read("/proc/swaps") or "").splitlines()[1:]:
            name, _, _, used, priority = line.split()
            areas[name.encode().decode("unicode_escape")] = (int(used) << 10, priority)
        return areas


class InterruptsStep(FileStep):
    """Interrupts of devices, away from the CPUs that are measured; those that the kernel manages itself it keeps."""

    def __init__(self) -> None:
        super().__init__(
            "interrupts",
            "interrupts of devices away from measured CPUs",
            ["/proc/irq/[0-9]*/smp_affinity_list"],
            "",
            absent="the kernel shows no interrupts",
        )
        self.insists = False

    def missing(self, host: Host) -> str:
        if not self._others(host):
            return "every CPU is measured"
        return super().missing(host)

    def wanted(self, host: Host) -> Values:
        others = self._others(host)
        found: dict[str, str] = {}
        for place, value in self.show(host).items():
            with contextlib.suppress(ValueError):
                present = set(parse_cpus(value))
                if present & host.measured:
                    found[place] = format_cpus(present - host.measured or others)
        return found

    def _others(self, host: Host) -> set[int]:
        return set(parse_cpus(host.read(f"{_CPU}/online") or "")) - host.measured


def _switch(name: str, summary: str, place: str, value: str, absent: str, *, unasked: bool = True) -> FileStep:
    return FileStep(name, summary, [place], value, absent=absent, unasked=unasked)


STEPS: Sequence[Step] = (
    SmtStep(),
    GovernorStep(),
    TurboStep(),
    HugePagesStep(),
    _switch("page-merging", "page merging (KSM) off", "/sys/kernel/mm/ksm/run", "0", "the kernel has no KSM"),
    SwapStep(),
    _switch(
        "numa-balancing",
        "automatic NUMA balancing off",
        "/proc/sys/kernel/numa_balancing",
        "0",
        "the kernel does not balance between NUMA nodes",
    ),
    _switch(
        "watchdog",
        "NMI watchdog off, which takes a performance counter and interrupts every CPU",
        "/proc/sys/kernel/nmi_watchdog",
        "0",
        "the kernel has no NMI watchdog",
    ),
    InterruptsStep(),
    _switch(
        "aslr",
        "addresses not at random; weakens the host, so only where asked for",
        "/proc/sys/kernel/randomize_va_space",
        "0",
        "the kernel has no such switch",
        unasked=False,
    ),
)
"""Second threads first: what is set for every CPU is set for those that stay online, and put back when all are."""
