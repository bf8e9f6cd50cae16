"""The units, the crontab and the workflow in docs/nightly: well formed, and true to the command line."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from bench.cli import cli

PROJECT = Path(__file__).parents[3]
NIGHTLY = PROJECT / "docs" / "nightly"
SERVICE = NIGHTLY / "bench-nightly.service"
TIMER = NIGHTLY / "bench-nightly.timer"
PROGRAM = "/opt/bench/.venv/bin/bench"


def _check_command(words):
    """Have click read a command line as the program would, without carrying it out."""
    verb = cli.get_command(click.Context(cli), words[0])
    assert verb is not None, f"no verb {words[0]}"
    verb.make_context(words[0], list(words[1:]))


def _commands(script):
    """The command lines of bench in a shell script, without what the shell takes for itself."""
    for line in script.replace("\\\n", " ").splitlines():
        found = re.search(r"(?:^|\s)\S*\.venv/bin/bench\s+(.*?)(?:\s*(?:>|\|\||&&|;|\s#).*)?$", line)
        if found:
            yield shlex.split(found[1])


@pytest.fixture
def units(tmp_path):
    """The units as somebody would install them whose checkout is this one."""
    for unit in (SERVICE, TIMER):
        text = unit.read_text().replace(PROGRAM, str(Path(sys.executable).with_name("bench")))
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def _verify(*units):
    return subprocess.run(
        ["systemd-analyze", "--man=no", "verify", *units], capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_finds_nothing_wrong_with_the_units(units):
    finished = _verify(units / SERVICE.name, units / TIMER.name)
    assert finished.returncode == 0, finished.stderr
    ours = [line for line in finished.stderr.splitlines() if "bench-nightly" in line]
    assert ours == []


def test_systemd_would_have_found_something(units):
    service = units / SERVICE.name
    service.write_text(service.read_text().replace("KillMode=mixed", "KillMode=mixd"))
    assert "kill mode" in _verify(service).stderr


def _setting(unit, key):
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def test_the_service_calls_the_program_as_it_is():
    (command,) = _setting(SERVICE, "ExecStart")
    program, *words = shlex.split(command)
    assert program == PROGRAM
    assert words[0] == "nightly"
    _check_command(words)


def test_instances_inherit_nothing_that_they_would_be_measured_with():
    settings = {line.partition("=")[0] for line in SERVICE.read_text().splitlines() if re.match(r"[A-Z]\w*=", line)}
    distorting = re.compile(
        r"Nice|CPU.*|IO.*|Memory.*|Allowed.*|SystemCall.*|NoNew.*|Restrict.*|Lock.*|Private.*|Device.*|Limit.*"
        r"|ProtectKernel.*|ProtectClock|ProtectControlGroups|ProtectHostname|ProtectProc|ProtectSystem"
    )
    assert [name for name in settings if distorting.fullmatch(name)] == []
    assert {"Delegate", "KillMode", "TimeoutStartSec", "TimeoutStopSec"} <= settings
    assert _setting(TIMER, "Persistent") == ["true"]


def test_the_crontab_is_one_that_cron_reads():
    lines = [line for line in (NIGHTLY / "bench-nightly.crontab").read_text().splitlines() if line and line[0] != "#"]
    jobs = [line for line in lines if not re.fullmatch(r"[A-Z_]+=\S+", line)]
    (job,) = jobs
    *moment, user, command = job.split(None, 6)
    limits = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
    for field, (low, high) in zip(moment, limits, strict=True):
        assert field == "*" or low <= int(field) <= high
    assert user == "root"
    assert "%" not in command, "cron makes a line's end of it"
    program, *words = shlex.split(command)
    assert program == PROGRAM
    _check_command(words)


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load((NIGHTLY / "github-actions.yml").read_text())


def test_the_workflow_has_what_github_asks_for(workflow):
    # YAML 1.1 reads the key `on` as a truth value.
    assert {"schedule", "pull_request", "workflow_dispatch"} <= set(workflow[True])
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])


def test_its_commands_are_those_of_the_program(workflow):
    verbs = []
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            for words in _commands(step.get("run", "")):
                _check_command(words)
                verbs.append(words[0])
    assert verbs.count("nightly") == len(workflow["jobs"])


def test_its_scripts_find_the_run_and_keep_the_exit_code(workflow, tmp_path):
    """Carried out with a program that only says the last line, and that something got slower."""
    line = 'bench-nightly: suite=quick status=regression exit=3 run=20261130-1 trials=2 failed=0 reason="a b"'
    program = tmp_path / ".venv" / "bin" / "bench"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{line}'\nexit 3\n")
    program.chmod(0o755)
    (tmp_path / "sudo").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (tmp_path / "sudo").chmod(0o755)
    report = tmp_path / "bench-results" / "runs" / "20261130-1" / "report"
    report.mkdir(parents=True)
    (report / "regress.md").write_text("### Regressions\n")
    for name, job in workflow["jobs"].items():
        (script,) = [step["run"] for step in job["steps"] if "bench nightly" in step.get("run", "")]
        summary = tmp_path / f"summary-{name}"
        environment = {
            "PATH": f"{tmp_path}:/usr/bin:/bin", "BENCH_STORE": "bench-results", "SITE": "site",
            "GITHUB_STEP_SUMMARY": str(summary),
        }  # fmt: skip
        finished = subprocess.run(
            ["bash", "-e", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert finished.returncode == 3, finished.stderr
        assert finished.stdout.strip() == line
        assert summary.read_text() == "### Regressions\n"


@pytest.mark.parametrize("nights", [0, 1])
def test_a_pull_request_is_kept_out_of_the_history_also_before_there_is_one(workflow, tmp_path, nights):
    """Carried out in another place, by a ``sudo`` that only goes on."""
    (script,) = [
        step["run"]
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if step.get("name") == "Keep a pull request out of the history"
    ]
    (tmp_path / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (tmp_path / "sudo").chmod(0o755)
    for night in range(nights):
        (tmp_path / "store" / "runs" / str(night)).mkdir(parents=True)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin", "BENCH_STORE": f"{tmp_path}/store",
        "GITHUB_ENV": f"{tmp_path}/set",
    }  # fmt: skip
    assert "/var/tmp/" in script
    here = script.replace("/var/tmp/", f"{tmp_path}/")
    finished = subprocess.run(["bash", "-e", "-c", here], env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    copied = tmp_path / "bench-pull-request" / "results"
    assert [path.name for path in copied.glob("runs/*")] == [str(night) for night in range(nights)]
    assert f"BENCH_STORE={copied}\n" in (tmp_path / "set").read_text()


def test_its_actions_are_pinned_by_version(workflow):
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"actions/[a-z-]+(/[a-z]+)?@v\d+\.\d+\.\d+", action)] == []


def test_a_strangers_pull_request_does_not_run_on_ones_own_machine(workflow):
    for job in workflow["jobs"].values():
        assert "pull_request" in job["if"], "each job says what it does with pull requests"
    assert "pull_request_target" not in workflow[True]


def test_the_guide_has_commands_that_are_there():
    text = (NIGHTLY / "README.md").read_text()
    commands = [words for line in re.findall(r"^    (.+)$", text, re.MULTILINE) for words in _commands(line)]
    assert {words[0] for words in commands} >= {"doctor", "nightly"}
    for words in commands:
        _check_command(words)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (NIGHTLY / target).is_file(), target
