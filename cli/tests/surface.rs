//! What the program shows and how it ends, as far as people and programs rely on it: its JSON, its width, its
//! colours, its logs, its man pages, its way of being interrupted, what its restores and limits
//! do end to end, and the claims of SECURITY.md.

// Helpers here are test code too (clippy.toml).
#![cfg(test)]

#[path = "surface/claims.rs"]
mod claims;
#[path = "surface/evidence.rs"]
mod evidence;
#[path = "surface/heartbeats.rs"]
mod heartbeats;
#[path = "surface/interrupted.rs"]
mod interrupted;
#[path = "surface/json.rs"]
mod json;
#[path = "surface/logs.rs"]
mod logs;
#[path = "surface/manual.rs"]
mod manual;
#[path = "surface/operating.rs"]
mod operating;
mod planted;
#[path = "surface/proofs.rs"]
mod proofs;
#[path = "surface/repairing.rs"]
mod repairing;
#[path = "surface/replicas.rs"]
mod replicas;
#[path = "surface/restoring.rs"]
mod restoring;
#[path = "surface/retaining.rs"]
mod retaining;
#[path = "surface/sharded.rs"]
mod sharded;
#[path = "surface/stats.rs"]
mod stats;
mod stranger;
#[path = "surface/terminal.rs"]
mod terminal;
#[path = "surface/walked.rs"]
mod walked;
#[path = "surface/witnesses.rs"]
mod witnesses;
#[path = "surface/world.rs"]
mod world;
