//! Restore: plan, fetch, write.
