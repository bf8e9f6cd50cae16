"""How a container of an engine is on the run's network: in a namespace that we make, as our own container is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from runtimes.address_translation import find_nft
from runtimes.base import HostError, NetLimits
from runtimes.facilities import Facilities
from runtimes.network import check_bandwidth


@dataclass(frozen=True, slots=True)
class Joined:
    """What a container joins.

    Attributes:
        path: a file of the network namespace; empty for one of its own with the loopback only, None for the run's.
        address: IPv4 address by which it is reached; None where it has no network.
        descriptor: of the network namespace that we have made for it, if we have.
    """

    path: str | None
    address: str | None
    descriptor: int | None = None


def require_network(network: str, limits: NetLimits) -> None:
    """Find out whether containers can have such a network.

    Args:
        network: ``bridge``, ``nat``, ``host`` or ``none``.
        limits: its bandwidth.

    Raises:
        HostError: they cannot.
    """
    if network in ("none", "host") and limits != NetLimits():
        raise HostError(f"limits.net: a container with network: {network} has no link to limit; say network: bridge")
    if network == "nat":
        find_nft()
    check_bandwidth(limits)


@contextmanager
def joined_network(facilities: Facilities, network: str, limits: NetLimits) -> Iterator[Joined]:
    """Make what a container joins; for ``nat`` translation has been prepared.

    Raises:
        HostError: the kernel refused.
    """
    if network == "host":
        yield Joined(None, facilities.network.gateway)
    elif network == "none":
        yield Joined("", None)
    else:
        with facilities.network.make_namespace(limits, translated=network == "nat") as namespace:
            yield Joined(f"/proc/{os.getpid()}/fd/{namespace.fd}", namespace.address, namespace.fd)
