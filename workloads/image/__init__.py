"""The image that every arm runs: a content-addressed root file system with the agent, a guest kernel and an initramfs.

    image = ensure_image({"fio", "sysbench"}, programs, progress=print)
    with hold_image(image.id):
        ...  # nobody prunes it

A *recipe* (packages, Debian release, our programs, scripts, files of workloads) is hashed to the id under which the
image is kept in the cache, ``$BENCH_CACHE`` or ``~/.cache/bench``. What was built once is found again at once, without
network.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from workloads.files import CarriedFile
from workloads.image.build import build_image
from workloads.image.cache import ImageCache, cache_directory
from workloads.image.errors import ImageError
from workloads.image.manifest import BuiltImage, Manifest, Part, check_digests
from workloads.image.recipe import Programs, Recipe, make_recipe

__all__ = [
    "BuiltImage",
    "ImageError",
    "Manifest",
    "Part",
    "Programs",
    "ensure_image",
    "hold_image",
    "image_id",
    "list_images",
    "prune_images",
    "show_image",
]


def ensure_image(
    packages: Iterable[str],
    programs: Programs,
    progress: Callable[[str], None],
    files: Mapping[str, CarriedFile] | None = None,
) -> BuiltImage:
    """The image with these packages, files and programs, built if the cache has none.

    Args:
        packages: names of Debian packages that the suite's workloads need.
        programs: our own programs that go in.
        progress: called with what a build does now.
        files: what the suite's workloads bring along, by ``WORKLOAD/NAME``: their paths below
            :data:`workloads.files.FILES_PATH`.

    Raises:
        InvalidInput: a package does not exist.
        ImageError: the image could not be built; nothing of it is left.
    """
    cache = ImageCache(cache_directory())
    carried = files or {}

    def build(recipe: Recipe, directory: Path) -> Manifest:
        return build_image(recipe, programs, carried, directory, cache.packages, progress)

    return cache.ensure(make_recipe(packages, programs, carried), build, progress)


def image_id(packages: Iterable[str], programs: Programs, files: Mapping[str, CarriedFile] | None = None) -> str:
    """The id of the image with these packages, files and programs, whether it is built or not."""
    return make_recipe(packages, programs, files or {}).id


def list_images() -> list[BuiltImage]:
    """All images in the cache, the newest first."""
    return ImageCache(cache_directory()).images()


def show_image(text: str) -> BuiltImage:
    """The image with this id or unique start of one, after all its bytes were compared with what is recorded.

    Raises:
        InvalidInput: there is no such image, or more than one.
        ImageError: it is damaged.
    """
    image = ImageCache(cache_directory()).find(text)
    check_digests(image)
    return image


def prune_images(keep: Collection[str] = ()) -> list[str]:
    """Remove what builds left and the images that nobody holds and ``keep`` does not name; return the ids removed."""
    return ImageCache(cache_directory()).prune(keep)


def hold_image(image_id: str) -> AbstractContextManager[BuiltImage]:
    """Keep an image from being pruned for as long as the context lasts.

    Raises:
        ImageError: on entering, if it is no longer there.
    """
    return ImageCache(cache_directory()).hold(image_id)
