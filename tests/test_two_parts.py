"""Both parts of the tests are run, each test is in one of them, and neither's failure is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import two_parts

TESTS = """
import pytest

def test_pure():
    assert True

@pytest.mark.host
def test_real():
    assert {outcome}

@pytest.mark.guest
def test_guest(worker_id):
    assert worker_id == "master"
"""


@pytest.fixture
def project(tmp_path):
    """Tests of both parts, with what makes parts of these."""
    (tmp_path / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  host:\n  guest:\n  lab:\n")
    return tmp_path


def run(project, *arguments, outcome=True):
    (project / "test_it.py").write_text(TESTS.format(outcome=outcome))
    command = [sys.executable, two_parts.__file__, "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_every_test_is_in_one_part(project):
    finished = run(project)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "1 passed" in finished.stdout
    assert "2 passed, 1 deselected" in finished.stdout
    assert "tests: pure: passed; real: passed; " in finished.stdout


def test_arguments_hold_for_both_and_a_part_without_tests_is_no_failure(project):
    finished = run(project, "-k", "test_real", outcome=False)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "tests: pure: no such tests; real: FAILED (1); " in finished.stdout


@pytest.mark.parametrize(
    ("pure", "real", "status"),
    [(0, 0, 0), (1, 0, 1), (0, 1, 1), (0, 5, 0), (5, 0, 0), (5, 5, 5), (5, 1, 1), (2, 1, 2), (-9, 0, -9)],
)
def test_neither_failure_is_lost(pure, real, status):
    assert two_parts.told({"pure": pure, "real": real})[1] == status
