use std::collections::BTreeMap;

use lifeboat_repo::format::index::SegmentKind;
use lifeboat_repo::ids::{ChunkId, KeyId, PackId, SegmentId};
use lifeboat_repo::repository::segments::{NeededSegment, Place};
use proptest::prelude::*;

use super::*;
use crate::tree::{Look, ROOT, Tree};

#[test]
fn a_shard_is_written_as_people_write_it() {
    let shard: Shard = "3/16".parse().unwrap();
    assert_eq!((shard.number(), shard.of(), shard.to_string().as_str()), (3, 16, "3/16"));
    for bad in
        ["0/4", "5/4", "1/0", "1/257", "1", "/4", "1/", "-1/4", "+1/4", "1/4/4", "a/b", "", "1/99999999999"]
    {
        assert!(bad.parse::<Shard>().is_err(), "{bad}");
    }
    assert!("1/1".parse::<Shard>().is_ok() && "256/256".parse::<Shard>().is_ok());
}

/// What a file of a made-up tree is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Bare,
    Whole(u64),
    Parts(u32),
    PartlyLost,
    Gone,
    Link,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Bare),
        (1_u64..3_000_000).prop_map(Kind::Whole),
        (2_u32..40).prop_map(Kind::Parts),
        Just(Kind::PartlyLost),
        Just(Kind::Gone),
        Just(Kind::Link),
    ]
}

/// A tree in which directory and kind of each entry are drawn, with a segment for every eight chunks.
fn work(entries: &[(u8, Kind)]) -> Work {
    const CHUNK: u32 = 1 << 20;
    let mut tree = Tree::new();
    let (mut uses, mut parts, mut first) = (Vec::new(), Vec::new(), None);
    for (at, (dir, kind)) in entries.iter().enumerate() {
        let path = format!("d{}/e{}/f{at:05}", dir % 7, dir % 3).into_bytes();
        let (size, pieces) = match kind {
            Kind::Whole(size) => (*size, 1),
            Kind::Parts(pieces) => (u64::from(*pieces) * u64::from(CHUNK), *pieces),
            Kind::PartlyLost => (2 * u64::from(CHUNK), 1),
            Kind::Gone => (u64::from(CHUNK), 0),
            Kind::Bare | Kind::Link => (0, 0),
        };
        let part = u32::try_from(parts.len()).unwrap();
        let role = match (kind, first) {
            (Kind::Link, Some(first)) => Role::Link(first),
            (Kind::Link, None) => Role::Symlink,
            (Kind::Bare, _) => Role::Bare,
            (Kind::Whole(_), _) => Role::Whole,
            (Kind::Parts(_) | Kind::PartlyLost, _) => Role::Parts(part),
            (Kind::Gone, _) => Role::Gone,
        };
        let node = tree.add_leaf(&path, role, Look { size: Bytes(size), ..Look::default() }).unwrap();
        if matches!(role, Role::Parts(_)) {
            let lost = if matches!(kind, Kind::PartlyLost) { Bytes(u64::from(CHUNK)) } else { Bytes::ZERO };
            parts.push(PartsOf { node, pieces, lost });
        }
        if is_file(tree.node(node).unwrap()) {
            first = Some(node);
        }
        for piece in 0..pieces {
            uses.push(Use {
                segment: u32::try_from(uses.len() / 8).unwrap(),
                at: 0,
                length: CHUNK,
                skip: 0,
                take: CHUNK,
                sink: Sink::File(node),
                offset: u64::from(piece) * u64::from(CHUNK),
                id: ChunkId::from_bytes([0; 32]),
            });
        }
    }
    let fetches = (0..uses.len())
        .step_by(8)
        .map(|from| Fetch { segment: segment(from), uses: from..(from + 8).min(uses.len()) });
    let fetches = fetches.collect();
    let (keys, values, sparse) = Default::default();
    Work { tree, keys, fetches, uses, parts, values, sparse, again: None }
}

