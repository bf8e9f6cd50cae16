"""From a recipe to the files of an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from workloads.files import CarriedFile
from workloads.image.errors import ImageError
from workloads.image.initramfs import build_initramfs
from workloads.image.kernel import unpack_kernel
from workloads.image.manifest import PARTS, Manifest, describe_parts
from workloads.image.packages import Packages, open_packages
from workloads.image.recipe import Programs, Recipe
from workloads.image.rootfs import build_rootfs
from workloads.image.tools import remove_tree, require_space, run


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
        kernel = _build_guest(recipe, packages, programs.init, directory, work)
        progress("installing packages")
        installed = build_rootfs(recipe, packages, programs.agent, files, directory / PARTS["userland"], work)
    remove_tree(work)
    return Manifest(
        id=recipe.id,
        recipe=recipe.fields(),
        built=datetime.now(UTC).isoformat(timespec="seconds"),
        parts=describe_parts(directory),
        packages=installed,
        kernel=kernel,
    )


def _build_guest(recipe: Recipe, packages: Packages, init: Path, directory: Path, work: Path) -> dict[str, str]:
    """Make the guest kernel and the initramfs; return the package they come from with its version."""
    root = work / "guest"
    name = packages.dependency(recipe.kernel, "linux-image-")
    file = packages.fetch_single(name)
    run(["dpkg-deb", "-x", file, root], doing=f"unpacking {name}")
    release = name.removeprefix("linux-image-")
    modules = _the_one(root, f"lib/modules/{release}")
    packed = _the_one(root, f"boot/vmlinuz-{release}").read_bytes()
    (directory / PARTS["bzimage"]).write_bytes(packed)
    (directory / PARTS["kernel"]).write_bytes(unpack_kernel(packed))
    (directory / PARTS["initramfs"]).write_bytes(build_initramfs(init.read_bytes(), modules))
    return {name: file.name.split("_")[1].replace("%3a", ":")}


def _the_one(root: Path, path: str) -> Path:
    """A file or directory of a package, which since Debian 13 may be below ``usr``."""
    for candidate in (root / path, root / "usr" / path):
        if candidate.exists():
            return candidate
    raise ImageError(f"the guest's packages hold no {path}: expected Debian's kernel package")
