"""Executables of earlier commits, built once and kept."""

import shutil
import subprocess

import board
from board import TREE, Fatal, output, say, staged

# No release has been made yet. This is the first commit with ipcserver, nscd and the map, and the first
# whose userdb systemd has a unit for.
FIRST = "4369c32"
FIRST_USERDB = "20853aa"


def executable(commit):
    """A release build of a commit, with its own defaults."""
    whole = board.git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").strip()
    if not whole:
        raise Fatal(f"no such commit: {commit}")
    path = output("older", f"nssbox-{whole[:10]}")
    if not path.exists():
        say(f"building {whole[:10]}")
        with board.workfolder() as work:
            tar = subprocess.run(["git", "-C", str(TREE), "archive", whole], stdout=subprocess.PIPE, check=True)
            subprocess.run(["tar", "-x", "-C", str(work)], input=tar.stdout, check=True)
            board.run([board.need("cargo", "cargo"), "build", "--quiet", "--release", "--locked", "--bin", "nssbox",
                       "--manifest-path", work / "Cargo.toml", "--target-dir", work / "target"])
            with staged(path) as new:
                shutil.copy(work / "target/release/nssbox", new)
    return path
