#!/bin/sh
# Turn a Debian root into the lab's: who logs in, what is mounted, what starts. Runs as root.
# usage: root.sh ROOT VENV UNIT
set -eu
root=$1 venv=$2 unit=$3

echo lab >"$root/etc/hostname"
printf '127.0.0.1 localhost lab\n::1 localhost\n' >"$root/etc/hosts"
: >"$root/etc/resolv.conf"
cat >"$root/etc/fstab" <<FSTAB
/dev/disk/by-id/virtio-root / ext4 defaults 0 0
/dev/disk/by-id/virtio-work /work ext4 defaults 0 0
FSTAB
mkdir "$root/work"

# What nothing shows but KVM can say; vhost and tap are loaded by whoever opens their devices.
printf 'kvm_amd\nvhost_net\ntun\n' >"$root/etc/modules-load.d/lab.conf"

# Logs come back with the results; nothing else of the machine outlives it.
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\n' >"$root/etc/systemd/journald.conf.d/lab.conf"
# Nothing is kept up to date here, and there is no network to wait for.
for name in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    dpkg-db-backup.timer man-db.timer systemd-timesyncd.service libvirt-guests.service \
    docker.socket docker.service containerd.service lxc.service lxc-net.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$name"
done

# Ordinary users get the controllers that rootless runs need (systemd.resource-control(5), Delegate=).
mkdir -p "$root/etc/systemd/system/user@.service.d"
printf '[Service]\nDelegate=cpu cpuset io memory pids\n' >"$root/etc/systemd/system/user@.service.d/delegate.conf"
chroot "$root" useradd --create-home --shell /bin/bash --uid 1000 user
mkdir -p "$root/var/lib/systemd/linger"
: >"$root/var/lib/systemd/linger/user"

# root reaches the lab itself by ssh, for qemu+ssh.
mkdir -p "$root/root/.ssh"
chmod 0700 "$root/root/.ssh"
ssh-keygen -q -t ed25519 -N '' -C lab -f "$root/root/.ssh/id_ed25519"
cp "$root/root/.ssh/id_ed25519.pub" "$root/root/.ssh/authorized_keys"
printf 'localhost,127.0.0.1 %s\n' "$(cut -d' ' -f1,2 "$root/etc/ssh/ssh_host_ed25519_key.pub")" >"$root/root/.ssh/known_hosts"

# The console is root's, without a password: whoever has the console has the machine.
mkdir -p "$root/etc/systemd/system/serial-getty@ttyS0.service.d"
cat >"$root/etc/systemd/system/serial-getty@ttyS0.service.d/login.conf" <<LOGIN
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200 %I \$TERM
LOGIN
cat >"$root/etc/profile.d/lab.sh" <<PROFILE
export PATH=$venv/bin:\$PATH BENCH_CACHE=/work/cache BENCH_STORE=/work/results/bench-results
cd /work/project 2>/dev/null || true
PROFILE

# The project's work tree comes by the second disk, and is used in place.
echo /work/project >"$(echo "$root$venv"/lib/python3*/site-packages)/project.pth"
rm -rf "$root$venv/bin/pip"*
for script in "$root$venv"/bin/*; do
    if [ ! -L "$script" ] && head -c 2 "$script" | grep -q '#!'; then sed -i "1s|.*|#!$venv/bin/python|" "$script"; fi
done
cat >"$root$venv/bin/bench" <<BENCH
#!$venv/bin/python
import sys
from bench.cli import main
sys.exit(main())
BENCH
chmod 0755 "$root$venv/bin/bench"

install -m 0644 "$unit" "$root/etc/systemd/system/lab.service"
chroot "$root" systemctl --quiet enable lab.service ssh.service libvirtd.service
rm -f "$root/etc/machine-id" "$root"/var/cache/apt/archives/*.deb
: >"$root/etc/machine-id"
rm -rf "$root"/var/lib/apt/lists/*
