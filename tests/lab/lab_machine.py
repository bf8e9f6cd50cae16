"""The machine that the lab boots: QEMU's software emulation of a processor with AMD's virtualisation."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Literal

import psutil
from lab_image import LabImage

MARK = "lab: "
"""What lines for people begin with on the console."""

_MEMORY = "5120"
"""MiB, of which one page of 1 GiB is set aside for a guest: later the kernel may no longer find one in one piece."""

_PROCESSORS = "2"

Ending = Literal["by itself", "late", "silent"]
"""How the machine ended: the latter two are that it was killed, for its time was over or it stood still."""

_SILENCE = 240.0
"""Seconds without a line on the console after which it stands still; its driver writes one every half minute.

Seen twice, with QEMU 7.2: both emulated processors ran on for ten minutes while guests ran in the machine, and its
kernel got nowhere, not even to the report of a stall.
"""


def command(image: LabImage, disk: Path, *, shell: bool) -> list[str]:
    """The command line; the root file system is discarded with what was written to it.

    Args:
        image: what is booted.
        disk: the second disk, which keeps what is written to it.
        shell: whether there is a console instead of tests.
    """
    words = [
        "mitigations=off",
        "hugepagesz=1G",
        "hugepages=1",
        "root=/dev/disk/by-id/virtio-root",
        "rw",
        "console=ttyS0",
        "quiet",
        "systemd.show_status=false",
    ]
    return [
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"),
        *("-smp", _PROCESSORS, "-m", _MEMORY),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs)),
        *("-append", " ".join([*words, "lab.shell" if shell else "systemd.getty_auto=no"])),
        *_disk("root", image.rootfs, "snapshot=on,cache=unsafe"),
        *_disk("work", disk, "cache=unsafe"),
        *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"),
        *("-serial", "mon:stdio" if shell else "stdio"),
    ]


def _disk(name: str, file: Path, options: str) -> tuple[str, ...]:
    drive = f"id={name},file={file},format=raw,if=none,{options}"
    return "-drive", drive, "-device", f"virtio-blk-pci,drive={name},serial={name}"


def run_console(image: LabImage, disk: Path) -> int:
    """Give the terminal to the machine until it is powered off."""
    print("lab: root's console; it ends with `poweroff`, or at once with Ctrl-A X", flush=True)
    return subprocess.run(command(image, disk, shell=True), check=False).returncode


def run_tests(image: LabImage, disk: Path, log: Path, limit: float) -> Ending:
    """Boot, print the lines that are for people, and wait for the end.

    Args:
        image: what is booted.
        disk: the second disk.
        log: gets all that the console says.
        limit: seconds until the machine is killed.
    """
    started = time.monotonic()
    with (
        log.open("wb") as whole,
        subprocess.Popen(
            command(image, disk, shell=False),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as machine,
    ):
        watch = _Watch(machine, started + limit)
        watch.start()
        try:
            assert machine.stdout is not None
            for line in machine.stdout:
                watch.heard_at = time.monotonic()
                whole.write(line)
                whole.flush()
                _, marked, text = line.decode(errors="replace").rstrip().partition(MARK)
                if marked:
                    print(
                        f"lab {time.monotonic() - started:4.0f} s, CPU {_cpu_time(machine.pid):4.0f} s  {text}",
                        flush=True,
                    )
        except BaseException:
            machine.kill()
            raise
        finally:
            watch.end()
    if watch.found == "late":
        print(f"lab: not finished within {limit:g} s: killed", file=sys.stderr)
    if watch.found == "silent":
        print(f"lab: the emulated machine has said nothing for {_SILENCE:g} s: killed", file=sys.stderr)
    return watch.found


class _Watch(threading.Thread):
    """Kills a machine whose time is over, or that stands still.

    Attributes:
        heard_at: when it last said something (CLOCK_MONOTONIC, s).
        found: how it ended, as far as that is known here.
    """

    def __init__(self, machine: subprocess.Popen[bytes], deadline: float) -> None:
        super().__init__(name="watch the lab", daemon=True)
        self.heard_at = time.monotonic()
        self.found: Ending = "by itself"
        self._machine = machine
        self._deadline = deadline
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.1):
            now = time.monotonic()
            if now > self._deadline:
                self.found = "late"
            elif now > self.heard_at + _SILENCE:
                self.found = "silent"
            if self.found != "by itself":
                self._machine.kill()
                return

    def end(self) -> None:
        """Watch no longer."""
        self._over.set()
        self.join()


def _cpu_time(pid: int) -> float:
    """Seconds that the machine took of the host's processors: a busy host stretches the clock's, not these."""
    try:
        spent = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return math.nan
    return float(spent.user + spent.system)
