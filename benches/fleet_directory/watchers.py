"""Many real watchers: how long a change takes to the file of each."""

import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import cost, servers

# Seconds between two polls of those who poll, so that a measurement ends; and of quiet, to see what that costs.
POLL = 10
QUIET = 5


@dataclass
class Seen:
    """What was seen of one kind."""
    name: str
    what: str
    count: int
    told: bool
    delays: list = field(default_factory=list)
    # Of the last host, a change each.
    last: list = field(default_factory=list)
    missed: int = 0
    lookups: int = 0
    failed: int = 0
    # Of the server's CPU: for a change and a watcher; for a watcher and a minute in which nothing happens.
    milliseconds: float = 0.0
    idle: float = 0.0
    bytes: float = 0.0
    connections: int = 0
    memory: float = 0.0
    # CPU of one watcher for one change.
    own: float = 0.0

    def at(self, part):
        ordered = sorted(self.delays)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")

    def good(self):
        return not self.failed and not self.missed and (not self.told or self.at(0.99) <= 2)


# A kind: its server, its source, how a change is made, whether the server tells of it, what it is.
KINDS = {
    "watch-syncrepl": ("slapd", cost.ldap(cost.LDAP), cost.change("slapd"), True, "LDAP, persistent syncrepl"),
    "watch-etcd": ("etcd", cost.etcd, cost.change("etcd"), True, "etcd's watch"),
    "watch-snapshot": ("nginx", cost.snapshot, cost.change_file, False,
                       f"signed snapshots, each host asks every {POLL} s"),
}


class Lookups(threading.Thread):
    """Looks users up in the files of hosts in turn, as long as it is not stopped."""

    def __init__(self, setting, hosts, seen):
        super().__init__(daemon=True)
        self.setting, self.hosts, self.seen, self.stopped = setting, hosts, seen, threading.Event()

    def run(self):
        while not self.stopped.wait(0.02):
            host, number = random.choice(self.hosts), random.randrange(self.setting.users)
            command = [str(self.setting.nssbox), "getent", "-s", f"cache -d {host.folder}", "passwd", f"user{number}"]
            done = subprocess.run(command, capture_output=True, text=True)
            self.seen.lookups += 1
            if done.returncode != 0 or not done.stdout.startswith(f"user{number}:x:{100000 + number}:"):
                self.seen.failed += 1


def start(setting, host):
    """A watcher on a machine of its own, by its machine id. (Hosts are even over an interval by that.)"""
    identity = host.folder / "machine-id"
    identity.write_text(f"{random.getrandbits(128):032x}\n")
    script = f"mount --bind {identity} /etc/machine-id && exec \"$@\""
    command = ["unshare", "-m", "sh", "-c", script, "sh", *host.command("watch", "-1")]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def private_memory(process):
    text = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) / 1024


def wait_for_change(hosts, known, wanted, began, seen, seconds):
    """Until each file has the line, or it is too late."""
    waiting, latest = dict(enumerate(hosts)), 0.0
    while waiting and time.monotonic() - began < seconds:
        for at in list(waiting):
            try:
                stat = os.stat(waiting[at].passwd())
            except FileNotFoundError:
                seen.failed += 1
                continue
            version = (stat.st_ino, stat.st_mtime_ns)
            if version == known[at]:
                continue
            known[at] = version
            now = time.monotonic()
            if wanted in waiting[at].passwd().read_bytes():
                latest = now - began
                seen.delays.append(latest)
                del waiting[at]
        time.sleep(0.005)
    seen.missed += len(waiting)
    seen.last.append(latest)


def measure(setting, name, count, changes):
    """A row, or None where its server is not there."""
    which, source, change, told, what = KINDS[name]
    server = setting.server(which)
    if not server:
        return None
    print(f"fleet-directory: {name}: {count} watchers begin", file=sys.stderr)
    hosts = [setting.host(source(setting) + f"watch_interval = {POLL}\n") for _ in range(count)]
    seen = Seen(name, what, count, told)
    alone = quiet(server)
    processes, (_, before) = [], servers.wire()
    for at, host in enumerate(hosts):
        processes.append(start(setting, host))
        if at % 8 == 7:
            # Not more at a time than this machine has room for.
            processes[at - 7].stdout.read(1)
    for at, process in enumerate(processes):
        if at % 8 != 0 or at + 7 >= count:
            process.stdout.read(1)
    if any(not host.passwd().exists() for host in hosts):
        print(f"fleet-directory: {name}: a watcher has no file; left out", file=sys.stderr)
        stop(processes)
        return None
    lookups = Lookups(setting, hosts, seen)
    lookups.start()
    known = [(stat.st_ino, stat.st_mtime_ns) for stat in (os.stat(host.passwd()) for host in hosts)]
    idle = quiet(server)
    own = sum(map(servers.ticks_of, (process.pid for process in processes)))
    cpu, at, (moved, _) = server.cpu(), time.monotonic(), servers.wire()
    for number in range(changes):
        user, shell = random.randrange(setting.users), f"/bin/{name}-{number}"
        change(setting, None, user, shell)
        wanted = servers.passwd_line(user, shell).encode()
        wait_for_change(hosts, known, wanted, time.monotonic(), seen, 30 if told else 3 * POLL)
        time.sleep(1)
    moved_after, connections = servers.wire()
    used = server.cpu() - cpu - idle * (time.monotonic() - at)
    seen.milliseconds, seen.idle = max(used, 0) * 1000 / changes / count, max(idle - alone, 0) * 60_000 / count
    seen.own = (sum(map(servers.ticks_of, (process.pid for process in processes))) - own) * 1000 / changes / count
    seen.bytes = (moved_after - moved) / changes / count
    seen.connections = connections - before
    seen.memory = sum(map(private_memory, processes)) / count
    lookups.stopped.set()
    lookups.join()
    stop(processes)
    return seen


def quiet(server):
    """Of one CPU, what a server does while nothing happens."""
    began = server.cpu()
    time.sleep(QUIET)
    return (server.cpu() - began) / QUIET


def stop(processes):
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()
        process.stdout.close()
