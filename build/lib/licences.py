"""The licences of all crates that are linked in: their names, and their texts as the crates bring them."""

import re
from pathlib import Path

import debian
from board import Fatal

FILE = re.compile(r"(?i)(licen[cs]e|copying|copyright|unlicense|notice)")


def text(folder, triples):
    """The page. `folder`: the vendored sources; `triples`: the targets that something is built for."""
    crates = {}
    for triple in triples:
        for crate in debian.normal_dependencies(debian.metadata(triple, folder)):
            crates[crate["name"], crate["version"]] = crate
    out = ["Licences of what is linked into nssbox, besides its own (LICENSE): Rust's standard library (MIT or",
           "Apache-2.0), musl (MIT) or glibc (LGPL-2.1 or later), and these crates.", ""]
    out += [f"{name} {version}: {crate['license']}" for (name, version), crate in sorted(crates.items())]
    for (name, version), crate in sorted(crates.items()):
        root = Path(crate["manifest_path"]).parent
        found = [path for path in sorted(root.iterdir()) if path.is_file() and FILE.match(path.name)]
        # A package of ours has those of the tree.
        found = found or ([] if crate["source"] else sorted(folder.glob("LICENSE-*")))
        if not crate["license"]:
            raise Fatal(f"{name} {version} names no licence")
        for path in found:
            out += ["", "=" * 100, f"{name} {version}: {path.name}", "=" * 100,
                    path.read_text(errors="replace").rstrip()]
    return "\n".join(out) + "\n"
