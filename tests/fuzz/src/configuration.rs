//! The target of `lifeboat.toml`: any text gives a configuration or a mistake with its place.
//!
//! The program is no library, so its sources are read here. Its own tests replay this corpus.

use std::path::Path;

/// Looks at one text; whether it is a configuration.
pub(crate) fn configuration(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match crate::config::Config::parse(Path::new("/etc/lifeboat.toml"), text) {
        Ok(_) => true,
        Err(failure) => {
            let place = failure.place.unwrap_or_default();
            assert!(place.contains("/etc/lifeboat.toml"), "{}: {place}", failure.what);
            assert!(!failure.what.chars().any(char::is_control), "{:?}", failure.what);
            false
        }
    }
}
