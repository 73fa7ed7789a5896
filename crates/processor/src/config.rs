//! A service, and how to reach it.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{
    breaker,
    meters::Meters,
    session::{About, Session},
};

/// What a service is and how much patience there is for it.
#[derive(Clone)]
pub struct Config {
    /// Its name in logs and metrics.
    pub name: String,
    /// `http://HOST:PORT`, or `https://…` for TLS.
    pub url: String,
    /// Whether its audio takes the place of what was said. Otherwise frames go on at once, and only its texts and
    /// events count.
    pub audio: bool,
    /// Which sound of a telephone it has. Default [`Direction::Says`].
    pub direction: Direction,
    /// What is heard where there is no answer in time. Default [`Fallback::Pass`].
    pub fallback: Fallback,
    /// How long a frame waits for its answer. Default 40 ms: the leg's delay grows by it at the most.
    pub deadline: Duration,
    /// Shown as `authorization: Bearer …`.
    pub token: Option<String>,
    /// The certificate (PEM) of who signs the service's certificate; `None`: those that the system trusts.
    pub ca: Option<Vec<u8>>,
    /// When the service is left alone.
    pub breaker: breaker::Limits,
}

impl Config {
    /// Makes a configuration of the service at `url` with all defaults, whose audio is used.
    #[must_use]
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            audio: true,
            direction: Direction::Says,
            fallback: Fallback::Pass,
            deadline: Duration::from_millis(40),
            token: None,
            ca: None,
            breaker: breaker::Limits::default(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("url", &self.url)
            .field("audio", &self.audio)
            .field("direction", &self.direction)
            .field("fallback", &self.fallback)
            .field("deadline", &self.deadline)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

/// Which sound of a telephone goes through a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// What it says.
    #[default]
    Says,
    /// What it hears.
    Hears,
}

/// What is heard in place of an answer that is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fallback {
    /// What was said.
    #[default]
    Pass,
    /// Nothing: for services that speak for themselves.
    Silence,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The URL is none, or of another scheme.
    #[error("{0:?} is no http:// or https:// URL of a service")]
    Url(String),
    /// The token has characters that no header can have.
    #[error("the token has characters that a header cannot have")]
    Token,
    /// The certificate is none.
    #[error("the certificate of the service's authority cannot be used: {0}")]
    Certificate(String),
}

/// A service that legs can be led through. Clones are the same service, over the same connection.
#[derive(Clone)]
pub struct Processor {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    endpoint: Endpoint,
    authorization: Option<MetadataValue<Ascii>>,
    /// Made by the first leg, since it needs a runtime.
    channel: OnceLock<Channel>,
    meters: Meters,
}

/// Longer than any network that a call can be led through; past it the service is as good as dead.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a connection is looked after that carries streams, and how long the answer may take: a service whose
/// machine vanished is noticed within 8 s even if no frame waits for it.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// What one leg, and all together, may have under way to us: a few seconds of sound.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

impl Processor {
    /// Makes a service of its configuration. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// When URL, token or certificate cannot be used.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let wrong_url = || ConfigError::Url(config.url.clone());
        let mut endpoint = Endpoint::from_shared(config.url.clone()).map_err(|_| wrong_url())?;
        match (endpoint.uri().scheme_str(), endpoint.uri().host()) {
            (Some("http"), Some(_)) => {}
            (Some("https"), Some(_)) => {
                let tls = match &config.ca {
                    Some(pem) => {
                        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem.clone()))
                    }
                    None => ClientTlsConfig::new().with_native_roots(),
                };
                endpoint = endpoint
                    .tls_config(tls)
                    .map_err(|error| ConfigError::Certificate(error.to_string()))?;
            }
            _ => return Err(wrong_url()),
        }
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let authorization = match &config.token {
            Some(token) => {
                let mut value = MetadataValue::try_from(format!("Bearer {token}"))
                    .map_err(|_| ConfigError::Token)?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let meters = Meters::new(&config.name);
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                endpoint,
                authorization,
                channel: OnceLock::new(),
                meters,
            }),
        })
    }

    /// Begins to lead a leg through the service. It is connected when the first frame is there.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn open(&self, about: About) -> Session {
        Session::new(self.clone(), about)
    }

    /// Returns what it was made of.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.inner.meters
    }

    pub(crate) fn channel(&self) -> Channel {
        let inner = &self.inner;
        let channel = inner.channel.get_or_init(|| inner.endpoint.connect_lazy());
        channel.clone()
    }

    /// Wraps what is to be sent with what the service wants to see.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.inner.authorization {
            request
                .metadata_mut()
                .insert("authorization", authorization.clone());
        }
        request
    }
}

impl fmt::Debug for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Processor")
            .field(&self.inner.config.name)
            .finish()
    }
}
