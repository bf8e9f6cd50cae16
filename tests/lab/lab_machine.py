"""The machine that the lab boots: QEMU's software emulation of a processor with AMD's virtualisation."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
from lab_image import LabImage

MARK = "lab: "
"""What lines for people begin with on the console."""

_MEMORY = "5120"
"""MiB, of which one page of 1 GiB is set aside for a guest: later the kernel may no longer find one in one piece."""

_PROCESSORS = "2"


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


def run_tests(image: LabImage, disk: Path, log: Path, limit: float) -> bool:
    """Boot, print the lines that are for people, and wait for the end.

    Args:
        image: what is booted.
        disk: the second disk.
        log: gets all that the console says.
        limit: seconds until the machine is killed.

    Returns:
        Whether it ended by itself.
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
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            machine.kill()

        timer = threading.Timer(limit, kill)
        timer.start()
        try:
            assert machine.stdout is not None
            for line in machine.stdout:
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
            timer.cancel()
    if killed.is_set():
        print(f"lab: not finished within {limit:g} s: killed", file=sys.stderr)
    return not killed.is_set()


def _cpu_time(pid: int) -> float:
    """Seconds that the machine took of the host's processors: a busy host stretches the clock's, not these."""
    try:
        spent = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return math.nan
    return float(spent.user + spent.system)
