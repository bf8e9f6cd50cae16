from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.fairness import differences, digests, observe, resources
from runtimes.agent.client import AgentError


class FileAgent:
    """An agent whose files are given, and that runs commands here, or none at all."""

    def __init__(self, files, *, runs=False):
        self.files = files
        self.runs = runs

    def run(self, command):
        if not self.runs:
            raise AgentError("there is no program")
        ended = subprocess.run(command.argv, capture_output=True, check=False)
        return SimpleNamespace(ok=ended.returncode == 0, stdout=ended.stdout)

    def read_file(self, path):
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.files[path]


def test_observe_counts_allowed_and_visible_cpus():
    agent = FileAgent(
        {
            "/proc/self/status": b"Name:\tagent\nCpus_allowed_list:\t0-1,4\n",
            "/proc/cpuinfo": b"processor\t: 0\nmodel name\t: Fast CPU\n\nprocessor\t: 1\nmodel name\t: Fast CPU\n",
            "/proc/meminfo": b"MemTotal:        1048576 kB\nMemFree:          524288 kB\n",
            "/proc/self/mounts": b"overlay / overlay rw 0 0\n/dev/vdb /scratch ext4 rw,relatime 0 0\n",
            "/proc/sys/kernel/osrelease": b"6.1.0\n",
        }
    )
    seen = observe(agent)
    assert seen["allowed_cpus"] == "3"
    assert seen["visible_cpus"] == "2"
    assert seen["cpu_model"] == "Fast CPU"
    assert seen["visible_memory_mib"] == "1024"
    assert seen["scratch_disk"] == "ext4 rw,relatime"
    assert seen["kernel"] == "6.1.0"
    assert seen["clocksource"] == "not visible"
    assert seen["kernel_tick_hz"] == "not visible"


def test_the_tick_is_that_of_the_kernel_and_our_own_arguments_are_left_out():
    agent = FileAgent({"/proc/cmdline": b"quiet bench.name=bench-1 panic=-1\n"}, runs=True)
    seen = observe(agent)
    assert seen["kernel_tick_hz"] in {"100", "250", "300", "1000"}
    assert seen["kernel_command_line"] == "quiet panic=-1"


def test_digests_are_of_what_is_a_program():
    shell = digests(FileAgent({}, runs=True), {"sh", "/bin/cat", "for", "nonsense-4711", "/etc"})
    path = next(name for name in shell if name.endswith("/sh"))
    with Path(path.removeprefix("sha256 ")).open("rb") as file:
        assert shell[path] == hashlib.file_digest(file, "sha256").hexdigest()[:16]
    assert "sha256 /bin/cat" in shell
    assert any("libc.so" in name for name in shell)
    assert not [name for name in shell if "for" in name or "nonsense" in name or name == "sha256 /etc"]


def test_where_nothing_can_be_run_there_are_no_digests():
    assert digests(FileAgent({}), {"sh"}) == {}


STATUS = b"Name:\tagent\nCpus_allowed_list:\t1\n"
MEMINFO = b"MemTotal:        1048576 kB\n"


@pytest.mark.parametrize(
    ("facts", "cpus", "memory"),
    [
        ({}, "1", 1 << 30),
        ({"cgroup_cpu_quota": "none", "cgroup_memory_limit": "none"}, "1", 1 << 30),
        ({"cgroup_cpu_quota": "0.5", "cgroup_memory_limit": str(256 << 20)}, "0.5", 256 << 20),
        ({"cgroup_cpu_quota": "1.5", "cgroup_memory_limit": str(4 << 30)}, "1", 1 << 30),
    ],
)
def test_what_can_be_used_is_the_less_of_what_is_seen_and_its_limit(facts, cpus, memory):
    files = {"/proc/self/status": STATUS, "/proc/meminfo": MEMINFO, "/sys/devices/system/cpu/online": b"0-3,6\n"}
    assert resources(FileAgent(files), facts) == {
        "cpus_online": "5",
        "cpus_usable": cpus,
        "memory_visible": str(1 << 30),
        "memory_usable": str(memory),
    }


def test_what_cannot_be_seen_is_left_out():
    assert resources(FileAgent({}), {}) == {}


def test_of_processor_flags_only_what_an_arm_lacks_is_told():
    observed = {"native": {"cpu_flags": "fpu sse avx"}, "vm": {"cpu_flags": "fpu sse hypervisor"}, "old": {}}
    (row,) = differences(observed)
    assert row["values"] == {"native": "without hypervisor", "vm": "without avx", "old": "not visible"}


def test_differences_name_only_what_differs_and_every_arm_with_it():
    observed = {
        "native": {"kernel": "6.1", "clocksource": "tsc"},
        "vm": {"kernel": "6.1", "clocksource": "kvm-clock"},
        "other": {"kernel": "6.1"},
    }
    assert differences(observed) == [
        {"fact": "clocksource", "values": {"native": "tsc", "vm": "kvm-clock", "other": "not visible"}}
    ]


def test_what_only_some_arms_can_tell_is_compared_between_those():
    observed = {
        "native": {"kernel": "6.1"},
        "vm": {"kernel": "6.1", "firmware": "seabios", "init": "agent"},
        "tuned": {"kernel": "6.1", "firmware": "qboot", "init": "agent"},
    }
    assert differences(observed) == [
        {"fact": "firmware", "values": {"native": "not visible", "vm": "seabios", "tuned": "qboot"}}
    ]


def test_one_arm_differs_from_nothing():
    assert differences({"native": {"kernel": "6.1"}}) == []
