//! An index of ten million chunks (a hundred million where `LIFEBOAT_SOAK` is set) in its derived form: built from
//! index objects, opened, looked up in, added to.

#![cfg(test)]

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use lifeboat_repo::format::index::{
    ChunkRef, Index, IndexHeader, PackRef, SegmentKind, SegmentLine, decode_index, encode_index,
};
use lifeboat_repo::ids::{ChunkId, KeyId, ObjectName, PackId, RunId, SegmentId};
use lifeboat_repo::repository::index::{DedupTable, KnownSegment};
use lifeboat_repo::repository::shelf::{Shelf, ShelfPlace};
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_tests::label;
use lifeboat_tests::proof::scratch;

/// As content is cut: half a megabyte a chunk, four a segment, thirty-two a pack, sixty-four packs an index object.
const CHUNKS_PER_SEGMENT: u64 = 8;
const SEGMENTS_PER_PACK: u64 = 8;
const PACKS_PER_INDEX: u64 = 64;
const PER_INDEX: u64 = CHUNKS_PER_SEGMENT * SEGMENTS_PER_PACK * PACKS_PER_INDEX;
const LENGTH: Bytes = Bytes::mib(32);
const KEYS: u64 = 100;

fn total() -> u64 {
    let soak = std::env::var_os("LIFEBOAT_SOAK").is_some();
    let wanted = if soak { 100_000_000_u64 } else { 10_000_000 };
    wanted.div_ceil(PER_INDEX) * PER_INDEX
}

/// Thirty-two bytes that no other number of this kind has.
fn id(kind: u64, number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (parts, _) = bytes.as_chunks_mut::<8>();
    for (at, part) in (0..).zip(parts) {
        let mut x = (number + (kind << 48)).wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(at + 1));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        *part = (x ^ (x >> 31)).to_le_bytes();
    }
    bytes
}

fn chunk(number: u64) -> ChunkId {
    ChunkId::from_bytes(id(1, number))
}

fn segment(number: u64) -> KnownSegment {
    KnownSegment {
        id: SegmentId::from_bytes(id(2, number)),
        pack: Some(pack(number / SEGMENTS_PER_PACK)),
        key: KeyId::from_bytes(id(4, number % KEYS)),
    }
}

fn pack(number: u64) -> PackId {
    PackId::from_bytes(id(3, number))
}

fn run() -> RunId {
    RunId::new(Timestamp::new(1_764_000_000, 0), [1; 8])
}

fn index_object(number: u64) -> (IndexHeader, Vec<SegmentLine>) {
    let packs =
        (number * PACKS_PER_INDEX..(number + 1) * PACKS_PER_INDEX).map(|at| PackRef(pack(at), LENGTH));
    let header = IndexHeader::new(label("w1"), run(), packs.collect());
    let first = number * PACKS_PER_INDEX * SEGMENTS_PER_PACK;
    let lines = (first..first + PACKS_PER_INDEX * SEGMENTS_PER_PACK).map(|at| {
        let known = segment(at);
        let chunks =
            (at * CHUNKS_PER_SEGMENT..(at + 1) * CHUNKS_PER_SEGMENT).map(|at| ChunkRef(chunk(at), 1 << 19));
        SegmentLine {
            segment: known.id,
            pack: known.pack,
            key: known.key,
            kind: SegmentKind::Data,
            offset: Bytes::mib(4 * (at % SEGMENTS_PER_PACK)),
            length: Bytes::mib(4),
            plain: Bytes::mib(4),
            lock: lifeboat_repo::units::LockClass::Normal,
            chunks: chunks.collect(),
        }
    });
    (header, lines.collect())
}

fn place(dir: &Path) -> ShelfPlace {
    let secret = "AGE-SECRET-KEY-OF-A-TEST".to_owned().into();
    ShelfPlace { dir: dir.to_owned(), secret, bound: "repository/component".into(), large: 1 << 20 }
}

/// Memory that is this process's own: what is private and of no file.
fn private() -> u64 {
    let (mut anonymous, mut sum) = (false, 0);
    for line in fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if first.contains('-') && !first.ends_with(':') {
            anonymous = words.nth(4).is_none_or(|name| !name.starts_with('/'));
        } else if anonymous && (first == "Private_Dirty:" || first == "Private_Clean:") {
            sum += words.next().unwrap().parse::<u64>().unwrap() << 10;
        }
    }
    sum
}

