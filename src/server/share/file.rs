//! A file that clients map: who has its descriptor can read it, and nobody but this process change it.

use crate::sys::clock::{file_seconds, millis};
use crate::sys::file::{open, pread_full};
use crate::sys::stat::{Stat, fstat};
use nssproto::bytes::{DECIMAL_MAX, Writer, write_decimal};
use nssproto::nscd::map::{GC_CYCLE, HEADER, Header, TIMESTAMP, lease};
use rustix::fs::{
    FallocateFlags, FileType, MemfdFlags, Mode, OFlags, SealFlags, fallocate, fchmod,
    fcntl_add_seals, memfd_create, rename, unlink,
};
use rustix::io::{Errno, pwrite, retry_on_intr};
use rustix::process::geteuid;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Seconds that a map is believed after it was stamped last: a server that was killed is left within
/// one more.
const LEASE: u64 = 5;

/// What of a file is not given back while somebody may have it mapped: its header.
const KEPT: u64 = 4096;

/// Where a map has a name, so that the next server can let go of it.
pub struct Place {
    /// Its name.
    pub path: CString,
    /// Where it is made.
    pub new: CString,
}

/// A file, for as long as this process gives it out.
pub struct File {
    /// To write to.
    file: OwnedFd,
    /// To be given out: nothing can be written through it.
    shown: OwnedFd,
    size: u64,
    cycle: u32,
    /// When it was given out last, in milliseconds of the clock.
    pub lent: u64,
}

impl File {
    /// One in memory; at a place, if that can be. Its mode is 0400 before anybody else can have it.
    pub fn make(place: Option<&Place>) -> Result<Self, Errno> {
        let named = place.map(at_place).and_then(Result::ok);
        let (file, shown) = named.map_or_else(without_name, Ok)?;
        Ok(File { file, shown, size: 0, cycle: 1, lent: 0 })
    }

    /// Writes bytes at an offset.
    pub fn write(&mut self, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let len = retry_on_intr(|| pwrite(&self.file, bytes, at))?;
            bytes = bytes.get(len.max(1)..).unwrap_or_default();
            at += len as u64;
        }
        Ok(())
    }

    /// Writes the header, behind all else: from now on it is whole, and its size stays. It counts, if
    /// that is what the header says.
    pub fn finish(&mut self, header: Header) -> Result<(), Errno> {
        let header = Header { timestamp: stamp(), ..header };
        self.write(&header.encode(), 0)?;
        (self.size, self.cycle) = (header.file_size() as u64, header.gc_cycle);
        // A file with a name has none.
        let _ = fcntl_add_seals(&self.file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL);
        Ok(())
    }

    /// Puts it to its place, if it has one.
    pub fn publish(&self, place: Option<&Place>) -> Result<(), Errno> {
        match place {
            Some(place) if is_named(&self.file) => rename(&*place.new, &*place.path),
            _ => Ok(()),
        }
    }

    /// What a client gets: a descriptor, and how much of it to map. It looks alive to him.
    pub fn lend(&mut self) -> (BorrowedFd<'_>, u64) {
        self.stamp();
        self.lent = millis();
        (self.shown.as_fd(), self.size)
    }

    /// It is believed for some seconds more.
    pub fn stamp(&mut self) {
        self.put(TIMESTAMP, &stamp().to_ne_bytes());
    }

    /// Whether it counts.
    pub fn is_on(&self) -> bool {
        self.cycle.is_multiple_of(2)
    }

    /// From the next lookup on it does, or does not.
    pub fn turn(&mut self, on: bool) {
        if self.is_on() != on {
            self.cycle = self.cycle.wrapping_add(1);
            self.put(GC_CYCLE, &self.cycle.to_ne_bytes());
        }
    }

    /// For good: who has it mapped asks for another one. Its memory is given back.
    pub fn let_go(&mut self) {
        self.turn(false);
        self.put(TIMESTAMP, &[0; 8]);
        if self.size > KEPT {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // To the end of the last page.
            let _ = fallocate(&self.file, flags, KEPT, self.size);
        }
    }

    /// Writes to what is there: no memory is needed, so nothing is in its way.
    fn put(&mut self, at: u64, bytes: &[u8]) {
        let _ = self.write(bytes, at);
    }
}

fn stamp() -> u64 {
    lease(file_seconds(), LEASE)
}

/// A file without a name, and the same to read.
fn without_name() -> Result<(OwnedFd, OwnedFd), Errno> {
    let make = |flags| memfd_create(c"nscd", MemfdFlags::CLOEXEC | flags);
    // Before Linux 6.3 there was nothing to seal in its mode.
    let file = make(MemfdFlags::NOEXEC_SEAL).or_else(|_| make(MemfdFlags::ALLOW_SEALING))?;
    fchmod(&file, Mode::RUSR)?;
    let mut digits = [0; DECIMAL_MAX];
    let number = write_decimal(file.as_raw_fd().unsigned_abs().into(), &mut digits);
    let mut room = [0; 40];
    let mut path = Writer::new(&mut room, 40).map_err(|_| Errno::INVAL)?;
    path.put(b"/proc/self/fd/");
    path.put_string(number);
    let path = CStr::from_bytes_until_nul(&room).map_err(|_| Errno::INVAL)?;
    let shown = open(path, OFlags::RDONLY, Mode::empty())?;
    Ok((file, shown))
}

/// A file with a name, and the same to read.
fn at_place(place: &Place) -> Result<(OwnedFd, OwnedFd), Errno> {
    let _ = unlink(&*place.new);
    let new = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let file = open(&place.new, new, Mode::RUSR)?;
    let shown = open(&place.new, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty())?;
    Ok((file, shown))
}

fn is_named(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|file| file.st_nlink > 0)
}

/// Lets go of what another server has left at this place, which was killed, and takes it away.
pub fn revoke(place: &Place) {
    let _ = unlink(&*place.new);
    let flags = OFlags::RDWR | OFlags::NOFOLLOW;
    let Ok(file) = open(&place.path, flags, Mode::empty()) else { return };
    // Nothing else is written to, whoever could put it there.
    let is_ours = |file: &Stat| {
        let kind = FileType::from_raw_mode(file.st_mode);
        let owner = file.st_uid == geteuid().as_raw() || geteuid().is_root();
        kind == FileType::RegularFile
            && file.st_mode & 0o777 == 0o400
            && file.st_nlink == 1
            && owner
    };
    let mut front = [0; HEADER];
    let len = pread_full(&file, &mut front, 0);
    if !fstat(&file).is_ok_and(|file| is_ours(&file)) || len != Ok(HEADER) {
        return;
    }
    if let (Ok(header), Ok(shown)) = (Header::decode(&front), file.try_clone()) {
        let (size, cycle) = (header.file_size() as u64, header.gc_cycle);
        File { file, shown, size, cycle, lent: 0 }.let_go();
        let _ = unlink(&*place.path);
    }
}
