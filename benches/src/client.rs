//! A light MoQ session: our own session machine on quinn, and no more around it than a load generator needs.

mod driver;
mod ear;
mod target;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use moqrelay_moqt::{Draft, FullTrackName, Namespace, TrackAlias};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use web_transport_quinn as wt;

use self::driver::{Heard, Order};
pub(crate) use self::{
    ear::{Ear, listen_bare},
    target::{BARE_ALPN, Carrier, Target},
};

/// The draft that is spoken.
pub(crate) const DRAFT: Draft = Draft::D18;

/// How long a relay may take for an answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// Things heard on control streams, and orders, that may wait: far more than one session ever has.
const HEARD_WAITING_MAX: usize = 256;

/// A session with a relay, carried on by a task of its own.
///
/// Objects go past it: what arrives to the [`Ear`], what is sent to [`transport`](Self::transport).
pub(crate) struct Client {
    transport: wt::Session,
    orders: mpsc::Sender<Heard>,
    wanted: mpsc::Receiver<(FullTrackName, TrackAlias)>,
}

/// How a session reads the objects that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// At once.
    Eager,
    /// Not at all: streams are accepted and left alone, so that their flow control stops the relay.
    Never,
}

/// Opens a UDP socket for some sessions. The relay's certificate is believed, whatever it is, and never remembered: each
/// session costs a whole handshake.
pub(crate) fn endpoint(carrier: Carrier, reading: Reading) -> Result<quinn::Endpoint> {
    let mut tls = moqrelay_testkit::believing(carrier.alpn());
    tls.resumption = rustls::client::Resumption::disabled();
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    let mut transport = quinn::TransportConfig::default();
    // Relays differ in what they allow to be silent; a session that only waits must stay.
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    if reading == Reading::Never {
        transport
            .stream_receive_window(WINDOW_OF_THE_DEAF.into())
            .receive_window(WINDOW_OF_THE_DEAF.into());
    }
    config.transport_config(Arc::new(transport));
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

/// Below the idle timeout of every relay known.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// Bytes that a session which does not read takes: some seconds of voice.
const WINDOW_OF_THE_DEAF: u32 = 16 << 10;

impl Client {
    /// Opens a session and waits for the relay's SETUP.
    pub(crate) async fn connect(
        endpoint: &quinn::Endpoint,
        target: &Target,
        ear: Arc<Ear>,
        reading: Reading,
    ) -> Result<Self> {
        let opened = timeout(ANSWER, open(endpoint, target)).await;
        let transport = opened.context("the relay does not answer")??;
        let (heard_tx, heard) = mpsc::channel(HEARD_WAITING_MAX);
        let (wanted_tx, wanted) = mpsc::channel(HEARD_WAITING_MAX);
        ear::listen(&transport, &heard_tx, &ear, reading);
        driver::start(
            target,
            transport.clone(),
            heard,
            heard_tx.clone(),
            wanted_tx,
        )
        .await?;
        Ok(Self {
            transport,
            orders: heard_tx,
            wanted,
        })
    }

    /// Offers every track below a namespace, and waits until the relay has agreed.
    pub(crate) async fn announce(&self, namespace: Namespace) -> Result<()> {
        let (tx, rx) = oneshot::channel();
        self.order(Order::Announce(namespace, tx), rx).await
    }

    /// Waits until the relay asks for a track of an announced namespace; returns which one, and under which alias to send
    /// it.
    pub(crate) async fn wanted(&mut self) -> Result<(FullTrackName, TrackAlias)> {
        let wanted = timeout(ANSWER, self.wanted.recv()).await;
        wanted
            .context("the relay does not ask for the track")?
            .context("the session has ended")
    }

    /// Subscribes to a track and waits for the answer.
    pub(crate) async fn subscribe(&self, track: FullTrackName) -> Result<()> {
        let (tx, rx) = oneshot::channel();
        self.order(Order::Subscribe(track, tx), rx).await
    }

    /// Fetches groups of a track, from the first to the last, both included; returns how many objects came.
    pub(crate) async fn fetch(&self, track: FullTrackName, groups: [u64; 2]) -> Result<u64> {
        let (tx, rx) = oneshot::channel();
        self.order(Order::Fetch(track, groups, tx), rx).await
    }

    /// What carries the session; for objects.
    pub(crate) fn transport(&self) -> &wt::Session {
        &self.transport
    }

    /// Ends the session.
    pub(crate) fn close(&self) {
        self.transport.close(0, b"measured");
    }

    async fn order<T>(&self, order: Order, answer: oneshot::Receiver<Result<T>>) -> Result<T> {
        if self.orders.send(Heard::Order(order)).await.is_err() {
            bail!("the session has ended");
        }
        timeout(ANSWER, answer)
            .await
            .context("the relay does not answer")?
            .context("the session has ended")?
    }
}

/// Opens what carries a session.
async fn open(endpoint: &quinn::Endpoint, target: &Target) -> Result<wt::Session> {
    let connection = endpoint.connect(target.addr, "localhost")?.await?;
    match target.carrier {
        Carrier::WebTransport => {
            let request = wt::proto::ConnectRequest::new(target.url.clone());
            let request = request.with_protocol(DRAFT.alpn());
            Ok(wt::Session::connect(connection, request).await?)
        }
        Carrier::Quic | Carrier::Bare => Ok(wt::Session::raw(connection)),
    }
}

/// Opens a connection to the bare sender and enters a room, whose members get what each of them sends.
pub(crate) async fn open_bare(
    endpoint: &quinn::Endpoint,
    target: &Target,
    room: u32,
) -> Result<wt::Session> {
    let enter = async {
        let session = open(endpoint, target).await?;
        let (mut send, mut recv) = session.open_bi().await?;
        send.write_all(&room.to_be_bytes()).await?;
        send.finish()?;
        let mut entered = [0];
        recv.read_exact(&mut entered).await?;
        anyhow::Ok(session)
    };
    let entered = timeout(ANSWER, enter).await;
    entered.context("the bare sender does not answer")?
}
