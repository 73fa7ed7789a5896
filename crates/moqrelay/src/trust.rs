//! Whom the daemon believes as a client of Asterisk's HTTP server.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use moqrelay_bridge as bridge;
use moqrelay_control as control;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Where systems keep the certificates that they trust.
pub(crate) const TRUSTED: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Returns what shakes hands with servers whose certificates are signed by those in `ca` (PEM), or by whom the system
/// trusts.
///
/// # Errors
///
/// When there is nobody to trust.
pub(crate) fn connector(ca: Option<&Path>) -> Result<bridge::TlsConnector> {
    let system = || TRUSTED.iter().map(Path::new).find(|path| path.exists());
    let path = ca
        .or_else(system)
        .context("the system keeps no certificates that it trusts: name a file")?;
    let read = || path.display().to_string();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).with_context(read)? {
        let added = roots.add(certificate.with_context(read)?);
        // The system's may hold some of a kind that nobody uses any more.
        if ca.is_some() {
            added.with_context(read)?;
        }
    }
    ensure!(!roots.is_empty(), "{}: no certificate is in it", read());
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    Ok(bridge::TlsConnector::new(move |name, stream| {
        let secured = control::secure_client(name, stream, config.clone());
        Box::pin(async move {
            let stream: Box<dyn bridge::leg::Bytestream> = Box::new(secured.await?);
            Ok(stream)
        })
    }))
}
