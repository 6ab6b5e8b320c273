//! Archives as `tar` reads them: what a bundle of keys is. FORMAT.md §15.
//!
//! Only the one form that we write is read: ustar, regular files, one after the other. Whoever unpacks one by hand uses
//! any `tar`; here nothing is ever unpacked to a disk.

use crate::format::FormatError;

/// Headers and contents are filled up to so many bytes.
const BLOCK: usize = 512;
/// The longest last part of a name.
const NAME: usize = 100;
/// The longest rest of it.
const PREFIX: usize = 155;

/// Appends a file.
///
/// # Errors
/// The name does not fit: its last part is longer than 100 bytes, or the rest than 155.
pub fn append(archive: &mut Vec<u8>, name: &str, content: &[u8]) -> Result<(), FormatError> {
    let (prefix, last) = name.rsplit_once('/').unwrap_or(("", name));
    if last.len() > NAME || prefix.len() > PREFIX {
        return Err(FormatError::rule(name, "its name is too long for an archive"));
    }
    let mut header = Vec::with_capacity(BLOCK);
    let field = |header: &mut Vec<u8>, text: &str, width: usize| {
        let end = header.len() + width;
        header.extend_from_slice(text.as_bytes());
        header.resize(end, 0);
    };
    field(&mut header, last, NAME);
    field(&mut header, "0000600", 8);
    field(&mut header, "0000000", 8);
    field(&mut header, "0000000", 8);
    field(&mut header, &format!("{:011o}", content.len()), 12);
    field(&mut header, "00000000000", 12);
    let checksum_at = header.len();
    field(&mut header, "        ", 8);
    field(&mut header, "0", 1);
    field(&mut header, "", 100);
    field(&mut header, "ustar", 6);
    field(&mut header, "00", 2);
    field(&mut header, "", 32 + 32 + 8 + 8);
    field(&mut header, prefix, PREFIX);
    header.resize(BLOCK, 0);
    let text = format!("{:06o}\0 ", sum(&header));
    for (to, from) in header.iter_mut().skip(checksum_at).zip(text.bytes()) {
        *to = from;
    }
    archive.extend_from_slice(&header);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    Ok(())
}

/// Ends an archive.
pub fn finish(archive: &mut Vec<u8>) {
    archive.resize(archive.len() + 2 * BLOCK, 0);
}

/// Every file of an archive, by name.
///
/// # Errors
/// It is cut off, or not in the form that [`append`] writes.
pub fn files(archive: &[u8]) -> Result<Vec<(String, &[u8])>, FormatError> {
    let bad = |rule: &str| FormatError::rule("archive", rule);
    let mut files = Vec::new();
    let mut rest = archive;
    loop {
        let (header, after) = rest.split_at_checked(BLOCK).ok_or_else(|| bad("it is cut off"))?;
        if header.iter().all(|byte| *byte == 0) {
            return if after.len() == BLOCK && after.iter().all(|byte| *byte == 0) {
                Ok(files)
            } else {
                Err(bad("something follows its end"))
            };
        }
        let text = |from: usize, width: usize| {
            let field = header.get(from..from + width).unwrap_or_default();
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(width);
            std::str::from_utf8(field.get(..end).unwrap_or_default()).map_err(|_| bad("a name is no text"))
        };
        let octal = text(124, 12)?;
        let length = usize::from_str_radix(octal, 8).map_err(|_| bad("a length is no number"))?;
        let (last, prefix) = (text(0, NAME)?, text(345, PREFIX)?);
        let name = if prefix.is_empty() { last.to_owned() } else { format!("{prefix}/{last}") };
        let filled = length.checked_next_multiple_of(BLOCK).ok_or_else(|| bad("a length is too long"))?;
        let (content, after) = after.split_at_checked(filled).ok_or_else(|| bad("it is cut off"))?;
        let (content, padding) = content.split_at_checked(length).ok_or_else(|| bad("it is cut off"))?;
        let mut again = Vec::new();
        append(&mut again, &name, content)?;
        if again.get(..BLOCK) != Some(header) || padding.iter().any(|byte| *byte != 0) {
            return Err(bad("it is not in its one form"));
        }
        files.push((name, content));
        rest = after;
    }
}

fn sum(header: &[u8]) -> u32 {
    header.iter().map(|byte| u32::from(*byte)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_and_nothing_else_is_read() {
        let long = format!("keys/{}/{}/{}", "a".repeat(16), "w".repeat(63), "0".repeat(64));
        let contents =
            [("seals/00000000/officers", vec![7; 513]), (long.as_str(), vec![]), ("x", vec![1; 512])];
        let mut archive = Vec::new();
        for (name, content) in &contents {
            append(&mut archive, name, content).unwrap();
        }
        finish(&mut archive);
        let read = files(&archive).unwrap();
        assert!(read.iter().map(|(name, content)| (name.as_str(), content.to_vec())).eq(contents));
        for at in 0..BLOCK {
            let mut bad = archive.clone();
            bad[at] ^= 1;
            assert!(files(&bad).is_err(), "byte {at}");
        }
        for length in 0..archive.len() {
            assert!(files(&archive[..length]).is_err(), "{length}");
        }
        assert!(append(&mut archive, &"x".repeat(101), b"").is_err());
    }
}
