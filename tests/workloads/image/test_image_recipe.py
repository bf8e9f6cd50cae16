"""The recipe of an image and the id that follows from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.errors import InvalidInput
from workloads.image import ImageError
from workloads.image.recipe import (
    AGENT_UNIT,
    BASE_PACKAGES,
    Programs,
    Recipe,
    debian_release,
    make_import_recipe,
    make_recipe,
)

PROGRAMS = Programs(agent=Path("agent"), agent_digest="a", init=Path("init"), init_digest="i")
NAMES = st.lists(st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,20}", fullmatch=True), max_size=8)


@pytest.fixture(autouse=True)
def _debian(monkeypatch):
    monkeypatch.setattr("workloads.image.recipe.debian_release", lambda: "bookworm")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def recipe(**changes) -> Recipe:
    return replace(Recipe("bookworm", ("fio", "sysbench"), agent="a", init="i", scripts="s"), **changes)


@given(NAMES, st.randoms())
def test_order_and_repetition_of_packages_do_not_matter(names, random):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workloads.image.recipe.debian_release", lambda: "bookworm")
        shuffled = names * 2
        random.shuffle(shuffled)
        assert make_recipe(names, PROGRAMS, {}).id == make_recipe(shuffled, PROGRAMS, {}).id


@given(
    st.sets(st.tuples(NAMES.map(lambda names: tuple(sorted(set(names)))), st.text(), st.text()), min_size=2, max_size=8)
)
def test_different_recipes_have_different_ids(contents):
    recipes = [recipe(packages=packages, agent=agent, scripts=scripts) for packages, agent, scripts in contents]
    assert len({each.id for each in recipes}) == len(recipes)


@pytest.mark.parametrize(
    "change",
    [
        {"release": "trixie"},
        {"packages": ("fio",)},
        {"agent": "b"},
        {"init": "j"},
        {"scripts": "t"},
        {"kernel": "linux-image-amd64"},
        {"modules": ("virtio_pci",)},
        {"builder": 99},
        {"files": (("w/probe.py", "0" * 64, False),)},
    ],
)
def test_every_part_of_a_recipe_counts(change):
    assert recipe(**change).id != recipe().id


def test_an_id_does_not_change_between_versions_of_this_program():
    assert recipe(kernel="k", modules=("m",), builder=1).id == "9f18c1b7692a05f5"


def test_the_agents_unit_counts_in_built_and_imported_images(tmp_path, monkeypatch):
    def ids():
        return {make_recipe([], PROGRAMS, {}).id, make_import_recipe("tar sha256:1", PROGRAMS, {}).id}

    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    (tmp_path / "rootfs.sh").write_text("true\n")
    (tmp_path / AGENT_UNIT).write_text("[Unit]\n")
    before = ids()
    (tmp_path / AGENT_UNIT).write_text("[Service]\n")
    assert not before & ids()


def test_base_packages_are_always_in():
    assert set(BASE_PACKAGES) <= set(make_recipe([], PROGRAMS, {}).packages)


@pytest.mark.parametrize("name", ["--purge", "Fio", "a", "fio=1.0", "fio/sid", "fio, sysbench", "?essential", ""])
def test_what_is_not_a_package_name_is_refused(name):
    with pytest.raises(InvalidInput, match="not the name of a Debian package"):
        make_recipe([name], PROGRAMS, {})


def test_other_architectures_are_refused_by_name(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(ImageError, match="aarch64"):
        make_recipe([], PROGRAMS, {})


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("ID=debian\nVERSION_CODENAME=bookworm\n", "bookworm"),
        ('PRETTY_NAME="Debian GNU/Linux trixie/sid"\nID="debian"\nVERSION_CODENAME="trixie"\n', "trixie"),
    ],
)
def test_the_release_is_the_hosts(tmp_path, text, release):
    (tmp_path / "os-release").write_text(text)
    assert debian_release(tmp_path / "os-release") == release


def test_another_distribution_is_named(tmp_path):
    (tmp_path / "os-release").write_text('ID=ubuntu\nVERSION_CODENAME=noble\nPRETTY_NAME="Ubuntu 24.04"\n')
    with pytest.raises(ImageError, match=r"on a Debian host.*this host is Ubuntu 24\.04: run bench on Debian 12"):
        debian_release(tmp_path / "os-release")
    with pytest.raises(ImageError, match=r"this host is of an unknown distribution .*: run bench on Debian 12"):
        debian_release(tmp_path / "missing")
