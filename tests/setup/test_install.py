"""What set-up says and does on machines that are not as it would like them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TOOLS = ("bash", "dirname", "awk", "sed", "cat", "grep", "sha256sum", "id", "mktemp", "rm", "pkg-config", "env")


@pytest.fixture
def path(tmp_path):
    """A PATH with the usual tools alone: no package manager, no sudo."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (directory / tool).symlink_to(found)
    return directory


@pytest.fixture
def project(tmp_path):
    """A copy of what set-up reads, whose virtual environment is there and up to date already."""
    copy = tmp_path / "project"
    shutil.copytree(PROJECT / "setup", copy / "setup")
    shutil.copy(PROJECT / "pyproject.toml", copy)
    binaries = copy / ".venv/bin"
    binaries.mkdir(parents=True)
    for name in ("bench", "python"):
        write_program(binaries / name, 'echo "unexpected: $0 $*" >&2; exit 9')
    return copy


def write_program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def mark_installed(project, path):
    """Record the state that set-up would record after installing."""
    script = (project / "setup/install.sh").read_text().partition("\ninstall_debian_packages\n")[0]
    probe = project / "setup/probe.sh"
    probe.write_text(f"{script}\npython_state\n")
    state = subprocess.run(
        ["bash", probe, "bench"], env={"PATH": str(path)}, cwd=project, capture_output=True, text=True, check=True
    )
    (project / ".venv/.installed-bench").write_text(state.stdout)


def install(project, path, group="bench"):
    return subprocess.run(
        ["bash", project / "setup/install.sh", group],
        env={"PATH": str(path), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def packages():
    lines = (PROJECT / "setup/debian-packages.txt").read_text().splitlines()
    return {line.split()[1] for line in lines if line.startswith("bench ")}


def pretend_debian(path, *, installed):
    write_program(path / "dpkg-query", "echo installed" if installed else "exit 1")
    write_program(path / "apt-get", 'echo "unexpected: apt-get $*" >&2; exit 9')


def test_without_debian_it_lists_what_to_install_and_goes_on_with_python(project, path):
    mark_installed(project, path)
    finished = install(project, path)
    assert finished.returncode == 0, finished.stderr
    assert "not Debian" in finished.stderr
    assert packages() <= set(finished.stderr.replace("setup:", "").split())


def test_without_root_and_sudo_it_says_which_packages_to_ask_for(project, path):
    pretend_debian(path, installed=False)
    (path / "id").unlink()
    write_program(path / "id", "echo 1000")
    finished = install(project, path)
    assert finished.returncode == 1
    assert "apt-get install --no-install-recommends" in finished.stderr
    assert packages() <= set(finished.stderr.split())
    assert "unexpected" not in finished.stderr


def test_with_sudo_it_installs_exactly_what_is_missing(project, path):
    mark_installed(project, path)
    write_program(path / "dpkg-query", 'case "$*" in *lz4*) exit 1;; esac; echo installed')
    write_program(path / "apt-get", 'echo "called: apt-get $*" >&2')
    write_program(path / "sudo", 'exec "$@"')
    (path / "id").unlink()
    write_program(path / "id", "echo 1000")
    finished = install(project, path)
    assert finished.returncode == 0, finished.stderr
    called = [line for line in finished.stderr.splitlines() if line.startswith("called: apt-get") and "install" in line]
    assert len(called) == 1
    assert called[0].endswith("--no-install-recommends lz4")


def test_the_tools_for_benchmarks_are_installed_for_benchmarks_alone(project, path):
    mark_installed(project, path)
    write_program(path / "dpkg-query", 'case "$*" in *runc|*crun) exit 1;; esac; echo installed')
    write_program(path / "apt-get", 'echo "called: apt-get $*" >&2')
    (path / "id").unlink()
    write_program(path / "id", "echo 0")
    assert install(project, path).stderr == ""
    assert [
        line for line in install(project, path, "benchmark").stderr.splitlines() if line.endswith(" runc crun")
    ] == [
        "setup: installing Debian packages: runc crun",
        "called: apt-get -qq install --yes --no-install-recommends runc crun",
    ]


def test_where_all_is_there_it_installs_nothing(project, path):
    pretend_debian(path, installed=True)
    mark_installed(project, path)
    finished = install(project, path)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_changed_requirements_are_installed_again(project, path):
    pretend_debian(path, installed=True)
    mark_installed(project, path)
    with (project / "setup/requirements.txt").open("a") as requirements:
        requirements.write("another==1.0\n")
    finished = install(project, path)
    assert finished.returncode == 9
    assert "unexpected" in finished.stderr
    assert "pip install" in finished.stderr
