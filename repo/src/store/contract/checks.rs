//! The checks. Each puts objects of its own, so that one that fails leaves the others their meaning.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{Bench, Broken, LENGTH_MAX, ahead, ensure, unexpected};
use crate::clock::{Clock, SystemClock};
use crate::store::{Created, StoreError, StoreErrorKind};
use crate::units::Bytes;

type Run = fn(&Bench<'_>) -> Result<(), Broken>;

/// Every check with what it is called. The first is what the others need.
pub(super) const CHECKS: [(&str, Run); 15] = [
    ("an object created is there, whole", whole),
    ("an object may be empty", empty),
    ("a name is created once, and its content stays", once),
    ("of concurrent creations one wins", race),
    ("what is staged is there after the barrier", barrier),
    ("creation confirms what was staged", create_is_barrier),
    ("an upload is named at its end", upload),
    ("a range is what it says", range),
    ("a range past the end is refused", range_past_end),
    ("what is missing is called missing", missing),
    ("an object longer than expected is refused", too_long),
    ("a listing is complete, sorted and exact", listing),
    ("what is deleted is gone", delete),
    ("the clock is right within a day, and dates objects", clock),
    ("a staged name that is taken is refused", staged_twice),
];

/// Creators at once, and how often they try: enough to meet in most runs, little to pay for over a network.
const RACERS: usize = 6;
const RACES: usize = 4;

/// More wrong than this, a clock is broken rather than loose.
const SKEW_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Between an object's date and the store's clock: some date to whole or even seconds.
const DATE_TOLERANCE: Duration = Duration::from_secs(5);

fn whole(bench: &Bench<'_>) -> Result<(), Broken> {
    let name = bench.create("whole/a.b_c-0", b"content")?;
    bench.holds(&name, b"content")
}

fn empty(bench: &Bench<'_>) -> Result<(), Broken> {
    let name = bench.create("empty", b"")?;
    bench.holds(&name, b"")
}

fn once(bench: &Bench<'_>) -> Result<(), Broken> {
    let name = bench.create("once", b"first")?;
    for second in [&b"second, and longer"[..], b"first", b""] {
        let created = bench.store.create(&name, second)?;
        ensure(created == Created::Exists, || format!("creating {name} again said {created}"))?;
        bench.holds(&name, b"first")?;
    }
    Ok(())
}

fn race(bench: &Bench<'_>) -> Result<(), Broken> {
    for round in 0..RACES {
        let name = bench.name(&format!("race/{round}"))?;
        let content = |racer: usize| format!("{racer}").repeat(1000 + racer).into_bytes();
        let go = AtomicBool::new(false);
        let run = |racer: usize| {
            while !go.load(Ordering::Acquire) {
                thread::yield_now();
            }
            bench.store.create(&name, &content(racer)).map(|created| (racer, created))
        };
        let answers: Vec<Result<(usize, Created), Broken>> = thread::scope(|scope| {
            let run = &run;
            let start = |racer| thread::Builder::new().spawn_scoped(scope, move || run(racer));
            let racers: Vec<_> = (0..RACERS).map(start).collect();
            go.store(true, Ordering::Release);
            racers.into_iter().map(joined).collect()
        });
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let winners: Vec<usize> = answers
            .into_iter()
            .filter(|(_, created)| *created == Created::New)
            .map(|(racer, _)| racer)
            .collect();
        match winners.as_slice() {
            [winner] => bench.holds(&name, &content(*winner))?,
            _ => return Err(Broken(format!("{} of {RACERS} creators of {name} won", winners.len()))),
        }
    }
    Ok(())
}

type Racer<'t> = thread::ScopedJoinHandle<'t, Result<(usize, Created), StoreError>>;

fn joined(racer: std::io::Result<Racer<'_>>) -> Result<(usize, Created), Broken> {
    let racer = racer.map_err(|error| Broken(format!("cannot start a thread: {error}")))?;
    let answer = racer.join().map_err(|_| Broken("the store panicked".to_owned()))?;
    Ok(answer?)
}

fn barrier(bench: &Bench<'_>) -> Result<(), Broken> {
    let names = ["barrier/a", "barrier/b/c", "barrier/b/d"];
    for last in names {
        let name = bench.name(last)?;
        bench.store.stage(&name, last.as_bytes())?;
        // Before the barrier it may be there or not, but not in part.
        match bench.store.read(&name, LENGTH_MAX) {
            Ok(bytes) if bytes == last.as_bytes() => {}
            Err(error) if error.is_missing() => {}
            other => return Err(unexpected("reading what is staged", &other)),
        }
    }
    bench.store.barrier()?;
    for last in names {
        bench.holds(&bench.name(last)?, last.as_bytes())?;
    }
    bench.store.barrier()?;
    Ok(())
}

fn create_is_barrier(bench: &Bench<'_>) -> Result<(), Broken> {
    let staged = bench.name("confirmed/staged")?;
    bench.store.stage(&staged, b"staged")?;
    let created = bench.create("confirmed/created", b"created")?;
    bench.holds(&staged, b"staged")?;
    bench.holds(&created, b"created")
}

fn upload(bench: &Bench<'_>) -> Result<(), Broken> {
    let pieces: [&[u8]; 5] = [b"a", b"", &[b'b'; 70_000], &[b'c'; 1 << 20], b"d"];
    let mut abandoned = bench.store.upload()?;
    abandoned.write(b"never named")?;
    let mut upload = bench.store.upload()?;
    for piece in pieces {
        upload.write(piece)?;
    }
    let name = bench.name("upload/named/late")?;
    upload.finish(&name)?;
    drop(abandoned);
    bench.store.barrier()?;
    bench.holds(&name, &pieces.concat())?;
    let left = bench.list("upload/")?;
    ensure(left == ["upload/named/late"], || {
        format!("an abandoned upload left something: {}", left.join(", "))
    })
}

fn range(bench: &Bench<'_>) -> Result<(), Broken> {
    let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let name = bench.create("range", &content)?;
    for (from, length) in [(0, 10_000), (0, 1), (4_321, 1_234), (9_999, 1), (10_000, 0), (0, 0)] {
        let mut into = b"kept".to_vec();
        bench.store.read_range(&name, Bytes(from as u64), Bytes(length as u64), &mut into)?;
        let expected = content.get(from..from + length).unwrap_or_default();
        ensure(into.strip_prefix(b"kept") == Some(expected), || {
            format!("{length} bytes from {from} of {name} gave something else")
        })?;
    }
    Ok(())
}

fn range_past_end(bench: &Bench<'_>) -> Result<(), Broken> {
    let name = bench.create("short", &[7; 1_000])?;
    for (from, length) in [(0, 1_001), (999, 2), (1_000, 1), (5_000, 1), (u64::MAX, 1), (1, u64::MAX)] {
        let mut into = b"kept".to_vec();
        let answer = bench.store.read_range(&name, Bytes(from), Bytes(length), &mut into);
        let short = matches!(&answer, Err(StoreError { kind: StoreErrorKind::Short { length }, .. }) if length.0 == 1_000);
        if !short {
            return Err(unexpected(&format!("reading {length} bytes from {from} of 1000"), &answer));
        }
        ensure(into == b"kept", || "a range that was refused changed the buffer".to_owned())?;
    }
    Ok(())
}

fn missing(bench: &Bench<'_>) -> Result<(), Broken> {
    // One whose place exists, one whose place does not, one below an object, one that is a place.
    bench.create("missing/there/object", b"")?;
    for last in ["missing/there/not", "missing/not/there", "missing/there/object/below", "missing/there"] {
        let name = bench.name(last)?;
        bench.is_absent(&name)?;
        match bench.store.read_range(&name, Bytes::ZERO, Bytes(1), &mut Vec::new()) {
            Err(error) if error.is_missing() => {}
            other => return Err(unexpected("reading a range of what is not there", &other)),
        }
        let deleted = bench.store.delete(&name)?;
        ensure(!deleted, || format!("deleting {name}, which is not there, said it was"))?;
    }
    let listed = bench.list("missing/not/")?;
    ensure(listed.is_empty(), || format!("listing an empty place gave {}", listed.join(", ")))
}

fn too_long(bench: &Bench<'_>) -> Result<(), Broken> {
    let name = bench.create("long", &[1; 100])?;
    let exact = bench.store.read(&name, Bytes(100))?;
    ensure(exact == [1; 100], || "an object as long as the limit was read wrongly".to_owned())?;
    match bench.store.read(&name, Bytes(99)) {
        Err(StoreError {
            kind: StoreErrorKind::TooLong { length: Bytes(100), limit: Bytes(99) }, ..
        }) => Ok(()),
        other => Err(unexpected("reading 100 bytes where 99 are allowed", &other)),
    }
}

fn listing(bench: &Bench<'_>) -> Result<(), Broken> {
    // Sorted as whole names: `-` and `.` come before `/`, digits after it.
    let sorted = ["list/b", "list/c-e", "list/c.d", "list/c/a", "list/c/z/0", "list/c0", "list/d"];
    for last in ["list/d", "list/c/z/0", "list/c-e", "list/c0", "list/b", "list/c/a", "list/c.d"] {
        bench.create(last, last.as_bytes())?;
        let listed = bench.list("list/")?;
        ensure(listed.iter().any(|name| name == last), || {
            format!("{last} is not listed right after it was created")
        })?;
    }
    bench.create("list2/a", b"")?;
    for (prefix, expected) in
        [("list/", &sorted[..]), ("list/c/", &["list/c/a", "list/c/z/0"]), ("list/c/z/0/", &[])]
    {
        let listed = bench.list(prefix)?;
        ensure(listed == expected, || format!("listing {prefix} gave {}", listed.join(", ")))?;
    }
    let prefix = bench.prefix();
    let below: Vec<_> = bench
        .store
        .list("")?
        .into_iter()
        .filter(|listed| listed.name.as_str().starts_with(&prefix))
        .collect();
    let listed = bench.store.list(&prefix)?;
    ensure(below == listed, || "listing everything and listing a part disagree on that part".to_owned())
}

fn delete(bench: &Bench<'_>) -> Result<(), Broken> {
    let name = bench.create("delete/a", b"a")?;
    let beside = bench.create("delete/b", b"b")?;
    bench.store.read_range(&name, Bytes::ZERO, Bytes(1), &mut Vec::new())?;
    ensure(bench.store.delete(&name)?, || format!("deleting {name} said that it was not there"))?;
    bench.is_absent(&name)?;
    match bench.store.read_range(&name, Bytes::ZERO, Bytes(1), &mut Vec::new()) {
        Err(error) if error.is_missing() => {}
        other => return Err(unexpected("reading a range of what was deleted", &other)),
    }
    ensure(!bench.store.delete(&name)?, || format!("deleting {name} again said that it was there"))?;
    bench.holds(&beside, b"b")
}

fn clock(bench: &Bench<'_>) -> Result<(), Broken> {
    let theirs = bench.store.now()?;
    let skew = ahead(theirs, SystemClock.now());
    ensure(skew.unsigned_abs() <= SKEW_MAX, || format!("the store's clock is ahead of ours by {skew:#}"))?;
    let name = bench.create("clock", b"")?;
    let dated = bench.store.stat(&name)?.map(|listed| listed.modified);
    let off = dated.map(|modified| ahead(modified, theirs));
    let right = |off: jiff::SignedDuration| off.unsigned_abs() <= DATE_TOLERANCE;
    // Creating it may itself have taken long.
    let late = |off: jiff::SignedDuration| bench.store.now().is_ok_and(|now| ahead(now, theirs) >= off);
    ensure(off.is_some_and(|off| right(off) || off.is_positive() && late(off)), || {
        format!("at {theirs} by the store's clock it dated a new object {dated:?}")
    })
}

fn staged_twice(bench: &Bench<'_>) -> Result<(), Broken> {
    let name = bench.create("taken", b"first")?;
    let answer = bench.store.stage(&name, b"second").and_then(|()| bench.store.barrier());
    match answer {
        Err(StoreError { kind: StoreErrorKind::Exists, .. }) => bench.holds(&name, b"first"),
        other => Err(unexpected("staging an object whose name is taken", &other)),
    }
}
