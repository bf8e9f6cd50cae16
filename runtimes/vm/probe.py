"""Which accelerator works on this host.

That ``/dev/kvm`` opens proves nothing: on some machines QEMU refuses the processor then, on others the firmware runs
and no kernel ever boots. So a guest is booted under KVM, once per host boot, with the processor model and the
firmware of measured guests, and the answer is remembered, except where QEMU itself failed. The guest is the image's
kernel and initramfs with no disk at all, which ends in the initramfs's complaint about the missing disk: seeing that,
the kernel has booted, and a user program has run.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from runtimes.base import HostError, Image
from runtimes.cache import cache_directory
from runtimes.vm.domain import KERNEL_ARGUMENTS, MACHINE
from runtimes.vm.emulator import find_qemu
from runtimes.vm.hardware import QBOOT

DEVICE = Path("/dev/kvm")
"""That it is there, and opens, does not prove that it runs guests."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LIMIT = 10.0
"""Seconds that the guest is given, and twice as many if they were not enough: a busy host must not be taken for one
without KVM. With working KVM it takes less than one, with KVM inside an emulated machine six."""

_COMPLAINT = b"bench-init:"
"""What the initramfs's every complaint starts with."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What guests are run by.

    Attributes:
        name: ``kvm``, or ``tcg`` for QEMU's software emulation.
        reason: how that is known, for people.
    """

    name: Literal["kvm", "tcg"]
    reason: str


def probe_accelerator(image: Image, *, qemu: Path | None = None, limit: float = _LIMIT) -> Accelerator:
    """The accelerator that works here.

    Args:
        image: whose kernel and initramfs are booted, if the answer is not remembered from earlier in this host boot.
        qemu: the emulator; the host's own if not given.
        limit: seconds that the guest is given; another one gets twice as many if it took longer.

    Raises:
        HostError: there is no QEMU.
    """
    qemu = find_qemu() if qemu is None else qemu
    refusal = refused_device()
    if refusal is not None:
        return Accelerator("tcg", refusal)
    memory = answer_file()
    question = {"boot": _BOOT_ID.read_text().strip(), "qemu": str(qemu)}
    remembered = _recall(memory, question)
    if remembered is not None:
        return remembered
    answer = _boot(image, qemu, limit) or _boot(image, qemu, 2 * limit)
    if answer is not None and answer.name == "tcg":
        return answer  # QEMU ended at once, perhaps of what passes, such as too little memory; asking again is quick
    if answer is None:
        answer = Accelerator("tcg", f"{DEVICE} opens, but no kernel booted under KVM within {2 * limit:g} s")
    _remember(memory, question, answer)
    return answer


def refused_device() -> str | None:
    """Why ``/dev/kvm`` cannot be used, for people; None if it opens, which does not prove that it can."""
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{DEVICE} does not open: {error.strerror}"
    return None


def answer_file() -> Path:
    """Where the answer is remembered; without it the next probe boots a guest."""
    return cache_directory() / "accelerator.json"


def _boot(image: Image, qemu: Path, limit: float) -> Accelerator | None:
    """The accelerator that booting a guest under KVM proves; None if nothing was decided within ``limit`` seconds."""
    kernel = image.kernels["image"]
    command = [
        *(str(qemu), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", f"{MACHINE},accel=kvm", "-cpu", "host", "-m", "256"),
        *(("-bios", str(QBOOT)) if QBOOT.exists() else ()),
        *("-kernel", str(kernel.elf or kernel.bzimage), "-initrd", str(kernel.initramfs)),
        *("-append", " ".join(KERNEL_ARGUMENTS), "-serial", "stdio"),
    ]
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        if _COMPLAINT in output:
            return Accelerator("kvm", "a guest booted under KVM, though it did not power off")
        return None
    except OSError as error:
        raise HostError(f"cannot run {qemu}: {error.strerror}") from error
    if _COMPLAINT in result.stdout:
        return Accelerator("kvm", "a guest booted under KVM")
    said = (result.stderr or result.stdout).decode(errors="replace").strip().splitlines()
    return Accelerator(
        "tcg",
        f"{DEVICE} opens, but QEMU ended with status {result.returncode} before a kernel had booted under KVM"
        + (f": {said[0]}" if said else ""),
    )


def _recall(memory: Path, question: dict[str, str]) -> Accelerator | None:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(memory.read_text())
        if kept["question"] == question:
            return Accelerator(**kept["answer"])
    return None


def _remember(memory: Path, question: dict[str, str], answer: Accelerator) -> None:
    """Whole or not at all: two probes may end at the same time."""
    handle, name = tempfile.mkstemp(prefix=".accelerator-", dir=memory.parent)
    with os.fdopen(handle, "w") as file:
        json.dump({"question": question, "answer": asdict(answer)}, file)
    Path(name).rename(memory)
