"""The run's network: one bridge, and namespaces that join it.

Containers may lie behind address translation instead (``network: nat``), as Docker has them: on a second bridge, whose
addresses nobody else knows. Each has another address besides, by which the world reaches it and which is translated
on the way (NAT, one to one), both directions by the kernel's connection tracking.

All of it lies in the run's own network namespace, in which nothing else is, so that neither names nor addresses can
clash with the host's, and the kernel removes everything when the run's last process has gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import syscalls, user_namespace
from runtimes.address_translation import translate
from runtimes.bandwidth import limited_link
from runtimes.base import HostError, NetLimits
from runtimes.netlink import add_veth, open_route_socket

if TYPE_CHECKING:
    from pyroute2 import IPRoute

_BRIDGE = "bench-bridge"
_NETWORK = (10, 213)
_HIDDEN_BRIDGE = "bench-hidden"
_HIDDEN = (10, 215)
"""Addresses behind translation."""

_PUBLISHED = (10, 214)
"""What the world knows them by; the second halves are the same."""

_PREFIX = 16
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_LAST = 0xFFFE
_RESERVED_BITS = 10
"""Of the host number of addresses that are reserved together: 1022 of them."""

TAP_DEVICE = Path("/dev/net/tun")
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_UNLIMITED = NetLimits()

_SOURCE_ROOT = Path(__file__).resolve().parents[1]
_PROBE = """\
import json, sys
sys.path.insert(0, sys.argv[1])
from runtimes.network import NetLimits, try_bandwidth
try_bandwidth(NetLimits(**json.loads(sys.argv[2])))
"""
_REFUSED = 3
"""Exit status of ``try_bandwidth`` after a refusal; those of Python's own failures are others."""

INTERFACE = "eth0"
"""Name of the one interface in a namespace that joined the bridge."""


