//! What one process tells another at an upgrade: bytes to values and back, without I/O.

use std::{collections::BTreeSet, net::SocketAddr};

use serde::{Deserialize, Serialize};

/// Changes when what is handed over does; another version is refused, and the upgrade is a restart.
pub(crate) const VERSION: u32 = 3;

/// Descriptors in all: ports, a socket for each worker, a link for each worker and older process.
pub(crate) const FDS_MAX: usize = 4096;

/// The longest description of what is handed over, in bytes: some hundred would do.
pub(crate) const MANIFEST_BYTES_MAX: usize = 64 << 10;

/// The longest farewell, in bytes: 10,000 callers with names of 400, or 500 tickets with the longest texts.
pub(crate) const FAREWELL_BYTES_MAX: usize = 4 << 20;

/// The longest text behind a connection's UUID, in bytes: what is read with it, and some more.
pub(crate) const INBOX_BYTES_MAX: usize = 4096;

/// What is handed over, apart from the sockets, which follow in this order.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    version: u32,
    /// TCP listeners: the configuration's key and address.
    pub(crate) ports: Vec<(String, SocketAddr)>,
    pub(crate) moq: SocketAddr,
    pub(crate) workers: usize,
    /// The number of each process in connection ids, the giver first.
    pub(crate) generations: Vec<u8>,
    /// The runs as Asterisk knows them.
    pub(crate) runs: Vec<u32>,
    /// The key of tokens that was drawn at random: `kid` and secret.
    pub(crate) own_key: Option<(String, [u8; 32])>,
}

/// What the other process says cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("its hand-over cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("its hand-over has version {0}, ours is {VERSION}")]
    Version(u32),
    #[error("{0} sockets are too many: {FDS_MAX} are allowed")]
    TooMany(usize),
    #[error("it names {0:?} twice")]
    Twice(String),
    #[error("{0} bytes behind a call id are too many: {INBOX_BYTES_MAX} are allowed")]
    Inbox(usize),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Manifest {
    /// Describes what follows.
    pub(crate) fn new(
        ports: Vec<(String, SocketAddr)>,
        (moq, workers): (SocketAddr, usize),
        generations: Vec<u8>,
        runs: Vec<u32>,
        own_key: Option<(String, [u8; 32])>,
    ) -> Self {
        Self {
            version: VERSION,
            ports,
            moq,
            workers,
            generations,
            runs,
            own_key,
        }
    }

    /// Reads a description.
    ///
    /// # Errors
    ///
    /// When it is none, of another version, or describes more than a process may have.
    pub(crate) fn decode(text: &[u8]) -> Result<Self, ManifestError> {
        // The version first: another one may lack what this one needs.
        let Versioned { version } = serde_json::from_slice(text)?;
        if version != VERSION {
            return Err(ManifestError::Version(version));
        }
        let manifest: Self = serde_json::from_slice(text)?;
        let wanted = manifest.fds();
        if wanted > FDS_MAX {
            return Err(ManifestError::TooMany(wanted));
        }
        let mut keys = BTreeSet::new();
        if let Some((key, _)) = manifest.ports.iter().find(|(key, _)| !keys.insert(key)) {
            return Err(ManifestError::Twice(key.clone()));
        }
        Ok(manifest)
    }

    /// Returns how many sockets follow.
    pub(crate) fn fds(&self) -> usize {
        let links = self.workers.saturating_mul(self.generations.len());
        links
            .saturating_add(self.ports.len())
            .saturating_add(self.workers)
    }
}

/// What precedes a connection that is passed on: the call's UUID and how much text follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StrayHead {
    pub(crate) id: [u8; 16],
    pub(crate) inbox_len: usize,
}

impl StrayHead {
    pub(crate) const LEN: usize = 18;

    /// Reads it.
    ///
    /// # Errors
    ///
    /// When too much follows.
    pub(crate) fn decode(bytes: [u8; Self::LEN]) -> Result<Self, ManifestError> {
        let [id @ .., high, low] = bytes;
        let inbox_len = usize::from(u16::from_be_bytes([high, low]));
        if inbox_len > INBOX_BYTES_MAX {
            return Err(ManifestError::Inbox(inbox_len));
        }
        Ok(Self { id, inbox_len })
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// When too much follows.
    pub(crate) fn encode(self) -> Result<[u8; Self::LEN], ManifestError> {
        let len = u16::try_from(self.inbox_len)
            .ok()
            .filter(|len| usize::from(*len) <= INBOX_BYTES_MAX);
        let len = len.ok_or(ManifestError::Inbox(self.inbox_len))?;
        let mut bytes = [0; Self::LEN];
        bytes[..16].copy_from_slice(&self.id);
        bytes[16..].copy_from_slice(&len.to_be_bytes());
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let manifest = manifest(2);

        let text = serde_json::to_vec(&manifest).unwrap();

        assert!(text.len() < MANIFEST_BYTES_MAX);
        assert_eq!(Manifest::decode(&text).unwrap(), manifest);
        assert_eq!(manifest.fds(), 1 + 2 + 2 * 3);
        for cut in 0..text.len() {
            assert!(Manifest::decode(&text[..cut]).is_err());
        }
    }

    #[test]
    fn another_version_is_named_whatever_else_it_says() {
        let error = Manifest::decode(br#"{"version":99,"new":[]}"#).unwrap_err();

        assert_eq!(error.to_string(), "its hand-over has version 99, ours is 3");
    }

    #[test]
    fn more_sockets_than_a_process_may_have_are_refused() {
        for workers in [FDS_MAX, usize::MAX] {
            let text = serde_json::to_vec(&manifest(workers)).unwrap();

            let error = Manifest::decode(&text).unwrap_err();

            assert!(matches!(error, ManifestError::TooMany(_)), "{error}");
        }
    }

    #[test]
    fn a_port_is_named_once() {
        let mut manifest = manifest(1);
        manifest.ports.push(manifest.ports[0].clone());
        let text = serde_json::to_vec(&manifest).unwrap();

        let error = Manifest::decode(&text).unwrap_err();

        assert!(matches!(error, ManifestError::Twice(_)), "{error}");
    }

    #[test]
    fn a_connection_has_its_head() {
        let head = StrayHead {
            id: [7; 16],
            inbox_len: 513,
        };

        let bytes = head.encode().unwrap();

        assert_eq!(bytes[16..], [2, 1]);
        assert_eq!(StrayHead::decode(bytes).unwrap(), head);
        let inbox_len = INBOX_BYTES_MAX + 1;
        assert!(StrayHead { inbox_len, ..head }.encode().is_err());
        assert!(StrayHead::decode([0xff; StrayHead::LEN]).is_err());
    }

    fn manifest(workers: usize) -> Manifest {
        let addr = SocketAddr::from(([127, 0, 0, 1], 8080));
        Manifest::new(
            vec![("http.listen".to_owned(), addr)],
            (addr, workers),
            vec![3, 1, 255],
            vec![1, u32::MAX],
            Some(("own".to_owned(), [9; 32])),
        )
    }
}
