//! A MoQ peer of our own codec, driven step by step.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    self as moqt, Config, Direction, Draft, Event, FetchAnswer, FetchOptions, FetchRange,
    FullTrackName, GroupOrder, Location, Namespace, Output, Parameters, PublishDoneCode,
    RequestCode, RequestId, RequestOk, ResetCode, Role, Session, StreamId, SubscribeAnswer,
    SubscribeOptions, TrackAlias, Transport,
    data::{
        self, Absence, Datagram, FetchDecoder, FetchEncoder, FetchHeader, FetchItem, FetchObject,
        Object, ObjectDatagram, StreamKind, SubgroupDecoder, SubgroupEncoder, SubgroupHeader,
        SubgroupItem,
    },
};
use tokio::sync::mpsc;
use web_transport_quinn as wt;

use super::soon;

pub const D18: Draft = Draft::D18;

/// How a peer reaches the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    WebTransport,
    Quic,
}

pub const BOTH: [Via; 2] = [Via::WebTransport, Via::Quic];

/// What arrived as objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    Header(SubgroupHeader),
    Object(SubgroupHeader, Object),
    Fin(SubgroupHeader),
    Reset(SubgroupHeader, ResetCode),
    Datagram(ObjectDatagram),
}

/// What arrived as the answer to a FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    Item(RequestId, FetchItem),
    Fin(RequestId),
    Reset(RequestId, ResetCode),
}

/// The orders in which a peer's FETCHes want their answers.
type Orders = Arc<Mutex<BTreeMap<RequestId, GroupOrder>>>;

enum Heard {
    Bi(wt::SendStream, wt::RecvStream),
    Control(Bytes, wt::RecvStream),
    Bytes(StreamId, Bytes),
    Fin(StreamId),
    Reset(StreamId, u64),
    Closed(wt::SessionError),
}

pub struct Peer {
    pub session: wt::Session,
    pub machine: Session,
    began: Instant,
    heard: mpsc::UnboundedReceiver<Heard>,
    heard_tx: mpsc::UnboundedSender<Heard>,
    arrived: mpsc::UnboundedReceiver<Arrived>,
    fetched: mpsc::UnboundedReceiver<Fetched>,
    orders: Orders,
    sends: BTreeMap<StreamId, wt::SendStream>,
    events: VecDeque<Event>,
    listens: tokio::sync::watch::Sender<bool>,
    pub closed: Option<(u64, String)>,
}

/// A subgroup that is being sent.
pub struct Subgroup {
    draft: Draft,
    stream: wt::SendStream,
    encoder: SubgroupEncoder,
}

impl Peer {
    pub async fn connect(addr: SocketAddr, via: Via) -> Self {
        Self::connect_with(addr, via, |_| {}).await
    }

    pub async fn connect_with(
        addr: SocketAddr,
        via: Via,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut peer = Self::begin(addr, via, change).await;
        let Event::Setup(_) = peer.event().await else {
            panic!("SETUP comes first");
        };
        peer
    }

    /// Connects in some draft.
    pub async fn of(draft: Draft, addr: SocketAddr, via: Via) -> Self {
        Self::connect_with(addr, via, |config| config.draft = draft).await
    }

    /// Connects without waiting for the relay's SETUP.
    pub async fn begin(addr: SocketAddr, via: Via, change: impl FnOnce(&mut Config)) -> Self {
        let transport = match via {
            Via::WebTransport => Transport::WebTransport,
            Via::Quic => Transport::Quic,
        };
        let mut config = Config::new(D18, Role::Client, transport);
        config.implementation = Some("peer".to_owned());
        change(&mut config);
        let session = soon(connect_as(addr, via, config.draft)).await;
        Self::over(session, config).await
    }

    /// Connects a peer that does not read what streams of objects bring until it is told to
    /// [`listen`](Self::listen), and has little room for it.
    pub async fn deaf(addr: SocketAddr) -> Self {
        let mut transport = quinn::TransportConfig::default();
        transport.receive_window(0x8000u32.into());
        let connection = quic_with(addr, "moqt-18", transport).await.unwrap();
        let config = Config::new(D18, Role::Client, Transport::Quic);
        let mut peer = Self::listening(wt::Session::raw(connection), config, false).await;
        let Event::Setup(_) = peer.event().await else {
            panic!("SETUP comes first");
        };
        peer
    }

