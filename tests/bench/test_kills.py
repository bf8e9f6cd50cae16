"""The launcher or the runner is killed in the middle of a trial."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from leftovers import leftovers
from waiting import eventually

pytestmark = [pytest.mark.host, pytest.mark.slow]

BENCH = Path(sys.executable).with_name("bench")
SECONDS = "13571"
"""How long the workload's processes would sleep: so they are known among all others."""

SUITE = """
name: killed
baseline: {arm}
limits: {{cpus: 1, memory: 256M}}
arms: {{{arm}: {{runtime: {arm}}}}}
workloads: [./sleeper.yaml]
sampling: {{blocks: 2, seed: 1}}
"""

SLEEPER = f"""
name: sleeper
description: Has a process in a session of its own, and one in its own.
run: {{shell: "setsid sleep {SECONDS} & sleep 3; echo score: 1"}}
parser: regex
metrics: {{score: {{unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}}}
"""


@pytest.fixture(autouse=True)
def before():
    """What the host had of ours; it has the same afterwards."""
    found = leftovers()
    yield found
    assert leftovers() == found


@pytest.fixture(params=["native", "container"])
def suite(request, tmp_path):
    (tmp_path / "sleeper.yaml").write_text(SLEEPER)
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE.format(arm=request.param))
    return path


@contextmanager
def running(suite, *options):
    """A run in the middle of its first trial, with the process that this trial has left in the background."""
    command = [BENCH, "run", suite, "-v", "--store", suite.with_name("store"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert eventually(
                lambda: sleepers() or process.poll() is not None, 240
            )  # an image may have to be built first
            (sleeper,) = sleepers()
            yield process, sleeper
        finally:
            process.kill()


def sleepers():
    return [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == ["sleep", SECONDS]]


def launcher_above(sleeper, runner):
    return next(process for process in sleeper.parents() if process.ppid() == runner.pid)


def test_a_killed_launcher_fails_its_trial_and_the_next_gets_a_new_one(suite):
    with running(suite) as (runner, sleeper):
        launcher_above(sleeper, runner).kill()
        assert eventually(lambda: not sleeper.is_running(), 10)
        out, err = runner.communicate(timeout=120)
    assert runner.returncode == 1, out + err
    trials = [line for line in (out + err).splitlines() if "sleeper in" in line and "begins" not in line]
    assert len(trials) == 2
    assert "FAILED: " in trials[0]
    assert "agent" in trials[0]
    assert ": ok" in trials[1]


def test_a_killed_runner_leaves_no_process_and_clean_removes_the_rest(suite, before):
    with running(suite) as (runner, sleeper):
        os.kill(runner.pid, signal.SIGKILL)
        runner.communicate(timeout=60)
        assert eventually(lambda: not sleeper.is_running() and leftovers()["processes"] == before["processes"], 10)
    assert all(set(leftovers()[kind]) > set(before[kind]) for kind in ("cgroups", "run directories"))
    cleaned = subprocess.run([BENCH, "clean"], capture_output=True, text=True, timeout=60, check=True)
    assert "removed" in cleaned.stdout


def test_the_next_run_removes_what_a_killed_one_left(suite, before):
    with running(suite) as (runner, _):
        os.kill(runner.pid, signal.SIGKILL)
        runner.communicate(timeout=60)
    assert set(leftovers()["cgroups"]) > set(before["cgroups"])
    with running(suite, "--blocks", "1") as (runner, sleeper):
        assert runner.wait(timeout=120) == 0
        assert not sleeper.is_running()
