"""`bench workload show` and `check`: what they say of a workload, and of one trial of it over the fake runtime."""

from __future__ import annotations

import json

import pytest
from fake_runs import FAKE_IMAGE

from bench.check import ARM, LIMITS, check_suite
from bench.cli import run_command_line
from bench.suite import load_suite
from workloads.commands import CommandLine
from workloads.describe import command_text
from workloads.document import parse_document, validate
from workloads.loader import CATALOGUE, load_catalogue, load_workload
from workloads.model import Workload

MINE = """\
name: mine
description: Prints as many figures as it is told to.
source: https://example.org/mine
tags: [own]
parameters:
  n: {default: 3, min: 1, max: 9, description: how many}
  word: {default: "7"}
quick: {n: 1}
run:
  shell: |
    for i in $(seq $n); do echo "score[$i]: $word"; done
    if [ $word = bad ]; then echo out of luck >&2; exit 5; fi
parser: regex
metrics:
  score: {unit: points, better: higher, primary: true, select: last, pattern: 'score\\[\\d+\\]: (\\d+)'}
  bonus: {unit: points, better: higher, optional: true, pattern: 'bonus: (\\d+)'}
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A directory of workloads of one's own."""
    monkeypatch.setenv("COLUMNS", "120")
    directory = tmp_path / "own"
    directory.mkdir()
    (directory / "mine.yaml").write_text(MINE)
    return directory


@pytest.fixture
def checking(own, fake_host, monkeypatch, tmp_path):
    """Runs `bench workload check` where the bare host is the fake runtime; gives its exit code."""
    parent = tmp_path / "run"
    parent.mkdir()
    monkeypatch.setitem(__import__("runtimes.registry").registry.RUNTIMES, ARM, "fake:FakeRuntime")
    monkeypatch.setattr("runtimes.facilities.check_host", lambda limits: None)
    monkeypatch.setattr("bench.images.prepare_image", lambda *given, **named: FAKE_IMAGE)
    monkeypatch.setattr("bench.privileges.check_privileges", lambda *given: None)
    monkeypatch.setattr("bench.measure._become_root", lambda *given: None)
    monkeypatch.setattr("runtimes.leftovers.run_parents", lambda: [parent])

    def check(*arguments):
        code = run_command_line(["workload", "check", *arguments])
        assert list(parent.iterdir()) == []
        return code

    return check


def show(*arguments):
    return run_command_line(["workload", "show", *arguments])


