//! This machine's clock beside a store's.

use lifeboat_repo::repository::snapshots::CLOCKS_APART_MAX;
use lifeboat_repo::units::Timestamp;

use crate::codes::Code;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::when::{show_duration, show_moment};

/// Refuses to go on while this machine and the store disagree about the time; `why` says what that could do.
pub(crate) fn refuse_clocks_apart(here: Timestamp, there: Timestamp, why: &str) -> Result<()> {
    let apart = here.since(there).max(there.since(here));
    if apart <= CLOCKS_APART_MAX {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        format!(
            "it is {} by this machine and {} by the store: {} apart, and {why}",
            show_moment(here),
            show_moment(there),
            show_duration(apart)
        ),
    )
    .code(Code::ClocksApart)
    .next("set the clock that is wrong, then run it again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_disagree_are_refused_either_way() {
        let (now, day) = (Timestamp::new(1_764_000_000, 0), CLOCKS_APART_MAX);
        assert!(refuse_clocks_apart(now, now.plus(day), "x").is_ok());
        assert!(refuse_clocks_apart(now.plus(day), now, "x").is_ok());
        for (here, there) in [(now.plus(day * 2), now), (now, now.plus(day * 2))] {
            let failure = refuse_clocks_apart(here, there, "it would lie").unwrap_err();
            assert_eq!((failure.exit, failure.code), (Exit::Refused, Code::ClocksApart));
            assert!(failure.what.contains("2 d apart, and it would lie"), "{}", failure.what);
        }
    }
}
