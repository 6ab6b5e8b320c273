//! What the program says, word for word, and how it ends: help, a first use, mistakes. Sizes, times and names of keys
//! are left open. Each file works in a copy of its `.in`, since there is an `.out`.
//!
//! After a change that is wanted: `TRYCMD=overwrite cargo test -p lifeboat-cli --test pins`, then put back `[..]`
//! where a diff shows what is different every time.

#[test]
fn what_is_said_is_what_is_pinned() {
    let cases = trycmd::TestCases::new();
    for name in [
        "LIFEBOAT_CONFIG",
        "LIFEBOAT_IDENTITY",
        "LIFEBOAT_REPLICA",
        "LIFEBOAT_LOG",
        "LIFEBOAT_LOG_FORMAT",
        "CLICOLOR_FORCE",
    ] {
        cases.env(name, "");
    }
    cases.env("USER", "alice").env("NO_COLOR", "1").case("tests/pins/*.trycmd");
}
