//! Backups: what they store, and what they leave alone.

#![cfg(test)]

use lifeboat_tests::{World, write};

#[test]
fn an_unchanged_tree_stores_nothing_anew() {
    let world = World::new();
    for tenant in ["acme", "beta"] {
        for number in 0..50 {
            write(
                &world.source(),
                &format!("tenants/{tenant}/d{}/f{number}", number % 7),
                format!("{tenant} {number}").repeat(100).as_bytes(),
            );
        }
    }
    let big: Vec<u8> = (0..5_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    write(&world.source(), "shared/big", &big);
    let first = world.backup().unwrap();
    assert_eq!(first.tenants, 3);
    assert_eq!(first.counts.files, 101);
    assert!(first.stored.0 > 1_000_000, "{first:?}");
    let second = world.backup().unwrap();
    assert_eq!(second.parent, Some(first.run));
    assert_eq!(second.counts, first.counts);
    assert_eq!((second.packs, second.stored.0), (0, 0), "{second:?}");
    std::fs::remove_dir_all(world.dir.path().join("state")).unwrap();
    let third = world.backup().unwrap();
    assert_eq!((third.packs, third.parent), (0, None), "without state everything is read and found again");
}
