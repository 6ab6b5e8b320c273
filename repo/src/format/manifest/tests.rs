use super::*;
use crate::ids::ChunkId;
use proptest::prelude::*;

fn decode(bytes: &[u8], step: usize) -> Result<Vec<Entry>, crate::format::FormatError> {
    let mut decoder = ManifestDecoder::new();
    let mut entries = Vec::new();
    for part in bytes.chunks(step.max(1)) {
        decoder.push(part);
        while let Some(entry) = decoder.next_entry()? {
            entries.push(entry);
        }
    }
    decoder.end();
    while let Some(entry) = decoder.next_entry()? {
        entries.push(entry);
    }
    Ok(entries)
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>().prop_filter("a name", |b| *b != 0 && *b != b'/'), 1..40)
        .prop_filter("no dots", |name| name != b"." && name != b"..")
}

fn chunks() -> impl Strategy<Value = Vec<ChunkRef>> {
    proptest::collection::vec((any::<[u8; 32]>(), 1..100_000_u32), 0..2000)
        .prop_map(|list| list.into_iter().map(|(id, n)| ChunkRef(ChunkId::from_bytes(id), n)).collect())
}

fn xattrs() -> impl Strategy<Value = Vec<Xattr>> {
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..XATTR_INLINE_MAX).prop_map(XattrValue::Inline),
        Just(XattrValue::Chunks(vec![ChunkRef(ChunkId::from_bytes([7; 32]), 60_000)])),
    ];
    proptest::collection::vec((names(), value).prop_map(|(name, value)| Xattr { name, value }), 0..90)
}

prop_compose! {
    fn files()(
        parts in proptest::collection::vec(names(), 1..4),
        mode in 0..0o10000_u32,
        ids in any::<(u32, u32, u64)>(),
        user in proptest::option::of("[^\u{0}]{0,20}"),
        times in any::<(i32, i32)>(),
        nanos in 0..1_000_000_000_u32,
        hole in proptest::option::of(1..1_000_000_u64),
        xattrs in xattrs(),
        chunks in chunks(),
        changed in any::<bool>(),
    ) -> Entry {
        let content: Bytes = chunks.iter().map(ChunkRef::length).sum();
        let holes = hole.map(|n| Hole { offset: content, length: Bytes(n) });
        Entry {
            path: parts.join(&b'/'),
            kind: EntryKind::File,
            metadata: Metadata {
                mode, uid: ids.0, gid: ids.1, user: user.clone(), group: user, inode: ids.2,
                mtime: Timestamp::new(i64::from(times.0), nanos), ctime: Timestamp::new(i64::from(times.1), nanos),
            },
            size: content + Bytes(hole.unwrap_or(0)),
            tail: Tail { xattrs, holes: holes.into_iter().collect(), chunks, changed, ..Tail::default() },
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn entries_come_back_and_lines_stay_short(entries in proptest::collection::vec(files(), 1..6), step in 1..9000_usize) {
        let bytes: Vec<u8> = entries.iter().flat_map(encode_entry).collect();
        prop_assert!(bytes.split_inclusive(|b| *b == b'\n').all(|line| line.len() <= LINE_MAX));
        prop_assert_eq!(decode(&bytes, step).unwrap(), entries);
    }

    #[test]
    fn heads_tell_entries_apart(a in files(), b in files()) {
        let stored = encode_entry(&a);
        let head = |e: &Entry| { let mut h = Vec::new(); write_head(&mut h, &e.path, e.kind, &e.metadata, e.size); h };
        prop_assert!(has_head(&stored, &head(&a)));
        prop_assert_eq!(has_head(&stored, &head(&b)), head(&a) == head(&b));
        let mut shorter = a.clone();
        shorter.size = Bytes(a.size.0 / 10);
        prop_assert_eq!(has_head(&stored, &head(&shorter)), shorter.size == a.size);
    }

    #[test]
    fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..2000), at in 0..500_usize, entry in files()) {
        let _ = decode(&bytes, 100);
        let mut stored = encode_entry(&entry);
        if let Some(byte) = stored.get_mut(at) { *byte ^= 1; }
        let _ = decode(&stored, 1000);
    }

    #[test]
    fn order_is_depth_first(a in proptest::collection::vec(names(), 1..4), b in proptest::collection::vec(names(), 1..4)) {
        prop_assert_eq!(order(&a.join(&b'/'), &b.join(&b'/')), a.cmp(&b));
    }
}

#[test]
fn paths_that_escape_are_refused() {
    for bad in ["../x", "/etc/passwd", "a/../../b", "a//b", "", "a/./b", "a\\u0000b", "./a", "a/"] {
        let line = format!("{{\"path\":\"{bad}\",\"type\":\"dir\",\"mode\":\"0755\"}}\n");
        assert!(decode(line.as_bytes(), 999).is_err(), "{bad}");
    }
    let link = b"{\"path\":\"a\",\"type\":\"hardlink\",\"mode\":\"0644\",\"link\":\"../../etc/shadow\",\"size\":0}\n";
    assert!(decode(link, 999).is_err());
    let long = format!("{{\"path\":\"{}\",\"type\":\"dir\",\"mode\":\"0755\"}}\n", "a".repeat(70_000));
    assert!(decode(long.as_bytes(), 999).is_err());
}
