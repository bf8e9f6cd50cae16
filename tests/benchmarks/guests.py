"""QEMU started by hand, without libvirt: what our guests are compared with.

Same kernel, initramfs, root disk, scratch disk, network and agent as ours, in the run's namespaces, on the same CPUs.
The tap is made, and joined to the bridge, before the clock starts, which favours the commands; they need no cgroup.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starts import Start, StartError

from runtimes.agent.client import AgentClient, AgentError
from runtimes.base import START_TIMEOUT, STOP_TIMEOUT, GuestKernel, Limits
from runtimes.facilities import Facilities
from runtimes.vm.domain import CHANNEL_NAME, GuestNetwork, fixed_arguments, guest_arguments
from runtimes.vm.hardware import QBOOT
from runtimes.vm.tsc import counter_frequency


@dataclass(frozen=True, slots=True)
class Command:
    """What a command line is made from.

    Attributes:
        qemu: the program.
        accelerator: ``kvm`` or ``tcg``.
        kernel: the image's.
        root: the root disk.
        network: the interface; its tap is there.
        channel: the socket that QEMU is to connect to.
        limits: memory and number of processors.
    """

    qemu: Path
    accelerator: str
    kernel: GuestKernel
    root: Path
    network: GuestNetwork
    channel: Path
    limits: Limits

    def words(self, *, quick: bool = False) -> str:
        """The kernel's command line, as our guests have it."""
        tsc_khz = counter_frequency() if self.accelerator == "tcg" else None
        return f"{fixed_arguments(quick=quick, tsc_khz=tsc_khz)} {guest_arguments('by-hand', self.network)}"

    def common(self) -> Iterator[str]:
        """Accelerator, size, disks, network and channel: what every guest needs."""
        cpu = "host" if self.accelerator == "kvm" else "max"
        yield from ("-accel", self.accelerator, "-cpu", cpu, "-m", f"{self.limits.memory >> 20}", "-smp", "1")
        yield from ("-drive", f"file={self.root},if=none,id=root,format=raw,readonly=on")
        yield from ("-device", "virtio-blk-pci,drive=root,serial=root")
        yield from ("-netdev", f"tap,id=net,ifname={self.network.tap},script=no,downscript=no")
        yield from ("-device", f"virtio-net-pci,netdev=net,romfile=,mac={self.network.mac}")
        yield from ("-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={self.channel}")
        yield from ("-device", f"virtserialport,chardev=agent,name={CHANNEL_NAME}")
        yield from ("-initrd", str(self.kernel.initramfs))


def plain(command: Command) -> list[str]:
    """As the manual has it: q35, SeaBIOS, the packed kernel, QEMU's default devices, and a serial console."""
    return _plain(command, command.words().replace("quiet loglevel=1 ", ""))


def plain_quiet(command: Command) -> list[str]:
    """The same with a kernel that does not print what it does."""
    return _plain(command, command.words())


def _plain(command: Command, words: str) -> list[str]:
    return [
        *(str(command.qemu), "-machine", "q35", *command.common(), "-display", "none"),
        *("-serial", "file:/dev/null", "-kernel", str(command.kernel.bzimage), "-append", words),
    ]


def best(command: Command) -> list[str]:
    """The quickest start that we could find: no device that is not used, qboot, and the kernel entered unpacked."""
    machine = "q35,hpet=off,smm=off,vmport=off,usb=off,sata=off,smbus=off,pit=on"
    words = command.words(quick=True)
    return [
        *(str(command.qemu), "-nodefaults", "-no-user-config", "-machine", machine, *command.common()),
        *("-bios", str(QBOOT), "-display", "none", "-serial", "file:/dev/null"),
        *("-kernel", str(command.kernel.elf or command.kernel.bzimage), "-append", words),
    ]


class HandWritten:
    """A guest that one of these command lines starts."""

    def __init__(
        self,
        name: str,
        facilities: Facilities,
        qemu: Path,
        accelerator: str,
        limits: Limits,
        write: Callable[[Command], list[str]],
    ) -> None:
        self.name = name
        self._facilities = facilities
        self._qemu = qemu
        self._accelerator = accelerator
        self._limits = limits
        self._write = write

    def start_and_stop(self) -> Start:
        channel = self._facilities.directory / f"hand-{secrets.token_hex(4)}"
        with self._network() as network, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(channel))
            listener.listen(1)
            listener.settimeout(START_TIMEOUT)
            image = self._facilities.image
            argv = self._write(
                Command(
                    self._qemu,
                    self._accelerator,
                    image.kernels["image"],
                    image.rootfs,
                    network,
                    channel,
                    self._limits,
                )
            )
            try:
                return self._start(argv, listener)
            finally:
                channel.unlink()

    def _start(self, argv: Sequence[str], listener: socket.socket) -> Start:
        requested = time.monotonic_ns()
        pid = os.posix_spawn(argv[0], argv, os.environ)
        pidfd = os.pidfd_open(pid)
        try:
            os.sched_setaffinity(pid, self._facilities.instance_cpus(self._limits))
            stream, _ = listener.accept()
            with contextlib.closing(AgentClient(stream)) as agent:
                ready = agent.wait_ready(START_TIMEOUT)
                agent.shutdown()
                ended = _wait(pidfd)
        except (AgentError, TimeoutError) as error:
            raise StartError(f"{self.name}: {error}; its command line was: {' '.join(argv)}") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)
        if not ended:
            raise StartError(f"{self.name}: the guest had not powered off after {STOP_TIMEOUT:g} s")
        return Start((ready - requested) / 1e6)

    @contextmanager
    def _network(self) -> Iterator[GuestNetwork]:
        network = self._facilities.network
        address = network.allocate()
        tap = "bench-h" + "-".join(address.split(".")[2:])
        subprocess.run(["ip", "tuntap", "add", tap, "mode", "tap", "vnet_hdr"], check=True)
        try:
            subprocess.run(["ip", "link", "set", tap, "master", network.bridge, "up"], check=True)
            yield GuestNetwork(network.bridge, tap, network.mac(address), address, network.prefix, network.gateway)
        finally:
            subprocess.run(["ip", "link", "del", tap], check=True)


def _wait(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(STOP_TIMEOUT * 1000))
