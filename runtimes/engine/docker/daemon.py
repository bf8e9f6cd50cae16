"""A Docker daemon of one arm: where all of it is, its start, and the image in it.

It is Debian's ``dockerd`` with a containerd of its own. All that it keeps is in directories of the run, and what it
would keep elsewhere whatever it is told (``/run/containerd`` for the shims' sockets, ``/run/docker/plugins``,
``/opt/containerd``, ``/etc/docker/key.json``) in a ``/run``, an ``/opt``, a ``/tmp`` and an ``/etc`` that only it sees,
in a mount namespace of its own. So nothing of it meets a daemon that the host runs, and all of it ends with its
processes, which are in the run's cgroups.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import secrets
import select
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes import storage
from runtimes.base import HostError, InstanceError
from runtimes.cgroup import DaemonTree
from runtimes.cgroup.disks import disk_that_holds
from runtimes.engine.docker.api import Api
from runtimes.engine.programs import ENVIRONMENT, find_program
from runtimes.facilities import Facilities
from runtimes.launcher import entry
from runtimes.launcher.client import LaunchRequest
from runtimes.launcher.instance import last_line
from runtimes.launcher.steps import Steps
from runtimes.root_archive import write_root_archive
from runtimes.syscalls import CLONE_NEWNS, MS_BIND, MS_REC

_START_PATIENCE = 60.0
"""Seconds for the daemon to say that it is ready."""

_IMPORT_PATIENCE = 600.0
"""Seconds for it to unpack the image."""

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where distributions' packages put the programs: what lies in /usr/local may be anything of that name."""

_NOBODY, _FIRST_ID, _IDS = 65_534, 100_000, 65_536
"""The user and group, whatever their names, whose subordinate ids containers with a user namespace get, and which
these are (subuid(5))."""


_SECURITY = "/sys/kernel/security"
"""Where Docker looks whether the host has AppArmor: it would load its profile into the kernel, where that would stay,
and start nothing without the program for it."""

_PR_SET_PDEATHSIG = 1

_DATA = "/run/docker-data"
"""Where the daemon sees its data: who is root in a user namespace may not pass the run's private directories."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are; all but the first two are found by the daemon itself.

    Attributes:
        daemon: dockerd.
        client: docker.
        started: what is executed for every container.
    """

    daemon: Path
    client: Path
    started: tuple[Path, ...]


def find_programs() -> Programs:
    """Find Docker's programs.

    Raises:
        UnavailableError: one is missing.
    """
    daemon, client = _find("dockerd", "docker.io"), _find("docker", "docker.io")
    _find("containerd", "containerd")
    return Programs(daemon, client, (_find("containerd-shim-runc-v2", "containerd"), _find("runc", "runc")))


