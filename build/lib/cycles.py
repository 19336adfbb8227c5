"""Circles between the modules of a crate: build/lib/cycles.py [SRC] prints each and ends with 1.

Reads the `use crate::`, `use super::` and `use self::` lines and paths of every file. What counts is
siblings: if one of two modules of the same parent needs the other, directly or by way of its own
modules, the other must not need it. A module and the one that it is part of may know each other.
"""

import re
import sys
from pathlib import Path

# A path, and what stands in braces behind it, which may hold one more pair.
PATH = re.compile(r"\b(crate|super|self)((?:::\w+)*)(?:::\{((?:[^{};]|\{[^{};]*\})*)\})?")
COMMENT = re.compile(r"//[^\n]*")
STRING = re.compile(r'b?"(?:\\.|[^"\\])*"')


def modules(src):
    """Each module, as a tuple of names, and its file; the crate itself is ()."""
    found = {}
    for file in sorted(src.rglob("*.rs")):
        parts = file.relative_to(src).with_suffix("").parts
        if file.name in ("main.rs", "lib.rs") and len(parts) == 1:
            parts = ()
        elif file.name == "mod.rs":
            parts = parts[:-1]
        if not (file.name == "main.rs" and (src / "lib.rs").exists()):
            found[parts] = file
    return found


def code(text):
    """Without comments, strings, and the tests at the end of a file."""
    text = STRING.sub('""', COMMENT.sub("", text))
    return text.split("#[cfg(test)]\nmod tests {")[0]


def split(names):
    """The items of a list in braces; those of inner braces are left out."""
    depth, item, items = 0, "", []
    for char in names + ",":
        if char == "," and depth == 0:
            items.append(item.strip())
            item = ""
        else:
            depth += (char == "{") - (char == "}")
            item += char
    return [re.split(r"\s|\{", item)[0].rstrip(":") for item in items if item]


def paths(text):
    """Every path into the crate: where it begins, and its names."""
    for match in PATH.finditer(text):
        start, names, braces = match.groups()
        first = [name for name in names.split("::") if name]
        for item in split(braces) if braces else [""]:
            yield start, first + [name for name in item.split("::") if name]


def needs(known, module, file):
    """The modules that a file names."""
    for start, names in paths(code(file.read_text())):
        base = () if start == "crate" else module
        if start == "super":
            base = module[:-1]
            while names[:1] == ["super"]:
                base, names = base[:-1], names[1:]
        target = base + tuple(names)
        while target not in known:
            target = target[:-1]
        if target != module:
            yield target


def edges(known):
    """By parent: which sibling needs which, and the files that say so."""
    found = {}
    for module, file in known.items():
        for target in needs(known, module, file):
            depth = 0
            while module[depth : depth + 1] == target[depth : depth + 1] != ():
                depth += 1
            # One is part of the other.
            if depth in (len(module), len(target)):
                continue
            pair = module[depth], target[depth]
            found.setdefault(module[:depth], {}).setdefault(pair, set()).add(file)
    return found


def reach(graph, start):
    """Whatever can be come to from `start`."""
    seen, todo = set(), [start]
    while todo:
        for after in graph.get(todo.pop(), ()):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


def cycles(src):
    """Each circle: the parent, its modules, and the files between them."""
    found = []
    for parent, pairs in sorted(edges(modules(src)).items()):
        graph = {}
        for before, after in pairs:
            graph.setdefault(before, set()).add(after)
        reached = {name: reach(graph, name) for name in graph}
        groups = {frozenset(b for b in graph if b in reached[a] and a in reached[b]) for a in graph}
        for group in sorted(map(sorted, filter(None, groups))):
            inside = {pair: files for pair, files in pairs.items() if set(pair) <= set(group)}
            found.append(("::".join(parent) or "crate", group, inside))
    return found


def main():
    src = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).resolve().parents[2] / "src"
    found = cycles(src)
    for parent, group, pairs in found:
        print(f"circle in {parent}: {', '.join(group)}")
        for (before, after), files in sorted(pairs.items()):
            print(f"  {before} -> {after}: {', '.join(str(f.relative_to(src)) for f in sorted(files))}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
