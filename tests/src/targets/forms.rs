//! Plain forms: JSON, JSON Lines, names, trust, books, local state.

use std::fmt::Display;
use std::str::FromStr;

use lifeboat_repo::crypto::{AllowedSigners, Recipient, VerifyingKey};
use lifeboat_repo::format::index::{decode_index, decode_table, encode_index, encode_table};
use lifeboat_repo::format::keys::{CardBody, KeyBody, OfficersSeal, WritersSeal};
use lifeboat_repo::format::manifest::{Entry, ManifestDecoder, check_path, encode_entry};
use lifeboat_repo::format::pack::{FOOTER_LEN, Footer};
use lifeboat_repo::format::records::{FenceBody, GcBody, Hint, LedgerBody, RunBody};
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::format::trust::TrustHeader;
use lifeboat_repo::format::{self, text as escaped};
use lifeboat_repo::ids::{ChunkId, Label, ObjectName, RunId, Tenant};
use lifeboat_repo::repository::index::DedupTable;
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_runbooks::Book;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is written and read again is written the same once more.
fn same_again<T: Serialize + DeserializeOwned>(bytes: &[u8], what: &str) -> bool {
    let Ok(value) = format::decode::<T>(bytes, what) else { return false };
    let once = format::encode(&value, what).expect("what was read can be written");
    let again: T = format::decode(&once, what).expect("what was written can be read");
    assert_eq!(format::encode(&again, what).expect("JSON"), once, "{what}");
    true
}

pub(super) fn card(bytes: &[u8]) -> bool {
    same_again::<CardBody>(bytes, "card")
}

pub(super) fn key(bytes: &[u8]) -> bool {
    same_again::<KeyBody>(bytes, "key")
}

pub(super) fn seal(bytes: &[u8]) -> bool {
    let officers = same_again::<OfficersSeal>(bytes, "seal");
    same_again::<WritersSeal>(bytes, "seal") || officers
}

pub(super) fn gc(bytes: &[u8]) -> bool {
    same_again::<GcBody>(bytes, "gc record")
}

pub(super) fn ledger(bytes: &[u8]) -> bool {
    same_again::<LedgerBody>(bytes, "ledger entry")
}

/// Run objects, and what may stand in their place or look like them: fences, the hint.
pub(super) fn run(bytes: &[u8]) -> bool {
    let run = same_again::<RunBody>(bytes, "run");
    let fence = same_again::<FenceBody>(bytes, "fence");
    same_again::<Hint>(bytes, "hint") || run || fence
}

pub(super) fn index(bytes: &[u8]) -> bool {
    let Ok(index) = decode_index(bytes) else { return false };
    let written = encode_index(&index.header, &index.segments).expect("JSON");
    assert_eq!(decode_index(&written).expect("an index"), index);
    true
}

pub(super) fn table(bytes: &[u8]) -> bool {
    let Ok((header, segments)) = decode_table(bytes) else { return false };
    let written = encode_table(&header, &segments).expect("JSON");
    assert_eq!(decode_table(&written).expect("a table"), (header, segments));
    true
}

pub(super) fn snapshot(bytes: &[u8]) -> bool {
    let Ok(snapshot) = Snapshot::decode(bytes) else { return false };
    let written = snapshot.encode().expect("JSON");
    let again = Snapshot::decode(&written).expect("a snapshot");
    assert_eq!(again.encode().expect("JSON"), written);
    true
}

/// The last 64 bytes of a pack; the pack's length is what makes them fit, where anything does.
pub(super) fn footer(bytes: &[u8]) -> bool {
    let number = |at: std::ops::Range<usize>| {
        bytes.get(at).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok())
    };
    let fitting = number(22..38).zip(number(39..51)).and_then(|(offset, length)| offset.checked_add(length));
    let length = Bytes(fitting.unwrap_or(0).saturating_add(FOOTER_LEN as u64));
    let Ok(footer) = Footer::decode(bytes, length) else { return false };
    assert_eq!(footer.encode(), bytes);
    assert!(footer.offset + footer.length < length);
    true
}

/// All entries of a manifest that comes in parts of this length.
fn entries(bytes: &[u8], part: usize) -> Result<Vec<Entry>, Vec<Entry>> {
    let mut decoder = ManifestDecoder::new();
    let mut found = Vec::new();
    for part in bytes.chunks(part) {
        decoder.push(part);
        loop {
            match decoder.next_entry() {
                Ok(Some(entry)) => found.push(entry),
                Ok(None) => break,
                Err(_) => return Err(found),
            }
        }
    }
    decoder.end();
    loop {
        match decoder.next_entry() {
            Ok(Some(entry)) => found.push(entry),
            Ok(None) => return Ok(found),
            Err(_) => return Err(found),
        }
    }
}

