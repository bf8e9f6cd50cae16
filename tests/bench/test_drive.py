"""What a workload's commands are run for, and in which order, over the fake runtime."""

from __future__ import annotations

import socket
import sys

import pytest

LISTENS = "import socket, time; time.sleep(0.1); kept = socket.create_server(('127.0.0.1', PORT)); time.sleep(100)"
"""A server that says nothing when it is ready."""

SERVED = """
name: echo
description: Asks a server after it was given data and warmed up.
server:
  command: [PYTHON, "-c", "PROGRAM"]
  ready: {port: PORT}
  timeout: 5s
load: [{shell: "echo 4 >DIRECTORY/data"}]
warmup: [{shell: "sed s/4/42/ DIRECTORY/data >DIRECTORY/warm"}]
run:
  shell: |
    PYTHON -c "import socket; socket.create_connection(('127.0.0.1', PORT))"
    echo score: $(cat DIRECTORY/warm)
parser: regex
metrics:
  score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}
  price: {unit: s/point, better: lower, host_cpu_per: score}
"""


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture
def served(suite_run, port, tmp_path):
    """Carries out the workload with a server of that program, and gives the errors of its trials."""

    def carry_out(program=LISTENS, text=SERVED):
        for name, value in {"PROGRAM": program, "PORT": port, "PYTHON": sys.executable, "DIRECTORY": tmp_path}.items():
            text = text.replace(name, str(value))
        suite_run.with_workload(text).execute()
        return [trial.error for trial in suite_run.trials()]

    return carry_out


def test_a_server_is_waited_for_by_its_port_then_given_data_and_warmed_up(served, suite_run):
    assert set(served()) == {None}
    frame = suite_run.frame()
    assert set(frame.loc[frame["metric"] == "score", "value"]) == {42}


def test_the_price_of_a_figure_is_host_cpu_time(served, suite_run):
    served()
    frame = suite_run.frame().set_index(["trial", "metric"])["value"]
    for trial in suite_run.trials():
        price = frame[trial.trial, "price"]
        assert 0 < price * 42 <= frame[trial.trial, "cpu_time"]


def test_a_server_that_never_listens_fails_the_trial(served):
    text = SERVED.replace("timeout: 5s", "timeout: 200ms")
    for error in served("import time; print('no port for me', flush=True); time.sleep(100)", text):
        assert "no process listened on port" in error
        assert error.endswith("within 0.2 s: no port for me")


def test_a_server_that_ends_before_it_listens_fails_the_trial_at_once(served):
    for error in served("raise SystemExit('bad config')"):
        assert error.endswith("exit status 1 before it was ready: bad config")


@pytest.mark.parametrize("key", ["load", "warmup"])
def test_a_command_that_fails_before_the_measured_one_fails_the_trial(served, key):
    begin = SERVED.index(f"\n{key}:") + 1
    line = SERVED[begin : SERVED.index("\n", begin)]
    for error in served(text=SERVED.replace(line, f'{key}: [{{shell: "echo no data >&2; exit 5"}}]')):
        assert error.endswith("exit status 5: no data")


def test_a_server_that_does_not_last_fails_the_trial_whatever_its_client_says(served):
    brief = "import socket, sys, time; kept = socket.create_server(('127.0.0.1', PORT)); time.sleep(0.5); sys.exit(7)"
    for error in served(brief, SERVED.replace("echo score", "sleep 1; echo score")):
        assert "the server did not last" in error
        assert "status 7" in error
