"""One real build of the smallest image, and a guest that boots it. Needs network, as any first build does."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from importlib import resources

import pytest

from runtimes.vm.init.build import build_init
from workloads.errors import InvalidInput
from workloads.files import FILES_PATH, CarriedFile
from workloads.image import BuiltImage, ImageError, Programs, ensure_image, list_images, show_image
from workloads.image.kernel import pvh_entry
from workloads.image.rootfs import agent_unit, copy_files, make_ext4, parse_dpkg_status

AGENT = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

/* Stands in for the agent: tells through its device how it was started and what it sees, and powers off. */
static void tell(FILE *to, const char *path)
{
    char line[4096];
    FILE *from = fopen(path, "r");
    while (from && fgets(line, sizeof line, from))
        fputs(line, to);
}

int main(int count, char **arguments)
{
    FILE *to = fopen(arguments[2], "w");
    fprintf(to, "pid %d", getpid());
    for (int index = 0; index < count; index++)
        fprintf(to, " %s", arguments[index]);
    fputs("\n", to);
    tell(to, "/proc/self/mounts");
    tell(to, "/proc/sys/kernel/hostname");
    tell(to, "/proc/net/route");
    tell(to, "/proc/net/fib_trie");
    tell(to, "/run/bench/startup");
    fprintf(to, "now %ld\n", (long)time(NULL));
    fprintf(to, "root is writable: %d\n", creat("/etc/written", 0600) >= 0);
    fprintf(to, "devices are linked: %d\n", access("/dev/fd/0", F_OK) == 0 && access("/dev/stdout", F_OK) == 0);
    fprintf(to, "scratch is writable: %d\n", creat("/scratch/written", 0600) >= 0);
    fclose(to);
    sleep(1);
    reboot(RB_POWER_OFF);
}
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Programs:
    directory = tmp_path_factory.mktemp("agent")
    (directory / "agent.c").write_text(AGENT)
    subprocess.run(["gcc", "-static", "-o", directory / "agent", directory / "agent.c"], check=True)
    return Programs(directory / "agent", "test", build_init(directory), "test")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """An empty cache of this module's own, in a directory whose name has a space."""
    with pytest.MonkeyPatch.context() as patch:
        directory = tmp_path_factory.mktemp("image cache")
        patch.setenv("BENCH_CACHE", str(directory))
        yield directory


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, CarriedFile]:
    """What two workloads bring along."""
    directory = tmp_path_factory.mktemp("files")
    (directory / "lib").mkdir(mode=0o700)
    for name, mode in (("run.sh", 0o700), ("lib/data", 0o600)):
        (directory / name).write_text(f"{name}\n" * 2000)
        (directory / name).chmod(mode)
    return {
        "one/run.sh": CarriedFile.read("run.sh", directory),
        "two/lib/data": CarriedFile.read("lib/data", directory),
    }


@pytest.fixture(scope="module")
def image(programs, files, cache) -> BuiltImage:
    messages: list[str] = []
    built = ensure_image([], programs, messages.append, files)
    assert messages[0] == "fetching package lists"
    assert "installing packages" in messages
    return built


