"""From what a runtime hands back to samples: the metrics that every workload has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.asked_limits import CPUS_USED
from bench.waterfall import memory_waterfall
from results.records import FOOTPRINT_PARTS, MEMORY_MOMENTS, Accel, Sample
from runtimes.accounting import unreclaimable_part
from runtimes.base import MemoryReading, Timeline, Usage


def accelerator(facts: Mapping[str, str]) -> Accel:
    """What executes the instance's instructions, from its facts; ``none`` where it is the host itself."""
    match facts.get("accel"):
        case "kvm":
            return "kvm"
        case "tcg":
            return "tcg"
        case _:
            return "none"


ALONE = frozenset({"startup_time", "memory_footprint", "shutdown_time"})
"""What a workload without metrics of its own is run for."""


def startup_samples(timeline: Timeline, first_output_at: int | None) -> Iterator[Sample]:
    """Start and stop of one instance, seconds of host time.

    ``startup_time`` runs from the request to READY and is the sum of the ``startup.<phase>``; ``first_output_time``
    from the request to the workload's first byte of output, where it gave any; ``shutdown_time`` from asking to gone,
    the sum of the ``shutdown.<phase>``.
    """
    yield Sample("startup_time", timeline.seconds("requested", "ready"), "s", "lower")
    for phase, seconds in timeline.phases():
        yield Sample(f"startup.{phase}", seconds, "s", "lower")
    if first_output_at is not None:
        since_request = (first_output_at - timeline.stamps["requested"]) / 1e9
        yield Sample("first_output_time", since_request, "s", "lower")
    yield Sample("shutdown_time", timeline.seconds("stop_requested", "stopped"), "s", "lower")
    for phase, seconds in timeline.phases("stop_requested", "stopped"):
        yield Sample(f"shutdown.{phase}", seconds, "s", "lower")


def cold_start_samples(timeline: Timeline) -> Iterator[Sample]:
    """The start of an instance whose image and kernel were not in the host's page cache, seconds of host time.

    ``cold_start_time``, the sum of the ``cold_start.<phase>``, is another quantity than ``startup_time``.
    """
    yield Sample("cold_start_time", timeline.seconds("requested", "ready"), "s", "lower", primary=True)
    for phase, seconds in timeline.phases():
        yield Sample(f"cold_start.{phase}", seconds, "s", "lower")


def page_cache_samples(before: int, left: int, read: int) -> Iterator[Sample]:
    """What the host's page cache held of the files that a cold start has to read anew, bytes, as mincore(2) tells it.

    ``page_cache.before`` they were dropped, ``page_cache.left`` after that, and ``page_cache.read`` what the start has
    brought back; all are 0 for an arm that has no such files.
    """
    yield Sample("page_cache.before", before, "bytes", "neutral")
    yield Sample("page_cache.left", left, "bytes", "neutral")
    yield Sample("page_cache.read", read, "bytes", "lower")


