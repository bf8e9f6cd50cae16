"""The script that runs HPC Challenge as far as is wanted, with a program in its place that writes what it did once."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from workloads.loader import load_workload

CAPTURED = Path(__file__).parent / "captured"
SECTIONS = {"linpack": "HPL", "stream": "StarSTREAM", "randomaccess": "StarRandomAccess", "fft": "StarFFT"}
WHOLE = (CAPTURED / "linpack/done.out").read_text()
"""All that hpcc wrote in one run, and the line of figures after it."""


def directory_of_scripts() -> Path:
    return Path(load_workload("linpack").files[0].source).parent


def figures(section: str, output: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    values = (f"section={section}", f"processes={processes}")
    command = ["awk", "-v", values[0], "-v", values[1], "-f", directory_of_scripts() / "figures.awk"]
    return subprocess.run(command, input=output, capture_output=True, text=True, check=False)


@pytest.fixture
def mpirun(tmp_path: Path) -> Path:
    """A file for the body of a shell script that is run as mpirun; hpcc's captured output lies beside it."""
    (tmp_path / "hpccoutf").write_text(WHOLE)
    program = tmp_path / "mpirun"
    program.touch(mode=0o755)
    return program


def run(mpirun: Path, section: str, *, n: str = "500", memory: int = 2**29) -> subprocess.CompletedProcess[str]:
    arguments = [section, n, "128", "0.5", str(memory), "1", "1"]
    return subprocess.run(
        ["sh", directory_of_scripts() / "run.sh", *arguments],
        env={"PATH": f"{mpirun.parent}:/usr/bin:/bin", "TMPDIR": str(mpirun.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_wanted_section_is_the_last_that_runs(mpirun: Path) -> None:
    mpirun.write_text(f"#!/bin/sh\ncat {mpirun.parent}/hpccoutf >>hpccoutf.txt\nexec sleep 1000\n")
    before = time.monotonic()
    completed = run(mpirun, "StarSTREAM")
    assert time.monotonic() - before < 30
    assert completed.returncode == 0, completed.stderr
    *_, copy, scale, add, triad = completed.stdout.splitlines()
    assert [line.split(":")[0] for line in (copy, scale, add, triad)] == [
        f"StarSTREAM {name}" for name in ("Copy", "Scale", "Add", "Triad")
    ]
    assert "Begin of SingleSTREAM section." not in completed.stdout
    assert sorted(path.name for path in mpirun.parent.iterdir()) == ["hpccoutf", "mpirun"]


def test_hpcc_that_ends_too_soon_is_a_failure(mpirun: Path) -> None:
    mpirun.write_text(f"#!/bin/sh\nhead -n 100 {mpirun.parent}/hpccoutf >>hpccoutf.txt\nexit 1\n")
    completed = run(mpirun, "HPL")
    assert completed.returncode != 0
    assert "HPL: " not in completed.stdout
    assert "did not get as far as the end of HPL" in completed.stderr


def test_hpcc_that_cannot_be_run_is_a_failure(mpirun: Path) -> None:
    mpirun.unlink()
    (mpirun.parent / "mpirun").symlink_to("/nonexistent")
    completed = run(mpirun, "HPL")
    assert completed.returncode != 0
    assert "HPL: " not in completed.stdout


@pytest.mark.parametrize(("memory", "order"), [(2**29, 5792), (2**40, 45000)])
def test_a_problem_is_as_large_as_memory_allows(mpirun: Path, memory: int, order: int) -> None:
    mpirun.write_text(f"#!/bin/sh\ncp hpccinf.txt {mpirun.parent}/input\nexit 1\n")
    run(mpirun, "HPL", n="0", memory=memory)
    assert (mpirun.parent / "input").read_text().splitlines()[5] == str(order)


@pytest.mark.parametrize("workload", SECTIONS)
def test_the_figures_are_those_of_the_summary(workload: str) -> None:
    said = {name: float(value) for name, value in re.findall(r"^(\w+)=([0-9.e+-]+)$", WHOLE, re.MULTILINE)}
    expected = {
        "HPL": {"HPL": 1000 * said["HPL_Tflops"]},
        "StarSTREAM": {f"StarSTREAM {loop}": said[f"StarSTREAM_{loop}"] for loop in ("Copy", "Scale", "Add", "Triad")},
        "StarRandomAccess": {"StarRandomAccess": said["StarRandomAccess_GUPs"]},
        "StarFFT": {"StarFFT": said["StarFFT_Gflops"]},
    }[SECTIONS[workload]]
    found = dict(re.findall(r"^(.*): (\S+) \S+$", figures(SECTIONS[workload], WHOLE).stdout, re.MULTILINE))
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-4)


def test_what_all_processes_do_is_added() -> None:
    one, three = (float(figures("StarFFT", WHOLE, processes).stdout.split()[1]) for processes in (1, 3))
    assert three == pytest.approx(3 * one, rel=1e-5)


@pytest.mark.parametrize(
    ("section", "right", "wrong"),
    [
        ("HPL", "...... PASSED", "...... FAILED"),
        ("HPL", "Success=1", "Success=0"),
        ("StarSTREAM", "Node(s) with error 0", "Node(s) with error 1"),
        ("StarRandomAccess", "Node(s) with error 0", "Node(s) with error 1"),
        ("StarFFT", "Node(s) with error 0", "Node(s) with error 1"),
    ],
)
def test_results_that_hpcc_found_wrong_give_no_figures(section: str, right: str, wrong: str) -> None:
    assert right in WHOLE
    completed = figures(section, WHOLE.replace(right, wrong))
    assert (completed.returncode, completed.stdout) == (1, "")
    assert "with a right result" in completed.stderr


@pytest.mark.parametrize("workload", SECTIONS)
def test_without_memory_for_its_problem_there_are_no_figures(workload: str) -> None:
    completed = figures(SECTIONS[workload], (CAPTURED / workload / "refused.out").read_text())
    assert (completed.returncode, completed.stdout) == (1, "")
