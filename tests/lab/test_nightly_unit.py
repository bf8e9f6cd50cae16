"""The units of docs/nightly under a real systemd: a night that is stopped, and the timer.

One that is not stopped takes minutes here, most of them to draw its report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest
from waiting import eventually

from bench.nightly.line import PREFIX, read_line
from bench.runner import host_name_of
from results.store import Store

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

NIGHTLY = Path(__file__).parents[2] / "docs" / "nightly"
UNITS = Path("/run/systemd/system")
SERVICE = "bench-nightly.service"
TIMER = "bench-nightly.timer"
SECONDS = "13579"
"""How long the workload sleeps: so its process is known among all others."""

SUITE = """
name: tiny
baseline: native
limits: {cpus: 1, memory: 256M}
arms: {native: {runtime: native}}
workloads: [%s]
sampling: {blocks: 1, seed: 1}
"""

SLEEPER = f"""
name: sleeper
description: Takes its time.
run: [sleep, "{SECONDS}"]
parser: regex
metrics: {{score: {{unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}}}
"""


def _systemctl(*arguments, check=True):
    return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=400, check=check)


def _property(name):
    return _systemctl("show", "--value", "--property", name, SERVICE).stdout.strip()


@pytest.fixture
def installed(tmp_path):
    """The units as they are, with a drop-in as one writes it: another command, and the lab's places."""
    (tmp_path / "sleeper.yaml").write_text(SLEEPER)
    drop_in = UNITS / f"{SERVICE}.d" / "lab.conf"

    def install(workload):
        suite = tmp_path / "suite.yaml"
        suite.write_text(SUITE % workload)
        command = (
            f"{shutil.which('bench')} nightly {suite} --store {tmp_path}/store --site {tmp_path}/site --allow-noisy"
        )
        kept = {name: os.environ[name] for name in ("BENCH_CACHE", "BENCH_SCRATCH", "PYTHONPATH")}
        environment = "".join(f"Environment={name}={value}\n" for name, value in kept.items())
        drop_in.write_text(f"[Service]\nExecStart=\nExecStart={command}\n{environment}")
        _systemctl("daemon-reload")

    UNITS.mkdir(exist_ok=True)
    drop_in.parent.mkdir()
    for unit in (SERVICE, TIMER):
        shutil.copy(NIGHTLY / unit, UNITS / unit)
    try:
        yield install
    finally:
        _systemctl("stop", TIMER, SERVICE, check=False)
        shutil.rmtree(drop_in.parent)
        for unit in (SERVICE, TIMER):
            (UNITS / unit).unlink()
        _systemctl("daemon-reload")


def _last_line():
    said = subprocess.run(
        ["journalctl", "--unit", SERVICE, "--output", "cat"], capture_output=True, text=True, check=True
    ).stdout
    lines = [line for line in said.splitlines() if line.startswith(PREFIX)]
    assert lines, said
    return read_line(lines[-1])


def test_a_night_that_is_stopped(installed, tmp_path):
    installed("./sleeper.yaml")
    _systemctl("start", "--no-block", SERVICE)
    assert eventually(_sleeps, 300)
    assert _property("Delegate") == "yes"
    _systemctl("stop", SERVICE)
    said = _last_line()
    assert (said["status"], _property("ExecMainStatus")) == ("interrupted", "130")
    assert not _sleeps()
    with Store(tmp_path / "store").open(create=False) as store:
        assert store.resolve(said["run"]).status == "partial"
    # A suite of another lane may be at work, and has its own.
    assert not list(Path("/sys/fs/cgroup").rglob(f"{host_name_of(said['run'])}*"))


def test_the_timer_has_a_next_night(installed):
    installed("null")
    _systemctl("start", TIMER)
    assert SERVICE in _systemctl("list-timers", TIMER).stdout
    assert _systemctl("show", "--value", "--property", "NextElapseUSecRealtime", TIMER).stdout.strip()


def _sleeps():
    return any(each.info["cmdline"] == ["sleep", SECONDS] for each in psutil.process_iter(["cmdline"]))
