//! The certificate that the relay shows: made here for development, or read from PEM files.
//!
//! Both kinds can be replaced while connections are open: every handshake asks [`Identity`] anew.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// Browsers accept a certificate by its hash only when it is valid for at most 14 days (W3C
/// WebTransport, `serverCertificateHashes`); one day is kept for clocks that differ.
pub const DEVELOPMENT_LIFETIME: Duration = Duration::from_hours(13 * 24);

/// A page that was loaded this long before the change already knows the next certificate.
pub const ANNOUNCED_BEFORE_CHANGE: Duration = Duration::from_hours(24);

/// The certificate is changed this long before it ends, so that no client meets an expired one.
pub const CHANGED_BEFORE_END: Duration = Duration::from_hours(24);

/// Clients whose clock is behind by less than this accept a new certificate at once.
const BACKDATED: Duration = Duration::from_hours(1);

/// What can go wrong with a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The self-made certificate could not be made.
    #[error("cannot make a certificate for {names:?}: {source}")]
    Make {
        /// The names it was for.
        names: Vec<String>,
        /// Why.
        source: rcgen::Error,
    },
    /// A PEM file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A PEM file holds no certificate.
    #[error("{0} holds no certificate")]
    NoCertificate(PathBuf),
    /// The key is of no use, or does not belong to the certificate.
    #[error("certificate and key do not serve: {0}")]
    Unusable(#[from] rustls::Error),
    /// A time before 1970 or beyond the calendar.
    #[error("the system's clock shows an impossible time")]
    Clock,
}

/// The certificate with its key; cheap to clone, all clones are one.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    origin: Origin,
    provider: Arc<CryptoProvider>,
    shown: RwLock<Shown>,
}

enum Origin {
    Development { names: Vec<String> },
    Files(RwLock<Files>),
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

struct Shown {
    current: Certificate,
    /// Announced, and shown when the current one comes near its end (development only).
    next: Option<Certificate>,
}

#[derive(Clone)]
struct Certificate {
    key: Arc<CertifiedKey>,
    hash: [u8; 32],
    /// When the certificate ends; `None` for one from a file, which is not ours to renew.
    ends: Option<SystemTime>,
}

/// Makes a certificate for development: ECDSA P-256, valid 13 days from `now`, for the given DNS
/// names and IP addresses. Call [`Identity::renew`] now and then, at least hourly.
///
/// # Errors
///
/// When a name is no DNS name, or the clock is impossible.
pub fn development(names: Vec<String>, now: SystemTime) -> Result<Identity, Error> {
    let provider = provider();
    let current = make(&names, now, &provider)?;
    Ok(Identity::new(
        Origin::Development { names },
        provider,
        current,
    ))
}

/// Reads a certificate chain (the server's own certificate first) and its key from PEM files.
///
/// # Errors
///
/// When a file cannot be read, or the key does not belong to the certificate.
pub fn files(certificate: &Path, key: &Path) -> Result<Identity, Error> {
    let provider = provider();
    let current = load(certificate, key, &provider)?;
    let files = Files {
        certificate: certificate.into(),
        key: key.into(),
    };
    let origin = Origin::Files(RwLock::new(files));
    Ok(Identity::new(origin, provider, current))
}

impl Identity {
    fn new(origin: Origin, provider: Arc<CryptoProvider>, current: Certificate) -> Self {
        let shown = RwLock::new(Shown {
            current,
            next: None,
        });
        Self(Arc::new(Inner {
            origin,
            provider,
            shown,
        }))
    }

    /// Returns the SHA-256 hashes of the certificates a client may meet from now on: none when the
    /// certificate comes from files, two around a renewal.
    pub fn hashes(&self) -> Vec<[u8; 32]> {
        let shown = self.shown();
        match self.0.origin {
            Origin::Files(_) => Vec::new(),
            Origin::Development { .. } => std::iter::once(&shown.current)
                .chain(&shown.next)
                .map(|certificate| certificate.hash)
                .collect(),
        }
    }

    /// Returns when the hashes should have been asked for again: the current certificate is
    /// changed then. `None` when the certificate comes from files.
    pub fn renewed_before(&self) -> Option<SystemTime> {
        Some(self.shown().current.ends? - CHANGED_BEFORE_END)
    }

    /// Makes the next development certificate when it is time to announce it, and changes to it
    /// when the current one comes near its end. Does nothing for certificates from files.
    ///
    /// # Errors
    ///
    /// When a certificate cannot be made; the current one stays.
    pub fn renew(&self, now: SystemTime) -> Result<(), Error> {
        let Origin::Development { names } = &self.0.origin else {
            return Ok(());
        };
        let Some(change) = self.renewed_before() else {
            return Ok(());
        };
        if now + ANNOUNCED_BEFORE_CHANGE < change {
            return Ok(());
        }
        let announced = self.shown().next.clone();
        let next = match announced {
            Some(next) => next,
            None => make(names, now, &self.0.provider)?,
        };
        let mut shown = self.shown_mut();
        if now < change {
            shown.next = Some(next);
        } else {
            tracing::info!("the development certificate was renewed");
            *shown = Shown {
                current: next,
                next: None,
            };
        }
        Ok(())
    }

