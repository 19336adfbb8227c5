"""Manual pages from the Markdown of doc/: headings, paragraphs, lists, tables, indented and fenced
blocks, `code`, **strong**, *emphasis* and links. Nothing else is used there."""

import re

# Names that Debian has, too: their pages are in sections of their own.
DEBIANS = ("getent", "groups", "id", "nscd", "whoami")
# What is run by hand is in section 1; these are in section 8.
DAEMONS = re.compile(r"nsssd-|nscd$|ipcserver$")
INLINE = re.compile(r"(`+)(.+?)\1|\*\*(.+?)\*\*|(?<![\w*])\*([^*]+)\*(?![\w*])|\[([^\]]+)\]\(([^)\s]+)\)", re.S)
ITEM = re.compile(r"^( *)(?:[-*]|(\d+)\.) +(.*)$")
MANUAL = re.compile(r"(?:.*/)?([\w-]+)\.md(#.*)?$")
DOCUMENTS = "/usr/share/doc/nssbox/"
# A page of a file: the applet that reads it, whose page has a section about it, and what it is.
FILES = {"nssmap.conf": ("nsssd-map", "The configuration", "The accounts that nsssd-map makes.")}


def section(name):
    """Of a command."""
    return ("8" if DAEMONS.match(name) else "1") + ("nssbox" if name in DEBIANS else "")


def pages(folder, applets):
    """The files of doc/ that are pages: [(path, the names in its heading)]. Such a page begins with
    a heading of names, the first one its own, and is about `nssbox` or one of these applets."""
    found = []
    for path in sorted(folder.glob("*.md")):
        names = path.read_text().partition("\n")[0].removeprefix("# ").split(", ")
        if names[0] == path.stem and path.stem in ("nssbox", *applets):
            found.append((path, names))
    return found


def about_file(name, folder):
    """The Markdown of the page of a file, from that of its applet."""
    applet, heading, summary = FILES[name]
    text = (folder / f"{applet}.md").read_text()
    body = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0].replace("\n### ", "\n## ")
    return (f"# {name}\n\n{summary}\n\nIt is /etc/{name}, or what `-f` names.\n{body}\n"
            f"## See also\n\n[{applet}]({applet}.md), which has the tools to check it.\n")


def page(text, title, section, date, sections):
    """The page. `sections` has the section of each page that a link can lead to."""
    blocks = list(split(text))
    if not blocks or blocks[0][0] != "heading":
        raise ValueError("the first line is no heading")
    names, summary = blocks[0][1][1], next(body for kind, body in blocks if kind == "paragraph")
    # apropos wants one line: the first sentence.
    summary = re.split(r"(?<=[.:])\s", re.sub(r"\s+", " ", plain(summary)))[0].rstrip(".:")
    if summary[:1].isupper() and not summary[1:2].isupper():
        summary = summary[0].lower() + summary[1:]
    out = ["'\\\" t" if any(kind == "table" for kind, _ in blocks) else '.\\"',
           f'.TH {title.upper()} {section} "{date}" nssbox',
           # Justified, narrow cells of tables have holes.
           ".ad l", ".SH NAME", f"{quiet(names)} \\- {quiet(summary)}", ".SH DESCRIPTION"]
    for kind, body in blocks[1:]:
        out += RENDER[kind](body, sections)
    return "\n".join(out) + "\n"


