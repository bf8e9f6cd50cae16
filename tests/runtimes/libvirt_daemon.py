"""A libvirt daemon of root's that belongs to a test: it writes in a mount namespace of its own, and ends with it."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

CONFIGURATION = """\
stdio_handler = "file"
user = "root"
group = "root"
"""
"""Of the QEMU driver. The user is root so that the daemon finds /dev/kvm as usable as its QEMU does: it would else ask
QEMU anew before every domain."""

OWN_CGROUPS = "cgroup_controllers = []\n"
"""Has the daemon leave cgroups to others."""

_COLLECTING = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
child = os.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
while os.wait()[0] != child:
    pass
"""
"""Collects what the daemon leaves behind at once, as a usual init does: the daemon waits for it."""

_OUTSIDE = tuple(os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("net", "mnt"))
"""Where the daemon is: whoever starts one may be in namespaces of a run meanwhile."""

_USER = "libvirt-qemu"


def can_be_had() -> bool:
    return os.geteuid() == 0 and shutil.which("libvirtd", path=f"{os.environ['PATH']}:/usr/sbin") is not None


class LibvirtDaemon:
    """One daemon, ``pid`` being its own; start it as a context, or with ``start`` once more when it has been killed."""

    def __init__(self, configuration: str = CONFIGURATION) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="test-libvirt-", dir="/tmp"))
        self._configuration = configuration
        self._process: subprocess.Popen[bytes] | None = None
        self._machines: list[Path] = []
        self.socket = self._directory / "libvirt-sock"
        self.uri = f"qemu+unix:///system?socket={self.socket}"
        self.pid = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        for machine in self._machines:
            for directory in [*sorted((path for path in machine.rglob("*") if path.is_dir()), reverse=True), machine]:
                with contextlib.suppress(OSError):  # another daemon uses it
                    directory.rmdir()
        shutil.rmtree(self._directory)

    def start(self) -> None:
        place = self._directory
        hierarchies = [path for path in Path("/sys/fs/cgroup").iterdir() if (path / "cgroup.procs").exists()]
        self._machines = self._machines or [path / "machine" for path in hierarchies if not (path / "machine").exists()]
        (place / "libvirtd.conf").write_text(
            f'unix_sock_dir = "{place}"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
        )
        (place / "qemu.conf").write_text(self._configuration)
        notices = self._listen()
        with notices, (place / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(
                        "nsenter",
                        *(f"--{kind}=/proc/self/fd/{fd}" for kind, fd in zip(("net", "mount"), _OUTSIDE, strict=True)),
                    ),
                    *(sys.executable, "-c", _COLLECTING, "unshare", "--mount", "sh", "-euc", self._script()),
                ],
                pass_fds=_OUTSIDE,
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(place / "notices")},
            )
            ready = select.select([notices], [], [], 60)[0]
        assert ready, (place / "log").read_text()
        self.pid = int((place / "pid").read_text())

    def _listen(self):
        import socket

        (self._directory / "notices").unlink(missing_ok=True)
        notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notices.bind(str(self._directory / "notices"))
        return notices

    def _script(self) -> str:
        """Shell commands: the daemon in a view of the file system in which what it writes is its own."""
        place = self._directory
        number = 64055
        for name, line in (("passwd", f"{_USER}:x:{number}:{number}::/:/bin/false"), ("group", f"{_USER}:x:{number}:")):
            known = Path("/etc", name).read_text()
            (place / name).write_text(known if f"\n{_USER}:" in known else f"{known}{line}\n")
        steps = ["mount --make-rprivate /", "mkdir -p /run/libvirt", "mount -t tmpfs tmpfs /run/libvirt"]
        steps.append(f"ln -s {self.socket} /run/libvirt/libvirt-sock")
        for name in ("etc", "var/lib", "var/cache", "var/log"):
            layer = place / secrets.token_hex(4)
            (layer / "upper").mkdir(parents=True)
            (layer / "work").mkdir()
            layers = f"lowerdir=/{name},upperdir={layer}/upper,workdir={layer}/work"
            steps.append(f"mount -t overlay -o {layers} overlay /{name}")
        steps += [
            "mkdir -p /etc/libvirt",
            *(f"cp {place}/{source} /etc/{target}" for source, target in (("passwd", "passwd"), ("group", "group"))),
            f"cp {place}/qemu.conf /etc/libvirt/qemu.conf",
            f"exec libvirtd --config {place}/libvirtd.conf --pid-file {place}/pid",
        ]
        return "\n".join([f"export PATH={os.environ['PATH']}:/usr/sbin:/sbin", *steps])

    def kill(self) -> None:
        """As a daemon that crashes."""
        os.kill(self.pid, signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
            self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            raise

    def domains(self) -> list[str]:
        """The names of those that it has now."""
        listed = subprocess.run(["virsh", "-c", self.uri, "list", "--name"], capture_output=True, text=True, check=True)
        return listed.stdout.split()
