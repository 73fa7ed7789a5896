//! Ordered maps and sets.
//!
//! Those of the standard library, but in a browser: there each kind of `BTreeMap` costs some 10 KB of code to be loaded,
//! and a session has some dozens of entries. There they are sorted vectors with the same names.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use std::collections::{BTreeMap, BTreeSet};

#[cfg(target_arch = "wasm32")]
pub(crate) use self::sorted::{Map as BTreeMap, Set as BTreeSet};

#[cfg(any(target_arch = "wasm32", test))]
#[cfg_attr(test, allow(dead_code, reason = "natively only its tests use it"))]
mod sorted;
