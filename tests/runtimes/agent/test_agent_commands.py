from __future__ import annotations

import errno
import hashlib
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from agent_support import children, is_alive
from waiting import eventually

from runtimes.agent.client import BASE_ENVIRONMENT, AgentError, AgentTimeoutError, Command, StartError


def shell(script, **options):
    return Command(("sh", "-c", script), **options)


def python(script, *arguments, **options):
    return Command((sys.executable, "-c", script, *arguments), **options)


def test_output_status_and_streams_are_kept_apart(agent):
    completed = agent.run(shell("echo out; echo err >&2; exit 3"))
    assert (completed.exit_status, completed.signal, completed.timed_out) == (3, None, False)
    assert (completed.stdout, completed.stderr) == (b"out\n", b"err\n")
    assert not completed.ok
    assert agent.run(Command(("true",))).ok


@pytest.mark.parametrize("status", [0, 1, 127, 255])
def test_every_exit_status_comes_back(agent, status):
    assert agent.run(shell(f"exit {status}")).exit_status == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE])
def test_a_signal_that_ends_a_command_comes_back(agent, number):
    completed = agent.run(shell(f"kill -{number.value} $$"))
    assert (completed.exit_status, completed.signal) == (None, number)
    assert not completed.ok


def test_output_of_100_mib_is_binary_safe(agent):
    script = (
        "import hashlib, os, sys\n"
        "block = os.urandom(1 << 20)\n"
        "digest = hashlib.sha256()\n"
        "for i in range(100):\n"
        "    data = i.to_bytes(4, 'little') + block[4:]\n"
        "    digest.update(data)\n"
        "    sys.stdout.buffer.write(data)\n"
        "sys.stderr.write(digest.hexdigest())\n"
    )
    completed = agent.run(python(script))
    assert completed.ok
    assert len(completed.stdout) == 100 << 20
    assert hashlib.sha256(completed.stdout).hexdigest() == completed.stderr.decode()


def test_a_thousand_commands_in_a_row(start_agent):
    agent, process = start_agent()
    for number in range(1000):
        completed = agent.run(Command(("echo", str(number))))
        assert completed.ok
        assert completed.stdout == f"{number}\n".encode()
    assert children(process.pid) == []
    assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < 10


def test_a_server_and_its_client_at_once(agent):
    server = agent.spawn(
        python(
            "import socket\n"
            "listener = socket.create_server(('127.0.0.1', 0))\n"
            "print('port', listener.getsockname()[1], flush=True)\n"
            "connection, _ = listener.accept()\n"
            "while data := connection.recv(65536): connection.sendall(data.upper())\n"
        )
    )
    port = server.wait_for_output(r"port (\d+)\n", timeout=10).group(1).decode()
    client = agent.run(
        python(
            "import socket, sys\n"
            "connection = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
            "connection.sendall(b'hello')\n"
            "print(connection.recv(100).decode())\n",
            port,
        )
    )
    assert client.stdout == b"HELLO\n"
    assert server.wait(10).ok


def test_many_threads_each_get_their_own_output(agent):
    def echo(number):
        return agent.run(shell(f"echo {number}; echo {number} >&2; exit {number}"))

    with ThreadPoolExecutor(16) as pool:
        for number, completed in enumerate(pool.map(echo, range(100))):
            assert completed.exit_status == number
            assert completed.stdout == completed.stderr == f"{number}\n".encode()


def test_one_who_floods_does_not_starve_another(agent):
    flood = agent.spawn(shell("yes", timeout=20))
    flood.wait_for_output("y", timeout=10)
    started = time.monotonic()
    assert agent.run(Command(("echo", "through"))).stdout == b"through\n"
    assert time.monotonic() - started < 5
    flood.kill()
    assert flood.wait(10).signal == signal.SIGKILL


def test_more_than_256_commands_are_refused(agent):
    running = [agent.spawn(Command(("sleep", "60"))) for _ in range(256)]
    with pytest.raises(StartError, match="256 commands") as caught:
        agent.spawn(Command(("sleep", "60")))
    assert caught.value.errno == errno.EAGAIN
    for process in running:
        process.kill()
    assert {process.wait(10).signal for process in running} == {signal.SIGKILL}
    assert agent.run(Command(("true",))).ok