def _find(name: str, package: str) -> Path:
    return find_program(name, package, _PATH)


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that runs, with the image in it.

    Attributes:
        api: its API.
        socket: where that is.
        tree: its cgroups.
        image: the digest by which containers are made of the image.
        layer: where the image's files are.
        disk: the one that its data, and so containers' layers, lie on; None where the file system does not tell one.
        tasks: the directory in which containerd has one of each container.
        directory: where small files may be put; it is removed with the daemon.
        versions: of Docker, containerd and the OCI runtime, a line.
        described: what the daemon tells of itself (``/info`` of the API).
        shift: the user of the host that root in containers is; 0 where that is root.
    """

    api: Api
    socket: Path
    tree: DaemonTree
    image: str
    layer: Path
    disk: Path | None
    tasks: Path
    directory: Path
    versions: str
    described: Mapping[str, Any]
    shift: int


@contextmanager
def open_daemon(
    facilities: Facilities, bridge: str, addresses: str | None, *, user_namespace: bool
) -> Iterator[Daemon]:
    """Start a daemon and import the run's image; at the end nothing is left of it.

    Args:
        facilities: of the run.
        bridge: the bridge in the run's network namespace that containers join, or ``none``.
        addresses: the part of its network that the daemon gives out; None without a bridge.
        user_namespace: whether root in containers is an ordinary user of the host.

    Raises:
        HostError: it does not start, with its last words.
    """
    name = f"docker-{secrets.token_hex(3)}"
    with ExitStack() as stack:
        directory = stack.enter_context(_directory(facilities.directory / name))
        data = stack.enter_context(_directory(facilities.scratch_directory / name))
        tree = stack.enter_context(facilities.new_daemon_tree(name))
        (directory / "daemon.json").write_text(
            json.dumps(_configuration(directory, bridge, addresses, user_namespace=user_namespace), indent=1)
        )
        hidden = _hide_the_host(facilities.directory, directory, data, user_namespace=user_namespace)
        _start(facilities, directory, tree, hidden)
        api = Api(directory / "docker.sock")
        try:
            image = _import_image(api, facilities)
            layer = Path(api.ask("GET", f"/images/{image}/json")["GraphDriver"]["Data"]["UpperDir"])
            layer = data / layer.relative_to(_DATA)
            described = api.ask("GET", "/info")
            versions = _versions(api.ask("GET", "/version"))
        except InstanceError as error:
            raise HostError(f"the Docker daemon of the run cannot be used: {error}") from error
        storage.read_whole(layer)
        yield Daemon(
            api=api,
            socket=directory / "docker.sock",
            tree=tree,
            image=image,
            layer=layer,
            disk=disk_that_holds(data),
            tasks=directory / "exec/containerd/daemon/io.containerd.runtime.v2.task/moby",
            directory=directory,
            versions=versions,
            described=described,
            shift=_FIRST_ID if user_namespace else 0,
        )


@contextmanager
def _directory(path: Path) -> Iterator[Path]:
    path.mkdir(mode=0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _configuration(directory: Path, bridge: str, addresses: str | None, *, user_namespace: bool) -> dict[str, Any]:
    """The daemon's configuration file (dockerd(8), "Daemon configuration file")."""
    return {
        "hosts": [f"unix://{directory}/docker.sock"],
        # The host's group docker is there to ask the host's daemon, and has no business with this one.
        "group": "root",
        "data-root": _DATA,
        "exec-root": str(directory / "exec"),
        "pidfile": str(directory / "pid"),
        "storage-driver": "overlay2",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "bridge": bridge,
        **({"fixed-cidr": addresses} if addresses else {}),
        # The run's network is ready, and its own: there is nothing to forward or to translate for the daemon.
        "iptables": False,
        "ip-forward": False,
        "ip-masq": False,
        **({"userns-remap": ":".join(_names_of_nobody())} if user_namespace else {}),
    }


def _start(facilities: Facilities, directory: Path, tree: DaemonTree, hidden: Steps) -> None:
    """Start the daemon, in a mount namespace that ``hidden`` is taken in, and wait for READY=1 (sd_notify(3)).

    Raises:
        HostError: it has ended, or does not say so.
    """
    log, notices_path = directory / "log", directory / "notices"
    argv = (str(find_programs().daemon), "--config-file", str(directory / "daemon.json"))
    environment = {**ENVIRONMENT, "PATH": _PATH, "HOME": str(directory), "NOTIFY_SOCKET": str(notices_path)}
    with ExitStack() as stack:
        notices = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))
        notices.bind(str(notices_path))
        output = stack.enter_context(log.open("wb"))
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        request = LaunchRequest(
            (
                # All CPUs: what it starts has the CPU set of its cgroup, less what the daemon may not use.
                entry.enter(tree.helpers, facilities.cgroups.cpus()),
                hidden,
                entry.run_on_stream(argv, environment),
            ),
            tree.helpers,
            flags=CLONE_NEWNS,
        )
        try:
            with facilities.launcher.begin(request, theirs, output.fileno()) as pending:
                pidfd = pending.finish().pidfd
        except InstanceError as error:
            raise HostError(f"the Docker daemon cannot be started: {error}") from error
        stack.callback(os.close, pidfd)
        ours.close()
        poll = select.poll()
        for waited_for in (notices.fileno(), pidfd):
            poll.register(waited_for, select.POLLIN)
        came = {fd for fd, _ in poll.poll(_START_PATIENCE * 1000)}
        if notices.fileno() not in came:
            happened = "has ended" if came else f"is not ready after {_START_PATIENCE:g} s"
            raise HostError(f"the Docker daemon of the run {happened}{last_line(log)}")


