from __future__ import annotations

from bench.fairness import differences, observe


class FileAgent:
    """An agent whose files are given."""

    def __init__(self, files):
        self.files = files

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
