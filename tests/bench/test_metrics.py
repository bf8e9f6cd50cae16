from __future__ import annotations

import pytest

from bench.metrics import (
    accelerator,
    image_samples,
    memory_samples,
    peak_samples,
    run_samples,
    startup_samples,
    usage_samples,
)
from results.records import is_part
from runtimes.base import GuestMemory, IoUsage, MemoryReading, Timeline, Usage


def by_name(samples):
    return {sample.metric: sample for sample in samples}


@pytest.fixture
def timeline():
    line = Timeline()
    for name, at in [("requested", 0), ("cgroup", 1_000_000), ("ready", 3_000_000)]:
        line.stamp(name, at)
    line.stamp("stop_requested", 10_000_000_000)
    line.stamp("goodbye", 10_300_000_000)
    line.stamp("stopped", 10_500_000_000)
    return line


def test_phases_are_named_by_the_stamp_that_ends_them_and_add_up(timeline):
    samples = by_name(startup_samples(timeline, None))
    assert samples["startup_time"].value == pytest.approx(0.003)
    assert samples["startup.cgroup"].value == pytest.approx(0.001)
    assert samples["startup.ready"].value == pytest.approx(0.002)
    assert samples["shutdown_time"].value == pytest.approx(0.5)
    assert samples["shutdown.goodbye"].value == pytest.approx(0.3)
    assert samples["shutdown.stopped"].value == pytest.approx(0.2)
    assert "first_output_time" not in samples
    assert {sample.unit for sample in samples.values()} == {"s"}


def test_first_output_counts_from_the_request(timeline):
    samples = by_name(startup_samples(timeline, 7_000_000))
    assert samples["first_output_time"].value == pytest.approx(0.007)


def test_memory_is_given_three_ways_and_in_parts():
    reading = MemoryReading(
        charged=300, parts={"anon": 60, "file": 30, "kernel": 10, "slab": 4}, pss=90, guest={"free": 5}
    )
    values = {name: sample.value for name, sample in by_name(memory_samples(reading, -7)).items()}
    assert values == {
        "memory_footprint": 100,
        "memory.charged": 300,
        "memory.anon": 60,
        "memory.file": 30,
        "memory.kernel": 10,
        "memory.slab": 4,
        "memory.unreclaimable": 70,
        "memory.pss": 90,
        "memory.residual_pss": 30,
        "memory.host_available_drop": -7,
        "memory.residual_available": -77,
        "memory.guest_free": 5,
        "memory_waterfall.application": 60,
        "memory_waterfall.host_kernel": 10,
        "memory_waterfall.host_page_cache": 30,
        "memory_waterfall.residual": 0,
    }


@pytest.mark.parametrize("moment", ["loaded", "after"])
def test_the_other_moments_have_the_same_figures_under_names_of_their_own(moment):
    reading = MemoryReading(charged=300, parts={"anon": 60, "file": 30, "kernel": 10}, pss=90)
    idle = by_name(memory_samples(reading, -7))
    other = by_name(memory_samples(reading, -7, moment))
    whole = f"memory_{moment}"
    renamed = {
        whole if name == "memory_footprint" else name.replace("memory", whole, 1): sample.value
        for name, sample in idle.items()
    }
    assert {name: sample.value for name, sample in other.items()} == renamed
    assert [name for name in other if not is_part(name)] == [f"memory_{moment}"]


def test_what_is_mapped_or_can_be_reclaimed_is_not_left_over():
    parts = {"anon": 60, "shmem": 5, "file": 30, "file_mapped": 20, "kernel": 10, "slab_reclaimable": 4}
    values = {name: sample.value for name, sample in by_name(memory_samples(MemoryReading(300, parts, 90), 80)).items()}
    assert values["memory.unreclaimable"] == 60 + 5 + 10 - 4
    assert values["memory.residual_pss"] == 90 - 60 - 20
    assert values["memory.residual_available"] == 80 - 71


def test_huge_pages_of_a_guest_count_although_no_cgroup_is_charged_for_them():
    ram = GuestMemory(size=512, anonymous=0, file=0, hugetlb=500, page=2 << 20, transparent_huge=0)
    reading = MemoryReading(300, {"anon": 60, "file": 30, "kernel": 10}, 90, guest_memory=ram)
    values = {name: sample.value for name, sample in by_name(memory_samples(reading, 80)).items()}
    assert values["memory_footprint"] == 60 + 30 + 10 + 500
    assert values["memory.unreclaimable"] == 60 + 10 + 500
    assert values["memory.residual_available"] == 80 - 70


def test_a_peak_that_nobody_read_is_left_out():
    assert [(sample.metric, sample.value) for sample in peak_samples(7)] == [("memory_peak.unreclaimable", 7)]
    assert list(peak_samples(None)) == []


def test_what_the_kernel_tells_of_usage_is_sampled():
    usage = Usage(
        cpu_time=1.5,
        cpu_user=1.25,
        cpu_system=0.25,
        memory_peak=2048,
        oom_kills=0,
        throttled_time=0.5,
        pids_peak=7,
        io=IoUsage(read_bytes=1, write_bytes=2, read_ops=3, write_ops=4),
        pressure={"memory": 0.125},
    )
    assert {(name, sample.value, sample.unit) for name, sample in by_name(usage_samples(usage)).items()} == {
        ("memory_peak", 2048, "bytes"),
        ("cpu_time", 1.5, "s"),
        ("cpu.user", 1.25, "s"),
        ("cpu.system", 0.25, "s"),
        ("cpu.throttled", 0.5, "s"),
        ("pids_peak", 7, "processes"),
        ("io.read_bytes", 1, "bytes"),
        ("io.write_bytes", 2, "bytes"),
        ("io.read_ops", 3, "requests"),
        ("io.write_ops", 4, "requests"),
        ("pressure.memory", 0.125, "s"),
    }


def test_what_the_kernel_does_not_tell_is_left_out():
    usage = Usage(cpu_time=1.5, cpu_user=1.25, cpu_system=0.25, memory_peak=2048, oom_kills=0)
    assert set(by_name(usage_samples(usage))) == {
        "memory_peak", "cpu_time", "cpu.user", "cpu.system", "cpu.throttled",
    }  # fmt: skip


def test_the_cpus_used_are_a_sample_where_there_was_a_run_command():
    assert [(sample.metric, sample.value, sample.unit) for sample in run_samples(0.25)] == [("cpus_used", 0.25, "CPUs")]
    assert list(run_samples(None)) == []


def test_the_image_is_sampled_whole_and_by_part():
    image = by_name(image_samples({"userland": 300, "kernel": 20}))
    assert image["image_size"].value == 320
    assert image["image_size.kernel"].value == 20


@pytest.mark.parametrize(("facts", "expected"), [({"accel": "kvm"}, "kvm"), ({"accel": "tcg"}, "tcg"), ({}, "none")])
def test_accelerator_is_what_the_instance_says(facts, expected):
    assert accelerator(facts) == expected
