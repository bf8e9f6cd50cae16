"""The fairness manifest: what differed between the arms, seen from inside each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.host import VULNERABILITIES, mitigations
from runtimes.accounting import parse_meminfo
from runtimes.topology import parse_cpus

if TYPE_CHECKING:
    from runtimes.agent.client import AgentClient

_CLOCKSOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
_FILES = {
    "kernel": "/proc/sys/kernel/osrelease",
    "clocksource": _CLOCKSOURCE,
    "transparent_hugepages": "/sys/kernel/mm/transparent_hugepage/enabled",
    "somaxconn": "/proc/sys/net/core/somaxconn",
    "overcommit_memory": "/proc/sys/vm/overcommit_memory",
    "swappiness": "/proc/sys/vm/swappiness",
    "dirty_ratio": "/proc/sys/vm/dirty_ratio",
    "aslr": "/proc/sys/kernel/randomize_va_space",
    "tcp_congestion_control": "/proc/sys/net/ipv4/tcp_congestion_control",
    "tcp_rmem": "/proc/sys/net/ipv4/tcp_rmem",
    "tcp_wmem": "/proc/sys/net/ipv4/tcp_wmem",
    "oom_score_adj": "/proc/self/oom_score_adj",
}


NO_SCRATCH = "none"
"""What is observed of the scratch disk where there is none."""


def _read(agent: AgentClient, path: str) -> str:
    try:
        return agent.read_file(path).decode(errors="replace").strip()
    except OSError:
        return "not visible"


def clocksource(agent: AgentClient) -> str:
    """The clock that the kernel under this instance uses now."""
    return _read(agent, _CLOCKSOURCE)


def _allowed_cpus(status: str) -> str:
    """How many CPUs the agent may run on, from its ``Cpus_allowed_list`` (proc_pid_status(5))."""
    listed = next((line.split()[1] for line in status.splitlines() if line.startswith("Cpus_allowed_list")), "")
    return str(len(parse_cpus(listed)))


def _open_files_limit(limits: str) -> str:
    line = next((line for line in limits.splitlines() if line.startswith("Max open files")), "")
    return " ".join(line.split()[3:5]) or "not visible"


def _scratch_mount(agent: AgentClient) -> str:
    """File system and mount options of the scratch disk, as the instance sees them."""
    mounts = [line.split() for line in _read(agent, "/proc/self/mounts").splitlines()]
    seen = {fields[1]: f"{fields[2]} {fields[3]}" for fields in mounts if len(fields) > 3}
    return seen.get("/scratch", NO_SCRATCH)


def observe(agent: AgentClient) -> dict[str, str]:
    """What a program inside this instance sees of the things that make results differ, fact → text."""
    cpuinfo = _read(agent, "/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    memory = parse_meminfo(_read(agent, "/proc/meminfo").encode())
    return {
        **{name: _read(agent, path) for name, path in _FILES.items()},
        "open_files_limit": _open_files_limit(_read(agent, "/proc/self/limits")),
        "allowed_cpus": _allowed_cpus(_read(agent, "/proc/self/status")),
        "visible_cpus": str(len(models)),
        "cpu_model": models[0] if models else "not visible",
        "visible_memory_mib": str(memory.get("total", 0) >> 20),
        "scratch_disk": _scratch_mount(agent),
        **{f"mitigation_{name}": _read(agent, str(VULNERABILITIES / name)) for name in mitigations()},
    }


def differences(observed: Mapping[str, Mapping[str, str]]) -> list[dict[str, object]]:
    """The facts on which the arms do not agree.

    Args:
        observed: arm → what :func:`observe` gave for it, and what its instance told of itself. What only some arms can
            tell, such as a guest's machine type, is compared between those.

    Returns:
        one ``{"fact": name, "values": {arm: value}}`` a fact, in the order of the facts.
    """
    names = list(dict.fromkeys(name for facts in observed.values() for name in facts))
    rows: list[dict[str, object]] = []
    for name in names:
        values = {arm: facts.get(name, "not visible") for arm, facts in observed.items()}
        if len({facts[name] for facts in observed.values() if name in facts}) > 1:
            rows.append({"fact": name, "values": values})
    return rows
