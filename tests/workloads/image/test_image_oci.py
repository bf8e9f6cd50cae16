"""Images of containers are found in what other tools write, and what is wrong with one is said."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tarfile

import pytest
from layers import archive, link, make_layout, member, tool

from workloads.errors import InvalidInput
from workloads.image.oci import ImageReader, open_files

LAYERS = (archive(member("etc/one", b"1")), archive(member("etc/two", b"2")))
CONTENT = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in LAYERS]


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    place = tmp_path_factory.mktemp("oci") / "layout"
    make_layout(place, "one", *LAYERS)
    return place


@pytest.fixture
def copy(layout, tmp_path):
    """A copy of the layout to damage."""
    return shutil.copytree(layout, tmp_path / "layout")


def read(path, ref=None):
    with open_files(path) as open_file:
        return ImageReader(path, open_file).image(ref)


def skopeo(source, target):
    tool("skopeo", "copy", "--insecure-policy", source, target)


def manifest_digest(layout):
    return json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]


def write_blob(layout, document):
    """Put a document into a layout, and return a descriptor of it."""
    content = json.dumps(document).encode()
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(content)
    return {"mediaType": document.get("mediaType", ""), "digest": f"sha256:{digest}", "size": len(content)}


def write_index(layout, *descriptors):
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": descriptors}))


def test_a_layout_is_known_by_the_digest_of_its_manifest(layout):
    image = read(layout)
    assert image.digest == manifest_digest(layout)
    assert image.tags == ("one",)
    assert [layer.content_digest for layer in image.layers] == CONTENT
    assert read(layout, "one") == image


def test_an_archive_of_it_is_the_same_image(layout, tmp_path):
    skopeo(f"oci:{layout}:one", f"oci-archive:{tmp_path}/image.tar:one")
    assert read(tmp_path / "image.tar") == read(layout)
    (tmp_path / "image.tar.gz").write_bytes(gzip.compress((tmp_path / "image.tar").read_bytes()))
    assert read(tmp_path / "image.tar.gz") == read(layout)


def test_what_docker_saves_is_known_by_the_digest_of_its_configuration(layout, tmp_path):
    skopeo(f"oci:{layout}:one", f"docker-archive:{tmp_path}/image.tar:mine/image:v1")
    image = read(tmp_path / "image.tar", "v1")
    with tarfile.open(tmp_path / "image.tar") as saved:
        (entry,) = json.load(saved.extractfile("manifest.json"))
        configuration = saved.extractfile(entry["Config"]).read()
    assert image.digest == f"sha256:{hashlib.sha256(configuration).hexdigest()}"
    assert [layer.content_digest for layer in image.layers] == CONTENT
    assert image.tags == ("docker.io/mine/image:v1",)
    assert read(tmp_path / "image.tar") == read(tmp_path / "image.tar", "docker.io/mine/image:v1") == image


def test_of_several_images_one_must_be_chosen(copy):
    make_layout(copy, "two", LAYERS[1])
    with pytest.raises(InvalidInput, match=r"2 images in it; choose one by its tag.*ref: TAG.*the tags are one, two"):
        read(copy)
    assert [layer.content_digest for layer in read(copy, "two").layers] == CONTENT[1:]
    with pytest.raises(InvalidInput, match=r"no image with the tag 'three' in it; its tags are one, two"):
        read(copy, "three")


def test_of_an_image_for_several_machines_this_hosts_is_taken(copy):
    (mine,) = json.loads((copy / "index.json").read_text())["manifests"]
    arm = {**mine, "digest": f"sha256:{'0' * 64}", "platform": {"os": "linux", "architecture": "arm64"}}
    amd = {**mine, "platform": {"os": "linux", "architecture": "amd64"}}
    kind = "application/vnd.oci.image.index.v1+json"
    write_index(copy, write_blob(copy, {"mediaType": kind, "manifests": [arm, amd]}))
    assert read(copy).digest == mine["digest"]
    write_index(copy, write_blob(copy, {"mediaType": kind, "manifests": [arm]}))
    with pytest.raises(InvalidInput, match=r"it is for linux/arm64, and this host is linux/amd64"):
        read(copy)


def test_an_image_for_another_machine_is_refused(copy):
    tool("umoci", "config", "--image", f"{copy}:one", "--architecture", "riscv64")
    with pytest.raises(InvalidInput, match=r"layout: it is for linux/riscv64, and this host is linux/amd64"):
        read(copy)


@pytest.mark.parametrize("what", ["manifest", "config"])
def test_what_has_another_digest_than_it_should_is_refused(copy, what):
    name = manifest_digest(copy).removeprefix("sha256:")
    if what == "config":
        name = json.loads((copy / "blobs/sha256" / name).read_text())["config"]["digest"].removeprefix("sha256:")
    blob = copy / "blobs/sha256" / name
    blob.write_text(blob.read_text() + " ")
    with pytest.raises(InvalidInput, match=rf"damaged: blobs/sha256/{name} has the digest \w+, expected sha256:{name}"):
        read(copy)
    blob.unlink()
    with pytest.raises(InvalidInput, match=rf"blobs/sha256/{name} is not in it, or cannot be read"):
        read(copy)


def test_what_is_no_digest_never_becomes_a_path(copy):
    (mine,) = json.loads((copy / "index.json").read_text())["manifests"]
    write_index(copy, {**mine, "digest": "sha256:../../../../etc/passwd"})
    with pytest.raises(InvalidInput, match=r"is no digest by SHA-256 or SHA-512"):
        read(copy)


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("{", "index.json is no JSON"),
        ("[]", "index.json is no JSON object"),
        ("{}", "no list 'manifests'"),
        ('{"manifests": []}', "there is no image in it"),
        ('{"manifests": [{"digest": 5}]}', "5 is no digest"),
    ],
)
def test_a_damaged_index_is_told(copy, index, said):
    (copy / "index.json").write_text(index)
    with pytest.raises(InvalidInput, match=said):
        read(copy)


def test_what_is_no_image_is_told(tmp_path):
    (tmp_path / "file").write_text("no archive at all")
    with pytest.raises(InvalidInput, match=r"file: neither the directory of an OCI image layout nor an archive"):
        read(tmp_path / "file")
    (tmp_path / "root.tar").write_bytes(LAYERS[0])
    with pytest.raises(InvalidInput, match=r"neither index.json .* nor manifest.json .*imported by `tar:`"):
        read(tmp_path / "root.tar")
    whole = gzip.compress(archive(member("index.json", b"{}" * 500)))
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match=r"cut\.tar\.gz"):
        read(tmp_path / "cut.tar.gz")


def docker_directory(place, config="config.json", layer="layer.tar"):
    """A directory in Docker's format with an image of one layer, and what its index has for the names of its files."""
    place.mkdir()
    diff_ids = [f"sha256:{hashlib.sha256(LAYERS[1]).hexdigest()}"]
    document = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    for name, content in (("config.json", json.dumps(document).encode()), ("layer.tar", LAYERS[1])):
        (place / name).write_bytes(content)
    (place / "manifest.json").write_text(json.dumps([{"Config": config, "RepoTags": None, "Layers": [layer]}]))
    return place


