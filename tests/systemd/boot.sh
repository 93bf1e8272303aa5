#!/usr/bin/env bash
# boot.sh PAYLOAD: boots a real systemd as PID 1 of private namespaces over this machine's own root (an overlay; nothing of the machine is
# written), runs PAYLOAD/checks.sh inside, powers off. No image, no VM, no container engine. Root needed.
#
# Why each step: /proc/sys is read-only so that systemd-sysctl leaves the kernel's knobs alone; `mount --make-rshared /` because systemd does
# not do it in a container and LoadCredential= and its like silently yield empty directories without; a cgroup of our own so that clean-up
# ends exactly what was started; /etc/systemd/system is hidden so that nothing which the machine enabled starts.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" = __inner ]; then # PID 1 of the new PID namespace, before systemd
    work=$2
    read -r hostpid _ </proc/self/stat
    echo "$hostpid" >"$work/pid.tmp" # /proc is still the outer one
    tty=$(readlink /proc/self/fd/0)
    ip link set lo up
    base=$work/n root=$work/n/m
    mkdir -p "$base"
    mount -t tmpfs -o size=1g,mode=755 boot "$base"
    mkdir "$base/up" "$base/wk" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$base/up,workdir=$base/wk" "$root"
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc/sys"
    for f in sysrq-trigger kcore kmsg; do [ -e "$root/proc/$f" ] && mount --bind /dev/null "$root/proc/$f"; done
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755,nosuid,size=4m tmpfs "$root/dev"
    for d in null zero full random urandom tty; do
        : >"$root/dev/$d"
        mount --bind "/dev/$d" "$root/dev/$d"
    done
    mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
    case $tty in /dev/pts/*)
        : >"$root/dev/console"
        mount --bind "$tty" "$root/dev/console"
        ;;
    esac
    mount -t devpts -o newinstance,nosuid,noexec,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    for i in "fd /proc/self/fd" "stdin fd/0" "stdout fd/1" "stderr fd/2"; do
        set -- $i
        ln -s "$2" "$root/dev/$1"
    done
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
    mount -t mqueue mqueue "$root/dev/mqueue"
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
    mkdir -p "$root/run/payload"
    cp -r "$work/payload/." "$root/run/payload/"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$root/etc/systemd/system"
    : >"$root/etc/fstab"
    echo mwid-test >"$root/etc/hostname"
    rm -f "$root/etc/machine-id"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    mkdir -p "$root/run/systemd/journald.conf.d"
    printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nAudit=no\n' >"$root/run/systemd/journald.conf.d/test.conf"
    printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >"$root/etc/systemd/system/test.target"
    for u in systemd-logind.service systemd-udevd.service systemd-modules-load.service systemd-sysctl.service \
        systemd-remount-fs.service systemd-networkd.service systemd-resolved.service systemd-timesyncd.service \
        systemd-journald-audit.socket systemd-pstore.service sys-kernel-debug.mount sys-kernel-tracing.mount \
        sys-kernel-config.mount sys-fs-fuse-connections.mount dev-hugepages.mount proc-sys-fs-binfmt_misc.automount \
        systemd-binfmt.service console-getty.service getty.target systemd-ask-password-console.path; do
        ln -s /dev/null "$root/etc/systemd/system/$u"
    done
    cd "$root"
    mkdir -p run/oldroot
    pivot_root . run/oldroot
    cd /
    umount -l /run/oldroot
    rmdir /run/oldroot
    mount --make-rshared /
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=mwid-test TERM=dumb \
        /lib/systemd/systemd --system --unit=test.target --show-status=no --log-level=info
fi

cgroup=$(awk '$3=="cgroup2"{print $2; exit}' /proc/mounts)$(sed -n 's/^0:://p' /proc/self/cgroup)
cgroup=${cgroup%/}/mwid-test.$$
mkdir "$cgroup"
work=$(mktemp -d)
cp -r "$1" "$work/payload"
system=''
cleanup() {
    set +e
    echo 1 >"$cgroup/cgroup.kill" 2>/dev/null           # exactly what was started here, nothing else
    [ -n "$system" ] && kill -KILL "$system" 2>/dev/null # PID 1 of the namespace: the kernel ends the rest
    for _ in $(seq 100); do
        find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null
        [ -d "$cgroup" ] || break
        sleep 0.05
    done
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
bash -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$cgroup" setpriv --pdeathsig KILL script -qefc \
    "exec unshare --mount --propagation private --pid --fork --kill-child=KILL --uts --ipc --net --cgroup bash '$here/boot.sh' __inner '$work'" \
    "$work/console.log" </dev/null >/dev/null 2>&1 &
starter=$!
inside() {
    timeout -k 2 "${T:-20}" nsenter -t "$system" --mount --uts --ipc --net --pid --cgroup \
        env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"
}
up=''
for _ in $(seq 1500); do
    kill -0 $starter 2>/dev/null || break
    [ -n "$system" ] || { [ -s "$work/pid.tmp" ] && system=$(cat "$work/pid.tmp"); }
    if [ -n "$system" ] && [ "$(cat "/proc/$system/comm" 2>/dev/null)" = systemd ] && inside test -S /run/systemd/private 2>/dev/null; then
        state=$(inside systemctl is-system-running --wait 2>/dev/null) || true
        case $state in running | degraded)
            up=$state
            break
            ;;
        esac
    fi
    sleep 0.02
done
[ -n "$up" ] || {
    echo "FAILED: systemd did not boot"
    cat "$work/console.log"
    exit 1
}
rc=0
T=180 inside bash /run/payload/checks.sh &
wait $! || rc=$?
[ $rc = 0 ] || inside journalctl -b --no-pager -o short-monotonic -u mwid.service -u dbus.service -u polkit.service | tail -60
inside systemctl poweroff --no-wall 2>/dev/null || true
for _ in $(seq 200); do
    kill -0 $starter 2>/dev/null || break
    sleep 0.05
done
exit $rc
