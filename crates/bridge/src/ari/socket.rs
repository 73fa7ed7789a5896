//! The events WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message as Frame};

use crate::dial::{Site, Stream};

/// For the TCP connection and the WebSocket's handshake together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest event; one is about a kilobyte.
const EVENT_MAX: usize = 256 << 10;
/// A ping goes out when nothing came in for so long.
const PING_AFTER: Duration = Duration::from_secs(15);
/// The WebSocket is dead when nothing came in for so long, the pong included.
const DEAD_AFTER: Duration = Duration::from_secs(30);

/// An open events WebSocket.
pub(super) struct Socket {
    stream: WebSocketStream<Stream>,
    heard: Instant,
    pinged: bool,
}

/// Why there is no WebSocket (any more).
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error("no connection: {0}")]
    Connect(#[source] std::io::Error),
    #[error("{0}")]
    Protocol(#[source] Box<tungstenite::Error>),
    #[error("user or password refused")]
    Unauthorized,
    #[error("no answer in time")]
    Timeout,
    #[error("closed by asterisk")]
    Closed,
}

impl From<tungstenite::Error> for SocketError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(response) if response.status() == 401 => Self::Unauthorized,
            error => Self::Protocol(Box::new(error)),
        }
    }
}

impl Socket {
    /// Opens it for some applications, joined by commas.
    pub(super) async fn open(
        site: &Site,
        path: &str,
        apps: &str,
        authorization: &str,
    ) -> Result<Self, SocketError> {
        let (scheme, host) = (site.websocket_scheme(), &site.host);
        let uri = format!("{scheme}://{host}{path}/events?app={apps}&subscribeAll=false");
        let mut request = uri.into_client_request()?;
        let value = HeaderValue::from_str(authorization).map_err(|_| SocketError::Unauthorized)?;
        request.headers_mut().insert("authorization", value);
        let open = async {
            let stream = site.connect().await.map_err(SocketError::Connect)?;
            let config = WebSocketConfig::default()
                .max_message_size(Some(EVENT_MAX))
                .max_frame_size(Some(EVENT_MAX));
            let (stream, _response) =
                tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
            Ok::<_, SocketError>(stream)
        };
        let stream = timeout(OPEN_TIMEOUT, open)
            .await
            .map_err(|_| SocketError::Timeout)??;
        Ok(Self {
            stream,
            heard: Instant::now(),
            pinged: false,
        })
    }

    /// Waits for the next event. Can be dropped at any time.
    pub(super) async fn next(&mut self) -> Result<tungstenite::Utf8Bytes, SocketError> {
        loop {
            let until = self.heard + if self.pinged { DEAD_AFTER } else { PING_AFTER };
            let frame = match tokio::time::timeout_at(until, self.stream.next()).await {
                Ok(frame) => frame.ok_or(SocketError::Closed)??,
                Err(_) if self.pinged => return Err(SocketError::Timeout),
                Err(_) => {
                    self.pinged = true;
                    let ping = self.stream.send(Frame::Ping(Default::default()));
                    timeout(OPEN_TIMEOUT, ping)
                        .await
                        .map_err(|_| SocketError::Timeout)??;
                    continue;
                }
            };
            self.heard = Instant::now();
            self.pinged = false;
            match frame {
                Frame::Text(text) => return Ok(text),
                Frame::Close(_) => return Err(SocketError::Closed),
                Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => {}
            }
        }
    }
}
