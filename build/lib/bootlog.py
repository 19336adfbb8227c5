"""The script that looks users up on a booted board, and the judgement of what it printed.

A check is run on the board and judged here: the board prints exit code and output, no verdict.
"""

import re
import shlex
from collections import namedtuple

from board import Fatal

MARK = "nssbox-boot:"
SERVERS = ("ipcserver", "nscd")

Check = namedtuple("Check", "what command code output")
Result = namedtuple("Result", "answers first memory problem")

ADA = "ada:x:2001:2001:Ada Lovelace:/home/ada:/bin/sh"
ALICE = "alice:x:15000:15000:virtual user:/home/virtual/alice:/bin/sh"
# nscd says that she has no password: there is no line of hers in /etc/shadow.
ALICE_OF_NSCD = ALICE.replace(":x:", ":*:")
ADA_ID = "uid=2001(ada) gid=2001(ada) groups=50(staff),2001(ada)"
ALICE_ID = "uid=15000(virtual) gid=15000(virtual) groups=15000(virtual)"
NSSS = "getent -S /run/service/nsssd/s"
# Debian's busybox asks through glibc. The static one, the board's shell, reads files itself.
GLIBC = "/test/busybox"
MUSL = "/test/musl-lookup"

# ada is local, alice is a directory in /home/virtual.
LOOKUPS = (
    Check("ipcserver: a local user", f"{NSSS} passwd ada", 0, ADA),
    Check("ipcserver: a mapped user", f"{NSSS} passwd alice", 0, ALICE),
    Check("ipcserver: by uid", f"{NSSS} passwd 2001", 0, ADA),
    Check("ipcserver: a group", f"{NSSS} group staff", 0, "staff:x:50:ada"),
    Check("ipcserver: nobody of this name", f"{NSSS} passwd alcie", 2, ""),
    # Where the clock is read wrong (targets/README.md) a deadline passes at once, or never.
    Check("a lookup takes less than ten seconds", f"t=$(date +%s); {NSSS} passwd ada >/dev/null; "
          "[ $(($(date +%s) - t)) -lt 10 ]", 0, ""),
    # By its path: to this shell `id` is an applet of its own.
    Check("nssbox's id", "/bin/id alice", 0, ALICE_ID),
    Check("nscd, glibc: a local user", f"{GLIBC} id ada", 0, ADA_ID),
    Check("nscd, glibc: a mapped user", f"{GLIBC} id alice", 0, ALICE_ID),
    Check("nscd, glibc: nobody of this name", f"{GLIBC} id alcie", 1, "id: unknown user alcie"),
    Check("nscd, musl: a local user", f"{MUSL} passwd ada", 0, ADA),
    Check("nscd, musl: a mapped user", f"{MUSL} passwd alice", 0, ALICE_OF_NSCD),
    Check("nscd, musl: nobody of this name", f"{MUSL} passwd alcie", 2, "!alcie: not found"),
    # What proves that it was nscd: without its socket, neither library knows alice.
    Check("nscd's socket out of the way", "mv /run/nscd/socket /run/nscd/away", 0, ""),
    Check("no nscd, glibc: no mapped user", f"{GLIBC} id alice", 1, "id: unknown user alice"),
    Check("no nscd, musl: no mapped user", f"{MUSL} passwd alice", 2, "!alice: not found"),
    Check("nscd's socket back", "mv /run/nscd/away /run/nscd/socket", 0, ""),
    Check("nscd, glibc: the mapped user again", f"{GLIBC} id alice", 0, ALICE_ID),
    Check("nscd, musl: the mapped user again", f"{MUSL} passwd alice", 0, ALICE_OF_NSCD),
)
BOTH = f"{NSSS} passwd ada; {MUSL} passwd alice"
# When the servers' memory has been looked at.
AFTERWARDS = (
    Check("killed servers come back", "kill -9 $(pidof ipcserver nscd); n=0; until { "
          f"{BOTH.replace(';', ' &&')}; }} >/dev/null 2>&1 || [ $n = 200 ]; do n=$((n + 1)); "
          f"usleep 100000; done; {BOTH}", 0, f"{ADA}|{ALICE_OF_NSCD}"),
    Check("the kernel had no complaint about a program", "dmesg | grep -E 'segfault|SIG[A-Z]+|"
          "Unhandled|undefined instruction|Out of memory' | grep -v 'Kernel command line'", 1, ""),
)
CHECKS = LOOKUPS + AFTERWARDS

