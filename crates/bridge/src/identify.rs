//! The first message of a connection: which call it is.

use std::{io, time::Duration};

use bytes::BytesMut;
use moqrelay_wire::audiosocket::{DecodeError, Message};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};
use uuid::Uuid;

/// Messages of unknown types may come first, but not more than this.
pub(crate) const INBOX_BYTES_MAX: usize = 512;

/// Why a connection was not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no call id within {0:?}")]
    Timeout(Duration),
    #[error("closed before it said which call it is")]
    Closed,
    #[error("the bridge ends")]
    Ending,
    #[error("the first message is no call id")]
    NotAnId,
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// Returns the name that metrics have for it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Closed => "closed",
            Self::Ending => "ending",
            Self::NotAnId | Self::Malformed(_) => "malformed",
            Self::Io(_) => "broken",
        }
    }
}

/// Reads up to the call's id; what came behind it stays in `inbox`.
///
/// `within` counts from now to the end, however slowly the bytes come.
pub(crate) async fn identify(
    stream: &mut TcpStream,
    inbox: &mut BytesMut,
    within: Duration,
) -> Result<Uuid, Error> {
    timeout(within, read_id(stream, inbox))
        .await
        .map_err(|_| Error::Timeout(within))?
}

async fn read_id(stream: &mut TcpStream, inbox: &mut BytesMut) -> Result<Uuid, Error> {
    loop {
        match Message::decode(inbox)? {
            Some(Message::Id(id)) => return Ok(id),
            Some(_) => return Err(Error::NotAnId),
            None if inbox.len() > INBOX_BYTES_MAX => return Err(Error::NotAnId),
            None => {}
        }
        inbox.reserve(INBOX_BYTES_MAX);
        if stream.read_buf(inbox).await? == 0 {
            return Err(Error::Closed);
        }
    }
}
