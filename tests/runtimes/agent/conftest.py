from __future__ import annotations

import ctypes
import socket
import subprocess

import pytest
from agent_support import RawAgent

from runtimes.agent.build import build_agent
from runtimes.agent.client import AgentClient


@pytest.fixture(scope="session")
def agent_binary(tmp_path_factory):
    return build_agent(tmp_path_factory.mktemp("agent"))


def _ignore_all_signals():
    """As the worst of parents would have it; by the system call, since the C library guards signals 32 and 33."""
    rt_sigaction, ignore = 13, (ctypes.c_ulong * 4)(1)
    for number in range(1, 65):
        ctypes.CDLL(None).syscall(rt_sigaction, number, ignore, None, 8)


@pytest.fixture
def start_agent(agent_binary):
    """Start an agent on a socketpair: its client and its process. Afterwards both are gone."""
    started = []

    def start():
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [agent_binary, "--fd", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                preexec_fn=_ignore_all_signals,  # noqa: PLW1509 - no other thread holds a lock it needs
            )
        client = AgentClient(ours)
        started.append((client, process))
        client.wait_ready(10)
        return client, process

    yield start
    for client, process in started:
        client.close()
        try:
            process.wait(10)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def agent(start_agent):
    return start_agent()[0]


@pytest.fixture
def raw_agent(agent_binary):
    """An agent without a client, READY already received."""
    raw = RawAgent(agent_binary)
    raw.next()
    yield raw
    raw.close()
