"""The command line as a user meets it: help, mistakes, exit codes. Verbs that need a run are tested where runs are."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.cli import _VERBS, run_command_line

BENCH = Path(sys.executable).with_name("bench")


def run(*arguments, **options):
    return subprocess.run([BENCH, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)


def test_help_lists_every_verb():
    finished = run("--help")
    assert finished.returncode == 0
    assert all(verb in finished.stdout for verb in _VERBS)


def test_help_answers_at_once():
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        run("--help")
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.2


def test_a_run_has_one_thread_until_it_is_in_its_user_namespace():
    """What makes threads as it is imported is imported later than what runs before."""
    script = """
import os
import bench.cli.run, bench.images, bench.interruption, bench.plan, bench.privileges, bench.progress, bench.runner
import bench.apart, bench.rerun
import bench.suite, results.store, runtimes.facilities
print(len(os.listdir("/proc/self/task")))
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert finished.stdout == "1\n"


@pytest.mark.parametrize("verb", _VERBS)
def test_every_verb_explains_itself(verb):
    finished = run(verb, "--help")
    assert finished.returncode == 0
    assert finished.stdout.startswith(f"Usage: bench {verb}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rum"], "did you mean 'run'?"),
        (["run"], "SUITE"),
        (["run", "quikc"], "quick"),
        (["run", "quick", "--arm", "continer"], "container"),
        (["run", "quick", "--workload", "redsi"], "redis"),
        (["run", "quick", "--blocks", "0"], "--blocks"),
        (["run", "no/such/file.yaml"], "no/such/file.yaml"),
        (["show", "--store", "nowhere"], "nowhere"),
        (["compare", "--store", "nowhere"], "nowhere"),
        (["export", "--store", "nowhere", "--format", "xml"], "xml"),
        (["list", "suits"], "suites"),
        (["image", "show", "ffffffffffff"], "ffffffffffff"),
        (["run", "quick", "--tag", "netwrok"], "did you mean 'network'?"),
        (["run", "quick", "--workloads", "no/such/directory"], "no/such/directory"),
        (["list", "workloads", "--tag", "dsik"], "did you mean 'disk'?"),
        (["list", "suites", "--tag", "disk"], "--tag is for 'bench list workloads'"),
        (["schema", "sweet"], "suite"),
        (["workload", "show", "foi"], "did you mean 'fio'?"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(arguments, expected, tmp_path):
    finished = run(*arguments, cwd=tmp_path)
    assert finished.returncode == 2
    assert expected in finished.stderr
    assert "Traceback" not in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_dry_run_prints_the_plan_and_starts_nothing(tmp_path):
    finished = run("run", "quick", "--dry-run", "--format", "json", "--seed", "7", "--blocks", "2", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    plan = json.loads(finished.stdout)
    assert plan["seed"] == 7
    assert {trial["block"] for trial in plan["trials"]} == {1, 2}
    assert list(tmp_path.iterdir()) == []


def test_dry_run_with_the_same_seed_is_the_same_plan(tmp_path):
    first, second = (
        run("run", "quick", "--dry-run", "--format", "json", "--seed", "7", cwd=tmp_path) for _ in range(2)
    )
    other = run("run", "quick", "--dry-run", "--format", "json", "--seed", "8", cwd=tmp_path)
    assert first.stdout == second.stdout != other.stdout


@pytest.mark.parametrize("what", ["suites", "workloads", "runtimes"])
def test_list_as_table_and_as_json(what):
    table, data = run("list", what), run("list", what, "--format", "json")
    assert table.returncode == data.returncode == 0, table.stderr + data.stderr
    rows = json.loads(data.stdout)
    assert rows
    for row in rows:
        assert str(next(iter(row.values()))) in table.stdout


def test_workloads_are_listed_by_tag():
    rows = json.loads(run("list", "workloads", "--tag", "disk", "--tag", "network", "--format", "json").stdout)
    assert {"fio", "iperf3"} <= {row["workload"] for row in rows}
    assert all({"disk", "network"} & set(row["tags"]) for row in rows)
    every = json.loads(run("list", "workloads", "--format", "json").stdout)
    assert len(rows) < len(every)


def test_a_directory_of_ones_own_is_there_for_every_verb_that_takes_it(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.yaml").write_text(
        "name: mine\ndescription: A workload.\ntags: [private]\nrun: [tool]\nparser: regex\n"
        "metrics: {rate: {unit: 1/s, better: higher, primary: true, pattern: '([0-9]+)'}}\n"
    )
    (tmp_path / "suite.yaml").write_text(
        "name: own\nbaseline: native\nlimits: {cpus: 1, memory: 64M}\narms: {native: {runtime: native}}\n"
        "workloads: [fio, {tag: private}]\n"
    )
    given = ("--workloads", "own", "--format", "json")
    plan = run("run", "./suite.yaml", "--tag", "private", "--dry-run", *given, cwd=tmp_path)
    assert {case["workload"] for case in json.loads(plan.stdout)["cases"]} == {"mine"}, plan.stderr
    (row,) = json.loads(run("list", "workloads", "--tag", "private", *given, cwd=tmp_path).stdout)
    assert row["workload"] == "mine"
    assert json.loads(run("workload", "show", "mine", *given, cwd=tmp_path).stdout)["tags"] == ["private"]
    without = run("run", "./suite.yaml", "--dry-run", cwd=tmp_path)
    assert without.returncode == 2
    assert "unknown tag 'private'" in without.stderr


def test_defects_are_not_disguised_as_a_users_mistake(monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("bench.cli.clean.clean.callback", broken)
    with pytest.raises(ZeroDivisionError):
        run_command_line(["clean"])
