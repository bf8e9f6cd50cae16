"""The domain that is started before any that is measured."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtimes.base import GuestKernel, HostError, InstanceError
from runtimes.vm import rehearsal
from runtimes.vm.process import EmulatorProcess


class HangingConnection:
    """A driver whose QEMU does not answer for as long as it lives."""

    daemon = None

    def learn(self, _emulator, _kind):
        """Nothing is to be learned."""

    def create(self, name, _xml, *, paused, kill):
        process = kill.__self__
        assert paused
        assert isinstance(process, EmulatorProcess)
        pid = os.posix_spawnp("sleep", ["sleep", "100"], os.environ)
        ended = os.pidfd_open(pid)
        process.stamp_file.write_text(f"{pid} 1\n")
        try:
            select.select([ended], [], [])
        finally:
            os.close(ended)
        raise InstanceError(f"{name}: libvirt could not start it: QEMU has ended")


def test_a_qemu_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "_TIMEOUT", 0.5)
    (tmp_path / "kernel").touch()
    kernel = GuestKernel("0", tmp_path / "kernel", None, tmp_path / "kernel")
    emulator = SimpleNamespace(path=Path("/emulator"), qemu=Path("/qemu"))
    began = time.monotonic()
    with pytest.raises(HostError, match=r"libvirt cannot use /qemu for domains of type qemu: .*QEMU has ended"):
        rehearsal.rehearse(HangingConnection(), emulator, "qemu", kernel, tmp_path)
    assert time.monotonic() - began < 30
