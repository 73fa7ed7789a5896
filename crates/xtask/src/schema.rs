//! The web phone's view of the signaling messages, made from the types of `wire`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use moqrelay_wire::signal;

/// Writes the file.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write() -> Result<()> {
    let path = path();
    fs::write(&path, signal::to_typescript())
        .with_context(|| format!("{} cannot be written", path.display()))?;
    println!("schema: {} written", path.display());
    Ok(())
}

/// Compares the file with the types.
///
/// # Errors
///
/// When they differ.
pub(crate) fn check() -> Result<()> {
    let path = path();
    let found =
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    ensure!(
        found == signal::to_typescript(),
        "{} is not what crates/wire says: run `cargo xtask schema`",
        path.display()
    );
    println!("schema: {} is up to date", path.display());
    Ok(())
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../webapp/src/core/schema.ts")
}
