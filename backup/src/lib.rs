//! The backup agent: sources, pipeline, snapshot.
