"""The benchmark that holds engines against hyperfine runs, and tells figures of both."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from leftovers import leftovers
from waiting import eventually

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]

PROGRAM = Path(__file__).with_name("engine_starts.py")


def test_both_ways_are_timed_and_nothing_is_left():
    before = leftovers()
    command = [sys.executable, PROGRAM, "--json", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for engine in ("runc", "docker"):
        ours, theirs = found[f"{engine}_ours_ms"], found[f"{engine}_hyperfine_ms"]
        assert found[f"ratio_{engine}"] == pytest.approx(ours / theirs)
        # How near they are is for a quiet host to tell.
        assert 0.3 < ours / theirs < 3
        assert 0 < ours <= found[f"{engine}_startup_ms"]
    assert found["docker_hyperfine_ms"] > found["runc_hyperfine_ms"] > found["shell_ms"] > 0
    # Containers' processes are init's children by then, which reaps them in its own time.
    assert eventually(lambda: leftovers() == before, 20), leftovers()
