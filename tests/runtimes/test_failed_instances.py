"""Native instances and containers that do not start or die: each fails with a reason in one line, leaving nothing."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from contextlib import contextmanager

import pytest
from broken import foreign_elf, image_with_agent
from traces import host_traces, new_run_name, pids_below

from runtimes.agent.client import Command
from runtimes.base import InstanceError
from runtimes.container.options import ContainerOptions
from runtimes.container.runtime import ContainerRuntime
from runtimes.facilities import open_facilities
from runtimes.native import NativeOptions, NativeRuntime

pytestmark = pytest.mark.host

ARMS = {"native": (NativeRuntime, NativeOptions()), "container": (ContainerRuntime, ContainerOptions())}


@pytest.fixture(params=ARMS)
def arm(request):
    return ARMS[request.param]


@contextmanager
def failing(facilities, said):
    before = host_traces(facilities)
    started = time.monotonic()
    with pytest.raises(InstanceError, match=said) as caught:
        yield
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 10
    assert host_traces(facilities) == before


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (foreign_elf(), "execve /usr/lib/bench/agent: Exec format error"),
        (b"#!/bin/busybox sh\necho out of luck; exit 3\n", "did not get ready: the stream ended.*out of luck"),
    ],
)
def test_an_agent_that_cannot_run(arm, tiny_image, make_spec_for, tmp_path, agent, said):
    runtime, options = arm
    place = tmp_path / "image"
    place.mkdir()
    image = image_with_agent(tiny_image, place, agent)
    with open_facilities(new_run_name(), image) as facilities, runtime.open(facilities, options) as opened:
        spec = make_spec_for(facilities)
        with failing(facilities, said), opened.start(spec):
            pytest.fail("it started")


@pytest.fixture
def opened(arm, facilities):
    runtime, options = arm
    with runtime.open(facilities, options) as made:
        yield made


def agent_of(facilities, spec):
    """The pid of the one process of an instance that runs nothing."""
    (pid,) = pids_below(facilities.cgroups.directories[0] / spec.name)
    return pid


def test_an_agent_that_is_killed_during_a_workload(opened, facilities, new_spec):
    spec = new_spec()
    with failing(facilities, "the agent has ended"), opened.start(spec) as instance:
        pid = agent_of(facilities, spec)
        process = instance.agent.spawn(Command(("sleep", "100")))
        os.kill(pid, signal.SIGKILL)
        process.wait(100)


def test_an_agent_that_is_killed_while_it_stops(opened, facilities, new_spec, monkeypatch):
    spec = new_spec()
    with failing(facilities, "could not be stopped in order"), opened.start(spec) as instance:
        pid, shutdown = agent_of(facilities, spec), instance.agent.shutdown

        def killed(timeout):
            os.kill(pid, signal.SIGKILL)
            shutdown(timeout)

        monkeypatch.setattr(instance.agent, "shutdown", killed)
        instance.stop()


def test_an_agent_that_hangs_while_it_stops(opened, facilities, new_spec):
    spec = dataclasses.replace(new_spec(), stop_timeout=0.3)
    with failing(facilities, r"has not said goodbye within 0\.3 s"), opened.start(spec) as instance:
        os.kill(agent_of(facilities, spec), signal.SIGSTOP)
        instance.stop()
