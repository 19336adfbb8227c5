"""The log of qemu's blklogwrites, and what a disk holds after a power cut.

A disk with a cache of its own promises of a write only that it is there once a later flush has ended. So
a cut keeps what came before the last flush, and any of what came after it.
"""

import struct

MAGIC = 0x6a736677736872
FLUSH, FUA, DISCARD = 1, 2, 4
SECTOR = 512


class Entry:
    """A write (`at` bytes from the start of the disk, `data`), or a flush, which has no data."""

    def __init__(self, at, data, flags):
        self.at, self.data, self.flags = at, data, flags


def entries(path):
    """All of a log, in their order."""
    found = []
    with path.open("rb") as log:
        magic, version, count, size = struct.unpack("<QQQI", log.read(28))
        if magic != MAGIC or version != 1 or size != SECTOR:
            raise ValueError(f"{path} is no log of blklogwrites")
        log.seek(SECTOR)
        while len(found) < count:
            header = log.read(SECTOR)
            if len(header) < SECTOR:
                break
            sector, sectors, flags, _ = struct.unpack("<QQQQ", header[:32])
            data = b"" if flags & DISCARD else log.read(sectors * SECTOR)
            found.append(Entry(sector * SECTOR, data, flags))
    return found


def cut(disk, log, at, chance):
    """Writes to `disk`, a file as it was before the log, what it holds after a cut behind the first `at` entries.

    Of the writes since the last flush each is lost with the probability `lost` of (random, lost), and the last
    one may be torn between two sectors. How many were lost, of how many."""
    random, lost = chance
    last = max((n for n in range(at) if log[n].flags & FLUSH), default=-1)
    dropped = late = 0
    with disk.open("r+b") as file:
        for number, entry in enumerate(log[:at]):
            data = entry.data
            if number > last and data and not entry.flags & FUA:
                late += 1
                if random.random() < lost:
                    dropped += 1
                    continue
                if number == at - 1:
                    data = data[:random.randint(0, len(data) // SECTOR) * SECTOR]
            file.seek(entry.at)
            file.write(data)
    return dropped, late
