"""`bench workload check` for real: an image, the bare host, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from leftovers import leftovers

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(900)]

BENCH = Path(sys.executable).with_name("bench")

# The packages are those of the suite quick, whose image is there in most cases.
SERVED = """
name: served
description: Bytes of a page, from a server in the instance to a client outside.
packages: [fio, iperf3, redis-server, redis-tools, sysbench]
parameters: {keys: {default: 100, min: 1}, kind: {default: set, choices: [set, nothing]}}
quick: {keys: 5}
client: peer
scratch: 8M
server:
  command: [redis-server, --bind, "0.0.0.0", --protected-mode, "no", --save, "", --dir, "{scratch}"]
  ready: {port: 6379}
load:
  - {shell: "for i in $(seq $keys); do redis-cli -e -h $server $kind key$i 1; done"}
run: [redis-cli, -h, "{server}", dbsize]
parser: regex
metrics: {keys: {unit: keys, better: higher, primary: true, pattern: '^(\\d+)$'}}
"""


@pytest.fixture
def check(tmp_path):
    (tmp_path / "served.yaml").write_text(SERVED)
    before = leftovers()

    def run(*arguments):
        return subprocess.run(
            [BENCH, "workload", "check", "served", "--workloads", tmp_path, *arguments],
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
            cwd=tmp_path,
        )

    yield run
    assert leftovers() == before
    assert [path.name for path in tmp_path.iterdir()] == ["served.yaml"]


def test_a_server_its_data_and_its_client_are_shown_with_the_figure(check):
    finished = check("--quick")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "[load, peer] $ /usr/bin/env keys=5" in finished.stdout
    assert "[peer] $ redis-cli -h" in finished.stdout
    assert "[server] $ redis-server" in finished.stdout
    figure = finished.stdout.split("Metrics")[1].splitlines()[2].split()
    assert figure == ["keys", "5.000", "keys", "higher", r"^(\d+)$"]


def test_a_command_that_fails_is_shown_and_exits_with_1(check):
    finished = check("--param", "kind=nothing", "--param", "keys=1")
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "ERR unknown command" in finished.stdout
    assert "✗ failed  served keys=1 kind=nothing" in finished.stdout
