"""The saved state of a guest, from which many are started.

libvirt writes a state into a file: a header, the domain's XML, and QEMU's migration stream (``qemu_saveimage.h`` in
libvirt's source). It restores one only under the name that it was saved by. So the XML in the file is written anew for
every guest; the stream behind it, which is all that is large, stays as it is.

Which guest a restored one is, it is told by a line through the agent's port; the guest's side is ``waiting.c``.
"""

from __future__ import annotations

import secrets
import socket
import struct
import threading
import time
from pathlib import Path

from runtimes import storage
from runtimes.agent.client import AgentGone, AgentTimeoutError
from runtimes.base import InstanceError
from runtimes.vm.domain import DomainSpec, domain_xml

GREETING = b"BENCH-WAITING\n"
"""What a guest says when it can be saved."""

_MAGIC = b"LibvirtQemudSave"
_VERSION = 2
_HEADER = struct.Struct("=16sIIII I56x")
"""Magic, version, bytes of XML and what goes with it, whether it ran, compression, offset of what goes with it."""

_SEED_BYTES = 32


class SavedState:
    """The state of a guest that waits, in a file.

    Attributes:
        path: the file.
        lock: to be held from :meth:`rewrite` until libvirt has restored: one guest after the other reads its XML there.
    """

    def __init__(self, path: Path) -> None:
        """Take over a file that libvirt has written.

        Raises:
            InstanceError: it is not what libvirt 9 writes.
        """
        self.path = path
        self.lock = threading.Lock()
        with path.open("rb") as file:
            magic, version, self._room, self._running, self._compression, _ = _HEADER.unpack(file.read(_HEADER.size))
        if (magic, version) != (_MAGIC, _VERSION):
            raise InstanceError(
                f"{path}: libvirt saved a state in a form that is not known here: version {version} of {magic!r}; "
                f"expected version {_VERSION} of {_MAGIC!r}"
            )
        # Its pages would be charged to the first guest that reads them.
        storage.read_file_through(path)

    def rewrite(self, spec: DomainSpec) -> None:
        """Have the next guest be another: put its XML in the place of the last one's.

        Raises:
            InstanceError: there is not enough room for it.
        """
        xml = domain_xml(spec).encode() + b"\0"
        if len(xml) > self._room:
            raise InstanceError(f"{self.path}: {len(xml)} bytes of XML do not fit into the {self._room} that there are")
        header = _HEADER.pack(_MAGIC, _VERSION, self._room, self._running, self._compression, 0)
        with self.path.open("r+b") as file:
            file.write(header + xml.ljust(self._room, b"\0"))


def wait_until_it_waits(channel: socket.socket, deadline: float) -> None:
    """Read the greeting of a guest that waits.

    Args:
        channel: the agent's.
        deadline: seconds on CLOCK_MONOTONIC.

    Raises:
        AgentTimeoutError: it did not come in time.
        AgentGone: the guest has ended, or said something else.
    """
    said = b""
    while len(said) < len(GREETING):
        channel.settimeout(max(deadline - time.monotonic(), 1e-3))
        try:
            more = channel.recv(len(GREETING) - len(said))
        except TimeoutError as error:
            raise AgentTimeoutError("the guest did not say that it can be saved") from error
        except ConnectionError:
            more = b""
        said += more
        if not more or not GREETING.startswith(said):
            raise AgentGone(f"the guest did not say that it can be saved, but {said!r}")


def tell_who_it_is(channel: socket.socket, spec: DomainSpec) -> None:
    """Tell a restored guest its name, its addresses, the time, and random numbers of its own.

    Raises:
        AgentGone: the guest has ended.
    """
    network = spec.network
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    words = {
        "hostname": spec.name,
        "address": f"{network.address}/{network.prefix}",
        "gateway": network.gateway,
        "mac": network.mac,
        "time": f"{seconds}.{nanoseconds:09d}",
        "seed": secrets.token_hex(_SEED_BYTES),
    }
    try:
        channel.sendall((" ".join(f"{name}={value}" for name, value in words.items()) + "\n").encode())
    except OSError as error:
        raise AgentGone(f"the guest could not be told who it is: {error.strerror}") from error
