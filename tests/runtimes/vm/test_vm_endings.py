"""What is read off a guest's traces, without a guest."""

from __future__ import annotations

import struct

import pytest

from runtimes.vm.endings import console_details, console_reason, foreign_kernel, last_words, one_line, read_console

PANIC = """\
SeaBIOS\r
\r
agent: out of luck\r
[    7.424416] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r
[    7.441417] CPU: 0 PID: 1 Comm: busybox Not tainted\r
"""

LOG = """\
2026-11-24 19:54:42.001+0000: starting up libvirt version: 9.0.0
LC_ALL=C \\
/usr/bin/emulator \\
-name guest=bench-x \\
-msg timestamp=on
2026-11-24 19:54:42.733+0000: Domain id=2 is tainted: high-privileges
"""


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_a_panic_is_told_with_what_caused_it(written):
    lines = read_console(written(PANIC))
    assert console_reason(lines) == (
        "agent: out of luck; Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100"
    )
    assert console_details(lines).splitlines()[:2] == ["on its console:", "    agent: out of luck"]


def test_inits_complaint_comes_before_a_panic(written):
    lines = read_console(written("bench-init: no root disk\n" + PANIC))
    assert console_reason(lines) == "bench-init: no root disk"


def test_a_console_without_a_reason_is_quoted_at_its_end(written):
    lines = read_console(written("".join(f"line {number}\n" for number in range(100))))
    assert console_reason(lines) is None
    assert console_details(lines).splitlines()[-1] == "    line 99"
    assert 10 < len(console_details(lines).splitlines()) < 20


def test_an_endless_console_is_read_at_its_end(written):
    assert read_console(written(b"\0\xff" * (1 << 20) + b"\nend\n"))[-1] == "end"
    assert read_console(written("")) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", None),
        ("2026-11-24T19:54:51.192163Z emulator: terminating on signal 15 from pid 1 (python)\n", None),
        ("2026-11-24T19:54:42.857254Z emulator: Error while loading elf kernel\n", "Error while loading elf kernel"),
        ("qemu: linux kernel too old\n2026-11-24 19:54:43.1+0000: shutting down\n", "qemu: linux kernel too old"),
    ],
)
def test_qemus_last_words(written, more, said):
    assert last_words(written(LOG + more)) == said


def test_a_message_becomes_one_line():
    assert one_line("libvirt: failed:\n 2026-11-24T19:54:42.8Z emulator: no\n") == "libvirt: failed: no"
    assert len(one_line("x" * 10_000)) == 300


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 62), None),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 183), "AArch64"),
        (b"\x7fELF\x02\x02\x01" + bytes(9) + struct.pack(">HH", 2, 22), "S/390"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 999), "the ELF machine 999"),
        (bytes(56) + b"ARM\x64", "AArch64"),
        (bytes(0x202) + b"HdrS", None),
        (b"MZ", "no kernel"),
        (b"", "no kernel"),
    ],
)
def test_kernels_for_other_machines_are_known(written, content, said):
    told = foreign_kernel(written(content))
    assert told == "" if said is None else said in told


def test_a_kernel_that_is_not_there_is_told(tmp_path):
    assert "cannot be read: No such file" in foreign_kernel(tmp_path / "missing")
