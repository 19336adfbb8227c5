"""The archive that the kernel unpacks as its first file system: cpio in the newc format, gzipped.

Written without root and without mknod: owners and devices are only numbers in it. The same entries
make the same bytes, whatever their order, dates and owners were.
"""

import gzip
import os
import stat

from board import Fatal

FOLDER, FILE, LINK, DEVICE = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK, stat.S_IFCHR


class Archive:
    """Entries by their path without a leading slash; all belong to root."""

    def __init__(self):
        self.entries = {}

    def folder(self, path, mode=0o755):
        self.put(path, FOLDER | mode)

    def file(self, path, data, mode=0o644):
        self.put(path, FILE | mode, data)

    def link(self, path, target):
        self.put(path, LINK | 0o777, target.encode())

    def device(self, path, major, minor, mode=0o600):
        """A character device."""
        self.put(path, DEVICE | mode, device=(major, minor))

    def put(self, path, mode, data=b"", device=(0, 0)):
        """Adds or replaces an entry, with the folders on the way to it."""
        above = path.rpartition("/")[0]
        if above and above not in self.entries:
            self.folder(above)
        if above and not stat.S_ISDIR(self.entries[above][0]):
            raise Fatal(f"the image has /{above}, which is no folder: no room for /{path}")
        old = self.entries.get(path)
        if old and stat.S_ISDIR(old[0]) != stat.S_ISDIR(mode):
            raise Fatal(f"the image has /{path} as a folder and as something else")
        self.entries[path] = (mode, data, device)

    def tree(self, source, below=""):
        """Adds what a folder holds, with its modes (nobody but root may write) and links."""
        for found in sorted(source.iterdir()):
            path = f"{below}{found.name}"
            mode = found.lstat().st_mode
            if stat.S_ISLNK(mode):
                self.link(path, os.readlink(found))
            elif stat.S_ISDIR(mode):
                self.folder(path, stat.S_IMODE(mode) & ~0o022)
                self.tree(found, f"{path}/")
            elif stat.S_ISREG(mode):
                self.file(path, found.read_bytes(), stat.S_IMODE(mode) & ~0o022)
            else:
                raise Fatal(f"{found} is no file, link or folder")

    def packed(self):
        """The bytes of the archive."""
        out = bytearray()
        # A folder sorts before what is in it.
        rows = [(path, *self.entries[path]) for path in sorted(self.entries)]
        rows.append(("TRAILER!!!", 0, b"", (0, 0)))
        for number, (path, mode, data, device) in enumerate(rows, 1):
            name = os.fsencode(path) + b"\0"
            # ino mode uid gid nlink mtime size, device of the archive, device, length of the name,
            # checksum
            fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0)
            out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
            out += bytes(-len(out) % 4) + data
            out += bytes(-len(out) % 4)
        return gzip.compress(bytes(out), 9, mtime=0)
