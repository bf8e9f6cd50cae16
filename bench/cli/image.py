"""``bench image``: the images that every arm runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import format_option, print_json, print_rows, workloads_option

if TYPE_CHECKING:
    from workloads.image import BuiltImage


@click.group()
def image() -> None:
    """Build, list, show, export and prune images."""


@image.command()
@click.argument("suite", default="quick")
@workloads_option
def build(suite: str, workload_directories: tuple[Path, ...]) -> None:
    """Build the image that SUITE needs, if the cache does not have it."""
    built = _built(suite, workload_directories)
    click.echo(f"{built.id}  {built.rootfs}")
    for name, kernel in built.kernels.items():
        click.echo(f"{kernel.id}  {kernel.bzimage}  kernel {name}, {kernel.manifest.release}")


@image.command("list")
@format_option("table", "json")
def list_images_command(output_format: str) -> None:
    """List the images in the cache, the newest first."""
    from workloads.image import list_images

    rows = [
        {
            "image": built.id,
            "built": built.manifest.built,
            "MiB": built.size >> 20,
            "from": _origin(built),
            "packages": list(built.manifest.recipe["packages"]),
        }
        for built in list_images()
    ]
    print_rows(rows, output_format, empty="no image in the cache; 'bench image build' makes one")


def _origin(built: BuiltImage) -> str:
    """What an image was made from, in a few words."""
    source = built.manifest.source
    return f"{source['kind']} {source['path']}" if source else "Debian packages"


@image.command("kernels")
@format_option("table", "json")
def list_kernels_command(output_format: str) -> None:
    """List the kernels in the cache that guests may boot instead of their image's own, the newest first."""
    from workloads.image import list_kernels

    rows = [
        {
            "kernel": kernel.id,
            "built": kernel.manifest.built,
            "MiB": kernel.size >> 20,
            "release": kernel.manifest.release,
            "from": list(kernel.manifest.source),
        }
        for kernel in list_kernels()
    ]
    print_rows(rows, output_format, empty="no kernel in the cache beside those of images")


@image.command()
@click.argument("image_id", metavar="IMAGE")
def show(image_id: str) -> None:
    """Print the manifest of IMAGE (an id or a unique prefix) as JSON, its bytes checked against it."""
    from workloads.image import show_image

    built = show_image(image_id)
    print_json({**asdict(built.manifest), "directory": str(built.rootfs.parent)})


@image.command()
@click.option(
    "--keep", type=click.IntRange(min=0), default=1, show_default=True, help="How many of the newest to keep."
)
def prune(keep: int) -> None:
    """Remove old images, kernels and guests' disks, and what interrupted builds left. What a run is using stays."""
    from runtimes.vm.root_disk import prune_disks
    from workloads.image import list_images, list_kernels, prune_images, prune_kernels

    removed = prune_images(keep={built.id for built in list_images()[:keep]})
    removed += prune_kernels(keep={kernel.id for kernel in list_kernels()[:keep]})
    for key in (*removed, *prune_disks(keep)):
        click.echo(f"removed {key}")


@image.command()
@click.argument("what", metavar="IMAGE|SUITE")
@click.option(
    "--oci", type=click.Path(path_type=Path), help="An OCI image layout; an archive of one if it ends in .tar."
)
@click.option("--tar", type=click.Path(path_type=Path), help="An archive of the root file system.")
@click.option("--qcow2", type=click.Path(path_type=Path), help="A disk that boots to a shell on its serial console.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@workloads_option
def export(
    what: str,
    oci: Path | None,
    tar: Path | None,
    qcow2: Path | None,
    force: bool,
    workload_directories: tuple[Path, ...],
) -> None:
    """Write an image for others: for podman, skopeo and docker, as an archive, as a disk for QEMU.

    IMAGE is an id or a unique prefix of one; the image of SUITE (a name or a file) is built if the cache does not have
    it. The same image gives the same bytes.
    """
    from bench.image_export import Form, check_destinations, export_image

    forms: dict[Form, Path | None] = {"oci": oci, "tar": tar, "qcow2": qcow2}
    targets: dict[Form, Path] = {form: path.absolute() for form, path in forms.items() if path is not None}
    if not targets:
        raise click.UsageError("say what to write: --oci, --tar or --qcow2, with a path")
    check_destinations(targets, force=force)
    built = _wanted(what, workload_directories)
    export_image(built, targets, _tell)
    for target in targets.values():
        click.echo(f"{built.id}  {target}")


def _wanted(what: str, workload_directories: tuple[Path, ...]) -> BuiltImage:
    """The image that is meant by an id, or by a suite."""
    from bench.suite import shipped_suites
    from workloads.image import show_image
    from workloads.loader import is_path

    if is_path(what) or what in shipped_suites():
        return _built(what, workload_directories)
    return show_image(what)


def _built(suite: str, workload_directories: tuple[Path, ...]) -> BuiltImage:
    """The image of a suite, built if the cache does not have it."""
    from bench.images import prepare_image
    from bench.plan import make_plan
    from bench.suite import load_suite
    from workloads.loader import open_catalogue

    plan = make_plan(load_suite(suite, catalogue=open_catalogue(workload_directories)))
    return prepare_image(plan.packages(), plan.files(), _tell, plan.kernels(), plan.imported())


def _tell(text: str) -> None:
    click.echo(text, err=True)
