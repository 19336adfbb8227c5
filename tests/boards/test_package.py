"""The Debian package for this machine, installed in an empty root: what its units start answers.

Needs root, and in NSSBOX_TEST_DEB the package. There is no systemd in that root: the command of a
unit is run with the socket that it tells its readiness to, as systemd would.
"""

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

DEB = os.environ.get("NSSBOX_TEST_DEB")
DEADLINE = 20
ROOT_LINE = "root:x:0:0:root:/root:/bin/sh\n"


@unittest.skipUnless(DEB and os.geteuid() == 0, "no NSSBOX_TEST_DEB, or not root")
class Installed(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        for name in ("var/lib/dpkg/updates", "var/lib/dpkg/info", "etc", "run", "proc", "dev"):
            (self.root / name).mkdir(parents=True)
        (self.root / "var/run").symlink_to("/run")
        (self.root / "var/lib/dpkg/status").touch()
        (self.root / "etc/passwd").write_text(ROOT_LINE)
        (self.root / "etc/group").write_text("root:x:0:\n")
        self.dpkg("-i", DEB)

    def dpkg(self, *words):
        subprocess.run(["dpkg", f"--root={self.root}", "--force-script-chrootless", "--force-architecture", *words],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self, unit):
        """Runs a unit's command; returns once it says that it is ready."""
        lines = (self.root / "lib/systemd/system" / unit).read_text().splitlines()
        keys = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        self.assertEqual(keys["Type"], "notify")
        (self.root / "run" / keys["RuntimeDirectory"]).mkdir(parents=True)
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(told.close)
        told.bind(str(self.root / "run/notify"))
        told.settimeout(DEADLINE)
        # /proc, so that a backend is known to be nssbox itself.
        command = ["unshare", "--mount", "--", "sh", "-c",
                   f'mount -t proc proc {self.root}/proc && exec chroot {self.root} "$@"', "sh",
                   *shlex.split(keys["ExecStart"])]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                                  env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": "/run/notify"})
        self.addCleanup(server.stderr.close)
        self.addCleanup(server.kill)
        self.assertIn(b"READY=1", told.recv(4096))
        return server

    def stop(self, server):
        server.terminate()
        self.assertEqual(server.wait(DEADLINE), 0)

    def ask(self, *words):
        return subprocess.run(["chroot", self.root, *words], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL, check=False, timeout=DEADLINE).stdout

    def test_the_service_starts_and_answers(self):
        server = self.start("nsssd.service")
        ask = ["/usr/lib/nssbox/bin/getent", "-S", "/run/service/nsssd/s", "passwd", "root"]
        self.assertEqual(self.ask(*ask), ROOT_LINE)
        self.assertEqual(self.ask("/usr/lib/nssbox/bin/id", "-un", "root"), "root\n")
        self.stop(server)
        self.assertEqual(self.ask(*ask), "")

    def test_nscd_starts_and_answers(self):
        server = self.start("nssbox-nscd.service")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(str(self.root / "run/nscd/socket"))
            # Version 2, GETPWBYNAME, a key of 5 bytes with its NUL.
            client.sendall(b"".join(n.to_bytes(4, "little") for n in (2, 0, 5)) + b"root\0")
            self.assertIn(b"root\0x\0root\0/root\0/bin/sh\0", client.recv(4096))
        self.stop(server)

    def test_nothing_is_left_when_it_is_removed(self):
        self.dpkg("--purge", "nssbox")
        left = [p for p in self.root.rglob("*") if not p.is_dir() and "dpkg" not in p.parts]
        self.assertEqual(sorted(p.name for p in left), ["group", "passwd"])


if __name__ == "__main__":
    unittest.main()
