"""The constant POSIX sh text. Nothing from a host, a person or the database is ever put into it.

`DEFINE` is sent once a shell and only defines functions; `call` asks for one look. Every answer is framed by
lines that carry the look's nonce, so banners, echoes and the rest of an earlier answer cannot be mistaken for it.
"""

from __future__ import annotations

import re

DEFINE = r"""
exec 2>/dev/null
unset ENV HISTFILE; set +e
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin; export PATH
p_t() { if command -v timeout >/dev/null; then timeout 5 "$@" </dev/null; else "$@" </dev/null; fi; }
p_c() { echo "@@$1"; shift; cat "$@" </dev/null; }
p_forks() { echo "@@forks $1"; while read -r i j; do case $i in processes) echo "$j"; break;; esac; done </proc/stat; }
p_linux_counters() {
echo @@uptime; cat /proc/uptime
echo @@stat; grep -E '^(cpu|procs_)' /proc/stat
echo @@diskstats; cat /proc/diskstats
}
p_linux() {
p_c boot /proc/sys/kernel/random/boot_id
p_linux_counters
p_c meminfo /proc/meminfo
p_c loadavg /proc/loadavg
p_c netdev /proc/net/dev
for i in cpu memory io; do p_c "pressure $i" /proc/pressure/$i; done
echo @@df; p_t df -lPkT || p_t df -PkT || p_t df -Pk
echo @@inodes; p_t df -lPi || p_t df -Pi
echo @@states; { ps -eo stat= || ps -o stat; } | cut -c1 | sort | uniq -c
echo @@users; who | wc -l
if command -v systemctl >/dev/null; then
echo @@failed; p_t systemctl list-units --state=failed --plain --no-legend --no-pager | head -n 100
fi
echo @@restart; if test -e /run/reboot-required || test -e /var/run/reboot-required; then echo yes; else echo no; fi
}
p_linux_facts() {
p_c os /etc/os-release
echo @@cpuinfo; grep -m1 -E '^(model name|Hardware|cpu model|Processor)' /proc/cpuinfo
for i in sys_vendor product_name; do p_c "dmi $i" /sys/class/dmi/id/$i; done
p_c "dmi devicetree" /proc/device-tree/model
echo @@name; hostname
}
p_bsd() {
echo @@boot; sysctl -n kern.boottime
echo @@bsdcpu; sysctl -n kern.cp_time
echo @@bsdclock; date +%s
for i in hw.ncpu hw.physmem hw.pagesize vm.loadavg vm.stats.vm.v_free_count vm.stats.vm.v_inactive_count vm.stats.vm.v_laundry_count vm.stats.vm.v_cache_count; do
echo "@@sysctl $i"; sysctl -n $i; done
echo @@swapinfo; p_t swapinfo -k
echo @@df; p_t df -lPkT || p_t df -lPk || p_t df -Pk
echo @@bsdnet; p_t netstat -ibn
echo @@states; ps -axo stat= | cut -c1 | sort | uniq -c
echo @@users; who | wc -l
}
p_bsd_facts() {
echo "@@sysctl hw.model"; sysctl -n hw.model
p_c os /etc/os-release
echo @@name; hostname
}
p_look() {
echo; echo "@@begin $1"
echo @@times before; times
echo @@uname; uname -srm
if test -r /proc/stat; then
p_forks before
case $2 in *twice*) echo @@before; p_linux_counters; echo @@now; sleep 0.5 || sleep 1;; esac
p_linux; case $2 in *facts*) p_linux_facts;; esac
p_forks after
else
case $2 in *twice*) echo @@before; echo @@bsdcpu; sysctl -n kern.cp_time; echo @@now; sleep 1;; esac
p_bsd; case $2 in *facts*) p_bsd_facts;; esac
fi
echo @@times after; times
echo "@@end $1"
}
"""

_NONCE = re.compile(r"[0-9a-f]{8,64}")


def call(nonce: str, *, first: bool, facts: bool) -> str:
    """The line that makes one look. `nonce` is lower-case hex; `first` takes the counters twice, half a second apart.

    Raises ValueError for anything but hex: nothing else may ever reach a shell.
    """
    if not _NONCE.fullmatch(nonce):
        raise ValueError("a nonce is 8 to 64 hexadecimal digits")
    wanted = f"{'twice' if first else ''}{'facts' if facts else ''}" or "plain"
    return f"p_look {nonce} {wanted}\n"
