"""musl for a target, compiled from Debian's sources with clang: Debian's own is compiled for speed, and
on ARM it is not Thumb code."""

import os
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import board
import debs
from board import Fatal, need, say, staged

PATCH = Path(__file__).with_name("musl.patch")
# No stack protector: Rust's code, which sees all input first, has none either.
FLAGS = "-Oz -fno-pic -fno-stack-protector"
MADE = "crt1.o crti.o crtn.o libc.a".split()


def built(target):
    """The folder with musl's start files and archives, made at the first call."""
    clang = board.newest("clang", "clang-22")
    source = debs.source("musl")
    for program, package in (("make", "make"), ("patch", "patch"), ("ar", "binutils")):
        need(program, package)
    version = re.match(r"musl \((.*?)\)", (source / "debian/changelog").read_text())[1]
    triple, _, flags = target.libc.partition(" ")
    # It is made again when any of this changes.
    told = subprocess.run([clang, "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout
    recipe = [told, triple, flags, FLAGS, PATCH.read_text(), Path(__file__).read_text()]
    key = zlib.crc32("\n".join(recipe).encode())
    folder = board.output("cross", "musl", f"{target.name}-{version}-{key:08x}")
    if not folder.exists():
        say(f"compiling musl {version} for {target.name}")
        with staged(folder) as new:
            # Nothing else of our environment: its variables and the compiler's are many.
            env = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
            env.update(LC_ALL="C", CC=f"{clang} --target={triple}", CFLAGS=f"{flags} {FLAGS}",
                       AR="ar", RANLIB="ranlib")
            shutil.copytree(source, new / "source", symlinks=True)
            for assembly in (new / "source").glob("src/ldso/*/dlsym*"):
                assembly.unlink()
            for step in (["patch", "-s", "-p0", "-i", PATCH],
                         ["./configure", f"--target={triple}", "--disable-shared", "--disable-wrapper",
                          # Half of the newer one; nothing of ours allocates while it serves.
                          "--with-malloc=oldmalloc"],
                         ["make", "-s", f"-j{os.cpu_count()}", *(f"lib/{name}" for name in MADE)]):
                run(step, new / "source", env)
            for name in MADE:
                (new / "source/lib" / name).rename(new / name)
            shutil.rmtree(new / "source")
            # std names libunwind for a static musl; nothing unwinds here, so an empty archive will do.
            (new / "libunwind.a").write_text("!<arch>\n")
    return folder


def run(step, folder, env):
    """Runs a step quietly; if it fails, its last line is told."""
    done = subprocess.run([str(word) for word in step], cwd=folder, env=env, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    if done.returncode != 0:
        wrong = [line for line in done.stdout.splitlines() if "rror" in line or "FAILED" in line]
        last = (wrong or done.stdout.splitlines() or [f"exit code {done.returncode}"])[0]
        raise Fatal(f"unable to compile musl: {Path(step[0]).name}: {last.strip()}")
