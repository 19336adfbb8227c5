"""nginx, slapd and etcd, each started with files of its own, and what they have used so far."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

ADMIN, PASSWORD = "cn=admin,dc=example,dc=org", "secret"
BASE = "ou=people,dc=example,dc=org"


def peer(name, program):
    """A program of an unpacked package, or of this machine; None: there is none."""
    places = [Path(os.environ.get("NSSBOX_PEERS", "target/peers")) / name / program, Path("/") / program]
    found = next((place for place in places if place.exists()), None)
    return str(found.resolve()) if found else None


def libraries(name):
    """The environment with the libraries of an unpacked package in front."""
    root = Path(os.environ.get("NSSBOX_PEERS", "target/peers")).resolve() / name
    folders = [str(path) for path in root.glob("usr/lib/*-linux-gnu")]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(folders)}


def wait_for(what, ready, seconds=60):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"fleet-directory: fatal: waited in vain: {what}")
        time.sleep(0.02)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """One that runs until it is stopped."""

    def __init__(self, command, port, env=None):
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.port, self.process = port, subprocess.Popen(command, env=env, **quiet)
        wait_for(f"{command[0]} listens", lambda: listens(port))

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def cpu(self):
        return cpu_of(self.process.pid)


def cpu_of(pid):
    """Seconds of CPU of all threads that a process has. (Those of servers stay.)"""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            pass
    return total / 1e9


def ticks_of(pid):
    """Seconds of CPU that a process has used, in steps of a tick; threads that have ended count, too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wire():
    """Bytes over loopback, and connections that were taken, so far."""
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    heads, values = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Tcp:"))
    return int(line.split(":")[1].split()[0]), int(values[heads.index("PassiveOpens")])


def passwd_line(number, shell="/bin/sh"):
    return f"user{number}:x:{100000 + number}:20000:User Number {number}:/home/user{number}:{shell}\n"


