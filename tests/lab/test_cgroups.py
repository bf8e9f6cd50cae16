"""What control groups of version 2 do to real processes, where a host has to be made ready for it.

What needs no more than the cgroups themselves is in ``tests/runtimes/test_cgroup.py``, which the lab runs too.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from runtimes.base import Limits
from runtimes.cgroup import describe_version, open_cgroups

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

MIB = 1 << 20
SWAP_FILE = Path("/var/tmp/bench-test-swap")


@pytest.fixture(scope="module", autouse=True)
def swap():
    """Room for what leaves memory."""
    SWAP_FILE.write_bytes(bytes(256 * MIB))
    SWAP_FILE.chmod(0o600)
    try:
        for command in ("mkswap", "swapon"):
            subprocess.run([command, SWAP_FILE], check=True, capture_output=True)
        yield
        subprocess.run(["swapoff", SWAP_FILE], check=True)
    finally:
        SWAP_FILE.unlink()


@pytest.mark.parametrize(
    ("memory_swap", "touched", "killed"),
    [(0, 96 * MIB, True), (64 * MIB, 96 * MIB, False), (64 * MIB, 192 * MIB, True)],
)
def test_swap_is_given_up_to_its_limit(memory_swap, touched, killed):
    assert describe_version() == "v2"
    with open_cgroups(f"bench-{os.getpid():08x}") as cgroups:
        cgroup = cgroups.new("x", Limits(1, (), 64 * MIB, memory_swap=memory_swap))

        def enter():
            for file in cgroup.procs_files:
                file.write_text("0")

        command = ["dd", "if=/dev/zero", "of=/dev/null", f"bs={touched}", "count=1", "status=none"]
        ended = subprocess.run(command, preexec_fn=enter, check=False, timeout=300)
        assert ended.returncode == (-9 if killed else 0)
        assert cgroup.oom_kills() == killed
        assert cgroup.peak() <= 64 * MIB
