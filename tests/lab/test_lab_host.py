"""The lab as its host sees it: what is brought in, what is told, and that it ends. None of this boots it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import lab
import lab_disk
import lab_image
import lab_machine
import pytest

from bench.suite import load_suite

KILLED = f"""
import sys, time
sys.path[:0] = ["{lab_image.PROJECT}", "{lab_image.PROJECT}/tests/lab"]
import lab_disk
lab_disk._copy_project = lab_disk._copy_programs = lab_disk.make_filled_ext4 = lambda *_: None
lab_disk._images = lambda *_: []
with lab_disk.work_disk((), lambda _: None) as disk:
    print(disk.parent, flush=True)
    time.sleep(100)
"""

IMAGE = lab_image.LabImage.of(lab_image.PROJECT)


def test_all_guests_of_its_suites_are_asked_to_run_by_kvm(tmp_path):
    written = lab_disk._write_suites(tmp_path / "suites")
    suites = {path.stem: load_suite(str(path)) for path in written}
    assert set(suites) == set(lab_disk.SUITES)
    for suite in suites.values():
        guests = [arm for arm in suite.arms if arm.runtime == "vm"]
        assert [arm.options.accel for arm in guests] == ["kvm"] * len(guests) != []
        assert suite.baseline in {arm.name for arm in suite.arms}
    assert {arm.name for arm in suites["limits"].arms} == {"container-50", "vm-50"}


def test_it_has_what_the_project_needs_and_no_screen():
    packages = lab_image.lab_packages()
    assert {"qemu-system-x86", "libvirt-daemon-system", "crun", "busybox-static"} <= set(packages)
    assert "chromium" not in packages


def test_what_git_does_not_know_stays_out(tmp_path):
    lab_disk._copy_project(tmp_path)
    assert (tmp_path / "tests/lab/lab.py").is_file()
    assert list((tmp_path / "tests/lab/__pycache__").glob("lab.*.pyc")) != []
    assert not (tmp_path / ".venv").exists()


@pytest.mark.host
def test_results_replace_those_of_an_earlier_run(tmp_path):
    (tmp_path / "tree/results/store").mkdir(parents=True)
    (tmp_path / "tree/results/store/one").write_text("1")
    (tmp_path / "tree/results/status.json").write_text("{}")
    (tmp_path / "target").mkdir()
    (tmp_path / "target/earlier").touch()
    lab_image.make_filled_ext4(tmp_path / "tree", tmp_path / "disk", 8 << 20)
    lab_disk.fetch_results(tmp_path / "disk", tmp_path / "target")
    assert sorted(path.name for path in (tmp_path / "target").iterdir()) == ["status.json", "store"]
    assert (tmp_path / "target/store/one").read_text() == "1"


def test_the_disk_of_one_that_was_killed_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_SCRATCH", str(tmp_path))
    for name in ("_copy_project", "_copy_programs", "make_filled_ext4"):
        monkeypatch.setattr(lab_disk, name, lambda *_: None)
    monkeypatch.setattr(lab_disk, "_images", lambda *_: [])
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as killed:
        left = Path(killed.stdout.readline().strip())
        killed.kill()
    assert left.parent == tmp_path
    with lab_disk.work_disk((), lambda _: None) as disk:
        assert [disk.parent] == list(tmp_path.iterdir()) != [left]
    assert list(tmp_path.iterdir()) == []


def machine_that_says(monkeypatch, script):
    monkeypatch.setattr(lab_machine, "command", lambda *_, **__: ["sh", "-c", script])


def test_lines_for_people_are_shown_and_all_are_kept(tmp_path, monkeypatch, capsys):
    machine_that_says(monkeypatch, "echo kernel; echo 'noise lab: step one'")
    assert lab_machine.run_tests(IMAGE, tmp_path, tmp_path / "log", limit=30) == "by itself"
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(" s  ")[2] for line in told if line.endswith("one")] == ["step one"]
    assert (tmp_path / "log").read_text() == "kernel\nnoise lab: step one\n"


def test_a_machine_that_does_not_end_is_killed(tmp_path, monkeypatch, capsys):
    machine_that_says(monkeypatch, "exec sleep 1000")
    assert lab_machine.run_tests(IMAGE, tmp_path, tmp_path / "log", limit=0.2) == "late"
    assert "not finished within 0.2 s" in capsys.readouterr().err


def test_a_machine_that_stands_still_is_killed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lab_machine, "_SILENCE", 1.0)
    machine_that_says(monkeypatch, "for i in 1 2 3 4 5; do echo $i; sleep 0.4; done; exec sleep 1000")
    assert lab_machine.run_tests(IMAGE, tmp_path, tmp_path / "log", limit=100) == "silent"
    assert (tmp_path / "log").read_text() == "1\n2\n3\n4\n5\n", "as long as it says something, it runs"
    assert "has said nothing for 1 s" in capsys.readouterr().err


@pytest.mark.parametrize(("endings", "passes"), [(["silent", "by itself"], True), (["silent", "silent"], False)])
def test_one_that_stood_still_is_started_once_more(tmp_path, monkeypatch, endings, passes):
    monkeypatch.setattr(lab, "RESULTS", tmp_path)
    status = {"finished": True, "steps": [{"name": "one", "seconds": 1, "outcome": "passed"}]}
    (tmp_path / "status.json").write_text(json.dumps(status))
    monkeypatch.setattr(lab, "ensure_lab_image", lambda _: IMAGE)
    limits = []

    def machine(_image, _steps, limit):
        limits.append(limit)
        return endings.pop(0)

    monkeypatch.setattr(lab, "_tests", machine)
    monkeypatch.setattr("sys.argv", ["lab.py", "--limit", "100"])
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert (lab.main() == 0) == passes
    assert endings == []
    assert limits[0] == 100 > limits[1]


@pytest.mark.parametrize(
    ("ended", "status", "expected"),
    [
        (True, {"finished": True, "steps": [{"name": "one", "seconds": 1, "outcome": "passed"}]}, 0),
        (True, {"finished": True, "steps": [{"name": "one", "seconds": 1, "outcome": "failed: exit status 1"}]}, 1),
        (True, {"finished": False, "steps": [{"name": "one", "seconds": 1, "outcome": "passed"}]}, 1),
        (False, {"finished": True, "steps": [{"name": "one", "seconds": 1, "outcome": "passed"}]}, 1),
        (True, {"finished": True, "steps": []}, 1),
        (True, None, 1),
    ],
)
def test_nothing_but_a_whole_run_that_passed_passes(tmp_path, monkeypatch, ended, status, expected):
    monkeypatch.setattr(lab, "RESULTS", tmp_path)
    if status is not None:
        (tmp_path / "status.json").write_text(json.dumps(status))
    assert lab._summary(ended, 0, 700) == expected


@pytest.mark.parametrize("told", [None, {"finished": True, "steps": []}])
def test_how_long_all_took_is_told_and_kept(tmp_path, monkeypatch, capsys, told):
    monkeypatch.setattr(lab, "RESULTS", tmp_path)
    if told is not None:
        (tmp_path / "status.json").write_text(json.dumps(told))
    lab._summary(told is not None, 130.04, 712.34)
    kept = json.loads((tmp_path / "status.json").read_text())
    assert (kept["image_seconds"], kept["wall_seconds"]) == (130.0, 712.3)
    assert (kept["ended"], kept["finished"]) == (told is not None,) * 2
    assert "lab: took 712 s, 130 s of it for its image" in capsys.readouterr().out
