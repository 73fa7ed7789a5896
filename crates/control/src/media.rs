//! MoQ over a WebSocket on the page's port, for networks that let no UDP through.
//!
//! Control upgrades the request; what is said on the socket is somebody else's.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use futures_util::{Sink, Stream};

use crate::control::Shared;
use crate::http::fault;
use crate::listener::Remote;

/// The largest message that is read, in bytes: twice a QMux record, so that one that is too large is refused with words.
const MESSAGE_LEN_MAX: usize = 32 * 1024;

/// Subprotocols that a client may offer; @moq/net offers 30.
const OFFERS_MAX: usize = 64;

/// Decides on clients that want to speak MoQ over a WebSocket.
#[derive(Clone)]
pub struct MediaDoor(pub Arc<Decide>);

type Decide = dyn Fn(Knock) -> Result<Admitted, Turned> + Send + Sync;

impl fmt::Debug for MediaDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaDoor")
    }
}

/// A client's request.
#[derive(Debug, Clone)]
pub struct Knock {
    /// Its address.
    pub address: SocketAddr,
    /// The subprotocols it offers.
    pub offered: Vec<String>,
    /// The query of its URL, without the question mark.
    pub query: Option<String>,
    /// Its Authorization header.
    pub authorization: Option<String>,
}

/// A client that may come in.
pub struct Admitted {
    /// The subprotocol that was chosen.
    pub subprotocol: String,
    /// Carries the socket to its end.
    pub run: Box<Run>,
}

type Run = dyn FnOnce(MediaSocket) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send;

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Admitted").field(&self.subprotocol).finish()
    }
}

/// A client that may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turned {
    /// HTTP's status code.
    pub status: u16,
    /// Why.
    pub reason: String,
}

/// An open WebSocket, message by message.
#[derive(Debug)]
pub struct MediaSocket(WebSocket);

impl MediaSocket {
    /// Returns the next binary message; `None`: the socket has ended, or sent a text, which nobody here speaks.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => return Poll::Ready(Some(bytes)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Text(_) | Message::Close(_)) | Err(_)) | None => {
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Ready when everything that was sent before has left the process; false: the socket has ended.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let flushed = ready!(Pin::new(&mut self.0).poll_flush(cx));
        Poll::Ready(flushed.is_ok())
    }

    /// Sends a binary message. Call it after [`Self::poll_ready`] has said true.
    pub fn send(&mut self, message: Bytes) {
        if let Err(error) = Pin::new(&mut self.0).start_send(Message::Binary(message)) {
            tracing::debug!(%error, "a message cannot be sent");
        }
    }

    /// Ends the socket; ready when it has ended.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll_close(cx).map(drop)
    }
}

/// Lets a client in, or says why not. Its origin was looked at before.
pub(crate) fn open(
    shared: &Arc<Shared>,
    remote: &Remote,
    headers: &HeaderMap,
    uri: &Uri,
    mut upgrade: WebSocketUpgrade,
) -> Response {
    let Some(door) = &shared.config.media else {
        let reason = "MoQ over a WebSocket is not spoken here";
        return fault(StatusCode::NOT_FOUND, "not_found", reason);
    };
    let knock = Knock {
        address: remote.address,
        offered: offered(headers),
        query: uri.query().map(str::to_owned),
        authorization: headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
    };
    let admitted = match (door.0)(knock) {
        Ok(admitted) => admitted,
        Err(turned) => {
            let status = StatusCode::from_u16(turned.status).unwrap_or(StatusCode::FORBIDDEN);
            let code = match status {
                StatusCode::UNAUTHORIZED => "unauthorized",
                StatusCode::BAD_REQUEST => "unsupported_version",
                StatusCode::SERVICE_UNAVAILABLE => "too_many",
                _ => "forbidden",
            };
            return fault(status, code, turned.reason);
        }
    };
    if let Ok(chosen) = HeaderValue::from_str(&admitted.subprotocol) {
        upgrade.set_selected_protocol(chosen);
    }
    remote.watch.pause();
    let counted = shared.count_socket();
    upgrade
        .max_message_size(MESSAGE_LEN_MAX)
        .max_frame_size(MESSAGE_LEN_MAX)
        .on_upgrade(move |socket| async move {
            let _counted = counted;
            (admitted.run)(MediaSocket(socket)).await;
        })
}

fn offered(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|offers| offers.split(','))
        .map(|offer| offer.trim().to_owned())
        .take(OFFERS_MAX)
        .collect()
}
