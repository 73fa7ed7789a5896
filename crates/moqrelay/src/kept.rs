//! Files in which the daemon keeps what is to outlive it.
//!
//! A file is written whole, under another name, and then takes the old one's place: it is never half written. It is read
//! once, at start. Others than the daemon's user cannot read it: some hold PINs.

use std::{
    fmt::Display,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Result;
use tokio::sync::watch;

/// The longest file that is read and written: a thousand users with every rule are a quarter of it.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Takes the newest text of a file; never waits.
#[derive(Debug)]
pub(crate) struct Kept {
    newest: watch::Sender<Option<String>>,
    unwritten: fn(&dyn Display),
}

impl Kept {
    /// Returns the handle, and the work of writing, which ends when the handle is dropped and what waits is written.
    /// `unwritten` is told of every text that could not be.
    pub(crate) fn new(
        path: PathBuf,
        unwritten: fn(&dyn Display),
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (newest, mut changed) = watch::channel(None::<String>);
        let work = async move {
            // An error: the handle is gone, and nothing is unwritten.
            while changed.changed().await.is_ok() {
                let Some(text) = changed.borrow_and_update().clone() else {
                    continue;
                };
                let target = path.clone();
                let written = tokio::task::spawn_blocking(move || write(&target, &text)).await;
                match written {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => unwritten(&format!("{}: {error}", path.display())),
                    Err(error) => unwritten(&error),
                }
            }
        };
        (Self { newest, unwritten }, work)
    }

    /// Has these entries written in the place of those before.
    pub(crate) fn write<T: serde::Serialize>(&self, entries: &[T]) {
        match serde_json::to_string_pretty(entries) {
            // What is longer could not be read at the next start: the file keeps what it has.
            Ok(text) if text.len() as u64 >= FILE_BYTES_MAX => {
                let why = format!("{} bytes, at most {FILE_BYTES_MAX}", text.len());
                (self.unwritten)(&why);
            }
            Ok(text) => {
                self.newest.send_replace(Some(text + "\n"));
            }
            Err(error) => (self.unwritten)(&error),
        }
    }
}

/// Reads the entries of a file, which may be missing.
///
/// # Errors
///
/// When there is a file that cannot be read.
pub(crate) fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = match fs::metadata(path) {
        Ok(about) if about.len() > FILE_BYTES_MAX => {
            anyhow::bail!("{} bytes, at most {FILE_BYTES_MAX}", about.len())
        }
        Ok(_) => fs::read_to_string(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(serde_json::from_str(&text)?)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&new)?;
    io::Write::write_all(&mut &file, text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}