def split(text):
    """Pairs of a kind and its body. A heading: (level, text); an item: (depth, number, text)."""
    lines, at = text.split("\n"), 0

    def gather(wanted):
        nonlocal at
        start = at
        while at < len(lines) and wanted(lines[at]):
            at += 1
        return lines[start:at]
    in_list = False
    while at < len(lines):
        line = lines[at]
        item = ITEM.match(line)
        if not line.strip():
            at += 1
        elif line.startswith("#"):
            level, _, words = line.partition(" ")
            yield "heading", (len(level), words)
            at, in_list = at + 1, False
        elif line.startswith("```"):
            at += 1
            yield "code", gather(lambda l: not l.startswith("```"))
            at += 1
        elif item:
            indent = len(item[1])
            at += 1
            more = gather(lambda l: l.startswith(" ") and not ITEM.match(l))
            yield "item", (indent // 2, item[2], " ".join([item[3], *(l.strip() for l in more)]))
            in_list = True
        elif line.startswith("    ") or in_list and line.startswith("  "):
            block = gather(lambda l: not l.strip() or l.startswith("  "))
            while block and not block[-1].strip():
                block.pop()
            yield "code", [l[4:] for l in block]
        elif line.startswith("|"):
            yield "table", gather(lambda l: l.startswith("|"))
            in_list = False
        else:
            in_list = False
            yield "paragraph", "\n".join(gather(
                lambda l: l.strip() and not l.startswith(("#", "|", "```")) and not ITEM.match(l)))


def heading(body, sections):
    level, words = body
    return [f".SH {quiet(plain(words).upper())}" if level <= 2 else f".SS {quiet(plain(words))}"]


def paragraph(body, sections):
    return [".PP", *inline(body, sections)]


def item(body, sections):
    depth, number, words = body
    mark = f"{number}." if number else "\\(bu"
    lines = [f".IP {mark} {3 if number is None else 4}", *inline(words, sections)]
    return [".RS 3", *lines, ".RE"] if depth else lines


def code(body, sections):
    return [".PP", ".RS 4", ".nf", *(guarded(quiet(line)) for line in body), ".fi", ".RE"]


def table(body, sections):
    """By tbl(1), each cell a block of text so that long ones wrap."""
    rows = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in body]
    head, rows = rows[0], rows[2:]
    columns = "l " * (len(head) - 1) + "lx"
    out = [".PP", ".TS", "allbox;", f"{'lb ' * len(head)}".strip(), columns + "."]
    # Bold is the head's own: there inline changes of the font would end it.
    out.append("\t".join(quiet(plain(cell.strip())) for cell in head))
    for row in rows:
        cells = []
        for cell in row:
            lines = [breakable(l) for l in inline(cell.strip().replace("\\|", "|"), sections)]
            cells.append("T{\n" + "\n".join(lines or [""]) + "\nT}")
        out.append("\t".join(cells))
    return [*out, ".TE", ".sp"]


def breakable(line):
    """Long words of a narrow cell may be broken where paths and options have their joints."""
    line = re.sub(r"(?<=\d{10})(?=\d{6})", r"\\:", line)
    return re.sub(r"\S{16,}", lambda word: re.sub(r"(?<=[/,=:.])(?=\w)", r"\\:", word[0]), line)


RENDER = {"heading": heading, "paragraph": paragraph, "item": item, "code": code, "table": table}


def inline(text, sections):
    """Lines of a paragraph."""
    out, at = [], 0
    for found in INLINE.finditer(text):
        out.append(quiet(text[at:found.start()]))
        at = found.end()
        if found[2]:
            out.append(f"\\fB{quiet(found[2])}\\fR")
        elif found[3]:
            out.append(f"\\fB{quiet(plain(found[3]))}\\fR")
        elif found[4]:
            out.append(f"\\fI{quiet(plain(found[4]))}\\fR")
        else:
            out.append(link(found[5], found[6], sections))
    out.append(quiet(text[at:]))
    return [guarded(line.strip()) for line in "".join(out).split("\n") if line.strip()]


def link(words, target, sections):
    shown = quiet(plain(words))
    manual = MANUAL.match(target)
    if manual and manual[1] in sections:
        return f"{shown} (\\fB{quiet(manual[1])}\\fR({sections[manual[1]]}))" if words.strip("`") != manual[1] \
            else f"\\fB{shown}\\fR({sections[manual[1]]})"
    if target.startswith("#"):
        return shown
    if "://" in target:
        return f"{shown} <{quiet(target)}>"
    target = re.sub(r"#.*", "", target)
    # As they lie in the tree, whose documents are installed as they lie there.
    path = DOCUMENTS + (target[3:] if target.startswith("../") else f"doc/{target}")
    return shown if plain(words) == target else f"{shown} ({quiet(path)})"


def plain(text):
    """Text without its marks."""
    return INLINE.sub(lambda m: m[2] or m[3] or m[4] or m[5], text)


def quiet(text):
    """Text in which nothing means anything to roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    text = text.replace("`", "\\(ga").replace("^", "\\(ha").replace("~", "\\(ti")
    return text.replace("…", "\\&...").replace("–", "\\(en").replace("×", "\\(mu")


def guarded(line):
    """A line that is no request."""
    return "\\&" + line if line.startswith((".", "'")) else line
