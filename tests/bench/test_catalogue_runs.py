"""Every workload of the catalogue, by its real tool, in a native instance and a container."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from leftovers import leftovers
from whole_catalogue import CATALOGUE, NAMES

from bench.suite import load_suite
from results.store import Store

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(900)]

BENCH = Path(sys.executable).with_name("bench")

SEVERAL = {"density", "density-redis"}
"""Those that take a guest's start several times over have a suite of their own."""

MEMORY = {"file-cache", "memory-hold"}
"""Those that measure no speed have a suite of their own, too."""


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    """What a run of all of them gives, each with the values that it names for a quick trial."""
    directory = tmp_path_factory.mktemp("catalogue")
    uses = [{"workload": name, "params": dict(CATALOGUE[name].quick)} for name in NAMES]
    suite = {
        "name": "catalogue",
        "baseline": "native",
        "limits": {"cpus": 1, "memory": "512M"},
        "arms": {"native": {"runtime": "native"}, "container": {"runtime": "container"}},
        "workloads": sorted(uses, key=lambda use: use["workload"]),
        "sampling": {"blocks": 1, "seed": 5},
    }
    path = directory / "suite.yaml"
    path.write_text(yaml.safe_dump(suite))
    before = leftovers()
    command = [BENCH, "run", path, "--store", directory / "store", "--no-report", "-q"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=840, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert leftovers() == before
    with Store(directory / "store").open(create=False) as store:
        return store.frame(store.resolve("latest").id)


@pytest.mark.parametrize("arm", ["native", "container"])
@pytest.mark.parametrize("name", sorted(NAMES))
def test_it_gives_all_its_figures(frame, name, arm):
    mine = frame[(frame["workload"] == name) & (frame["arm"] == arm)]
    assert not mine.empty
    needed = {metric for metric, each in CATALOGUE[name].metrics.items() if not each.optional}
    assert needed <= set(mine["metric"])
    primary = mine[mine["primary"].astype(bool)]
    assert not primary.empty
    assert (primary["value"] > 0).all()


def test_the_standard_suite_has_all_of_them():
    assert load_suite("standard").definitions.keys() == NAMES - SEVERAL - MEMORY