@pytest.mark.parametrize("name", load_catalogue())
def test_every_shipped_workload_can_be_shown(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert show(name) == 0
    shown = "".join(capsys.readouterr().out.split())
    workload = load_workload(name)
    for part in (workload.description, workload.source, *workload.parameters, *workload.metrics, *workload.packages):
        assert "".join(part.split()) in shown


def test_what_is_shown_has_the_values_of_parameters_in_commands(own, capsys):
    assert show("sysbench-cpu", "--param", "threads=4") == 0
    shown = capsys.readouterr().out
    assert "--threads=4" in shown
    assert "4 (not 1)" in shown


def test_what_is_known_only_in_a_trial_stays_a_placeholder():
    command = CommandLine(("tool", "-n", "{n}", "{scratch}/a file"))
    assert command_text(command, {"n": True}) == "tool -n true '{scratch}/a file'"
    assert command_text(CommandLine(shell="echo $n {n}\n"), {"n": 1}) == "echo $n {n}"


def test_show_as_json(own, capsys):
    assert show("mine", "--workloads", str(own), "--quick", "--param", "word=12", "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["resolved"] == {
        "file": str(own / "mine.yaml"),
        "values": {"n": 1, "word": "12"},
        "commands": [{"what": "run, instance", "command": load_workload(str(own / "mine.yaml")).run.shell.strip()}],
        "scratch": None,
    }
    assert data["metrics"]["score"]["select"] == "last"


@pytest.mark.parametrize("name", load_catalogue())
def test_a_workload_shown_as_yaml_is_the_same_workload(name, capsys):
    assert show(name, "--format", "yaml") == 0
    shown = parse_document(capsys.readouterr().out, str(CATALOGUE / "shown.yaml"))
    assert validate(shown, Workload) == load_workload(name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["foi"], "unknown workload 'foi'; expected one of"),
        (["./no.yaml"], "no.yaml: cannot be read"),
        (["fio", "--param", "bs"], "--param bs: expected NAME=VALUE"),
        (["fio", "--param", "sb=4k"], "--param sb=4k: unknown parameter of fio; expected one of rw, bs,"),
        (["fio", "--param", "bs=4z"], "--param bs=4z: unknown unit 'z'"),
        (["fio", "--param", "iodepth=x"], "--param iodepth=x: expected a whole number, got 'x'"),
        (["fio", "--param", "iodepth=0"], "--param iodepth=0: 0 is too small; the least is 1"),
        (["fio", "--workloads", "nowhere"], "nowhere: cannot be read as a directory of workloads"),
    ],
)
@pytest.mark.parametrize("verb", ["show", "check"])
def test_a_mistake_is_told_and_exits_with_2(verb, arguments, said, capsys):
    assert run_command_line(["workload", verb, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_check_shows_the_output_and_what_was_found_in_it(checking, own, capsys):
    assert checking("mine", "--workloads", str(own)) == 0
    shown = capsys.readouterr().out
    assert all(f"score[{i}]: 7\n" in shown for i in (1, 2, 3))
    assert "exit status 0" in shown
    assert shown[shown.index("Metrics") :].splitlines()[2].split()[:4] == ["score", "7.000", "points", "higher"]
    assert "not in the output" in shown
    assert "✓ ok  mine n=3 word=7" in shown


def test_a_check_takes_the_quick_parameters_and_others_over_them(checking, own, capsys):
    path = str(own / "mine.yaml")
    assert checking(path, "--quick", "--param", "word=8", "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["params"] == {"n": 1, "word": "8"}
    assert data["metrics"] == [{"metric": "score", "value": 8.0, "unit": "points", "better": "higher", "primary": True}]
    assert (data["status"], data["error"]) == ("ok", None)
    assert checking(path, "--quick", "--param", "n=2", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["params"]["n"] == 2


def test_a_check_that_fails_shows_the_reason_and_the_output(checking, own, capsys):
    assert checking("mine", "--workloads", str(own), "--param", "word=bad") == 1
    shown = capsys.readouterr().out
    assert "score[3]: bad\n" in shown
    assert "out of luck\n" in shown
    assert shown.rstrip().endswith("/usr/bin/env: exit status 5: out of luck")
    assert "✗ failed  mine n=3 word=bad" in shown


def test_output_without_a_figure_is_a_failure(checking, own, capsys):
    assert checking("mine", "--workloads", str(own), "--param", "word=x", "--format", "json") == 1
    data = json.loads(capsys.readouterr().out)
    assert data["status"] == "failed"
    assert data["error"].startswith("mine: no metric 'score': nothing matches")
    assert data["metrics"] == []
    assert "score[3]: x" in data["log"]


def test_a_workload_that_runs_nothing_has_the_harness_figures(checking, capsys):
    assert checking("null", "--format", "json") == 0
    metrics = {figure["metric"] for figure in json.loads(capsys.readouterr().out)["metrics"]}
    assert "startup_time" in metrics


def test_without_quick_parameters_the_defaults_hold_and_it_says_so(own, capsys):
    (own / "mine.yaml").write_text(MINE.replace("quick: {n: 1}\n", ""))
    assert show("mine", "--workloads", str(own), "--quick", "--format", "json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["resolved"]["values"]["n"] == 3
    assert "no values for quick trials" in said.err


def test_the_suite_of_a_check_can_be_read_back(own, tmp_path):
    path = own / "mine.yaml"
    suite = check_suite(str(path), load_workload(str(path)), {"n": 2})
    (tmp_path / "run.yaml").write_text(suite.as_yaml())
    again = load_suite(str(tmp_path / "run.yaml"))
    assert again == suite
    assert again.arms[0].limits == LIMITS
