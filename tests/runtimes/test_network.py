"""The run's bridge."""

from __future__ import annotations

import ipaddress
import itertools
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from traces import count

from runtimes.address_translation import translate
from runtimes.base import HostError
from runtimes.network import RunNetwork, inside_network

pytestmark = pytest.mark.host


def interfaces():
    return {line.split(":")[0].strip() for line in Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]}


def test_the_bridge_is_ours_alone(facilities):
    # The second one is for those behind address translation, if there were some.
    assert interfaces() - {"bench-hidden"} == {"lo", facilities.network.bridge}


def test_addresses_are_never_given_twice(facilities):
    given = [facilities.network.allocate() for _ in range(600)]
    assert len(set(given)) == len(given)
    assert facilities.network.gateway not in given
    assert len({RunNetwork.mac(address) for address in given}) == len(given)


def test_addresses_end(facilities, monkeypatch):
    monkeypatch.setattr(facilities.network, "_next", 0xFFFF)
    with pytest.raises(HostError, match="used up"):
        facilities.network.allocate()
    with pytest.raises(HostError, match="used up"):
        facilities.network.reserve()


def test_reserved_addresses_are_given_once_and_to_nobody_else(facilities, monkeypatch):
    monkeypatch.setattr(facilities.network, "_next", facilities.network._next)
    monkeypatch.setattr(facilities.network, "_last", 0xFFFE)
    parts = [ipaddress.ip_network(facilities.network.reserve()) for _ in range(3)]
    assert all(part.num_addresses == 1024 for part in parts)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(parts, 2))
    monkeypatch.setattr(facilities.network, "_next", facilities.network._last)
    last = ipaddress.ip_address(facilities.network.allocate())
    assert not any(last in part for part in parts)
    with pytest.raises(HostError, match="used up"):
        facilities.network.allocate()


def test_namespaces_reach_the_bridge_and_each_other(facilities):
    with facilities.network.make_namespace() as one, facilities.network.make_namespace() as other:
        with inside_network(one.fd):
            server = socket.create_server((one.address, 7))
        with inside_network(other.fd):
            client = socket.socket()
        with server, client:
            client.settimeout(10)
            client.connect((one.address, 7))
            accepted, (source, _) = server.accept()
            accepted.close()
        assert source == other.address
        with socket.create_server((facilities.network.gateway, 7)) as server, inside_network(one.fd):
            socket.create_connection((facilities.network.gateway, 7), timeout=10).close()


def test_a_namespace_leaves_nothing(facilities):
    before = interfaces(), count("/proc/self/fd"), threading.active_count()
    with pytest.raises(ZeroDivisionError), facilities.network.make_namespace():
        assert interfaces() != before[0]
        raise ZeroDivisionError
    assert (interfaces(), count("/proc/self/fd"), threading.active_count()) == before


def test_a_namespace_that_cannot_be_joined_leaves_nothing(facilities, monkeypatch):
    before = interfaces(), count("/proc/self/fd")
    monkeypatch.setattr(facilities.network, "_index", 9999)
    with pytest.raises(HostError, match="bridge"), facilities.network.make_namespace():
        pass
    assert (interfaces(), count("/proc/self/fd")) == before


def test_the_thread_comes_back_after_an_exception(facilities):
    before = str(Path("/proc/thread-self/ns/net").readlink())
    with (
        facilities.network.make_namespace() as namespace,
        pytest.raises(ZeroDivisionError),
        inside_network(namespace.fd),
    ):
        assert str(Path("/proc/thread-self/ns/net").readlink()) != before
        raise ZeroDivisionError
    assert str(Path("/proc/thread-self/ns/net").readlink()) == before


def test_translation_is_prepared_once_however_many_ask(facilities):
    facilities.network.prepare_translation()
    before = interfaces()
    facilities.network.prepare_translation()
    assert interfaces() == before
    with (
        facilities.network.make_namespace(translated=True) as hidden,
        facilities.network.make_namespace(routed=True) as world,
    ):
        with inside_network(hidden.fd):
            server = socket.create_server(("0.0.0.0", 7))
        with server, inside_network(world.fd):
            socket.create_connection((hidden.address, 7), timeout=10).close()


def test_a_kernel_or_host_without_translation_says_so(facilities, monkeypatch):
    monkeypatch.setattr("runtimes.address_translation.shutil.which", lambda *_, **__: None)
    with pytest.raises(HostError, match="install the package nftables"):
        translate("bench-bridge", hidden="10.0.0.0/16", published="10.1.0.0/16")
    monkeypatch.setattr("runtimes.address_translation.shutil.which", lambda *_, **__: "/bin/false")
    with pytest.raises(HostError, match="cannot be had of this kernel"):
        translate("bench-bridge", hidden="10.0.0.0/16", published="10.1.0.0/16")


def test_an_engine_may_make_the_pair_itself(facilities):
    before = interfaces()
    with facilities.network.place() as one, facilities.network.place() as other:
        assert one.bridge == facilities.network.bridge
        assert one.gateway is None
        assert (one.own, one.prefix) == (one.address, facilities.network.prefix)
        assert len({one.pair, other.pair, one.own, other.own, one.mac, other.mac}) == 6
        subprocess.run(["ip", "link", "add", one.pair, "type", "veth", "peer", "name", "bench-far"], check=True)
        assert interfaces() - before == {one.pair, "bench-far"}
    assert interfaces() == before


def test_such_a_place_may_be_behind_translation(facilities):
    facilities.network.prepare_translation()
    with facilities.network.place(translated=True) as place:
        assert place.own.split(".")[2:] == place.address.split(".")[2:]
        assert place.own != place.address
        assert place.gateway == place.own.rsplit(".", 2)[0] + ".0.1"
        assert place.bridge in interfaces()
