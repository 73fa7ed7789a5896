//! MoQ over a WebSocket, and the port over TLS.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use moqrelay_control::Web;
use moqrelay_control::media::{Admitted, Knock, MediaDoor, MediaSocket, Turned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls};
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::world::{Server, patient};

#[tokio::test]
async fn a_websocket_of_media_is_handed_on_whatever_its_path() {
    let heard = Arc::<Mutex<Vec<Knock>>>::default();
    let server = echoing(&heard).await;

    for (path, query) in [
        ("/moq", "token=t&moqt=18"),
        ("/any/where", "token=t&moqt=18"),
    ] {
        let url = format!("ws://{}{path}?{query}", server.address);
        let mut socket = connect(&server, &url, tcp(&server).await).await.unwrap();
        socket
            .send(Message::binary(&b"to and fro"[..]))
            .await
            .unwrap();
        let echo = patient(socket.next()).await.unwrap().unwrap();

        assert_eq!(echo.into_data(), "to and fro");
        let knock = heard.lock().unwrap().pop().unwrap();
        assert_eq!(knock.offered, ["unknown", "qmux-02.moqt-18"]);
        assert_eq!(knock.query.as_deref(), Some(query));
        assert_eq!(knock.authorization.as_deref(), Some("Bearer secret"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_text_or_the_peers_close_ends_it() {
    let server = echoing(&Arc::default()).await;
    for last in [Message::text("hello"), Message::Close(None)] {
        let url = format!("ws://{}/moq", server.address);
        let mut socket = connect(&server, &url, tcp(&server).await).await.unwrap();
        socket.send(last).await.unwrap();

        while let Some(Ok(message)) = patient(socket.next()).await {
            assert!(message.is_close(), "{message}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn who_is_turned_away_hears_why() {
    let server = Server::with(|config, _room| {
        config.web = Web::Off;
        config.media = Some(MediaDoor(Arc::new(|_knock| {
            Err(Turned {
                status: 401,
                reason: "not today".into(),
            })
        })));
    })
    .await;
    let url = format!("ws://{}/moq", server.address);
    assert_eq!(refusal(&server, &url, None).await, 401);
    assert_eq!(
        refusal(&server, &url, Some("http://foreign.example")).await,
        403
    );
    server.stop().await;

    let closed = Server::start().await;
    let url = format!("ws://{}/moq", closed.address);
    assert_eq!(refusal(&closed, &url, None).await, 404);
    closed.stop().await;
}

#[tokio::test]
async fn the_port_speaks_tls_when_it_is_given_a_certificate() {
    let (tls, roots) = certificate();
    let server = Server::with(|config, _room| {
        config.tls = Some(tls);
        config.media = Some(door(&Arc::default()));
    })
    .await;

    let mut https = secured(&server, roots.clone()).await;
    let request = b"GET /api/v1/transport HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    https.write_all(request).await.unwrap();
    let mut answer = String::new();
    patient(https.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"fallback_url\":\"/moq\""), "{answer}");

    let url = format!("wss://localhost:{}/moq", server.address.port());
    let stream = secured(&server, roots).await;
    let mut socket = connect(&server, &url, stream).await.unwrap();
    socket.send(Message::binary(vec![7; 10_000])).await.unwrap();
    let echo = patient(socket.next()).await.unwrap().unwrap();
    assert_eq!(echo.len(), 10_000);
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn plain_words_on_a_port_of_tls_harm_nobody() {
    let (tls, roots) = certificate();
    let server = Server::with(|config, _room| config.tls = Some(tls)).await;

    let mut plain = tcp(&server).await;
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    // An alert of TLS, or nothing.
    drop(patient(plain.read_to_end(&mut rest)).await);
    assert!(!rest.starts_with(b"HTTP"));

    let mut https = secured(&server, roots).await;
    https
        .write_all(b"GET /api/v1/transport HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    drop(patient(https.read_to_end(&mut answer)).await);
    assert!(answer.starts_with(b"HTTP/1.0 200"));
    server.stop().await;
}

#[tokio::test]
async fn the_end_of_the_server_waits_for_media() {
    let server = echoing(&Arc::default()).await;
    let url = format!("ws://{}/moq", server.address);
    let mut socket = connect(&server, &url, tcp(&server).await).await.unwrap();

    let stopping = tokio::spawn(server.stop());
    socket
        .send(Message::binary(&b"still here"[..]))
        .await
        .unwrap();

    let echo = patient(socket.next()).await.unwrap().unwrap();
    assert_eq!(echo.into_data(), "still here");
    assert!(!stopping.is_finished());
    drop(socket);
    patient(stopping).await.unwrap();
}

/// A server whose media are an echo.
async fn echoing(heard: &Arc<Mutex<Vec<Knock>>>) -> Server {
    let door = door(heard);
    Server::with(|config, _room| config.media = Some(door)).await
}

fn door(heard: &Arc<Mutex<Vec<Knock>>>) -> MediaDoor {
    let heard = Arc::clone(heard);
    MediaDoor(Arc::new(move |knock| {
        heard.lock().unwrap().push(knock);
        Ok(Admitted {
            subprotocol: "qmux-02.moqt-18".into(),
            run: Box::new(|socket| Box::pin(echo(socket))),
        })
    }))
}

async fn echo(mut socket: MediaSocket) {
    while let Some(message) = poll_fn(|cx| socket.poll_receive(cx)).await {
        assert!(poll_fn(|cx| socket.poll_ready(cx)).await);
        socket.send(message);
        assert!(poll_fn(|cx| socket.poll_ready(cx)).await);
    }
    poll_fn(|cx| socket.poll_close(cx)).await;
}

async fn tcp(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    _server: &Server,
    url: &str,
    stream: S,
) -> Result<WebSocketStream<S>, u16> {
    connect_from(url, stream, None).await
}

async fn connect_from<S: AsyncRead + AsyncWrite + Unpin>(
    url: &str,
    stream: S,
    origin: Option<&str>,
) -> Result<WebSocketStream<S>, u16> {
    let mut request = url.into_client_request().unwrap();
    let headers = request.headers_mut();
    let offers = "unknown, qmux-02.moqt-18".parse().unwrap();
    headers.insert("sec-websocket-protocol", offers);
    headers.insert("authorization", "Bearer secret".parse().unwrap());
    if let Some(origin) = origin {
        headers.insert("origin", origin.parse().unwrap());
    }
    match patient(client_async(request, stream)).await {
        Ok((socket, answer)) => {
            assert_eq!(
                answer.headers()["sec-websocket-protocol"],
                "qmux-02.moqt-18"
            );
            Ok(socket)
        }
        Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn refusal(server: &Server, url: &str, origin: Option<&str>) -> u16 {
    connect_from(url, tcp(server).await, origin)
        .await
        .map(drop)
        .unwrap_err()
}

/// A server's TLS for `localhost`, and what a client must believe.
fn certificate() -> (Arc<rustls::ServerConfig>, rustls::RootCertStore) {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    (Arc::new(config), roots)
}

async fn secured(
    server: &Server,
    roots: rustls::RootCertStore,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = "localhost".try_into().unwrap();
    patient(connector.connect(name, tcp(server).await))
        .await
        .unwrap()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
