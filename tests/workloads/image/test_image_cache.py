"""The cache of built images: finding, building once, interrupted builds, holding and pruning. The builder is a fake."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from waiting import eventually

from workloads.errors import InvalidInput
from workloads.image import ImageError, hold_image, list_images, prune_images, show_image
from workloads.image.cache import ImageCache, cache_directory
from workloads.image.manifest import MANIFEST, PARTS, Manifest, describe_parts
from workloads.image.recipe import Recipe

SPAWN = multiprocessing.get_context("spawn")
PATIENCE = 20.0


def recipe(*packages: str) -> Recipe:
    return Recipe("bookworm", packages, agent="a", init="i", scripts="s")


def build(made: Recipe, directory: Path, day: int = 1) -> Manifest:
    """A builder that makes three small files."""
    for part, file in PARTS.items():
        (directory / file).write_text(f"{part} {made.id}")
    (directory / "work").mkdir()
    (directory / "work").rmdir()
    return Manifest(
        made.id,
        made.fields(),
        f"2026-01-0{day}T00:00:00+00:00",
        describe_parts(directory),
        {"fio": "3"},
        {"linux": "6"},
    )


def never(made: Recipe, directory: Path) -> Manifest:
    raise AssertionError(f"{made.id} is built again in {directory}")


def silent(message: str) -> None:
    pass


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def cache(directory):
    return ImageCache(directory)


def entries(directory: Path) -> set[str]:
    return {path.name for path in (directory / "images").iterdir()}


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.setenv("BENCH_CACHE", "")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_directory() == Path("/home/somebody/.cache/bench")


def test_an_image_is_built_once_and_then_found(cache, directory):
    built = cache.ensure(recipe("fio"), build, silent)
    assert built.id == recipe("fio").id
    assert built.rootfs == directory / "images" / built.id / "rootfs.ext4"
    assert built.rootfs.read_text() == f"userland {built.id}"
    assert built.kernel.exists()
    assert built.initramfs.exists()
    assert built.size == sum(
        path.stat().st_size for path in (built.rootfs, built.bzimage, built.kernel, built.initramfs)
    )
    assert cache.ensure(recipe("fio"), never, silent) == built
    assert entries(directory) == {built.id}


def test_the_manifest_is_json_with_digests_and_versions(cache):
    image = cache.ensure(recipe("fio"), build, silent)
    recorded = json.loads((image.rootfs.parent / MANIFEST).read_text())
    assert recorded["packages"] == {"fio": "3"}
    assert recorded["recipe"]["packages"] == ["fio"]
    assert set(recorded["parts"]) == {"userland", "bzimage", "kernel", "initramfs"}
    assert len(recorded["parts"]["kernel"]["sha256"]) == 64


def test_a_failed_build_leaves_nothing(cache, directory):
    def fail(made: Recipe, where: Path) -> Manifest:
        (where / "rootfs.ext4").write_text("half")
        raise ImageError("no")

    with pytest.raises(ImageError, match="no"):
        cache.ensure(recipe("fio"), fail, silent)
    assert entries(directory) == set()
    cache.ensure(recipe("fio"), build, silent)


@pytest.mark.parametrize(
    ("failure", "kind", "said"),
    [
        (
            ImageError("no package server"),
            ImageError,
            r"(?s)^no package server\n.*could not be removed.*: rm is missing",
        ),
        (InvalidInput("no such package"), InvalidInput, r"^no such package\b"),
    ],
)
def test_a_failed_build_that_cannot_be_cleared_away_still_says_why_it_failed(cache, monkeypatch, failure, kind, said):
    def fail(made: Recipe, where: Path) -> Manifest:
        raise failure

    def cannot(path: Path) -> None:
        raise ImageError("rm is missing")

    monkeypatch.setattr("workloads.image.store.remove_tree", cannot)
    with pytest.raises(kind, match=said) as caught:
        cache.ensure(recipe("fio"), fail, silent)
    assert failure in {caught.value, caught.value.__cause__}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_plainly_and_leaves_nothing(cache, directory, number):
    def fill(made: Recipe, where: Path) -> Manifest:
        (where / "kernel").write_text("half")
        raise OSError(number, os.strerror(number))

    with pytest.raises(ImageError, match=r"the disk is full.*BENCH_CACHE"):
        cache.ensure(recipe("fio"), fill, silent)
    assert entries(directory) == set()


def test_a_cache_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match=r"cannot be written.*BENCH_CACHE"):
        ImageCache(tmp_path / "file" / "cache").ensure(recipe("fio"), build, silent)


@pytest.mark.parametrize(
    "damage", ["truncate", "no manifest", "bad manifest", "missing part", "missing file", "other id"]
)
def test_an_image_that_is_not_whole_is_built_again(cache, damage):
    image = cache.ensure(recipe("fio"), build, silent)
    manifest = image.rootfs.parent / MANIFEST
    match damage:
        case "truncate":
            image.rootfs.write_text("short")
        case "no manifest":
            manifest.unlink()
        case "bad manifest":
            manifest.write_text("{")
        case "missing part":
            manifest.write_text(manifest.read_text().replace('"initramfs"', '"init"'))
        case "missing file":
            image.kernel.unlink()
        case _:
            manifest.write_text(manifest.read_text().replace(image.id, "0" * 16))
    assert cache.images() == []
    assert cache.ensure(recipe("fio"), build, silent).rootfs.read_text() == f"userland {image.id}"


def test_show_finds_by_prefix_and_reads_all_bytes(cache):
    image = cache.ensure(recipe("fio"), build, silent)
    assert show_image(image.id[:5]) == image
    image.kernel.write_text("K" * image.kernel.stat().st_size)
    with pytest.raises(ImageError, match=r"damaged: kernel has sha256"):
        show_image(image.id)


def test_an_unknown_or_ambiguous_id_is_the_users_mistake(cache):
    with pytest.raises(InvalidInput, match="bench image build"):
        show_image("abc")
    names = [f"p{number}" for number in range(17)]  # of 17 ids two have the same first digit
    ids = [cache.ensure(recipe(name), build, silent).id for name in names]
    first = next(each[0] for each in ids if sum(other[0] == each[0] for other in ids) > 1)
    with pytest.raises(InvalidInput, match=r"the start of \d+ images"):
        show_image(first)
    with pytest.raises(InvalidInput, match=f"the nearest is {ids[0]}"):
        show_image(ids[0][:-1] + "x")
    with pytest.raises(InvalidInput, match="no image ''"):
        show_image("")


def test_images_are_listed_newest_first(cache):
    for day, name in enumerate(("a1", "b1", "c1"), start=1):
        cache.ensure(recipe(name), lambda made, where, day=day: build(made, where, day), silent)
    assert [image.manifest.recipe["packages"] for image in list_images()] == [["c1"], ["b1"], ["a1"]]


def test_an_empty_cache_lists_and_prunes_nothing(directory):
    assert list_images() == []
    assert prune_images() == []


def test_prune_removes_what_is_neither_kept_nor_held(cache, directory):
    kept, held, loose = (cache.ensure(recipe(name), build, silent) for name in ("kept", "held", "loose"))
    (directory / "packages" / "bookworm").mkdir(parents=True)
    (directory / "images" / f".building-{'0' * 16}-dead").mkdir()
    with hold_image(held.id) as image:
        assert image == held
        assert prune_images(keep={kept.id}) == [loose.id]
        assert entries(directory) == {kept.id, held.id}
        assert not (directory / "packages" / "bookworm").exists()
    assert set(prune_images()) == {kept.id, held.id}
    assert entries(directory) == set()


def test_an_image_can_be_held_by_many_but_not_when_it_is_gone(cache):
    image = cache.ensure(recipe("fio"), build, silent)
    with hold_image(image.id), hold_image(image.id):
        pass
    prune_images()
    with pytest.raises(ImageError, match="no longer"), hold_image(image.id):
        pass


def slow_build(directory: Path, name: str, until: str, results: multiprocessing.Queue) -> None:
    """In a process of its own: build until there is a file named ``until``, and tell what happened.

    Files named after ``name`` tell that it builds, or that it waits for another.
    """
    messages: list[str] = []

    def building(made: Recipe, where: Path) -> Manifest:
        (directory.parent / f"{name} builds").touch()
        (where / "rootfs.ext4").write_text("half-made")
        assert eventually((directory.parent / until).exists, PATIENCE)
        return build(made, where)

    def progress(message: str) -> None:
        messages.append(message)
        (directory.parent / f"{name} waits").touch()

    image = ImageCache(directory).ensure(recipe("fio"), building, progress)
    results.put((image.id, name, messages))


def test_of_two_builds_at_once_the_second_waits_and_finds_the_image(directory):
    results = SPAWN.Queue()
    first = SPAWN.Process(target=slow_build, args=(directory, "first", "second waits", results))
    second = SPAWN.Process(target=slow_build, args=(directory, "second", "second waits", results))
    first.start()
    assert eventually((directory.parent / "first builds").exists, PATIENCE)
    second.start()
    outcomes = {name: (image, messages) for image, name, messages in (results.get(timeout=PATIENCE) for _ in "12")}
    first.join(PATIENCE)
    second.join(PATIENCE)
    image = recipe("fio").id
    assert outcomes["first"] == (image, [])
    assert outcomes["second"] == (image, [f"waiting for another build of {image}"])
    assert not (directory.parent / "second builds").exists()
    assert entries(directory) == {image}


def test_prune_leaves_a_build_in_progress_alone(cache, directory):
    results = SPAWN.Queue()
    builder = SPAWN.Process(target=slow_build, args=(directory, "one", "pruned", results))
    builder.start()
    assert eventually((directory.parent / "one builds").exists, PATIENCE)
    assert prune_images() == []
    (directory.parent / "pruned").touch()
    assert results.get(timeout=PATIENCE)[0] == recipe("fio").id
    builder.join(PATIENCE)


@pytest.mark.parametrize("then", ["build", "prune"])
def test_a_killed_build_is_never_trusted_and_is_cleared_away(cache, directory, then):
    results = SPAWN.Queue()
    builder = SPAWN.Process(target=slow_build, args=(directory, "one", "never", results))
    builder.start()
    assert eventually((directory.parent / "one builds").exists, PATIENCE)
    assert builder.pid is not None
    os.kill(builder.pid, signal.SIGKILL)
    builder.join(PATIENCE)
    assert any(name.startswith(".building-") for name in entries(directory))
    assert list_images() == []
    if then == "build":
        image = cache.ensure(recipe("fio"), build, silent)
        assert image.rootfs.read_text() == f"userland {image.id}"
        assert entries(directory) == {image.id}
    else:
        assert prune_images() == []
        assert entries(directory) == set()