START = """\
#!/bin/sh
# Made by build/boot.
PATH=/bin:/sbin:/usr/bin:/usr/sbin
# The first answer, before anything else. The kernel's log has the time, in microseconds.
@NSSS@ passwd virtual >/dev/null && echo '<6>@MARK@ first answer of ipcserver' >/dev/kmsg
/test/musl-lookup passwd alice >/dev/null && echo '<6>@MARK@ first answer of nscd' >/dev/kmsg
dmesg -n 1
echo
echo 'ada:x:2001:2001:Ada Lovelace:/home/ada:/bin/sh' >>/etc/passwd
printf 'ada:x:2001:\\nstaff:x:50:ada\\n' >>/etc/group
n=0
check() {
    printed=$(sh -c "$1" 2>&1)
    code=$?
    echo "@MARK@ check $n $code $(printf %s "$printed" | tr '\\n' '|')"
    n=$((n + 1))
}
# Kilobytes: what is private and written to, and what of that belongs to no file.
memory() {
    for pid in $(pidof "$1"); do
        awk -v name="$1" '
            /^Private_Dirty:/ { dirty += $2 }
            /^Anonymous:/ { anonymous += $2 }
            END { print "@MARK@ memory", name, dirty, anonymous }' "/proc/$pid/smaps_rollup"
    done
}
"""
MEMORY = """\
memory ipcserver
memory nscd
"""
END = """\
dmesg | grep -E 'Run /init as init process|@MARK@' | sed 's/^/@MARK@ log /'
echo '@MARK@ end'
sync
# It has no way to switch itself off.
grep -q arm,versatile /proc/device-tree/compatible 2>/dev/null && reboot -f
poweroff -f
"""


def script():
    """/etc/rc.local of the board."""
    def lines(checks):
        return "".join(f"check {shlex.quote(check.command)}\n" for check in checks)
    return (START + lines(LOOKUPS) + MEMORY + lines(AFTERWARDS) + END).replace("@MARK@", MARK).replace("@NSSS@", NSSS)


def judge(log):
    """The result of a boot from what came over the serial line. `first` are the seconds from the
    start of /init to the first answer of each server, `memory` KiB by server."""
    lines = [line.rstrip() for line in re.findall(MARK + r" (.*)", log)]
    answers = {}
    for line in lines:
        found = re.match(r"check (\d+) (\d+) ?(.*)", line)
        if found:
            answers[int(found[1])] = (int(found[2]), found[3])
    problem = first_problem(answers, log, "end" in lines)
    first, memory = {}, {}
    if not problem:
        try:
            first, memory = times(lines), private(lines)
        except Fatal as error:
            problem = str(error)
    good = sum(answers.get(n) == (check.code, check.output) for n, check in enumerate(CHECKS))
    return Result(f"{good} of {len(CHECKS)}", first, memory, problem)


def first_problem(answers, log, ended):
    """The first thing that is wrong, or nothing."""
    panic = re.search(r"Kernel panic.*", log)
    if panic:
        return panic[0].strip()
    for number, check in enumerate(CHECKS):
        if number not in answers:
            where = f"after `{CHECKS[number - 1].what}`" if number else "before the first lookup"
            return f"the board stopped {where}: {last_line(log)}"
        code, output = answers[number]
        if (code, output) != (check.code, check.output):
            return (f"{check.what}: `{check.command}`: expected {check.code} '{check.output}', "
                    f"got {code} '{output}'")
    return "" if ended else f"the board stopped at the end: {last_line(log)}"


def last_line(log):
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return f"the last line is '{lines[-1]}'" if lines else "it printed nothing"


def times(lines):
    """Seconds from the kernel's start of /init to the first answers."""
    seen = {}
    for line in lines:
        found = re.match(r"log \[ *(\d+\.\d+)\].*?(Run /init|ipcserver|nscd)", line)
        if found:
            seen[found[2]] = float(found[1])
    for name in ("Run /init", *SERVERS):
        if name not in seen:
            raise Fatal(f"the kernel's log has no time of: {name}")
    return {name: seen[name] - seen["Run /init"] for name in SERVERS}


def private(lines):
    """{server: (Private_Dirty, Anonymous)} in KiB, over all processes of it."""
    memory = {}
    for line in lines:
        found = re.match(r"memory (\S+) (\d+) (\d+)$", line)
        if found:
            before = memory.get(found[1], (0, 0))
            memory[found[1]] = (before[0] + int(found[2]), before[1] + int(found[3]))
    for name in SERVERS:
        if name not in memory:
            raise Fatal(f"the board told no memory of {name}")
    return memory
