"""The folders of packaging/ as a release has them: @WORDS@ filled in, VERSION in names of files, Gentoo's
Manifest, Debian's changelog and copyright."""

import hashlib
import re

import board
import debian
from board import TREE, Fatal

FOLDER = TREE / "packaging"
WORD = re.compile(r"@([A-Z][A-Z_]+[0-9]*)@")
# For whose crates Debian's copyright has the licences: no other system's.
TRIPLE = "x86_64-unknown-linux-gnu"


def words(tarball, site, commit):
    """What stands for the words. `tarball`: the path of the sources as they are released; `site`: the
    address of the folder in which they will be found."""
    data = tarball.read_bytes()
    licences = {f"MD5_{name}": hashlib.md5((TREE / f"LICENSE-{name}").read_bytes()).hexdigest()
                for name in ("APACHE", "MIT")}
    return {"VERSION": board.manifest()["package"]["version"], "SITE": site, "YEAR": commit.day[:4],
            "MAINTAINER": commit.maintainer, "SHA256": hashlib.sha256(data).hexdigest(),
            "SHA512": hashlib.sha512(data).hexdigest(), **licences}


def fill(folder, name, filled):
    """Writes the folder of an ecosystem into an empty one."""
    for path in sorted(path for path in (FOLDER / name).rglob("*") if path.is_file()):
        to = folder / str(path.relative_to(FOLDER / name)).replace("VERSION", filled["VERSION"])
        to.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text()
        unknown = [word for word in WORD.findall(text) if word not in filled]
        if unknown:
            raise Fatal(f"{path}: nothing is known of @{unknown[0]}@")
        to.write_text(WORD.sub(lambda found: filled[found[1]], text))
        to.chmod(0o755 if text.startswith("#!") else 0o644)


def names():
    """The ecosystems."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def manifest(folder, tarball):
    """Gentoo's Manifest, beside the ebuild."""
    data = tarball.read_bytes()
    (folder / "sys-auth/nssbox/Manifest").write_text(
        f"DIST {tarball.name} {len(data)} BLAKE2B {hashlib.blake2b(data).hexdigest()} "
        f"SHA512 {hashlib.sha512(data).hexdigest()}\n")


def debian_folder(folder, filled, commit):
    """debian/, which needs no tarball to be known."""
    fill(folder, "debian", filled)
    (folder / "README.md").unlink()
    (folder / "changelog").write_text(debian.changes((TREE / "CHANGELOG.md").read_text(), commit))
    libc = "glibc (LGPL-2.1 or later, its authors)"
    (folder / "copyright").write_text(debian.rights(TRIPLE, commit.day[:4], libc))
