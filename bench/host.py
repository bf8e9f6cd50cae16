"""What host this is: the facts recorded with every run, and the fingerprint made of the stable ones."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.tune.journal import state_directory
from bench.tune.step import Host
from bench.tune.tuning import tuned_steps
from runtimes.topology import parse_cpus

STABLE_FACTS = ("cpu_model", "microcode", "sockets", "cpus_present", "memory_gib", "kernel", "architecture")
"""What a fingerprint is made of: never frequencies, bogomips or bytes of memory, which differ from one boot to the
next, nor how many CPUs are online, which tuning changes."""

CHANGING_FACTS = ("load", "steal_jiffies", "steal_share")
"""Facts that a run reads again at its end: what came of them in between disturbed it."""

VULNERABILITIES = Path("/sys/devices/system/cpu/vulnerabilities")


def read_text(path: str | Path, otherwise: str = "unknown") -> str:
    """The stripped text of a small file, or ``otherwise`` where the kernel has no such file or will not show it."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return otherwise


def host_cpus() -> int:
    """How many CPUs this host has for us: those that we may run on (sched_getaffinity(2))."""
    return len(os.sched_getaffinity(0))


def host_memory() -> int:
    """The host's memory, MemTotal, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _cpuinfo() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo, and the number of sockets (proc_cpuinfo(5))."""
    entries: dict[str, str] = {}
    sockets = set()
    for line in read_text("/proc/cpuinfo", "").splitlines():
        key, _, value = line.partition(":")
        entries.setdefault(key.strip(), value.strip())
        if key.strip() == "physical id":
            sockets.add(value.strip())
    entries["sockets"] = str(len(sockets) or 1)
    return entries


def _chosen(path: str) -> str:
    """The bracketed word of a sysfs file that lists its choices, such as ``always [madvise] never``."""
    text = read_text(path)
    return text.partition("[")[2].partition("]")[0] or text


def mitigations(root: Path = VULNERABILITIES) -> dict[str, str]:
    """CPU vulnerability → what the kernel says of it, those that do not concern this CPU left out."""
    if not root.is_dir():
        return {}
    states = {entry.name: read_text(entry) for entry in sorted(root.iterdir())}
    return {name: state for name, state in states.items() if state != "Not affected"}


def _turbo() -> str:
    no_turbo = read_text("/sys/devices/system/cpu/intel_pstate/no_turbo")
    if no_turbo in ("0", "1"):
        return "on" if no_turbo == "0" else "off"
    return {"1": "on", "0": "off"}.get(read_text("/sys/devices/system/cpu/cpufreq/boost"), "unknown")


def _of_every_cpu(name: str) -> str:
    """What CPUs have in a file of their frequency driver: one word where it is the same for all."""
    found = {read_text(path) for path in Path("/sys/devices/system/cpu").glob(f"cpu[0-9]*/cpufreq/{name}")}
    return ", ".join(sorted(found)) or "unknown"


def _steal() -> dict[str, str]:
    """Jiffies stolen by a hypervisor since boot, all CPUs, and the share that they are of all time (proc_stat(5))."""
    figures = read_text("/proc/stat", "").partition("\n")[0].split()[1:9]
    if len(figures) < 8:
        return {"steal_jiffies": "unknown", "steal_share": "unknown"}
    return {"steal_jiffies": figures[7], "steal_share": f"{int(figures[7]) / sum(map(int, figures)):.4f}"}


def _idle_states() -> dict[str, str]:
    """The idle states of the first CPU, and how long waking up from the deepest takes, microseconds."""
    states = sorted(Path("/sys/devices/system/cpu/cpu0/cpuidle").glob("state[0-9]*"))
    used = [state for state in states if read_text(state / "disable") != "1"]
    latencies = [int(read_text(state / "latency", "0")) for state in used]
    return {
        "idle_driver": read_text("/sys/devices/system/cpu/cpuidle/current_driver"),
        "idle_states": ", ".join(read_text(state / "name") for state in used) or "unknown",
        "idle_latency_us": str(max(latencies)) if latencies else "unknown",
    }


def is_running(program: str) -> bool:
    """Whether a process of this name is."""
    return any(read_text(path, "") == program for path in Path("/proc").glob("[0-9]*/comm"))


@functools.cache
def _hypervisor() -> str:
    """Whose guest this host is itself, by its processor (CPUID) and its firmware; ``none`` where it is no guest."""
    listed = _output(["lscpu"]).splitlines()
    vendor = next((line.partition(":")[2].strip() for line in listed if line.startswith("Hypervisor vendor")), "none")
    product = read_text("/sys/class/dmi/id/product_name", "")
    return f"{vendor} ({product})" if product and vendor != "none" else vendor


def _cgroup_mounts() -> str:
    mounts = [line.split() for line in read_text("/proc/self/mounts", "").splitlines()]
    return "; ".join(f"{fields[1]} {fields[2]} {fields[3]}" for fields in mounts if fields[2] in ("cgroup", "cgroup2"))


