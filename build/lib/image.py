"""What an initramfs holds: nssbox and a busybox with their links, and the files of build/image."""

import os
import re
import subprocess

import cpio
import debs
import qemuuser
from board import TREE, Fatal

FOLDERS = {"dev": 0o755, "home": 0o755, "home/virtual": 0o755, "proc": 0o555, "root": 0o700,
           "run": 0o755, "sys": 0o555, "tmp": 0o1777, "var": 0o755}
# For what runs before /dev is mounted. Path, major and minor number, mode.
DEVICES = (("dev/console", 5, 1, 0o600), ("dev/null", 1, 3, 0o666))
SECRET = "etc/shadow"
# Commands of nssbox in an inittab.
SERVERS = re.compile(r"(?<![\w/-])(ipcserver|nsssd-\w+|nscd(?= [-\d]))")


def make(target, overlay=None):
    """The archive for a target; what a folder `overlay` holds is laid over it."""
    nssbox = target.executable()
    # Debian's dynamic one would need glibc. This one reads /etc/passwd itself, so that the
    # applets that tell of users are nssbox's.
    busybox = debs.unpacked("busybox-static", target.debian) / "bin/busybox"
    image = cpio.Archive()
    for path, mode in FOLDERS.items():
        image.folder(path, mode)
    for path, *device in DEVICES:
        image.device(path, *device)
    image.link("var/run", "../run")
    emulator = qemuuser.emulator(target)
    applets = listed([*emulator, nssbox, "--list"])
    image.file("bin/nssbox", nssbox.read_bytes(), 0o755)
    for name in applets:
        image.link(f"bin/{name}", "nssbox")
    image.file("bin/busybox", busybox.read_bytes(), 0o755)
    # Debian's may need more of a processor than the target has: a FPU.
    for path in listed([*emulator[:1], busybox, "--list-full"]):
        if path.rpartition("/")[2] not in applets and path not in image.entries:
            image.link(path, os.path.relpath("bin/busybox", os.path.dirname(path)))
    tree(image, TREE / "build/image")
    if overlay:
        if not overlay.is_dir():
            raise Fatal(f"{overlay} is no folder")
        image.tree(overlay)
    check(target, image, applets)
    return image


def tree(image, folder):
    """The files that come with the scripts: their modes do not depend on who checked them out."""
    for found in sorted(path for path in folder.rglob("*") if path.is_file()):
        path = str(found.relative_to(folder))
        data = found.read_bytes()
        mode = 0o755 if data.startswith(b"#!") else 0o600 if path == SECRET else 0o644
        image.file(path, data, mode)


def listed(command):
    """What an executable says it can be called as. It knows better than the target's list of
    features: that says nothing of a build with others."""
    try:
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise Fatal(f"unable to run {command[0]}: {error.strerror}") from None
    if done.returncode != 0 or not done.stdout.strip():
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise Fatal(f"unable to ask {command[-2]} for its applets: {why}")
    return done.stdout.split()


def check(target, image, applets):
    """Refuses an image whose inittab starts what the executable does not have."""
    lines = image.entries.get("etc/inittab", (0, b"", 0))[1].decode(errors="replace").splitlines()
    used = {name for line in lines if not line.startswith("#") for name in SERVERS.findall(line)}
    missing = sorted(used - set(applets))
    if missing:
        raise Fatal(f"/etc/inittab starts {', '.join(missing)}, which {target.executable()} was "
                    "built without: build/cross with it, or --overlay a folder with another one")
