//! What stands around the entries of a reply.

use super::{VERSION, why};
use crate::bytes::{Reader, Writer};
use crate::{DecodeError, Decoded, EncodeError};

/// What a reply begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    /// As in the request.
    pub action: u32,
}

impl ReplyHeader {
    /// Bytes of the encoding.
    pub const SIZE: usize = 8;

    /// Writes it to the front of `out`.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut s = Writer::new(out, Self::SIZE)?;
        s.put_u32(VERSION);
        s.put_u32(self.action);
        Ok(s.written())
    }

    /// Reads it; [`DecodeError::Malformed`] if it is the start of another reply than that to `action`.
    pub fn decode(action: u32, input: &[u8]) -> Result<Decoded<Self>, DecodeError> {
        let mut c = Reader::new(input);
        if c.u32_be()? != VERSION {
            return Err(DecodeError::Malformed(why::VERSION));
        }
        if c.u32_be()? != action {
            return Err(DecodeError::Malformed(why::ACTION));
        }
        Ok(Decoded { value: ReplyHeader { action }, len: c.taken() })
    }
}

/// What comes next in a reply: NSLCD_RESULT_BEGIN, NSLCD_RESULT_END.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultCode {
    /// An entry follows.
    Begin,
    /// That was all.
    End,
}

impl ResultCode {
    /// Bytes of the encoding.
    pub const SIZE: usize = 4;

    /// Writes it to the front of `out`.
    pub fn encode(self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut s = Writer::new(out, Self::SIZE)?;
        s.put_u32(match self {
            ResultCode::Begin => 1,
            ResultCode::End => 2,
        });
        Ok(s.written())
    }

    /// Reads it from the front of `input`.
    pub fn decode(input: &[u8]) -> Result<Decoded<Self>, DecodeError> {
        let mut c = Reader::new(input);
        let value = match c.u32_be()? {
            1 => ResultCode::Begin,
            2 => ResultCode::End,
            _ => return Err(DecodeError::Malformed(why::RESULT)),
        };
        Ok(Decoded { value, len: c.taken() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_to_another_request_is_refused() {
        let start = ReplyHeader { action: 0x0008_0001 };
        let mut out = [0xa5; 12];
        assert_eq!(start.encode(&mut out), Ok(8));
        assert_eq!(ReplyHeader::decode(0x0008_0001, &out), Ok(Decoded { value: start, len: 8 }));
        assert!(matches!(
            ReplyHeader::decode(0x0008_0002, &out),
            Err(DecodeError::Malformed(why::ACTION))
        ));
        out[3] = 1;
        assert!(matches!(
            ReplyHeader::decode(0x0008_0001, &out),
            Err(DecodeError::Malformed(why::VERSION))
        ));
        for mark in [ResultCode::Begin, ResultCode::End] {
            mark.encode(&mut out).unwrap();
            assert_eq!(ResultCode::decode(&out), Ok(Decoded { value: mark, len: 4 }));
        }
        for word in [0, 3, u32::MAX] {
            assert!(matches!(
                ResultCode::decode(&word.to_be_bytes()),
                Err(DecodeError::Malformed(_))
            ));
        }
    }
}