fn segment(number: usize) -> NeededSegment {
    let place = Place { pack: PackId::from_bytes([0; 32]), offset: Bytes(number as u64), length: Bytes(8) };
    NeededSegment {
        id: SegmentId::from_bytes([0; 32]),
        key: KeyId::from_bytes([0; 32]),
        kind: SegmentKind::Data,
        plain: Bytes(8),
        places: vec![place],
    }
}

/// What is written of each file: its pieces by path.
fn written(work: &Work) -> BTreeMap<Vec<u8>, Vec<u64>> {
    let files = work.tree.nodes().filter(|(_, node)| is_file(node));
    let mut written: BTreeMap<_, _> = files.map(|(number, _)| (work.tree.path(number), Vec::new())).collect();
    for (at, fetch) in work.fetches.iter().enumerate() {
        for one in work.uses_of(fetch) {
            assert_eq!(one.segment as usize, at, "a use knows its segment");
            written.get_mut(&work.tree.path(work.node_of(one.sink).unwrap())).unwrap().push(one.offset);
        }
    }
    written
}

/// Whether a file is one that a shard restores: nothing of it is known to be lost.
fn is_whole(work: &Work, node: &Node) -> bool {
    match node.role {
        Role::Bare | Role::Whole => true,
        Role::Parts(part) => work.parts[part as usize].lost == Bytes::ZERO,
        _ => false,
    }
}

proptest! {
    #[test]
    fn shards_are_disjoint_and_together_everything(
        entries in proptest::collection::vec((any::<u8>(), kind()), 0..120),
        of in 1_u32..40,
    ) {
        let whole = work(&entries);
        let mut expected = written(&whole);
        let weights: BTreeMap<_, _> = whole
            .tree
            .nodes()
            .filter(|(_, node)| is_file(node))
            .map(|(number, node)| (whole.tree.path(number), whole.weight(number, node)))
            .collect();
        for (number, node) in whole.tree.nodes().filter(|(_, node)| is_file(node)) {
            if !is_whole(&whole, node) {
                expected.remove(&whole.tree.path(number));
            }
        }
        let total: u64 = weights.values().sum();
        let most = total.div_ceil(u64::from(of)) + weights.values().max().copied().unwrap_or(0);
        let division = digest(&whole);
        let (mut united, mut ended) = (BTreeMap::new(), 0);
        for number in 1..=of {
            let shard = Shard::new(number, of).unwrap();
            let all = work(&entries);
            prop_assert_eq!(digest(&all), division);
            let range = borders(&all, shard);
            prop_assert!(range.start >= ended || range.is_empty(), "in the order of the manifests");
            ended = ended.max(range.end);
            let own = all.files_alone(&range);
            for (node, one) in own.tree.nodes() {
                prop_assert!(node == ROOT || one.parent < node);
                match one.role {
                    Role::Implied => {}
                    Role::Parts(part) => {
                        let part = own.parts[part as usize];
                        let pieces = own.uses.iter().filter(|one| one.sink == Sink::File(node)).count();
                        prop_assert_eq!((part.node, part.pieces as usize), (node, pieces));
                    }
                    role => prop_assert!(matches!(role, Role::Bare | Role::Whole), "{:?}", role),
                }
            }
            let written = written(&own);
            let weight: u64 = written.keys().map(|path| weights[path]).sum();
            prop_assert!(weight <= most, "{} of at most {}", weight, most);
            for (path, pieces) in written {
                prop_assert!(united.insert(path, pieces).is_none(), "two shards restore one file");
            }
        }
        prop_assert_eq!(united, expected);
    }
}

#[test]
fn what_divides_does_not_depend_on_what_can_be_had() {
    let healthy = work(&[(0, Kind::Parts(2)), (1, Kind::Whole(1 << 20)), (2, Kind::Bare)]);
    let damaged = work(&[(0, Kind::PartlyLost), (1, Kind::Gone), (2, Kind::Bare)]);
    assert_eq!(digest(&healthy), digest(&damaged));
    let another = work(&[(0, Kind::Parts(2)), (1, Kind::Whole(1 << 20))]);
    assert_ne!(digest(&healthy), digest(&another));
}
