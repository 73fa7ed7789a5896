//! What is served by HTTP, and the certificate of it and of the MoQ port.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::Secret;

/// The certificate of the MoQ port; without one the daemon makes its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

impl Tls {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            self.certificate.is_some() == self.key.is_some(),
            "tls.certificate and tls.key: both or neither must be set"
        );
        Ok(())
    }
}

/// Web page, API and signaling.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) listen: SocketAddr,
    /// HTTPS, with the certificate of `[tls]`.
    pub(crate) tls: bool,
    /// Origins besides the own host that may open the signaling socket.
    pub(crate) origins: Vec<String>,
    /// A folder with the page, instead of the one built in: for work on the page.
    pub(crate) folder: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0u16; 8], 8080)),
            tls: false,
            origins: Vec::new(),
            folder: None,
        }
    }
}

/// Metrics and health.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) listen: SocketAddr,
    /// What `/api/v1/relay/*` wants as a bearer; empty: it serves this machine only.
    pub(crate) bearer: Secret,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
            bearer: Secret::default(),
        }
    }
}
