"""What one update costs its server."""

import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from . import servers
from .servers import passwd_line

# Updates that are measured for a mean.
TIMES = 20

LDAP, LDAP_PLAIN, ETCD, HTTP, HTTPS = 3890, 3891, 2379, 8080, 8443


@dataclass
class Cost:
    """Of one update, at the server."""
    name: str
    what: str
    milliseconds: float
    bytes: float
    connections: float


class Host:
    """A machine that runs nsscache: a folder with its configuration and its files."""

    def __init__(self, setting, folder, source):
        self.nssbox, self.folder = setting.nssbox, folder
        folder.mkdir(parents=True)
        config = folder / "nsscache.conf"
        config.write_text(
            f"[DEFAULT]\ncache = files\nmaps = passwd\ntimestamp_dir = {folder}/stamps\nlockfile = {folder}/lock\n"
            f"files_dir = {folder}\nmin_uid = 0\n{source}")
        config.chmod(0o600)

    def command(self, *words):
        return [str(self.nssbox), "nsscache", "-c", str(self.folder / "nsscache.conf"), *words]

    def update(self, *words):
        done = subprocess.run(self.command("update", *words), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"fleet-directory: fatal: update: {done.stderr}")

    def passwd(self):
        return self.folder / "passwd.cache"


class Setting:
    """Servers, begun when they are needed first, and an exporter."""

    def __init__(self, folder, nssbox, users):
        self.folder, self.nssbox, self.users, self.running, self.hosts = folder, nssbox, users, {}, 0

    def server(self, name):
        if name not in self.running:
            make = {
                "nginx": lambda: self.nginx(),
                "slapd": lambda: servers.slapd(self.folder / name, self.users, True, LDAP),
                "slapd-plain": lambda: servers.slapd(self.folder / name, self.users, False, LDAP_PLAIN),
                "etcd": lambda: servers.etcd(self.folder / name, self.users, ETCD),
            }
            self.running[name] = make[name]()
            if self.running[name] is None:
                print(f"fleet-directory: {name} is not there: its rows are left out", file=sys.stderr)
        return self.running[name]

    def nginx(self):
        www = self.folder / "nginx/www"
        www.mkdir(parents=True)
        key = ["minisign", "-G", "-W", "-p", str(self.folder / "signers"), "-s", str(self.folder / "key")]
        subprocess.run(key, check=True, stdout=subprocess.DEVNULL)
        (self.folder / "passwd").write_text("".join(passwd_line(number) for number in range(self.users)))
        self.exporter = self.host(f"source = files\nfiles_passwd_path = {self.folder}/passwd\n")
        self.export()
        return servers.nginx(self.folder / "nginx", HTTP, HTTPS)

    def export(self):
        """What an exporter does when its directory has changed."""
        self.exporter.update()
        www = self.folder / "nginx/www"
        command = self.exporter.command("export", "-k", str(self.folder / "key"), str(www))
        subprocess.run(command, check=True)
        (www / "passwd.new").write_bytes(self.exporter.passwd().read_bytes())
        (www / "passwd.new").rename(www / "passwd")

    def etag(self):
        """What nginx calls the list."""
        url = f"http://127.0.0.1:{HTTP}/snapshot"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.headers["ETag"]

    def change_file(self, number, shell):
        """Changes a user, as the directory of the exporter would."""
        text = (self.folder / "passwd").read_text().splitlines(keepends=True)
        text[number] = passwd_line(number, shell)
        (self.folder / "passwd.new").write_text("".join(text))
        (self.folder / "passwd.new").rename(self.folder / "passwd")
        self.export()

    def host(self, source, name=None):
        self.hosts += 1
        return Host(self, self.folder / (name or f"host{self.hosts}"), source)

    def stop(self, name):
        server = self.running.pop(name, None)
        if server:
            server.stop()


def snapshot(setting):
    return (f"source = http\nhttp_snapshot_url = http://127.0.0.1:{HTTP}/snapshot\n"
            f"http_signed_by = {setting.folder}/signers\n")


def plain_http(_):
    return f"source = http\nhttp_passwd_url = http://127.0.0.1:{HTTP}/passwd\n"


