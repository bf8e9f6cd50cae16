"""Steps: what is written down is what is done, and what failed is named."""

from __future__ import annotations

import errno
import os
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.launcher.build import build_executor
from runtimes.launcher.executor import Executor
from runtimes.launcher.steps import Descriptor, Steps, failure

SHELL = "/bin/sh"


@pytest.fixture(scope="module")
def executor():
    return Executor(str(build_executor()))


def spawn(executor, *parts, descriptors=()):
    """Take steps in a new process, which is waited for; what came of them, and its exit status."""
    _, pidfd, outcome = executor.spawn(0, None, b"".join(part.encode() for part in parts), descriptors)
    ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)
    return outcome, ended.si_status


def run(*argv):
    steps = Steps("run")
    steps.execute(argv)
    return steps


def test_steps_are_taken_in_order_over_all_parts(executor, tmp_path):
    first, second = Steps("make"), Steps("fill")
    first.make_directory(f"{tmp_path}/one", 0o700)
    first.make_link(f"{tmp_path}/two", "one")
    first.make_file(f"{tmp_path}/one/file", 0o640)
    second.write_file(f"{tmp_path}/two/file", "written")
    for steps in (first, second):
        outcome = executor.take(steps.encode())
        assert outcome.failed is None
    assert (tmp_path / "one/file").read_text() == "written"
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "two").readlink() == Path("one")


def test_a_failure_names_what_was_about_to_be_done_and_ends_it(executor, tmp_path):
    first, second = Steps("make ready"), Steps("do the first thing")
    first.make_directory(f"{tmp_path}/made")
    second.stamp("clone")
    second.purpose("do the second thing")
    second.call("chdir", "/no/such", about="/no/such")
    second.make_directory(f"{tmp_path}/never")
    outcome, status = spawn(executor, first, second)
    assert status == 127
    error = failure((first, second), outcome)
    assert error.errno == errno.ENOENT
    assert error.strerror == "could not do the second thing: chdir /no/such: No such file or directory"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"]


def test_a_program_gets_its_arguments_no_environment_and_default_signals(executor, tmp_path):
    out = tmp_path / "out"
    out.touch()
    script = 'printf "%s|" "$@"; /usr/bin/env -u PWD; grep -E "^Sig(Ign|Blk)" /proc/self/status'
    steps = Steps("run")
    steps.open_as(str(out), os.O_WRONLY, 1)
    steps.execute((SHELL, "-c", script, "x", "one two", "", "ü"))
    _, status = spawn(executor, steps)
    assert status == 0
    assert out.read_text().split("\n")[:3] == [
        "one two||ü|SigBlk:\t0000000000000000",
        "SigIgn:\t0000000000000000",
        "",
    ]


def test_descriptors_are_put_where_the_program_expects_them(executor):
    reading, writing = os.pipe()
    steps = Steps("run")
    steps.call("dup3", Descriptor(1), 9, 0)
    steps.execute((SHELL, "-c", "echo here >&9"))
    spawn(executor, steps, descriptors=(reading, writing))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "here\n"


def test_the_parents_memory_and_signals_are_as_before(executor):
    before = Path("/proc/thread-self/status").read_text().partition("SigBlk")[2].splitlines()[0]
    for _ in range(50):
        outcome, status = spawn(executor, run("/bin/true"))
        assert (outcome.failed, status) == (None, 0)
        outcome, _ = spawn(executor, run("/no/such"))
        assert (outcome.failed, outcome.errno) == (0, errno.ENOENT)
    assert Path("/proc/thread-self/status").read_text().partition("SigBlk")[2].splitlines()[0] == before


def test_stamps_are_of_the_monotonic_clock(executor):
    steps = Steps("run")
    for phase in ("clone", "pivot"):
        steps.stamp(phase)
    steps.execute(("/bin/true",))
    before = time.monotonic_ns()
    outcome, _ = spawn(executor, steps)
    assert list(outcome.stamps) == ["clone", "pivot"]
    assert before < outcome.stamps["clone"] < outcome.stamps["pivot"] < time.monotonic_ns()


def test_too_many_arguments_are_refused(executor):
    outcome, _ = spawn(executor, run("/bin/true", *("x" * 256)))
    assert outcome.errno == errno.E2BIG


@pytest.mark.parametrize("name", ["mountpoint", ""])
def test_a_call_that_is_not_listed_is_a_mistake(name):
    with pytest.raises(KeyError):
        Steps("try").call(name)


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=5), max_size=5))
def test_every_text_is_found_again_in_the_data(rows):
    steps = Steps("try")
    for row in rows:
        steps.call("mount", *row)
    encoded = steps.encode()
    count, size = struct.unpack_from("=II", encoded)
    assert count == len(rows)
    assert len(encoded) == 8 + 56 * count + size
    assert size % 8 == 0
    data = encoded[8 + 56 * count :]
    for number, row in enumerate(rows):
        call, pointers, descriptors, *arguments = struct.unpack_from("=iHH6Q", encoded, 8 + 56 * number)
        assert (call, pointers, descriptors) == (165, (1 << len(row)) - 1, 0)
        for offset, text in zip(arguments, row, strict=False):
            assert offset % 8 == 0
            assert data[offset:].partition(b"\0")[0].decode() == text


@given(st.integers(-(2**31), 2**32 - 1))
def test_numbers_are_words(number):
    steps = Steps("try")
    steps.call("umask", number)
    assert struct.unpack_from("=iHH6Q", steps.encode(), 8)[3] == number & 0xFFFFFFFFFFFFFFFF
