from __future__ import annotations

import socket
import subprocess

import pytest
from agent_support import RawAgent

from runtimes.agent.build import build_agent
from runtimes.agent.client import AgentClient


@pytest.fixture(scope="session")
def agent_binary(tmp_path_factory):
    return build_agent(tmp_path_factory.mktemp("agent"))


@pytest.fixture
def start_agent(agent_binary):
    """Start an agent on a socketpair: its client and its process. Afterwards both are gone."""
    started = []

    def start():
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen([agent_binary, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()])
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
