"""Counters are read from trees of files that stand for the proc and sys of other hosts."""

from __future__ import annotations

import os

import pytest

from bench.noise import counters
from bench.noise.counters import read_counters

TICK = os.sysconf("SC_CLK_TCK")

STAT = """cpu  {0} {1} {2} 900 9 5 6 {3} 40 0
cpu0 1 0 0 1 0 0 0 7 0 0
cpu1 1 0 0 1 0 0 0 {3} 0 0
intr 4711 1 2 3
ctxt 1
btime 1
"""


@pytest.fixture
def host(tmp_path):
    """A host with two CPUs, a kernel thread and a process whose name looks like more fields."""
    (tmp_path / "proc/pressure").mkdir(parents=True)
    (tmp_path / "proc/stat").write_text(STAT.format(10 * TICK, 2 * TICK, 3 * TICK, 4 * TICK))
    for pid, text in {17: "17 (kworker/0:1) I 2", 30: "30 (a) 2 S 2 (b) S 1"}.items():
        (tmp_path / f"proc/{pid}").mkdir()
        fields = ["0"] * 9 + [str(5 * TICK), str(TICK)] + ["0"] * 30
        (tmp_path / f"proc/{pid}/stat").write_text(f"{text} {' '.join(fields)}\n")
    for resource, waited in (("cpu", 1_500_000), ("io", 250_000)):
        text = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={waited}\nfull avg10=0.00 total=9\n"
        (tmp_path / "proc/pressure" / resource).write_text(text)
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_all_of_a_host(host):
    read = read_counters((1,), host)
    assert (read.busy, read.kernel, read.stolen) == (15.0, {(17, 0): 6.0}, 4.0)
    assert read.interrupts == 4711
    assert read.waited == {"cpu": 1.5, "io": 0.25}
    assert read.throttled is None


def test_a_cpu_that_is_gone_and_an_old_kernel_without_steal(host):
    (host / "proc/stat").write_text("cpu  1 1 1 1 1 1 1\nintr 0\n")
    assert read_counters((0, 5), host).stolen == 0


def test_heat_and_frequency_where_the_host_tells_them(host):
    for cpu, events in ((0, 3), (1, 4)):
        write(host / f"sys/devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count", f"{events}\n")
        write(host / f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq", f"{cpu + 2}000000\n")
    write(host / "sys/class/thermal/thermal_zone0/temp", "41000\n")
    write(host / "sys/class/thermal/thermal_zone1/temp", "63500\n")
    assert read_counters((0, 1), host).throttled == 7
    assert counters.frequency((0, 1), host) == 2.5e9
    assert counters.temperature(host) == 63.5


def test_heat_and_frequency_where_it_does_not(host):
    assert counters.frequency((0, 1), host) is None
    assert counters.temperature(host) is None


def test_load(host):
    (host / "proc/loadavg").write_text("1.25 0.5 0.1 2/300 99\n")
    assert counters.load(host) == 1.25


def test_this_host_counts_up():
    before = read_counters((0,))
    sum(range(3_000_000))
    after = read_counters((0,))
    assert after.at > before.at
    assert after.busy >= before.busy > 0
    assert after.interrupts > before.interrupts
