"""The memory waterfall adds up, whatever the figures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.waterfall import host_total, memory_waterfall
from results.records import WATERFALL_STEPS
from runtimes.base import GuestMemory, MemoryReading

MIB = 1 << 20
BYTES = st.integers(min_value=0, max_value=1 << 40)


def figures(*names):
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, BYTES))


READINGS = st.builds(
    MemoryReading,
    charged=BYTES,
    parts=figures("anon", "file", "shmem", "kernel", "slab"),
    pss=BYTES,
    guest=figures("total", "free", "anon", "shmem", "cached", "buffers", "swap_cached", "slab"),
    guest_memory=st.none() | st.builds(GuestMemory, *[BYTES] * 6),
    helpers=figures("conmon", "daemon"),
)


@given(READINGS)
def test_the_steps_add_up_to_what_the_host_holds(reading):
    steps = memory_waterfall(reading)
    assert sum(steps.values()) == host_total(reading)
    assert all(value >= 0 for step, value in steps.items() if step != "residual")
    assert list(steps) == [step for step in WATERFALL_STEPS if step in steps]


@given(READINGS.filter(lambda reading: reading.guest_memory is None))
def test_nothing_is_left_over_where_the_kernel_is_shared(reading):
    steps = memory_waterfall(reading)
    assert steps["residual"] == 0
    assert "vmm" not in steps
    assert "guest_kernel" not in steps


GUEST = {"total": 110 * MIB, "free": 60 * MIB, "anon": 10 * MIB, "shmem": 2 * MIB, "cached": 20 * MIB}


def reading_of(ram, **parts):
    return MemoryReading(charged=0, parts=parts, pss=0, guest=GUEST, guest_memory=ram)


def test_a_guest_of_ordinary_pages():
    ram = GuestMemory(128 * MIB, 90 * MIB, 0, 0, 4096, 0)
    steps = memory_waterfall(reading_of(ram, anon=130 * MIB, file=MIB, kernel=3 * MIB))
    assert steps == {
        "application": 12 * MIB,
        "guest_kernel": (128 - 60 - 12 - 18) * MIB,
        "guest_page_cache": 18 * MIB,
        "guest_free": (90 - 68) * MIB,
        "vmm": 40 * MIB,
        "host_kernel": 3 * MIB,
        "host_page_cache": MIB,
        "residual": 0,
    }


def test_huge_pages_are_held_although_no_cgroup_is_charged_for_them():
    ram = GuestMemory(128 * MIB, 0, 0, 128 * MIB, 2 * MIB, 0)
    reading = reading_of(ram, anon=40 * MIB, file=MIB, kernel=3 * MIB)
    steps = memory_waterfall(reading)
    assert host_total(reading) == (44 + 128) * MIB
    assert (steps["vmm"], steps["guest_free"], steps["residual"]) == (40 * MIB, 60 * MIB, 0)


def test_pages_of_a_saved_state_that_another_was_charged_for():
    ram = GuestMemory(128 * MIB, 30 * MIB, 60 * MIB, 0, 4096, 0)
    reading = reading_of(ram, anon=70 * MIB, file=MIB, kernel=0)
    assert host_total(reading) == (71 + 59) * MIB
    assert memory_waterfall(reading)["host_page_cache"] == 0


def test_what_the_guest_uses_and_never_touched_is_shown_as_left_over():
    ram = GuestMemory(128 * MIB, 50 * MIB, 0, 0, 4096, 0)
    steps = memory_waterfall(reading_of(ram, anon=90 * MIB, file=0, kernel=0))
    assert steps["guest_free"] == 0
    assert steps["residual"] == (50 - 68) * MIB
