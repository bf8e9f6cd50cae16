"""The client against a peer that is no agent, or a bad one."""

from __future__ import annotations

import socket
import struct
import threading
import time

import pytest

from runtimes.agent import client as client_module
from runtimes.agent import process as process_module
from runtimes.agent.client import (
    AgentClient,
    AgentError,
    AgentGone,
    AgentTimeoutError,
    Command,
    ProtocolError,
)
from runtimes.agent.protocol import PROTOCOL_VERSION, Frame, FrameDecoder, FrameType

READY = Frame(FrameType.READY, 0, struct.pack("<IIQ", PROTOCOL_VERSION, 42, 7)).encode()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    client = AgentClient(ours)
    yield client, theirs
    theirs.close()
    client.close()


def answer(sock, *frames):
    """Wait for one request, then send frames."""

    def serve():
        request = next(iter(FrameDecoder().feed(sock.recv(1 << 18))))
        for kind, payload in frames:
            sock.sendall(Frame(kind, request.id, payload).encode())

    threading.Thread(target=serve, daemon=True).start()


def test_ready_is_stamped_when_its_last_byte_arrives(pair):
    client, peer = pair
    peer.sendall(READY[:20])
    threading.Timer(0.1, peer.sendall, [READY[20:]]).start()
    before = time.monotonic_ns()
    stamp = client.wait_ready(10)
    assert before + 90_000_000 < stamp <= time.monotonic_ns()
    assert (client.hello.pid, client.hello.boottime) == (42, 7)


def test_ready_that_does_not_come(pair):
    client, peer = pair
    with pytest.raises(AgentError, match="call wait_ready first"):
        client.run(Command(("true",)))
    with pytest.raises(AgentError, match="call wait_ready first"):
        _ = client.hello
    with pytest.raises(AgentTimeoutError, match=r"no READY from the agent within 0\.05 s"):
        client.wait_ready(0.05)
    peer.close()
    with pytest.raises(AgentGone, match="ended before the agent was ready"):
        client.wait_ready(1)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"Debian GNU/Linux 12 login: ", ProtocolError, "expected the magic"),
        (Frame(FrameType.STDOUT, 1, b"x").encode(), ProtocolError, "expected READY as the agent's first frame"),
        (Frame(FrameType.READY, 0, struct.pack("<IIQ", 99, 1, 1)).encode(), ProtocolError, "version 99"),
        (Frame(FrameType.FATAL, 0, b"no /dev/null").encode(), AgentGone, "no /dev/null"),
    ],
)
def test_something_else_instead_of_ready(pair, data, error, message):
    client, peer = pair
    peer.sendall(data)
    with pytest.raises(error, match=message):
        client.wait_ready(1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"kernel: Oops, and more of it", "expected the magic"),
        (Frame(FrameType.STDOUT, 1000, b"x").encode(), "STDOUT with id 1000, which nothing is under way with"),
        (Frame(FrameType.DATA, 1, b"x").encode(), "DATA about a command"),
        (Frame(FrameType.EXIT, 1, b"x").encode(), "EXIT of 1 bytes"),
    ],
)
def test_a_broken_stream_ends_every_call_with_the_reason(pair, data, message):
    client, peer = pair
    peer.sendall(READY)
    client.wait_ready(1)
    answer(peer, (FrameType.STARTED, struct.pack("<I", 5)))
    process = client.spawn(Command(("server",)))
    peer.sendall(data)
    for call in (process.wait, client.shutdown, lambda: client.run(Command(("true",)))):
        with pytest.raises(ProtocolError, match=message):
            call()
    assert peer.recv(1 << 18) == b"", "the stream is closed, so that the agent ends"


def test_the_end_of_the_stream_is_told(pair):
    client, peer = pair
    peer.sendall(READY)
    client.wait_ready(1)
    told = threading.Event()
    client.when_gone(told.set)
    assert not told.is_set()
    peer.close()
    assert told.wait(10)
    late = threading.Event()
    client.when_gone(late.set)
    assert late.is_set()


def test_a_hanging_agent_is_noticed(pair, monkeypatch):
    monkeypatch.setattr(client_module, "EXIT_GRACE", 0.1)
    monkeypatch.setattr(process_module, "REPLY_TIMEOUT", 0.1)
    client, peer = pair
    peer.sendall(READY)
    client.wait_ready(1)
    answer(peer, (FrameType.STARTED, struct.pack("<I", 5)))
    with pytest.raises(AgentTimeoutError, match=r"'server' has not ended within 0\.2 s"):
        client.run(Command(("server",), timeout=0.1))
    with pytest.raises(AgentTimeoutError, match=r"has not started 'server' within 0\.1 s"):
        client.spawn(Command(("server",)))
    with pytest.raises(AgentTimeoutError, match=r"has not read /proc/stat within 0\.1 s"):
        client.read_file("/proc/stat")
    with pytest.raises(AgentTimeoutError, match="not said goodbye"):
        client.shutdown(0.1)


def test_an_agent_that_takes_no_requests_is_noticed(pair, monkeypatch):
    monkeypatch.setattr(client_module, "SEND_TIMEOUT", 0.1)
    monkeypatch.setattr(process_module, "REPLY_TIMEOUT", 0.05)
    client, peer = pair
    peer.sendall(READY)
    client.wait_ready(1)
    command = Command(("server", "x" * 200_000))
    with pytest.raises(AgentTimeoutError, match=r"taken no request for 0\.1 s"):
        while True:
            try:
                client.spawn(command)
            except AgentTimeoutError as error:
                if "has not started" not in str(error):
                    raise


def test_close_wakes_those_who_wait_and_can_be_repeated(pair):
    client, peer = pair
    peer.sendall(READY)
    client.wait_ready(1)
    answer(peer, (FrameType.STARTED, struct.pack("<I", 5)))
    process = client.spawn(Command(("server",)))
    threading.Timer(0.1, client.close).start()
    with pytest.raises(AgentGone):
        process.wait(10)
    client.close()
    with pytest.raises(AgentGone):
        client.run(Command(("true",)))
