//! From text to [`plan::Plan`]: schema (serde, TOML one to one) → resolve (presets, layers, `${VAR}`) → plan.
//!
//! 1. [`mod@load`] finds the file and the preset. It is the only part that does I/O.
//! 2. [`tree`] parses each layer and lays one over the other; every value keeps the place it was written at.
//! 3. [`expand`] replaces `${VAR}` in the merged tree, so a value that the user replaced is never looked at.
//! 4. `de` reads the tree into `schema`, the structs whose doc comments are the reference.
//! 5. [`mod@resolve`] fills in defaults, checks what types cannot, filters by role, and gives the plan.
//!
//! Every step collects its errors instead of stopping at the first, and each error names file, line and column.
//! [`mod@print`] turns a plan back into TOML. Nothing here prints what a variable expanded to, where that may be a
//! secret: see [`mod@print`] for the rule.
#![forbid(unsafe_code)]

mod de;
pub mod error;
pub mod expand;
pub mod load;
pub mod plan;
pub mod print;
pub mod programs;
pub mod resolve;
mod schema;
pub mod secret;
pub mod signal;
pub mod socket;
pub mod suggest;
mod told;
pub mod tree;
pub mod values;

#[cfg(test)]
mod reference;

pub use error::ConfigError;
pub use load::{Loaded, Options, load, load_from};
pub use resolve::resolve;