    pub async fn over(session: wt::Session, config: Config) -> Self {
        Self::listening(session, config, true).await
    }

    async fn listening(session: wt::Session, config: Config, listens: bool) -> Self {
        let (heard_tx, heard) = mpsc::unbounded_channel();
        let (arrived_tx, arrived) = mpsc::unbounded_channel();
        let (fetched_tx, fetched) = mpsc::unbounded_channel();
        let orders = Orders::default();
        let listens = tokio::sync::watch::Sender::new(listens);
        let sinks = Sinks {
            heard: heard_tx.clone(),
            arrived: arrived_tx,
            fetched: fetched_tx,
            orders: orders.clone(),
        };
        spawn_receivers(&session, config.draft, &sinks, &listens);
        let mut peer = Self {
            session,
            machine: Session::new(config, Duration::ZERO),
            began: Instant::now(),
            heard,
            heard_tx,
            arrived,
            fetched,
            orders,
            sends: BTreeMap::new(),
            events: VecDeque::new(),
            listens,
            closed: None,
        };
        peer.flush().await;
        peer
    }

    /// Reads from now on.
    pub fn listen(&self) {
        self.listens.send_replace(true);
    }

    /// Waits for the next event.
    pub async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let heard = soon(self.heard.recv()).await.unwrap();
            if let Heard::Closed(error) = &heard {
                panic!("the session ended: {error}");
            }
            self.hear(heard).await;
        }
    }

    /// Waits for the next event that `wanted` takes; others are thrown away.
    pub async fn event_of<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.event().await) {
                return found;
            }
        }
    }

    /// Waits for the session's end, and returns the code and the reason.
    pub async fn end(&mut self) -> (u64, String) {
        loop {
            match soon(self.heard.recv()).await.unwrap() {
                Heard::Closed(wt::SessionError::WebTransportError(
                    wt::WebTransportError::Closed(code, reason),
                )) => return (code.into(), reason),
                Heard::Closed(other) => panic!("not closed with a code: {other}"),
                heard => self.hear(heard).await,
            }
        }
    }

    /// Waits for the next thing among the objects.
    pub async fn arrived(&mut self) -> Arrived {
        soon(self.arrived.recv()).await.unwrap()
    }

    pub fn try_arrived(&mut self) -> Option<Arrived> {
        self.arrived.try_recv().ok()
    }

    /// Waits for the next object, however it is sent; its id and payload.
    pub async fn object(&mut self) -> (u64, u64, Bytes) {
        loop {
            match self.arrived().await {
                Arrived::Object(header, object) => {
                    return (header.group, object.id, object.payload);
                }
                Arrived::Datagram(object) => return (object.group, object.id, object.payload),
                Arrived::Header(_) | Arrived::Fin(_) | Arrived::Reset(..) => {}
            }
        }
    }

    /// Asks for past objects.
    pub async fn fetch(&mut self, range: FetchRange, params: Parameters) -> RequestId {
        let order = params.group_order.unwrap_or_default();
        let id = self.machine.fetch(range, FetchOptions { params }).unwrap();
        self.orders.lock().unwrap().insert(id, order);
        self.flush().await;
        id
    }

    /// Waits until a FETCH is accepted; the end that FETCH_OK names, and whether it is the track's.
    pub async fn fetch_ok(&mut self, wanted: RequestId) -> (Location, bool) {
        self.event_of(|event| match event {
            Event::FetchOk {
                id,
                end,
                end_of_track,
                ..
            } if id == wanted => Some((end, end_of_track)),
            Event::Rejected { id, error } if id == wanted => panic!("refused: {error:?}"),
            _ => None,
        })
        .await
    }

    /// Waits for the next thing of any answer to a FETCH.
    pub async fn fetched(&mut self) -> Fetched {
        soon(self.fetched.recv()).await.unwrap()
    }

    /// Reads an answer to its end: objects as `group/object`, ranges with `-` where nothing exists and `?` where
    /// nothing is known.
    pub async fn answer(&mut self) -> String {
        let mut texts = Vec::new();
        loop {
            match self.fetched().await {
                Fetched::Item(_, FetchItem::Header(_)) => {}
                Fetched::Item(_, FetchItem::Object(object)) => {
                    texts.push(object.location.to_string());
                }
                Fetched::Item(_, FetchItem::RangeEnd { absence, last }) => {
                    let sign = match absence {
                        Absence::NonExistent => '-',
                        _ => '?',
                    };
                    texts.push(format!("{sign}{last}"));
                }
                Fetched::Fin(id) => {
                    if self.machine.finish_fetch(id).is_err() {
                        self.fetch_ok(id).await; // The stream has overtaken it.
                        self.machine.finish_fetch(id).unwrap();
                    }
                    self.flush().await;
                    return texts.join(" ");
                }
                Fetched::Reset(_, code) => {
                    texts.push(format!("reset {code:?}"));
                    return texts.join(" ");
                }
            }
        }
    }

    /// Waits for a FETCH of the relay.
    pub async fn asked_to_fetch(&mut self) -> (RequestId, FetchRange, Parameters) {
        self.event_of(|event| match event {
            Event::Fetch {
                id, range, params, ..
            } => Some((id, range, params)),
            _ => None,
        })
        .await
    }

    /// Accepts it.
    pub async fn accept_fetch(&mut self, id: RequestId, end: Location) {
        let answer = FetchAnswer {
            end,
            ..FetchAnswer::default()
        };
        self.machine.accept_fetch(id, answer).unwrap();
        self.flush().await;
    }

    /// Opens the stream that answers it.
    pub async fn answering(&self, id: RequestId, order: GroupOrder) -> Answer {
        let mut stream = self.session.open_uni().await.unwrap();
        let encoder = FetchEncoder::new(self.machine.draft(), order);
        let mut bytes = BytesMut::new();
        encoder.header(FetchHeader { id }, &mut bytes);
        stream.write_all(&bytes).await.unwrap();
        Answer { stream, encoder }
    }

    pub async fn subscribe(&mut self, track: &FullTrackName, params: Parameters) -> RequestId {
        let id = self
            .machine
            .subscribe(track.clone(), SubscribeOptions { params })
            .unwrap();
        self.flush().await;
        id
    }

    /// Subscribes and waits for the answer.
    pub async fn subscribed(
        &mut self,
        track: &FullTrackName,
        params: Parameters,
    ) -> (RequestId, Parameters, Bytes) {
        let wanted = self.subscribe(track, params).await;
        self.event_of(|event| match event {
            Event::SubscribeOk {
                id,
                params,
                properties,
                ..
            } if id == wanted => Some((id, params, properties)),
            Event::Rejected { error, .. } => panic!("refused: {error:?}"),
            _ => None,
        })
        .await
    }

    /// Waits until a request is refused and returns the code.
    pub async fn rejected(&mut self, wanted: RequestId) -> RequestCode {
        self.event_of(|event| match event {
            Event::Rejected { id, error } if id == wanted => Some(error.code),
            _ => None,
        })
        .await
    }

    /// Waits until a request is accepted.
    pub async fn accepted(&mut self, wanted: RequestId) -> (Parameters, Bytes) {
        self.event_of(|event| match event {
            Event::Accepted {
                id,
                params,
                properties,
            } if id == wanted => Some((params, properties)),
            Event::Rejected { id, error } if id == wanted => panic!("refused: {error:?}"),
            _ => None,
        })
        .await
    }

    /// Publishes a track and waits for the answer.
    pub async fn publish(
        &mut self,
        track: &FullTrackName,
        options: moqt::PublishOptions,
    ) -> (RequestId, TrackAlias) {
        let (id, alias) = self.machine.publish(track.clone(), options).unwrap();
        self.flush().await;
        self.accepted(id).await;
        (id, alias)
    }

    /// Publishes a namespace and waits for the answer.
    pub async fn publish_namespace(&mut self, namespace: &Namespace) -> RequestId {
        let id = self
            .machine
            .publish_namespace(namespace.clone(), Parameters::default())
            .unwrap();
        self.flush().await;
        self.accepted(id).await;
        id
    }

    /// Waits for a SUBSCRIBE and accepts it.
    pub async fn serve(
        &mut self,
        answer: SubscribeAnswer,
    ) -> (RequestId, TrackAlias, FullTrackName) {
        let (id, track) = self
            .event_of(|event| match event {
                Event::Subscribe { id, track, .. } => Some((id, track)),
                _ => None,
            })
            .await;
        let alias = self.machine.accept_subscribe(id, answer).unwrap();
        self.flush().await;
        (id, alias, track)
    }

    pub async fn accept(&mut self, id: RequestId, params: Parameters) {
        let ok = RequestOk {
            params,
            properties: Bytes::new(),
        };
        self.machine.accept(id, ok).unwrap();
        self.flush().await;
    }

    pub async fn update(&mut self, id: RequestId, params: Parameters) -> Parameters {
        self.machine.update(id, params).unwrap();
        self.flush().await;
        self.event_of(|event| match event {
            Event::Updated { id: got, params } if got == id => Some(params),
            Event::UpdateRejected { error, .. } => panic!("refused: {error:?}"),
            _ => None,
        })
        .await
    }

    pub async fn cancel(&mut self, id: RequestId) {
        self.machine.cancel(id, ResetCode::Cancelled).unwrap();
        self.flush().await;
    }

    pub async fn done(&mut self, id: RequestId, streams: u64) {
        self.machine
            .publish_done(id, PublishDoneCode::TrackEnded, Some(streams), "over")
            .unwrap();
        self.flush().await;
    }

    /// Waits for PUBLISH_DONE: status, streams, reason.
    pub async fn publish_done(&mut self) -> (PublishDoneCode, Option<u64>, String) {
        self.event_of(|event| match event {
            Event::PublishDone {
                status,
                streams,
                reason,
                ..
            } => Some((status, streams, reason)),
            _ => None,
        })
        .await
    }

    pub fn datagram(&self, object: &ObjectDatagram) {
        let bytes = object.encode(self.machine.draft()).unwrap();
        self.session.send_datagram(bytes).unwrap();
    }

    pub async fn subgroup(&self, header: SubgroupHeader) -> Subgroup {
        let mut stream = self.session.open_uni().await.unwrap();
        let encoder = SubgroupEncoder::new(self.machine.draft(), header);
        let mut bytes = BytesMut::new();
        encoder.header(&mut bytes);
        stream.write_all(&bytes).await.unwrap();
        Subgroup {
            draft: self.machine.draft(),
            stream,
            encoder,
        }
    }

    async fn hear(&mut self, heard: Heard) {
        let now = self.began.elapsed();
        match heard {
            Heard::Bi(send, recv) => {
                let id = self.machine.accept_bi();
                self.sends.insert(id, send);
                spawn_reader(id, recv, self.heard_tx.clone());
            }
            Heard::Control(first, recv) => {
                let id = self.machine.accept_control();
                self.machine.handle_stream(id, first, false, now);
                spawn_reader(id, recv, self.heard_tx.clone());
            }
            Heard::Bytes(id, bytes) => self.machine.handle_stream(id, bytes, false, now),
            Heard::Fin(id) => self.machine.handle_stream(id, Bytes::new(), true, now),
            Heard::Reset(id, code) => self.machine.handle_reset(id, code, now),
            Heard::Closed(_) => {}
        }
        self.flush().await;
    }

    /// Does what the machine wants done.
    pub async fn flush(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            let closed = self.session.close_reason().is_some();
            match output {
                Output::Open(..) if closed => {}
                Output::Open(id, Direction::Uni) => {
                    let send = self.session.open_uni().await.unwrap();
                    self.sends.insert(id, send);
                }
                Output::Open(id, Direction::Bi) => {
                    let (send, recv) = self.session.open_bi().await.unwrap();
                    self.sends.insert(id, send);
                    spawn_reader(id, recv, self.heard_tx.clone());
                }
                Output::Write(id, bytes) => {
                    if let Some(send) = self.sends.get_mut(&id) {
                        // The relay may have stopped the stream or ended the session.
                        drop(send.write_all(&bytes).await);
                    }
                }
                Output::Finish(id) => {
                    if let Some(mut send) = self.sends.remove(&id) {
                        drop(send.finish());
                    }
                }
                Output::Reset(id, code) => {
                    if let Some(mut send) = self.sends.remove(&id) {
                        drop(
                            send.reset(u32::try_from(code.to_code(self.machine.draft())).unwrap()),
                        );
                    }
                }
                Output::Stop(..) => {} // The reset says the same.
                Output::Close(code, reason) => {
                    let code = u32::try_from(code.to_code(self.machine.draft())).unwrap();
                    self.session.close(code, reason.as_bytes());
                    self.closed = Some((code.into(), reason));
                }
                Output::Event(event) => self.events.push_back(event),
            }
        }
    }
}

