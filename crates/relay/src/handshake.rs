//! From a QUIC connection to a MoQ session: version, token, transport.

use std::{borrow::Cow, sync::Arc, time::Duration};

use moqrelay_moqt::{self as moqt, Draft};
use quinn::crypto::rustls::HandshakeData;
use web_transport_quinn::{Request, http::StatusCode, proto::ConnectResponse};

use crate::{
    auth::{AuthError, Authorize},
    endpoint::STREAMS_AT_FIRST,
    session::Access,
    transport::Transport,
};

/// A connection that is ready to become a session.
pub(crate) struct Accepted {
    pub(crate) access: Access,
    pub(crate) draft: Draft,
    pub(crate) kind: moqt::Transport,
    pub(crate) transport: Transport,
}

/// Why a connection did not become a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it took too long")]
    TooSlow,
    #[error("the connection failed: {0}")]
    Connection(#[from] quinn::ConnectionError),
    #[error("no WebTransport session: {0}")]
    WebTransport(#[from] web_transport_quinn::ServerError),
    #[error("unknown application protocol {0:?}")]
    Alpn(String),
    #[error("no common version: offered {offered:?}, query {query:?}")]
    Version {
        offered: Vec<String>,
        query: Option<String>,
    },
    #[error(transparent)]
    Token(#[from] AuthError),
}

impl Refused {
    /// Returns its label in metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::TooSlow => "too_slow",
            Self::Connection(_) => "connection",
            Self::WebTransport(_) => "web_transport",
            Self::Alpn(_) | Self::Version { .. } => "version",
            Self::Token(_) => "token",
        }
    }
}

/// How long a refused client may take to hear that it is.
const ANSWERED: Duration = Duration::from_secs(1);

/// Completes a handshake.
pub(crate) async fn accept(
    incoming: quinn::Incoming,
    authorize: Arc<dyn Authorize>,
    timeout: Duration,
) -> Result<Accepted, Refused> {
    tokio::time::timeout(timeout, accept_at_leisure(incoming, authorize))
        .await
        .unwrap_or(Err(Refused::TooSlow))
}

async fn accept_at_leisure(
    incoming: quinn::Incoming,
    authorize: Arc<dyn Authorize>,
) -> Result<Accepted, Refused> {
    let connection = incoming.accept()?.await?;
    let alpn = alpn(&connection).unwrap_or_default();
    if alpn == web_transport_quinn::ALPN.as_bytes() {
        return web_transport(Request::accept(connection).await?, authorize).await;
    }
    let alpn = String::from_utf8_lossy(&alpn).into_owned();
    let draft = Draft::from_alpn(&alpn).ok_or(Refused::Alpn(alpn))?;
    let session = web_transport_quinn::Session::raw(connection);
    Ok(Accepted {
        access: Access::new(authorize),
        draft,
        kind: moqt::Transport::Quic,
        transport: Transport::quic(session, STREAMS_AT_FIRST, STREAMS_AT_FIRST),
    })
}

async fn web_transport(
    request: Request,
    authorize: Arc<dyn Authorize>,
) -> Result<Accepted, Refused> {
    let query = |name: &str| {
        let mut pairs = request.url.query_pairs();
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    };
    let (draft, named) = match version(&request.protocols, query("moqt").as_deref()) {
        Ok(version) => version,
        Err(refused) => return refuse(request, StatusCode::BAD_REQUEST, refused).await,
    };
    let mut access = Access::new(authorize);
    let header = request.headers.get("authorization");
    let bearer = header
        .and_then(|value| value.to_str().ok())
        .and_then(bearer);
    let token = bearer.map(Cow::from).or_else(|| query("token"));
    if let Some(Err(error)) = token.as_deref().map(|token| access.present(token)) {
        return refuse(request, StatusCode::UNAUTHORIZED, error.into()).await;
    }
    let mut response = ConnectResponse::OK;
    if named {
        response = response.with_protocol(draft.alpn());
    }
    let session = request.respond(response).await?;
    Ok(Accepted {
        access,
        draft,
        kind: moqt::Transport::WebTransport,
        transport: Transport::quic(session, STREAMS_AT_FIRST, STREAMS_AT_FIRST),
    })
}

async fn refuse(
    request: Request,
    status: StatusCode,
    refused: Refused,
) -> Result<Accepted, Refused> {
    let connection = request.conn().clone();
    request.reject(status).await?;
    // The answer must reach the client before the connection goes; it is the client's turn to end
    // it.
    drop(tokio::time::timeout(ANSWERED, connection.closed()).await);
    Err(refused)
}

/// Chooses the draft; true: the client named it as a subprotocol and must hear it.
///
/// A client without subprotocols (Firefox 153) gets what its URL's query asks for, or the newest.
pub(crate) fn version(offered: &[String], query: Option<&str>) -> Result<(Draft, bool), Refused> {
    let refused = || Refused::Version {
        offered: offered.to_vec(),
        query: query.map(str::to_owned),
    };
    if !offered.is_empty() {
        let common = Draft::ALL
            .iter()
            .find(|draft| offered.iter().any(|offer| offer == draft.alpn()));
        return common.map(|draft| (*draft, true)).ok_or_else(refused);
    }
    match query {
        None => Draft::ALL.first().copied(),
        Some(number) => number.parse().ok().and_then(Draft::from_number),
    }
    .map(|draft| (draft, false))
    .ok_or_else(refused)
}

/// Takes the token out of an Authorization header.
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn alpn(connection: &quinn::Connection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?;
    data.downcast::<HandshakeData>().ok()?.protocol
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_client_without_subprotocols_gets_the_newest_draft() {
        assert_eq!(version(&[], None).unwrap(), (Draft::D18, false));
        assert_eq!(version(&[], Some("18")).unwrap(), (Draft::D18, false));
    }

    #[test]
    fn a_known_subprotocol_is_chosen_among_unknown_ones() {
        let offered = offers(&["moq-lite-05", "moqt-18"]);

        assert_eq!(version(&offered, None).unwrap(), (Draft::D18, true));
    }

    #[test]
    fn unknown_versions_are_refused() {
        assert!(version(&offers(&["moqt-99"]), None).is_err());
        assert!(version(&[], Some("7")).is_err());
        assert!(version(&[], Some("eighteen")).is_err());
    }
}
