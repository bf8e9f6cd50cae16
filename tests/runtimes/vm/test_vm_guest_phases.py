"""A guest's stamps on the host's clock."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.base import Timeline
from runtimes.vm.guest_phases import ClockReading, GuestClockError, guest_stamps, read_clock

MS = 1_000_000
STARTUP = "init 800000000\nroot 900000000\n"
SET_GOING = 48_500 * MS
SOON = ClockReading(guest=1010 * MS, after=50_002 * MS, before=50_012 * MS)
"""The host's clock is at least 48.992 s ahead of the guest's, and at most 49.002 s."""
LATER = ClockReading(guest=3000 * MS, after=51_990 * MS, before=52_000 * MS)


def ready(set_going=SET_GOING, arrived=50_000 * MS):
    """READY, whose own arrival says that the host's clock is at most 49 s ahead."""
    return ClockReading(guest=1000 * MS, after=set_going, before=arrived)


def test_stamps_lie_half_way_between_the_bounds_of_the_clocks_distance():
    assert guest_stamps(ready(), SOON, LATER, STARTUP) == {
        "guest_firmware": 48_996 * MS,
        "guest_kernel": 49_796 * MS,
        "guest_initramfs": 49_896 * MS,
        "guest_userspace": 49_996 * MS,
    }


def test_a_ready_that_was_long_on_its_way_says_nothing_of_the_distance():
    stamps = guest_stamps(ready(arrived=50_100 * MS), ClockReading(1110 * MS, 50_110 * MS, 50_114 * MS), LATER, "")
    assert stamps["guest_userspace"] == 50_002 * MS


def test_what_init_did_not_tell_is_missing():
    assert list(guest_stamps(ready(), SOON, LATER, "")) == ["guest_firmware", "guest_userspace"]
    assert list(guest_stamps(ready(), SOON, LATER, "root 5\nrubbish\ninit x\n")) == [
        "guest_firmware",
        "guest_initramfs",
        "guest_userspace",
    ]


def test_a_start_that_cannot_have_been_earlier_narrows_the_bounds():
    stamps = guest_stamps(ready(set_going=48_998 * MS), SOON, LATER, STARTUP)
    assert stamps["guest_firmware"] == 48_999 * MS


def test_a_restored_guest_went_through_no_firmware():
    stamps = guest_stamps(ready(49_700 * MS), SOON, LATER, "restored 800000000\nroot 900000000\n")
    assert stamps == {
        "guest_restored": 49_796 * MS,
        "guest_initramfs": 49_896 * MS,
        "guest_userspace": 49_996 * MS,
    }


@pytest.mark.parametrize("seconds", [0, 1.87, 2.11, 45 * 2])
def test_a_clock_of_another_rate_is_refused(seconds):
    later = ClockReading(SOON.guest + round(seconds * 1e9), SOON.before + 1980 * MS, SOON.after + 2000 * MS)
    with pytest.raises(GuestClockError, match=r"while 1\.980 to 2\.000 s passed on the host's"):
        guest_stamps(ready(0), SOON, later, STARTUP)


@pytest.mark.parametrize("seconds", [1.89, 2.09])
def test_a_clock_of_nearly_the_same_rate_is_not(seconds):
    later = ClockReading(SOON.guest + round(seconds * 1e9), SOON.before + 1980 * MS, SOON.after + 2000 * MS)
    assert guest_stamps(ready(), SOON, later, STARTUP)


def test_a_ready_that_was_long_on_its_way_is_no_clock_of_another_rate():
    arrived = ready(arrived=50_000 * MS)
    soon = ClockReading(guest=1110 * MS, after=50_003 * MS, before=50_012 * MS)
    later = ClockReading(guest=1190 * MS, after=50_080 * MS, before=50_090 * MS)
    stamps = guest_stamps(arrived, soon, later, STARTUP)
    assert stamps["guest_userspace"] == 49_897.5 * MS


def test_a_clock_that_stood_still_is_refused():
    still = ClockReading(guest=1000 * MS, after=50_030 * MS, before=50_040 * MS)
    with pytest.raises(GuestClockError, match=r"stood still for 30\.0 ms"):
        guest_stamps(ready(), still, LATER, STARTUP)


def test_a_reading_just_after_ready_is_no_reason_to_refuse():
    assert guest_stamps(ready(), SOON, SOON, STARTUP)


@pytest.mark.parametrize(
    ("set_going", "startup"),
    [(49_100 * MS, STARTUP), (SET_GOING, "init 900000000\nroot 800000000\n"), (SET_GOING, "root 1100000000\n")],
)
def test_stamps_out_of_order_are_refused(set_going, startup):
    with pytest.raises(GuestClockError, match=r"its kernel started 1\.00 s before READY"):
        guest_stamps(ready(set_going), SOON, LATER, startup)


@given(
    st.lists(st.integers(0, 10**12), min_size=5, max_size=5).map(sorted),
    st.lists(st.integers(0, 10**7), min_size=4, max_size=4),
)
def test_the_true_clock_is_within_the_bounds_and_phases_add_up(moments, delays):
    """Whatever happened when, no stamp is further off than READY, question or answer were on the way."""
    set_going, clock_start, init, root, said = (10**13 + at for at in moments)
    way, pause, asking, answering = delays
    arrived = said + way
    read_at = arrived + pause + asking
    told = ClockReading(said - clock_start, set_going, arrived)
    soon = ClockReading(read_at - clock_start, read_at - asking, read_at + answering)
    later = ClockReading(soon.guest + 10**9, soon.after + 10**9, soon.before + 10**9)
    startup = f"init {init - clock_start}\nroot {root - clock_start}\n"
    stamps = guest_stamps(told, soon, later, startup)
    assert abs(stamps["guest_userspace"] - said) <= max(asking, way, answering)
    timeline = Timeline({"requested": set_going - 1, "resume": set_going, **stamps, "ready": arrived})
    assert sum(seconds for _, seconds in timeline.phases()) == pytest.approx((arrived - set_going + 1) / 1e9)


class Agent:
    """Tells what a guest's file has in it."""

    def __init__(self, content):
        self._content = content

    def read_file(self, path):
        assert path == "/proc/timer_list"
        if self._content is None:
            raise FileNotFoundError(path)
        return self._content


def test_the_clock_is_read_between_two_of_the_hosts():
    before = time.monotonic_ns()
    reading = read_clock(
        Agent(b"Timer List Version: v0.9\nHRTIMER_MAX_CLOCK_BASES: 8\nnow at 12345678901 nsecs\n\ncpu: 0\n")
    )
    assert reading.guest == 12_345_678_901
    assert before <= reading.after <= reading.before <= time.monotonic_ns()


@pytest.mark.parametrize("content", [None, b"", b"now at noon\n"])
def test_a_kernel_that_does_not_tell(content):
    assert read_clock(Agent(content)) is None
