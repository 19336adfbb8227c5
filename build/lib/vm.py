"""Debian's kernels in qemu, with modules of theirs in an initramfs."""

import re
import shlex
import subprocess
import time

import debs
from board import Fatal, need

# What a meta package stands for.
KERNEL = r"linux-image-\d\S*"
EMULATORS = {"qemu-system-arm": "qemu-system-arm", "qemu-system-x86_64": "qemu-system-x86"}


class Kernel:
    """One of Debian's kernels: `package`, `image`, `modules`, files in the order in which they are loaded."""

    def __init__(self, meta, arch, modules):
        """`modules`: names without `.ko`; those they need come in front. What is no module is built in."""
        self.package = debs.Apt(arch).depends(meta, KERNEL)
        self.folder = debs.unpacked(self.package, arch, ["./boot/vmlinu*", "*/kernel/*.ko"], "*.ko")
        self.image = next(iter(sorted(self.folder.glob("boot/vmlinu*"))), None)
        if not self.image:
            raise Fatal(f"{self.folder} has no kernel: remove this folder and try again")
        files = {path.stem.replace("-", "_"): path for path in self.folder.rglob("*.ko")}
        self.modules = []

        def add(name):
            path = files.get(name.replace("-", "_"))
            if not path or path in self.modules:
                return
            told = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
            for other in told[1].decode().split(",") if told else []:
                add(other)
            self.modules.append(path)

        for name in modules:
            add(name)


def add_modules(archive, kernel):
    """Puts the modules into an image; the shell's lines that load them."""
    for number, path in enumerate(kernel.modules):
        archive.file(f"modules/{number:02}-{path.name}", path.read_bytes())
    return "for module in /modules/*.ko; do insmod $module; done\n"


def run(command, deadline, log):
    """Runs qemu to its end; what came over the serial line, which is written to `log`, and how long it took."""
    words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command]
    words[0] = need(words[0], EMULATORS.get(words[0], "qemu-system"))
    start = time.monotonic()
    # Whatever becomes of this script, qemu does not outlive it.
    with log.open("wb") as output:
        try:
            subprocess.run([need("setpriv", "util-linux"), "--pdeathsig", "KILL", *words], stdin=subprocess.DEVNULL,
                           stdout=output, stderr=subprocess.STDOUT, timeout=deadline, check=False)
        except subprocess.TimeoutExpired:
            raise Fatal(f"qemu was ended after {deadline} s (see {log})") from None
    return log.read_text(errors="replace").replace("\r", ""), time.monotonic() - start
