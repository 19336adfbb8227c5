"""The tables: what was measured, and what that is for many hosts."""

HOSTS = 10_000
# Seconds between two polls of a host, and over which a boot is spread that is not at once.
POLL = 300
# Changes of the directory in a day.
CHANGES = 100
DAY = 86_400


def number(value):
    if value != value:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def bytes_of(value):
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.1f} {unit}" if unit != "B" and value < 100 else f"{value:.0f} {unit}"
        value /= 1000


def measured(users, costs):
    lines = [f"## A request, {users:,} users", "",
             "| row | what comes | server's CPU, ms | on the wire | connections |", "|---|---|---:|---:|---:|"]
    lines += [f"| `{row.name}` | {row.what} | {number(row.milliseconds)} | {bytes_of(row.bytes)} | "
              f"{row.connections:.1f} |" for row in costs]
    return "\n".join(lines) + "\n"


def watched(count, users, rows):
    lines = [f"## {count:,} watchers, {users:,} users", "",
             "| row | how | half of them, s | 99 % | the last one | missed | failed lookups | "
             "a change and host: server's CPU, ms | on the wire | a quiet minute and host: CPU, ms | connections | "
             "a watcher: CPU of a change, ms | its memory |", f"|---|---|{'---:|' * 11}"]
    for row in rows:
        last = max(row.last) if row.last else float("nan")
        lines.append(
            f"| `{row.name}` | {row.what} | {number(row.at(0.5))} | {number(row.at(0.99))} | {number(last)} | "
            f"{row.missed} | {row.failed} of {row.lookups:,} | {number(row.milliseconds)} | {bytes_of(row.bytes)} | "
            f"{number(row.idle)} | {row.connections:,} | {number(row.own)} | {row.memory:.1f} MiB |")
    return "\n".join(lines) + "\n"


# A set-up: its rows of a poll that brings nothing (none: it is told of changes), of a change, and of a boot; whom it is
# for.
SETUPS = {
    "LDAP, `watch` (syncrepl)": ("", "watch-syncrepl", "ldap-syncrepl-idle",
                                 "10 and 1,000 boxes where the directory is OpenLDAP and they reach it"),
    "LDAP, `update` by cookie (syncrepl)": ("ldap-syncrepl-idle", "ldap-syncrepl", "ldap-syncrepl-idle",
                                            "10 and 1,000, by cron"),
    "LDAP without syncrepl: time stamps and the list of entryUUIDs": (
        "ldap-delta-list", "ldap-delta-list", "ldap-delta-list", "10"),
    "LDAP, all entries each time": ("ldap-full", "ldap-full", "ldap-full", "none"),
    "etcd, `watch`": ("", "watch-etcd", "etcd-idle", "10 and 1,000 where etcd is there"),
    "plain files by nginx": ("http-304", "http-full", "http-304", "10 in one's own network"),
    "signed snapshots by nginx": ("snapshot-304", "snapshot-change", "snapshot-304", "1,000 and 10,000"),
    "the same, boards that forget at each boot": ("snapshot-304", "snapshot-change", "snapshot-full", "1,000 and 10,000"),
    "the same over https": ("https-304", "snapshot-change", "https-304", "where the list of users is no one's business"),
}


def computed(costs, rows):
    """For 10,000 hosts: a day, and a boot of all of them."""
    of = {row.name: row for row in [*costs, *rows]}
    lines = [f"## {HOSTS:,} hosts, computed", "",
             f"A poll each {POLL} s, {CHANGES} changes a day; all boot at once, or spread over {POLL} s.", "",
             "| set-up | a poll without news: server's CPU, on the wire | one with a change | connections | "
             f"{HOSTS:,} hosts: CPU, on the wire a day | boot at once: CPU | spread: of one CPU | choose it for |",
             "|---|---:|---:|---:|---:|---:|---:|---|"]
    for name, (idle, change, boot, whom) in SETUPS.items():
        if all(part in of for part in (change, boot)) and (not idle or idle in of):
            lines.append(f"| {name} | {setup(of.get(idle), of[change], of[boot])} | {whom} |")
    return "\n".join(lines) + "\n"


def setup(idle, change, boot):
    """The figures of one set-up. `idle`: None where a host is told of changes, on a connection that stays."""
    changed = HOSTS * CHANGES
    polls = HOSTS * DAY / POLL - changed if idle else 0
    # Who is told of changes costs a little all day.
    quiet = 0 if idle else HOSTS * change.idle * DAY / 60
    cpu = (polls * (idle.milliseconds if idle else 0) + changed * change.milliseconds + quiet) / 1000
    data = polls * (idle.bytes if idle else 0) + changed * change.bytes
    storm = HOSTS * boot.milliseconds / 1000
    one = [f"{number(row.milliseconds)} ms, {bytes_of(row.bytes)}" if row else "none" for row in (idle, change)]
    connections = f"{HOSTS / POLL:.0f} a second" if idle else f"{HOSTS:,} that stay"
    share = f"{cpu / DAY * 100:.1f} % of one, {bytes_of(data)}"
    return f"{one[0]} | {one[1]} | {connections} | {share} | {storm:,.0f} s | {storm / POLL * 100:.0f} %"
