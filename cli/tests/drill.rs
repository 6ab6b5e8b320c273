//! Drills and books with the program itself: a region lost and rehearsed, cut off and resumed, refused where the target is no
//! target; a drill from the recovery kit alone; every command of every book.

// Helpers here are test code too (clippy.toml).
#![cfg(test)]

#[path = "drill/books.rs"]
mod books;
#[path = "drill/cut_off.rs"]
mod cut_off;
#[path = "drill/found.rs"]
mod found;
#[path = "drill/regions.rs"]
mod regions;
#[path = "drill/said.rs"]
mod said;
mod stranger;
#[path = "drill/world.rs"]
mod world;
