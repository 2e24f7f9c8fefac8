//! Rewrites addresses in responses.
