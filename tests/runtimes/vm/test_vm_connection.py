"""libvirt's driver in this process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from runtimes.base import InstanceError
from runtimes.vm.connection import open_connection
from runtimes.vm.domain import DomainSpec, domain_xml
from runtimes.vm.emulator import build_emulator, find_qemu
from runtimes.vm.process import adopted_orphans, watched_emulator

pytestmark = [pytest.mark.host, pytest.mark.guest]


@pytest.fixture(scope="module")
def emulator():
    return build_emulator(find_qemu())


@pytest.fixture(scope="module", autouse=True)
def opened_before(emulator):
    """What the first connection of a process leaves in it is not left by those that are tested."""
    with open_connection(emulator) as connection:
        connection.learn(emulator, "qemu")


def left():
    return {
        "roots": sorted(path.name for path in Path("/run").glob(f"bench-libvirt-{os.getpid()}*")),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "bus": os.environ.get("DBUS_SYSTEM_BUS_ADDRESS"),
    }


def test_it_can_be_opened_again_and_leaves_nothing(emulator):
    before = left()
    for _ in range(3):
        with open_connection(emulator) as connection:
            assert connection.names() == []
    assert left() == before
    assert before["roots"] == []


def test_two_can_be_open_at_once(emulator):
    with open_connection(emulator) as one:
        with open_connection(emulator) as other:
            assert other.names() == []
        assert one.names() == []


def test_a_mistake_is_one_exception_and_nothing_on_the_terminal(emulator, capfd):
    with open_connection(emulator) as connection:
        with pytest.raises(InstanceError, match="bench-bad: libvirt could not start it"):
            connection.create("bench-bad", "<domain type='qemu'><name>bench-bad</name></domain>")
        assert connection.names() == []
    assert capfd.readouterr() == ("", "")


def test_an_interruption_while_starting_leaves_no_domain(emulator, tmp_path, monkeypatch):
    def interrupt(_domain, _handle):
        raise KeyboardInterrupt

    monkeypatch.setattr("runtimes.vm.connection.Domain.started", interrupt)
    with open_connection(emulator) as connection, watched_emulator(tmp_path) as process:
        with pytest.raises(KeyboardInterrupt), adopted_orphans():
            connection.create("bench-cut", _EMPTY.format(emulator=emulator.path, stamp=process.stamp_file), paused=True)
        assert process.exited.wait(10)
        assert connection.names() == []


_EMPTY = """
<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>bench-cut</name><memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="q35">hvm</type></os>
  <devices><emulator>{emulator}</emulator></devices>
  <qemu:commandline><qemu:env name="BENCH_SPAWN_STAMP" value="{stamp}"/></qemu:commandline>
</domain>
"""


@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
def test_the_schema_accepts_our_domains(emulator, guest_image, tmp_path, accelerator):
    """A domain that runs, and one that this host may be unable to run: that is found out after the schema was asked."""
    scratch = tmp_path / "scratch"
    scratch.write_bytes(bytes(1 << 20))
    (tmp_path / "watch").mkdir()
    with open_connection(emulator) as connection, watched_emulator(tmp_path / "watch") as process:
        spec = DomainSpec(
            name="bench-valid",
            accelerator=accelerator,
            emulator=emulator.path,
            vcpus=2,
            memory=256 << 20,
            image=guest_image,
            scratch=scratch,
            network=None,
            channel=process.channel,
            console=tmp_path / "console",
            environment={"BENCH_SPAWN_STAMP": str(process.stamp_file)},
        )
        try:
            with adopted_orphans():
                domain = connection.create(spec.name, domain_xml(spec), validate=True, paused=True)
        except InstanceError as error:
            assert accelerator == "kvm"
            assert "schema" not in str(error)
            return
        assert connection.names() == ["bench-valid"]
        assert domain.machine.startswith("pc-q35-")
        assert domain.monitor("query-kvm")["enabled"] == (accelerator == "kvm")
        with pytest.raises(InstanceError, match="no-such-command"):
            domain.monitor("no-such-command")
        assert domain.monitor("query-version")["qemu"]["major"] >= 7
        domain.destroy(30)
        assert domain.stopped.is_set()
        assert process.exited.wait(10)
        assert connection.names() == []
