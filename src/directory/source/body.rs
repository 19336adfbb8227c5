//! Bodies: counted, limited, unpacked. What they are packed by is seen by their first bytes, whatever
//! headers say, since web servers hand out `passwd.gz` as a plain file.

use super::gunzip::Gunzip;
use crate::directory::failure::{Done, Failure};
use crate::limits::{DIRECTORY_BODY, DIRECTORY_RATIO};
use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// How a body may be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952.
    Gzip,
    /// bzip2, of the feature of this name.
    Bzip2,
    /// RFC 8878, of the feature of this name.
    Zstd,
}

impl Packing {
    /// By the name that HTTP has for it.
    pub fn named(name: &str) -> Option<Packing> {
        match name {
            "gzip" | "x-gzip" => Some(Packing::Gzip),
            "bzip2" | "x-bzip2" => Some(Packing::Bzip2),
            "zstd" => Some(Packing::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Bzip2 => "bzip2",
            Packing::Zstd => "zstd",
        }
    }

    /// What a body that begins so is packed by.
    fn seen(front: &[u8]) -> Option<Packing> {
        match front {
            [0x1f, 0x8b, 8, ..] => Some(Packing::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => {
                Some(Packing::Bzip2)
            }
            // The same, empty.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => {
                Some(Packing::Bzip2)
            }
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstd),
            _ => None,
        }
    }
}

/// What a server may be offered.
pub const ACCEPTED: &str = if cfg!(all(feature = "bzip2", feature = "zstd")) {
    "gzip, bzip2, zstd"
} else if cfg!(feature = "bzip2") {
    "gzip, bzip2"
} else if cfg!(feature = "zstd") {
    "gzip, zstd"
} else {
    "gzip"
};

/// Bytes that make it clear what a body is packed by.
const FRONT: usize = 18;

/// A reader whose first bytes were looked at.
struct Peeked<R> {
    front: Vec<u8>,
    given: usize,
    rest: R,
}

impl<R: Read> Peeked<R> {
    fn new(mut rest: R) -> io::Result<Self> {
        let mut front = Vec::new();
        rest.by_ref().take(FRONT as u64).read_to_end(&mut front)?;
        Ok(Peeked { front, given: 0, rest })
    }
}

impl<R: Read> Read for Peeked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let waiting = self.front.get(self.given..).unwrap_or_default();
        if waiting.is_empty() {
            return self.rest.read(out);
        }
        let len = waiting.len().min(out.len());
        for (out, byte) in out.iter_mut().zip(waiting) {
            *out = *byte;
        }
        self.given += len;
        Ok(len)
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(out)?;
        self.count.set(self.count.get() + len as u64);
        if self.count.get() > DIRECTORY_BODY {
            return Err(io::Error::other(too_large()));
        }
        Ok(len)
    }
}

/// The end of the chain: no more may come out than a map may have, nor far more than went in.
struct Unpacked<R> {
    inner: R,
    packed: Rc<Cell<u64>>,
    count: u64,
}

/// What any body may unpack to, however small it is.
const ALWAYS: u64 = 1024 * 1024;

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(out)?;
        self.count += len as u64;
        if self.count > DIRECTORY_BODY {
            return Err(io::Error::other(too_large()));
        }
        if self.count > ALWAYS + self.packed.get().saturating_mul(DIRECTORY_RATIO) {
            let text = format!("a body that unpacks to more than {DIRECTORY_RATIO} times its size");
            return Err(io::Error::other(Failure::refused(text)));
        }
        Ok(len)
    }
}

fn too_large() -> Failure {
    Failure::refused(format!("a body of more than {} MiB", DIRECTORY_BODY >> 20))
}

/// A body that is unpacked as it is read.
pub struct Body<'a> {
    reader: Box<dyn Read + 'a>,
    packed: Rc<Cell<u64>>,
}

impl<'a> Body<'a> {
    /// Reads `raw`, which headers say to be `packed` so. A packed file may have been packed once more
    /// for the way.
    pub fn new(raw: impl Read + 'a, packed: &[Packing]) -> Done<Body<'a>> {
        let count = Rc::new(Cell::new(0));
        let counted = Counted { inner: raw, count: Rc::clone(&count) };
        let mut reader: Box<dyn Read + 'a> = Box::new(counted);
        let said = packed.iter().rev().map(|packing| Some(*packing));
        for said in said.chain([None]) {
            let peeked = Peeked::new(reader).map_err(Failure::of_reading)?;
            let seen = Packing::seen(&peeked.front);
            if let Some(said) = said
                && seen != Some(said)
                && !peeked.front.is_empty()
            {
                return Err(Failure::unavailable(format!(
                    "a body that is said to be {}",
                    said.name()
                )));
            }
            reader = match seen {
                Some(packing) => unpack(packing, peeked)?,
                None => Box::new(peeked),
            };
        }
        let reader = Box::new(Unpacked { inner: reader, packed: Rc::clone(&count), count: 0 });
        Ok(Body { reader, packed: count })
    }

    /// Bytes that came so far, packed as they were.
    pub fn received(&self) -> u64 {
        self.packed.get()
    }
}

impl Read for Body<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reader.read(out)
    }
}