fn processor() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[test]
fn an_index_of_millions_of_chunks_is_small_and_quick() {
    let dir = scratch();
    let (place, path, chunks) = (place(dir.path()), dir.path().join("shelf"), total());
    let (begun, cpu, before) = (Instant::now(), processor(), private());
    let mut table = DedupTable::default();
    table.shelve_in(place, run());
    let (mut json, mut most) = (0, 0);
    for number in 0..chunks / PER_INDEX {
        let (header, lines) = index_object(number);
        let text = encode_index(&header, &lines).unwrap();
        json += text.len();
        let Index { segments, .. } = decode_index(&text).unwrap();
        table.absorb(&segments, |_, pack| Some(pack));
        most = most.max(private().saturating_sub(before));
    }
    table.settle();
    let names: Vec<ObjectName> =
        (0..chunks / PER_INDEX).map(|at| format!("index/w1/{}.{at:08}", run()).parse().unwrap()).collect();
    table.keep(&path, |_| Some(LENGTH), names.iter()).unwrap();
    drop(table);
    let disk = fs::metadata(&path).unwrap().len();
    println!(
        "{chunks} chunks: built from {} of JSON in {:.1?} ({:.1} s of processor, making the JSON among it), {} MiB of memory at the most; {:.2} bytes a chunk on disk",
        Bytes(json as u64),
        begun.elapsed(),
        processor() - cpu,
        most >> 20,
        disk as f64 / chunks as f64,
    );
    assert!(disk <= 48 * chunks, "{disk} bytes on disk");
    assert!(most <= (160 << 20) + 4 * chunks, "{most} bytes of memory while it is built");
    // A process of its own, so that what building left behind is not mistaken for it.
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "opened_and_looked_up_in", "--nocapture", "--ignored"]);
    let status = child.env("LIFEBOAT_TEST_SHELF", dir.path()).status().unwrap();
    assert!(status.success(), "what was opened is not right: {status}");
}

/// The other process.
#[test]
#[ignore = "the test above starts it"]
fn opened_and_looked_up_in() {
    let dir = std::env::var_os("LIFEBOAT_TEST_SHELF").unwrap();
    let (dir, chunks) = (Path::new(&dir), total());
    let (place, path) = (place(dir), dir.join("shelf"));
    let before = private();
    // What a backup has listed by then.
    let packs = chunks / CHUNKS_PER_SEGMENT / SEGMENTS_PER_PACK;
    let present: HashMap<PackId, Bytes> = (0..packs).map(|at| (pack(at), LENGTH)).collect();
    let listed = private();
    let begun = Instant::now();
    let mut shelf =
        Shelf::open(&path, &place, |id, length| present.get(&id) == Some(&length), |_| None).unwrap();
    let opened = begun.elapsed();
    assert_eq!(shelf.len(), chunks);
    assert_eq!(shelf.indexes().unwrap().len() as u64, chunks / PER_INDEX);

    let lookups = 500_000_u64;
    let numbers: Vec<u64> = (0..lookups).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) % chunks).collect();
    let mut wrong = 0;
    let (begun, cpu) = (Instant::now(), processor());
    for number in &numbers {
        let found = shelf.find(chunk(*number).as_bytes().first_chunk().unwrap()).unwrap();
        let found = found.and_then(|at| shelf.segment(at).unwrap());
        let expected = segment(number / CHUNKS_PER_SEGMENT);
        let right = found.is_some_and(|found| {
            (found.id, found.pack, found.key) == (expected.id, expected.pack, expected.key)
        });
        wrong += u64::from(!right);
    }
    let known = begun.elapsed();
    let processor_known = processor() - cpu;
    let begun = Instant::now();
    for number in 0..lookups {
        wrong += u64::from(
            shelf.find(chunk(chunks + number).as_bytes().first_chunk().unwrap()).unwrap().is_some(),
        );
    }
    let unknown = begun.elapsed();
    let rate = |took: std::time::Duration| lookups as f64 / took.as_secs_f64();
    let all = private() - before;
    println!(
        "opened in {opened:.1?}; {:.0} look-ups a second of known chunks with their segments ({:.0} a second of processor), {:.0} of unknown ones; {:.2} bytes of private memory a chunk ({:.2} without the list of packs)",
        rate(known),
        lookups as f64 / processor_known,
        rate(unknown),
        all as f64 / chunks as f64,
        (private() - listed) as f64 / chunks as f64,
    );
    assert_eq!(wrong, 0, "look-ups that gave something else");
    assert!(all <= 16 * chunks, "{all} bytes of private memory");

    // A night's work is merged into it in one pass.
    let before = private();
    let (begun, cpu) = (Instant::now(), processor());
    let mut table = DedupTable::default();
    table.shelve_in(place, RunId::new(Timestamp::new(1_764_100_000, 0), [2; 8]));
    table.take_shelf(shelf);
    let (_, lines) = index_object(chunks / PER_INDEX);
    table.absorb(&lines, |_, pack| Some(pack));
    table.settle();
    table.keep(&path, |_| Some(LENGTH), std::iter::empty()).unwrap();
    let took = processor() - cpu;
    println!(
        "{PER_INDEX} new chunks merged in {:.1?} ({took:.1} s of processor), {} MiB more memory",
        begun.elapsed(),
        private().saturating_sub(before) >> 20,
    );
    let mut shelf = Shelf::open(&dir.join("shelf"), &self::place(dir), |_, _| true, |_| None).unwrap();
    assert_eq!(shelf.len(), chunks + PER_INDEX);
    for number in numbers.iter().take(1000).copied().chain(chunks..chunks + 100) {
        let found = shelf.find(chunk(number).as_bytes().first_chunk().unwrap()).unwrap();
        let found = found.and_then(|at| shelf.segment(at).unwrap()).unwrap();
        assert_eq!(found.id, segment(number / CHUNKS_PER_SEGMENT).id);
    }
}
