//! The certificate: whether it is valid, for the right names, and trusted.

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use moqrelay_relay::tls;
use rustls::{
    CertificateError, Error, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

use super::Report;
use crate::{config::Config, trust::TRUSTED};

/// A certificate that ends sooner should have been renewed: the usual ones are renewed a month ahead.
const ENDS_SOON: Duration = Duration::from_hours(14 * 24);

const CHECK: &str = "tls.certificate";

pub(super) fn look(report: &mut Report, config: &Config) {
    let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key) else {
        report.good(
            CHECK,
            "the daemon makes its own, which pages accept by its hash",
        );
        if config.http.tls {
            report.warning(
                "http.tls",
                "browsers warn of the page, because nobody has signed the daemon's own certificate",
                "set tls.certificate and tls.key",
            );
        }
        return;
    };
    if let Err(error) = tls::files(certificate, key) {
        return report.bad(
            CHECK,
            error.to_string(),
            "name a PEM file with the certificate and those of its issuers in tls.certificate, and its private key in tls.key",
        );
    }
    match chain(certificate) {
        Ok(chain) => look_at(report, config, certificate, &chain),
        Err(error) => report.bad(
            CHECK,
            format!("{error:#}"),
            "name a PEM file with the certificate in tls.certificate",
        ),
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let told = || format!("{} cannot be read", path.display());
    let chain = CertificateDer::pem_file_iter(path).with_context(told)?;
    chain.collect::<Result<Vec<_>, _>>().with_context(told)
}

fn look_at(report: &mut Report, config: &Config, path: &Path, chain: &[CertificateDer<'static>]) {
    let path = path.display();
    let Some((first, rest)) = chain.split_first() else {
        return report.bad(
            CHECK,
            format!("{path} holds no certificate"),
            "name a PEM file with the certificate in tls.certificate",
        );
    };
    let first = match ParsedCertificate::try_from(first) {
        Ok(first) => first,
        Err(error) => {
            return report.bad(
                CHECK,
                format!("{path} cannot be understood: {error}"),
                "get an X.509 certificate of version 3",
            );
        }
    };
    let (roots, source) = roots();
    let verified = |at: SystemTime| {
        let since = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        verify_server_cert_signed_by_trust_anchor(
            &first,
            &roots,
            rest,
            UnixTime::since_unix_epoch(since),
            default_provider().signature_verification_algorithms.all,
        )
    };
    let now = SystemTime::now();
    match verified(now).err().map(Trouble::from) {
        Some(Trouble::Ended) => report.bad(
            CHECK,
            format!("{path} has expired: no browser and no MoQ client accepts it"),
            "renew it; a daemon that runs takes the new one by itself",
        ),
        Some(Trouble::NotYet) => report.bad(
            CHECK,
            format!("{path} is not valid yet"),
            "set this machine's clock, or wait",
        ),
        other => {
            match verified(now + ENDS_SOON).err().map(Trouble::from) {
                Some(Trouble::Ended) => report.warning(
                    CHECK,
                    format!("{path} ends within 14 days"),
                    "renew it now, and see why that did not happen by itself",
                ),
                _ => report.good(CHECK, format!("{path} is valid for 14 days and more")),
            }
            trust(report, other, source.as_deref(), rest.len());
        }
    }
    names(report, config, &first);
}

fn trust(report: &mut Report, trouble: Option<Trouble>, source: Option<&Path>, issuers: usize) {
    const CHAIN: &str = "certificate's chain";
    let Some(source) = source else {
        return report.skipped(CHAIN, "this machine has no list of trusted issuers");
    };
    match trouble {
        None => report.good(CHAIN, format!("leads to an issuer in {}", source.display())),
        Some(Trouble::Unknown) => report.warning(
            CHAIN,
            format!(
                "leads to nobody whom this machine trusts ({issuers} issuer(s) follow in the file): browsers refuse it unless they know the issuer"
            ),
            "put the certificates of all issuers behind yours in the file (fullchain.pem), or use an issuer that browsers know",
        ),
        Some(other) => report.bad(
            CHAIN,
            format!("does not hold: {}", other.text()),
            "get a certificate for a server, with a subject alternative name, and put its issuers behind it",
        ),
    }
}

/// What is wrong with a certificate.
enum Trouble {
    Ended,
    NotYet,
    Unknown,
    Other(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match &error {
            Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => Self::Ended,
            Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => Self::NotYet,
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => Self::Unknown,
            _ => Self::Other(error),
        }
    }
}

impl Trouble {
    fn text(&self) -> String {
        match self {
            Self::Ended => "a certificate in it has expired".to_owned(),
            Self::NotYet => "a certificate in it is not valid yet".to_owned(),
            Self::Unknown => "nobody knows its issuer".to_owned(),
            Self::Other(error) => error.to_string(),
        }
    }
}

/// Looks whether the certificate is for the names under which browsers come.
fn names(report: &mut Report, config: &Config, certificate: &ParsedCertificate<'_>) {
    const CHECK: &str = "certificate's names";
    let mut hosts = BTreeSet::new();
    hosts.extend(config.moq.url.as_ref().and_then(|url| url.host_str()));
    if hosts.is_empty() {
        return report.skipped(
            CHECK,
            "moq.url is not set: browsers come by whatever name the page was reached",
        );
    }
    for host in hosts {
        // The URL has brackets round IPv6.
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let held = ServerName::try_from(bare)
            .map_err(|_| Error::General("no name".to_owned()))
            .and_then(|name| verify_server_name(certificate, &name));
        match held {
            Ok(()) => report.good(CHECK, format!("{host} (moq.url) is among them")),
            Err(_) => report.bad(
                CHECK,
                format!("{host} (moq.url) is not among them: clients refuse the certificate"),
                format!("get a certificate for {host}, or set moq.url to a name that it is for"),
            ),
        }
    }
}

/// Returns whom this machine trusts, and the file that says so.
fn roots() -> (RootCertStore, Option<PathBuf>) {
    let mut roots = RootCertStore::empty();
    let named = env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let usual = TRUSTED.iter().map(PathBuf::from);
    let source = named.into_iter().chain(usual).find(|path| path.is_file());
    if let Some(certificates) = source
        .as_ref()
        .and_then(|path| CertificateDer::pem_file_iter(path).ok())
    {
        roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    }
    (roots, source)
}
