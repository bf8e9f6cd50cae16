"""A run is carried out again, by the command that a user types."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fake_runs import FAKE_IMAGE
from stored_runs import run_record

from bench.environment import Difference, differences
from bench.rerun import measure_part_again
from bench.runner import RunResult
from bench.suite import load_suite
from results.store import Store
from workloads.errors import InvalidInput
from workloads.loader import open_catalogue

BENCH = Path(sys.executable).with_name("bench")

SUITE = """
name: small
baseline: native
limits: {cpus: 1, memory: 64M}
arms:
  native: {runtime: native}
  container: {runtime: container, network: none}
workloads: [null]
sampling: {blocks: 3}
"""


def bench(*arguments):
    return subprocess.run([BENCH, *arguments], capture_output=True, text=True, timeout=280, check=False)


def test_differences_are_in_the_order_of_the_first_and_name_both():
    before = {"kernel": "6.1", "governor": "powersave", "turbo": "on"}
    assert differences(before, {"new": "x", "turbo": "on", "kernel": "6.12"}) == [
        Difference("kernel", "6.1", "6.12"),
        Difference("governor", "powersave", None),
        Difference("new", None, "x"),
    ]
    assert differences(before, before) == []


PARTS = SUITE.replace("[null]", "[null, sysbench-cpu]")


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """What is measured and prepared in place of real runs; the store has a run of two workloads, one with a package."""
    (tmp_path / "parts.yaml").write_text(PARTS)
    suite = load_suite(str(tmp_path / "parts.yaml"))
    with Store(tmp_path / "store").open(create=True) as store:
        store.add_run(run_record(id="r1", suite=suite.name, suite_hash=suite.hash, image=FAKE_IMAGE.id))
        (store.run_directory("r1") / "suite.yaml").write_text(suite.as_yaml())
    seen = {}

    def prepare_image(packages, files, tell, kernels, imported):
        seen["packages"] = set(packages)
        return seen.get("image", FAKE_IMAGE)

    def measure(suite, plan, store_directory, progress, prepare):
        seen["prepared"] = prepare(lambda text: None)
        seen["suite"], seen["plan"] = suite, plan
        return RunResult("r2")

    monkeypatch.setattr("bench.images.prepare_image", prepare_image)
    monkeypatch.setattr("bench.measure.measure", measure)
    seen["again"] = lambda: measure_part_again(tmp_path / "store", "r1", ["native"], ["null"], open_catalogue(), None)
    return seen


def test_a_part_is_measured_in_the_image_of_the_whole(measured):
    assert measured["again"]().run == "r2"
    assert measured["suite"].name == "small-confirm"
    assert [arm.name for arm in measured["suite"].arms] == ["native"]
    assert [case.label for case in measured["plan"].cases] == ["null"]
    assert "sysbench" in measured["packages"] - set(measured["plan"].packages())
    assert measured["prepared"] is FAKE_IMAGE


def test_a_part_is_not_measured_in_another_image(measured):
    measured["image"] = replace(FAKE_IMAGE, id="another")
    with pytest.raises(InvalidInput, match=r"it ran image fake, and from the same packages .* makes another"):
        measured["again"]()
    assert "plan" not in measured


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Where there is a store with one run."""
    directory = tmp_path_factory.mktemp("rerun")
    (directory / "small.yaml").write_text(SUITE)
    finished = bench("run", directory / "small.yaml", "--store", directory, "--no-report", "-q")
    assert finished.returncode == 0, finished.stderr
    return directory


def record_facts(directory, **facts):
    """Have the first run in the store made on another host."""
    host = sorted(directory.glob("runs/*/host.json"))[0]
    document = json.loads(host.read_text())
    document["facts"] |= facts
    host.write_text(json.dumps(document))


@pytest.mark.host
class TestRerun:
    def test_order_and_image_are_the_same_and_what_has_changed_is_told(self, directory):
        record_facts(directory, kernel="1.2.3", load="99")
        first = sorted(directory.glob("runs/*"))[0].name
        finished = bench("rerun", first, "--store", directory, "--format", "json")
        assert finished.returncode == 0, finished.stderr
        told = json.loads(finished.stdout)
        assert [each["what"] for each in told["environment"]] == ["kernel"]
        assert told["environment"][0]["before"] == "1.2.3"
        with closing(sqlite3.connect(directory / "bench.sqlite")) as database:
            runs = database.execute("SELECT id, seed, image, suite_hash FROM run").fetchall()
            orders = [
                database.execute("SELECT trial, block, arm FROM trial WHERE run = ? ORDER BY trial", run[:1]).fetchall()
                for run in runs
            ]
        assert {run[0] for run in runs} == {told["run"], told["rerun_of"]}
        assert runs[0][1:] == runs[1][1:]
        assert orders[0] == orders[1]
        assert len(orders[0]) == 6

    def test_a_dry_run_starts_nothing(self, directory):
        record_facts(directory, kernel="4.5.6")
        before = sorted(directory.glob("runs/*"))
        finished = bench("rerun", before[0].name, "--store", directory, "--dry-run")
        assert finished.returncode == 0, finished.stderr
        assert f"what has changed since run {before[0].name}" in finished.stdout
        assert "4.5.6" in finished.stdout
        assert sorted(directory.glob("runs/*")) == before

    @pytest.mark.parametrize(
        ("column", "said"), [("suite_hash", "would measure something else"), ("image", "it ran image")]
    )
    def test_what_would_not_be_the_same_is_refused(self, directory, column, said):
        with closing(sqlite3.connect(directory / "bench.sqlite")) as database:
            run, value = database.execute(f"SELECT id, {column} FROM run").fetchone()
            change = f"UPDATE run SET {column} = ? WHERE id = ?"
            database.execute(change, ("0" * 16, run))
            database.commit()
            finished = bench("rerun", run, "--store", directory)
            database.execute(change, (value, run))
            database.commit()
        assert finished.returncode == 2
        assert said in finished.stderr
        assert "Traceback" not in finished.stderr
