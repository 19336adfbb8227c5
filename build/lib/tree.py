"""What an installation of nssbox holds, for build/install and the packages: executable, links, manual pages,
completions, files for supervisors, documents."""

import gzip
import os
import re
import shutil
from pathlib import Path

import board
import completion
import manpage
from board import TREE, Fatal

EXAMPLES = TREE / "doc/examples"
# What the files for supervisors say of their instructions.
HOW = re.compile(r"How to install it: (?:\.\./)+README\.md")
# The applets that a file for a supervisor starts.
STARTS = re.compile(r"\b(?:nssbox|exec(?! nssbox)) ([a-z][\w-]*)|/usr/bin/(?!nssbox)([a-z][\w-]*)|\b(nsssd-[a-z]+)")
# Services that are called as another package's.
OWN_NAMES = {"nscd": "nssbox-nscd", "userdb": "nssbox-userdb"}


class Place:
    """Where it goes: a folder that stands for /, and the prefix in it, such as usr."""

    def __init__(self, root, prefix, applets, day, package="nssbox", packed=False):
        """`day` is that of the manual pages; `packed`: they are compressed; `package`: the folder of
        documents."""
        self.root, self.prefix, self.applets = Path(root), prefix.strip("/"), applets
        self.day, self.package, self.packed = day, package, packed
        # Other people's files that were in the way.
        self.left = []

    def at(self, *parts):
        return self.root.joinpath(self.prefix, *parts)

    def named(self, *parts):
        """A path as it is when the folder is /."""
        return "/" + str(Path(self.prefix, *parts))

    def documents_at(self):
        return self.named("share/doc", self.package)

    def program(self, executable):
        with board.staged(self.at("bin/nssbox")) as new:
            shutil.copyfile(executable, new)
            new.chmod(0o755)

    def links(self, everywhere):
        """All in lib/nssbox/bin; in bin those that no other package has, or `everywhere` all."""
        for name in self.applets:
            self.link(self.at("lib/nssbox/bin", name), "../../../bin/nssbox")
            if everywhere or name not in manpage.DEBIANS:
                self.link(self.at("bin", name), "nssbox")

    def link(self, path, to):
        """A link; what is no link of the same name's is left alone."""
        if path.is_symlink() and Path(os.readlink(path)).name == Path(to).name or not os.path.lexists(path):
            with board.staged(path) as new:
                new.symlink_to(to)
        else:
            self.left.append(path)

    def manuals(self):
        pages = manpage.pages(TREE / "doc", self.applets)
        sections = {path.stem: manpage.section(path.stem) for path, _ in pages}
        for name, (applet, *_) in manpage.FILES.items():
            if applet in self.applets:
                self.manual(manpage.about_file(name, TREE / "doc"), name, "5", sections)
        for path, (name, *others) in pages:
            file = self.manual(path.read_text(), name, sections[name], sections)
            for other in others:
                if other in self.applets:
                    to = self.manual_at(other, manpage.section(other))
                    self.link_page(to, os.path.relpath(file, to.parent))

    def manual_at(self, name, section):
        return self.at(f"share/man/man{section[0]}", f"{name}.{section}{'.gz' if self.packed else ''}")

    def manual(self, text, name, section, sections):
        path = self.manual_at(name, section)
        sections = {**sections, "": self.documents_at() + "/"}
        put(path, manpage.page(text, name, section, self.day, sections))
        return path

    def link_page(self, path, to):
        with board.staged(path) as new:
            new.symlink_to(to)

    def completions(self, run):
        """For bash and zsh, by what the executable says when it is started with the words `run`; False
        where it cannot be. The names of other packages' programs are completed behind `nssbox` alone."""
        found = completion.commands(run, self.applets)
        if not found:
            return False
        names = [name for name in self.applets if name not in manpage.DEBIANS]
        folder = self.at("share/bash-completion/completions")
        put(folder / "nssbox", completion.bash(found, names))
        for name in names:
            self.link_page(folder / name, "nssbox")
        put(self.at("share/zsh/site-functions/_nssbox"), completion.zsh(found, names))
        return True

    def documents(self, elsewhere=(), without=""):
        """README and what it leads to. `elsewhere`: {path in the tree: path in the folder of documents}
        of what is not copied; `without`: a folder of doc/examples whose files are installed elsewhere."""
        folder = self.at("share/doc", self.package)
        for path in sorted((TREE / "doc").rglob("*")):
            if path.is_file() and not (without and path.is_relative_to(EXAMPLES / without)):
                copy(path, folder / path.relative_to(TREE))
        readme = (TREE / "README.md").read_text()
        for old, new in dict(elsewhere).items():
            readme = readme.replace(f"]({old})", f"]({new})")
        put(folder / "README.md", readme)
        # What it leads to is where it says.
        for name in re.findall(r"\]\((?!\w+:|#)([^)#]+)", readme):
            if (TREE / name).is_file() and not (folder / name).exists():
                copy(TREE / name, folder / name)

    def services(self, kind, folder=None):
        """The files of doc/examples for a supervisor; `folder` instead of where it looks for them."""
        how = KINDS.get(kind)
        if not how:
            raise Fatal(f"no such supervisor: {kind} (there are: {' '.join(KINDS)})")
        source, place = how
        files = sorted(path for path in (EXAMPLES / source).rglob("*") if path.is_file())
        # A service is all files of a name: nsssd.service and nsssd.socket, nscd/run and nscd/notification-fd.
        # What the executable has not is no service.
        absent = {service(path, source) for path in files if not started(path.read_text()) <= set(self.applets)}
        for path in files:
            if service(path, source) in absent:
                continue
            first, *rest = path.relative_to(EXAMPLES / source).parts
            to = Path(folder or place.format(prefix=self.prefix), OWN_NAMES.get(first, first), *rest)
            text = HOW.sub(f"See {self.documents_at()}/doc/examples/README.md", path.read_text())
            text = text.replace("/usr/bin/", self.named("bin") + "/")
            self.config(self.root / to, text)

    def inittab(self, name):
        """Lines for /etc/inittab, which is nobody's to replace."""
        text = (EXAMPLES / "inittab" / name).read_text().replace("/usr/bin/", self.named("bin") + "/")
        put(self.at(f"share/{self.package}/inittab.{name}"), text)

    def config(self, path, text):
        """A file that its owner may change: one with another content stays, and ours goes beside it."""
        mode = 0o755 if text.startswith("#!") else 0o644
        under_etc = path.is_relative_to(self.root / "etc")
        if under_etc and os.path.lexists(path) and (not path.is_file() or path.read_text(errors="replace") != text):
            self.left.append(path)
            path = path.with_name(path.name + ".new")
        put(path, text, mode)


# Supervisors: their folder in doc/examples, and where their files go.
KINDS = {
    "systemd": ("systemd", "{prefix}/lib/systemd/system"),
    "openrc": ("openrc", "etc/init.d"),
    "procd": ("procd", "etc/init.d"),
    "runit": ("runit", "etc/sv"),
    "s6": ("s6", "{prefix}/share/nssbox/s6"),
}
INITTABS = ("busybox", "sysvinit")


def service(path, source):
    """The name of a service, of one of its files."""
    return path.relative_to(EXAMPLES / source).parts[0].partition(".")[0]


def started(text):
    """The applets that a file for a supervisor starts."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    words = {word for line in lines for found in STARTS.findall(line) for word in found if word}
    return words & set(board.applets(",".join(board.manifest()["features"])))


def put(path, content, mode=0o644):
    """A file with this text, compressed where its name says so."""
    data = content.encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, 9, mtime=0)
    with board.staged(path) as new:
        new.write_bytes(data)
        new.chmod(mode)


def copy(path, to):
    with board.staged(to) as new:
        shutil.copyfile(path, new)
        new.chmod(0o755 if new.read_bytes()[:2] == b"#!" else 0o644)
