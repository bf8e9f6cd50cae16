"""The options of a container arm."""

from __future__ import annotations

from typing import Literal

from runtimes.base import Options


class ContainerOptions(Options):
    """Options of a container arm.

    Attributes:
        network: ``bridge`` joins the run's bridge by a veth pair; ``nat`` likewise a bridge behind address translation,
            as Docker's containers do; ``host`` has no network of its own but that of the bare host's arm; ``none`` has
            the loopback only.
        user_namespace: root inside is an ordinary user outside.
        time_namespace: the clock that counts from the start of the machine counts from that of the container.
        no_new_privileges: no program gains privileges when it is executed, and no mount of the container lets one.
        capabilities: only those that Docker gives by default are kept.
        seccomp: system calls are filtered.
        masked_paths: what in /proc and /sys tells of the host or sets it is hidden or read-only.
        device_filter: no devices but the usual ones can be opened.
        scratch: ``volume`` mounts the scratch disk at ``/scratch``; ``layer`` has all that is written, ``/scratch``
            among it, in the overlay's upper layer on that disk.
    """

    network: Literal["bridge", "nat", "host", "none"] = "bridge"
    user_namespace: bool = False
    time_namespace: bool = False
    no_new_privileges: bool = True
    capabilities: bool = True
    seccomp: bool = True
    masked_paths: bool = True
    device_filter: bool = True
    scratch: Literal["volume", "layer"] = "volume"
