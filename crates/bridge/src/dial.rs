//! The way to Asterisk's HTTP server: TCP, or TLS over it.

use std::{fmt, io, sync::Arc};

use tokio::net::TcpStream;

use crate::{leg::Bytestream, media::Securing};

/// What goes over it does not know which it is.
pub(crate) type Stream = Box<dyn Bytestream>;

/// Makes connections to Asterisk secure, before anything is sent. Clones are the same.
#[derive(Clone)]
pub struct TlsConnector(Arc<Connect>);

type Connect = dyn Fn(String, TcpStream) -> Securing + Send + Sync;

impl TlsConnector {
    /// Takes what shakes hands as a client with a server of that name or address. Of a certificate that is not
    /// trusted it must say [`io::ErrorKind::InvalidData`].
    pub fn new(connect: impl Fn(String, TcpStream) -> Securing + Send + Sync + 'static) -> Self {
        Self(Arc::new(connect))
    }
}

impl PartialEq for TlsConnector {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TlsConnector {}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector(…)")
    }
}

/// Asterisk's HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `HOST:PORT`.
    pub host: String,
    /// What makes it secure; absent: it is plain.
    pub tls: Option<TlsConnector>,
}

impl Site {
    /// Returns the scheme of its WebSockets.
    pub(crate) fn websocket_scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "wss",
            None => "ws",
        }
    }

    pub(crate) async fn connect(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect(&self.host).await?;
        stream.set_nodelay(true)?;
        let Some(TlsConnector(connect)) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = self
            .host
            .rsplit_once(':')
            .map_or(&*self.host, |(name, _)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        connect(name.to_owned(), stream).await
    }
}
