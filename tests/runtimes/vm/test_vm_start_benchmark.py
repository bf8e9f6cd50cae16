"""The benchmark of a guest's start: its figures, and that all that it compares comes up and is gone afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import vm_start
from click.testing import CliRunner
from guest_figures import BEST, PLAIN, PLAIN_QUIET, RESTORE, STOCK, TUNED, figures, table
from libvirt_share import GuestStart, conversation
from measurement import Measurement
from traces import host_traces, new_run_name


def starts(*seconds):
    return [GuestStart(ready * 1e3, {"spawn": ready * 100, "ready": ready * 900}, ready * 90) for ready in seconds]


@pytest.fixture
def measured():
    times = {
        STOCK: (2.5, 2.4, 9),
        TUNED: (1.4, 1.5, 1.4),
        RESTORE: (0.3, 0.3, 0.2),
        PLAIN: (2, 2, 2),
        PLAIN_QUIET: (1.75, 1.75, 1.75),
        BEST: (1.25, 1.25, 3),
    }
    facts = {"accel": "tcg"}
    return Measurement({name: starts(*of) for name, of in times.items()}, 7, {}, facts)


def test_ratios_are_those_of_medians(measured):
    found = figures(measured)
    assert (found["stock_s"], found["tuned_s"], found["restore_s"]) == (2.5, 1.4, 0.3)
    assert found["ratio_best"] == pytest.approx(1.12)
    assert found["ratio_plain"] == pytest.approx(0.7)
    assert found["ratio_plain_quiet"] == pytest.approx(0.8)
    assert found["ratio_restore"] == pytest.approx(0.3 / 1.4)
    assert found["libvirt_ms"] == pytest.approx(126)
    assert found["phases_ms"][TUNED] == pytest.approx({"spawn": 140, "ready": 1260})
    assert (found["n"], found["seed"]) == (3, 7)
    met = {name: goal["met"] for name, goal in found["goals"].items()}
    assert met == {"ratio_best": False, "ratio_plain": True, "ratio_restore": True, "libvirt_ms": False}


def test_the_table_tells_of_every_contestant_and_goal(measured):
    lines = {line.split("  ")[0]: line for line in table(figures(measured)).splitlines() if line}
    assert {STOCK, TUNED, RESTORE, PLAIN, PLAIN_QUIET, BEST, "libvirt, of tuned", "ratio_best"} <= lines.keys()
    assert lines["ratio_best"].endswith("missed")


def test_without_libvirts_log_its_share_is_not_known(measured):
    starts = {**measured.starts, TUNED: [GuestStart(start.ready, start.phases) for start in measured.starts[TUNED]]}
    found = figures(replace(measured, starts=starts))
    assert found["libvirt_ms"] is None
    assert found["goals"]["libvirt_ms"]["met"] is None
    assert "libvirt, of tuned" not in table(found)


SAID = """\
2026-01-31 23:59:59.800+0000: 84: info : qemuMonitorOpenInternal:647 : QEMU_MONITOR_NEW: mon=0x55d7 fd=26
2026-01-31 23:59:59.800+0000: 84: info : qemuMonitorSend:861 : QEMU_MONITOR_SEND_MSG: mon=0x55d7 msg={"execute":"qmp_cap
 fd=-1
2026-01-31 23:59:59.875+0000: 94: info : qemuMonitorJSONIOProcessLine:208 : QEMU_MONITOR_RECV_REPLY: mon=0x55d7 reply={}
2026-01-31 23:59:59.990+0000: 94: info : qemuMonitorJSONIOProcessLine:208 : QEMU_MONITOR_RECV_REPLY: mon=0x55d7 reply={}
2026-02-01 00:00:00.010+0000: 94: info : qemuMonitorJSONIOProcessLine:203 : QEMU_MONITOR_RECV_EVENT: mon=0x55d7 event={"timestamp": {"seconds": 1, "microseconds": 82}, "event": "RESUME"}
2026-02-01 00:00:00.020+0000: 94: info : qemuMonitorJSONIOProcessLine:208 : QEMU_MONITOR_RECV_REPLY: mon=0x55d7 reply={}
"""  # noqa: E501 lines as libvirt has them


def test_the_conversation_begins_with_qemus_first_answer_and_ends_with_the_processors_going():
    assert conversation(SAID) == pytest.approx(135)
    with pytest.raises(ValueError, match="does not tell"):
        conversation(SAID.replace("RESUME", "STOP"))
    with pytest.raises(ValueError, match="does not tell"):
        conversation("")


ONE_START = """
import dataclasses, json, sys, tempfile
from pathlib import Path
from libvirt_share import OurGuest, monitor_log
from runtimes.base import GuestKernel, Image, Limits
from runtimes.facilities import open_facilities
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime
from starts import Ours

run, accel, directory, rootfs, *kernel = sys.argv[1:]
image = Image("id", Path(rootfs), {"image": GuestKernel("0", *map(Path, kernel))})
options = VmOptions(accel=accel, tuned=True)
with (
    monitor_log(Path(directory)) as log,
    open_facilities(run, image) as facilities,
    VmRuntime.open(facilities, options) as runtime,
):
    ours = Ours("tuned", runtime, facilities, Limits(1, (), 128 << 20), Path(directory))
    print(json.dumps(dataclasses.asdict(OurGuest(ours, log).start_and_stop())))
"""


@pytest.mark.host
@pytest.mark.guest
def test_libvirts_share_is_a_part_of_what_passes_before_the_processors_go(guest_image, tmp_path, accel):
    """In a process of its own: this one has perhaps imported libvirt, which then writes no log any more."""
    kernel = guest_image.kernels["image"]
    files = (guest_image.rootfs, kernel.bzimage, kernel.elf, kernel.initramfs)
    argv = [sys.executable, "-c", ONE_START, new_run_name(), accel, str(tmp_path), *map(str, files)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    start = json.loads(done.stdout)
    print(start)
    phases = start["phases"]
    assert phases["spawn"] < start["libvirt"] < phases["spawn"] + phases["connected"] + phases["resume"]


def test_json_is_all_that_it_prints_and_a_missed_goal_is_no_failure(monkeypatch, measured):
    monkeypatch.setattr(vm_start, "run", lambda *_: measured)
    result = CliRunner().invoke(vm_start.main, ["--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(json.dumps(figures(measured)))


@pytest.mark.host
@pytest.mark.guest
@pytest.mark.slow
def test_everything_comes_up_and_nothing_is_left(facilities, accel):
    before = host_traces(facilities)
    found = figures(vm_start.measure(facilities, rounds=1, seed=1, pause=0, accelerator=accel, warm_up=0))
    assert host_traces(facilities) == before
    assert 0 < found["restore_s"] < found["tuned_s"]
    assert set(found["phases_ms"]) == {STOCK, TUNED, RESTORE}
    assert found["intervals"]["ratio_best"] is None, "one round gives no interval"
