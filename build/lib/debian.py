"""What Debian's packages are told of: version, date and maintainer by the commit, changelog, copyright."""

import email.utils
import json
import os
import re
import subprocess
import textwrap
from datetime import datetime, timezone

import board
from board import TREE, Fatal, need


class Commit:
    """What is known of the commit: time, day, maintainer, and its version for Debian."""

    def __init__(self, release=False):
        """The version is one before the next release, or `release` that of the release itself."""
        told = board.git("log", "-1", "--format=%an%n%ae").splitlines()
        name, mail = (told + ["", ""])[:2]
        self.time = board.time()
        name, mail = os.environ.get("DEBFULLNAME", name), os.environ.get("DEBEMAIL", mail)
        if not name or not mail:
            raise Fatal("no git commit here: set DEBFULLNAME and DEBEMAIL")
        self.maintainer = f"{name} <{mail}>"
        day = datetime.fromtimestamp(self.time, timezone.utc)
        self.day = day.strftime("%Y-%m-%d")
        version = board.manifest()["package"]["version"]
        if not release:
            version += f"~git{day:%Y%m%d%H%M}.{board.commit().rstrip('+')}"
        # Before the first one that Debian itself would make.
        self.version = f"{version}-0nssbox1"


def changes(text, commit, source="nssbox"):
    """The newest part of CHANGELOG.md in Debian's form."""
    newest = re.split(r"^## .*$", text, flags=re.M)[1]
    lines = [f"{source} ({commit.version}) unstable; urgency=medium", ""]
    for line in newest.splitlines():
        if line.startswith("### "):
            lines.append(f"  [ {line[4:].strip()} ]")
        elif line.startswith("- "):
            lines += [f"  * {line[2:]}"]
        elif line.strip():
            # A paragraph in front of the lists is an entry, too.
            goes_on = lines[-1].startswith(("  * ", "    "))
            lines.append(f"    {line.strip()}" if goes_on else f"  * {line.strip()}")
    date = email.utils.formatdate(commit.time)
    return "\n".join(folded(lines) + ["", f" -- {commit.maintainer}  {date.replace('-0000', '+0000')}", ""])


def folded(lines):
    """Lines of at most 80 columns, as Debian's changelogs have them."""
    out, entry = [], None
    for line in [*lines, ""]:
        if line.startswith("    ") and entry is not None:
            entry += " " + line.strip()
            continue
        if entry is not None:
            out += textwrap.wrap(entry, 79, initial_indent="  ", subsequent_indent="    ",
                                 break_long_words=False, break_on_hyphens=False)
            entry = None
        if line.startswith("  * "):
            entry = line.strip()
        else:
            out.append(line)
    while out and not out[-1]:
        out.pop()
    return out


def rights(triple, year, libc="musl (MIT, the musl authors)"):
    """Debian's copyright file: ours, and what is linked in."""
    graph = metadata(triple)
    linked = normal_dependencies(graph)
    mit = (TREE / "LICENSE-MIT").read_text().split("\n\n", 2)[2]
    crates = "\n".join(f"  {p['name']} {p['version']}: {p['license']}" for p in linked)
    body = "\n".join(f" {line}" if line.strip() else " ." for line in mit.strip().splitlines())
    return f"""\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: nssbox
Comment:
 The executable is static. Linked in are {libc}, Rust's standard library
 (MIT or Apache-2.0, the Rust project's authors) and these crates (their authors; licences in the
 terms of SPDX):
{crates}

Files: *
Copyright: {year}, The nssbox authors
License: Expat or Apache-2.0

License: Expat
{body}

License: Apache-2.0
 On Debian systems the text of the Apache License 2.0 is in
 /usr/share/common-licenses/Apache-2.0.
"""


def metadata(triple, tree=TREE):
    """What cargo knows of all packages, those for this target alone."""
    told = subprocess.run([need("cargo", "cargo"), "metadata", "--locked", "--format-version=1",
                           "--filter-platform", triple], cwd=tree, stdout=subprocess.PIPE,
                          text=True, check=False)
    if told.returncode != 0:
        raise Fatal("cargo metadata failed")
    return json.loads(told.stdout)


def normal_dependencies(graph):
    """The packages that are linked into the executable, by name."""
    packages = {p["id"]: p for p in graph["packages"]}
    nodes = {n["id"]: n for n in graph["resolve"]["nodes"]}
    seen, todo = set(), [graph["resolve"]["root"]]
    while todo:
        for dep in nodes[todo.pop()]["deps"]:
            if dep["pkg"] not in seen and any(k["kind"] is None for k in dep["dep_kinds"]):
                seen.add(dep["pkg"])
                todo.append(dep["pkg"])
    return sorted((packages[i] for i in seen), key=lambda p: p["name"])
