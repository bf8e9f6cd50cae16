"""An ordinary user's run under the user's own systemd, as the README tells it, with cgroups of version 2."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from user_scope import in_held_scope, left_in_held_scopes

from results.store import Store

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

USER = "user"
UID = 1000
SUITE = """
name: small
baseline: native
limits: {cpus: 0.5, memory: 128M, pids: 100}
arms:
  native: {runtime: native}
  container: {runtime: container}
workloads: ['null']
sampling: {blocks: 1}
"""


@pytest.fixture(scope="module")
def home(base_image):
    """The user's home, with the base image in the user's cache, as the README tells root to put it there."""
    home = Path("/home") / USER
    cache = home / ".cache/bench/images"
    cache.mkdir(parents=True, exist_ok=True)
    source = base_image.rootfs.parent
    subprocess.run(["cp", "-r", source, cache], check=True)
    (home / "suite.yaml").write_text(SUITE)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", home], check=True)
    return home


def as_user(home, command):
    """Run a shell command in a login of the user's, which has the user's systemd."""
    kept = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": f"/run/user/{UID}"}
    words = ["runuser", "-u", USER, "--", "env", "-i", *(f"{name}={value}" for name, value in kept.items())]
    return subprocess.run([*words, "sh", "-c", command], capture_output=True, text=True, check=False, cwd=home)


def test_a_user_runs_containers_in_a_scope_of_the_users_systemd(home):
    run = shlex.join(["bench", "run", "suite.yaml", "--store", "store", "--no-report"])
    finished = as_user(home, in_held_scope(run))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert left_in_held_scopes(UID) == []
    with Store(home / "store").open(create=False) as store:
        frame = store.frame(store.resolve("latest").id)
    assert set(frame["arm"]) == {"native", "container"}
    assert {"startup_time", "memory_footprint", "cpu_time"} <= set(frame["metric"])


def test_outside_of_a_scope_it_is_told_how(home):
    finished = as_user(home, "bench run suite.yaml")
    assert finished.returncode == 2
    assert "systemd-run --user --scope" in finished.stderr
