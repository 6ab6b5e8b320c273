//! Bytes and rates as people write them.

use lifeboat_backup::Percent;
use lifeboat_repo::units::{ByteRate, Bytes};

/// Powers of ten as disks and networks are sold, of two as memory is.
const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];
/// Bits, of networks.
const BITS: [(&str, u64); 3] = [("kbit", 1_000 / 8), ("Mbit", 1_000_000 / 8), ("Gbit", 1_000_000_000 / 8)];
/// A slower store could not even take its own ledger.
const RATE_MIN: u64 = 1_000;

/// Reads `512MiB`, `1.5 GB`.
///
/// # Errors
/// Something else; the text says what is allowed.
pub(crate) fn parse_bytes(text: &str) -> Result<Bytes, String> {
    amount(text, &UNITS).map(Bytes).ok_or_else(|| {
        format!("{text:?} is no amount; write a number with kB, MB, GB, KiB, MiB or GiB, as in 512MiB")
    })
}

/// Reads `50MB/s`, `100 Mbit/s`; nothing for `unlimited`.
///
/// # Errors
/// Something else; the text says what is allowed.
pub(crate) fn parse_rate(text: &str) -> Result<Option<ByteRate>, String> {
    if text.trim() == "unlimited" {
        return Ok(None);
    }
    let bad = || {
        format!(
            "{text:?} is no bandwidth; write a number with kB/s, MB/s, MiB/s or Mbit/s, as in 50MB/s, or unlimited"
        )
    };
    let each = text.trim().strip_suffix("/s").ok_or_else(bad)?;
    let rate = amount(each, &UNITS).or_else(|| amount(each, &BITS)).ok_or_else(bad)?;
    if rate < RATE_MIN {
        return Err(format!("{text:?} is too slow for anything; 1kB/s is the least"));
    }
    Ok(Some(ByteRate(Bytes(rate))))
}

/// Reads `50%`.
///
/// # Errors
/// Something else; the text says what is allowed.
pub(crate) fn parse_percent(text: &str) -> Result<Percent, String> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
    number
        .and_then(Percent::new)
        .ok_or_else(|| format!("{text:?} is no share; write a whole number from 0 to 100 with %, as in 50%"))
}

/// A number, whole or with a point, and a unit.
fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at_checked(end)?;
    let (_, each) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    // A thousandth is as fine as anybody writes.
    let thousandths = match part {
        "" if !number.contains('.') => 0,
        "" => return None,
        part => format!("{part:0<3}").get(..3)?.parse::<u64>().ok()?,
    };
    whole.checked_mul(*each)?.checked_add(thousandths.checked_mul(*each)? / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        let good = [("512MiB", 512 << 20), ("1.5 GB", 1_500_000_000), ("7B", 7), ("0.25KiB", 256)];
        for (text, bytes) in good {
            assert_eq!(parse_bytes(text), Ok(Bytes(bytes)), "{text}");
        }
        for bad in ["", "512", "MB", "1.GB", "-1MB", "1 mb", "5 parsecs", "99999999999TB", "1.2.3MB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_percent("50%").ok(), Percent::new(50));
        assert_eq!(parse_percent(" 0 % ").ok(), Percent::new(0));
        for bad in ["50", "101%", "-1%", "0.5%", "half", "%", ""] {
            assert!(parse_percent(bad).is_err(), "{bad}");
        }
        let rate = |text: &str| parse_rate(text).unwrap().map(|rate| rate.0.0);
        assert_eq!(rate("50MB/s"), Some(50_000_000));
        assert_eq!((rate("100 Mbit/s"), rate("unlimited")), (Some(12_500_000), None));
        for bad in ["50MB", "0MB/s", "999B/s", "fast", ""] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }
}
