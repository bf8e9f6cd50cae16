#!/bin/busybox sh
# PID 1 of a guest, from kernel entry to the agent. Every process started here is part of the measured startup time, so that
# shell builtins do what they can, and one `mount -a` does what many mounts would.
#
# Expects: a virtio-blk disk with serial `root` (the image), perhaps one with serial `scratch` (ext4), a virtio-serial port named
# `org.bench.agent`, and on the kernel command line, all optional: bench.address=A.B.C.D/N bench.gateway=A.B.C.D bench.hostname=NAME
# On an error it says so on the first serial port and powers off: a guest that did not start must not look like a slow one.

agent=/usr/lib/bench/agent

fail() {
    echo "bench-init: $1" 2>/dev/null >/dev/ttyS0 || echo "bench-init: $1" >/dev/console
    exec /bin/busybox poweroff -f
}

# Sets `disk` to the virtio disk with serial $1, or to nothing.
find_disk() {
    for block in /sys/block/vd*; do
        serial=
        read -r serial 2>/dev/null <"$block/serial" # without a newline at its end: the status of `read` says nothing
        disk=/dev/${block##*/}
        [ "$serial" = "$1" ] && return
    done
    disk=
}

# Sets `port` to the virtio-serial port named $1, or to nothing after 5 s: the host names ports some time after the driver has loaded.
find_port() {
    tries=0
    while [ $tries -lt 500 ]; do
        for candidate in /sys/class/virtio-ports/*; do
            name=
            read -r name 2>/dev/null <"$candidate/name"
            port=/dev/${candidate##*/}
            [ "$name" = "$1" ] && return
        done
        tries=$((tries + 1))
        sleep 0.01
    done
    port=
}

/bin/busybox mount -a || fail "could not mount /proc, /sys, /dev and a tmpfs for writes"

read -r modules </etc/modules
modprobe -a $modules || fail "a kernel module did not load; expected $modules"

find_disk root
root=$disk
[ "$root" ] || fail "there is no virtio disk with serial 'root'"
find_disk scratch

cp -a /skeleton/. / || fail "could not make directories and links in /dev and /writes"
{
    echo "$root /image ext4 ro 0 0"
    echo "overlay /newroot overlay lowerdir=/image,upperdir=/writes/files,workdir=/writes/work 0 0"
    echo "devpts /dev/pts devpts gid=5,mode=620,ptmxmode=666 0 0"
    echo "shm /dev/shm tmpfs nosuid,nodev,mode=1777 0 0"
    echo "tmp /newroot/tmp tmpfs nosuid,nodev,mode=1777 0 0"
    echo "run /newroot/run tmpfs nosuid,nodev,mode=755 0 0"
    [ "$disk" ] && echo "$disk /newroot/scratch ext4 rw 0 0"
} >/etc/fstab
mount -a || fail "could not mount the image and what belongs into it"

read -r arguments </proc/cmdline
address=
gateway=
hostname=
for argument in $arguments; do
    case $argument in
    bench.address=*) address=${argument#*=} ;;
    bench.gateway=*) gateway=${argument#*=} ;;
    bench.hostname=*) hostname=${argument#*=} ;;
    esac
done
ip link set lo up || fail "could not set up the loopback interface"
[ -z "$hostname" ] || echo "$hostname" >/proc/sys/kernel/hostname || fail "could not set the host name '$hostname'"
if [ "$address" ]; then
    ip address add "$address" dev eth0 && ip link set eth0 up || fail "could not give eth0 the address '$address'"
fi
[ -z "$gateway" ] || ip route add default via "$gateway" || fail "could not route through '$gateway'"

find_port org.bench.agent
[ "$port" ] || fail "there is no virtio-serial port named 'org.bench.agent'"

for directory in /proc /sys /dev; do
    echo "$directory /newroot$directory none move 0 0"
done >/etc/fstab
mount -a || fail "could not move /proc, /sys and /dev into the image"
exec /bin/busybox switch_root /newroot "$agent" --device "$port" --power-off
fail "could not start $agent"
