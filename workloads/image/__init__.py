"""The image that every arm runs: a content-addressed root file system with the agent, a guest kernel and an initramfs.

    image = ensure_image({"fio", "sysbench"}, programs, progress=print)
    with hold_image(image.id):
        ...  # nobody prunes it

A *recipe* (packages, Debian release, our programs, scripts, files of workloads) is hashed to the id under which the
image is kept in the cache, ``$BENCH_CACHE`` or ``~/.cache/bench``. What was built once is found again at once, without
network. In place of packages, the root file system may be imported from an *origin*, whose digest then stands in the
recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from workloads.files import CarriedFile
from workloads.image.build import build_image
from workloads.image.cache import ImageCache, cache_directory
from workloads.image.errors import ImageError
from workloads.image.flavours import check_kernel, ensure_kernel
from workloads.image.imported import build_imported, contents_of, identify, require_needs
from workloads.image.manifest import BuiltImage, BuiltKernel, Manifest, Part, check_digests
from workloads.image.recipe import Programs, Recipe, make_import_recipe, make_recipe
from workloads.origin import Imported, Need, Origin, Source

__all__ = [
    "BuiltImage",
    "BuiltKernel",
    "ImageError",
    "Imported",
    "Manifest",
    "Need",
    "Origin",
    "Part",
    "Programs",
    "Source",
    "check_kernel",
    "ensure_image",
    "hold_image",
    "hold_kernels",
    "identify",
    "image_id",
    "import_image",
    "list_images",
    "list_kernels",
    "make_kernel",
    "prune_images",
    "prune_kernels",
    "show_image",
]


def ensure_image(
    packages: Iterable[str],
    programs: Programs,
    progress: Callable[[str], None],
    files: Mapping[str, CarriedFile] | None = None,
    kernels: Iterable[str] = (),
) -> BuiltImage:
    """The image with these packages, files, kernels and programs, built if the cache has none.

    Args:
        packages: names of Debian packages that the suite's workloads need.
        programs: our own programs that go in.
        progress: called with what a build does now.
        files: what the suite's workloads bring along, by ``WORKLOAD/NAME``: their paths below
            :data:`workloads.files.FILES_PATH`.
        kernels: what guests boot besides the image's own kernel: ``generic``, ``host``, or paths of kernel files.

    Raises:
        InvalidInput: a package does not exist.
        ImageError: the image or a kernel could not be built; nothing of it is left.
    """
    cache = ImageCache(cache_directory())
    carried = files or {}

    def build(recipe: Recipe, directory: Path) -> Manifest:
        return build_image(recipe, programs, carried, directory, cache.packages, progress)

    made = {name: ensure_kernel(name, programs, cache, progress) for name in kernels}
    return replace(cache.ensure(make_recipe(packages, programs, carried), build, progress), kernels=made)


def import_image(
    source: Source,
    programs: Programs,
    progress: Callable[[str], None],
    files: Mapping[str, CarriedFile] | None = None,
    kernels: Iterable[str] = (),
) -> BuiltImage:
    """The image with the root file system of an origin, built if the cache has none of the same content.

    Args:
        source: the origin as :func:`identify` found it, and what is to be run in the image.
        programs: our own programs that go in.
        progress: called with what a build does now.
        files: as for :func:`ensure_image`.
        kernels: likewise.

    Raises:
        InvalidInput: the origin is damaged, or for another architecture, or lacks what is to be run.
        ImageError: the image or a kernel could not be built; nothing of it is left.
    """
    cache = ImageCache(cache_directory())
    carried = files or {}

    def build(recipe: Recipe, directory: Path) -> Manifest:
        return build_imported(recipe, source, programs, carried, directory, cache.packages, progress)

    image = cache.ensure(make_import_recipe(source.text, programs, carried), build, progress)
    require_needs(source, contents_of(image))
    made = {name: ensure_kernel(name, programs, cache, progress) for name in kernels}
    return replace(image, kernels=made)


def image_id(
    packages: Iterable[str],
    programs: Programs,
    files: Mapping[str, CarriedFile] | None = None,
    source: Source | None = None,
) -> str:
    """The id of the image with these packages, or of this source, and with these files and programs, built or not."""
    if source is not None:
        return make_import_recipe(source.text, programs, files or {}).id
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


def make_kernel(name: str, programs: Programs, progress: Callable[[str], None]) -> BuiltKernel:
    """A kernel that is not part of an image, made ready if the cache does not have it.

    Raises:
        ImageError: there is none of this name, or it could not be made ready.
    """
    return ensure_kernel(name, programs, ImageCache(cache_directory()), progress)


def list_kernels() -> list[BuiltKernel]:
    """The kernels in the cache that are not part of an image, the newest first."""
    return sorted(ImageCache(cache_directory()).kernels.all(), key=lambda kernel: kernel.manifest.built, reverse=True)


def prune_kernels(keep: Collection[str] = ()) -> list[str]:
    """Remove the kernels that nobody holds and ``keep`` does not name; return the ids removed."""
    return ImageCache(cache_directory()).kernels.prune(keep)


@contextmanager
def hold_kernels(kernels: Iterable[BuiltKernel]) -> Iterator[None]:
    """Keep kernels from being pruned for as long as the context lasts.

    Raises:
        ImageError: on entering, if one is no longer there.
    """
    with ExitStack() as stack:
        for kernel in kernels:
            stack.enter_context(ImageCache(cache_directory()).kernels.hold(kernel.id))
        yield
