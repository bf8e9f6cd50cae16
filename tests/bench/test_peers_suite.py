"""The shipped suite of container engines, with real ones: all arms come up, and nothing is left, daemons included."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from leftovers import leftovers
from waiting import eventually

from bench.suite import load_suite
from results.store import Store
from runtimes.cgroup import describe_version

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(600)]

BENCH = Path(sys.executable).with_name("bench")
ENGINES = {"runc", "docker", "podman", "lxc", "nspawn"}


def bench(*arguments):
    return subprocess.run([BENCH, *map(str, arguments)], capture_output=True, text=True, timeout=580, check=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """With one run of what starts, and nothing else; the guest aside, which other tests have."""
    before = leftovers()
    directory = tmp_path_factory.mktemp("peers")
    arms = [arm.name for arm in load_suite("peers").arms if arm.name != "vm"]
    chosen = [word for name in arms for word in ("--arm", name)]
    done = bench("run", "peers", *chosen, "--workload", "null", "--blocks", 2, "--store", directory, "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    # Containers' processes are init's children by then, which reaps them in its own time.
    assert eventually(lambda: leftovers() == before, 20), leftovers()
    with Store(directory).open(create=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def run(store):
    return store.resolve("latest")


def test_every_engine_that_runs_here_is_an_arm(store, run):
    assert set(run.arms) >= ENGINES | {"native", "container"}
    assert {trial.status for trial in store.trials(run.id)} == {"ok"}
    # It does not run beside version 1.
    assert ("crun" in run.arms) == (describe_version() == "v2")


def test_whoever_looks_after_a_container_is_counted(store, run):
    frame = store.frame(run.id)
    medians = frame.groupby(["arm", "metric"])["value"].median()
    held = medians.unstack()["memory_footprint"]
    assert held["container"] < held["podman"] < held["docker"]
    for arm, helper in (("docker", "shim"), ("docker", "daemon"), ("podman", "conmon"), ("lxc", "monitor")):
        assert medians[arm, f"memory.helper_{helper}"] > 0
    parts = ["memory.anon", "memory.file", "memory.kernel"]
    for arm in ENGINES:
        of_arm = medians[arm]
        whole = of_arm[parts].sum() + of_arm[of_arm.index.str.startswith("memory.helper_")].sum()
        assert of_arm["memory_footprint"] == pytest.approx(whole, rel=0.05)


def test_the_resident_daemon_is_told_apart(store, run):
    (facts, *_) = (trial.facts for trial in store.trials(run.id) if trial.arm == "docker")
    assert int(facts["daemon_memory"]) > 10 << 20


def test_phases_of_a_start_are_told(store, run):
    frame = store.frame(run.id)
    for arm, phases in {
        "runc": {"network", "bundle", "runtime", "ready"},
        "docker": {"create", "runtime", "ready"},
        "podman": {"podman", "runtime", "ready"},
    }.items():
        seen = set(frame[frame["arm"] == arm]["metric"])
        assert {f"startup.{phase}" for phase in phases} <= seen, arm


def test_what_a_killed_run_leaves_of_a_daemon_is_reclaimed(tmp_path):
    before = leftovers()
    command = [BENCH, "run", "peers", "--arm", "docker", "--workload", "null", "--blocks", "200", "--store", tmp_path]
    process = subprocess.Popen([*map(str, command), "--no-report"], stdout=subprocess.PIPE, text=True)
    try:
        assert any("docker" in line and ": ok" in line for line in process.stdout)
        assert any("containerd-shim" in line or "dockerd" in line for line in leftovers()["processes"])
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    cleaned = bench("clean")
    assert cleaned.returncode == 0, cleaned.stderr
    assert "removed cgroup" in cleaned.stdout
    # The kernel takes mounts and links down after the last process.
    assert eventually(lambda: leftovers() == before, 20), leftovers()
