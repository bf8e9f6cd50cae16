"""Whether OCI runtimes run on this host."""

from __future__ import annotations

import pytest
from traces import new_run_name

from runtimes.base import UnavailableError
from runtimes.cgroup import describe_version, possible_directories
from runtimes.engine import oci_program
from runtimes.engine.oci_program import require_oci_program
from runtimes.engine.programs import find_program
from runtimes.leftovers import PREFIX, run_parents


@pytest.mark.host
class TestPrograms:
    def test_runc_runs_and_nothing_is_left(self, monkeypatch, tmp_path):
        # By a path of its own: what was found out is kept.
        program = tmp_path / "runc"
        program.symlink_to(find_program("runc", "runc"))
        run = new_run_name()
        monkeypatch.setattr(oci_program.secrets, "token_hex", lambda _: run.removeprefix(PREFIX))
        assert require_oci_program(str(program)).version.startswith("runc version ")
        places = [*possible_directories(run), run_parents()[0] / run]
        assert not [path for path in places if path.exists()]

    def test_a_trial_is_made_once(self, monkeypatch):
        require_oci_program("runc")
        monkeypatch.setattr(oci_program, "held_directory", None)
        require_oci_program("runc")

    def test_crun_runs_or_says_why_not(self):
        if describe_version() == "hybrid":
            with pytest.raises(UnavailableError, match=r"crun does not run containers on this host: .*hybrid mode"):
                require_oci_program("crun")
        else:
            assert require_oci_program("crun").version.startswith("crun version ")

    def test_a_program_that_is_none_is_told_with_its_words(self, tmp_path):
        program = tmp_path / "fake-runtime"
        program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "fake 1" && exit\necho "no, thanks" >&2; exit 1\n')
        program.chmod(0o755)
        with pytest.raises(UnavailableError, match="fake-runtime does not run containers on this host: no, thanks"):
            require_oci_program(str(program))

    def test_one_that_no_package_has_is_only_said_to_be_missing(self):
        with pytest.raises(UnavailableError, match=r"^youki is not installed$"):
            require_oci_program("youki")