    /// Reads the PEM files again. Does nothing for a development certificate.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or does not serve; the current certificate stays.
    pub fn reload(&self) -> Result<(), Error> {
        let Origin::Files(files) = &self.0.origin else {
            return Ok(());
        };
        let Files { certificate, key } = files.read().unwrap_or_else(|e| e.into_inner()).clone();
        self.move_to(&certificate, &key)
    }

    /// Reads other PEM files, which are read from now on. Does nothing for a development
    /// certificate.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or does not serve; the current certificate and files stay.
    pub fn move_to(&self, certificate: &Path, key: &Path) -> Result<(), Error> {
        let Origin::Files(files) = &self.0.origin else {
            return Ok(());
        };
        let current = load(certificate, key, &self.0.provider)?;
        *files.write().unwrap_or_else(|e| e.into_inner()) = Files {
            certificate: certificate.into(),
            key: key.into(),
        };
        self.shown_mut().current = current;
        Ok(())
    }

    /// Returns the TLS side of an HTTP/1.1 server. It shows the same certificate, renewals and
    /// reloads included.
    ///
    /// # Errors
    ///
    /// When the provider of cryptography lacks a version of TLS.
    pub fn https(&self) -> Result<Arc<rustls::ServerConfig>, Error> {
        let versions = &[&rustls::version::TLS13, &rustls::version::TLS12];
        let config = self.config(
            self.0.provider.clone(),
            versions,
            vec![b"http/1.1".to_vec()],
        )?;
        Ok(Arc::new(config))
    }

    /// Builds the TLS side of a server that offers these application protocols.
    ///
    /// Of the ciphers that both know the one counts that costs us least: AES-128 with SHA-256, for which processors
    /// have instructions. A session is not resumed: what is remembered of thousands of clients would serve a few of
    /// them, and each handshake would pay for it.
    pub(crate) fn server_config(&self, alpn: Vec<Vec<u8>>) -> Result<rustls::ServerConfig, Error> {
        let mut provider = (*self.0.provider).clone();
        let cheapest = rustls::CipherSuite::TLS13_AES_128_GCM_SHA256;
        // Stable: the others stay in their order.
        provider
            .cipher_suites
            .sort_by_key(|known| known.suite() != cheapest);
        let mut config = self.config(Arc::new(provider), &[&rustls::version::TLS13], alpn)?;
        config.ignore_client_order = true;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(config)
    }

    fn config(
        &self,
        provider: Arc<CryptoProvider>,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: Vec<Vec<u8>>,
    ) -> Result<rustls::ServerConfig, Error> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(self.clone());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = alpn;
        // No 0-RTT: whoever records it can send it again, and a PUBLISH that is repeated ousts the
        // publisher of today. A session costs one round trip more, once.
        config.max_early_data_size = 0;
        Ok(config)
    }

    fn shown(&self) -> std::sync::RwLockReadGuard<'_, Shown> {
        self.0.shown.read().unwrap_or_else(|e| e.into_inner())
    }

    fn shown_mut(&self) -> std::sync::RwLockWriteGuard<'_, Shown> {
        self.0.shown.write().unwrap_or_else(|e| e.into_inner())
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown().current.key.clone())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.origin {
            Origin::Development { names } => {
                f.debug_struct("Development").field("names", names).finish()
            }
            Origin::Files(files) => files.fmt(f),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn make(
    names: &[String],
    now: SystemTime,
    provider: &CryptoProvider,
) -> Result<Certificate, Error> {
    let failed = |source| Error::Make {
        names: names.to_vec(),
        source,
    };
    let begins = now - BACKDATED;
    let ends = begins + DEVELOPMENT_LIFETIME;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = rcgen::CertificateParams::new(names.to_vec()).map_err(failed)?;
    params.not_before = calendar(begins)?;
    params.not_after = calendar(ends)?;
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "moqrelay development");
    let certificate = params.self_signed(&key).map_err(failed)?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    certified(vec![certificate.der().clone()], der, Some(ends), provider)
}

fn load(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<Certificate, Error> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .map_err(read(certificate))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(read(certificate))?;
    if chain.is_empty() {
        return Err(Error::NoCertificate(certificate.into()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(read(key))?;
    certified(chain, key, None, provider)
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    ends: Option<SystemTime>,
    provider: &CryptoProvider,
) -> Result<Certificate, Error> {
    let mut hash = [0; 32];
    if let Some(own) = chain.first() {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, own);
        hash.copy_from_slice(digest.as_ref());
    }
    let key = Arc::new(CertifiedKey::from_der(chain, key, provider)?);
    Ok(Certificate { key, hash, ends })
}

fn calendar(time: SystemTime) -> Result<time::OffsetDateTime, Error> {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| Error::Clock)?
        .as_secs();
    let seconds = i64::try_from(seconds).map_err(|_| Error::Clock)?;
    time::OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Error::Clock)
}
