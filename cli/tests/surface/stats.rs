//! The figures of `stats`, in a world whose sizes are known.

use std::fs;

use serde_json::Value;

use crate::world::{World, noise};

const IDENTITY: &str = "--identity=keys/recovery-eu-fra.txt";

#[track_caller]
fn near(value: &Value, wanted: f64) {
    let found = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!((found / wanted - 1.0).abs() < 0.02, "{found} is not about {wanted}");
}

fn component(world: &World, arguments: &[&str]) -> Value {
    let output = world.ends(&[&["stats", "--json"], arguments].concat(), 0);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    value["result"]["regions"][0]["components"][0].clone()
}

#[test]
fn sizes_ratios_and_growth_are_what_was_stored() {
    let world = World::new();
    let acme = world.at().join("data/chats/uploads/acme");
    fs::write(acme.join("first.bin"), noise(1, 4_000_000)).unwrap();
    world.ends(&["backup", "--all"], 0);
    // Two bytes for each that is stored: "00" to "ff" of noise.
    let text: String = noise(2, 1_000_000).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(acme.join("second.txt"), text).unwrap();
    world.ends(&["backup", "--all"], 0);

    let chats = component(&world, &[IDENTITY]);
    assert_eq!(chats["snapshots"], 2);
    assert_eq!(chats["grown_bytes"], 2_000_000);
    near(&chats["logical_bytes"], 10_000_000.0);
    near(&chats["deduplication"], 10.0 / 6.0);
    // zstd does not get all of the half: 5 to 5.1 of 6 MB remain.
    assert!((1.1..1.21).contains(&chats["compression"].as_f64().unwrap()), "{chats:#}");
    let stored = chats["stored_bytes"].as_u64().unwrap();
    let fresh = chats["new_stored_bytes"].as_u64().unwrap();
    assert!((4_990_000..5_500_000).contains(&stored) && (990_000..1_500_000).contains(&fresh), "{chats:#}");
    assert!(chats["oldest"].as_str() < chats["newest"].as_str() || chats["oldest"] == chats["newest"]);

    let tenants = chats["tenants"].as_array().unwrap();
    let of = |name: &str| tenants.iter().find(|tenant| tenant["tenant"] == name).unwrap();
    assert_eq!((&of("acme")["grown_bytes"], &of("globex")["grown_bytes"]), (&2_000_000.into(), &0.into()));
    near(&of("acme")["deduplication"], 10.0 / 6.0);
    assert!(of("globex")["stored_bytes"].as_u64() < Some(10_000), "{chats:#}");
    // Together they are the component: no segment is of two tenants.
    let sum: u64 = tenants.iter().map(|tenant| tenant["stored_bytes"].as_u64().unwrap()).sum();
    assert_eq!(sum, stored);
    // The host names its own tenants without any identity, and comes to the same.
    assert_eq!(component(&world, &[]), chats);
}
