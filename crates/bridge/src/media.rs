//! The handshakes of media WebSockets: Asterisk comes to us, or we go to Asterisk.

use std::{fmt, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use base64::Engine as _;
use bytes::BytesMut;
use moqrelay_wire::{
    chan_websocket::{Event, SUBPROTOCOL},
    websocket::{DecodeError, Message, Role},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::{
    self,
    error::ProtocolError,
    handshake::{
        client::{Response, generate_request},
        derive_accept_key,
        machine::TryParse as _,
        server::{Request as Handshake, create_response, write_response},
    },
    http::{HeaderValue, StatusCode, header},
};
use uuid::Uuid;

use crate::{
    ari::Secret,
    codec::Codec,
    dial::Site,
    leg::{Bytestream, Line, LineError, MediaSocket},
};

/// The longest request or answer of Asterisk's: caller's data is in its first line.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Media that may come before `MEDIA_START` when Asterisk is busy; it is not played.
const BEFORE_START_MAX: usize = 250;

/// From the connection to `MEDIA_START`: some milliseconds are usual.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// How Asterisk shows that it may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `username` of `websocket_client.conf`.
    pub user: String,
    /// `password` there.
    pub password: Secret,
}

impl Credentials {
    /// Returns the value of the header `Authorization`.
    fn header(&self) -> String {
        let text = format!("{}:{}", self.user, self.password.expose());
        let text = base64::engine::general_purpose::STANDARD.encode(text);
        format!("Basic {text}")
    }
}

/// Makes accepted connections secure, before anything is read from them.
#[derive(Clone)]
pub struct TlsAcceptor(Arc<dyn Fn(TcpStream) -> Securing + Send + Sync>);

/// A TLS handshake that goes on.
pub type Securing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Bytestream>>> + Send>>;

impl TlsAcceptor {
    /// Takes what shakes hands as a server.
    pub fn new(accept: impl Fn(TcpStream) -> Securing + Send + Sync + 'static) -> Self {
        Self(Arc::new(accept))
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsAcceptor(…)")
    }
}

/// A request of Asterisk's that has no answer yet.
pub(crate) struct Request {
    stream: Box<dyn Bytestream>,
    peer: Option<SocketAddr>,
    handshake: Handshake,
    /// What came behind the request.
    rest: BytesMut,
}

/// Why there is no media WebSocket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no whole request within {0:?}")]
    Timeout(Duration),
    #[error("not open within {OPEN_TIMEOUT:?}")]
    Slow,
    #[error("no TLS: {0}")]
    Tls(io::Error),
    #[error("closed too early")]
    Closed,
    #[error("the bridge ends")]
    Ending,
    #[error("a request or an answer of more than {HEAD_BYTES_MAX} bytes")]
    TooLong,
    #[error("{0} messages and no MEDIA_START among them")]
    NoStart(usize),
    #[error("this bridge has no port for RTP")]
    NoRtp,
    #[error("the codec {0:?} is not known here")]
    Codec(String),
    #[error(transparent)]
    Protocol(#[from] tungstenite::Error),
    #[error(transparent)]
    Frame(#[from] DecodeError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// Returns the name that metrics have for it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout(_) | Self::Slow => "timeout",
            Self::Closed => "closed",
            Self::Ending => "ending",
            Self::Tls(_) => "tls",
            Self::TooLong
            | Self::NoStart(_)
            | Self::Codec(_)
            | Self::Protocol(_)
            | Self::Frame(_) => "malformed",
            Self::NoRtp | Self::Io(_) => "broken",
        }
    }
}

/// What a request says of the call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// Which expectation it is for.
    pub(crate) id: Option<Uuid>,
    /// Without that: who calls whom.
    pub(crate) call: Option<Knock>,
}

/// A call of which the request for its media WebSocket is the first word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knock {
    /// The number or the user that is called. Free text.
    pub to: String,
    /// The caller's number. Free text from the network.
    pub from: Option<String>,
    /// The caller's name. Free text from the network.
    pub name: Option<String>,
}

/// Reads a request; `within` counts from the connection to the request's end, however slowly the bytes come.
pub(crate) async fn read_request(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    within: Duration,
) -> Result<Request, Error> {
    let peer = stream.peer_addr().ok();
    let read = async {
        let mut stream: Box<dyn Bytestream> = match tls {
            None => Box::new(stream),
            Some(TlsAcceptor(accept)) => accept(stream).await.map_err(Error::Tls)?,
        };
        let mut rest = BytesMut::with_capacity(1024);
        loop {
            if let Some((len, handshake)) = Handshake::try_parse(&rest)? {
                return Ok(Request {
                    stream,
                    peer,
                    handshake,
                    rest: rest.split_off(len),
                });
            }
            if rest.len() >= HEAD_BYTES_MAX {
                return Err(Error::TooLong);
            }
            if stream.read_buf(&mut rest).await? == 0 {
                return Err(Error::Closed);
            }
        }
    };
    timeout(within, read)
        .await
        .map_err(|_| Error::Timeout(within))?
}

impl Request {
    /// Returns whether it shows the credentials, in a time that does not depend on them.
    pub(crate) fn is_authorized(&self, credentials: Option<&Credentials>) -> bool {
        let Some(credentials) = credentials else {
            return true;
        };
        let wanted = credentials.header();
        let shown = self.handshake.headers().get(header::AUTHORIZATION);
        let shown = shown.map_or(&[][..], HeaderValue::as_bytes);
        let differences = wanted
            .bytes()
            .zip(shown.iter().chain(std::iter::repeat(&0)))
            .fold(0, |sum, (wanted, shown)| sum | (wanted ^ shown));
        differences == 0 && shown.len() == wanted.len()
    }

