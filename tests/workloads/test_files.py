"""The files that a workload brings along, as its YAML names them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from workloads.errors import InvalidInput
from workloads.files import MAX_FILE_BYTES
from workloads.loader import load_workload
from workloads.model import HOST_VALUES, Workload

TEXT = """\
name: mine
description: A workload.
files: [run.sh, lib/helper.py]
run: ["/bin/sh", "{files}/run.sh", "{host_boot_id}", "{host_namespaces}", "{host_pid}"]
parser: regex
metrics: {rate: {unit: 1/s, better: higher, primary: true, pattern: "([0-9]+)"}}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    (tmp_path / "run.sh").write_text("echo 1\n")
    (tmp_path / "run.sh").chmod(0o700)
    (tmp_path / "lib" / "helper.py").write_text("print(1)\n")
    return tmp_path


def load(directory: Path, old: str = "", new: str = "") -> Workload:
    assert old in TEXT
    (directory / "w.yaml").write_text(TEXT.replace(old, new, 1) if old else TEXT)
    return load_workload("./w.yaml", directory)


def refusal(directory: Path, old: str, new: str) -> str:
    with pytest.raises(InvalidInput) as error:
        load(directory, old, new)
    return str(error.value).replace(f"{directory}/", "")


def test_files_are_found_beside_the_workload(directory: Path) -> None:
    script, helper = load(directory).files
    assert (script.name, script.executable, script.size) == ("run.sh", True, 7)
    assert script.sha256 == hashlib.sha256(b"echo 1\n").hexdigest()
    assert (helper.name, helper.executable) == ("lib/helper.py", False)
    assert helper.source.read_text() == "print(1)\n"


def test_a_command_gets_the_directory_of_the_files_and_what_is_known_of_the_host(directory: Path) -> None:
    host = {name: f"the {name}" for name in HOST_VALUES}
    run = load(directory).commands({}, server_address=None, cpus=1, memory=1 << 28, host=host).run
    assert run == ("/bin/sh", "/usr/lib/bench/files/mine/run.sh", *host.values())
    shell = load(directory, '["/bin/sh", "{files}/run.sh", "{host_boot_id}", "{host_namespaces}", "{host_pid}"]',
                 "{shell: 'sh $files/run.sh'}")  # fmt: skip
    run = shell.commands({}, server_address=None, cpus=1, memory=1 << 28, host=host).run
    assert run is not None
    assert {"files=/usr/lib/bench/files/mine", "host_pid=the host_pid"} <= set(run)


@pytest.mark.parametrize("name", ["../w.yaml", "/etc/passwd", "lib/../run.sh", "./run.sh", "lib//helper.py", "a b", ""])
def test_a_path_that_leaves_the_directory_or_has_odd_characters_is_refused(directory: Path, name: str) -> None:
    said = refusal(directory, "run.sh,", f"'{name}',")
    assert said.startswith("w.yaml:3:9: files[0]: expected the path of a file beside this one")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("run.sh,", "run.hs,", "w.yaml:3:9: files[0]: run.hs: cannot be read: No such file or directory"),
        ("lib/helper.py", "lib", "w.yaml:3:17: files[1]: lib: expected a file; of a directory, name each file"),
        ("lib/helper.py", "run.sh", "w.yaml:3:17: files[1]: 'run.sh' stands in the list already"),
        ("run.sh,", "1,", "w.yaml:3:9: files[0]: expected the path of a file"),
        ("files: [run.sh, lib/helper.py]\n", "", "w.yaml:3:18: run[1]: {files}: expected one of cpus, host_boot_id"),
        ("files: [", "parameters: {files: {default: 1}}\nfiles: [", "w.yaml:3:14: parameters.files: 'files' is what"),
    ],
)  # fmt: skip
def test_a_wrong_list_of_files(directory: Path, old: str, new: str, said: str) -> None:
    assert refusal(directory, old, new).startswith(said)


def test_a_file_that_is_too_large_or_no_file_is_refused(directory: Path) -> None:
    with (directory / "run.sh").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert "files[0]: run.sh: 67108865 bytes; at most 64 MiB are possible" in refusal(
        directory, "name: mine", "name: m"
    )
    (directory / "run.sh").unlink()
    os.mkfifo(directory / "run.sh")
    assert "files[0]: run.sh: expected a file" in refusal(directory, "name: mine", "name: m")


def test_what_counts_of_a_file_is_its_content_and_not_its_place(directory: Path, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    other = tmp_path_factory.mktemp("other")
    (other / "lib").mkdir()
    for name in ("run.sh", "lib/helper.py"):
        (other / name).write_bytes((directory / name).read_bytes())
        (other / name).chmod((directory / name).stat().st_mode)
    one, same = load(directory), load(other)
    assert one == same
    assert one.model_dump(mode="json") == same.model_dump(mode="json")
    (other / "run.sh").chmod(0o600)
    assert load(other) != one
    (other / "run.sh").chmod(0o700)
    (other / "run.sh").write_text("echo 2\n")
    assert load(other).model_dump(mode="json") != one.model_dump(mode="json")
