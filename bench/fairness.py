"""The fairness manifest: what differed between the arms, seen from inside each of them.

What a program can use of processors and memory goes into the facts of every trial (:func:`resources`), since a
comparison of arms that had different amounts is marked (:mod:`results.resources`); everything else is read once for
each arm, and the digests of programs once for each arm and workload.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from bench.host import VULNERABILITIES, mitigations
from runtimes.accounting import parse_meminfo
from runtimes.agent.client import AgentError, Command
from runtimes.base import AGENT_PATH
from runtimes.topology import parse_cpus

if TYPE_CHECKING:
    from runtimes.agent.client import AgentClient

_CLOCKSOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
_FILES = {
    "kernel": "/proc/sys/kernel/osrelease",
    # The flavour of preemption is in it (CONFIG_PREEMPT_BUILD, CONFIG_PREEMPT_DYNAMIC).
    "kernel_build": "/proc/sys/kernel/version",
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


_ONLINE = "/sys/devices/system/cpu/online"
_STATUS = "/proc/self/status"
_MEMINFO = "/proc/meminfo"

# clock_getres(2), system call 229 of x86-64, of CLOCK_MONOTONIC_COARSE, clock 6, whose resolution is the kernel's tick;
# perl-base is in every Debian root.
_ASK_TICK = ("perl", "-e", 'my $t = "\\0" x 16; syscall(229, 6, $t) and exit 1; print((unpack("q2", $t))[1])')

# Names that are no programs have no path; a shell's own commands have none that begins with a slash.
_DIGEST = """for name; do
    case $name in /*) path=$name ;; *) path=$(command -v -- "$name" || true) ;; esac
    case $path in /*) [ -f "$path" ] && sha256sum "$path" ;; esac
done
true
"""
_LIBRARIES = ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2")
_DIGITS = 16
_TIMEOUT = 60.0

_NOT_VISIBLE = "not visible"

NO_SCRATCH = "none"
"""What is observed of the scratch disk where there is none."""


def _read(agent: AgentClient, path: str) -> str:
    try:
        return agent.read_file(path).decode(errors="replace").strip()
    except OSError:
        return _NOT_VISIBLE


def _command_line(agent: AgentClient) -> str:
    """What the kernel was told, without our own arguments, which differ from guest to guest."""
    return " ".join(each for each in _read(agent, "/proc/cmdline").split() if not each.startswith("bench."))


def _tick(agent: AgentClient) -> str:
    """How often a second the kernel under this instance has its tick (CONFIG_HZ)."""
    nanoseconds = _output(agent, _ASK_TICK)
    return str(round(1e9 / int(nanoseconds))) if nanoseconds.isdecimal() and int(nanoseconds) else _NOT_VISIBLE


def clocksource(agent: AgentClient) -> str:
    """The clock that the kernel under this instance uses now."""
    return _read(agent, _CLOCKSOURCE)


def _allowed_cpus(status: str) -> int:
    """How many CPUs the agent may run on, from its ``Cpus_allowed_list`` (proc_pid_status(5))."""
    listed = next((line.split()[1] for line in status.splitlines() if line.startswith("Cpus_allowed_list")), "")
    return len(parse_cpus(listed))


def resources(agent: AgentClient, facts: Mapping[str, str]) -> dict[str, str]:
    """What a program in this instance sees of processors and memory, and what of that it can use.

    Args:
        agent: in the instance.
        facts: of the instance, with the limits of its cgroup (:func:`runtimes.accounting.limit_facts`).

    Returns:
        ``cpus_online``, as a program sees that counts the machine's processors; ``cpus_usable``, the fewer of those it
        may run on and those whose time it is given; ``memory_visible``, MemTotal in bytes; ``memory_usable``, the less
        of that and the limit. What cannot be seen is left out.
    """
    seen: dict[str, str] = {}
    online = _read(agent, _ONLINE)
    if online != _NOT_VISIBLE:
        seen["cpus_online"] = str(len(parse_cpus(online)))
    allowed = _allowed_cpus(_read(agent, _STATUS))
    if allowed:
        seen["cpus_usable"] = f"{min(allowed, _limit(facts, 'cgroup_cpu_quota')):g}"
    visible = parse_meminfo(_read(agent, _MEMINFO).encode()).get("total")
    if visible is not None:
        seen["memory_visible"] = str(visible)
        seen["memory_usable"] = f"{min(visible, _limit(facts, 'cgroup_memory_limit')):.0f}"
    return seen


def _limit(facts: Mapping[str, str], name: str) -> float:
    given = facts.get(name, "none")
    return math.inf if given == "none" else float(given)


def digests(agent: AgentClient, programs: Collection[str]) -> dict[str, str]:
    """What the agent, the C library and programs are inside this instance, ``sha256 PATH`` → the first digits.

    Args:
        agent: in the instance.
        programs: names or paths; those that are none are passed over.
    """
    said = _output(agent, ("/bin/sh", "-c", _DIGEST, "sh", AGENT_PATH, *_LIBRARIES, *sorted(programs)))
    lines = (line.split(None, 1) for line in said.splitlines())
    return {f"sha256 {path}": digest[:_DIGITS] for digest, path in lines}


def _output(agent: AgentClient, argv: tuple[str, ...]) -> str:
    """What a command in the instance says; nothing where it cannot be run, as in an image without a shell."""
    try:
        completed = agent.run(Command(argv, timeout=_TIMEOUT))
    except AgentError:
        return ""
    return completed.stdout.decode(errors="replace").strip() if completed.ok else ""


def _open_files_limit(limits: str) -> str:
    line = next((line for line in limits.splitlines() if line.startswith("Max open files")), "")
    return " ".join(line.split()[3:5]) or _NOT_VISIBLE


def _scratch_mount(agent: AgentClient) -> str:
    """File system and mount options of the scratch disk, as the instance sees them."""
    mounts = [line.split() for line in _read(agent, "/proc/self/mounts").splitlines()]
    seen = {fields[1]: f"{fields[2]} {fields[3]}" for fields in mounts if len(fields) > 3}
    return seen.get("/scratch", NO_SCRATCH)


def observe(agent: AgentClient) -> dict[str, str]:
    """What a program inside this instance sees of the things that make results differ, fact → text."""
    cpuinfo = _read(agent, "/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    flags = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("flags")]
    memory = parse_meminfo(_read(agent, _MEMINFO).encode())
    return {
        **{name: _read(agent, path) for name, path in _FILES.items()},
        "open_files_limit": _open_files_limit(_read(agent, "/proc/self/limits")),
        "allowed_cpus": str(_allowed_cpus(_read(agent, _STATUS))),
        "visible_cpus": str(len(models)),
        "cpu_model": models[0] if models else _NOT_VISIBLE,
        "cpu_flags": next(iter(flags), _NOT_VISIBLE),
        "visible_memory_mib": str(memory.get("total", 0) >> 20),
        "kernel_tick_hz": _tick(agent),
        "kernel_command_line": _command_line(agent),
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
        values = {arm: facts.get(name, _NOT_VISIBLE) for arm, facts in observed.items()}
        if len({facts[name] for facts in observed.values() if name in facts}) > 1:
            rows.append({"fact": name, "values": _lacking(values) if name == "cpu_flags" else values})
    return rows


def _lacking(flags: Mapping[str, str]) -> dict[str, str]:
    """Of long lists, by arm, only what others have and it has not."""
    known = {arm: set(listed.split()) for arm, listed in flags.items() if listed != _NOT_VISIBLE}
    every = set().union(*known.values())
    lacking = {arm: " ".join(sorted(every - has)) for arm, has in known.items()}
    return {
        arm: (f"without {lacking[arm]}" if lacking[arm] else "all that any has") if arm in known else _NOT_VISIBLE
        for arm in flags
    }
