"""From a recipe to the files of an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from workloads.files import CarriedFile
from workloads.image.guest import fetch_guest, write_guest
from workloads.image.kernel import unpack_kernel
from workloads.image.manifest import PARTS, Manifest, describe_parts
from workloads.image.packages import open_packages
from workloads.image.recipe import Programs, Recipe
from workloads.image.rootfs import build_rootfs
from workloads.image.tools import remove_tree, require_space


def build_image(
    recipe: Recipe,
    programs: Programs,
    files: Mapping[str, CarriedFile],
    directory: Path,
    package_cache: Path,
    progress: Callable[[str], None],
) -> Manifest:
    """Build an image's files in ``directory``.

    Args:
        recipe: what to build.
        programs: our own that go in.
        files: what workloads bring along, by path.
        directory: empty, and private to this build.
        package_cache: where fetched packages are kept from one build to the next.
        progress: called with what is being done now.

    Raises:
        InvalidInput: a package of the recipe does not exist.
        ImageError: the build failed; the message says why.
    """
    require_space(directory)
    work = directory / "work"
    work.mkdir()
    # Others go through it: mmdebstrap gives up root's rights for some of its steps.
    work.chmod(0o755)
    with open_packages(package_cache, recipe.release, progress) as packages:
        progress("fetching package lists")
        packages.update(progress)
        packages.require((*recipe.packages, recipe.kernel))
        progress("fetching packages")
        packages.fetch(recipe.packages)
        progress("unpacking the guest kernel")
        guest = fetch_guest(recipe.kernel, packages, work / "guest")
        write_guest(guest, programs.init, directory, unpack_kernel(guest.kernel))
        progress("installing packages")
        installed = build_rootfs(recipe, packages, programs.agent, files, directory / PARTS["userland"], work)
    remove_tree(work)
    return Manifest(
        id=recipe.id,
        recipe=recipe.fields(),
        built=datetime.now(UTC).isoformat(timespec="seconds"),
        parts=describe_parts(directory),
        packages=installed,
        kernel=dict(guest.source),
    )
