//! Where a relay is and how it is spoken to.

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    str::FromStr,
};

use anyhow::{Context, Error, bail};
use url::Url;

use super::DRAFT;

/// A relay's URL, resolved: `https` (WebTransport), `moqt` (raw QUIC) or `bare` (our sender without MoQT).
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) addr: SocketAddr,
    pub(crate) carrier: Carrier,
}

/// What sessions are carried by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// WebTransport over HTTP/3, as browsers do.
    WebTransport,
    /// QUIC without HTTP.
    Quic,
    /// QUIC without MoQT.
    Bare,
}

/// What the bare sender is spoken to with.
pub(crate) const BARE_ALPN: &str = "moqrelay-bare";

impl Carrier {
    /// Returns the protocol named in the TLS handshake.
    pub(crate) fn alpn(self) -> &'static str {
        match self {
            Self::WebTransport => web_transport_quinn::ALPN,
            Self::Quic => DRAFT.alpn(),
            Self::Bare => BARE_ALPN,
        }
    }

    /// Returns its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebTransport => "WebTransport",
            Self::Quic => "raw QUIC",
            Self::Bare => "bare quinn",
        }
    }
}

impl Target {
    /// Returns the same with a token, as programs without headers of their own bring it.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        let mut target = self.clone();
        target.url.query_pairs_mut().append_pair("token", token);
        target
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let url: Url = text.parse()?;
        let carrier = match url.scheme() {
            "https" => Carrier::WebTransport,
            "moqt" => Carrier::Quic,
            "bare" => Carrier::Bare,
            other => bail!("{other:?} is not https (WebTransport), moqt (raw QUIC) or bare"),
        };
        let host = url.host_str().context("a host is missing")?;
        let port = url.port_or_known_default().context("a port is missing")?;
        // Only IPv4: what listens on a loopback address for tests listens there.
        let addr = (host, port)
            .to_socket_addrs()
            .with_context(|| format!("{host} is not known"))?
            .find(SocketAddr::is_ipv4)
            .with_context(|| format!("{host} has no IPv4 address"))?;
        Ok(Self { url, addr, carrier })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_names_the_carrier() {
        let carrier = |url: &str| url.parse::<Target>().map(|target| target.carrier);

        assert_eq!(
            carrier("https://127.0.0.1:1/moq").unwrap(),
            Carrier::WebTransport
        );
        assert_eq!(carrier("moqt://127.0.0.1:1").unwrap(), Carrier::Quic);
        assert_eq!(carrier("bare://127.0.0.1:1").unwrap(), Carrier::Bare);
        assert!(carrier("http://127.0.0.1:1").is_err());
        assert!(carrier("moqt://127.0.0.1").is_err());
    }
}
