"""ELF files: their sections, and the same file without what is never loaded. And what was linked."""

import re
import struct
from collections import namedtuple

from board import Fatal

Section = namedtuple("Section", "name type flags addr offset size link info align entsize")
NOBITS, ALLOC, EXECUTED = 8, 2, 4
# Bytes that instructions are aligned to, by the number of the processor: MIPS, ARM (Thumb code is content
# with 2), AArch64, RISC-V with compressed instructions. Others take them anywhere.
INSTRUCTION = {8: 4, 40: 4, 183: 4, 243: 2}
# Kept although it is not loaded: readelf -A tells from it which processor a file is for.
KEPT = {".ARM.attributes", ".shstrtab"}


class Elf:
    """The headers of an executable, either width and byte order."""

    def __init__(self, data, path):
        if data[:4] != b"\x7fELF" or data[4] not in (1, 2) or data[5] not in (1, 2):
            raise Fatal(f"{path} is no ELF file")
        self.data = data
        self.wide = data[4] == 2
        self.order = "<" if data[5] == 1 else ">"
        self.header = self.order + ("HHIQQQIHHHHHH" if self.wide else "HHIIIIIHHHHHH")
        self.row = self.order + ("IIQQQQIIQQ" if self.wide else "IIIIIIIIII")
        self.fields = list(struct.unpack_from(self.header, data, 16))
        self.sections = self.read_sections()

    def read_sections(self):
        start, size, count, names = (self.fields[at] for at in (5, 10, 11, 12))
        rows = [struct.unpack_from(self.row, self.data, start + n * size) for n in range(count)]
        text = rows[names][4] if rows else 0

        def name(at):
            return self.data[text + at:self.data.index(b"\0", text + at)].decode()
        return [Section(name(row[0]), *row[1:]) for row in rows]

    def check_alignment(self, path):
        """Refuses code that does not stand, or stands by luck only, where its processor runs it: linked
        anew with a few bytes more in front, it would die before main."""
        need = INSTRUCTION.get(self.fields[1], 1)
        for s in self.sections:
            if s.flags & EXECUTED and s.size and (s.addr % need or s.align < need):
                raise Fatal(f"{path}: {s.name} is at {s.addr:#x}, aligned to {max(s.align, 1)}: "
                            f"its code needs {need}")

    def without_unloaded(self):
        """The bytes of the same program without comments and tables for debuggers."""
        kept = [(n, s) for n, s in enumerate(self.sections)
                if n == 0 or s.flags & ALLOC or s.name in KEPT]
        number = {old: new for new, (old, _) in enumerate(kept)}
        loaded = [s for _, s in kept if s.flags & ALLOC and s.type != NOBITS]
        out = bytearray(self.data[:max(s.offset + s.size for s in loaded)])
        names, rows = bytearray(b"\0"), []
        for _, s in kept:
            rows.append([len(names) if s.name else 0, s])
            names.extend(s.name.encode() + b"\0" if s.name else b"")
        for row in rows:
            s = row[1]
            if s.flags & ALLOC or s.type == 0:
                continue
            content = names if s.name == ".shstrtab" else self.data[s.offset:s.offset + s.size]
            out.extend(bytes(-len(out) % max(s.align, 1)))
            row[1] = s._replace(offset=len(out), size=len(content))
            out.extend(content)
        out.extend(bytes(-len(out) % 8))
        self.fields[5], self.fields[11] = len(out), len(rows)
        self.fields[12] = next(n for n, (_, s) in enumerate(rows) if s.name == ".shstrtab")
        for name, s in rows:
            out.extend(struct.pack(self.row, name, *s._replace(link=number.get(s.link, 0))[1:]))
        struct.pack_into(self.header, out, 16, *self.fields)
        return bytes(out)


def short_times(linked):
    """Functions of musl whose times have 32 bits (its folder compat/time32), by the linker's map."""
    return sorted(set(re.findall(r"libc\.a\((\w+32)\.o\)", linked)))
