"""Bandwidth limits on the host's end of an instance's link: one way for a container's veth and a guest's tap.

Each direction has a token bucket, tc-tbf(8). What goes *to* the instance leaves the host by this end, so its bucket is
the end's root qdisc. What comes *from* the instance arrives at it, where the kernel can drop but not delay; so it is
sent through an ifb device, whose root qdisc is the other bucket, and goes on from there as if it had just arrived
(tc-mirred(8)). Nothing of this can be seen or changed from within the instance.

**What is counted** is what tc counts: frames with their Ethernet header of 14 bytes, each segment of a large send with
headers of its own, acknowledgements too. TCP with time stamps carries 1448 bytes of 1514, so its best is 95.6 % of the
limit. Measured with iperf3 over 3 s, veth, both directions: 95.6 to 95.9 % at 1, 10, 100 Mbit/s and 1, 5, 10 Gbit/s.

**The bucket** holds 10 ms of the rate, which is how much a measurement of T seconds may be too high: 10 ms / T. With a
smaller one, what the timer comes late is lost: with four busy processes on two CPUs TCP got 93.2 to 94.1 % of 1 Gbit/s
with 1 ms, 94.5 to 95.1 % with 4 ms and 95.5 to 95.8 % with 10 ms. It must hold a whole frame. It need not hold a large
send of 64 KiB: the kernel cuts what does not fit into segments (``tbf_enqueue`` in net/sched/sch_tbf.c).

**The queue** before it holds 50 ms of the rate, or ten frames where that is more; then frames are dropped, as by a
switch. TCP mostly fills less of it, as its own queue limit covers frames that wait here.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from runtimes.base import HostError, NetLimits

if TYPE_CHECKING:
    from pyroute2 import IPRoute

_BUCKET_SECONDS = 0.010
_QUEUE_SECONDS = 0.050
_FRAME = 1514
_SMALLEST_BUCKET = 2000
"""Bytes: a frame, and what the kernel's rounding may take away."""

_LOWEST, _HIGHEST = 8_000, 0xFFFFFFFF * 8
"""Bits a second: at the lowest a frame takes 1.5 s; the highest is what ``struct tc_ratespec`` can hold in bytes."""

_INGRESS_HANDLE = 0xFFFF0000  # TC_H_MAJ(TC_H_INGRESS) of linux/pkt_sched.h
_ETH_P_ALL = 3
_EVERYTHING = "0x0/0x0+0"


@contextmanager
def limited_link(route: IPRoute, name: str, limits: NetLimits) -> Iterator[None]:
    """Limit what goes through a link, until it is removed or the context is left.

    Args:
        route: a connection to rtnetlink in the calling thread's network namespace.
        name: of the host's end.
        limits: as seen from the instance at the other end.

    Raises:
        HostError: the kernel cannot do that, or a limit is out of range.
    """
    if limits == NetLimits():
        yield
        return
    _check_range(limits)
    index = socket.if_nametoindex(name)
    with ExitStack() as stack:
        if limits.ingress is not None:
            _add_bucket(route, index, limits.ingress)
        if limits.egress is not None:
            detour = stack.enter_context(_detour(route, _detour_name(name), limits.egress))
            with _needed("sch_ingress, cls_u32 and act_mirred", "CONFIG_NET_SCH_INGRESS, _CLS_U32, _ACT_MIRRED"):
                redirect = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": detour}
                route.tc("add", "ingress", index)
                route.tc(
                    "add-filter",
                    "u32",
                    index,
                    parent=_INGRESS_HANDLE,
                    prio=1,
                    protocol=_ETH_P_ALL,
                    target=0,
                    keys=[_EVERYTHING],
                    action=redirect,
                )
        yield


def _detour_name(name: str) -> str:
    """For that of a link, ours or the ``veth12345ab`` of an engine; one has 15 bytes at most."""
    return "bench-i" + name.removeprefix("bench-").removeprefix("veth")


@contextmanager
def _detour(route: IPRoute, name: str, rate: int) -> Iterator[int]:
    """An ifb device with a bucket; yields its index.

    Where ifb is a module, loading it puts two idle devices, ifb0 and ifb1, into the host's own network namespace.
    """
    with _needed("ifb", "CONFIG_IFB"):
        route.link("add", ifname=name, kind="ifb", state="up")
    try:
        index = socket.if_nametoindex(name)
        _add_bucket(route, index, rate)
        yield index
    finally:
        with contextlib.suppress(_netlink_error()):
            route.link("del", ifname=name)


def _add_bucket(route: IPRoute, index: int, rate: int) -> None:
    """Make a token bucket of ``rate`` bit/s the root qdisc of a link."""
    bytes_per_second = rate // 8
    bucket = max(int(bytes_per_second * _BUCKET_SECONDS), _SMALLEST_BUCKET)
    queue = max(int(bytes_per_second * _QUEUE_SECONDS), 10 * _FRAME)
    with _needed("sch_tbf", "CONFIG_NET_SCH_TBF"):
        route.tc("add", "tbf", index, rate=bytes_per_second, burst=bucket, limit=bucket + queue)


@contextmanager
def _needed(modules: str, options: str) -> Iterator[None]:
    try:
        yield
    except (_netlink_error(), OSError) as error:
        raise HostError(
            f"limits.net: the kernel cannot limit bandwidth: {error}; needed are {modules}, which a kernel has with "
            f"{options} built in or as modules that modprobe finds"
        ) from error


def _check_range(limits: NetLimits) -> None:
    for direction, rate in (("ingress", limits.ingress), ("egress", limits.egress)):
        if rate is not None and not _LOWEST <= rate <= _HIGHEST:
            raise HostError(
                f"limits.net.{direction}: {rate} bit/s is out of range; tc's token bucket takes 8kbit to 34Gbit"
            )


def _netlink_error() -> type[Exception]:
    from pyroute2.netlink.exceptions import NetlinkError

    error: type[Exception] = NetlinkError
    return error
