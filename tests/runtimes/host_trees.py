"""Trees of files that stand for the sysfs of other hosts."""

from __future__ import annotations

from pathlib import Path

from runtimes.topology import format_cpus


def make_system(
    directory: Path, cores: list[tuple[int, ...]], caches: list[tuple[int, ...]] = (), nodes: list[tuple[int, ...]] = ()
) -> Path:
    """A ``/sys/devices/system`` with these CPUs.

    Args:
        directory: where to make it.
        cores: the CPUs of every core.
        caches: the CPUs under every last-level cache; all under one, if none is given.
        nodes: the CPUs of every NUMA node; all on one, if none is given.
    """
    every = tuple(sorted(cpu for core in cores for cpu in core))
    for core in cores:
        for cpu in core:
            last = next((cache for cache in caches if cpu in cache), every)
            files = {"topology/thread_siblings_list": format_cpus(core)}
            shared = [("1", "Data", core), ("1", "Instruction", core), ("2", "Unified", core), ("3", "Unified", last)]
            for index, (level, kind, cpus) in enumerate(shared):
                place = f"cache/index{index}"
                files |= {f"{place}/level": level, f"{place}/type": kind}
                files |= {f"{place}/shared_cpu_list": format_cpus(cpus)}
            for name, text in files.items():
                path = directory / f"cpu/cpu{cpu}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text + "\n")
    for number, cpus in enumerate(nodes or [every]):
        path = directory / f"node/node{number}/cpulist"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(format_cpus(cpus) + "\n")
    return directory
