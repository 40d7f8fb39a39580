"""The constant POSIX sh text. Nothing from a host, a person or the database is ever put into it.

`DEFINE` is sent once a shell and only defines functions; `call` asks for one look. Every answer is framed by
lines that carry the look's nonce, so banners, echoes and the rest of an earlier answer cannot be mistaken for it.
"""

from __future__ import annotations

import re

FILES = {
    "/proc/sys/kernel/random/boot_id": "boot",
    "/proc/uptime": "uptime",
    "/proc/stat": "stat",
    "/proc/diskstats": "diskstats",
    "/proc/meminfo": "meminfo",
    "/proc/loadavg": "loadavg",
    "/proc/net/dev": "netdev",
    "/proc/pressure/cpu": "pressure cpu",
    "/proc/pressure/memory": "pressure memory",
    "/proc/pressure/io": "pressure io",
}
"""What one process reads at each look (starting a process costs the machine more than reading ten files), and the
section each becomes. Its lines are "file:line", as grep prints those of several files."""

DEFINE = r"""
exec 2>/dev/null
unset ENV HISTFILE; set +e
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin; export PATH
p_t() { if command -v timeout >/dev/null; then timeout 5 "$@" </dev/null; else "$@" </dev/null; fi; }
p_c() { echo "@@$1"; shift; cat "$@" </dev/null; p_n=$((p_n+1)); }
p_linux_counters() {
echo @@uptime; cat /proc/uptime
echo @@stat; grep -E '^(cpu|procs_)' /proc/stat
echo @@diskstats; cat /proc/diskstats
p_n=$((p_n+3))
}
p_linux() {
echo @@files
grep -svE '^(intr|softirq) ' FILES </dev/null
p_n=$((p_n+1))
case $1 in *disks*)
echo @@df; p_t df -lPkT || p_t df -PkT || p_t df -Pk
p_n=$((p_n+2));; esac
case $1 in *slow*)
echo @@inodes; p_t df -lPi || p_t df -Pi
echo @@states; { ps -eo stat= || ps -o stat; } | cut -c1 | sort | uniq -c
echo @@users; who | wc -l
if command -v systemctl >/dev/null; then
echo @@failed; p_t systemctl list-units --state=failed --plain --no-legend --no-pager | head -n 100
p_n=$((p_n+3))
fi
echo @@restart; if test -e /run/reboot-required || test -e /var/run/reboot-required; then echo yes; else echo no; fi
p_n=$((p_n+8));; esac
}
p_linux_facts() {
p_c os /etc/os-release
echo @@cpuinfo; grep -m1 -E '^(model name|Hardware|cpu model|Processor)' /proc/cpuinfo
for i in sys_vendor product_name; do p_c "dmi $i" /sys/class/dmi/id/$i; done
p_c "dmi devicetree" /proc/device-tree/model
echo @@name; hostname
p_n=$((p_n+2))
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
p_n=0
case $2 in *facts*) echo @@uname; uname -srm; p_n=1;; esac
if test -r /proc/stat; then
case $2 in *twice*) echo @@before; p_linux_counters; echo @@now; sleep 0.5 || sleep 1;; esac
p_linux $2; case $2 in *facts*) p_linux_facts;; esac
echo @@ran; echo $p_n
else
case $2 in *twice*) echo @@before; echo @@bsdcpu; sysctl -n kern.cp_time; echo @@now; sleep 1;; esac
p_bsd; case $2 in *facts*) p_bsd_facts;; esac
fi
echo @@times after; times
echo "@@end $1"
}
""".replace("FILES", " ".join(FILES))

_NONCE = re.compile(r"[0-9a-f]{8,64}")


WANTS = ("twice", "facts", "disks", "slow")


def call(nonce: str, *wanted: str) -> str:
    """The line that makes one look. `nonce` is lower-case hex; `wanted` what it brings besides what moves all the time.

    `twice` takes the counters twice, half a second apart; `facts` what hardly ever changes; `disks` file systems;
    `slow` inodes, processes, users, failed units. Raises ValueError for anything else: nothing may ever reach a shell.
    """
    if not _NONCE.fullmatch(nonce):
        raise ValueError("a nonce is 8 to 64 hexadecimal digits")
    if not set(wanted) <= set(WANTS):
        raise ValueError(f"a look brings {', '.join(WANTS)}, and nothing else")
    return f"p_look {nonce} {'-'.join(wanted) or 'plain'}\n"
