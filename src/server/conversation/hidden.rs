//! What another process tells us, it tells because of our rights. So its password fields are not for
//! every client.

/// Puts `*` over the password, the second string of the records that pass in pieces of any size. Its
/// length stays, since that was sent before: what is left is no hash of anything.
#[derive(Clone, Copy)]
pub struct Hidden {
    /// Strings that have passed; behind the second one it is no longer counted.
    strings: u8,
    /// At the first byte of one.
    first: bool,
}

impl Hidden {
    /// Before the first byte of a record's strings.
    pub const START: Hidden = Hidden { strings: 0, first: true };

    /// Lets the next bytes pass. `x`, `*` and `!` in front stay: they say that no password fits.
    pub fn pass(&mut self, strings: &mut [u8]) {
        for byte in strings {
            if self.strings > 1 {
                return;
            }
            if *byte == 0 {
                (self.strings, self.first) = (self.strings + 1, true);
                continue;
            }
            let stays = self.first && matches!(*byte, b'x' | b'*' | b'!');
            if self.strings == 1 && !stays {
                *byte = b'*';
            }
            self.first = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(text: &str, piece: usize) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let mut hidden = Hidden::START;
        bytes.chunks_mut(piece).for_each(|piece| hidden.pass(piece));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_byte_of_a_hash_passes_in_pieces_of_any_size() {
        let cases = [
            ("ada\0$6$salt$hash\0Ada\0/\0\0", "ada\0************\0Ada\0/\0\0"),
            ("ada\0x\0gecos", "ada\0x\0gecos"),
            ("ada\0*\0x", "ada\0*\0x"),
            ("ada\0\0$6$\0", "ada\0\0$6$\0"),
            ("ada\0!$1$\0a", "ada\0!***\0a"),
            ("\0xyDES\0a", "\0x****\0a"),
        ];
        for (text, expected) in cases {
            for piece in 1..=text.len() {
                assert_eq!(passed(text, piece), expected, "{piece}");
            }
        }
    }
}
