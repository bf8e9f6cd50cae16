"""The harness beside itself: identical arms of a real run, in which nothing may be called different."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from results.compare import compare
from results.store import Store

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(600)]

BENCH = Path(sys.executable).with_name("bench")
PAIRS = (("native", "native-again"), ("container", "container-again"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    directory = tmp_path_factory.mktemp("selftest")
    arguments = ["--workload", "null", "--workload", "sysbench-cpu", "--blocks", "8", "--quiet", "--no-report"]
    run = [BENCH, "run", "selftest", *arguments, "--store", directory]
    finished = subprocess.run(run, capture_output=True, text=True, timeout=580, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    with Store(directory).open(create=False) as opened:
        yield opened


@pytest.mark.parametrize("pair", PAIRS)
def test_identical_arms_are_never_called_different(store, pair):
    """Over all families of comparisons, parts of metrics too, at the threshold of a suite that says nothing of it."""
    frame = store.frame(store.resolve("latest").id)
    outcomes = [one for one in compare(frame[frame["arm"].isin(pair)], pair[0]) if one.better != "neutral"]
    assert len({(one.workload, one.metric) for one in outcomes}) >= 20
    assert [one for one in outcomes if one.verdict in {"better", "worse"}] == []


def test_show_tells_the_noise_floor_of_the_host(store):
    shown = [BENCH, "show", "latest", "--store", store.directory, "--format", "json"]
    floors = json.loads(subprocess.run(shown, capture_output=True, text=True, check=True).stdout)["noise_floor"]
    assert {(one["arm"], one["twin"]) for one in floors} == set(PAIRS)
    assert {"startup_time", "memory_footprint", "cpu_time", "events_per_second"} <= {one["metric"] for one in floors}
    assert all(one["n"] == 8 and one["advised"] >= 0.001 for one in floors)
