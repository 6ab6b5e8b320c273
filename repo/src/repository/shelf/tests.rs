use std::fs;

use super::*;
use crate::format::index::{ChunkRef, SegmentKind, SegmentLine};
use crate::ids::{ChunkId, RunId};
use crate::repository::index::{DedupTable, short};
use crate::units::{LockClass, Timestamp};

const KEY_ID: KeyId = KeyId::from_bytes([5; 32]);

fn run(number: u8) -> RunId {
    RunId::new(Timestamp::new(1_764_000_000, 0), [number; 8])
}

fn place(dir: &Path, large: usize) -> ShelfPlace {
    let secret = Zeroizing::new("a host's secret".to_owned());
    ShelfPlace { dir: dir.to_owned(), secret, bound: "repository/component".into(), large }
}

/// Bytes that no two numbers share.
fn bytes(kind: u8, number: u64) -> [u8; 32] {
    let mut bytes = [kind; 32];
    for (at, part) in (0_u32..).zip(bytes.chunks_mut(8)) {
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17 * at) ^ number;
        part.copy_from_slice(&mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes());
    }
    bytes[31] = kind;
    bytes
}

fn chunk(number: u64) -> ChunkId {
    ChunkId::from_bytes(bytes(1, number))
}

/// Segment `number` of seven chunks, nine segments to a pack.
fn line(number: u64) -> SegmentLine {
    SegmentLine {
        segment: SegmentId::from_bytes(bytes(2, number)),
        pack: Some(pack(number / 9)),
        key: KEY_ID,
        kind: SegmentKind::Data,
        offset: Bytes(0),
        length: Bytes(10),
        plain: Bytes(70),
        lock: LockClass::Normal,
        chunks: (number * 7..number * 7 + 7).map(|number| ChunkRef(chunk(number), 10)).collect(),
    }
}

fn pack(number: u64) -> PackId {
    PackId::from_bytes(bytes(3, number))
}

fn lines(numbers: std::ops::Range<u64>) -> Vec<SegmentLine> {
    numbers.map(line).collect()
}

fn index(number: u64) -> ObjectName {
    format!("index/w1/{}.{number:08}", run(0)).parse().unwrap()
}

fn assert_finds(table: &mut DedupTable, segments: u64, gone: impl Fn(u64) -> bool) {
    for number in 0..segments * 7 {
        let found = table.find(KEY_ID, &chunk(number)).map(|found| *table.segment(found).unwrap());
        let expected = (!gone(number / 7)).then(|| line(number / 7));
        let told = found.map(|found| (found.id, found.pack, found.key));
        assert_eq!(told, expected.map(|line| (line.segment, line.pack, line.key)), "chunk {number}");
    }
    assert_eq!(table.find(KEY_ID, &chunk(segments * 7)), None);
    assert_eq!(table.find(KeyId::from_bytes([6; 32]), &chunk(1)), None);
}

/// A table that is built on disk, kept, opened, added to and kept again knows what one in memory knows.
#[test]
fn a_table_on_disk_knows_what_one_in_memory_knows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shelf");
    let place = place(dir.path(), 100);
    let length = |_| Some(Bytes(900));
    for (at, first) in [(1_u8, 100_u64), (2, 3_000)] {
        let (mut disk, mut memory) = (DedupTable::default(), DedupTable::default());
        disk.shelve_in(place.clone(), run(at));
        for part in 0..10 {
            let lines = lines(part * first / 10..(part + 1) * first / 10);
            disk.absorb(&lines, |_, pack| Some(pack));
            memory.absorb(&lines, |_, pack| Some(pack));
        }
        disk.settle();
        memory.settle();
        assert!(disk.is_large() && !memory.is_large(), "{}", disk.len());
        assert_finds(&mut disk, first, |_| false);
        assert_finds(&mut memory, first, |_| false);
        disk.keep(&path, length, [index(1), index(2)].iter()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left there");
    }

    // The next night: two packs are gone, new segments come, one of them with a chunk that is known.
    let present = |id, length| length == Bytes(900) && id != pack(1) && id != pack(300);
    let moved = |id| (id == line(9).segment).then(|| pack(7));
    let shelf = Shelf::open(&path, &place, present, moved).unwrap();
    assert_eq!((shelf.len(), shelf.indexes().unwrap()), (21_000, HashSet::from([index(1), index(2)])));
    let mut table = DedupTable::default();
    table.shelve_in(place.clone(), run(3));
    table.take_shelf(shelf);
    let found = table.find(KEY_ID, &chunk(9 * 7)).unwrap();
    assert_eq!(table.segment(found).unwrap().pack, Some(pack(7)), "where it was moved to");
    table.absorb(&lines(3_000..3_020), |_, pack| Some(pack));
    table.settle();
    let fresh = KnownSegment { id: SegmentId::from_bytes([9; 32]), pack: None, key: KEY_ID };
    let number = table.add_segment(fresh).unwrap();
    table.insert(&chunk(1_000_000), number);
    table.name_segment(number, SegmentId::from_bytes([8; 32]), pack(1_000));
    table.keep(&path, length, [index(3)].iter()).unwrap();

    let shelf = Shelf::open(&path, &place, |_, _| true, |_| None).unwrap();
    let lost = |segment: u64| [1, 300].contains(&(segment / 9));
    // Of seventeen segments nothing is left, of the eighteenth all, elsewhere.
    assert_eq!((shelf.len(), shelf.numbers.segments.count), (21_140 - 17 * 7 + 1, 3_020 - 17 + 1));
    let mut table = DedupTable::default();
    table.take_shelf(shelf);
    let found = table.find(KEY_ID, &chunk(1_000_000)).unwrap();
    assert_eq!(table.segment(found).unwrap().id, SegmentId::from_bytes([8; 32]));
    let found = table.find(KEY_ID, &chunk(9 * 7)).unwrap();
    assert_eq!(table.segment(found).unwrap().pack, Some(pack(7)));
    for number in (0..3_020).filter(|number| *number != 9) {
        let found = table.find(KEY_ID, &chunk(number * 7 + 3)).and_then(|found| table.segment(found));
        let expected = (!lost(number)).then(|| line(number).segment);
        assert_eq!(found.map(|segment| segment.id), expected, "segment {number}");
    }
    assert!(!table.is_broken());
}

