//! The footer of a pack. FORMAT.md §7.

use crate::format::{FormatError, PACK_MAX};
use crate::units::Bytes;

/// The footer's length.
pub const FOOTER_LEN: usize = 64;

const MAGIC: &str = "lifeboat-pack 0 table ";

/// Where a pack's table lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Where the table begins: the end of the last segment.
    pub offset: Bytes,
    /// The table's stored length.
    pub length: Bytes,
}

impl Footer {
    /// The 64 bytes that end the pack.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let text = format!("{MAGIC}{:016} {:012}", self.offset.0, self.length.0);
        let mut bytes = format!("{text:<63}\n").into_bytes();
        bytes.truncate(FOOTER_LEN);
        bytes
    }

    /// Reads the footer of a pack of this length.
    ///
    /// # Errors
    /// It is none, or points outside the pack.
    pub fn decode(footer: &[u8], pack: Bytes) -> Result<Self, FormatError> {
        let bad = |rule: &str| FormatError::rule("pack footer", rule);
        let text = std::str::from_utf8(footer).map_err(|_| bad("it is not text"))?;
        let rest = text.strip_prefix(MAGIC).ok_or_else(|| bad("it does not begin as one"))?;
        let (offset, rest) = rest.split_once(' ').ok_or_else(|| bad("it is cut off"))?;
        let (length, padding) = rest.split_at_checked(12).ok_or_else(|| bad("it is cut off"))?;
        let number = |digits: &str, count: usize| {
            let fits = digits.len() == count && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse().ok().filter(|_| fits).map(Bytes).ok_or_else(|| bad("a number is malformed"))
        };
        let found = Self { offset: number(offset, 16)?, length: number(length, 12)? };
        if found.encode() != footer || padding.trim() != "" {
            return Err(bad("it is not in its one form"));
        }
        let end = found.offset + found.length + Bytes(FOOTER_LEN as u64);
        if end != pack || pack > PACK_MAX {
            return Err(bad("it does not fit the pack's length"));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footers_have_one_form() {
        let footer = Footer { offset: Bytes(1000), length: Bytes(500) };
        let bytes = footer.encode();
        assert_eq!(bytes.len(), FOOTER_LEN);
        assert_eq!(Footer::decode(&bytes, Bytes(1564)).ok(), Some(footer));
        assert!(Footer::decode(&bytes, Bytes(1565)).is_err());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x21;
            assert!(Footer::decode(&bad, Bytes(1564)).is_err(), "byte {at}");
        }
    }
}
