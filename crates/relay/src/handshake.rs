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

/// What the first stream of a client of draft 14 begins with: the type of CLIENT_SETUP.
const CLIENT_SETUP: u8 = 0x20;

/// How long a refused client may take to hear that it is.
const ANSWERED: Duration = Duration::from_secs(1);

/// Completes a handshake.
pub(crate) async fn accept(
    connecting: quinn::Connecting,
    drafts: &[Draft],
    authorize: Arc<dyn Authorize>,
    timeout: Duration,
) -> Result<Accepted, Refused> {
    tokio::time::timeout(timeout, accept_at_leisure(connecting, drafts, authorize))
        .await
        .unwrap_or(Err(Refused::TooSlow))
}

async fn accept_at_leisure(
    connecting: quinn::Connecting,
    drafts: &[Draft],
    authorize: Arc<dyn Authorize>,
) -> Result<Accepted, Refused> {
    let connection = connecting.await?;
    let alpn = alpn(&connection).unwrap_or_default();
    if alpn == web_transport_quinn::ALPN.as_bytes() {
        return web_transport(Request::accept(connection).await?, drafts, authorize).await;
    }
    let alpn = String::from_utf8_lossy(&alpn).into_owned();
    let draft = drafts.iter().find(|draft| draft.alpn() == alpn);
    let draft = *draft.ok_or(Refused::Alpn(alpn))?;
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
    drafts: &[Draft],
    authorize: Arc<dyn Authorize>,
) -> Result<Accepted, Refused> {
    let query = |name: &str| {
        let mut pairs = request.url.query_pairs();
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    };
    let choice = match version(drafts, &request.protocols, query("moqt").as_deref()) {
        Ok(choice) => choice,
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
    if let Choice::Named(draft) = choice {
        response = response.with_protocol(draft.alpn());
    }
    let session = request.respond(response).await?;
    let mut transport = Transport::quic(session, STREAMS_AT_FIRST, STREAMS_AT_FIRST);
    let draft = match choice {
        Choice::Named(draft) | Choice::Implied(draft) => draft,
        Choice::ByFirstStream { old, new } => {
            if transport.begins_with(CLIENT_SETUP).await {
                old
            } else {
                new
            }
        }
    };
    Ok(Accepted {
        access,
        draft,
        kind: moqt::Transport::WebTransport,
        transport,
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

/// How a session comes to its draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The client named it as a subprotocol and must hear it.
    Named(Draft),
    /// The client does not name subprotocols.
    Implied(Draft),
    /// The client says nothing: clients of draft 14 begin with CLIENT_SETUP on a bidirectional
    /// stream, newer ones with anything else.
    ByFirstStream { old: Draft, new: Draft },
}

/// Chooses the draft: the most preferred one of those that the client offers.
///
/// A client without subprotocols (Firefox 153, any of draft 14) gets what its URL's query asks
/// for, or the preferred draft that fits how it begins.
pub(crate) fn version(
    drafts: &[Draft],
    offered: &[String],
    query: Option<&str>,
) -> Result<Choice, Refused> {
    let refused = || Refused::Version {
        offered: offered.to_vec(),
        query: query.map(str::to_owned),
    };
    if !offered.is_empty() {
        let common = drafts
            .iter()
            .find(|draft| offered.iter().any(|offer| offer == draft.alpn()));
        return common.copied().map(Choice::Named).ok_or_else(refused);
    }
    if let Some(query) = query {
        let asked = drafts
            .iter()
            .find(|draft| draft.number().to_string() == query);
        return asked.copied().map(Choice::Implied).ok_or_else(refused);
    }
    let old = drafts.iter().find(|draft| **draft == Draft::D14);
    let new = drafts.iter().find(|draft| !draft.one_control_stream());
    match (old, new) {
        (Some(old), Some(new)) => Ok(Choice::ByFirstStream {
            old: *old,
            new: *new,
        }),
        _ => {
            let first = drafts.first().copied();
            first.map(Choice::Implied).ok_or_else(refused)
        }
    }
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

    const DRAFTS: [Draft; 3] = [Draft::D18, Draft::D16, Draft::D14];

    fn offers(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_client_without_subprotocols_gets_what_it_asks_for_or_how_it_begins() {
        let first = Choice::ByFirstStream {
            old: Draft::D14,
            new: Draft::D18,
        };
        assert_eq!(version(&DRAFTS, &[], None).unwrap(), first);
        for draft in DRAFTS {
            let number = draft.number().to_string();
            let asked = version(&DRAFTS, &[], Some(&number)).unwrap();
            assert_eq!(asked, Choice::Implied(draft));
        }
        let only = version(&[Draft::D18], &[], None).unwrap();
        assert_eq!(only, Choice::Implied(Draft::D18));
    }

    #[test]
    fn a_known_subprotocol_is_chosen_among_unknown_ones() {
        for (offered, draft) in [
            (&["moq-lite-05", "moqt-16", "moqt-18"][..], Draft::D18),
            (&["moqt-17", "moqt-16"], Draft::D16),
            (&["moq-00"], Draft::D14),
        ] {
            let chosen = version(&DRAFTS, &offers(offered), None).unwrap();
            assert_eq!(chosen, Choice::Named(draft));
        }
    }

    #[test]
    fn unknown_versions_are_refused() {
        assert!(version(&DRAFTS, &offers(&["moqt-99"]), None).is_err());
        assert!(version(&[Draft::D18], &offers(&["moqt-16"]), None).is_err());
        assert!(version(&DRAFTS, &[], Some("7")).is_err());
        assert!(version(&DRAFTS, &[], Some("eighteen")).is_err());
    }
}
