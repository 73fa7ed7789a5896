//! quinn's own log of a connection (qlog): packets sent, received and lost, round trip, congestion window.
//!
//! It can begin only where the connection does: one connection of so many is chosen when it is accepted, or the next
//! one from an address that an operator names. What MoQ says is logged by [`mlog`](crate::mlog).

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, BufWriter, Write},
    net::IpAddr,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use quinn::{ConnectionId, QlogConfig, QlogStream};

use crate::mlog::{self, LogError};

/// What a log's name ends with.
const EXTENSION: &str = "sqlog";

/// Addresses whose next connection is wanted: as many as one operator looks at. For one more the oldest is forgotten.
const WANTED_MAX: usize = 16;

/// Chooses connections and begins their logs.
#[derive(Debug)]
pub(crate) struct Qlogs {
    config: mlog::Config,
    connections: AtomicU64,
    wanted: Mutex<VecDeque<IpAddr>>,
    /// How many of them there are: to be asked without the lock.
    wanted_len: AtomicUsize,
}

impl Qlogs {
    pub(crate) fn new(config: mlog::Config) -> Self {
        Self {
            config,
            connections: AtomicU64::new(0),
            wanted: Mutex::default(),
            wanted_len: AtomicUsize::new(0),
        }
    }

    /// Logs the next connection from an address.
    pub(crate) fn want(&self, address: IpAddr) {
        let mut wanted = self.wanted();
        if wanted.len() == WANTED_MAX {
            wanted.pop_front();
        }
        wanted.push_back(address.to_canonical());
        self.wanted_len.store(wanted.len(), Relaxed);
    }

    /// Begins the log of a connection from there, if it is one of those that are logged. `id`: what the client chose
    /// to call it first, which names its packets in a capture.
    pub(crate) fn begin(&self, from: IpAddr, id: ConnectionId) -> Option<QlogStream> {
        // Both, so that a sampled connection counts as the one that was asked for.
        if !(self.is_wanted(from) | self.is_sampled()) {
            return None;
        }
        match self.open(id) {
            Ok((path, log)) => {
                tracing::info!(%from, path = %path.display(), "the connection is logged");
                let mut config = QlogConfig::default();
                config.writer(Box::new(log)).title(Some("moqrelay".into()));
                config.into_stream()
            }
            Err(error) => {
                tracing::warn!(%error, "cannot log a connection");
                None
            }
        }
    }

    fn is_sampled(&self) -> bool {
        let count = self.connections.fetch_add(1, Relaxed);
        self.config.sample > 0 && count.is_multiple_of(self.config.sample.into())
    }

    fn is_wanted(&self, from: IpAddr) -> bool {
        if self.wanted_len.load(Relaxed) == 0 {
            return false;
        }
        let mut wanted = self.wanted();
        let from = from.to_canonical();
        let found = wanted.iter().position(|address| *address == from);
        let found = found.and_then(|index| wanted.remove(index)).is_some();
        self.wanted_len.store(wanted.len(), Relaxed);
        found
    }

    fn open(&self, id: ConnectionId) -> io::Result<(PathBuf, Bounded)> {
        let mlog::Config {
            folder, file_bytes, ..
        } = &self.config;
        fs::create_dir_all(folder)?;
        mlog::make_room(&self.config, EXTENSION)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let path = folder.join(format!(
            "{}-{id}.{EXTENSION}",
            now.unwrap_or_default().as_secs()
        ));
        let out = BufWriter::new(File::create(&path)?);
        let left = *file_bytes;
        Ok((path, Bounded { out, left }))
    }

    fn wanted(&self) -> MutexGuard<'_, VecDeque<IpAddr>> {
        self.wanted.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl crate::Relay {
    /// Logs the next connection from an address from its beginning, and returns the folder.
    ///
    /// # Errors
    ///
    /// When no folder is configured.
    pub fn log_next_connection(&self, from: IpAddr) -> Result<PathBuf, LogError> {
        let qlogs = self.shared.qlogs().ok_or(LogError::Off)?;
        qlogs.want(from);
        Ok(qlogs.config.folder.clone())
    }
}

/// A file that takes so many bytes and no more. It never fails: a disk that is full ends the log, not the connection.
struct Bounded {
    out: BufWriter<File>,
    left: u64,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len() as u64;
        if len > self.left || self.out.write_all(bytes).is_err() {
            self.left = 0;
        } else {
            self.left -= len;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.out.flush().is_err() {
            self.left = 0;
        }
        Ok(())
    }
}
