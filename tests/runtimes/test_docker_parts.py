"""What Docker's runtime is made of, without a daemon."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.base import InstanceError, IoLimits, Limits, Timeline
from runtimes.cgroup import DaemonTree
from runtimes.cgroup.figures import CpuTime
from runtimes.docker import _inspect, _nanoseconds
from runtimes.engine.daemon_costs import DaemonCosts
from runtimes.engine.docker.api import Api, ApiError, AttachedStream, is_unknown
from runtimes.engine.docker.container import Wanted, create_body, run_arguments, shares
from runtimes.engine.instance import contained
from runtimes.engine.phases import stamp_files

LIMITS = Limits(
    cpus=0.5,
    cpuset=(),
    memory=64 << 20,
    cpu_weight=200,
    memory_swap=1 << 20,
    pids=7,
    io=IoLimits(read_bytes=1, write_bytes=2, read_ops=3, write_ops=4),
)
WANTED = Wanted(
    name="bench-x",
    image="sha256:ab",
    limits=LIMITS,
    cpus=(1, 3),
    parent="run/instances/bench-x",
    version=1,
    swap=True,
    network="default",
    volume="bench-x",
    disk=Path("/dev/loop9"),
    seccomp=False,
)


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50))), st.integers(1, 40))
def test_output_and_errors_of_a_container_are_put_apart(parts, size):
    ours, theirs = socket.socketpair()
    errors = io.BytesIO()
    with ours, theirs:
        theirs.sendall(b"".join(struct.pack(">BxxxI", kind, len(data)) + data for kind, data in parts))
        theirs.shutdown(socket.SHUT_WR)
        stream = AttachedStream(ours, errors)
        read = b"".join(iter(lambda: stream.recv(size), b""))
    assert read == b"".join(data for kind, data in parts if kind == 1)
    assert errors.getvalue() == b"".join(data for kind, data in parts if kind == 2)


def test_both_clients_are_told_the_same():
    """What the command line makes of its arguments, by its manual, is what the API is told."""
    arguments = list(run_arguments(WANTED))
    given = dict(argument.removeprefix("--").split("=", 1) for argument in arguments if re.match("--.*=", argument))
    body = create_body(WANTED)
    told = body["HostConfig"]
    assert arguments[-3:] == [body["Image"], *body["Cmd"]]
    assert given["hostname"] == body["Hostname"]
    assert given["cgroup-parent"] == told["CgroupParent"]
    assert (given["log-driver"], given["network"]) == (told["LogConfig"]["Type"], told["NetworkMode"])
    assert (given["cpuset-cpus"], given["security-opt"]) == (told["CpusetCpus"], told["SecurityOpt"][-1])
    numbers = {
        "cpu-period": "CpuPeriod",
        "cpu-quota": "CpuQuota",
        "cpu-shares": "CpuShares",
        "memory": "Memory",
        "memory-swap": "MemorySwap",
        "pids-limit": "PidsLimit",
        "shm-size": "ShmSize",
    }
    assert {key: int(given[option]) for option, key in numbers.items()} == {key: told[key] for key in numbers.values()}
    for option, key in (("device-read-bps", "BlkioDeviceReadBps"), ("device-write-iops", "BlkioDeviceWriteIOps")):
        (rate,) = told[key]
        assert given[option] == f"{rate['Path']}:{rate['Rate']}"
    assert arguments.count("--ulimit=nofile=1024:4096") == 1
    assert {"Name": "nofile", "Soft": 1024, "Hard": 4096} in told["Ulimits"]
    assert len([argument for argument in arguments if argument.startswith("--ulimit")]) == len(told["Ulimits"])
    (mount,) = told["Mounts"]
    assert given["mount"] == f"type=volume,source={mount['Source']},target={mount['Target']},volume-nocopy"


def test_what_is_not_limited_is_not_told():
    bare = replace(WANTED, limits=Limits(1, (), 1 << 20), swap=False, volume=None, disk=None, seccomp=True)
    told = create_body(bare)["HostConfig"]
    assert not {"MemorySwap", "CpuQuota", "CpuShares", "PidsLimit", "Mounts"} & set(told)
    assert told["SecurityOpt"] == ["apparmor=unconfined"]
    assert not [key for key in told if key.startswith("Blkio")]
    assert not [word for word in run_arguments(bare) if re.match("--(memory-swap|cpu-q|pids|device|mount)", word)]


@given(st.integers(1, 10000))
def test_on_version_2_a_weight_comes_back_from_its_shares(weight):
    told = shares(weight, 2)
    assert 2 <= told <= 262144
    assert 1 + (told - 2) * 9999 // 262142 == weight


def test_times_are_read():
    assert _nanoseconds("1970-01-01T00:00:01.000000002Z") == 10**9 + 2
    assert _nanoseconds("2026-11-30T10:18:59.5Z") % 10**9 == 500_000_000
    assert _nanoseconds("1970-01-01T00:01:00Z") == 60 * 10**9


def test_phases_by_files_are_in_order_or_left_out(tmp_path):
    timeline = Timeline()
    timeline.stamp("requested")
    time.sleep(0.02)
    now = time.time_ns()
    for name, ago in (("one", 10), ("early", 12), ("ahead", -5000), ("two", 5), ("long-ago", 10_000)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, ns=(now, now - ago * 10**6))
    names = ("one", "early", "missing", "ahead", "two", "long-ago")
    stamp_files(timeline, {name: tmp_path / name for name in names}, time.monotonic_ns())
    timeline.stamp("ready")
    assert [name for name, _ in timeline.phases()] == ["one", "two", "ready"]
    assert dict(timeline.phases())["two"] == pytest.approx(0.005, abs=0.002)


class Account:
    """A cgroup whose figures a test sets."""

    def __init__(self):
        self.seconds, self.bytes = 0.0, 0

    def cpu(self):
        return CpuTime(self.seconds, self.seconds, 0.0, 0.0)

    def split(self):
        return {"anon": self.bytes, "file": 999, "kernel": 0}


def test_a_daemon_s_costs_are_shared_by_those_that_live():
    whole, instances = Account(), Account()
    whole.seconds, whole.bytes = 5.0, 1000
    costs = DaemonCosts(DaemonTree(whole, whole, instances, ""))
    assert costs.idle == 1000
    with costs.account() as one:
        one.begin()
        whole.seconds += 1.0
        with costs.account() as other:
            assert costs.read(one) == (0, CpuTime(1.0, 1.0, 0.0, 0.0)), "the other is not requested yet"
            other.begin()
            whole.seconds, instances.seconds = whole.seconds + 5.0, 3.0  # 2 of the daemon itself
            whole.bytes, instances.bytes = 2000, 600
            assert costs.read(one) == (200, CpuTime(2.0, 2.0, 0.0, 0.0))
            assert costs.read(other)[1].total == pytest.approx(1.0)
            assert other.outside(2**22 + 1).memory == {"shim": 0, "daemon": 200}
        whole.seconds += 0.5
        assert costs.read(one)[1].total == pytest.approx(2.5)
    with costs.account() as later:
        assert costs.idle == 1400
        assert costs.read(later) == (0, CpuTime(0.0, 0.0, 0.0, 0.0))


def test_nothing_is_read_or_waited_for_when_an_instance_is_requested():
    whole = Account()
    costs = DaemonCosts(DaemonTree(whole, whole, Account(), ""))
    with costs.account() as share:
        whole.cpu = whole.split = None
        with costs._lock:
            share.begin()
        del whole.cpu, whole.split
        whole.seconds += 1.0
        assert costs.read(share)[1].total == pytest.approx(1.0)


class Handler(BaseHTTPRequestHandler):
    """Answers as a daemon does."""

    ANSWERS: ClassVar = {
        "/missing": (404, b'{"message": "No such container: x"}'),
        "/steps": (200, b'{"status": "one"}\r\n{"status": "sha256:ab"}\r\n'),
        "/late-failure": (200, b'{"errorDetail": {"message": "archive/tar: invalid"}, "error": "x"}\r\n'),
        "/nothing": (204, b""),
        "/plain": (500, b"out of order"),
    }

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, content = self.ANSWERS[self.path.partition("?")[0]]
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST  # noqa: N815 - the name that the library looks for

    def address_string(self):
        return "test"

    def log_message(self, *_):
        pass


@contextmanager
def serving(path):
    with UnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Api(path)
        finally:
            server.shutdown()
            thread.join()


def test_answers_of_the_daemon(tmp_path):
    with serving(tmp_path / "socket") as api:
        assert api.ask("POST", "/steps", {"a": 1}, fromSrc="-") == {"status": "sha256:ab"}
        assert api.ask("POST", "/nothing") is None
        with pytest.raises(ApiError, match="docker: missing: No such container: x") as refused:
            api.ask("POST", "/missing")
        assert is_unknown(refused.value)
        with pytest.raises(ApiError, match="docker: late-failure: archive/tar: invalid"):
            api.ask("POST", "/late-failure")
        with pytest.raises(InstanceError, match="docker: plain: out of order"):
            api.ask("POST", "/plain")
    with pytest.raises(ApiError, match="no answer from the daemon"):
        Api(tmp_path / "nobody").ask("GET", "/version")


def test_an_attached_stream_is_refused_with_the_reason(tmp_path):
    with (
        serving(tmp_path / "socket") as api,
        pytest.raises(ApiError, match="No such container"),
        replaced_answer("/containers/x/attach", 404, {"message": "No such container"}),
        api.attached("x", io.BytesIO()),
    ):
        pass


@contextmanager
def replaced_answer(path, status, content):
    Handler.ANSWERS[path] = (status, json.dumps(content).encode())
    try:
        yield
    finally:
        del Handler.ANSWERS[path]


def test_a_container_that_has_ended_already_is_told_with_its_last_words(tmp_path):
    log = tmp_path / "log"
    log.write_text("one\nthe agent gave up\n")
    gone = {"message": "No such container: x"}
    with serving(tmp_path / "socket") as api:
        for status, content in ((200, {"State": {"Pid": 0}}), (404, gone)):
            with (
                replaced_answer("/containers/x/json", status, content),
                pytest.raises(InstanceError, match=r"has ended right after .*; its last words: the agent gave up"),
            ):
                _inspect(api, "x", log)
        with replaced_answer("/containers/x/json", 200, {"State": {"Pid": 7}}):
            assert _inspect(api, "x", log)["State"]["Pid"] == 7
    with pytest.raises(InstanceError, match="the container has ended"), contained(None, "x", 0):
        pass
