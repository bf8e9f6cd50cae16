"""Why a guest ended, or does not go on: from its console, from QEMU's log, from how QEMU ended, and from what libvirt
told of it.

The reason is one line, which goes to the terminal and into the store; the last lines of the console go with it into the
trial's log.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes.agent.client import AgentError, AgentGone, AgentTimeoutError
from runtimes.base import HostError, InstanceError

if TYPE_CHECKING:
    from runtimes.agent.client import AgentClient
    from runtimes.base import InstanceSpec
    from runtimes.vm.domain import DomainSpec
    from runtimes.vm.live_domain import Domain
    from runtimes.vm.process import EmulatorProcess

_END_TIMEOUT = 5.0
"""Seconds for a QEMU whose end of the agent's stream is closed to have ended: the kernel closes it when the process
exits, and then frees its memory."""

_CONSOLE_LINES = 15
"""Lines of the console that go with a reason."""

_CONSOLE_BYTES = 64 * 1024
"""Of the end of the console that are looked at: more than a panic writes."""

_LONGEST = 300
"""Characters of something that others said within a reason."""

_KERNEL_STAMP = re.compile(r"^\[ *\d+\.\d+\] ")
"""What the kernel's lines on the console begin with."""

_OWN_COMPLAINT = re.compile(r"bench-init: .*")
_PANIC = re.compile(r"Kernel panic - not syncing: .*")

_LIBVIRT_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+0000: ")
"""What libvirt's own lines in QEMU's log begin with."""

_QEMU_STAMP = re.compile(r"^(\d{4}-\d\d-\d\dT\S+Z )?\S*(emulator|qemu-system-x86_64): ")
"""What QEMU's begin with (``-msg timestamp=on``)."""

_ELF_HEADER = struct.Struct("<4sBB12xH")
_X86 = {3: "i386", 62: "x86-64"}
_OTHERS = {21: "PowerPC 64", 22: "S/390", 40: "ARM", 183: "AArch64", 243: "RISC-V", 258: "LoongArch"}
"""``e_machine`` by elf(5)."""


class GuestError(InstanceError):
    """The message says what has become of the guest."""


@dataclass(frozen=True, slots=True)
class Traces:
    """Where it stands how a guest fared.

    Attributes:
        spec: of the instance.
        process: its QEMU.
        domain_spec: what the domain was made from.
        logs: the directory where libvirt writes QEMU's log; None if it is not ours to know.
    """

    spec: InstanceSpec
    process: EmulatorProcess
    domain_spec: DomainSpec
    logs: Path | None

    def error(self, what: str, error: Exception, domain: Domain) -> InstanceError:
        """What has become of the guest, as far as the traces tell more than ``error`` does.

        Args:
            what: what did not happen, as the beginning of a sentence; may be empty.
            error: what was noticed.
            domain: the guest's.
        """
        lines = read_console(self.domain_spec.console)
        told = console_reason(lines)
        if domain.trouble is not None and told is None:
            reason = domain.trouble
        elif self._has_ended(error):
            reason = f"the guest ended: {told or self._end()}"
        else:
            reason = one_line(str(error)) + self._doubts(told, lines)
        message = ": ".join(part for part in (self.spec.name, what, reason) if part)
        return GuestError(message, details=console_details(lines))

    def start_error(self, error: InstanceError, *, late: bool) -> InstanceError:
        """Why libvirt could not start the domain.

        Args:
            error: what libvirt said.
            late: whether that is because QEMU was killed for having taken too long.
        """
        if late:
            said = f"QEMU did not answer within {self.spec.start_timeout:g} s, and was killed"
        else:
            said = one_line(last_words(self._log) or str(error).split("libvirt could not start it: ")[-1])
            kernel = self.domain_spec.kernel
            unpacked = kernel.elf if self.domain_spec.hardware.unpacked_kernel else None
            said += foreign_kernel(unpacked or kernel.bzimage)
        return InstanceError(f"{self.spec.name}: libvirt could not start it: {said}")

    @contextmanager
    def ready(self, domain: Domain) -> Iterator[None]:
        """Have a guest that ends, or is not ready in time, be an error that tells why.

        Raises:
            InstanceError: it was raised within.
        """
        what = "the guest did not get ready"
        try:
            yield
        except AgentTimeoutError as error:
            late = TimeoutError(f"no READY from the agent within {self.spec.start_timeout:g} s")
            raise self._given_up(what, late, domain) from error
        except AgentError as error:
            raise self.error(what, error, domain) from error
        except (HostError, OSError) as error:  # what was made on the host for a guest that is no longer there
            if not self.process.exited.wait(_END_TIMEOUT):
                raise
            raise self.error(what, error, domain) from error

    @contextmanager
    def explained(self, domain: Domain, agent: AgentClient) -> Iterator[None]:
        """Have errors of the guest's agent or of libvirt tell what has become of the guest.

        Another agent may fail meanwhile, such as that of a load generator outside, of which the guest knows nothing.

        Raises:
            InstanceError: one was raised within.
        """
        try:
            yield
        except GuestError:
            raise
        except (InstanceError, FileNotFoundError, ProcessLookupError) as error:  # what /proc no longer has of QEMU
            if not self.process.exited.is_set():
                raise
            raise self.error("", error, domain) from error
        except AgentTimeoutError as error:
            if error.agent is not agent:
                raise
            raise self._given_up("", error, domain) from error
        except AgentGone as error:
            if not (agent.gone or self.process.exited.is_set()):
                raise
            raise self.error("", error, domain) from error

    def _given_up(self, what: str, error: Exception, domain: Domain) -> InstanceError:
        """As ``error``; a QEMU that may hang is killed, for libvirt would first ask it to end, and wait for 10 s."""
        given_up = self.error(what, error, domain)
        self.process.kill()
        return given_up

    @property
    def _log(self) -> Path | None:
        return self.logs / f"{self.spec.name}.log" if self.logs else None

    def _has_ended(self, error: Exception) -> bool:
        return self.process.exited.wait(_END_TIMEOUT if isinstance(error, AgentGone) else 0.0)

    def _end(self) -> str:
        words = last_words(self._log)
        return self.process.describe_end() + (f", and its last words were: {one_line(words)}" if words else "")

    def _doubts(self, told: str | None, lines: list[str]) -> str:
        """What else is known of a guest that is still there."""
        doubts = f"; QEMU is {state}" if (state := _stuck(self.process.pid)) else ""
        if told:
            return f"{doubts}; its console says: {told}"
        return f"{doubts}; last on its console: {_short(lines[-1])}" if lines else f"{doubts}; its console is empty"


