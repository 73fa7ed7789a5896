//! ARI without call steering, for who looks whether Asterisk is set up as it should be.

use std::time::{Duration, SystemTime};

use base64::Engine;
use hyper::header::DATE;
use tokio::time::timeout;

use super::request::Target;
use super::rest::{self, Rest};
use super::socket::{Socket, SocketError};
use super::{Config, ConfigError, Failure, Message, Method, Request, RequestId};
use crate::dial::Site;

/// From the connection's beginning to the response's end.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One Asterisk, asked one thing after the other.
#[derive(Debug)]
pub struct Probe {
    site: Site,
    path: String,
    authorization: String,
}

/// What Asterisk answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// What time it is there, to the second.
    pub date: Option<SystemTime>,
    /// JSON, or nothing.
    pub body: Vec<u8>,
}

/// The events of one application.
pub struct Ears(Box<Socket>);

/// The events of an application cannot be had (any more).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Deaf(String);

impl From<SocketError> for Deaf {
    fn from(error: SocketError) -> Self {
        Self(error.to_string())
    }
}

impl Probe {
    /// Prepares it; nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be used.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.check()?;
        let (site, path) = config.site_and_path()?;
        let password = format!("{}:{}", config.user, config.password.expose());
        let authorization = base64::engine::general_purpose::STANDARD.encode(password);
        Ok(Self {
            site,
            path,
            authorization: format!("Basic {authorization}"),
        })
    }

    /// Returns where it asks, `HOST:PORT`.
    pub fn host(&self) -> &str {
        &self.site.host
    }

    /// Asks for `/collection/segment/…?key=value&…`; values may be any text.
    ///
    /// # Errors
    ///
    /// When nothing came back.
    pub async fn ask(
        &self,
        method: Method,
        collection: &str,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Reply, Failure> {
        let mut target = Target::new(collection);
        for segment in segments {
            target = target.segment(segment);
        }
        for (key, value) in query {
            target = target.query(key, value);
        }
        let rest = Rest::new(
            self.site.clone(),
            self.path.clone(),
            self.authorization.clone(),
        );
        let request = Request {
            id: RequestId(0),
            method,
            target: target.finish(),
            body: None,
        };
        let exchange = rest::exchange_once(&self.site, rest.http(&request));
        let (head, body) = timeout(TIMEOUT, exchange)
            .await
            .map_err(|_| Failure::Timeout)??;
        let date = head.headers.get(DATE).and_then(|date| date.to_str().ok());
        Ok(Reply {
            status: head.status.as_u16(),
            date: date.and_then(|date| httpdate::parse_http_date(date).ok()),
            body,
        })
    }

    /// Hears the events of an application from now on; the application ends with what is returned.
    ///
    /// # Errors
    ///
    /// When the WebSocket cannot be had.
    pub async fn listen(&self, app: &str) -> Result<Ears, Deaf> {
        let socket = Socket::open(&self.site, &self.path, app, &self.authorization).await?;
        Ok(Ears(Box::new(socket)))
    }
}

impl Ears {
    /// Waits for the next event; what is not understood is [`Message::Other`].
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn next(&mut self) -> Result<Message, Deaf> {
        let text = self.0.next().await?;
        Ok(Message::parse(text.as_bytes()).unwrap_or(Message::Other))
    }
}