/// A manifest says the same in one piece and in small ones; what it gives may be written below a target.
pub(super) fn manifest(bytes: &[u8]) -> bool {
    let whole = entries(bytes, usize::MAX);
    let part = bytes.first().map_or(1, |first| usize::from(*first) + 1);
    assert_eq!(entries(bytes, part), whole);
    let taken = whole.is_ok();
    let found = whole.unwrap_or_else(|before| before);
    for entry in &found {
        assert!(check_path(&entry.path).is_ok());
        let once = encode_entry(entry);
        let again = entries(&once, usize::MAX).expect("what was written can be read");
        assert_eq!(again.len(), 1, "{entry:?}");
        assert_eq!(again.first().map(encode_entry).as_deref(), Some(once.as_slice()));
    }
    taken && !found.is_empty()
}

pub(super) fn trust(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(signers) = AllowedSigners::parse(text) else { return false };
    let rendered = signers.render();
    assert_eq!(AllowedSigners::parse(&rendered).as_ref(), Ok(&signers));
    for entry in signers.entries() {
        let judged =
            signers.check(Some(&entry.principal), &entry.key, "lifeboat-trust:a:trust/00000000", None);
        drop(judged);
    }
    let header = signers.first_comment().and_then(|comment| TrustHeader::decode(comment).ok());
    if let Some(header) = &header {
        let written = format::encode(header, "trust header").expect("JSON");
        let text = std::str::from_utf8(&written).expect("JSON is UTF-8");
        assert_eq!(TrustHeader::decode(text).as_ref().ok(), Some(header));
    }
    header.is_some()
}

/// Every id has one spelling.
fn one_spelling<T: FromStr + Display>(text: &str) -> bool {
    text.parse::<T>().is_ok_and(|value| {
        assert_eq!(value.to_string(), text);
        true
    })
}

pub(super) fn names(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if let Ok(name) = text.parse::<ObjectName>() {
        assert!(name.parts().all(|part| !part.is_empty() && !part.starts_with('.')));
        drop(format::names::place(&name));
    }
    [
        one_spelling::<ObjectName>(text),
        one_spelling::<RunId>(text),
        one_spelling::<Label>(text),
        one_spelling::<Tenant>(text),
        one_spelling::<ChunkId>(text),
        one_spelling::<Timestamp>(text),
        one_spelling::<format::names::Seq>(text),
        one_spelling::<Recipient>(text),
        text.parse::<VerifyingKey>().is_ok_and(|key| text.starts_with(&key.to_string())),
    ]
    .contains(&true)
}

/// Names of files: any bytes come back; any text gives bytes or none.
pub(super) fn text(bytes: &[u8]) -> bool {
    assert_eq!(escaped::unescape(&escaped::escape(bytes)).as_deref(), Some(bytes));
    assert!(!escaped::display(bytes).chars().any(char::is_control));
    let given = std::str::from_utf8(bytes).ok().and_then(escaped::unescape);
    if let Some(given) = &given {
        assert!(given.len() <= bytes.len());
    }
    given.is_some()
}

pub(super) fn book(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let lines = text.lines().count();
    match Book::parse(text) {
        Ok(book) => {
            assert!(!book.steps.is_empty() && book.steps.iter().all(|step| (1..=lines).contains(&step.line)));
            true
        }
        Err(error) => {
            assert!((1..=lines + 1).contains(&error.line), "{error}: {lines} lines");
            false
        }
    }
}

/// What a host remembers, once it is opened: a damaged one is worth nothing, and does no harm.
pub(super) fn state(bytes: &[u8]) -> bool {
    let table = lifeboat_backup::testing::reads_state_table(bytes);
    // Whatever the index objects are that it says it covers.
    let line = bytes.iter().position(|byte| *byte == b'\n');
    let slots = line.and_then(|line| bytes.get(line + 1..));
    let chunks =
        slots.is_some_and(|slots| DedupTable::default().absorb_bytes(slots, |_, pack, _| Some(pack)));
    let changes = lifeboat_backup::testing::reads_state_changes(bytes);
    lifeboat_backup::testing::reads_state_records(bytes) || changes || table || chunks
}
