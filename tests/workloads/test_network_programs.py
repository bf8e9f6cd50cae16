"""What workloads with a client in the peer bring along, with the real tools, and a server that does as it is told."""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.loader import CATALOGUE, load_workload

CAPTURED = Path(__file__).parent / "captured"
STALL = 1.2
"""Seconds, of the two that such a test takes."""


class Web:
    """A web server that answers to ``/file``, one request after the other, in keep-alive connections."""

    def __init__(self) -> None:
        self.answered = 0
        self.stalls_after: int | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.answered += 1
                if self.answered == self.stalls_after:
                    threading.Event().wait(STALL)  # nobody is served meanwhile
                status = b"200 OK" if head.startswith(b"GET /file ") else b"404 Not Found"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@contextmanager
def web(stalls_after: int | None = None) -> Iterator[str]:
    """The address of a server, ``http://…``."""
    served = Web()
    served.stalls_after = stalls_after
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(served.serve, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        server.close()
        loop.close()


def run(*argv: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | settings
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=environment)


def wrk(url: str) -> subprocess.CompletedProcess[str]:
    return run("wrk", "-t", "1", "-c", "4", "-d", "1", "-s", CATALOGUE / "nginx/report.lua", url)


def test_wrk_reports_what_it_tells_people_as_json() -> None:
    with web() as address:
        done = wrk(f"{address}/file")
    assert done.returncode == 0, done.stderr
    reported = json.loads(done.stdout.splitlines()[-1])
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("Requests/sec:")]
    assert reported["requests_per_second"] == pytest.approx(float(said.split()[1]), abs=0.011)
    assert 0 < reported["latency_us"]["p50"] <= reported["latency_us"]["p99"] < 1e6


def test_wrk_fails_where_requests_did() -> None:
    with web() as address:
        done = wrk(f"{address}/nothing")
    assert done.returncode == 1
    assert "{" not in done.stdout
    assert "errors: status" in done.stderr


def open_loop(url: str, rate: int, seconds: int) -> subprocess.CompletedProcess[str]:
    return run("sh", "-eu", CATALOGUE / "nginx/open-loop.sh", url, str(rate), str(seconds))


def figures(done: subprocess.CompletedProcess[str]) -> tuple[int, int, float]:
    """Latencies p50 and p99, µs, and requests per second."""
    assert done.returncode == 0, done.stderr
    p50, p99, answered = done.stdout.splitlines()[-3:]
    return int(p50.split()[2]), int(p99.split()[2]), float(answered.split()[0])


@pytest.mark.parametrize("rate", [20, 300, 1500])
def test_requests_are_sent_at_the_rate_asked_for(rate: int) -> None:
    with web() as address:
        p50, p99, answered = figures(open_loop(f"{address}/file", rate, 2))
    assert 0 < p50 <= p99
    # From the first request to the last answer it is a part of a tenth of a second less than two seconds, or more
    # where somebody waits for a CPU.
    assert answered == pytest.approx(rate, rel=0.2)


def test_a_stall_of_the_server_is_seen_by_all_requests_that_came_meanwhile() -> None:
    """Three in five of the requests come while nobody is served: the median is one of these, and waits for a sixth of
    the stall. Had each connection waited for its answer, there would have been one late answer on each of twenty.
    """
    with web(stalls_after=40) as address:
        done = open_loop(f"{address}/file", 200, 2)
    p50, p99, _ = figures(done)
    assert p50 > 0.08 * STALL * 1e6
    assert p99 > 0.85 * STALL * 1e6


def test_an_open_loop_fails_where_requests_did() -> None:
    with web() as address:
        done = open_loop(f"{address}/nothing", 20, 1)
    assert done.returncode == 1
    assert "latency" not in done.stdout
    assert done.stderr == "not all of 20 requests were answered with success\n"


def test_an_open_loop_fails_without_a_server() -> None:
    done = open_loop("http://127.0.0.1:9/file", 20, 1)
    assert done.returncode == 1
    assert "latency" not in done.stdout


def transactions(report: str, seconds: int) -> subprocess.CompletedProcess[str]:
    script = CATALOGUE / "sockperf/transactions.awk"
    argv = ("awk", "-v", f"seconds={seconds}", "-f", script)
    return subprocess.run(argv, input=report, capture_output=True, text=True, check=False, timeout=60)


def captured(name: str) -> str:
    """What sockperf wrote, without what we add."""
    lines = (CAPTURED / name).read_text().splitlines(keepends=True)
    return "".join(line for line in lines if "transactions per second" not in line)


def test_the_rate_of_transactions_is_added_to_what_sockperf_says() -> None:
    report = captured("tcp-rr/done.out")
    done = transactions(report, 1)
    assert done.returncode == 0
    (valid,) = [line for line in report.splitlines() if "[Valid Duration]" in line]
    seconds, received = float(valid.split("RunTime=")[1].split()[0]), int(valid.split("ReceivedMessages=")[1])
    assert done.stdout == f"{report}{received / seconds:.2f} transactions per second\n"


@pytest.mark.parametrize(
    ("report", "seconds"),
    [
        (captured("udp-rr/lost.out"), 4),
        (captured("tcp-rr/killed.out"), 3),
        (captured("udp-rr/done.out").replace("duplicated messages = 0", "duplicated messages = 1"), 1),
        ("", 1),
    ],
    ids=["the answers stopped", "the server ended", "a message came twice", "nothing"],
)
def test_there_is_no_rate_where_messages_were_lost(report: str, seconds: int) -> None:
    done = transactions(report, seconds)
    assert (done.returncode, done.stdout) == (1, report)


def test_a_rate_of_memaslap_counts_for_nothing_once_the_server_is_gone(tmp_path: Path) -> None:
    """memaslap itself ends with 0 then, as this one does; memcping is the real one."""
    program = tmp_path / "memcaslap"
    program.write_text(f"#!/bin/sh\nexec cat {CAPTURED / 'memcached/done.out'}\n")
    program.chmod(0o755)
    workload = load_workload("memcached")
    assert workload.run is not None
    values = {"server": "127.0.0.1", "connections": "1", "bytes": "1", "runtime": "1", "files": str(CATALOGUE)}
    argv = workload.run.render(values | {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    done = run(*argv)
    assert "TPS: " in done.stdout
    assert "latency p99 " in done.stdout
    assert done.returncode != 0


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=300))
@settings(max_examples=30, deadline=None)
def test_percentiles_are_interpolated_in_the_group_that_they_lie_in(latencies: list[int]) -> None:
    counts = [sum(each.bit_length() == digits for each in latencies) for digits in range(32)]
    lines = [f"{first:8}:" + "".join(f"{count:9}" for count in counts[first : first + 4]) for first in range(4, 32, 4)]
    small = "       0:" + "".join(f"{count:9}" for count in counts[:4])
    report = "\n".join(
        [
            "Get Statistics (1 events)",
            "   Max: 1",
            "       4:        9",
            "",
            f"Total Statistics ({len(latencies)} events)",
            f"   Max: {max(latencies)}",
            "   Log2 Dist:",
            small,
            *lines,
            "",
            "cmd_get: 3",
            "",
        ]
    )
    script = str(CATALOGUE / "memcached/percentiles.awk")
    done = subprocess.run(["awk", "-f", script], input=report, capture_output=True, text=True, check=True, timeout=10)
    for share, line in zip((0.5, 0.99), done.stdout.splitlines(), strict=True):
        found = float(line.split()[2])
        exact = sorted(latencies)[math.ceil(share * len(latencies)) - 1]
        assert exact / 2 - 1 <= found <= min(exact * 2, max(latencies)) + 1
