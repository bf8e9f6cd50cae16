"""Real nights by the command line: a short one, one that is refused, and one that the system stops."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from leftovers import leftovers
from waiting import eventually

from bench.nightly.line import read_line
from bench.nightly.lock import night_lock
from bench.nightly.night import FACTS
from results.store import Store

pytestmark = [pytest.mark.host, pytest.mark.slow]

BENCH = Path(sys.executable).with_name("bench")

SUITE = """
name: tiny
baseline: native
limits: {{cpus: 1, memory: 256M}}
arms: {{native: {{runtime: native}}}}
workloads: [{workload}]
sampling: {{blocks: {blocks}, seed: 1}}
"""

SECONDS = "13577"
"""How long the workload sleeps: so its process is known among all others."""

SLEEPER = f"""
name: sleeper
description: Takes its time.
run: [sleep, "{SECONDS}"]
parser: regex
metrics: {{score: {{unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}}}
"""


@pytest.fixture
def command(tmp_path):
    """The command line of a night of one workload; standard output is a pipe, as a timer has it."""

    def made(workload, *options, blocks=1):
        (tmp_path / "sleeper.yaml").write_text(SLEEPER)
        (tmp_path / "suite.yaml").write_text(SUITE.format(workload=workload, blocks=blocks))
        return [BENCH, "nightly", tmp_path / "suite.yaml", "--store", tmp_path / "store", *options]

    return made


def test_a_night(command, tmp_path):
    before = leftovers()
    site = tmp_path / "site"
    asked = command("null", "--allow-noisy", "--site", site, "--keep", "3", "--confirm")
    finished = subprocess.run(asked, capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (line,) = finished.stdout.splitlines()
    said = read_line(line)
    assert finished.stderr == ""
    assert list(said) == ["suite", "status", "exit", *FACTS, "seconds", "reason"]
    assert (said["suite"], said["status"], said["trials"], said["failed"]) == ("tiny", "ok", "1", "0")
    assert (said["regressions"], said["removed"], said["reason"]) == ("0", "0", "")
    assert Path(said["report"]).is_file()
    assert said["run"] in Path(said["site"]).read_text()
    assert (site / "runs" / f"{said['run']}.html").is_file()
    assert leftovers() == before


def test_what_is_refused_starts_nothing(command, tmp_path):
    with night_lock(tmp_path / "store", "another"):
        finished = subprocess.run(command("null"), capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 2
    said = read_line(finished.stdout)
    assert (said["status"], said["run"]) == ("refused", "")
    assert "suite another" in said["reason"]
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["nightly.lock"]


def test_a_night_that_the_system_stops(command, tmp_path):
    before = leftovers()
    site = tmp_path / "site"
    asked = command("./sleeper.yaml", "--allow-noisy", "--site", site, blocks=2)
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert eventually(lambda: _sleeps() or process.poll() is not None, 240)  # an image may have to be built
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, output + errors
    said = read_line(output)
    assert (said["status"], said["exit"]) == ("interrupted", "130")
    with Store(tmp_path / "store").open(create=False) as store:
        assert store.resolve(said["run"]).status == "partial"
    assert not site.exists()
    assert leftovers() == before
    with night_lock(tmp_path / "store", "the next"):
        pass


def _sleeps():
    return any(each.info["cmdline"] == ["sleep", SECONDS] for each in psutil.process_iter(["cmdline"]))