def nginx(folder, port, tls_port):
    """On one port as it is, on the other one with TLS."""
    program = peer("nginx", "usr/sbin/nginx")
    if not program:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "www").mkdir(exist_ok=True)
    # As an authority gives it today; what the client makes of it is not measured.
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", f"{folder}/tls.key", "-out", f"{folder}/tls.pem", "-days", "30", "-subj", "/CN=localhost"],
                   check=True, stderr=subprocess.DEVNULL)
    temps = "".join(f"{kind}_temp_path {folder}/{kind};\n"
                    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"user root; daemon off; master_process off; worker_rlimit_nofile 20000; pid {folder}/pid;\n"
        f"error_log {folder}/error.log;\nevents {{ worker_connections 8000; }}\n"
        f"http {{ {temps} default_type text/plain; access_log off; gzip on; gzip_types *; gzip_static on;\n"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.1:{tls_port} ssl; root {folder}/www;\n"
        f"ssl_certificate {folder}/tls.pem; ssl_certificate_key {folder}/tls.key; }} }}\n")
    return Server([program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"], port)


class Slapd(Server):
    """With so many users; `sync`: it tells of changes."""

    def __init__(self, folder, users, sync, port):
        root = Path(os.environ.get("NSSBOX_PEERS", "target/peers")).resolve() / "ldap"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "db").mkdir(parents=True)
        schemas = "".join(f"include {root}/etc/ldap/schema/{name}.schema\n" for name in ("core", "cosine", "nis"))
        more = "moduleload syncprov.la\n" if sync else ""
        overlay = "overlay syncprov\nsyncprov-checkpoint 1000 10\nsyncprov-sessionlog 10000\n" if sync else ""
        (folder / "slapd.conf").write_text(
            f"{schemas}modulepath {root}/usr/lib/ldap\nmoduleload back_mdb.la\n{more}pidfile {folder}/pid\n"
            f"loglevel none\nsizelimit unlimited\nthreads 8\ndatabase mdb\nsuffix dc=example,dc=org\nrootdn {ADMIN}\n"
            f"rootpw {PASSWORD}\ndirectory {folder}/db\nmaxsize 2147483648\ndbnosync\n"
            f"index objectClass,uid,uidNumber,entryCSN,entryUUID eq\nindex modifyTimestamp eq\n{overlay}")
        with open(folder / "ldif", "w") as ldif:
            ldif.write("dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: x\n\n"
                       f"dn: {BASE}\nobjectClass: organizationalUnit\nou: people\n\n")
            for number in range(users):
                ldif.write(f"dn: uid=user{number},{BASE}\nobjectClass: account\nobjectClass: posixAccount\n"
                           f"uid: user{number}\ncn: User Number {number}\ngecos: User Number {number}\n"
                           f"uidNumber: {100000 + number}\ngidNumber: 20000\nhomeDirectory: /home/user{number}\n"
                           "loginShell: /bin/sh\n\n")
        self.env = libraries("ldap")
        add = [str(root / "usr/sbin/slapadd"), "-q", "-f", f"{folder}/slapd.conf", "-l", f"{folder}/ldif"]
        subprocess.run(add, env=self.env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        command = [str(root / "usr/sbin/slapd"), "-d", "0", "-h", f"ldap://127.0.0.1:{port}", "-f",
                   f"{folder}/slapd.conf"]
        super().__init__(command, port, self.env)

    def change(self, number, shell):
        """Gives a user another shell; comes back when the directory has it."""
        ldif = (f"dn: uid=user{number},{BASE}\nchangetype: modify\nreplace: loginShell\nloginShell: {shell}\n")
        tool = peer("ldap-utils", "usr/bin/ldapmodify")
        command = [tool, "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", ADMIN, "-w", PASSWORD]
        subprocess.run(command, input=ldif, text=True, env={**self.env, "LDAPNOINIT": "1"}, check=True,
                       stdout=subprocess.DEVNULL)

    def search(self, condition):
        """What a client that trusts in time stamps alone asks."""
        tool = peer("ldap-utils", "usr/bin/ldapsearch")
        command = [tool, "-x", "-LLL", "-H", f"ldap://127.0.0.1:{self.port}", "-b", BASE, "-E",
                   "pr=1000/noprompt", f"(&(objectClass=posixAccount){condition})"]
        subprocess.run(command, env={**self.env, "LDAPNOINIT": "1"}, check=True, stdout=subprocess.DEVNULL)


def slapd(folder, users, sync, port):
    found = peer("ldap", "usr/sbin/slapd") and peer("ldap-utils", "usr/bin/ldapmodify")
    return Slapd(folder, users, sync, port) if found else None


class Etcd(Server):
    """With so many users below /nss/passwd/."""

    def __init__(self, program, folder, users, port):
        shutil.rmtree(folder, ignore_errors=True)
        url, other = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
        command = [program, "--data-dir", str(folder), "--listen-client-urls", url, "--advertise-client-urls", url,
                   "--listen-peer-urls", other, "--initial-advertise-peer-urls", other, "--initial-cluster",
                   f"default={other}", "--unsafe-no-fsync"]
        super().__init__(command, port)
        wait_for("etcd has a leader", lambda: self.try_put("x", "x"))
        for number in range(users):
            self.put(f"/nss/passwd/user{number}", passwd_line(number).strip())

    def try_put(self, key, value):
        try:
            self.put(key, value)
        except OSError:
            return False
        return True

    def put(self, key, value):
        import base64
        text = {"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value.encode()).decode()}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v3/kv/put", json.dumps(text).encode())
        urllib.request.urlopen(request, timeout=10).read()

    def change(self, number, shell):
        self.put(f"/nss/passwd/user{number}", passwd_line(number, shell).strip())


def etcd(folder, users, port=2379):
    program = peer("etcd-server", "usr/bin/etcd")
    return Etcd(program, folder, users, port) if program else None
