"""Which connections an arm may ask for, and what is told of those that cannot be had; without any libvirt."""

from __future__ import annotations

import pytest

from runtimes.base import HostError
from runtimes.vm.apparmor import how_to_permit
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
