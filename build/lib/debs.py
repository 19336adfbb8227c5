"""Debian packages of any architecture, and their sources, downloaded and unpacked without root.

apt runs with lists and a state of its own under target/cross, so that the system's architectures
and lists stay as they are.
"""

import re
import shutil
import subprocess
from pathlib import Path

from board import Fatal, need, output, run, say, staged

CONF = """\
Dir::State "{dir}";
Dir::State::lists "{dir}/lists";
Dir::State::status "/dev/null";
Dir::Cache "{dir}/cache";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::CNF::DefaultEnabled "false";
APT::Sandbox::User "root";
"""
BINARIES = """\
APT::Architectures {{ "{arch}"; }};
APT::Architecture "{arch}";
"""
# What stands for an architecture where sources are meant, which the machine's own lists need not name.
SOURCE = "source"
SOURCES = """\
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{dir}/sources";
"""
ETC = Path("/etc/apt")
TRIES = 3
# Bytes that lists and the largest package take. apt waits for ever on a full disk.
ROOM = 200 << 20
# Seconds for one run of apt.
PATIENCE = 600


class Apt:
    """apt for one architecture, or for sources."""

    def __init__(self, arch):
        self.arch = arch
        need("apt-get", "apt (these scripts take libraries and kernels from Debian)")
        need("dpkg-deb", "dpkg")
        folder = output("cross", "apt", arch)
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < ROOM:
            raise Fatal(f"the disk is full: {folder} needs {ROOM >> 20} MB")
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        if arch == SOURCE:
            self.name_sources(folder / "sources")
        self.conf = folder / "conf"
        kind = SOURCES if arch == SOURCE else BINARIES
        self.conf.write_text((CONF + kind).format(arch=arch, dir=folder))
        self.fresh = folder / "updated"

    @staticmethod
    def name_sources(folder):
        """The machine's own lists, and the same servers' sources in place of their packages."""
        folder.mkdir(exist_ok=True)
        for path in [ETC / "sources.list", *ETC.glob("sources.list.d/*")]:
            if path.suffix in (".list", ".sources") and path.is_file():
                text = re.sub(r"^deb(?=\s)", "deb-src", path.read_text(), flags=re.M)
                text = re.sub(r"^Types:.*", "Types: deb-src", text, flags=re.M)
                (folder / path.name).write_text(text)

    def update(self):
        """Fetches the lists. One index that fails is no matter: the download tells."""
        say(f"fetching Debian's package lists for {self.arch}")
        done = self.apt_get("update")
        self.fresh.write_text("")
        return done.stderr.strip().splitlines()[-1:]

    def apt_get(self, *words, folder=None):
        """Runs apt-get, in a folder; its exit code and messages."""
        try:
            return subprocess.run(["apt-get", "-qq", "-c", str(self.conf), *words], cwd=folder,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            raise Fatal(f"apt-get {words[0]} for {self.arch} took more than {PATIENCE} s") from None

    def download(self, package, folder):
        """Downloads a package into a folder; the file. Of sources, the one that names the others."""
        words, kind = ["download"], "deb"
        if self.arch == SOURCE:
            words, kind = ["source", "--download-only"], "dsc"
        why = []
        for attempt in range(TRIES):
            if attempt > 0 or not self.fresh.exists():
                why = self.update() or why
            done = self.apt_get(*words, package, folder=folder)
            found = list(folder.glob(f"{package}_*.{kind}"))
            if done.returncode == 0 and len(found) == 1:
                return found[0]
            why = done.stderr.strip().splitlines()[-1:] or why
        raise Fatal(f"unable to download Debian's {package}:{self.arch}: {' '.join(why)}")

    def depends(self, meta, pattern):
        """The package that a meta package stands for: kernels carry their version in the name."""
        for attempt in range(2):
            if attempt > 0 or not self.fresh.exists():
                self.update()
            done = subprocess.run(["apt-cache", "-c", str(self.conf), "depends", meta],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                  check=False)
            found = re.search(r"Depends: (" + pattern + r")", done.stdout)
            if found:
                return found[1]
        raise Fatal(f"Debian has no {meta}:{self.arch}")


def unpacked(package, arch, only=None, has=None):
    """The folder of an unpacked package, fetched at the first call. `only`: tar's patterns; `has`:
    a file of which it is fetched again if an earlier call left it out."""
    folder = output("cross", "debs", f"{package}_{arch}")
    if not folder.exists() or (has and not any(folder.rglob(has))):
        apt = Apt(arch)
        with staged(folder) as new:
            download = new / "download"
            download.mkdir(parents=True)
            say(f"downloading Debian's {package}:{arch}")
            unpack(apt.download(package, download), new, only)
            for left in download.iterdir():
                left.unlink()
            download.rmdir()
    return folder


def source(package):
    """The folder with a package's sources, Debian's patches applied, fetched at the first call."""
    folder = output("cross", "debs", f"{package}_{SOURCE}")
    if not folder.exists():
        need("dpkg-source", "dpkg-dev")
        apt = Apt(SOURCE)
        with staged(folder) as new:
            download = new / "download"
            download.mkdir(parents=True)
            say(f"downloading the sources of Debian's {package}")
            found = apt.download(package, download)
            # apt has checked what it downloaded.
            run(["dpkg-source", "-q", "--no-check", "-x", found, new / SOURCE])
            shutil.rmtree(download)
    return folder / SOURCE


def unpack(deb, folder, only):
    if not only:
        run(["dpkg-deb", "-x", deb, folder])
        return
    # Through a pipe: a kernel's package unpacks to some hundred MB.
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as tar:
        files = subprocess.run(["tar", "-x", "-C", str(folder), "--no-same-owner", "--wildcards",
                                *only], stdin=tar.stdout, stderr=subprocess.PIPE, text=True,
                               check=False)
        tar.stdout.close()
    if files.returncode != 0:
        why = (files.stderr.splitlines() or [""])[0]
        raise Fatal(f"unable to unpack {deb.name}: {why}")
    if tar.returncode != 0:
        raise Fatal(f"unable to unpack {deb.name}: it is damaged")