def ldap(port):
    return lambda _: (f"source = ldap\nldap_uri = ldap://127.0.0.1:{port}\nldap_base = {servers.BASE}\n"
                      "ldap_filter = (objectClass=posixAccount)\n")


def etcd(_):
    return f"source = etcd\netcd_endpoints = http://127.0.0.1:{ETCD}\netcd_prefix = /nss\n"


def nothing(setting, host, number):
    pass


def forget(setting, host, number):
    subprocess.run(["rm", "-rf", str(host.folder / "stamps"), str(host.passwd())], check=True)


def change(name):
    return lambda setting, host, number, shell=None: setting.server(name).change(number, shell or f"/bin/s{number}")


def change_file(setting, host, number, shell=None):
    setting.change_file(number, shell or f"/bin/s{number}")


def sign_again(setting, host, number):
    setting.export()


# A row: its server, its source, what happens before each update, the update's words, what it is.
ROWS = {
    "http-full": ("nginx", plain_http, nothing, ["--full"], "the file, gzip by nginx as it goes"),
    "http-304": ("nginx", plain_http, nothing, [], "nothing is new"),
    "snapshot-full": ("nginx", snapshot, forget, [], "a new board: list, signature, file"),
    "snapshot-change": ("nginx", snapshot, change_file, [], "one user changed: list, signature, file"),
    "snapshot-signed": ("nginx", snapshot, sign_again, [], "signed again: list, signature"),
    "snapshot-304": ("nginx", snapshot, nothing, [], "nothing is new"),
    "https-304": ("nginx", None, nothing, [], "the same over TLS 1.3, by curl"),
    "ldap-full": ("slapd", ldap(LDAP), nothing, ["--full"], "all entries"),
    "ldap-syncrepl": ("slapd", ldap(LDAP), change("slapd"), [], "one user changed: by cookie"),
    "ldap-syncrepl-idle": ("slapd", ldap(LDAP), nothing, [], "nothing is new: by cookie"),
    "ldap-delta-list": ("slapd-plain", ldap(LDAP_PLAIN), change("slapd-plain"), [],
                        "one user changed: by time stamp, and the list of entryUUIDs that tells who is gone"),
    "ldap-delta": ("slapd-plain", None, change("slapd-plain"), [],
                   "the same without that list, by ldapsearch: deletions never arrive"),
    "etcd-full": ("etcd", etcd, nothing, ["--full"], "all keys, in pages"),
    "etcd-change": ("etcd", etcd, change("etcd"), [], "one user changed: the keys that are newer"),
    "etcd-idle": ("etcd", etcd, nothing, [], "nothing is new"),
}


def measure(setting, name):
    """A row, or None where its server is not there."""
    which, source, before, words, what = ROWS[name]
    server = setting.server(which)
    if not server:
        return None
    print(f"fleet-directory: {name}", file=sys.stderr)
    host = None
    if source:
        host = setting.host(source(setting))
        try:
            host.update()
        except SystemExit as failed:
            print(f"{failed} {name} is left out", file=sys.stderr)
            return None
    tag = f"If-None-Match: {setting.etag()}" if which == "nginx" else ""
    # What the server does with nobody asking, to take that off.
    began = server.cpu()
    time.sleep(1)
    idle = server.cpu() - began
    cpu, count, opened = 0.0, 0, 0
    for number in range(TIMES):
        before(setting, host, number)
        began, at, (bytes_before, taken_before) = server.cpu(), time.monotonic(), servers.wire()
        if source:
            host.update(*words)
        elif which == "nginx":
            asked = subprocess.run(["curl", "-s", "-k", "-o", "/dev/null", "-w", "%{http_code}", "-H", tag,
                                    f"https://127.0.0.1:{HTTPS}/snapshot"], capture_output=True, text=True, check=True)
            if asked.stdout != "304":
                raise SystemExit(f"fleet-directory: fatal: {asked.stdout} and no 304")
        else:
            stamp = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - 1))
            server.search(f"(modifyTimestamp>={stamp})")
        time.sleep(0.05)
        bytes_after, taken_after = servers.wire()
        cpu += server.cpu() - began - idle * (time.monotonic() - at)
        count, opened = count + bytes_after - bytes_before, opened + taken_after - taken_before
    return Cost(name, what, max(cpu, 0) * 1000 / TIMES, count / TIMES, opened / TIMES)
