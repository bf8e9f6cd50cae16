"""Where built images are kept, and beside them kernels and fetched packages; see :mod:`workloads.image.store`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from workloads.errors import InvalidInput
from workloads.image.locks import BusyError, locked
from workloads.image.manifest import BuiltImage, BuiltKernel, Manifest, load_image, load_kernel
from workloads.image.recipe import Recipe
from workloads.image.store import Store
from workloads.image.tools import remove_tree

Builder = Callable[[Recipe, Path], Manifest]
"""Builds the files of a recipe in an empty directory."""


def cache_directory() -> Path:
    """``$BENCH_CACHE``, or ``~/.cache/bench``."""
    return Path(os.environ.get("BENCH_CACHE") or "~/.cache/bench").expanduser().absolute()


class ImageCache:
    """The images under one directory, which need not exist yet.

    Attributes:
        packages: the directory of fetched packages.
        kernels: those that are not part of an image.
    """

    def __init__(self, directory: Path) -> None:
        self.packages = directory / "packages"
        self.kernels: Store[BuiltKernel] = Store(directory, "kernel", load_kernel)
        self._images: Store[BuiltImage] = Store(directory, "image", load_image)

    def ensure(self, recipe: Recipe, build: Builder, progress: Callable[[str], None]) -> BuiltImage:
        """The image of a recipe, built if it is not there; as :meth:`Store.ensure`."""
        return self._images.ensure(recipe.id, lambda directory: build(recipe, directory).text(), progress)

    def images(self) -> list[BuiltImage]:
        """All whole images, the newest first."""
        return sorted(self._images.all(), key=lambda image: image.manifest.built, reverse=True)

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
        removed = self._images.prune(keep)
        if self.packages.exists():
            with suppress(BusyError), locked(self.packages / "lock", wait=False):
                for path in self.packages.iterdir():
                    if path.is_dir():
                        remove_tree(path)
        return removed

    def hold(self, image_id: str) -> AbstractContextManager[BuiltImage]:
        """Keep an image from being pruned; as :meth:`Store.hold`."""
        return self._images.hold(image_id)
