"""The peer: the rest of the world, for workloads that have their load generator outside of the instance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runtimes.agent.client import AgentClient
from runtimes.base import Limits, Timeline
from runtimes.chroot import chroot, run_in
from runtimes.facilities import Facilities
from runtimes.launcher.client import LaunchRequest
from runtimes.launcher.entry import join_network
from runtimes.launcher.instance import AGENT_ARGV, launched_agent

_START_TIMEOUT = 30.0


@contextmanager
def open_peer(facilities: Facilities, name: str, limits: Limits) -> Iterator[AgentClient]:
    """An agent on the bare host, in the image, in a network namespace on the bridge, on CPUs that an instance leaves.

    Args:
        facilities: the run's.
        name: unique in the run.
        limits: of the instance that it is the peer of.

    Raises:
        HostError: something could not be had of the host.
        InstanceError: it did not come up.
    """
    log_path = facilities.directory / f"{name}.log"
    with (
        chroot(facilities, name, None) as root,
        facilities.network.make_namespace(routed=True) as namespace,
        facilities.new_cgroup(name, None) as cgroup,
    ):
        steps = run_in(root, cgroup, facilities.peer_cpus(limits), AGENT_ARGV)
        request = LaunchRequest((join_network(), *steps), cgroup, descriptors=(namespace.fd,))
        with launched_agent(facilities.launcher, request, Timeline(), log_path, _START_TIMEOUT) as (agent, _):
            yield agent
