//! The fuzzer: one program for all targets; `LIFEBOAT_FUZZ` names the one to run. `scripts/fuzz` starts it.
//!
//! An input may take as much memory as a small multiple of its length and a fixed amount; the allocator here ends the
//! process beyond that, so that an unbounded allocation is found at the very input that asks for it, however short
//! it lives.

#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use lifeboat_tests::targets::{Target, target};

mod configuration;

/// The program's own modules: what reading its file takes.
#[allow(dead_code, unused_imports, reason = "only reading the file is used here")]
#[path = "../../../cli/src"]
mod program {
    pub(crate) mod codes;
    pub(crate) mod config;
    pub(crate) mod exit;
    pub(crate) mod failure;
    pub(crate) mod when;
}
// Where they look for each other.
#[allow(unused_imports, reason = "as above")]
use program::{codes, config, exit, failure, when};

/// What one input may take, beside [`PER_BYTE`] for each of its bytes: reused contexts, zstd's limit, a line.
const FIXED: usize = 24 << 20;
/// What parsed values take at the most for a byte of their text.
const PER_BYTE: usize = 256;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        if live > LIMIT.load(Ordering::Relaxed) && !std::thread::panicking() {
            LIMIT.store(usize::MAX, Ordering::Relaxed);
            panic!("{live} bytes of memory are in use: more than this input may take");
        }
        // SAFETY: the caller's promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn chosen() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("LIFEBOAT_FUZZ").expect("LIFEBOAT_FUZZ names the target");
        if name == "config" {
            return configuration::configuration;
        }
        target(&name).unwrap_or_else(|| panic!("there is no target {name}"))
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let look = chosen();
    let before = LIVE.load(Ordering::Relaxed);
    LIMIT.store(before + FIXED + bytes.len() * PER_BYTE, Ordering::Relaxed);
    look(bytes);
    LIMIT.store(usize::MAX, Ordering::Relaxed);
});