@dataclass(frozen=True, slots=True)
class NetworkNamespace:
    """A network namespace on the bridge.

    Attributes:
        fd: file descriptor of it, open as long as the context that made it.
        address: IPv4 address by which it is reached.
    """

    fd: int
    address: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the run's network an engine puts a container by a veth pair that it makes itself.

    Attributes:
        bridge: what the host's end is to be a port of.
        pair: name of the host's end, which nobody else uses.
        own: IPv4 address of the other end.
        prefix: length of the network part of that address, bits.
        mac: hardware address of the other end.
        gateway: where it sends everything else; None where there is nothing else.
        address: IPv4 address by which it is reached.
    """

    bridge: str
    pair: str
    own: str
    prefix: int
    mac: str
    gateway: str | None
    address: str


@dataclass(frozen=True, slots=True)
class _Segment:
    """A bridge and the network of what joins it.

    Attributes:
        bridge: its name.
        index: of the bridge's interface.
        network: first half of all addresses; the bridge itself has host number 1.
        published: first half of the addresses by which they are reached.
        routed: whether those who join send everything else by way of the bridge.
    """

    bridge: str
    index: int
    network: tuple[int, int]
    published: tuple[int, int]
    routed: bool


class _OneAtATime:
    """A pyroute2 socket that several threads may use: their requests and answers would otherwise mix."""

    def __init__(self, route: IPRoute, lock: threading.RLock) -> None:
        self._route = route
        self._lock = lock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 - pyroute2 has no types
            with self._lock:
                return getattr(self._route, name)(*arguments, **keywords)

        return call


class RunNetwork:
    """The bridge of one run; several threads may use it.

    Attributes:
        bridge: name of the bridge.
        hidden_bridge: name of that behind address translation, once it was prepared for.
        gateway: IPv4 address of the bridge itself; it is where the native arm is reached.
        prefix: length of the network part of all addresses, bits.
    """

    def __init__(self, route: IPRoute, quick_route: socket.socket) -> None:
        self.bridge = _BRIDGE
        self.hidden_bridge = _HIDDEN_BRIDGE
        self.gateway = _address(1)
        self.prefix = _PREFIX
        self._lock = threading.RLock()
        self._route = _OneAtATime(route, self._lock)
        self._quick_route = quick_route
        self._next, self._last = 2, _LAST
        syscalls.configure_interface("lo")
        self._index = self._make_bridge(self.bridge, self.gateway)
        self._hidden: _Segment | None = None

    def _make_bridge(self, name: str, address: str) -> int:
        # Without the spanning tree and its delay a new port forwards at once; without snooping no querier is missed.
        self._route.link("add", ifname=name, kind="bridge", br_stp_state=0, br_forward_delay=0, br_mcast_snooping=0)
        # An address of its own: the bridge would else take, and change to, the lowest of its ports'.
        syscalls.configure_interface(name, address, self.prefix, self.mac(address))
        return socket.if_nametoindex(name)

    def prepare_translation(self) -> None:
        """Make what namespaces behind translation join, once a run; before any of them is made.

        Raises:
            HostError: the kernel refused, or there is no ``nft``.
        """
        if self._hidden is not None:
            return
        try:
            index = self._make_bridge(_HIDDEN_BRIDGE, _address(1, _HIDDEN))
            _FORWARDING.write_text("1")
        except (_netlink_error(), OSError) as error:
            raise HostError(f"cannot make the bridge {_HIDDEN_BRIDGE}: {error}") from error
        translate(self.bridge, hidden=_network(_HIDDEN), published=_network(_PUBLISHED))
        self._hidden = _Segment(_HIDDEN_BRIDGE, index, _HIDDEN, _PUBLISHED, routed=True)

    def allocate(self) -> str:
        """The next free IPv4 address; none is given out twice in a run, so that no neighbour entry is ever stale.

        Raises:
            HostError: all 65 thousand are used up.
        """
        return _address(self._allocate_host())

    def _allocate_host(self) -> int:
        with self._lock:
            if self._next > self._last:
                raise HostError(f"the run has used up the {_LAST - 1} addresses of its network; split the suite")
            self._next += 1
            return self._next - 1

    def reserve(self, *, translated: bool = False) -> str:
        """A part of the network whose addresses somebody else gives out: the highest that is free, as ``10.0.0.0/22``.

        Args:
            translated: whether it is to be one behind address translation, which was prepared for.

        Raises:
            HostError: there is none.
        """
        with self._lock:
            first = (self._last + 1 - (1 << _RESERVED_BITS)) >> _RESERVED_BITS << _RESERVED_BITS
            if first <= self._next:
                raise HostError(f"the run has used up the {_LAST - 1} addresses of its network; split the suite")
            self._last = first - 1
        return f"{_address(first, _HIDDEN if translated else _NETWORK)}/{32 - _RESERVED_BITS}"

    @staticmethod
    def published(address: str) -> str:
        """By which address the world reaches one that is behind address translation."""
        return ".".join([*map(str, _PUBLISHED), *address.split(".")[2:]])

    @staticmethod
    def mac(address: str) -> str:
        """The hardware address for an IPv4 address of this network: locally administered, one for one."""
        return ":".join(("02", "00", *(f"{int(part):02x}" for part in address.split("."))))

    @contextmanager
    def make_namespace(
        self, limits: NetLimits = _UNLIMITED, *, translated: bool = False, routed: bool = False
    ) -> Iterator[NetworkNamespace]:
        """Make a network namespace that is joined to the bridge by a veth pair and has an address.

        Args:
            limits: bandwidth of the pair, as seen from the namespace.
            translated: whether it is behind address translation, which was prepared for.
            routed: whether it reaches those who are.

        Raises:
            HostError: the kernel refused, or cannot give these limits.
        """
        host = self._allocate_host()
        name = f"bench-v{host}"
        segment = self._segment(translated=translated, routed=routed)
        fd = _new_namespace()
        try:
            self._join(name, fd, host, segment)
            try:
                with self.limited(name, limits):
                    yield NetworkNamespace(fd, _address(host, segment.published))
            finally:
                # The pair goes with the namespace, but later; the end of the instance should be its end too.
                self._remove(name)
        finally:
            os.close(fd)

    @contextmanager
    def place(self, *, translated: bool = False) -> Iterator[Place]:
        """A place for a container whose engine makes the veth pair; at the end the pair is gone.

        Args:
            translated: whether it is behind address translation, which was prepared for.
        """
        host = self._allocate_host()
        segment = self._segment(translated=translated)
        own = _address(host, segment.network)
        place = Place(
            bridge=segment.bridge,
            pair=f"bench-v{host}",
            own=own,
            prefix=_PREFIX,
            mac=self.mac(own),
            gateway=_address(1, segment.network) if segment.routed else None,
            address=_address(host, segment.published),
        )
        try:
            yield place
        finally:
            self._remove(place.pair)

    def _segment(self, *, translated: bool, routed: bool = False) -> _Segment:
        if translated:
            assert self._hidden is not None
            return self._hidden
        return _Segment(self.bridge, self._index, _NETWORK, _NETWORK, routed)

    def _remove(self, link: str) -> None:
        """Remove a link, if it is still there."""
        with contextlib.suppress(_netlink_error()):
            self._route.link("del", ifname=link)

    @contextmanager
    def make_tap(self, name: str) -> Iterator[int]:
        """Make a tap on the bridge and open it, for a VMM that cannot do so itself.

        It is there as long as somebody has the descriptor open that is yielded. Packets have the header of virtio-net
        (kernel documentation, networking/tuntap).

        Raises:
            HostError: the kernel refused.
        """
        fd = -1
        try:
            fd = os.open(TAP_DEVICE, os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR))
            self._route.link("set", index=socket.if_nametoindex(name), master=self._index, state="up")
        except (_netlink_error(), OSError) as error:
            if fd >= 0:
                os.close(fd)
            raise HostError(f"cannot make the tap {name} on the bridge {self.bridge}: {error}") from error
        try:
            yield fd
        finally:
            os.close(fd)

    def limited(self, name: str, limits: NetLimits) -> AbstractContextManager[None]:
        """Limit the bandwidth of a link on the bridge; see :func:`runtimes.bandwidth.limited_link`.

        Args:
            name: of the host's end.
            limits: as seen from the instance at the other end.

        Raises:
            HostError: the kernel cannot give them.
        """
        return limited_link(self._route, name, limits)

    def _join(self, name: str, fd: int, host: int, segment: _Segment) -> None:
        """Make the veth pair, one end a port of the bridge and the other in the namespace with an address."""
        address = _address(host, segment.network)
        try:
            with self._lock:
                add_veth(self._quick_route, name, segment.index, INTERFACE, fd, self.mac(address))
            with inside_network(fd):
                syscalls.configure_interface("lo")
                syscalls.configure_interface(INTERFACE, address, self.prefix)
                if segment.routed:
                    syscalls.add_default_route(_address(1, segment.network))
        except OSError as error:
            raise HostError(f"cannot join a network namespace to the bridge {self.bridge}: {error}") from error


@contextmanager
def open_network() -> Iterator[RunNetwork]:
    """Make the bridge in the calling thread's network namespace, which is the run's own.

    Raises:
        HostError: the kernel refused.
    """
    from pyroute2 import IPRoute

    with IPRoute() as route, open_route_socket() as quick_route:
        try:
            network = RunNetwork(route, quick_route)
        except (_netlink_error(), OSError) as error:
            raise HostError(f"cannot make the bridge {_BRIDGE}: {error}; is the module `bridge` there?") from error
        yield network


def check_bandwidth(limits: NetLimits) -> None:
    """Find out, in a network namespace that is thrown away, whether this kernel can limit the bandwidth of a link.

    Raises:
        HostError: it cannot, or a limit is out of range.
    """
    if limits == _UNLIMITED:
        return
    if os.geteuid() != 0:
        _check_bandwidth_as_user(limits)
        return
    try:
        fd = _new_namespace()
    except OSError as error:
        raise HostError(f"limits.net: cannot make a network namespace: {error}") from error
    try:
        with inside_network(fd):
            _limit_loopback(limits)
    finally:
        os.close(fd)


def _check_bandwidth_as_user(limits: NetLimits) -> None:
    """The same for an ordinary user, whose run will be in a user namespace: a process of its own tries it in one.

    That the user may have no such namespace is told by :func:`runtimes.rootless.check_user_namespace`.
    """
    arguments = [str(_SOURCE_ROOT), json.dumps(asdict(limits))]
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *arguments], capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode == _REFUSED:
        raise HostError(done.stdout)
    if done.returncode != 0:
        raise HostError(f"limits.net: cannot be tried out: {done.stderr.strip() or 'the process was killed'}")


def try_bandwidth(limits: NetLimits) -> None:
    """Enter a user namespace, limit a link there, and end the process; a refusal goes to standard output, with the exit
    status ``_REFUSED``.
    """
    try:
        with contextlib.suppress(user_namespace.NotGrantedError):
            user_namespace.enter()
            _limit_loopback(limits)
    except HostError as error:
        print(error, end="", flush=True)
        os._exit(_REFUSED)


def _limit_loopback(limits: NetLimits) -> None:
    from pyroute2 import IPRoute

    with IPRoute() as route, limited_link(route, "lo", limits):
        pass


@contextmanager
def inside_network(fd: int) -> Iterator[None]:
    """Have the calling thread in another network namespace for a while."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(fd, syscalls.CLONE_NEWNET)
        try:
            yield
        finally:
            syscalls.setns(own, syscalls.CLONE_NEWNET)
    finally:
        os.close(own)


def _new_namespace() -> int:
    """Make a network namespace and return a file descriptor of it; the calling thread stays where it is."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        try:
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            syscalls.setns(own, syscalls.CLONE_NEWNET)
    finally:
        os.close(own)


def _address(host: int, network: tuple[int, int] = _NETWORK) -> str:
    return ".".join(str(part) for part in (*network, host >> 8, host & 0xFF))


def _network(halves: tuple[int, int]) -> str:
    return f"{_address(0, halves)}/{_PREFIX}"


def _netlink_error() -> type[Exception]:
    from pyroute2.netlink.exceptions import NetlinkError

    error: type[Exception] = NetlinkError
    return error
