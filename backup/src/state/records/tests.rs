use std::collections::BTreeMap;

use lifeboat_repo::ids::RunId;
use lifeboat_repo::units::{Bytes, Timestamp};
use proptest::prelude::*;

use super::super::{State, Table};
use super::*;

type Rows = BTreeMap<u32, Vec<u8>>;

fn state(dir: &std::path::Path) -> State {
    let repository = lifeboat_repo::ids::RepositoryId::from_bytes([7; 16]);
    State::open(dir, &repository, &"tree".parse().unwrap(), None).unwrap()
}

fn table(run: RunId) -> Table {
    let (tenants, segments, holdings, manifests, indexes) = Default::default();
    let start = Timestamp::new(0, 0);
    Table { run, start, tenants, segments, holdings, manifests, indexes, base: None, changes: 0 }
}

fn run(number: u8) -> RunId {
    RunId::new(Timestamp::new(1_700_000_000 + i64::from(number), 0), [number; 8])
}

fn path(key: u32) -> Vec<u8> {
    format!("{key:06}").into_bytes()
}

/// What the state holds, by path; paths come in their order.
fn held(state: &State) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (_, mut reader) = state.load()?;
    let mut rows = Vec::new();
    while let Some(record) = reader.next() {
        let length = record.line().len();
        let needs: Vec<_> = record.fields.needs(&record.block).collect();
        assert_eq!(needs, [(u32::try_from(length).unwrap(), Bytes(length as u64 * 1000))]);
        assert_eq!(record.fields.tenant, 3);
        rows.push((record.path().to_vec(), record.line().to_vec()));
    }
    Some(rows)
}

/// One walk over `rows`, as the pipeline does it: what is as it was is taken, everything else put in.
fn walk(state: &State, number: u8, rows: &Rows) -> Option<Base> {
    let last = state.load();
    let (last, mut reader) = last.unzip();
    let mut writer = state.begin(run(number), last.as_ref()).unwrap();
    let mut next = reader.as_mut().and_then(WalkReader::next);
    for (key, line) in rows {
        let path = path(*key);
        while next.as_ref().is_some_and(|record| record.path() < path.as_slice()) {
            next = reader.as_mut().and_then(WalkReader::next);
        }
        let same = next.as_ref().filter(|record| record.path() == path && record.line() == line);
        match same.and_then(|record| record.base).filter(|_| writer.is_changes()) {
            Some(base) => writer.take(base, 1),
            None => {
                let needs = [(u32::try_from(line.len()).unwrap(), Bytes(line.len() as u64 * 1000))];
                writer.push(3, true, &needs, &path, line).unwrap();
            }
        }
    }
    let base = writer.base;
    state.commit(writer, table(run(number))).unwrap();
    base
}

fn rows() -> impl Strategy<Value = Rows> {
    proptest::collection::btree_map(0_u32..60, proptest::collection::vec(any::<u8>(), 0..40), 0..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Nights of changes, small and large: the state always holds the last walk and nothing else.
    #[test]
    fn the_state_holds_the_last_walk(
        first in rows(),
        nights in proptest::collection::vec((rows(), proptest::collection::vec(0_u32..60, 0..8)), 1..8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path());
        let mut rows = first;
        walk(&state, 0, &rows);
        for (number, (put, gone)) in (1..).zip(nights) {
            rows.extend(put.into_iter().take(usize::from(number) * 2));
            gone.iter().for_each(|key| drop(rows.remove(key)));
            walk(&state, number, &rows);
            let expected: Vec<_> = rows.iter().map(|(key, line)| (path(*key), line.clone())).collect();
            prop_assert_eq!(held(&state), Some(expected));
            let walks = std::fs::read_dir(&state.dir).unwrap().flatten();
            let walks = walks.filter(|entry| entry.file_name().to_string_lossy().starts_with("walk.")).count();
            prop_assert!(walks <= 2, "{} walks are kept", walks);
        }
    }
}

#[test]
fn little_is_written_for_little_change_and_much_makes_a_new_base() {
    let dir = tempfile::tempdir().unwrap();
    let state = state(dir.path());
    // Larger than a block, so that records come from several.
    let mut rows: Rows = (0..60_000).map(|key| (key, format!("{:0100}", key * 7919).into_bytes())).collect();
    assert!(walk(&state, 0, &rows).is_none());
    let size = |number| std::fs::metadata(state.walk_path(run(number))).map(|file| file.len());
    rows.remove(&5);
    rows.insert(40_000, b"changed".to_vec());
    assert_eq!(walk(&state, 1, &rows).map(|base| base.run), Some(run(0)));
    assert!(size(1).unwrap() < 1024, "{:?}", size(1));
    rows.iter_mut().take(30_000).for_each(|(_, line)| line.push(b'!'));
    assert!(walk(&state, 2, &rows).is_some());
    // Half of it is in the changes now: the next walk is whole again, and the others go.
    assert!(walk(&state, 3, &rows).is_none());
    assert!(size(0).is_err() && size(2).is_err());
    let expected: Vec<_> = rows.iter().map(|(key, line)| (path(*key), line.clone())).collect();
    assert!(held(&state) == Some(expected));
}

#[test]
fn a_damaged_walk_is_never_read_as_another() {
    let dir = tempfile::tempdir().unwrap();
    let state = state(dir.path());
    let rows: Rows = (0..200).map(|key| (key, vec![b'x'; 50])).collect();
    walk(&state, 0, &rows);
    let mut changed = rows.clone();
    changed.insert(7, b"changed".to_vec());
    walk(&state, 1, &changed);
    let whole = held(&state).unwrap();
    for number in [0, 1] {
        let path = state.walk_path(run(number));
        let bytes = std::fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(5) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, damaged).unwrap();
            // What can still be read is a beginning of what was there; the rest is read anew.
            if let Some(rows) = held(&state) {
                assert!(whole.starts_with(&rows), "byte {at} of walk {number}");
            }
        }
        std::fs::write(&path, bytes).unwrap();
    }
    // One walk's file under another's name is refused.
    std::fs::copy(state.walk_path(run(0)), state.walk_path(run(1))).unwrap();
    assert_eq!(held(&state), Some(Vec::new()));
}
