"""libvirt's driver in this process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import libvirt
import pytest

from runtimes.base import InstanceError, Limits
from runtimes.vm.domain import DomainSpec, GuestNetwork, bare_domain_xml, domain_xml
from runtimes.vm.embedded import open_embedded
from runtimes.vm.emulator import build_emulator, find_qemu, spawn_environment
from runtimes.vm.hardware import choose_hardware
from runtimes.vm.options import VmOptions
from runtimes.vm.process import adopted_orphans, watched_emulator

STOCK = VmOptions()

pytestmark = [pytest.mark.host, pytest.mark.guest]


@pytest.fixture(scope="module")
def emulator():
    return build_emulator(find_qemu())


@pytest.fixture(scope="module", autouse=True)
def opened_before(emulator):
    """What the first connection of a process leaves in it is not left by those that are tested."""
    with open_embedded(emulator) as connection:
        connection.learn(emulator, "qemu")


def left():
    return {
        "roots": sorted(path.name for path in Path("/run").glob(f"bench-libvirt-{os.getpid()}*")),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "bus": os.environ.get("DBUS_SYSTEM_BUS_ADDRESS"),
    }


def names(connection):
    """Names of the domains that are there now, whoever started them in this process."""
    return sorted(domain.name() for domain in connection._handle.listAllDomains())


def test_it_can_be_opened_again_and_leaves_nothing(emulator):
    before = left()
    for _ in range(3):
        with open_embedded(emulator) as connection:
            assert names(connection) == []
    assert left() == before
    assert before["roots"] == []


def test_it_can_be_opened_more_often_than_libvirt_has_room_for_drivers(emulator):
    for _ in range(30):
        with open_embedded(emulator):
            pass


def test_two_can_be_open_at_once(emulator):
    with open_embedded(emulator) as one:
        with open_embedded(emulator) as other:
            assert names(other) == []
        assert names(one) == []


def test_a_mistake_is_one_exception_and_nothing_on_the_terminal(emulator, capfd):
    with open_embedded(emulator) as connection:
        with pytest.raises(InstanceError, match="bench-bad: libvirt could not start it"):
            connection.create("bench-bad", "<domain type='qemu'><name>bench-bad</name></domain>")
        assert names(connection) == []
    assert capfd.readouterr() == ("", "")


def test_an_interruption_while_starting_leaves_no_domain(emulator, tmp_path, monkeypatch):
    def interrupt(_domain, _handle):
        raise KeyboardInterrupt

    monkeypatch.setattr("runtimes.vm.connection.Domain.started", interrupt)
    with open_embedded(emulator) as connection, watched_emulator(tmp_path) as process:
        with pytest.raises(KeyboardInterrupt), adopted_orphans():
            xml = bare_domain_xml("bench-cut", "qemu", emulator.path, spawn_environment((), process.stamp_file))
            connection.create("bench-cut", xml, paused=True)
        assert process.exited.wait(10)
        assert names(connection) == []


@pytest.fixture
def new_domain_spec(emulator, guest_image, facilities, tmp_path):
    """Makes specs of domains on the bridge, with a scratch disk."""
    scratch = tmp_path / "scratch"
    scratch.write_bytes(bytes(1 << 20))

    def make(accelerator, channel, stamp_file, options=STOCK):
        network = facilities.network
        address = network.allocate()
        return DomainSpec(
            name="bench-valid",
            accelerator=accelerator,
            emulator=emulator.path,
            hardware=choose_hardware(options, Limits(2, (), 256 << 20)),
            cpus=(0, 1),
            memory=256 << 20,
            kernel=guest_image.kernels["image"],
            root=guest_image.rootfs,
            systemd=False,
            scratch=scratch,
            network=GuestNetwork(
                network.bridge, "bench-tap", network.mac(address), address, network.prefix, network.gateway
            ),
            channel=channel,
            console=tmp_path / "console",
            nvram=tmp_path / "nvram",
            environment=spawn_environment((), stamp_file),
        )

    return make


@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
def test_the_schema_accepts_our_domains(emulator, new_domain_spec, tmp_path, accelerator):
    """Also one that this host may be unable to run: that is found out after the schema was asked."""
    xml = domain_xml(new_domain_spec(accelerator, tmp_path / "channel", tmp_path / "stamp"))
    with open_embedded(emulator) as connection:
        try:
            connection._handle.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE).undefine()
        except libvirt.libvirtError as error:
            assert accelerator == "kvm"
            assert "schema" not in str(error)
        with pytest.raises(libvirt.libvirtError, match="schema"):
            nonsense = xml.replace("<vcpu", "<nonsense/><vcpu")
            connection._handle.defineXMLFlags(nonsense, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)


def test_a_domain_is_started_asked_and_destroyed(emulator, new_domain_spec, tmp_path):
    (tmp_path / "watch").mkdir()
    with open_embedded(emulator) as connection, watched_emulator(tmp_path / "watch") as process:
        spec = new_domain_spec("tcg", process.channel, process.stamp_file)
        with adopted_orphans():
            domain = connection.create(spec.name, domain_xml(spec), paused=True)
        assert names(connection) == ["bench-valid"]
        assert "machine='pc-q35-" in domain.description()
        assert domain.monitor("query-kvm")["enabled"] is False
        with pytest.raises(InstanceError, match="no-such-command"):
            domain.monitor("no-such-command")
        assert domain.monitor("query-version")["qemu"]["major"] >= 7
        domain.destroy(30)
        assert domain.stopped.is_set()
        assert process.exited.wait(10)
        assert names(connection) == []