def read_all(path):
    """The image in a directory, with the layers read."""
    with open_files(path) as open_file:
        image = ImageReader(path, open_file).image(None)
        return image, [open_file(layer.name).read() for layer in image.layers]


def test_a_directory_in_dockers_format_is_read(tmp_path):
    place = docker_directory(tmp_path / "image", layer="./layer.tar")
    (tmp_path / "link").symlink_to(place)
    assert read_all(tmp_path / "link")[1] == [LAYERS[1]]


@pytest.mark.parametrize("what", ["config", "layer"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../outside", r"'../outside' is no name of a file in the layout"),
        ("sub/../../outside", r"is no name of a file in the layout"),
        ("/etc/passwd", r"'/etc/passwd' is no name of a file in the layout"),
        ("", r"'' is no name of a file in the layout"),
        ("a\0b", r"is no name of a file in the layout"),
        ("link", r"'link': link is a link; expected a regular file"),
        ("door/outside", r"'door/outside': door is a link; expected a regular file"),
        ("pipe", r"'pipe': pipe is something else; expected a regular file"),
        ("sub", r"'sub': sub is something else; expected a regular file"),
        ("config.json/x", r"config.json is something else; .* directories on the way to it"),
    ],
)
def test_names_of_files_lead_to_regular_files_in_the_directory_alone(tmp_path, what, name, said):
    place = docker_directory(tmp_path / "image", **{what: name})
    (tmp_path / "outside").write_bytes((place / "config.json").read_bytes())
    (place / "link").symlink_to("config.json")
    (place / "door").symlink_to("..")
    (place / "sub").mkdir()
    os.mkfifo(place / "pipe")
    with pytest.raises(InvalidInput, match=rf"image: oci: .*/image: refused: .*{said}"):
        read_all(place)


def test_an_index_that_is_a_link_or_a_pipe_is_refused(copy, tmp_path):
    (copy / "index.json").rename(tmp_path / "index.json")
    (copy / "index.json").symlink_to(tmp_path / "index.json")
    with pytest.raises(InvalidInput, match=r"refused: 'index.json': index.json is a link"):
        read(copy)
    (copy / "index.json").unlink()
    os.mkfifo(copy / "index.json")
    with pytest.raises(InvalidInput, match=r"refused: 'index.json': index.json is something else"):
        read(copy)


@pytest.mark.parametrize("name", ["{0}.json", "sha256:{0}", "blobs/sha256/{0}"])
def test_a_configuration_that_is_not_what_its_name_tells_is_refused_before_it_is_read(tmp_path, name):
    place = docker_directory(tmp_path / "image", config=name.format("0" * 64))
    (place / "blobs/sha256").mkdir(parents=True)
    (place / name.format("0" * 64)).write_text("no JSON at all")
    with pytest.raises(InvalidInput, match=r"damaged: .*0000.* has the digest \w+, expected sha256:0000"):
        read(place)


def test_links_in_a_circle_and_lists_without_end_are_told(tmp_path):
    (tmp_path / "circle.tar").write_bytes(archive(link("index.json", "index.json")))
    with pytest.raises(InvalidInput, match=r"circle.tar: index.json is a link in a circle"):
        read(tmp_path / "circle.tar")
    (tmp_path / "deep.tar").write_bytes(archive(member("manifest.json", b"[" * 100_000)))
    with pytest.raises(InvalidInput, match=r"manifest.json is no JSON"):
        read(tmp_path / "deep.tar")
