"""Where built images are kept: one directory an image, named by the image's id.

An image is built in a directory of another name and renamed into place when it is whole and on the disk, the manifest
written last; so whatever stands under an id can be used. The file ``locks/<id>`` is locked by whoever deals with an id:
a build holds it alone, a run that uses the image shares it with others, and pruning takes it alone or lets the image
be.
"""

from __future__ import annotations

import difflib
import errno
import os
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workloads.errors import InvalidInput
from workloads.image.errors import ImageError
from workloads.image.locks import BusyError, locked
from workloads.image.manifest import MANIFEST, BuiltImage, Manifest, load_image
from workloads.image.recipe import Recipe
from workloads.image.tools import SPACE_NEEDED, remove_tree

_BUILDING = ".building-"

Builder = Callable[[Recipe, Path], Manifest]
"""Builds the files of a recipe in an empty directory."""


def cache_directory() -> Path:
    """``$BENCH_CACHE``, or ``~/.cache/bench``."""
    return Path(os.environ.get("BENCH_CACHE") or "~/.cache/bench").expanduser().absolute()


class ImageCache:
    """The images under one directory, which need not exist yet."""

    def __init__(self, directory: Path) -> None:
        self.packages = directory / "packages"
        self._images = directory / "images"
        self._locks = directory / "locks"

    def ensure(self, recipe: Recipe, build: Builder, progress: Callable[[str], None]) -> BuiltImage:
        """The image of a recipe, built if it is not there. One that is there is returned at once.

        Two that want the same image at the same time: the second waits for the first.

        Raises:
            ImageError: the build failed, or the cache cannot be written.
            InvalidInput: the recipe names something that does not exist.
        """
        if image := load_image(self._images / recipe.id):
            return image
        with (
            self._writing(),
            self._lock(recipe.id, waiting=lambda: progress(f"waiting for another build of {recipe.id}")),
        ):
            self._remove_leftovers(recipe.id)
            if image := load_image(self._images / recipe.id):
                return image
            return self._build(recipe, build)

    def images(self) -> list[BuiltImage]:
        """All whole images, the newest first."""
        found = (load_image(path) for path in self._images.glob("[!.]*"))
        return sorted((image for image in found if image), key=lambda image: image.manifest.built, reverse=True)

    def find(self, text: str) -> BuiltImage:
        """The image with this id, or whose id alone starts with this text.

        Raises:
            InvalidInput: there is none, or more than one.
        """
        images = self.images()
        matching = [image for image in images if text and image.id.startswith(text)]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise InvalidInput(f"{text!r} is the start of {len(matching)} images: {', '.join(i.id for i in matching)}")
        nearest = difflib.get_close_matches(text, [image.id for image in images], n=1, cutoff=0)
        hint = f"the nearest is {nearest[0]}" if nearest else "there are none yet: build one with `bench image build`"
        raise InvalidInput(f"no image {text!r}; {hint}")

    def prune(self, keep: Collection[str] = ()) -> list[str]:
        """Remove images, what interrupted builds left, and fetched packages; return the ids of the images removed.

        Args:
            keep: ids of images to leave. Those that are held or being built stay as well.
        """
        removed = []
        for path in sorted(self._images.glob("*")):
            leftover = path.name.startswith(_BUILDING)
            image_id = path.name.removeprefix(_BUILDING).split("-")[0]
            if not leftover and image_id in keep:
                continue
            with suppress(BusyError), self._lock(image_id, wait=False):
                self._remove(path)
                if not leftover:
                    removed.append(image_id)
        if self.packages.exists():
            with suppress(BusyError), locked(self.packages / "lock", wait=False):
                for path in self.packages.iterdir():
                    if path.is_dir():
                        remove_tree(path)
        return removed

    @contextmanager
    def hold(self, image_id: str) -> Iterator[BuiltImage]:
        """Keep an image from being pruned.

        Raises:
            ImageError: it is not there (any more).
        """
        with self._lock(image_id, shared=True):
            image = load_image(self._images / image_id)
            if image is None:
                raise ImageError(
                    f"image {image_id} is no longer in {self._images}: build it again with `bench image build`"
                )
            yield image

    def _build(self, recipe: Recipe, build: Builder) -> BuiltImage:
        """Build and put into place. Called with the lock held."""
        place = self._images / recipe.id
        building = self._images / f"{_BUILDING}{recipe.id}-{secrets.token_hex(4)}"
        building.mkdir(parents=True)
        try:
            manifest = build(recipe, building)
            (building / MANIFEST).write_text(manifest.text())
            for path in (*building.iterdir(), building):
                _sync(path)
            if place.exists():
                self._remove(place)
            building.rename(place)
            _sync(self._images)
        except BaseException as error:
            _clear_away(building, error)
            raise
        image = load_image(place)
        if image is None:
            raise ImageError(f"the build of image {recipe.id} did not make all of its files in {place}")
        return image

    def _remove(self, path: Path) -> None:
        """Remove an image; one that is only half removed must not look whole, so that its manifest goes first."""
        (path / MANIFEST).unlink(missing_ok=True)
        remove_tree(path)

    def _remove_leftovers(self, image_id: str) -> None:
        """Remove what dead builds of an image left. Who holds the lock knows that none is alive."""
        for path in self._images.glob(f"{_BUILDING}{image_id}-*"):
            remove_tree(path)

    @contextmanager
    def _lock(
        self, image_id: str, *, shared: bool = False, wait: bool = True, waiting: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        self._locks.mkdir(parents=True, exist_ok=True)
        with locked(self._locks / image_id, shared=shared, wait=wait, waiting=waiting):
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say clearly what is wrong with the cache directory when it cannot be written."""
        try:
            yield
        except OSError as error:
            where = self._images.parent
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise ImageError(
                    f"the disk is full: free some space under {where}, "
                    f"or set BENCH_CACHE to a directory with {SPACE_NEEDED} GB free"
                ) from error
            if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}:
                raise ImageError(
                    f"the image cache {where} cannot be written: {error}; set BENCH_CACHE to another directory"
                ) from error
            raise


def _clear_away(building: Path, error: BaseException) -> None:
    """Remove what a failed build left. Should that fail too, ``error``, which the build ended with, is told first.

    Raises:
        ImageError: both in one message, where the build's own error is one.
    """
    if not building.exists():
        return
    try:
        remove_tree(building)
    except ImageError as second:
        if isinstance(error, ImageError):
            raise ImageError(f"{error}\nWhat the build left could not be removed either: {second}") from error
        error.add_note(f"What the build left could not be removed either: {second}")


def _sync(path: Path) -> None:
    """Have a file or directory on the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
