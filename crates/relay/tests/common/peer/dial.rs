//! Connections to the relay, whose certificate is believed.

use std::net::SocketAddr;

use moqrelay_moqt::Draft;
use web_transport_quinn as wt;

use super::{D18, Via};

/// Opens a connection to the relay; its certificate is believed.
pub async fn connect(addr: SocketAddr, via: Via) -> wt::Session {
    connect_as(addr, via, D18).await
}

/// The same in another draft; draft 14 does not name itself to WebTransport.
pub async fn connect_as(addr: SocketAddr, via: Via, draft: Draft) -> wt::Session {
    match via {
        Via::WebTransport => {
            let mut request = wt::proto::ConnectRequest::new(url(addr, ""));
            if draft != Draft::D14 {
                request = request.with_protocol(draft.alpn());
            }
            web_transport(addr, request).await.unwrap()
        }
        Via::Quic => wt::Session::raw(quic(addr, draft.alpn()).await.unwrap()),
    }
}

pub fn url(addr: SocketAddr, query: &str) -> url::Url {
    format!("https://{addr}/moq{query}").parse().unwrap()
}

pub async fn web_transport(
    addr: SocketAddr,
    request: wt::proto::ConnectRequest,
) -> Result<wt::Session, wt::ClientError> {
    let connection = quic(addr, wt::ALPN).await?;
    wt::Session::connect(connection, request).await
}

/// The HTTP status with which a session was refused.
pub fn status_of(refused: Result<wt::Session, wt::ClientError>) -> wt::http::StatusCode {
    match refused {
        Err(wt::ClientError::HttpError(wt::ConnectError::ProtoError(
            wt::proto::ConnectError::WrongStatus(Some(status)),
        ))) => status,
        other => panic!("not refused: {other:?}"),
    }
}

pub async fn quic(
    addr: SocketAddr,
    alpn: &str,
) -> Result<quinn::Connection, quinn::ConnectionError> {
    let mut transport = quinn::TransportConfig::default();
    transport.max_concurrent_uni_streams(1000u32.into());
    quic_with(addr, alpn, transport).await
}

pub async fn quic_with(
    addr: SocketAddr,
    alpn: &str,
    transport: quinn::TransportConfig,
) -> Result<quinn::Connection, quinn::ConnectionError> {
    let local = match addr.ip() {
        ip if !ip.is_loopback() => "0.0.0.0:0",
        ip if ip.is_ipv6() => "[::1]:0",
        _ => "127.0.0.1:0",
    };
    let local: SocketAddr = local.parse().unwrap();
    let endpoint = quinn::Endpoint::client(local).unwrap();
    quic_over(&endpoint, addr, alpn, transport).await
}

/// Connects by an endpoint that the caller keeps, to move it.
pub async fn quic_over(
    endpoint: &quinn::Endpoint,
    addr: SocketAddr,
    alpn: &str,
    transport: quinn::TransportConfig,
) -> Result<quinn::Connection, quinn::ConnectionError> {
    endpoint
        .connect_with(client_config(alpn, transport), addr, "localhost")
        .unwrap()
        .await
}

/// The settings of a client that believes every certificate.
pub fn client_config(alpn: &str, transport: quinn::TransportConfig) -> quinn::ClientConfig {
    let mut tls = moqrelay_testkit::believing(alpn);
    tls.enable_early_data = true;
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut config = quinn::ClientConfig::new(std::sync::Arc::new(tls));
    config.transport_config(std::sync::Arc::new(transport));
    config
}
