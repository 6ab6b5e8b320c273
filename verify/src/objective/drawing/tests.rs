use super::*;
use lifeboat_repo::format::manifest::{Metadata, Tail};
use lifeboat_repo::ids::ObjectHash;

const LEAST: Least = Least { bytes: Bytes::mib(1), files: 100 };

fn seed(nonce: u8) -> Seed {
    Seed::from_checkpoint(&ObjectHash::from_bytes([7; 32]), &[nonce])
}

/// A tenant with 400 files of 100 kB, 500 tenants with 10 files of 3 kB each.
fn files() -> Vec<(Tenant, String, Bytes)> {
    let mut all = Vec::new();
    for file in 0..400 {
        all.push(("big".parse().unwrap(), format!("big/{file}"), Bytes(100_000)));
    }
    for tenant in 0..500 {
        for file in 0..10 {
            all.push((format!("t{tenant}").parse().unwrap(), format!("t{tenant}/{file}"), Bytes(3000)));
        }
    }
    all
}

fn draw(share: f64, nonce: u8) -> Drawn {
    let files = files();
    let bytes = files.iter().map(|file| file.2).sum();
    let size = TrialSize::Share { share, seed: seed(nonce) };
    let mut drawing = Drawing::new(size, bytes, files.len() as u64, LEAST).unwrap();
    for (tenant, path, size) in &files {
        let entry = Entry {
            path: path.clone().into_bytes(),
            kind: EntryKind::File,
            metadata: Metadata::default(),
            size: *size,
            tail: Tail::default(),
        };
        drawing.take(tenant, &entry);
    }
    drawing.finish(12)
}

#[test]
fn a_sample_has_its_share_of_tenants_of_every_size() {
    for nonce in 0..20 {
        let drawn = draw(0.2, nonce);
        for stratum in &drawn.strata {
            let share = stratum.drawn_files as f64 / stratum.files as f64;
            assert!((0.12..0.3).contains(&share), "{nonce}: {stratum:?}");
        }
        assert_eq!(drawn.strata.iter().map(|s| s.tenants).collect::<Vec<_>>(), [500, 1]);
        assert!((8..=12).contains(&drawn.trials.len()), "{}", drawn.trials.len());
        let of = |trial: &Block| trial.bytes.0 / trial.files();
        let sizes: Vec<u64> = drawn.trials.iter().map(of).collect();
        assert!(sizes.first().unwrap() > &90_000 && sizes.last().unwrap() < &4000, "{sizes:?}");
    }
    let paths = |nonce| draw(0.2, nonce).trials.iter().map(|t| t.selection.paths.clone()).collect::<Vec<_>>();
    assert_eq!(paths(1), paths(1));
    assert_ne!(paths(1), paths(2));
}

#[test]
fn the_largest_tenant_is_always_in() {
    for nonce in 0..20 {
        let drawn = draw(0.01, nonce);
        let big: Tenant = "big".parse().unwrap();
        assert!(drawn.trials.iter().any(|trial| trial.selection.tenants.contains(&big)), "{nonce}");
    }
}

#[test]
fn what_is_not_much_more_than_a_sample_is_taken_whole() {
    let all = |bytes, files| {
        let size = TrialSize::Sample { bytes: Bytes::mib(1), seed: seed(1) };
        Drawing::new(size, bytes, files, LEAST).is_none()
    };
    assert!(all(Bytes::ZERO, 0) && all(Bytes::mib(1), 1000) && all(Bytes::mib(100), 110));
    assert!(!all(Bytes::mib(100), 1000));
}
