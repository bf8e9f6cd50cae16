#!/bin/sh
# Turn the archive of a Debian root into the tree that becomes an image. Runs as root, or as root of a user namespace.
# usage: rootfs.sh ARCHIVE TREE AGENT FILES EPOCH
set -eu
archive=$1 tree=$2 agent=$3 files=$4 epoch=$5

mkdir "$tree"
# Every arm mounts a /dev of its own, and a user namespace could not make the nodes.
tar -x -p --numeric-owner --exclude='./dev/*' -f "$archive" -C "$tree"

# What mmdebstrap was told for the build, and what it took from this host.
rm -f "$tree/etc/apt/sources.list" "$tree/etc/apt/apt.conf.d/99mmdebstrap" "$tree/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
echo bench >"$tree/etc/hostname"
rm -f "$tree/etc/resolv.conf"
: >"$tree/etc/resolv.conf"
printf '127.0.0.1 localhost bench\n::1 localhost\n' >"$tree/etc/hosts"

mkdir -p "$tree/scratch" "$tree/usr/lib/bench"
install -m 0755 "$agent" "$tree/usr/lib/bench/agent"
cp -r --preserve=mode "$files" "$tree/usr/lib/bench/files"

# Ownership and times must not depend on who builds, or when.
chown -R 0:0 "$tree/scratch" "$tree/usr/lib/bench" "$tree/etc/hostname" "$tree/etc/resolv.conf" "$tree/etc/hosts"
find "$tree" -newermt "@$epoch" -exec touch -h -d "@$epoch" {} +
