"""Programs that look users up on a board as its own do: by glibc and by musl."""

import board
import debs
from board import Fatal, need

# By Debian's architecture: its C compiler, and the package.
COMPILERS = {"amd64": ("x86_64-linux-gnu-gcc", "gcc"),
             "arm64": ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
             "armel": ("arm-linux-gnueabi-gcc", "gcc-arm-linux-gnueabi"),
             "armhf": ("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf"),
             "mipsel": ("mipsel-linux-gnu-gcc", "gcc-mipsel-linux-gnu")}


def add(archive, target):
    """Puts Debian's busybox, which asks through glibc, with its libraries, and a program with musl into /test."""
    busybox = debs.unpacked("busybox", target.debian) / "bin/busybox"
    archive.file("test/busybox", busybox.read_bytes(), 0o755)
    glibc = debs.unpacked("libc6", target.debian)
    for pattern in ("ld-linux*.so*", "ld.so*", "libc.so.6", "libresolv.so.2"):
        for found in glibc.glob(f"lib*/**/{pattern}"):
            path = str(found.relative_to(glibc))
            if found.is_symlink():
                archive.link(path, str(found.readlink()))
            else:
                archive.file(path, found.read_bytes(), 0o755)
    archive.file("test/musl-lookup", musl_lookup(target).read_bytes(), 0o755)


def musl_lookup(target):
    """Compiles the client with Debian's C compiler and Debian's musl for the target."""
    if target.debian not in COMPILERS:
        raise Fatal(f"no C compiler is known for Debian's {target.debian}")
    compiler = need(*COMPILERS[target.debian])
    musl = debs.unpacked("musl-dev", target.debian)
    starts = sorted(musl.glob("usr/lib/*/crt1.o"))
    headers = sorted(musl.glob("usr/include/*/pwd.h"))
    if not starts or not headers:
        raise Fatal(f"{musl}: no crt1.o or pwd.h: remove this folder and try again")
    library = starts[0].parent
    program = target.out("musl-lookup")
    with board.staged(program) as new:
        board.run([compiler, "-Os", "-s", "-static", "-fno-pie", "-no-pie", "-nostdinc", "-isystem",
                   headers[0].parent, "-nostdlib", "-o", new, library / "crt1.o",
                   library / "crti.o", board.TREE / "tests/clients/musl-lookup.c", f"-L{library}",
                   "-lc", "-lgcc", "-lc", library / "crtn.o"])
    return program