def debugfs(image: BuiltImage, command: str) -> str:
    done = subprocess.run(
        ["/usr/sbin/debugfs", "-R", command, image.rootfs], check=True, capture_output=True, text=True
    )
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.host
class TestBuild:
    def test_it_is_found_again_at_once_and_nothing_else_is_left(self, image, programs, files, cache):
        before = time.monotonic()
        assert ensure_image([], programs, pytest.fail, files) == image
        assert time.monotonic() - before < 5.0
        assert [path.name for path in (cache / "images").iterdir()] == [image.id]
        assert list_images() == [image]
        assert show_image(image.id) == image

    def test_the_root_file_system_is_sound_and_small(self, image):
        subprocess.run(["/usr/sbin/e2fsck", "-f", "-n", image.rootfs], check=True, capture_output=True)
        assert image.manifest.parts["userland"].size == image.rootfs.stat().st_size < 200 << 20

    def test_the_agent_is_in_its_place_and_executable(self, image, programs):
        done = subprocess.run(
            ["/usr/sbin/debugfs", "-R", "cat /usr/lib/bench/agent", image.rootfs], check=True, capture_output=True
        )
        assert done.stdout == programs.agent.read_bytes()
        assert "Mode:  0755" in debugfs(image, "stat /usr/lib/bench/agent")
        assert "Type: directory" in debugfs(image, "stat /scratch")

    @pytest.mark.parametrize(("path", "mode"), [("one/run.sh", "0555"), ("two/lib/data", "0444")])
    def test_the_files_of_workloads_are_in_their_place_for_everyone_to_read(self, image, files, path, mode):
        described = debugfs(image, f"stat {FILES_PATH}/{path}")
        assert f"Mode:  {mode}" in described
        assert "User:     0   Group:     0" in described
        assert f"Size: {files[path].size}" in described
        for directory in (FILES_PATH, f"{FILES_PATH}/one", f"{FILES_PATH}/two/lib"):
            assert "Mode:  0755" in debugfs(image, f"stat {directory}")

    @pytest.mark.parametrize(
        "path", ["/etc/apt/sources.list", "/etc/apt/apt.conf.d/99mmdebstrap", "/usr/share/man/man1", "/boot/vmlinuz"]
    )
    def test_nothing_of_the_host_or_for_readers_is_in_it(self, image, path):
        assert "File not found" in debugfs(image, f"stat {path}")

    def test_host_name_and_resolver_are_not_this_hosts(self, image):
        assert debugfs(image, "cat /etc/hostname").splitlines()[0] == "bench"
        assert "Size: 0" in debugfs(image, "stat /etc/resolv.conf")

    def test_packages_are_recorded_with_their_versions(self, image):
        assert {"base-files", "iproute2", "procps", "libc6"} <= set(image.manifest.packages)
        assert not any(name.startswith("linux-image") for name in image.manifest.packages)
        assert any(name.startswith("linux-image-") for name in image.manifest.kernel)

    def test_the_kernel_is_an_elf_file_with_a_pvh_entry(self, image):
        assert pvh_entry(image.kernel.read_bytes())

    def test_an_unknown_package_is_named_and_nothing_is_left(self, image, programs, cache):
        with pytest.raises(InvalidInput, match=r"no package 'iperf33'; the nearest names are .*iperf3"):
            ensure_image(["iperf33"], programs, lambda message: None)
        assert [path.name for path in (cache / "images").iterdir()] == [image.id]


@pytest.mark.host
def test_a_disk_without_room_is_said_before_anything_is_fetched(tmp_path, monkeypatch):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=15m", "bench-test", tmp_path], check=True)
    try:
        monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
        with pytest.raises(ImageError, match=r"too full.*0\.0 GB free.*BENCH_CACHE"):
            ensure_image([], Programs(tmp_path, "test", tmp_path, "test"), pytest.fail)
        assert list((tmp_path / "images").iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def boot(image: BuiltImage, directory, *devices: str, arguments: str = "") -> tuple[str, str]:
    """Boot a guest that must power itself off; return what came through the agent's port, and the console."""
    command = boot_command(image, directory, f"file,id=port,path={directory}/port", *devices, arguments=arguments)
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    return (directory / "port").read_text(), (directory / "console").read_text()


def boot_command(image: BuiltImage, directory, port: str, *devices: str, arguments: str) -> list[str]:
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "512", "-nodefaults"]
    command += ["-display", "none", "-no-reboot", "-kernel", str(image.kernel), "-initrd", str(image.initramfs)]
    command += ["-append", f"console=ttyS0 quiet loglevel=0 panic=-1 {arguments}"]
    command += ["-serial", f"file:{directory}/console", "-device", "virtio-serial-pci"]
    command += ["-chardev", port]
    command += ["-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile="]
    for device in devices:
        command += ["-device", device]
    for serial, read_only in (("root", "on"), ("scratch", "off")):
        file = image.rootfs if serial == "root" else directory / "scratch"
        command += ["-drive", f"id={serial},file={file},format=raw,if=none,readonly={read_only}"]
    return command