def _output(argv: list[str]) -> str:
    program = shutil.which(argv[0])
    if program is None:
        return "not installed"
    try:
        finished = subprocess.run([program, *argv[1:]], capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return "no answer"
    return (finished.stdout or finished.stderr).strip()


def libvirt_version() -> str:
    """The version of libvirt's library; ``not installed`` where Python cannot load it."""
    import runtimes.vm  # noqa: F401 has libvirt, once it is imported, write its log nowhere

    try:
        import libvirt
    except ImportError:
        return "not installed"
    number = libvirt.getVersion()
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


@functools.cache
def _package_versions() -> dict[str, str]:
    """Versions of the host's programs that take part in a measurement; they are asked once a process."""
    programs = {
        "qemu_version": ["qemu-system-x86_64", "--version"],
        "mmdebstrap_version": ["mmdebstrap", "--version"],
        "gcc_version": ["gcc", "--version"],
    }
    versions = {name: _output(argv).partition("\n")[0] for name, argv in programs.items()}
    return versions | {"libvirt_version": libvirt_version(), "python_version": platform.python_version()}


def distribution() -> str:
    """The host's distribution, as it calls itself."""
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    return release.get("PRETTY_NAME", "unknown")


def changing_facts() -> dict[str, str]:
    """The facts that are other ones at the end of a run: what came of them in between disturbed it."""
    return {"load": read_text("/proc/loadavg"), **_steal()}


def _noise_facts() -> dict[str, str]:
    """What makes figures waver and can be set, by :mod:`bench.tune` for the most part."""
    return {
        "governor": _of_every_cpu("scaling_governor"),
        "frequency_driver": _of_every_cpu("scaling_driver"),
        "turbo": _turbo(),
        "smt": read_text("/sys/devices/system/cpu/smt/control"),
        "isolated_cpus": read_text("/sys/devices/system/cpu/isolated") or "none",
        "transparent_hugepages": _chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "transparent_hugepages_defrag": _chosen("/sys/kernel/mm/transparent_hugepage/defrag"),
        "ksm": read_text("/sys/kernel/mm/ksm/run"),
        "swap": str(max(0, len(read_text("/proc/swaps", "").splitlines()) - 1)) + " devices",
        "numa_nodes": str(len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or 1),
        "numa_balancing": read_text("/proc/sys/kernel/numa_balancing"),
        "nmi_watchdog": read_text("/proc/sys/kernel/nmi_watchdog"),
        "aslr": read_text("/proc/sys/kernel/randomize_va_space"),
        "irq_balance": "running" if is_running("irqbalance") else "not running",
        **_idle_states(),
        "clocksource": read_text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "tuned": ", ".join(tuned_steps(Host(), state_directory())) or "no",
    }


def collect_facts() -> dict[str, str]:
    """Every recorded fact of this host, name → text. Facts that the kernel does not show are ``unknown``.

    Raises:
        HostError: the journal of what is tuned cannot be read.
    """
    from runtimes.cgroup import describe_version

    cpu = _cpuinfo()
    return {
        "cpu_model": cpu.get("model name", "unknown"),
        "microcode": cpu.get("microcode", "unknown"),
        "sockets": cpu["sockets"],
        "cpus": str(os.cpu_count()),
        "cpus_present": str(len(parse_cpus(read_text("/sys/devices/system/cpu/present", "")))),
        "memory": str(host_memory()),
        "memory_gib": str(round(host_memory() / 2**30)),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "distribution": distribution(),
        "virtualised": str("hypervisor" in cpu.get("flags", "").split()).lower(),
        "hypervisor": _hypervisor(),
        "kernel_command_line": read_text("/proc/cmdline"),
        "mitigations": json.dumps(mitigations(), sort_keys=True),
        **_noise_facts(),
        **changing_facts(),
        "cgroup_version": describe_version(),
        "cgroup_mounts": _cgroup_mounts(),
        **_package_versions(),
    }


def namespaces() -> frozenset[str]:
    """The namespaces that the calling thread is in, as ``net:4026531840`` (namespaces(7))."""
    directory = Path("/proc/thread-self/ns")
    links = {str(path.readlink()) for path in directory.iterdir() if not path.name.endswith("_for_children")}
    return frozenset(link.replace("[", "").replace("]", "") for link in links)


def host_values(*in_use: Iterable[str]) -> dict[str, str]:
    """What a workload may be told of the host, to find out whether it can reach it, by placeholder.

    Args:
        in_use: namespaces in which an instance of its own should not be: the host's, and the run's.

    Returns:
        ``host_boot_id``, which tells kernels apart (random(4)); ``host_namespaces``, those of ``in_use`` with commas
        between; ``host_pid``, the process id of the harness as the host has it.
    """
    return {
        "host_boot_id": read_text("/proc/sys/kernel/random/boot_id"),
        "host_namespaces": ",".join(sorted(set().union(*in_use))),
        "host_pid": str(os.getpid()),
    }


def fingerprint(facts: Mapping[str, str]) -> str:
    """Twelve hexadecimal digits that tell hosts apart: results from different fingerprints are never joined unasked."""
    stable = {name: facts.get(name, "unknown") for name in STABLE_FACTS}
    return hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()[:12]
