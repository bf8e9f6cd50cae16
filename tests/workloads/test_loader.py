"""Catalogues: the shipped workloads, and directories of a user's own beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workloads.errors import InvalidInput
from workloads.loader import CATALOGUE, load_workload, open_catalogue, workload_names


def write(directory: Path, name: str, *, called: str | None = None, tags: str = "[own, cpu]") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.yaml"
    path.write_text(
        f"name: {called or name}\ndescription: A workload.\ntags: {tags}\nrun: [tool]\nparser: regex\n"
        "metrics: {rate: {unit: 1/s, better: higher, primary: true, pattern: '([0-9]+)'}}\n"
    )
    return path


def refusal(*directories: Path) -> str:
    with pytest.raises(InvalidInput) as error:
        open_catalogue(directories).workloads()
    return str(error.value)


def test_a_directory_of_ones_own_is_found_like_the_shipped_workloads(tmp_path: Path) -> None:
    write(tmp_path, "mine")
    catalogue = open_catalogue([tmp_path])
    assert set(catalogue.files) == {*workload_names(), "mine"}
    assert catalogue.load("mine").name == "mine"
    assert catalogue.load("fio") == load_workload("fio")
    assert list(catalogue.workloads()) == sorted(catalogue.files)
    with pytest.raises(InvalidInput, match=r"^unknown workload 'mien'; expected one of .*; did you mean 'mine'\?$"):
        catalogue.load("mien")


def test_tags_go_through_all_directories(tmp_path: Path) -> None:
    write(tmp_path / "one", "a")
    write(tmp_path / "two", "zz", tags="[cpu]")
    catalogue = open_catalogue([tmp_path / "one", tmp_path / "two"])
    found = list(catalogue.tagged("cpu"))
    assert found == sorted(found)
    assert {"a", "zz", "sysbench-cpu"} <= set(found)
    assert "fio" not in found
    assert list(catalogue.tagged("own")) == ["a"]
    with pytest.raises(InvalidInput, match=r"^unknown tag 'dsik'; expected one of .*own.*; did you mean 'disk'\?$"):
        catalogue.tagged("dsik")


def test_a_name_that_two_have_is_told_with_both_files(tmp_path: Path) -> None:
    own = write(tmp_path, "fio")
    assert refusal(tmp_path) == (
        f"two workloads are named 'fio': {CATALOGUE / 'fio.yaml'} and {own}; give one of them another name"
    )
    first, second = write(tmp_path / "one", "a"), write(tmp_path / "two", "a")
    assert f"'a': {first} and {second}" in refusal(tmp_path / "one", tmp_path / "two")


def test_the_same_directory_twice_is_once(tmp_path: Path) -> None:
    write(tmp_path, "mine")
    assert "mine" in open_catalogue([tmp_path, tmp_path / ".." / tmp_path.name]).files
    assert set(open_catalogue([CATALOGUE]).files) == set(workload_names())


def test_a_file_is_called_like_its_workload(tmp_path: Path) -> None:
    path = write(tmp_path, "mine", called="other")
    assert refusal(tmp_path) == (
        f"{path}:1:7: name: 'other': expected 'mine', as the file is called, by which it is found"
    )
    assert load_workload(str(path)).name == "other"


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert refusal(missing) == f"{missing}: cannot be read as a directory of workloads: No such file or directory"
    assert "Not a directory" in refusal(write(tmp_path, "mine"))


def test_a_wrong_file_is_told_when_it_is_needed(tmp_path: Path) -> None:
    path = write(tmp_path, "mine")
    path.write_text(path.read_text().replace("parser: regex", "parser: regexp"))
    catalogue = open_catalogue([tmp_path])
    assert catalogue.load("fio").name == "fio"
    with pytest.raises(InvalidInput, match=rf"^{re.escape(str(path))}:5:9: parser: 'regexp'"):
        catalogue.tagged("cpu")


def test_a_lasting_reference_holds_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "own", "mine")
    monkeypatch.chdir(tmp_path)
    catalogue = open_catalogue([Path("own")])
    assert catalogue.lasting_reference("fio") == "fio"
    for reference, relative_to in (("mine", Path()), ("mine.yaml", Path("own")), ("own/mine.yaml", Path())):
        assert catalogue.lasting_reference(reference, relative_to) == str(tmp_path / "own" / "mine.yaml")
