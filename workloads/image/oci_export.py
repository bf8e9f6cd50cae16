"""A root file system as an OCI image with one layer, which podman, skopeo and docker load.

An archive of it has Docker's own index besides, as Docker read no other before version 25. The same root gives the same
bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from workloads.image.manifest import Manifest
from workloads.image.oci import DOCKER_INDEX, INDEX, LAYOUT, REF, architecture, blob_name
from workloads.image.packed import digest_of
from workloads.image.recipe import EPOCH

REPOSITORY = "bench"
"""What an exported image is called; its tag is its id."""

_CREATED = datetime.fromtimestamp(EPOCH, UTC).isoformat().replace("+00:00", "Z")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIGURATION = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_COMPRESSION = 6
_COPY = 1 << 20


def write_layout(place: Path, manifest: Manifest, write_root: Callable[[BinaryIO], None]) -> None:
    """Write an OCI image layout.

    Args:
        place: an empty directory.
        manifest: of the image.
        write_root: writes its root file system as a tar archive.

    Raises:
        OSError: it cannot be written.
    """
    blobs = place / "blobs/sha256"
    blobs.mkdir(parents=True)
    layer, content_digest = _write_layer(blobs, write_root)
    configuration = _write(blobs, _CONFIGURATION, _configuration(manifest, content_digest))
    document = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": configuration, "layers": [layer]}
    annotations = {REF: manifest.id, "io.containerd.image.name": f"docker.io/library/{REPOSITORY}:{manifest.id}"}
    described = _write(blobs, _MANIFEST, document) | {"annotations": annotations}
    (place / INDEX).write_bytes(_json({"schemaVersion": 2, "manifests": [described]}))
    (place / LAYOUT).write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    docker = {
        "Config": blob_name(str(configuration["digest"])),
        "RepoTags": [f"{REPOSITORY}:{manifest.id}"],
        "Layers": [blob_name(str(layer["digest"]))],
    }
    (place / DOCKER_INDEX).write_bytes(_json([docker]))


def write_layout_archive(layout: Path, file: BinaryIO) -> None:
    """Write a layout as one archive.

    Raises:
        OSError: it cannot be written.
    """
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(layout.rglob("*")):
            member = archive.gettarinfo(path, str(path.relative_to(layout)))
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime, member.mode = EPOCH, 0o755 if path.is_dir() else 0o644
            if path.is_dir():
                archive.addfile(member)
            else:
                with path.open("rb") as content:
                    archive.addfile(member, content)


def _configuration(manifest: Manifest, content_digest: str) -> dict[str, Any]:
    source = manifest.source
    made_from = f"{source['kind']} {source['digest']}" if source else ", ".join(manifest.recipe.get("packages", ()))
    return {
        "created": _CREATED,
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Env": [_PATH],
            "Cmd": ["/bin/sh"],
            "Labels": {"org.opencontainers.image.title": f"{REPOSITORY} {manifest.id}", "bench.from": made_from},
        },
        "rootfs": {"type": "layers", "diff_ids": [content_digest]},
        "history": [{"created": _CREATED, "created_by": "bench image export"}],
    }


def _write_layer(blobs: Path, write_root: Callable[[BinaryIO], None]) -> tuple[dict[str, Any], str]:
    """Write the root as a layer; return its descriptor, and the digest of the archive in it."""
    archive, packed = blobs / "archive", blobs / "layer"
    with archive.open("w+b") as plain, packed.open("w+b") as file:
        write_root(plain)
        content_digest = digest_of(plain)
        with gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as compressed:
            shutil.copyfileobj(plain, compressed, _COPY)
        digest = digest_of(file)
    archive.unlink()
    size = packed.stat().st_size
    packed.rename(blobs / digest)
    return {"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": size}, f"sha256:{content_digest}"


def _write(blobs: Path, media_type: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Write a document as a blob, and return its descriptor."""
    content = _json(document)
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
