"""Which connections an arm may ask for, and what is told of those that cannot be had or fail; without any daemon."""

from __future__ import annotations

import threading

import libvirt
import pytest

from runtimes.base import HostError, InstanceError
from runtimes.vm.apparmor import how_to_permit
from runtimes.vm.connection import Connection
from runtimes.vm.options import VmOptions
from runtimes.vm.requirements import check_connection


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        *((name, name) for name in ("embed", "system", "session")),
        ("qemu:///system", "system"),
        ("qemu+unix:///session", "session"),
        ("qemu:///system?socket=/run/x", "qemu:///system?socket=/run/x"),
        ("qemu+ssh://root@localhost/system", "qemu+ssh://root@localhost/system"),
    ],
)
def test_each_connection_has_one_name(given, meant):
    assert VmOptions(connect=given).connect == meant


@pytest.mark.parametrize("given", ["", "systemd", "xen:///system", "qemu:///embed?root=/x", "qemu+ssh://host", "test:"])
def test_others_are_refused_with_those_there_are(given):
    with pytest.raises(ValueError, match="expected embed, system, session, or a URI such as"):
        VmOptions(connect=given)


@pytest.mark.parametrize("connect", ["session", "qemu+unix:///session?socket=/x"])
def test_root_has_no_session(connect, monkeypatch):
    monkeypatch.setattr("runtimes.rootless.is_unprivileged", lambda: False)
    with pytest.raises(HostError, match="run bench as that user, or say connect: system or embed"):
        check_connection(connect)
    check_connection("system")
    check_connection("embed")


@pytest.mark.parametrize("connect", ["system", "embed", "qemu+ssh://root@localhost/system"])
def test_ordinary_users_have_nothing_else(connect, monkeypatch):
    monkeypatch.setattr("runtimes.rootless.is_unprivileged", lambda: True)
    with pytest.raises(HostError, match="run it as root, or say connect: session"):
        check_connection(connect)


def test_a_confined_daemon_is_told_with_the_rule_that_it_lacks(tmp_path):
    profiles = tmp_path / "profiles"
    profiles.write_text("libvirt-qemu (complain)\n/usr/sbin/libvirtd (enforce)\nvirt-aa-helper (enforce)\n")
    told = how_to_permit(tmp_path / "emulators" / "digest" / "emulator", profiles)
    assert f"{tmp_path}/emulators/*/emulator PUx," in told
    assert "apparmor_parser -r /etc/apparmor.d/usr.sbin.libvirtd" in told
    profiles.write_text("/usr/sbin/libvirtd (complain)\n")
    assert how_to_permit(tmp_path, profiles) == ""
    assert how_to_permit(tmp_path, tmp_path / "missing") == ""


class Failure(libvirt.libvirtError):
    """One with words of its own: libvirt's are what went wrong last in this thread."""

    def __init__(self, message):
        Exception.__init__(self, message)
        self.err = None


class Handle:
    """A connection of libvirt's in which some calls fail."""

    def __init__(self, *failing):
        self._failing = failing

    def getLibVersion(self):  # noqa: N802 libvirt's name
        return 9_000_000

    def __getattr__(self, name):
        def call(*_):
            if name in self._failing:
                raise Failure(f"{name} failed")
            return self

        return call


@pytest.fixture
def connect(monkeypatch):
    """Makes connections by handles: the first, and what opening it again gives."""
    monkeypatch.setattr("runtimes.vm.troubles.attend", lambda *_: lambda: None)
    return lambda handle, *others: Connection(handle, None, iter(others).__next__)


def lose(connection):
    connection._hear_loss(None, libvirt.VIR_CONNECT_CLOSE_REASON_EOF, None)


def test_a_domain_that_libvirt_cannot_destroy_is_killed_and_forgotten(connect):
    connection = connect(Handle("destroy"))
    exited = threading.Event()
    domain = connection.create("bench-one", "", kill=exited.set)
    with pytest.raises(InstanceError, match="bench-one: libvirt could not destroy it: destroy failed"):
        connection.end(domain, exited, 10)
    assert exited.is_set()
    lose(connection)
    assert not domain.lost, "it is still listened for"


@pytest.mark.parametrize("call", ["domainEventRegisterAny", "setKeepAlive", "registerCloseCallback"])
def test_a_daemon_that_fails_as_it_is_found_again_fails_the_trial_alone(connect, call):
    connection = connect(Handle(), Handle(call), Handle())
    lose(connection)
    with pytest.raises(InstanceError, match=f"the daemon ended.* and cannot be had again: {call} failed"):
        connection.revive()
    connection.revive()
    assert connection.lost is None


def test_a_daemon_that_is_lost_again_at_once_counts_as_lost(connect, monkeypatch):
    class Lost(Handle):
        def setKeepAlive(self, *_):  # noqa: N802 libvirt's name
            lose(connection)

    connection = connect(Handle(), Lost())
    lose(connection)
    connection.revive()
    assert connection.lost is not None


def test_a_daemon_that_does_not_tell_what_confines_is_no_traceback(connect):
    with pytest.raises(HostError, match="does not tell its security drivers: getCapabilities failed"):
        _ = connect(Handle("getCapabilities")).security_models