def memory_samples(reading: MemoryReading, available_drop: int, moment: str = "idle") -> Iterator[Sample]:
    """The footprint at one moment, three ways, bytes.

    The moment is one of :data:`results.records.MEMORY_MOMENTS`: ``idle`` just after READY, and for workloads that are
    about memory ``loaded`` and ``after``, whose metrics are called ``memory_loaded`` in the place of
    ``memory_footprint``, and ``memory_loaded.<part>`` in that of ``memory.<part>``.

    ``memory_footprint`` is what the instance's cgroup holds: anonymous memory, page cache and kernel memory, which the
    kernel counts page by page; a guest's memory in huge pages, which no cgroup is charged for; and what helpers of a
    container engine hold for its sake, each in ``memory.helper_<name>`` and in no other part. ``memory.charged``
    is the cgroup's counter, to which memory is charged in batches of 64 pages a CPU (MEMCG_CHARGE_BATCH in
    linux/memcontrol.h): for an instance of some hundred KiB it says more of the batches than of the instance.
    ``memory.pss`` is the proportional set size of its processes, helpers aside, and ``memory.host_available_drop`` by
    how much the host's MemAvailable fell: noisy, and maybe negative.

    ``memory.guest_<part>`` is by the guest's kernel, ``memory.balloon_<part>`` by its balloon driver,
    ``memory.ram_resident`` what of a guest's memory the host holds, and ``memory.ram_hugetlb`` the part of that in huge
    pages. ``memory_waterfall.<step>`` is :func:`bench.waterfall.memory_waterfall`.

    The three ways do not count the same, and their differences are figures of their own. ``memory.unreclaimable`` is
    what of the footprint the kernel could not take back at once: anonymous memory, files in memory, huge pages, what
    helpers hold, and its own memory less reclaimable slab (which version 1 does not tell). ``memory.residual_pss`` is
    the proportional set size less what is charged of mapped pages: programs and libraries that somebody else was
    charged for. ``memory.residual_available`` is the drop of MemAvailable, which counts page cache as available and
    huge pages as taken from the moment that they were set aside, less the rest of what is unreclaimable: memory of the
    kernel that no cgroup is charged for, and all that else happened on the host meanwhile.
    """
    prefix = MEMORY_MOMENTS[moment]
    parts = reading.parts
    held_besides = sum(reading.helpers.values())
    unreclaimable = unreclaimable_part(parts) + held_besides
    mapped = parts.get("anon", 0) + parts.get("file_mapped", 0)
    huge = reading.huge_pages
    yield Sample("memory_footprint" if moment == "idle" else prefix, footprint(reading), "bytes", "lower")
    yield Sample(f"{prefix}.charged", reading.charged, "bytes", "neutral")
    for part, value in parts.items():
        yield Sample(f"{prefix}.{part}", value, "bytes", "neutral")
    yield Sample(f"{prefix}.unreclaimable", unreclaimable + huge, "bytes", "lower")
    yield Sample(f"{prefix}.pss", reading.pss, "bytes", "lower")
    yield Sample(f"{prefix}.residual_pss", reading.pss - mapped, "bytes", "neutral")
    yield Sample(f"{prefix}.host_available_drop", available_drop, "bytes", "neutral")
    yield Sample(f"{prefix}.residual_available", available_drop - unreclaimable, "bytes", "neutral")
    for name, value in reading.helpers.items():
        yield Sample(f"{prefix}.helper_{name}", value, "bytes", "lower")
    for part, value in reading.guest.items():
        yield Sample(f"{prefix}.guest_{part}", value, "bytes", "neutral")
    for part, value in reading.balloon.items():
        yield Sample(f"{prefix}.balloon_{part}", value, "bytes", "neutral")
    if reading.guest_memory is not None:
        yield Sample(f"{prefix}.ram_resident", reading.guest_memory.resident, "bytes", "neutral")
        yield Sample(f"{prefix}.ram_hugetlb", reading.guest_memory.hugetlb, "bytes", "neutral")
    for step, value in memory_waterfall(reading).items():
        yield Sample(f"{prefix}_waterfall.{step}", value, "bytes", "lower")


def footprint(reading: MemoryReading) -> int:
    """What an instance holds of the host's memory: that of its cgroup, huge pages, which no cgroup is charged for, and
    that of its helpers; bytes.
    """
    inside = sum(reading.parts.get(part, 0) for part in FOOTPRINT_PARTS)
    return inside + reading.huge_pages + sum(reading.helpers.values())


def peak_samples(unreclaimable: int | None) -> Iterator[Sample]:
    """``memory_peak.unreclaimable``: the highest of some readings (:mod:`bench.peak_sampler`), helpers aside, bytes.

    ``memory_peak`` beside it is the kernel's own mark, which counts what the kernel could have taken back.
    """
    if unreclaimable is not None:
        yield Sample("memory_peak.unreclaimable", unreclaimable, "bytes", "lower")


def usage_samples(usage: Usage) -> Iterator[Sample]:
    """What the instance cost up to the end of its workload; what the kernel does not tell is left out.

    ``cpu.user`` and ``cpu.system`` make up ``cpu_time``; ``cpu.throttled`` is how long the CPU quota held it up.
    ``io.<direction>_bytes`` and ``io.<direction>_ops`` are what reached the host's disks, see
    :class:`runtimes.base.IoUsage`, and ``pressure.<resource>`` how long one of its tasks at least waited for it.
    """
    yield Sample("memory_peak", usage.memory_peak, "bytes", "lower")
    yield Sample("cpu_time", usage.cpu_time, "s", "lower")
    for part, seconds in (("user", usage.cpu_user), ("system", usage.cpu_system), ("throttled", usage.throttled_time)):
        yield Sample(f"cpu.{part}", seconds, "s", "neutral")
    if usage.pids_peak is not None:
        yield Sample("pids_peak", usage.pids_peak, "processes", "neutral")
    if usage.io is not None:
        for direction, size, number in (
            ("read", usage.io.read_bytes, usage.io.read_ops),
            ("write", usage.io.write_bytes, usage.io.write_ops),
        ):
            yield Sample(f"io.{direction}_bytes", size, "bytes", "neutral")
            yield Sample(f"io.{direction}_ops", number, "requests", "neutral")
    for resource, seconds in usage.pressure.items():
        yield Sample(f"pressure.{resource}", seconds, "s", "neutral")


def run_samples(cpus_used: float | None) -> Iterator[Sample]:
    """What the instance took while the workload's run command ran, if it has one; CPUs."""
    if cpus_used is not None:
        yield Sample(CPUS_USED, cpus_used, "CPUs", "neutral")


def image_samples(parts: Mapping[str, int]) -> Iterator[Sample]:
    """Bytes of the image that the arm needs, whole and by part."""
    yield Sample("image_size", sum(parts.values()), "bytes", "lower")
    for part, size in parts.items():
        yield Sample(f"image_size.{part}", size, "bytes", "neutral")