def test_a_timeout_kills_the_whole_process_group(agent):
    completed = agent.run(shell("sleep 60 & echo $!; sleep 61 & echo $!; wait", timeout=0.3))
    assert completed.timed_out
    assert completed.signal == signal.SIGKILL
    assert not completed.ok
    assert 0.3 <= completed.duration < 3
    grandchildren = [int(line) for line in completed.stdout.split()]
    assert len(grandchildren) == 2
    assert eventually(lambda: not any(is_alive(pid) for pid in grandchildren))


def test_a_command_within_its_timeout_is_left_alone(agent):
    completed = agent.run(Command(("sleep", "0.2"), timeout=30))
    assert completed.ok
    assert 0.2 <= completed.duration < 3


def test_a_signal_reaches_the_whole_process_group(agent):
    process = agent.spawn(shell("sleep 60 & echo child $!; wait"))
    child = int(process.wait_for_output(r"child (\d+)", timeout=10).group(1))
    process.signal(signal.SIGTERM)
    assert process.wait(10).signal == signal.SIGTERM
    assert eventually(lambda: not is_alive(child))
    process.signal(signal.SIGTERM)  # too late, and no harm done
    with pytest.raises(ValueError, match="1000"):
        process.signal(1000)


def test_a_descendant_that_keeps_the_output_open_does_not_hold_back_the_exit(agent):
    started = time.monotonic()
    completed = agent.run(shell("echo before; sleep 60 & echo $!; exit 7"))
    assert completed.exit_status == 7
    assert time.monotonic() - started < 3
    before, pid = completed.stdout.split()
    assert before == b"before"
    assert is_alive(int(pid))


def test_a_descendant_that_never_stops_writing_is_cut_off(agent):
    completed = agent.run(shell("yes & echo $! >&2; exit 7"))
    assert completed.exit_status == 7
    assert completed.stdout.startswith(b"y\ny\n")
    assert eventually(lambda: not is_alive(int(completed.stderr)))


def test_output_that_a_pipeline_still_holds_is_waited_for(agent):
    completed = agent.run(shell("(sleep 0.03; echo late) & exit 0"))
    assert completed.stdout == b"late\n"


def test_a_missing_program_is_named(agent, tmp_path):
    with pytest.raises(StartError, match=r"execute bench-no-such-program: No such file") as caught:
        agent.run(Command(("bench-no-such-program", "x")))
    assert caught.value.errno == errno.ENOENT
    (tmp_path / "data").touch(mode=0o644)
    with pytest.raises(StartError, match=f"execute {tmp_path}/data: Permission denied") as caught:
        agent.run(Command((f"{tmp_path}/data",)))
    assert caught.value.errno == errno.EACCES
    with pytest.raises(StartError, match="execute : No such file"):
        agent.run(Command(("",)))


def test_a_missing_directory_is_named(agent):
    with pytest.raises(StartError, match="change directory to /bench/none: No such file"):
        agent.run(Command(("true",), cwd="/bench/none"))


def test_arguments_that_the_kernel_refuses_are_an_error(agent):
    with pytest.raises(StartError) as caught:
        agent.run(Command(("true", "x" * 200_000)))
    assert caught.value.errno == errno.E2BIG
    with pytest.raises(ValueError, match="at most 262144"):
        agent.run(Command(("true", "x" * 300_000)))
    assert agent.run(Command(("true",))).ok


def test_the_environment_is_the_base_and_what_is_given(agent, monkeypatch):
    monkeypatch.setenv("BENCH_LEAK", "1")
    completed = agent.run(Command(("env", "-0"), env={"NAME": "two\nlines = ü", "HOME": "/elsewhere"}))
    pairs = dict(item.split("=", 1) for item in completed.stdout.decode().split("\0") if item)
    assert pairs == {**BASE_ENVIRONMENT, "HOME": "/elsewhere", "NAME": "two\nlines = ü"}


def test_the_path_searched_is_the_commands_own(agent, tmp_path):
    program = tmp_path / "bench-program"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    assert agent.run(Command(("bench-program",), env={"PATH": f"/none:{tmp_path}"})).stdout == b"found\n"


def test_arguments_arrive_as_they_are(agent):
    arguments = ("", " ", "a b", "ü", "\udcff", "*", "\n")
    script = "import os, sys; sys.stdout.buffer.write(b'|'.join(os.fsencode(a) for a in sys.argv[1:]))"
    assert agent.run(python(script, *arguments)).stdout == "| |a b|ü|".encode() + b"\xff|*|\n"


def test_the_directory_and_stdin(agent, tmp_path):
    completed = agent.run(shell("pwd; cat", cwd=str(tmp_path)))
    assert completed.stdout == f"{tmp_path}\n".encode()


