"""The sources as they are released: what git has of the commit, and all crates; tarballs that are the same
bytes wherever, whenever and by whom they are made."""

import io
import lzma
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import board
from board import TREE, Fatal, need

# cargo's words for it, into the .cargo/config.toml of the sources.
VENDORED = """
# All crates are in vendor/: nothing is fetched.
[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "vendor"
"""


def export(folder):
    """Writes the files of the commit into a folder that is not there yet, and the crates into its vendor/."""
    folder.mkdir()
    archive = subprocess.run(["git", "-C", str(TREE), "archive", "--format=tar", "HEAD"],
                             stdout=subprocess.PIPE, check=False)
    if archive.returncode != 0:
        raise Fatal("git archive failed")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    done = subprocess.run([need("cargo", "cargo"), "vendor", "--quiet", "--locked", "vendor"], cwd=folder,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Fatal(f"cargo vendor failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    with open(folder / ".cargo/config.toml", "a", encoding="utf-8") as config:
        config.write(VENDORED)


def pack(folder, tarball, time, name=None):
    """A .tar.xz of a folder, called `name` in it. Of the files' modes only whether they are programs is
    kept, and of their times and owners nothing."""
    def entry(path, shown):
        info = tarfile.TarInfo(shown)
        info.mtime = time
        info.mode = 0o755
        if path.is_symlink():
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, os.readlink(path), 0o777
        elif path.is_dir():
            info.type = tarfile.DIRTYPE
        else:
            info.size = path.stat().st_size
            info.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
        return info
    name = name or folder.name
    with board.staged(tarball) as new:
        with lzma.open(new, "wb", preset=6) as packed, \
                tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for path in sorted([folder, *folder.rglob("*")]):
                info = entry(path, str(Path(name, path.relative_to(folder))))
                if info.isreg():
                    with open(path, "rb") as file:
                        tar.addfile(info, file)
                else:
                    tar.addfile(info)


def unpack(tarball, folder):
    """Unpacks what pack has made; the folder in it."""
    with tarfile.open(tarball) as tar:
        tar.extractall(folder, filter="data")
        return folder / Path(tar.getnames()[0]).parts[0]


def build(folder, target_dir, features="default"):
    """Builds the vendored sources with no network, where this machine lets us be without; the executable."""
    home = target_dir / "cargo-home"
    home.mkdir(parents=True, exist_ok=True)
    # An empty home: what an earlier build has fetched is not there.
    env = dict(os.environ, CARGO_HOME=str(home), CARGO_TARGET_DIR=str(target_dir))
    alone = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    tried = subprocess.run([*alone, "true"], stderr=subprocess.DEVNULL, check=False) if shutil.which("unshare") else None
    if not tried or tried.returncode != 0:
        board.say("no network namespaces here: the build could reach a network, and is told not to (--offline)")
        alone = []
    board.run([*alone, need("cargo", "cargo"), "build", "--quiet", "--release", "--locked", "--offline",
               "--no-default-features", "--features", features], cwd=folder, env=env)
    return target_dir / "release/nssbox"