#[test]
fn chunks_that_begin_alike_are_found_across_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (path, place) = (dir.path().join("shelf"), place(dir.path(), 100));
    let mut writer = ShelfWriter::create(&path, &place, run(1)).unwrap();
    let segment = KnownSegment { id: SegmentId::from_bytes([1; 32]), pack: Some(pack(1)), key: KEY_ID };
    writer.segment(&segment).unwrap();
    let alike = |number: u32| {
        let mut chunk = [7; 12];
        chunk[8..].copy_from_slice(&number.to_be_bytes());
        chunk
    };
    for number in 0..1_000 {
        writer.slot(Slot { chunk: alike(number), segment: [0; 4] }).unwrap();
    }
    writer.finish(|_| None, std::iter::empty()).unwrap();
    let mut shelf = Shelf::open(&path, &place, |_, _| true, |_| None).unwrap();
    for number in 0..1_000 {
        assert_eq!(shelf.find(&alike(number)).unwrap(), Some(0), "{number}");
    }
    assert_eq!(shelf.find(&alike(1_000)).unwrap(), None);
    assert_eq!(shelf.find(&[6; 12]).unwrap(), None);
}

/// What is damaged or another's is not used, and never believed.
#[test]
fn no_bit_of_it_can_change() {
    let dir = tempfile::tempdir().unwrap();
    let (path, place) = (dir.path().join("shelf"), place(dir.path(), 100));
    let mut table = DedupTable::default();
    table.shelve_in(place.clone(), run(1));
    table.absorb(&lines(0..300), |_, pack| Some(pack));
    table.settle();
    table.keep(&path, |_| Some(Bytes(1)), [index(1)].iter()).unwrap();
    let whole = fs::read(&path).unwrap();
    let sound = |place: &ShelfPlace| -> Result<bool, ShelfError> {
        let mut shelf = Shelf::open(&path, place, |_, _| true, |_| None)?;
        shelf.indexes()?;
        for number in 0..2_100 {
            let Some(at) = shelf.find(&short(&chunk(number)))? else { return Ok(false) };
            let found = shelf.segment(at)?;
            if found.is_none_or(|found| found.id != line(number / 7).segment) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    assert!(sound(&place).unwrap());
    assert!(sound(&ShelfPlace { bound: "repository/other".into(), ..place.clone() }).is_err());
    assert!(sound(&ShelfPlace { secret: Zeroizing::new("another".into()), ..place.clone() }).is_err());
    for at in (0..whole.len()).step_by(997).chain([whole.len() - 40, whole.len() - TRAILER - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(sound(&place).is_err(), "byte {at}");
    }
    for length in [0, 1, TRAILER, whole.len() - 1, whole.len() - SEALED_BLOCK, SEALED_BLOCK] {
        fs::write(&path, whole.get(..length).unwrap()).unwrap();
        assert!(Shelf::open(&path, &place, |_, _| true, |_| None).is_err(), "{length} bytes");
    }
    // Two blocks that change places.
    let mut bytes = whole.clone();
    let (one, two) = bytes.split_at_mut(5 * SEALED_BLOCK);
    one[4 * SEALED_BLOCK..].swap_with_slice(&mut two[..SEALED_BLOCK]);
    fs::write(&path, bytes).unwrap();
    assert!(sound(&place).is_err());

    // A backup that meets damage stores again what only that knew, and keeps nothing that lacks it.
    let mut bytes = whole;
    bytes[4 * SEALED_BLOCK] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut table = DedupTable::default();
    table.shelve_in(place.clone(), run(2));
    table.take_shelf(Shelf::open(&path, &place, |_, _| true, |_| None).unwrap());
    let found = (0..2_100).filter(|number| table.find(KEY_ID, &chunk(*number)).is_some()).count();
    assert!(table.is_broken() && found < 2_100, "{found}");
}
