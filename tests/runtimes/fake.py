"""A runtime without isolation: the real agent as a plain child process, to drive the real runner anywhere."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import psutil

from runtimes.agent.build import build_agent
from runtimes.agent.client import AgentClient, AgentError
from runtimes.base import InstanceError, MemoryReading, Options, Timeline, Usage


class FakeOptions(Options):
    """How the fake misbehaves.

    Attributes:
        fail_start: whether no instance ever starts.
        mute: whether no instance ever gets ready.
        fail_stop: whether no instance can be torn down.
        accel: what it pretends to be run by.
        oom_kills: how many processes it pretends the kernel killed for want of memory.
        pids_limit_hits: how often it pretends that a process was refused.
        room: how many instances it pretends there is memory for.
    """

    fail_start: bool = False
    mute: bool = False
    fail_stop: bool = False
    accel: str = "none"
    oom_kills: int = 0
    pids_limit_hits: int = 0
    room: int = 1000


class FakeInstance:
    """A plain process."""

    address = "127.0.0.1"

    def __init__(self, process, client, timeline, options):
        self._process = process
        self._psutil = psutil.Process(process.pid)
        self.agent = client
        self.timeline = timeline
        self.facts = {"accel": options.accel, "kernel": os.uname().release}
        self._options = options

    def memory(self):
        resident = self._psutil.memory_info().rss
        return MemoryReading(charged=resident, parts={"anon": resident}, pss=resident)

    def usage(self):
        times = self._psutil.cpu_times()
        own = int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[0]) / 1e9
        spent = own + times.children_user + times.children_system
        return Usage(
            cpu_time=spent,
            cpu_user=spent,
            cpu_system=0.0,
            memory_peak=self._psutil.memory_info().rss,
            oom_kills=self._options.oom_kills,
            pids_limit_hits=self._options.pids_limit_hits,
        )

    def stop(self):
        self.timeline.stamp("stop_requested")
        self.agent.shutdown()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            raise InstanceError("the agent did not stop") from None
        self.timeline.stamp("goodbye", self.agent.goodbye_at)
        self.timeline.stamp("exited")
        self.timeline.stamp("stopped")


class FakeRuntime:
    """The agent as a plain process, with no isolation at all."""

    name = "fake"
    options_model = FakeOptions

    def __init__(self, agent, options):
        self._agent = agent
        self._options = options
        self._alive = 0

    @classmethod
    def check(cls, options, limits):
        pass

    @classmethod
    @contextmanager
    def open(cls, facilities, options):
        binary = Path(facilities.directory) / "agent"
        yield cls(binary if binary.exists() else build_agent(Path(facilities.directory)), options)

    @contextmanager
    def start(self, spec):
        timeline = Timeline()
        timeline.stamp("requested")
        if self._options.fail_start:
            raise InstanceError("the fake was told not to start")
        if self._alive >= self._options.room:
            raise InstanceError("the fake did not start", details="mmap: Cannot allocate memory")
        self._alive += 1
        ours, theirs = socket.socketpair()
        with theirs:
            program = ["sleep", "1000"] if self._options.mute else [self._agent, "--fd", str(theirs.fileno())]
            process = subprocess.Popen(program, pass_fds=[theirs.fileno()])
        timeline.stamp("launch")
        client = AgentClient(ours)
        try:
            try:
                timeline.stamp("ready", client.wait_ready(spec.start_timeout))
            except AgentError as error:
                raise InstanceError(f"the fake did not get ready: {error}") from error
            yield FakeInstance(process, client, timeline, self._options)
        finally:
            self._alive -= 1
            client.close()
            process.kill()
            process.wait()
            if self._options.fail_stop:
                raise InstanceError("the fake was told not to stop")

    def start_files(self, image):
        return ()

    def image_parts(self, image):
        return {"userland": 1000}
