//! Evidence: a signed statement of what was done, measured and found, that a stranger can check.
//!
//! [`facts::Facts`] is all there is to say; whatever else lies beside it is a pure function of it.

pub mod facts;
