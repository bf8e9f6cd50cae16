"""What this host can and cannot do. Each check is small, names what it looked at, and says how to mend it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from bench.doctor_noise import check_noise
from bench.finding import Check, Status
from bench.host import distribution, libvirt_version, read_text
from runtimes.base import HostError, UnavailableError

_PROGRAMS = {
    "gcc": ("gcc", "to compile the agent"),
    "mmdebstrap": ("mmdebstrap", "to build images"),
    "mke2fs": ("e2fsprogs", "to make images and scratch disks"),
    "debugfs": ("e2fsprogs", "to make images"),
    "unshare": ("util-linux", "to build images"),
    "lz4": ("lz4", "to unpack the guest kernel"),
    "qemu-system-x86_64": ("qemu-system-x86", "for the vm runtime"),
}

_OPTIONS = {
    "firmware: ovmf": {"/usr/share/OVMF/OVMF_CODE_4M.fd": "ovmf"},
    "firmware: qboot": {"/usr/share/qemu/qboot.rom": "qemu-system-data"},
    "boot: disk": {
        "grub-mkimage": "grub-common",
        "/usr/lib/grub/i386-pc": "grub-pc-bin",
        "/usr/lib/grub/x86_64-efi": "grub-efi-amd64-bin",
        "sfdisk": "fdisk",
        "mkfs.fat": "dosfstools",
        "mcopy": "mtools",
    },
    "network: nat": {"nft": "nftables"},
}
"""By option: the file, or the program, that it needs, and the package of that."""

_EMBEDDED_DRIVER = "libvirt/connection-driver/libvirt_driver_qemu.so"
_NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
_LEAST_DISK = 4 << 30


def _find_program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def check_root() -> Check:
    from runtimes.rootless import is_unprivileged
    from runtimes.user_namespace import host_id

    if not is_unprivileged():
        return Check("root", "ok", "running as root")
    detail = f"running as user {host_id()}: guests by a session only, and no workload with a scratch disk"
    return Check("root", "warning", detail, "run it as root, or with sudo, for all connections and scratch disks")


def check_rootless() -> Iterator[Check]:
    """What ordinary users need instead of root."""
    from runtimes import rootless, user_namespace

    if not rootless.is_unprivileged():
        return
    yield _granted("own cgroups", rootless.require_cgroups)
    if os.geteuid() == 0:
        return  # we are in a user namespace already
    yield _granted("user namespaces", rootless.check_user_namespace)
    ids = _granted("subordinate ids", user_namespace.subordinate_ids)
    if ids.status == "missing":
        ids = replace(
            ids, status="warning", detail=f"{ids.detail}: no images can be built, and containers have one user"
        )
    yield ids


def _granted(name: str, require: Callable[[], object]) -> Check:
    from runtimes.user_namespace import NotGrantedError

    try:
        require()
    except NotGrantedError as error:
        return Check(name, "missing", error.what, error.grant)
    return Check(name, "ok", "granted to this user")


def check_cpus() -> Check:
    count = len(os.sched_getaffinity(0))
    if count > 1:
        return Check("CPUs", "ok", f"{count} CPUs to run on")
    return Check(
        "CPUs", "warning", "one CPU: instances share it with the harness", "use a machine with two CPUs or more"
    )


def check_cgroups() -> Check:
    from runtimes.cgroup import OPTIONAL_CONTROLLERS, describe_version, missing_controllers

    version = describe_version()
    if version == "none":
        return Check("cgroups", "missing", "no cgroup hierarchy is mounted", "mount cgroup2 at /sys/fs/cgroup")
    lacking = missing_controllers()
    fix = "enable them on the kernel command line (cgroup_enable=…) or in the delegating service"
    if lacking:
        return Check("cgroups", "missing", f"{version}, without {', '.join(lacking)}", fix)
    if unused := missing_controllers(OPTIONAL_CONTROLLERS):
        without = f"{version}, without {', '.join(unused)}: no figures of it, and no limits by it"
        return Check("cgroups", "warning", without, fix)
    return Check("cgroups", "ok", f"{version}, with every controller that is used")


def check_namespaces() -> Check:
    lacking = [name for name in _NAMESPACES if not Path(f"/proc/self/ns/{name}").exists()]
    if lacking:
        return Check(
            "namespaces", "missing", f"the kernel has no {', '.join(lacking)} namespace", "use a kernel built with them"
        )
    return Check("namespaces", "ok", ", ".join(_NAMESPACES))


def check_file_systems() -> Check:
    known = {line.split()[-1] for line in read_text("/proc/filesystems", "").splitlines()}
    lacking = [name for name in ("overlay", "ext4") if name not in known]
    if lacking:
        fix = " && ".join(f"modprobe {name}" for name in lacking)
        return Check("file systems", "warning", f"no {', '.join(lacking)} in the kernel until it is loaded", fix)
    return Check("file systems", "ok", "overlay and ext4")


def _check_device(name: str, path: str, use: str, fix: str) -> Check:
    try:
        os.close(os.open(path, os.O_RDWR))
    except PermissionError as error:
        status: Status = "missing" if os.geteuid() == 0 else "warning"
        return Check(name, status, f"{path}: {error.strerror}; needed {use}", "run it as root, or with sudo")
    except OSError as error:
        return Check(name, "missing", f"{path}: {error.strerror}; needed {use}", fix)
    return Check(name, "ok", f"{path} opens")


def check_loop_devices() -> Check:
    return _check_device("loop devices", "/dev/loop-control", "to mount images and scratch disks", "modprobe loop")


def check_tap_devices() -> Check:
    return _check_device("tap devices", "/dev/net/tun", "for guests' networks", "modprobe tun")


def check_programs() -> Iterator[Check]:
    for program, (package, use) in _PROGRAMS.items():
        found = _find_program(program)
        if found:
            yield Check(program, "ok", found)
        else:
            yield Check(program, "missing", f"not installed; needed {use}", f"apt-get install {package}")


def check_distribution() -> Check:
    release = distribution()
    if _find_program("apt-get") and _find_program("dpkg-deb"):
        return Check("distribution", "ok", release)
    fix = "run it on Debian 12 or later; elsewhere plans, results and reports work"
    return Check("distribution", "missing", f"{release}: images are built from Debian packages by Debian's tools", fix)


def check_libvirt() -> Check:
    version = libvirt_version()
    if version == "not installed":
        fix = "apt-get install libvirt-dev, then make setup"
        return Check("libvirt", "missing", "libvirt-python is not installed", fix)
    if not any(path.exists() for path in Path("/usr/lib").glob(f"*/{_EMBEDDED_DRIVER}")):
        fix = "apt-get install libvirt-daemon-driver-qemu"
        return Check("libvirt", "missing", f"{version}, without the QEMU driver for qemu:///embed", fix)
    return Check("libvirt", "ok", f"{version}, with the embedded QEMU driver")


def check_options() -> Iterator[Check]:
    """What only some options of arms need."""
    for option, needed in _OPTIONS.items():
        lacking = [package for file, package in needed.items() if not _exists(file)]
        if lacking:
            fix = f"apt-get install {' '.join(dict.fromkeys(lacking))}"
            yield Check(option, "warning", "arms cannot have it", fix)
        else:
            yield Check(option, "ok", "arms can have it")


def _exists(file: str) -> bool:
    return Path(file).exists() if file.startswith("/") else _find_program(file) is not None


def check_engines() -> Iterator[Check]:
    """The container engines that arms can be made of; a suite goes on without those that are not there."""
    from bench.availability import container_engines

    for name, why in container_engines():
        if why is None:
            yield Check(name, "ok", "arms can have it")
        elif isinstance(why, UnavailableError):
            yield Check(name, "warning", why.what, why.fix or "suites leave such arms out")
        else:
            yield Check(name, "warning", str(why), "see docs/runtimes.md")


def check_connections() -> Iterator[Check]:
    """By which of libvirt's drivers guests can be had, each found out by opening it."""
    from runtimes.rootless import is_unprivileged

    tried: dict[str, Callable[[], str]]
    if is_unprivileged():
        tried = {"embed": _roots_own, "system": _roots_own, "session": _try_session}
    else:
        tried = {"embed": _try_embedded, "system": _try_system, "session": _find_session}
    for connect, attempt in tried.items():
        try:
            yield Check(f"connect: {connect}", "ok", attempt())
        except HostError as error:
            what, _, fix = str(error).partition("; ")
            yield Check(f"connect: {connect}", "warning", what, fix or "use another connection")