    /// Returns what the request says of the call.
    pub(crate) fn query(&self) -> Query {
        let query = self.handshake.uri().query().unwrap_or_default();
        let mut found = Query::default();
        let mut call = Knock::default();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if value.is_empty() {
                continue;
            }
            match &*key {
                "id" => found.id = value.parse().ok(),
                "to" => call.to = value.into_owned(),
                "from" => call.from = Some(value.into_owned()),
                "name" => call.name = Some(value.into_owned()),
                _ => {}
            }
        }
        found.call = Some(call).filter(|call| found.id.is_none() && !call.to.is_empty());
        found
    }

    /// Returns who asks.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Turns the request down.
    pub(crate) async fn refuse(mut self, status: StatusCode) {
        let challenge = match status {
            StatusCode::UNAUTHORIZED => "WWW-Authenticate: Basic realm=\"moqrelay\"\r\n",
            _ => "",
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\n{challenge}Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let farewell = async {
            self.stream.write_all(answer.as_bytes()).await?;
            self.stream.shutdown().await
        };
        if !matches!(timeout(OPEN_TIMEOUT, farewell).await, Ok(Ok(()))) {
            tracing::trace!("the connection was gone before our answer");
        }
    }

    /// Grants the request and waits for `MEDIA_START`.
    pub(crate) async fn accept(self) -> Result<MediaSocket, Error> {
        let mut stream = self.stream;
        let open = async {
            let mut response = create_response(&self.handshake)?;
            response.headers_mut().insert(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(SUBPROTOCOL),
            );
            let mut answer = Vec::new();
            write_response(&mut answer, &response)?;
            stream.write_all(&answer).await?;
            started(Line::new(stream, Role::Server, self.rest)).await
        };
        timeout(OPEN_TIMEOUT, open).await.map_err(|_| Error::Slow)?
    }
}

/// Connects to Asterisk's `/media/<connection>` and waits for `MEDIA_START`.
pub(crate) async fn connect(site: &Site, connection: &str) -> Result<MediaSocket, Error> {
    let open = async {
        let uri = format!(
            "{}://{}/media/{connection}",
            site.websocket_scheme(),
            site.host
        );
        let mut request = tungstenite::client::IntoClientRequest::into_client_request(uri)?;
        request.headers_mut().insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
        let mut stream = site.connect().await?;
        let rest = shake_hands(&mut stream, request).await?;
        started(Line::new(stream, Role::Client, rest)).await
    };
    timeout(OPEN_TIMEOUT, open).await.map_err(|_| Error::Slow)?
}

/// Asks for a WebSocket; returns what came behind the answer.
async fn shake_hands(
    stream: &mut Box<dyn Bytestream>,
    request: tungstenite::handshake::client::Request,
) -> Result<BytesMut, Error> {
    let (request, key) = generate_request(request)?;
    stream.write_all(&request).await?;
    let mut answer = BytesMut::with_capacity(1024);
    let (len, response) = loop {
        if let Some(parsed) = Response::try_parse(&answer)? {
            break parsed;
        }
        if answer.len() >= HEAD_BYTES_MAX {
            return Err(Error::TooLong);
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(Error::Closed);
        }
    };
    verify(response, &key)?;
    Ok(answer.split_off(len))
}

/// Looks whether an answer grants what was asked for (RFC 6455 section 4.1).
fn verify(response: Response, key: &str) -> Result<(), tungstenite::Error> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(tungstenite::Error::Http(Box::new(response)));
    }
    let accept = derive_accept_key(key.as_bytes());
    let says = |name: header::HeaderName, wanted: &str| {
        let value = response.headers().get(name);
        value.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    let fault = if !says(header::UPGRADE, "websocket") {
        ProtocolError::MissingUpgradeWebSocketHeader
    } else if !says(header::CONNECTION, "upgrade") {
        ProtocolError::MissingConnectionUpgradeHeader
    } else if response.headers().get(header::SEC_WEBSOCKET_ACCEPT)
        != HeaderValue::from_str(&accept).ok().as_ref()
    {
        ProtocolError::SecWebSocketAcceptKeyMismatch
    } else if !says(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        ProtocolError::SecWebSocketSubProtocolError(
            tungstenite::error::SubProtocolError::NoSubProtocol,
        )
    } else {
        return Ok(());
    };
    Err(fault.into())
}

/// Waits for `MEDIA_START`; sound may come before it.
async fn started(mut line: Line) -> Result<MediaSocket, Error> {
    for _ in 0..BEFORE_START_MAX {
        let message = match line.next().await.ok_or(Error::Closed)? {
            Ok(message) => message,
            Err(LineError::Io(error)) => return Err(error.into()),
            Err(LineError::Malformed(error)) => return Err(error.into()),
        };
        match message {
            Message::Text(text) => match Event::decode(&text) {
                Ok((Event::Start(start), form)) => {
                    let codec = Codec::from_name(&start.format)
                        .ok_or_else(|| Error::Codec(start.format.clone()))?;
                    tracing::debug!(channel = start.channel_id, %codec, ?form, "media starts");
                    return Ok(MediaSocket::new(line, codec, form, Instant::now()));
                }
                Ok((event, _)) => tracing::debug!(?event, "before MEDIA_START"),
                Err(error) => tracing::debug!(%error, "before MEDIA_START"),
            },
            Message::Close(_) => return Err(Error::Closed),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
        }
    }
    Err(Error::NoStart(BEFORE_START_MAX))
}
