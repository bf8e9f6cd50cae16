"""Bandwidth limits of a link."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from traces import count

from runtimes import syscalls
from runtimes.base import HostError, Limits, NetLimits
from runtimes.container.runtime import ContainerOptions, ContainerRuntime
from runtimes.network import check_bandwidth, inside_network

ROOT = Path(__file__).parents[2]
PAYLOAD = 1448 / 1514
"""What TCP carries of a full frame."""


def interfaces():
    return {line.split(":")[0].strip() for line in Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]}


def bits_per_second(source, target, seconds=1.0):
    """What TCP brings from one namespace to another: all that came, from its first byte to its last."""
    with inside_network(target.fd):
        listener = socket.create_server((target.address, 7))
    with inside_network(source.fd):
        sender = socket.socket()

    def send():
        with sender:
            sender.connect((target.address, 7))
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                sender.sendall(bytes(1 << 14))

    thread = threading.Thread(target=send)
    with listener:
        thread.start()
        receiver, _ = listener.accept()
        with receiver:
            received, started, ended = 0, None, 0.0
            while got := len(receiver.recv(1 << 20)):
                ended = time.monotonic()
                started = started or ended
                received += got
        thread.join()
    return received * 8 / (ended - started)


@pytest.mark.host
@pytest.mark.parametrize("rate", [10_000_000, 100_000_000, 1_000_000_000])
def test_both_directions_are_limited_each_for_itself(facilities, rate):
    network = facilities.network
    limits = NetLimits(ingress=rate, egress=rate // 2)
    with network.make_namespace(limits) as limited, network.make_namespace() as peer:
        assert bits_per_second(peer, limited) == pytest.approx(rate * PAYLOAD, rel=0.05)
        assert bits_per_second(limited, peer) == pytest.approx(rate // 2 * PAYLOAD, rel=0.05)


@pytest.mark.host
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_the_other_direction_is_left_alone(facilities, direction):
    network = facilities.network
    with network.make_namespace(NetLimits(**{direction: 10_000_000})) as limited, network.make_namespace() as peer:
        ends = (peer, limited) if direction == "ingress" else (limited, peer)
        assert bits_per_second(*ends, seconds=0.5) < 10_000_000
        assert bits_per_second(*reversed(ends), seconds=0.5) > 100_000_000


@pytest.mark.host
def test_limits_leave_nothing(facilities):
    before = interfaces(), count("/proc/self/fd")
    with (
        pytest.raises(ZeroDivisionError),
        facilities.network.make_namespace(NetLimits(ingress=10**7, egress=10**7)) as limited,
    ):
        assert len(interfaces()) == len(before[0]) + 2
        with inside_network(limited.fd):
            assert interfaces() == {"lo", "eth0"}
        raise ZeroDivisionError
    assert (interfaces(), count("/proc/self/fd")) == before


@pytest.mark.host
def test_no_limit_costs_no_device(facilities):
    before = interfaces()
    with facilities.network.make_namespace(NetLimits(ingress=10**7)):
        assert len(interfaces()) == len(before) + 1


@pytest.mark.host
def test_a_check_leaves_nothing_and_stays_where_it_is():
    def here():
        return interfaces(), count("/proc/self/fd"), Path("/proc/thread-self/ns/net").readlink()

    check_bandwidth(NetLimits(ingress=10**7, egress=10**7))  # pyroute2 is imported
    before = here()
    check_bandwidth(NetLimits(ingress=8_000, egress=34_000_000_000))
    assert here() == before


@pytest.mark.host
@pytest.mark.parametrize(("step", "needed"), [("tc", "sch_tbf"), ("link", "ifb")])
def test_a_kernel_without_a_module_is_told_which(monkeypatch, step, needed):
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    def refuse(*_, **__):
        raise NetlinkError(95, "Operation not supported")

    monkeypatch.setattr(IPRoute, step, refuse, raising=False)
    before = count("/proc/self/fd")
    with pytest.raises(HostError, match=rf"limits\.net: .*not supported.*{needed}.*CONFIG_"):
        check_bandwidth(NetLimits(ingress=10**7 if step == "tc" else None, egress=10**7))
    assert count("/proc/self/fd") == before


@pytest.mark.host
@pytest.mark.parametrize("rate", [1, 7_999, 35_000_000_000])
def test_rates_that_tc_cannot_give_are_refused(rate):
    for direction in ("ingress", "egress"):
        with pytest.raises(HostError, match=rf"limits\.net\.{direction}: {rate} bit/s is out of range"):
            check_bandwidth(NetLimits(**{direction: rate}))


@pytest.mark.host
def test_an_ordinary_users_limits_are_tried_in_a_user_namespace(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(syscalls, "unshare", lambda _: pytest.fail("it was tried in our own process"))
    check_bandwidth(NetLimits(ingress=10**7, egress=10**7))
    with pytest.raises(HostError, match=r"^limits\.net\.egress: 1 bit/s is out of range"):
        check_bandwidth(NetLimits(ingress=10**7, egress=1))


WITHOUT_USER_NAMESPACES = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from runtimes import user_namespace
from runtimes.network import NetLimits, check_bandwidth
user_namespace.enter()
Path("/proc/sys/user/max_user_namespaces").write_text("0")  # of this namespace alone
os.geteuid = lambda: 1234
check_bandwidth(NetLimits(ingress=1))
"""


@pytest.mark.host
def test_that_there_are_no_user_namespaces_is_left_to_the_check_for_them():
    subprocess.run([sys.executable, "-c", WITHOUT_USER_NAMESPACES, str(ROOT)], check=True, cwd="/")


def test_nothing_is_tried_where_nothing_is_asked_for(monkeypatch):
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was tried"))
    check_bandwidth(NetLimits())


def test_a_container_without_a_link_has_none_to_limit():
    with pytest.raises(HostError, match=r"limits\.net: .*network: none.*say network: bridge"):
        ContainerRuntime.check(
            ContainerOptions(network="none"), Limits(1, (), 128 << 20, net=NetLimits(ingress=10_000_000))
        )
