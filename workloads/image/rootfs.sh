#!/bin/sh
# Turn the archive of a Debian root into the tree that becomes an image. Runs as root, or as root of a user namespace.
# usage: rootfs.sh ARCHIVE TREE AGENT FILES UNIT EPOCH
set -eu
archive=$1 tree=$2 agent=$3 files=$4 unit=$5 epoch=$6

mkdir "$tree"
# Every arm mounts a /dev of its own, and a user namespace could not make the nodes.
tar -x -p --numeric-owner --exclude='./dev/*' -f "$archive" -C "$tree"

# What mmdebstrap was told for the build, and what it took from this host.
rm -f "$tree/etc/apt/sources.list" "$tree/etc/apt/apt.conf.d/99mmdebstrap" "$tree/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
echo bench >"$tree/etc/hostname"
rm -f "$tree/etc/resolv.conf"
: >"$tree/etc/resolv.conf"
printf '127.0.0.1 localhost bench\n::1 localhost\n' >"$tree/etc/hosts"

# What packages made of themselves when they were installed, which is different every time: an empty database, and a key with a
# certificate in this host's name. Workloads make their own data.
rm -rf "$tree"/var/lib/postgresql/*/*
rm -f "$tree/etc/ssl/private/ssl-cert-snakeoil.key"
if [ -d "$tree/etc/ssl/certs" ]; then
    find "$tree/etc/ssl/certs" '(' -name ssl-cert-snakeoil.pem -o -lname ssl-cert-snakeoil.pem ')' -delete
fi

mkdir -p "$tree/scratch" "$tree/usr/lib/bench"
install -m 0755 "$agent" "$tree/usr/lib/bench/agent"
cp -r --preserve=mode "$files" "$tree/usr/lib/bench/files"

# What systemd needs to know, in guests that boot it. The agent is a service like any other: it starts when the system is up, and is killed for
# want of memory alone, as in every arm. All services that may be there are started by it, and so are none that would work while we measure:
# of the servers that packages bring along, each would have the port of a workload's.
system=$tree/etc/systemd/system
rm -rf "$system/multi-user.target.wants"
mkdir -p "$system/multi-user.target.wants" "$tree/etc/systemd/network"
install -m 0644 "$unit" "$system/bench-agent.service"
ln -s ../bench-agent.service "$system/multi-user.target.wants/bench-agent.service"
for masked in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer logrotate.timer man-db.timer systemd-tmpfiles-clean.timer getty.target serial-getty@ttyS0.service; do
    ln -sf /dev/null "$system/$masked"
done
# The interface keeps the name and the address that it has.
ln -s /dev/null "$tree/etc/systemd/network/99-default.link"
# Empty: every guest makes one of its own, and none takes its start for the first one of a new installation (machine-id(5)).
: >"$tree/etc/machine-id"

# Ownership and times must not depend on who builds, or when.
chown -R 0:0 "$tree/etc/systemd" "$tree/etc/machine-id" "$tree/scratch" "$tree/usr/lib/bench" "$tree/etc/hostname" "$tree/etc/resolv.conf" "$tree/etc/hosts"
find "$tree" -newermt "@$epoch" -exec touch -h -d "@$epoch" {} +
