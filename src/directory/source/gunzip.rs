//! gzip, RFC 1952: members one behind the other, each with a checksum and a length.
//!
//! miniz_oxide alone inflates; flate2, which has the rest, comes with a checksum of 20 KB.

use crc::{CRC_32_ISO_HDLC, Crc, Digest, Table};
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};
use std::io::{self, Read};

/// What is read at a time.
const PIECE: usize = 16 * 1024;

/// One table of a kilobyte.
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// A body that is unpacked as it is read. Its end is the end of the last member, and nothing else.
pub struct Gunzip<R> {
    body: R,
    room: Vec<u8>,
    at: usize,
    end: usize,
    state: Box<InflateState>,
    sum: Digest<'static, u32, Table<1>>,
    /// Bytes of this member, of which the trailer has 32 bits.
    len: u32,
    inside: bool,
}

impl<R: Read> Gunzip<R> {
    /// Unpacks `body`.
    pub fn new(body: R) -> Self {
        Gunzip {
            body,
            room: vec![0; PIECE],
            at: 0,
            end: 0,
            state: InflateState::new_boxed(DataFormat::Raw),
            sum: CRC.digest(),
            len: 0,
            inside: false,
        }
    }

    /// Makes sure that something is there to be taken; false at the end of the body.
    fn fill(&mut self) -> io::Result<bool> {
        while self.at == self.end {
            match self.body.read(&mut self.room) {
                Ok(0) => return Ok(false),
                Ok(len) => (self.at, self.end) = (0, len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn byte(&mut self) -> io::Result<u8> {
        if !self.fill()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let byte = self.room.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        Ok(byte)
    }

    fn number(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(u32::from_le_bytes(bytes))
    }

    fn skip_text(&mut self) -> io::Result<()> {
        while self.byte()? != 0 {}
        Ok(())
    }

    /// Takes the head of a member; false: the body has ended.
    fn begin(&mut self) -> io::Result<bool> {
        const CHECKED: u8 = 2;
        const EXTRA: u8 = 4;
        const NAME: u8 = 8;
        const COMMENT: u8 = 16;
        if !self.fill()? {
            return Ok(false);
        }
        let (front, flags) = ([self.byte()?, self.byte()?, self.byte()?], self.byte()?);
        if front != [0x1f, 0x8b, 8] || flags >= 0x20 {
            return Err(broken());
        }
        // Time, effort, system.
        for _ in 0..6 {
            self.byte()?;
        }
        if flags & EXTRA != 0 {
            let len = u16::from_le_bytes([self.byte()?, self.byte()?]);
            for _ in 0..len {
                self.byte()?;
            }
        }
        for text in [NAME, COMMENT] {
            if flags & text != 0 {
                self.skip_text()?;
            }
        }
        if flags & CHECKED != 0 {
            self.byte()?;
            self.byte()?;
        }
        self.state.reset(DataFormat::Raw);
        (self.sum, self.len, self.inside) = (CRC.digest(), 0, true);
        Ok(true)
    }

    /// Takes the trailer of a member.
    fn finish(&mut self) -> io::Result<()> {
        self.inside = false;
        let sum = std::mem::replace(&mut self.sum, CRC.digest()).finalize();
        if self.number()? != sum || self.number()? != self.len {
            return Err(broken());
        }
        Ok(())
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "broken gzip")
}

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.inside && !self.begin()? {
                return Ok(0);
            }
            // Without input it may still give what it has.
            let more = self.fill()?;
            let input = self.room.get(self.at..self.end).unwrap_or_default();
            let done = inflate(&mut self.state, input, out, MZFlush::None);
            self.at += done.bytes_consumed;
            let written = out.get(..done.bytes_written).unwrap_or_default();
            self.sum.update(written);
            self.len = self.len.wrapping_add(written.len() as u32);
            let len = written.len();
            match done.status {
                Ok(MZStatus::StreamEnd) => self.finish()?,
                Ok(_) | Err(MZError::Buf) => {
                    if len == 0 && !more {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(_) => return Err(broken()),
            }
            if len > 0 {
                return Ok(len);
            }
        }
    }
}
