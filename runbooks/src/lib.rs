//! Runbooks: what people read in a disaster, and the code that checks it.
