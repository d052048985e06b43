//! Decoys.
