//! A light MoQ session: our own session machine on quinn, and no more around it than a load generator needs.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    Config, Direction, Draft, Event, FullTrackName, Output, Parameters, PublishOptions, RequestId,
    Role, Session, StreamId, SubscribeOptions, TrackAlias, Transport,
    data::{self, Datagram, StreamKind, SubgroupDecoder, SubgroupItem},
};
use tokio::{sync::mpsc, time::timeout};
use web_transport_quinn as wt;

/// The draft that is spoken.
pub(crate) const DRAFT: Draft = Draft::D18;

/// What a session is carried by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Via {
    /// WebTransport over HTTP/3, as browsers do.
    Webtransport,
    /// QUIC without HTTP.
    Quic,
}

/// Is told of every object's payload, in the session's own tasks.
pub(crate) type Ear = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// How long a relay may take for an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Things heard on control streams that may wait: far more than one publisher or subscriber ever has.
const HEARD_WAITING_MAX: usize = 256;

/// The most read from a stream at once, in bytes.
const CHUNK: usize = 16 << 10;

/// A session with a relay. Objects go past it: what arrives to the [`Ear`], what is sent to [`transport`](Self::transport).
pub(crate) struct Client {
    transport: wt::Session,
    machine: Session,
    began: Instant,
    heard: mpsc::Receiver<Heard>,
    heard_tx: mpsc::Sender<Heard>,
    sends: BTreeMap<StreamId, wt::SendStream>,
    events: VecDeque<Event>,
}

/// What the peer's streams brought.
enum Heard {
    Bi(wt::SendStream, wt::RecvStream),
    Control(Bytes, wt::RecvStream),
    Bytes(StreamId, Bytes, bool),
    Reset(StreamId, u64),
}

/// Opens a UDP socket for some sessions. The relay's certificate is believed, whatever it is.
pub(crate) fn endpoint(via: Via) -> Result<quinn::Endpoint> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believer(provider)))
        .with_no_client_auth();
    let alpn = match via {
        Via::Webtransport => wt::ALPN,
        Via::Quic => DRAFT.alpn(),
    };
    tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls)?;
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    Ok(endpoint)
}

impl Client {
    /// Opens a session and waits for the relay's SETUP.
    pub(crate) async fn connect(
        endpoint: &quinn::Endpoint,
        relay: SocketAddr,
        via: Via,
        ear: Ear,
    ) -> Result<Self> {
        let opened = timeout(ANSWER, open(endpoint, relay, via)).await;
        let (transport, carrier) = opened.context("the relay does not answer")??;
        let (heard_tx, heard) = mpsc::channel(HEARD_WAITING_MAX);
        listen(&transport, &heard_tx, &ear);
        let mut client = Self {
            transport,
            machine: Session::new(Config::new(DRAFT, Role::Client, carrier), Duration::ZERO),
            began: Instant::now(),
            heard,
            heard_tx,
            sends: BTreeMap::new(),
            events: VecDeque::new(),
        };
        client.flush().await?;
        match client.event().await? {
            Event::Setup(_) => Ok(client),
            other => bail!("{other:?} before SETUP"),
        }
    }

    /// Publishes a track and waits for the answer.
    pub(crate) async fn publish(&mut self, track: &FullTrackName) -> Result<TrackAlias> {
        let options = PublishOptions::default();
        let (wanted, alias) = self.machine.publish(track.clone(), options)?;
        self.answer(wanted).await?;
        Ok(alias)
    }

    /// Subscribes to a track and waits for the answer.
    pub(crate) async fn subscribe(&mut self, track: &FullTrackName) -> Result<()> {
        let params = Parameters::default();
        let wanted = self
            .machine
            .subscribe(track.clone(), SubscribeOptions { params })?;
        self.answer(wanted).await
    }

    /// What carries the session; for objects.
    pub(crate) fn transport(&self) -> &wt::Session {
        &self.transport
    }

    /// Ends the session.
    pub(crate) fn close(self) {
        self.transport.close(0, b"measured");
    }

    async fn answer(&mut self, wanted: RequestId) -> Result<()> {
        self.flush().await?;
        loop {
            match self.event().await? {
                Event::Accepted { id, .. } | Event::SubscribeOk { id, .. } if id == wanted => {
                    return Ok(());
                }
                Event::Rejected { id, error } if id == wanted => bail!("refused: {error:?}"),
                Event::GoAway { .. } => bail!("the relay is going away"),
                _ => {}
            }
        }
    }