def stamp(lines, name):
    """Nanoseconds of one of the guest's stamps."""
    (found,) = [match[1] for line in lines if (match := re.fullmatch(rf"{name} (\d+)", line))]
    return int(found)


def tell_who_it_is(listener: socket.socket) -> str:
    """Wait until the guest waits, tell it a name and the rest, and return what it says then."""
    listener.settimeout(60)
    connection, _ = listener.accept()
    with connection, connection.makefile("rw") as stream:
        assert stream.readline() == "BENCH-WAITING\n"
        seed = "0123456789abcdef" * 4
        stream.write(f"hostname=bench-late address=10.77.0.7/24 time=1800000000.5 seed={seed}\n")
        stream.flush()
        return stream.read()


PORT = "virtserialport,chardev=port,name=org.bench.agent"
ROOT = "virtio-blk-pci,drive=root,serial=root"
SCRATCH = "virtio-blk-pci,drive=scratch,serial=scratch"


@pytest.mark.slow
@pytest.mark.host
@pytest.mark.guest
class TestBoot:
    @pytest.fixture
    def directory(self, tmp_path):
        with (tmp_path / "scratch").open("wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", tmp_path / "scratch"], check=True)
        return tmp_path

    def test_the_agent_is_started_with_everything_in_its_place(self, image, directory):
        arguments = "bench.address=10.77.0.5/24 bench.gateway=10.77.0.1 bench.hostname=bench-name bench.scratch=yes"
        told, console = boot(image, directory, SCRATCH, ROOT, PORT, arguments=arguments)
        assert console == ""
        lines = told.splitlines()
        assert lines[0].startswith("pid 1 /usr/lib/bench/agent --device /dev/vport")
        assert lines[0].endswith(" --power-off")
        mounts = (line.split() for line in lines if line.endswith(" 0 0") and len(line.split()) == 6)
        mounted = {target: kind for _, target, kind, *_ in mounts}
        assert mounted == {
            "/": "overlay",
            "/proc": "proc",
            "/sys": "sysfs",
            "/dev": "devtmpfs",
            "/dev/pts": "devpts",
            "/dev/shm": "tmpfs",
            "/tmp": "tmpfs",
            "/run": "tmpfs",
            "/scratch": "ext4",
        }
        assert "bench-name" in lines
        assert "|-- 10.77.0.5" in told
        assert "|-- 127.0.0.1" in told
        assert any(line.split()[:3] == ["eth0", "00000000", "01004D0A"] for line in lines)
        assert "root is writable: 1" in lines
        assert "devices are linked: 1" in lines
        assert "scratch is writable: 1" in lines
        assert 0 < stamp(lines, "init") < stamp(lines, "root") < 60e9

    def test_scratch_and_network_are_optional(self, image, directory):
        told, console = boot(image, directory, ROOT, PORT)
        assert console == ""
        assert "/scratch ext4" not in told
        assert "127.0.0.1" in told

    def test_what_is_missing_is_said_on_the_console_and_the_guest_powers_off(self, image, directory):
        """A disk that is missing is in tests/runtimes/vm/test_vm_failures.py; init waits for either for ten seconds."""
        told, console = boot(image, directory, ROOT, PORT.replace("org.", "other."))
        assert told == ""
        assert "bench-init: there is no virtio-serial port named 'org.bench.agent'" in console

    def test_it_waits_to_be_told_who_it_is(self, image, directory):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(directory / "port"))
            listener.listen()
            channel = f"socket,id=port,path={directory}/port"
            command = boot_command(image, directory, channel, SCRATCH, ROOT, PORT, arguments="bench.wait=yes")
            with subprocess.Popen(command) as guest:
                try:
                    told = tell_who_it_is(listener)
                finally:
                    guest.kill()
        lines = told.splitlines()
        assert "bench-late" in lines
        assert "|-- 10.77.0.7" in told
        assert "scratch is writable: 1" in lines
        assert 0 < stamp(lines, "restored") < stamp(lines, "root") < 60e9
        assert stamp(lines, "now") == pytest.approx(1_800_000_000, abs=30)

    def test_an_address_that_cannot_be_set_is_named(self, image, directory):
        _, console = boot(image, directory, ROOT, PORT, arguments="bench.address=nonsense")
        assert "bench-init: 'nonsense' is no address with the length of its network" in console