def _roots_own() -> str:
    raise HostError("its guests are root's; run it as root, or with sudo")


def _try_embedded() -> str:
    from runtimes.vm.embedded import open_embedded
    from runtimes.vm.emulator import build_emulator, find_qemu

    with open_embedded(build_emulator(find_qemu())) as connection:
        return f"libvirt {connection.libvirt_version} in the harness"


def _try_system() -> str:
    from runtimes.vm.daemon import open_daemon

    with open_daemon("system") as connection:
        return f"libvirt {connection.libvirt_version} at {connection.daemon}"


def _find_session() -> str:
    from runtimes.vm.daemon import find_daemon

    return f"for ordinary users, by {find_daemon()}"


def _try_session() -> str:
    from runtimes.vm.daemon import open_daemon, session_daemon
    from runtimes.vm.requirements import check_connection

    check_connection("session")
    with session_daemon(), open_daemon("session") as connection:
        return f"libvirt {connection.libvirt_version} in a daemon of this user's own"


def check_disk() -> Check:
    from workloads.image.cache import cache_directory

    place = cache_directory()
    existing = next(path for path in (place, *place.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free >= _LEAST_DISK:
        return Check("disk", "ok", f"{free >> 30} GiB free for images at {place}")
    fix = "free some space, or set BENCH_CACHE to a directory on another disk; 'bench image prune' removes old images"
    return Check("disk", "warning", f"{free >> 20} MiB free for images at {place}", fix)


def check_kvm() -> Check:
    """Whether a kernel really boots under KVM, found out by booting one: that /dev/kvm opens proves nothing."""
    from bench.images import newest_image
    from runtimes.vm.probe import DEVICE, probe_accelerator, refused_device

    emulated = "guests run in software emulation: they work, but their speed says nothing about virtualisation"
    if not DEVICE.exists():
        fix = "enable virtualisation in the firmware, or nested virtualisation for this machine, and modprobe kvm"
        return Check("KVM", "warning", f"there is no {DEVICE}; {emulated}", fix)
    if refused := refused_device():
        return Check("KVM", "warning", f"{refused}; {emulated}", f"run it as root, or have this user open {DEVICE}")
    image = newest_image()
    if image is None:
        fix = "bench image build, then bench doctor again: only booting a guest tells"
        return Check("KVM", "warning", f"{DEVICE} opens; whether it runs guests is not known without an image", fix)
    accelerator = probe_accelerator(image)
    if accelerator.name == "kvm":
        return Check("KVM", "ok", accelerator.reason)
    return Check("KVM", "warning", f"{accelerator.reason}; {emulated}", "use a host whose KVM runs guests")


_CHECKS: tuple[Callable[[], Check | Iterator[Check]], ...] = (
    check_root,
    check_rootless,
    check_cpus,
    check_cgroups,
    check_namespaces,
    check_file_systems,
    check_loop_devices,
    check_tap_devices,
    check_distribution,
    check_programs,
    check_libvirt,
    check_connections,
    check_options,
    check_engines,
    check_kvm,
    check_disk,
    check_noise,
)


def examine() -> Iterator[Check]:
    """Carry out every check, yielding each finding as it is made. A check that cannot be carried out is a finding."""
    for check in _CHECKS:
        try:
            found = check()
            yield from (found,) if isinstance(found, Check) else found
        except (HostError, OSError) as error:
            yield Check(check.__name__.removeprefix("check_").replace("_", " "), "missing", str(error))