def one_line(text: str) -> str:
    """A message without line ends, cut where it is very long."""
    return _short(" ".join(_QEMU_STAMP.sub("", line.strip()) for line in text.splitlines() if line.strip()))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def read_console(console: Path) -> list[str]:
    """The last lines of a console that are not empty."""
    try:
        with console.open("rb") as file:
            file.seek(max(0, console.stat().st_size - _CONSOLE_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = ("".join(char for char in line if char.isprintable()).rstrip() for line in text.splitlines())
    return [line for line in lines if line]


def console_reason(lines: list[str]) -> str | None:
    """Why the guest ended, where its init or its kernel has said so on the console; None if neither has."""
    for pattern in (_OWN_COMPLAINT, _PANIC):
        for number, line in enumerate(lines):
            if found := pattern.search(line):
                # What a program said with its last breath is the cause of a panic about its end.
                before = lines[number - 1] if number and pattern is _PANIC else "[0.0] "
                cause = "" if _KERNEL_STAMP.match(before) else f"{_short(before)}; "
                return cause + _short(found[0])
    return None


def console_details(lines: list[str]) -> str:
    """The lines of the console that go with a reason: from where it says why on, or else the last ones."""
    if not lines:
        return ""
    told = (number for number, line in enumerate(lines) if _OWN_COMPLAINT.search(line) or _PANIC.search(line))
    start = max(0, next(told, len(lines) - _CONSOLE_LINES + 1) - 1)
    return "\n".join(["on its console:", *(f"    {line}" for line in lines[start : start + _CONSOLE_LINES])])


def last_words(log: Path | None) -> str | None:
    """What QEMU said last of its own accord; None if it said nothing."""
    try:
        lines = log.read_text(errors="replace").splitlines() if log else []
    except OSError:
        return None
    for line in reversed(lines):
        if not line.strip() or _LIBVIRT_STAMP.match(line) or "terminating on signal" in line:
            continue
        # The command line, with which libvirt begins, ends a line with a backslash, or begins it with a hyphen.
        return None if line.endswith("\\") or line.startswith("-") else _QEMU_STAMP.sub("", line)
    return None


def foreign_kernel(path: Path) -> str:
    """Remarks, as the end of a message, that a file is no kernel for this architecture; empty if it may be one."""
    try:
        with path.open("rb") as file:
            header = file.read(0x206)
    except OSError as error:
        return f"; the kernel {path} cannot be read: {error.strerror}"
    if header[:4] == b"\x7fELF" and len(header) >= _ELF_HEADER.size:
        _, _, order, machine = _ELF_HEADER.unpack_from(header)
        if order == 2:  # big-endian
            machine = int.from_bytes(machine.to_bytes(2, "little"), "big")
        if machine in _X86:
            return ""
        return f"; the kernel {path} is for {_OTHERS.get(machine, f'the ELF machine {machine}')}, not for x86-64"
    if header[56:60] == b"ARM\x64":  # kernel documentation, arm64/booting
        return f"; the kernel {path} is for AArch64, not for x86-64"
    if header[0x202:0x206] != b"HdrS":  # kernel documentation, x86/boot
        return f"; {path} is no kernel for x86-64"
    return ""


def _stuck(pid: int | None) -> str | None:
    """What keeps a process from running, in words; None if nothing does."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None
    return {"T": "stopped by a signal", "t": "stopped by a debugger", "D": "waiting for a disk"}.get(state)