    async fn event(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let heard = timeout(ANSWER, self.heard.recv()).await;
            let heard = heard.context("the relay does not answer")?;
            self.hear(heard.context("the session has ended")?).await?;
        }
    }

    async fn hear(&mut self, heard: Heard) -> Result<()> {
        let now = self.began.elapsed();
        match heard {
            Heard::Bi(send, recv) => {
                let id = self.machine.accept_bi();
                self.sends.insert(id, send);
                tokio::spawn(read(id, recv, self.heard_tx.clone()));
            }
            Heard::Control(first, recv) => {
                let id = self.machine.accept_control();
                self.machine.handle_stream(id, first, false, now);
                tokio::spawn(read(id, recv, self.heard_tx.clone()));
            }
            Heard::Bytes(id, bytes, fin) => self.machine.handle_stream(id, bytes, fin, now),
            Heard::Reset(id, code) => self.machine.handle_reset(id, code, now),
        }
        self.flush().await
    }

    /// Does what the machine wants done.
    async fn flush(&mut self) -> Result<()> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Open(id, Direction::Uni) => {
                    let send = self.transport.open_uni().await?;
                    self.sends.insert(id, send);
                }
                Output::Open(id, Direction::Bi) => {
                    let (send, recv) = self.transport.open_bi().await?;
                    self.sends.insert(id, send);
                    tokio::spawn(read(id, recv, self.heard_tx.clone()));
                }
                Output::Write(id, bytes) => {
                    let send = self
                        .sends
                        .get_mut(&id)
                        .context("a stream that is not open")?;
                    send.write_all(&bytes).await?;
                }
                Output::Finish(id) => {
                    if let Some(mut send) = self.sends.remove(&id) {
                        send.finish()?;
                    }
                }
                // Dropping a stream resets it; this program ends no request before its session.
                Output::Reset(id, _) => drop(self.sends.remove(&id)),
                Output::Stop(..) => {}
                Output::Close(code, reason) => {
                    bail!("the relay broke the protocol: {code:?} {reason}")
                }
                Output::Event(event) => self.events.push_back(event),
            }
        }
        Ok(())
    }
}

async fn open(
    endpoint: &quinn::Endpoint,
    relay: SocketAddr,
    via: Via,
) -> Result<(wt::Session, Transport)> {
    let connection = endpoint.connect(relay, "localhost")?.await?;
    match via {
        Via::Webtransport => {
            let url = format!("https://{relay}/moq").parse::<url::Url>()?;
            let request = wt::proto::ConnectRequest::new(url).with_protocol(DRAFT.alpn());
            let session = wt::Session::connect(connection, request).await?;
            Ok((session, Transport::WebTransport))
        }
        Via::Quic => Ok((wt::Session::raw(connection), Transport::Quic)),
    }
}

/// Reads all that the relay sends, until the session ends.
fn listen(transport: &wt::Session, heard: &mpsc::Sender<Heard>, ear: &Ear) {
    let (session, tx) = (transport.clone(), heard.clone());
    tokio::spawn(async move {
        while let Ok((send, recv)) = session.accept_bi().await {
            if tx.send(Heard::Bi(send, recv)).await.is_err() {
                return;
            }
        }
    });
    let (session, tx, own) = (transport.clone(), heard.clone(), ear.clone());
    tokio::spawn(async move {
        while let Ok(recv) = session.accept_uni().await {
            let (tx, own) = (tx.clone(), own.clone());
            tokio::spawn(async move {
                if let Err(error) = read_uni(recv, tx, own).await {
                    eprintln!("moqrelay-load: a stream of the relay: {error:#}");
                }
            });
        }
    });
    let (session, own) = (transport.clone(), ear.clone());
    tokio::spawn(async move {
        while let Ok(bytes) = session.read_datagram().await {
            match Datagram::decode(DRAFT, bytes) {
                Ok(Datagram::Object(object)) => own(&object.payload),
                Ok(Datagram::Padding) => {}
                Err(error) => eprintln!("moqrelay-load: a datagram of the relay: {error}"),
            }
        }
    });
}

async fn read_uni(mut recv: wt::RecvStream, heard: mpsc::Sender<Heard>, ear: Ear) -> Result<()> {
    let mut start = BytesMut::new();
    let kind = loop {
        let Ok(Some(chunk)) = recv.read_chunk(CHUNK, true).await else {
            return Ok(()); // The session has ended.
        };
        start.extend_from_slice(&chunk.bytes);
        if let Some(kind) = data::classify(DRAFT, &start)? {
            break kind;
        }
    };
    match kind {
        // A closed queue: the session is not needed any more.
        StreamKind::Control => drop(heard.send(Heard::Control(start.freeze(), recv)).await),
        StreamKind::Subgroup => read_subgroup(start.freeze(), recv, ear).await?,
        StreamKind::Fetch | StreamKind::Padding => {}
    }
    Ok(())
}

async fn read_subgroup(start: Bytes, mut recv: wt::RecvStream, ear: Ear) -> Result<()> {
    let mut decoder = SubgroupDecoder::new(DRAFT, data::Limits::default());
    decoder.push(start);
    loop {
        while let Some(item) = decoder.poll()? {
            if let SubgroupItem::Object(object) = item {
                ear(&object.payload);
            }
        }
        match recv.read_chunk(CHUNK, true).await {
            Ok(Some(chunk)) => decoder.push(chunk.bytes),
            Ok(None) => return Ok(decoder.finish()?),
            // What a reset takes away is counted as lost.
            Err(_) => return Ok(()),
        }
    }
}

async fn read(id: StreamId, mut recv: wt::RecvStream, heard: mpsc::Sender<Heard>) {
    loop {
        let next = match recv.read_chunk(CHUNK, true).await {
            Ok(Some(chunk)) => Heard::Bytes(id, chunk.bytes, false),
            Ok(None) => Heard::Bytes(id, Bytes::new(), true),
            Err(wt::ReadError::Reset(code)) => Heard::Reset(id, code.into()),
            Err(_) => return,
        };
        let over = matches!(next, Heard::Reset(..) | Heard::Bytes(_, _, true));
        if heard.send(next).await.is_err() || over {
            return;
        }
    }
}

/// Believes every certificate.
#[derive(Debug)]
struct Believer(Arc<rustls::crypto::CryptoProvider>);

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
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
