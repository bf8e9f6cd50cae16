from __future__ import annotations

import contextlib
import os
import pty
import random
import signal
import socket
import struct
import subprocess
import time
import tty
from pathlib import Path

import pytest
from agent_support import RawAgent, children, is_alive
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import eventually

from runtimes.agent import protocol
from runtimes.agent.client import AgentClient, AgentGone, Command
from runtimes.agent.protocol import Frame, FrameDecoder, FrameType


def resident(pid):
    """Bytes resident now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def cpu_share(pid, seconds):
    """Which part of the next ``seconds`` a process spends on a CPU."""
    schedstat = Path(f"/proc/{pid}/schedstat")
    began, before = time.monotonic_ns(), int(schedstat.read_text().split()[0])
    time.sleep(seconds)
    return (int(schedstat.read_text().split()[0]) - before) / (time.monotonic_ns() - began)


def deep_family(agent):
    """A command with a child in its group and a daemon in a session of its own: the command, and the pids of those."""
    command = agent.spawn(
        Command(("sh", "-c", "sleep 60 & echo child $!; setsid sh -c 'echo daemon $$; exec sleep 61' & wait"))
    )
    return command, [int(command.wait_for_output(rf"{name} (\d+)", 10).group(1)) for name in ("child", "daemon")]


def test_ready_is_the_first_frame_and_stamped_on_arrival(agent_binary):
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    raw = RawAgent(agent_binary)
    try:
        ready = raw.next()
        assert ready.type is FrameType.READY
        hello = protocol.decode_ready(ready.payload)
        assert hello.version == protocol.PROTOCOL_VERSION
        assert hello.pid == raw.process.pid
        assert before < hello.boottime < time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    finally:
        raw.close()


def test_shutdown_kills_all_and_says_goodbye(start_agent):
    agent, process = start_agent()
    command, family = deep_family(agent)
    agent.shutdown()
    assert process.wait(10) == 0
    assert command.wait(1).signal == signal.SIGKILL, "an exit status is not lost in a shutdown"
    assert eventually(lambda: not any(is_alive(pid) for pid in family))
    agent.shutdown()
    with pytest.raises(AgentGone, match="goodbye: shut down as asked"):
        agent.run(Command(("true",)))


def test_a_peer_that_vanishes_takes_all_with_it(start_agent):
    agent, process = start_agent()
    command, family = deep_family(agent)
    agent.close()
    assert process.wait(10) == 1
    assert eventually(lambda: not any(is_alive(pid) for pid in family))
    with pytest.raises(AgentGone):
        command.wait()


def test_a_peer_that_vanishes_under_back_pressure_takes_all_with_it(raw_agent):
    raw_agent.spawn(1, "yes")
    pid = protocol.decode_started(raw_agent.next().payload)
    time.sleep(0.1)
    raw_agent.sock.close()
    assert raw_agent.process.wait(10) == 1
    assert eventually(lambda: not is_alive(pid))


def test_a_peer_that_only_stops_sending_is_told(raw_agent):
    raw_agent.spawn(1, "sleep", "60")
    raw_agent.sock.shutdown(socket.SHUT_WR)
    assert raw_agent.rest()[-1] == Frame(FrameType.GOODBYE, 0, b"the other end closed the stream")


def test_a_signal_to_the_agent_is_a_goodbye(start_agent):
    agent, process = start_agent()
    command, family = deep_family(agent)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(AgentGone, match="goodbye: the agent was ended by signal 15"):
        command.wait(10)
    assert process.wait(10) == 0
    assert eventually(lambda: not any(is_alive(pid) for pid in family))


def test_an_agent_that_is_killed_ends_every_call(start_agent):
    agent, process = start_agent()
    command = agent.spawn(Command(("sleep", "2")))
    process.kill()
    with pytest.raises(AgentGone, match="without a goodbye"):
        command.wait(10)
    with pytest.raises(AgentGone):
        agent.read_file("/proc/meminfo")
    with pytest.raises(AgentGone):
        agent.shutdown()


GARBAGE = {
    "text": (b"login: ", "magic 0x69676f6c where a frame should begin, expected 0x31474142"),
    "unknown type": (struct.pack("<4sIII", b"BAG1", 99, 1, 0), "unknown request type 99"),
    "a reply": (Frame(FrameType.READY, 0, bytes(16)).encode(), "unknown request type 65"),
    "too long": (struct.pack("<4sIII", b"BAG1", 1, 1, 2**32 - 1), "request of 4294967295 bytes, at most 262144"),
    "short SPAWN": (Frame(FrameType.SPAWN, 1, b"x").encode(), "too short"),
    "SPAWN of nothing": (Frame(FrameType.SPAWN, 1, struct.pack("<QII", 0, 0, 0) + b"/\0").encode(), "no argument"),
    "SPAWN of too much": (Frame(FrameType.SPAWN, 1, struct.pack("<QII", 0, 1, 4096) + b"/\0").encode(), "4096"),
    "SPAWN with a lie": (Frame(FrameType.SPAWN, 1, struct.pack("<QII", 0, 3, 0) + b"/\0a\0").encode(), "as many"),
    "SPAWN with a rest": (Frame(FrameType.SPAWN, 1, struct.pack("<QII", 0, 1, 0) + b"/\0a\0b\0").encode(), "as many"),
    "SPAWN without NUL": (Frame(FrameType.SPAWN, 1, struct.pack("<QII", 0, 1, 0) + b"/\0a").encode(), "NUL"),
    "SPAWN as 0": (Frame(FrameType.SPAWN, 0, protocol.encode_spawn(["a"], {}, "/", None)).encode(), "id that is 0"),
    "no signal": (Frame(FrameType.SIGNAL, 1, b"").encode(), "SIGNAL without a signal"),
    "signal 65": (Frame(FrameType.SIGNAL, 1, struct.pack("<I", 65)).encode(), "SIGNAL without a signal"),
    "READ with NUL": (Frame(FrameType.READ, 1, b"/\0").encode(), "holds a NUL"),
    "READ too long": (Frame(FrameType.READ, 1, b"/" * 4096).encode(), "too long"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_answered_by_a_reason_and_the_end(raw_agent, name):
    garbage, reason = GARBAGE[name]
    raw_agent.spawn(7, "sleep", "60")
    pid = protocol.decode_started(raw_agent.next().payload)
    raw_agent.sock.sendall(garbage)
    (fatal,) = raw_agent.rest()
    assert fatal.type is FrameType.FATAL
    assert reason in fatal.payload.decode()
    assert raw_agent.process.wait(10) == 1
    assert eventually(lambda: not is_alive(pid))


def test_an_id_in_use_is_not_started_twice(raw_agent):
    raw_agent.spawn(1, "sleep", "60")
    raw_agent.spawn(1, "sleep", "60")
    assert [frame.type for frame in raw_agent.rest()] == [FrameType.STARTED, FrameType.FATAL]


def test_the_client_is_told_the_reason_of_a_fatal(start_agent):
    agent, _ = start_agent()
    command = agent.spawn(Command(("sleep", "60")))
    agent._sock.sendall(b"garbage on the wire")
    with pytest.raises(AgentGone, match="the agent failed: magic 0x62726167"):
        command.wait(10)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.builds(
                lambda kind, identity, payload: struct.pack("<4sIII", b"BAG1", kind, identity, len(payload)) + payload,
                st.sampled_from([1, 2, 3]),
                st.integers(0, 3),
                st.binary(max_size=60).map(lambda tail: struct.pack("<QII", 0, len(tail) % 4, 0) + tail),
            ),
        ),
        max_size=5,
    )
)
def test_the_agent_survives_any_bytes(agent_binary, parts):
    raw = RawAgent(agent_binary)
    try:
        raw.sock.sendall(b"".join(parts))
        raw.sock.shutdown(socket.SHUT_WR)
        frames = raw.rest()
        assert frames[0].type is FrameType.READY
        assert frames[-1].type in {FrameType.FATAL, FrameType.GOODBYE}
        assert raw.process.wait(10) == 1
    finally:
        raw.close()


def test_requests_come_in_pieces_and_in_heaps(raw_agent):
    payload = protocol.encode_spawn(["echo", "x" * 100], {"PATH": "/usr/bin:/bin"}, "/", None)
    stream = b"".join(Frame(FrameType.SPAWN, identity, payload).encode() for identity in range(1, 61))
    chance = random.Random(1)
    while stream:
        size = chance.choice([1, 15, 17, 500, 5000])
        raw_agent.sock.sendall(stream[:size])
        stream = stream[size:]
    said, ended = dict.fromkeys(range(1, 61), b""), set()
    while len(ended) < 60:
        frame = raw_agent.next()
        if frame.type is FrameType.STDOUT:
            said[frame.id] += frame.payload
        elif frame.type is FrameType.EXIT:
            ended.add(frame.id)
    assert set(said.values()) == {b"x" * 100 + b"\n"}


def test_a_client_that_does_not_read_makes_commands_wait_not_the_agent_grow(raw_agent):
    size = 32 << 20
    raw_agent.spawn(2, "sleep", "60", timeout=0.2)
    sleeper = protocol.decode_started(raw_agent.next().payload)
    raw_agent.spawn(1, "head", "-c", str(size), "/dev/zero")
    assert eventually(lambda: not is_alive(sleeper)), "timeouts are kept meanwhile"
    # Once the flood has filled all buffers.
    assert eventually(lambda: cpu_share(raw_agent.process.pid, 0.1) < 0.1), "it waits without spinning"
    assert resident(raw_agent.process.pid) < 2 << 20
    received, exits = 0, {}
    while len(exits) < 2:
        frame = raw_agent.next()
        received += len(frame.payload) if frame.type is FrameType.STDOUT else 0
        if frame.type is FrameType.EXIT:
            exits[frame.id] = protocol.decode_exit(frame.payload)
    assert received == size
    assert exits[1].exit_status == 0
    assert exits[2].timed_out
    assert resident(raw_agent.process.pid) < 2 << 20


def test_many_reads_and_floods_at_once_lose_nothing(raw_agent, tmp_path):
    content = os.urandom(1 << 20)
    (tmp_path / "file").write_bytes(content)
    for identity in range(1, 9):
        raw_agent.spawn(identity, "head", "-c", "3000000", "/dev/zero")
        raw_agent.send(Frame(FrameType.READ, 100 + identity, str(tmp_path / "file").encode()))
    received, ended = {}, set()
    while len(ended) < 16:
        frame = raw_agent.next()
        if frame.type in {FrameType.EXIT, FrameType.END}:
            ended.add(frame.id)
        elif frame.type in {FrameType.STDOUT, FrameType.DATA}:
            assert frame.id not in ended
            received[frame.id] = received.get(frame.id, b"") + frame.payload
    for identity in range(1, 9):
        assert received[identity] == bytes(3_000_000)
        assert received[100 + identity] == content


def test_a_device_works_like_a_socket(agent_binary):
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with subprocess.Popen([agent_binary, "--device", os.ttyname(theirs)]) as process:
        decoder = FrameDecoder()
        frames = list(decoder.feed(os.read(ours, 4096)))
        assert [frame.type for frame in frames] == [FrameType.READY]
        os.close(theirs)
        payload = protocol.encode_spawn(["head", "-c", "300000", "/dev/zero"], {}, "/", None)
        os.write(ours, Frame(FrameType.SPAWN, 5, payload).encode())
        while frames[-1].type is not FrameType.EXIT:
            frames.extend(decoder.feed(os.read(ours, 4096)))
        assert sum(len(frame.payload) for frame in frames if frame.type is FrameType.STDOUT) == 300_000
        os.close(ours)
        assert process.wait(10) == 1


@pytest.mark.host
@pytest.mark.parametrize("orderly", [True, False])
def test_as_pid_1_it_kills_all_and_powers_off(agent_binary, orderly):
    """In a pid namespace of its own, where switching off ends the namespace: reboot(2)."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = ["unshare", "--pid", "--fork", agent_binary, "--fd", str(theirs.fileno()), "--power-off"]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    agent = AgentClient(ours)
    agent.wait_ready(10)
    try:
        assert agent.hello.pid == 1
        running = agent.spawn(Command(("sh", "-c", "setsid sleep 60 & wait")))
        assert running.pid > 1
        (init,) = children(process.pid)
        if orderly:
            agent.shutdown()
            assert running.wait(1).signal == signal.SIGKILL
        else:
            agent.close()
        assert process.wait(20) == -signal.SIGINT, "what the kernel reports for RB_POWER_OFF in a pid namespace"
        assert not is_alive(init)
    finally:
        agent.close()
        process.wait(20)


@pytest.mark.host
def test_as_a_service_it_asks_the_first_process_to_power_off(agent_binary):
    """By the signal that systemd(1) takes for it."""
    ours, theirs = socket.socketpair()
    with theirs:
        script = f"trap 'exit 42' {signal.SIGRTMIN + 4}; {agent_binary} --fd {theirs.fileno()} --power-off & wait"
        process = subprocess.Popen(["unshare", "--pid", "--fork", "sh", "-c", script], pass_fds=[theirs.fileno()])
    with contextlib.closing(AgentClient(ours)) as agent:
        agent.wait_ready(10)
        assert agent.hello.pid > 1
        agent.shutdown()
        assert process.wait(20) == 42
