#!/bin/busybox sh
# PID 1 of a guest, from kernel entry to the agent. Every process started here is part of the measured startup time, so that
# shell builtins do what they can, and one `mount -a` does what many mounts would.
#
# Expects: a disk with serial `root` (the image, or a disk whose last partition is the image), perhaps one with serial `scratch` (ext4),
# a virtio-serial port named `org.bench.agent`, and on the kernel command line, or else in an OEM string of SMBIOS, all optional:
# bench.address=A.B.C.D/N bench.gateway=A.B.C.D bench.hostname=NAME bench.init=systemd
# On an error it says so on the first serial port and powers off: a guest that did not start must not look like a slow one.

agent=/usr/lib/bench/agent

fail() {
    echo "bench-init: $1" 2>/dev/null >/dev/ttyS0 || echo "bench-init: $1" >/dev/console
    exec /bin/busybox poweroff -f
}

# Sets `disk` to the disk with serial $1, or to nothing. ATA disks pad it with blanks, and have it in a page of their vital product data.
find_disk() {
    for block in /sys/block/vd* /sys/block/sd*; do
        serial=
        if [ -e "$block/serial" ]; then
            read -r serial 2>/dev/null <"$block/serial" # without a newline at its end: the status of `read` says nothing
        elif [ -e "$block/device/vpd_pg80" ]; then
            serial=$(dd if="$block/device/vpd_pg80" bs=4 skip=1 2>/dev/null)
            serial=${serial%% *}
        fi
        disk=/dev/${block##*/}
        [ "$serial" = "$1" ] && return
    done
    disk=
}

# Sets `arguments` to what the host says to this guest.
find_arguments() {
    read -r arguments </proc/cmdline
    case " $arguments" in
    *" bench."*) return ;;
    esac
    # A guest that boots from a disk shares it with others, and its kernel command line with it.
    arguments=$(tr '\000' '\n' 2>/dev/null </sys/firmware/dmi/tables/DMI | grep -o 'bench\.[a-z]*=.*')
}

# Loads those of the optional modules that devices of this guest need.
load_more() {
    more=
    for name in $optional; do
        case " $1 " in
        *" $name "*) more="$more $name" ;;
        esac
    done
    [ -z "$more" ] || modprobe -a $more || fail "a kernel module did not load; expected$more"
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
read -r optional </etc/modules.optional
modprobe -a $modules || fail "a kernel module did not load; expected $modules"
load_more crc32c_generic
for device in /sys/bus/virtio/devices/*/device; do
    read -r id <"$device"
    [ "$id" = 0x0005 ] && load_more virtio_balloon # the number of the memory balloon, see the virtio specification, 5
done

find_disk root
if [ -z "$disk" ]; then
    # The kernel has looked for all disks when modprobe returns.
    load_more "sd_mod ahci ata_piix"
    find_disk root
fi
root=$disk
[ "$root" ] || fail "there is no disk with serial 'root'"
for partition in /sys/block/"${root##*/}"/"${root##*/}"*; do
    [ -e "$partition" ] && root=/dev/${partition##*/} # at the end, the last: there are fewer than ten
done
find_disk scratch
[ -e /sys/class/net/eth0 ] || load_more e1000

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

find_arguments
address=
gateway=
hostname=
init=agent
for argument in $arguments; do
    case $argument in
    bench.address=*) address=${argument#*=} ;;
    bench.gateway=*) gateway=${argument#*=} ;;
    bench.hostname=*) hostname=${argument#*=} ;;
    bench.init=*) init=${argument#*=} ;;
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

if [ "$init" = systemd ]; then
    # A link whose target is seen from the image's root only.
    [ -L /newroot/sbin/init ] || fail "the image has no /sbin/init; expected the package systemd-sysv"
    mkdir -p /newroot/run/bench && echo "BENCH_AGENT_DEVICE=$port" >/newroot/run/bench/agent.env ||
        fail "could not write /run/bench/agent.env"
    [ -z "$hostname" ] || echo "$hostname" >/newroot/etc/hostname # systemd sets the name that this file has
fi
for directory in /proc /sys /dev; do
    echo "$directory /newroot$directory none move 0 0"
done >/etc/fstab
mount -a || fail "could not move /proc, /sys and /dev into the image"
[ "$init" != systemd ] || exec /bin/busybox switch_root /newroot /sbin/init
exec /bin/busybox switch_root /newroot "$agent" --device "$port" --power-off
fail "could not start $agent"