/// The answer to a FETCH, while it is sent.
pub struct Answer {
    stream: wt::SendStream,
    encoder: FetchEncoder,
}

impl Answer {
    pub async fn object(&mut self, group: u64, object: u64, payload: &'static str) {
        let object = FetchObject {
            location: Location::new(group, object),
            subgroup: Some(0),
            priority: 7,
            properties: Bytes::new(),
            payload: Bytes::from_static(payload.as_bytes()),
        };
        let mut bytes = BytesMut::new();
        self.encoder.object(&object, &mut bytes).unwrap();
        bytes.extend_from_slice(&object.payload);
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub async fn described(&mut self, group: u64, object: u64, properties: Bytes) {
        let object = FetchObject {
            location: Location::new(group, object),
            subgroup: Some(3),
            priority: 7,
            properties,
            payload: Bytes::new(),
        };
        let mut bytes = BytesMut::new();
        self.encoder.object(&object, &mut bytes).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub async fn absent(&mut self, absence: Absence, group: u64, object: u64) {
        let mut bytes = BytesMut::new();
        self.encoder
            .range_end(absence, Location::new(group, object), &mut bytes)
            .unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub fn finish(mut self) {
        self.stream.finish().unwrap();
    }

    pub fn reset(mut self, code: ResetCode) {
        let code = u32::try_from(code.to_code(D18)).unwrap();
        self.stream.reset(code).unwrap();
    }

    /// Waits until the relay wants no more of it.
    pub async fn stopped(self) {
        drop(soon(self.stream.stopped()).await);
    }
}

/// Where what is read goes.
#[derive(Clone)]
struct Sinks {
    heard: mpsc::UnboundedSender<Heard>,
    arrived: mpsc::UnboundedSender<Arrived>,
    fetched: mpsc::UnboundedSender<Fetched>,
    orders: Orders,
}

impl Subgroup {
    pub async fn object(&mut self, object: Object) {
        let mut bytes = BytesMut::new();
        self.encoder.object(&object, &mut bytes).unwrap();
        bytes.extend_from_slice(&object.payload);
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub async fn payload(&mut self, id: u64, payload: impl Into<Bytes>) {
        self.object(Object {
            id,
            payload: payload.into(),
            ..Object::default()
        })
        .await;
    }

    pub fn finish(mut self) {
        self.stream.finish().unwrap();
    }

    pub fn reset(mut self, code: ResetCode) {
        let code = u32::try_from(code.to_code(self.draft)).unwrap();
        self.stream.reset(code).unwrap();
    }
}

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
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(std::sync::Arc::new(Believer(provider)))
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    tls.enable_early_data = true;
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut config = quinn::ClientConfig::new(std::sync::Arc::new(tls));
    config.transport_config(std::sync::Arc::new(transport));
    config
}

/// Believes every certificate.
#[derive(Debug)]
struct Believer(std::sync::Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _end_entity: &rustls::pki_types::CertificateDer<'_>,
        _intermediates: &[rustls::pki_types::CertificateDer<'_>],
        _server_name: &rustls::pki_types::ServerName<'_>,
        _ocsp: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &rustls::pki_types::CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not QUIC".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn spawn_receivers(
    session: &wt::Session,
    draft: Draft,
    sinks: &Sinks,
    listens: &tokio::sync::watch::Sender<bool>,
) {
    let (heard, arrived) = (&sinks.heard, &sinks.arrived);
    let listens = listens.subscribe();
    let (streams, tx) = (session.clone(), heard.clone());
    tokio::spawn(async move {
        while let Ok((send, recv)) = streams.accept_bi().await {
            drop(tx.send(Heard::Bi(send, recv)));
        }
    });
    let (streams, sinks) = (session.clone(), sinks.clone());
    tokio::spawn(async move {
        while let Ok(recv) = streams.accept_uni().await {
            tokio::spawn(read_uni(draft, recv, sinks.clone(), listens.clone()));
        }
    });
    let (datagrams, objects) = (session.clone(), arrived.clone());
    tokio::spawn(async move {
        while let Ok(bytes) = datagrams.read_datagram().await {
            if let Datagram::Object(object) = Datagram::decode(draft, bytes).unwrap() {
                drop(objects.send(Arrived::Datagram(object)));
            }
        }
    });
    let (closed, tx) = (session.clone(), heard.clone());
    tokio::spawn(async move {
        drop(tx.send(Heard::Closed(closed.closed().await)));
    });
}

async fn read_uni(
    draft: Draft,
    mut recv: wt::RecvStream,
    sinks: Sinks,
    mut listens: tokio::sync::watch::Receiver<bool>,
) {
    let mut start = BytesMut::new();
    let kind = loop {
        match recv.read_chunk(4096, true).await {
            Ok(Some(chunk)) => start.extend_from_slice(&chunk.bytes),
            Ok(None) | Err(_) => return,
        }
        if let Some(kind) = data::classify(draft, &start).unwrap() {
            break kind;
        }
    };
    match kind {
        StreamKind::Control => drop(sinks.heard.send(Heard::Control(start.freeze(), recv))),
        StreamKind::Subgroup => {
            drop(listens.wait_for(|listens| *listens).await);
            read_subgroup(draft, start.freeze(), recv, sinks.arrived).await;
        }
        StreamKind::Fetch => {
            drop(listens.wait_for(|listens| *listens).await);
            read_answer(draft, start, recv, sinks).await;
        }
        StreamKind::Padding => {}
    }
}

async fn read_answer(draft: Draft, mut start: BytesMut, mut recv: wt::RecvStream, sinks: Sinks) {
    let header = loop {
        if let Some((header, _)) = FetchHeader::peek(draft, &start).unwrap() {
            break header;
        }
        match recv.read_chunk(4096, true).await {
            Ok(Some(chunk)) => start.extend_from_slice(&chunk.bytes),
            Ok(None) | Err(_) => return,
        }
    };
    let id = header.id;
    let order = sinks.orders.lock().unwrap()[&id];
    let mut decoder = FetchDecoder::new(draft, order, LIMITS);
    decoder.push(start.freeze());
    loop {
        while let Some(item) = decoder.poll().unwrap() {
            drop(sinks.fetched.send(Fetched::Item(id, item)));
        }
        match recv.read_chunk(1 << 16, true).await {
            Ok(Some(chunk)) => decoder.push(chunk.bytes),
            Ok(None) => {
                decoder.finish().unwrap();
                return drop(sinks.fetched.send(Fetched::Fin(id)));
            }
            Err(wt::ReadError::Reset(code)) => {
                let code = ResetCode::from_code(D18, code.into());
                return drop(sinks.fetched.send(Fetched::Reset(id, code)));
            }
            Err(_) => return,
        }
    }
}

const LIMITS: data::Limits = data::Limits {
    payload_bytes_max: 64 << 20,
    properties_bytes_max: 1 << 20,
};

async fn read_subgroup(
    draft: Draft,
    start: Bytes,
    mut recv: wt::RecvStream,
    arrived: mpsc::UnboundedSender<Arrived>,
) {
    let mut decoder = SubgroupDecoder::new(draft, LIMITS);
    decoder.push(start);
    loop {
        while let Some(item) = decoder.poll().unwrap() {
            let header = *decoder.header().unwrap();
            drop(arrived.send(match item {
                SubgroupItem::Header(header) => Arrived::Header(header),
                SubgroupItem::Object(object) => Arrived::Object(header, object),
            }));
        }
        match recv.read_chunk(1 << 20, true).await {
            Ok(Some(chunk)) => decoder.push(chunk.bytes),
            Ok(None) => {
                decoder.finish().unwrap();
                let header = *decoder.header().unwrap();
                return drop(arrived.send(Arrived::Fin(header)));
            }
            Err(wt::ReadError::Reset(code)) => {
                if let Some(header) = decoder.header() {
                    let code = ResetCode::from_code(draft, code.into());
                    drop(arrived.send(Arrived::Reset(*header, code)));
                }
                return;
            }
            Err(_) => return,
        }
    }
}

fn spawn_reader(id: StreamId, mut recv: wt::RecvStream, heard: mpsc::UnboundedSender<Heard>) {
    tokio::spawn(async move {
        loop {
            let next = match recv.read_chunk(1 << 16, true).await {
                Ok(Some(chunk)) => Heard::Bytes(id, chunk.bytes),
                Ok(None) => Heard::Fin(id),
                Err(wt::ReadError::Reset(code)) => Heard::Reset(id, code.into()),
                Err(_) => return,
            };
            let over = !matches!(next, Heard::Bytes(..));
            if heard.send(next).is_err() || over {
                return;
            }
        }
    });
}
