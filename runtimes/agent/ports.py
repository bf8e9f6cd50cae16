"""Waiting for a server by its port, as its own kernel sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runtimes.agent.process import AgentTimeoutError

if TYPE_CHECKING:
    from runtimes.agent.client import AgentClient
    from runtimes.agent.process import Process

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
"""Sockets of the agent's network namespace (kernel documentation, networking/proc_net_tcp)."""

_LISTENS = "0A"
"""TCP_LISTEN in the kernel's net/tcp_states.h, as the tables have it."""

_INTERVAL = 0.01
"""Seconds between two looks. Nothing tells when a socket begins to listen, and to try a connection would be seen by the
server: MariaDB, for one, blocks a host after too many that broke off (``max_connect_errors``)."""


def wait_for_port(agent: AgentClient, server: Process, port: int, timeout: float) -> None:
    """Wait until somebody listens on a TCP port where the agent is.

    Args:
        agent: whose network namespace is looked at.
        server: the command that is to listen, by itself or by a child.
        port: of any address, IPv4 or IPv6.
        timeout: seconds.

    Raises:
        AgentTimeoutError: nobody did in time; the server goes on.
        AgentError: the server ended without.
        AgentGone: the agent ended first.
    """
    deadline = time.monotonic() + timeout
    while not any(port in _listening(agent, table) for table in _TABLES):
        left = deadline - time.monotonic()
        if left <= 0:
            raise AgentTimeoutError(f"nobody has listened on port {port} within {timeout:g} s", agent)
        server.require_running(min(_INTERVAL, left))


def _listening(agent: AgentClient, table: str) -> set[int]:
    try:
        content = agent.read_file(table).decode("ascii", errors="replace")
    except FileNotFoundError:  # a kernel without IPv6
        return set()
    lines = (line.split() for line in content.splitlines()[1:])
    return {int(fields[1].rpartition(":")[2], 16) for fields in lines if len(fields) > 3 and fields[3] == _LISTENS}