fn unpack<'a>(packing: Packing, body: Peeked<Box<dyn Read + 'a>>) -> Done<Box<dyn Read + 'a>> {
    match packing {
        Packing::Gzip => Ok(Box::new(Gunzip::new(body))),
        #[cfg(feature = "bzip2")]
        Packing::Bzip2 => Ok(Box::new(bzip2::read::MultiBzDecoder::new(body))),
        #[cfg(feature = "zstd")]
        Packing::Zstd => Ok(Box::new(zstd::Frames::new(body)?)),
        #[cfg(not(all(feature = "bzip2", feature = "zstd")))]
        _ => Err(Failure::refused(format!("this build has no {}", packing.name()))),
    }
}

/// zstd: frames one behind the other, none of which may want a large window.
#[cfg(feature = "zstd")]
mod zstd {
    use super::{Done, Failure, Peeked};
    use ruzstd::decoding::StreamingDecoder;
    use std::io::{self, Read};

    /// What `zstd -19` uses; `--ultra` and `--long` go over it.
    const WINDOW: u64 = 8 * 1024 * 1024;

    pub struct Frames<'a> {
        decoder: Option<Decoder<'a>>,
    }

    type Decoder<'a> = StreamingDecoder<Peeked<Box<dyn Read + 'a>>, ruzstd::decoding::FrameDecoder>;

    impl<'a> Frames<'a> {
        pub fn new(body: Peeked<Box<dyn Read + 'a>>) -> Done<Self> {
            let decoder = begin(body).map_err(Failure::of_reading)?;
            Ok(Frames { decoder: Some(decoder) })
        }
    }

    fn begin<'a>(body: Peeked<Box<dyn Read + 'a>>) -> io::Result<Decoder<'a>> {
        let broken = || io::Error::other("no zstd frame");
        let window = window(&body.front).ok_or_else(broken)?;
        if window > WINDOW {
            let text = format!("zstd with a window of more than {} MiB", WINDOW >> 20);
            return Err(io::Error::other(Failure::refused(text)));
        }
        StreamingDecoder::new(body).map_err(|error| io::Error::other(error.to_string()))
    }

    /// The window that a frame asks for, in bytes; RFC 8878, 3.1.1.1.
    fn window(front: &[u8]) -> Option<u64> {
        let header = front.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?;
        let (descriptor, rest) = header.split_first()?;
        let single = descriptor & 0x20 != 0;
        if !single {
            let window = rest.first()?;
            let base = 1u64 << (10 + (window >> 3));
            return Some(base + base / 8 * u64::from(window & 7));
        }
        let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied()?;
        let size = rest.get(dictionary..)?;
        let (len, more) = match descriptor >> 6 {
            0 => (1, 0),
            1 => (2, 256),
            2 => (4, 0),
            _ => (8, 0),
        };
        let bytes = size.get(..len)?.iter().rev();
        Some(bytes.fold(0u64, |size, byte| size << 8 | u64::from(*byte)) + more)
    }

    impl Read for Frames<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            while let Some(decoder) = &mut self.decoder {
                let len = decoder.read(out)?;
                if len > 0 || out.is_empty() {
                    return Ok(len);
                }
                let Some(decoder) = self.decoder.take() else { break };
                let next: Box<dyn Read> = Box::new(decoder.into_inner());
                let next = Peeked::new(next)?;
                if next.front.is_empty() {
                    break;
                }
                self.decoder = Some(begin(next)?);
            }
            Ok(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(body: &[u8], said: &[Packing]) -> Done<Vec<u8>> {
        let mut out = Vec::new();
        let mut body = Body::new(body, said)?;
        body.read_to_end(&mut out).map_err(Failure::of_reading)?;
        Ok(out)
    }

    #[test]
    fn gzip_is_seen_whatever_is_said() {
        let plain = b"alice:x:1:1::/:/bin/sh\n".repeat(50);
        let packed = gzip(&plain);
        let twice = gzip(&packed);
        assert_eq!(unpacked(&plain, &[]).unwrap(), plain);
        assert_eq!(unpacked(&packed, &[]).unwrap(), plain);
        assert_eq!(unpacked(&packed, &[Packing::Gzip]).unwrap(), plain);
        assert_eq!(unpacked(&twice, &[Packing::Gzip]).unwrap(), plain);
        assert_eq!(unpacked(&[&packed[..], &packed].concat(), &[]).unwrap(), plain.repeat(2));
        assert_eq!(unpacked(b"", &[Packing::Gzip]).unwrap(), b"");
        assert!(unpacked(&plain, &[Packing::Gzip]).is_err());
    }

    #[test]
    fn a_packed_body_that_is_cut_is_never_a_whole_one() {
        let mut plain = Vec::new();
        (0..40)
            .for_each(|n| plain.extend_from_slice(format!("u{n}:x:{n}:1::/:/bin/sh\n").as_bytes()));
        let packed = gzip(&plain);
        for len in 4..packed.len() {
            assert!(unpacked(&packed[..len], &[]).is_err(), "{len} of {}", packed.len());
        }
        let mut broken = packed.clone();
        let at = broken.len() - 6;
        broken[at] ^= 1;
        assert!(unpacked(&broken, &[]).is_err());
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_large() {
        let bomb = gzip(&vec![b'\n'; 64 * 1024 * 1024]);
        let mut body = Body::new(&bomb[..], &[]).unwrap();
        let count = io::copy(&mut body, &mut io::sink());
        let failure = Failure::of_reading(count.unwrap_err());
        assert!(failure.text.contains("unpacks to more than"), "{}", failure.text);
    }
}