def test_a_command_has_a_session_of_its_own_and_inherits_nothing_of_the_agent(agent):
    script = (
        "import os\n"
        "print(os.getsid(0) == os.getpid() == os.getpgrp())\n"
        "print(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1])\n"
        "print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith(('SigBlk', 'SigIgn'))))\n"
    )
    # Python itself ignores SIGPIPE (1000) and SIGXFSZ (1000000).
    assert agent.run(python(script)).stdout.decode().splitlines() == [
        "True",
        "[0, 1, 2]",
        "0000000000000000 0000000001001000",
    ]
    assert b"SigIgn:\t0000000000000000" in agent.run(Command(("cat", "/proc/self/status"))).stdout


def test_usage_is_that_of_the_command(agent):
    script = "import time\nblock = bytearray(b'x') * (64 << 20)\nwhile time.process_time() < 0.3: pass\n"
    usage = agent.run(python(script)).usage
    busy = usage.user_seconds + usage.system_seconds
    assert busy >= 0.25
    assert 64 << 20 <= usage.max_rss < 200 << 20
    assert usage.minor_faults > 0
    idle = agent.run(Command(("sleep", "0.05"))).usage
    assert idle.user_seconds + idle.system_seconds < busy / 2
    assert idle.max_rss < 8 << 20, "this process, which is larger, must not show"
    assert idle.voluntary_switches > 0


def test_orphans_are_reaped(start_agent):
    agent, process = start_agent()
    script = "for i in 1 2 3 4 5 6 7 8; do (setsid sleep 0.1 >/dev/null 2>&1 &) ; done"
    assert agent.run(shell(script)).ok
    assert eventually(lambda: children(process.pid) == [])


def test_waiting_for_output_is_an_event_and_both_streams_count(agent):
    process = agent.spawn(shell("echo one; sleep 0.2; echo two 22 >&2; sleep 60"))
    before = time.monotonic_ns()
    assert process.wait_for_output(r"two (\d+)", timeout=10).group(1) == b"22"
    assert process.wait_for_output("one", timeout=0).group() == b"one"
    assert process.first_output_at is not None
    assert process.first_output_at < time.monotonic_ns()
    assert process.first_output_at > before - 2 * 10**9
    with pytest.raises(AgentTimeoutError, match=r"'sh' has not printed 'three' in 0\.1 s; stdout ends b'one"):
        process.wait_for_output("three", timeout=0.1)
    process.kill()
    with pytest.raises(AgentError, match=r"'sh' ended \(signal 9\) and never printed 'three'"):
        process.wait_for_output("three", timeout=10)


def test_waiting_for_the_end_can_time_out_and_go_on(agent):
    process = agent.spawn(shell("sleep 0.4; echo end"))
    with pytest.raises(TimeoutError, match=r"'sh' has not ended within 0\.05 s"):
        process.wait(0.05)
    waiters = [threading.Thread(target=process.wait, args=(10,)) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    assert process.wait(10).stdout == b"end\n"
    for waiter in waiters:
        waiter.join(10)
        assert not waiter.is_alive()


def test_files_are_read_as_the_agent_sees_them(start_agent, tmp_path):
    agent, process = start_agent()
    assert agent.read_file("/proc/meminfo").startswith(b"MemTotal:")
    assert f"Pid:\t{process.pid}\n".encode() in agent.read_file("/proc/self/status")
    content = os.urandom(3_000_001)
    (tmp_path / "large").write_bytes(content)
    assert agent.read_file(str(tmp_path / "large")) == content
    (tmp_path / "empty").touch()
    assert agent.read_file(str(tmp_path / "empty")) == b""


def test_a_file_that_cannot_be_read_is_an_os_error(agent, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        agent.read_file("/bench/none")
    assert caught.value.filename == "/bench/none"
    with pytest.raises(IsADirectoryError):
        agent.read_file("/proc")
    os.mkfifo(tmp_path / "fifo")
    writer = os.open(tmp_path / "fifo", os.O_RDWR)
    try:
        with pytest.raises(BlockingIOError):
            agent.read_file(str(tmp_path / "fifo"))
    finally:
        os.close(writer)
    with pytest.raises(OSError, match="File too large") as too_large:
        agent.read_file("/dev/zero")
    assert too_large.value.errno == errno.EFBIG
    for path in ("", "a\0b", "x" * 4096):
        with pytest.raises(ValueError, match="no possible path"):
            agent.read_file(path)
    assert agent.run(Command(("true",))).ok