def _hide_the_host(run: Path, directory: Path, data: Path, *, user_namespace: bool) -> Steps:
    """The steps, in a mount namespace of the daemon's own, that give it a /run, /opt and /tmp of its own, empty but for
    what it needs, and an /etc in which nothing that it writes is the host's.

    Args:
        run: the run's directory, which it sees as before.
        directory: the daemon's.
        data: its directory on the disk.
        user_namespace: whether nobody gets subordinate ids, whatever the host lends to whom.
    """
    steps = Steps("give the Docker daemon directories of its own")
    # A launcher that dies is replaced, and takes trials along, but not the daemon of all trials to come.
    steps.call("prctl", _PR_SET_PDEATHSIG, 0, about="PR_SET_PDEATHSIG")
    own = directory / "run"
    own.mkdir()
    steps.mount("tmpfs", str(own), "tmpfs", 0, "mode=0755")
    # The run's own directory stays where it is.
    shown = {run: run, data: Path(_DATA)}
    for what, place in shown.items():
        if place.is_relative_to("/run"):
            inner = own / place.relative_to("/run")
            steps.make_directory(str(inner))
            steps.mount(str(what), str(inner), "", MS_BIND | MS_REC)
    steps.mount(str(own), "/run", "", MS_BIND | MS_REC)
    for emptied, mode in (("/opt", "0755"), ("/tmp", "1777"), (_SECURITY, "0755")):
        if Path(emptied).is_dir():
            steps.mount("tmpfs", emptied, "tmpfs", 0, f"mode={mode}")
    lent = directory / "etc"
    lent.mkdir()
    if user_namespace:
        lines = "".join(f"{name}:{_FIRST_ID}:{_IDS}\n" for name in sorted(set(_names_of_nobody())))
        for file in ("subuid", "subgid"):
            (lent / file).write_text(lines)
    upper, work = own / "etc", own / "etc-work"
    for made in (upper, work):
        steps.make_directory(str(made))
    steps.mount("overlay", "/etc", "overlay", 0, f"lowerdir={lent}:/etc,upperdir={upper},workdir={work}")
    return steps


def _names_of_nobody() -> tuple[str, str]:
    """Of the user and of the group.

    Raises:
        HostError: this host has no such user or group.
    """
    try:
        return pwd.getpwuid(_NOBODY).pw_name, grp.getgrgid(_NOBODY).gr_name
    except KeyError as error:
        raise HostError(
            f"user_namespace: this host has no user and group {_NOBODY}, which are nobody and nogroup on Debian; "
            "give it both, or leave user_namespace out"
        ) from error


def _import_image(api: Api, facilities: Facilities) -> str:
    """Have the daemon make an image of the run's root file system; its digest."""
    with tempfile.TemporaryFile(dir=facilities.scratch_directory) as archive:
        write_root_archive(facilities.root, archive)
        archive.seek(0)
        answer = api.ask(
            "POST", "/images/create", archive, timeout=_IMPORT_PATIENCE, fromSrc="-", repo="bench", tag="image"
        )
    return str(answer["status"])


def _versions(told: Mapping[str, Any]) -> str:
    """Docker, containerd and the OCI runtime with their versions, of the answer of ``/version``."""
    versions = {each["Name"]: each["Version"] for each in told["Components"]}
    return ", ".join(
        f"{word} {versions[name]}"
        for name, word in (("Engine", "Docker"), ("containerd", "containerd"), ("runc", "runc"))
        if name in versions
    )
