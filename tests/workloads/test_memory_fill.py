"""The program of the workload ``memory-fill`` at a real limit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from traces import new_run_name

from runtimes.base import Limits
from runtimes.cgroup import Cgroup, open_cgroups
from workloads.loader import load_workload

pytestmark = pytest.mark.host

LIMITS = Limits(cpus=1, cpuset=(), memory=64 << 20)


def join(cgroup: Cgroup) -> None:
    for path in cgroup.thread_files:
        Path(path).write_text("0")


@pytest.fixture
def cold_python(tmp_path: Path) -> Path:
    """An interpreter whose code nobody has in memory, so that whoever runs it pays for it."""
    # Debian's, as in an image: its code is in the program, not in a library that others have in memory.
    program = shutil.copy(Path("/usr/bin/python3").resolve(), tmp_path / "python")
    with program.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return program


def test_it_ends_soon_and_at_the_limit_even_if_its_own_code_is_paid_from_it(cold_python: Path) -> None:
    (script,) = load_workload("memory-fill").files
    with open_cgroups(new_run_name()) as cgroups:
        cgroup = cgroups.new("bench-fill", LIMITS)
        try:
            ended = subprocess.run(
                [cold_python, "-I", "-S", script.source, "1024"],
                preexec_fn=lambda: join(cgroup),
                capture_output=True,
                text=True,
                timeout=5,
                check=True,
            )
            assert cgroup.oom_kills() == 1
        finally:
            cgroup.kill()
            cgroup.remove()
    filled = re.fullmatch(r"filled ([0-9]+) bytes\n", ended.stdout)
    assert filled, ended.stdout
    assert 0.94 * LIMITS.memory < int(filled[1]) <= LIMITS.memory


def test_without_a_limit_in_its_way_it_fails() -> None:
    (script,) = load_workload("memory-fill").files
    ended = subprocess.run(
        [sys.executable, "-I", "-S", script.source, "1"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "expected the kernel to kill the child before it had 1048576 bytes; it ended with 0" in ended.stderr