def test_the_same_tree_gives_the_same_file_system_at_any_time(tmp_path):
    files = []
    for number in (1, 2):
        tree = tmp_path / f"tree{number}"
        for name in ("etc", "usr/lib"):
            (tree / name).mkdir(parents=True)
        for index in range(50) if number == 1 else reversed(range(50)):
            (tree / f"usr/lib/file{index}").write_text(f"content {index}" * 500)
        (tree / "bin").symlink_to("usr/bin")
        for path in (*tree.rglob("*"), tree):
            os.utime(path, (1e9, 1e9), follow_symlinks=False)
        make_ext4(tree, tmp_path / f"{number}.ext4", "identity", inodes=60, blocks=160)
        files.append((tmp_path / f"{number}.ext4").read_bytes())
        time.sleep(1.1)
    assert files[0] == files[1]
    subprocess.run(["/usr/sbin/e2fsck", "-f", "-n", tmp_path / "1.ext4"], check=True, capture_output=True)


@pytest.mark.host
def test_what_servers_made_at_their_installation_is_not_in_an_image_and_none_starts_by_itself(tmp_path):
    root = tmp_path / "root"
    wants = "etc/systemd/system/multi-user.target.wants"
    for name in (wants, "etc/ssl/certs", "etc/ssl/private", "usr/bin", "var/lib/postgresql/15/main", "dev"):
        (root / name).mkdir(parents=True)
    (root / wants / "redis-server.service").symlink_to("/lib/systemd/system/redis-server.service")
    (root / "var/lib/postgresql/15/main/PG_VERSION").write_text("15\n")
    for name in ("private/ssl-cert-snakeoil.key", "certs/ssl-cert-snakeoil.pem", "certs/ca.pem"):
        (root / "etc/ssl" / name).write_text("different every time\n")
    (root / "etc/ssl/certs/62742064.0").symlink_to("ssl-cert-snakeoil.pem")
    for name in ("root.tar", "agent", "files"):
        (tmp_path / name).mkdir() if name == "files" else (tmp_path / name).touch()
    subprocess.run(["tar", "-c", "-f", tmp_path / "root.tar", "-C", root, "."], check=True)
    tree = tmp_path / "tree"
    script = resources.files("workloads.image").joinpath("rootfs.sh")
    unit = resources.files("workloads.image").joinpath("bench-agent.service")
    arguments = [tmp_path / "root.tar", tree, tmp_path / "agent", tmp_path / "files", str(unit), "1700000000"]
    subprocess.run(["sh", str(script), *arguments], check=True, timeout=60)
    assert [path.name for path in (tree / wants).iterdir()] == ["bench-agent.service"]
    assert (tree / wants / "bench-agent.service").read_bytes() == agent_unit()
    assert [path.name for path in (tree / "etc/ssl").rglob("*") if not path.is_dir()] == ["ca.pem"]
    assert list((tree / "var/lib/postgresql").rglob("*")) == [tree / "var/lib/postgresql/15"]


def test_a_file_that_changed_since_its_workload_was_read_is_named(tmp_path):
    (tmp_path / "run.sh").write_text("echo 1")
    files = {"mine/run.sh": CarriedFile.read("run.sh", tmp_path)}
    copy_files(files, tmp_path / "copied")
    assert (tmp_path / "copied" / "mine" / "run.sh").read_text() == "echo 1"
    (tmp_path / "run.sh").write_text("echo 2")
    with pytest.raises(ImageError, match=r"run\.sh has changed since the workload was read"):
        copy_files(files, tmp_path / "again")


def test_the_status_file_of_dpkg_is_read():
    text = (
        "Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2\nDescription: a\n Version: none\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 2\n\n"
        "Package: fio\nStatus: install ok installed\nVersion: 3.33-3\n"
    )
    assert parse_dpkg_status(text) == {"fio": "3.33-3", "zlib1g": "1:1.2"}
