//! The bridge's doors: who comes in by AudioSocket or WebSocket, whose call it is, and who is turned away.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use bytes::BytesMut;
use moqrelay_wire::audiosocket::HANGUP;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tokio_tungstenite::tungstenite::http::StatusCode;
use uuid::Uuid;

use super::{Knocking, Outcome, Server};
use crate::{
    Event, Stray,
    expectation::{Claim, Turned},
    identify::{self, identify},
    leg::{self, Reason, Road, Socket},
    media,
    meters::Meters,
};

/// How long a call that has knocked waits for a word: the daemon decides in one turn of its loop.
const KNOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// After a failed accept (no file descriptor left) the next one would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    pub(super) fn accepted(&mut self, accepted: io::Result<TcpStream>, door: Door) {
        let mut stream = match accepted {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                self.accepting = false;
                self.tasks.spawn(async {
                    sleep(ACCEPT_PAUSE).await;
                    Outcome::Rested
                });
                return;
            }
        };
        if self.unidentified >= self.config.unidentified_max {
            self.around.meters.refused("too_many");
            tracing::debug!("refused: too many connections that do not say which call they are");
            return match door {
                Door::AudioSocket => turn_away_at_once(stream),
                Door::WebSocket => drop(stream),
            };
        }
        self.unidentified += 1;
        self.around.meters.unidentified(self.unidentified);
        let within = self.config.identify_timeout;
        let meters = self.around.meters.clone();
        let open = self.open.as_ref().map(watch::Sender::subscribe);
        if door == Door::WebSocket {
            let tls = self.config.media_tls.clone();
            self.tasks.spawn(async move {
                let asked = tokio::select! {
                    asked = media::read_request(stream, tls, within) => asked,
                    () = closed(open) => Err(media::Error::Ending),
                };
                match asked {
                    Ok(request) => Outcome::Asked(request),
                    Err(error) => {
                        meters.refused(error.as_str());
                        tracing::debug!(%error, "request refused");
                        Outcome::Refused
                    }
                }
            });
            return;
        }
        self.tasks.spawn(async move {
            let mut inbox = BytesMut::new();
            let identified = tokio::select! {
                identified = identify(&mut stream, &mut inbox, within) => identified,
                () = closed(open) => Err(identify::Error::Ending),
            };
            match identified {
                Ok(id) => Outcome::Identified { stream, inbox, id },
                Err(error) => {
                    refused(&meters, &error);
                    leg::refuse(stream).await;
                    Outcome::Refused
                }
            }
        });
    }

    pub(super) fn identified(&mut self, stream: TcpStream, inbox: BytesMut, id: Uuid) {
        let claim = match self.claim(id) {
            Ok(claim) => claim,
            Err(Refusal::Turned(Turned::Unknown)) if self.strays.is_some() => {
                return self.leave(stream, inbox, id);
            }
            Err(refusal) => {
                let peer = stream.peer_addr().ok();
                tracing::warn!(%id, ?peer, %refusal, "connection refused");
                return self.turn_away(stream, refusal.as_str());
            }
        };
        self.left_the_door();
        let road = Road::AudioSocket(Socket::new(stream, inbox));
        let seat = self.coder_begins();
        self.attach(claim, Box::pin(async { Ok(road) }), Some(seat), id);
    }

    /// A request for a media WebSocket.
    pub(super) fn asked(&mut self, request: media::Request) {
        let peer = request.peer();
        if !request.is_authorized(self.config.media_credentials.as_ref()) {
            tracing::warn!(?peer, "WebSocket refused: wrong user or password");
            return self.decline(request, StatusCode::UNAUTHORIZED, "unauthorized");
        }
        let query = request.query();
        match (query.id, query.call) {
            (Some(id), _) => self.let_in(request, id),
            (None, Some(_)) if self.listener.is_none() => {
                self.decline(request, StatusCode::SERVICE_UNAVAILABLE, "ending");
            }
            (None, Some(call)) => {
                let id = Uuid::new_v4();
                let until = Instant::now() + KNOCK_TIMEOUT;
                self.knocking.insert(id, Knocking { request, until });
                self.outgoing.push_back(Event::Knocked { id, call });
            }
            (None, None) => {
                tracing::warn!(
                    ?peer,
                    "WebSocket refused: its address has neither id=UUID nor to=NUMBER"
                );
                self.decline(request, StatusCode::BAD_REQUEST, "malformed");
            }
        }
    }

    /// Gives a request its leg.
    pub(super) fn let_in(&mut self, request: media::Request, id: Uuid) {
        let peer = request.peer();
        match self.claim(id) {
            Ok(claim) => {
                self.left_the_door();
                let opening = async {
                    let socket = request.accept().await?;
                    Ok(Road::WebSocket(Box::new(socket)))
                };
                self.attach(claim, Box::pin(opening), None, id);
            }
            Err(refusal) => {
                tracing::warn!(%id, ?peer, %refusal, "WebSocket refused");
                self.decline(request, StatusCode::NOT_FOUND, refusal.as_str());
            }
        }
    }

    /// Turns a call away that has knocked, if it is there still.
    pub(super) fn turn_knock_away(&mut self, id: Uuid, reason: &'static str) {
        if let Some(knocking) = self.knocking.remove(&id) {
            self.decline(knocking.request, StatusCode::NOT_FOUND, reason);
        }
    }

    pub(super) fn decline(
        &mut self,
        request: media::Request,
        status: StatusCode,
        reason: &'static str,
    ) {
        self.around.meters.refused(reason);
        self.tasks.spawn(async move {
            request.refuse(status).await;
            Outcome::Refused
        });
    }

    /// Takes the expectation of whoever says `id`.
    pub(super) fn claim(&mut self, id: Uuid) -> Result<Claim, Refusal> {
        let claim = self.expectations.claim(id, Instant::now())?;
        let leg = claim.spec.leg;
        if self.listener.is_none() {
            self.expectations.release(leg);
            return Err(Refusal::Ending);
        }
        if self.legs.len() >= self.config.legs_max {
            self.expectations.release(leg);
            if !claim.standing {
                self.detached(leg, Reason::Refused);
            }
            return Err(Refusal::TooManyLegs);
        }
        Ok(claim)
    }

    /// Leaves a connection to whoever may expect it.
    fn leave(&mut self, stream: TcpStream, inbox: BytesMut, id: Uuid) {
        self.left_the_door();
        let refuse = |error: &dyn std::fmt::Display| {
            tracing::warn!(%id, %error, "connection refused: nobody expects this call id");
            self.around.meters.refused("unknown");
        };
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return refuse(&error),
        };
        let inbox = inbox.to_vec();
        let stray = Stray { id, inbox, stream };
        let sent = match &self.strays {
            Some(strays) => strays.try_send(stray),
            None => Err(mpsc::error::TrySendError::Closed(stray)),
        };
        if let Err(error) = sent {
            refuse(&error);
            farewell(&mut error.into_inner().stream);
        }
    }

    pub(super) fn take_in(&mut self, stray: Stray) {
        let Stray { id, inbox, stream } = stray;
        self.unidentified += 1;
        match TcpStream::from_std(stream) {
            Ok(stream) => self.identified(stream, BytesMut::from(&inbox[..]), id),
            Err(error) => {
                tracing::warn!(%id, %error, "a connection cannot be taken in");
                self.left_the_door();
            }
        }
    }

    fn turn_away(&mut self, stream: TcpStream, reason: &'static str) {
        self.around.meters.refused(reason);
        self.tasks.spawn(async move {
            leg::refuse(stream).await;
            Outcome::Refused
        });
    }

    pub(super) fn left_the_door(&mut self) {
        self.unidentified = self.unidentified.saturating_sub(1);
        self.around.meters.unidentified(self.unidentified);
    }
}

/// By which listener a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    AudioSocket,
    WebSocket,
}

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Turned(#[from] Turned),
    #[error("the bridge ends")]
    Ending,
    #[error("too many legs")]
    TooManyLegs,
}

impl Refusal {
    /// Returns the name that metrics have for it.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Turned(Turned::Unknown) => "unknown",
            Self::Turned(Turned::Busy) => "busy",
            Self::Ending => "ending",
            Self::TooManyLegs => "too_many_legs",
        }
    }
}

fn refused(meters: &Meters, error: &identify::Error) {
    meters.refused(error.as_str());
    tracing::debug!(%error, "connection refused");
}

/// Refuses without a task: those are for connections that are let in.
fn turn_away_at_once(stream: TcpStream) {
    match stream.into_std() {
        Ok(mut stream) => farewell(&mut stream),
        Err(error) => tracing::trace!(%error, "the connection was gone before our hang-up"),
    }
}

fn farewell(stream: &mut std::net::TcpStream) {
    if let Err(error) = stream.write_all(&HANGUP) {
        tracing::trace!(%error, "the connection was gone before our hang-up");
    }
}

pub(super) async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let (stream, peer) = listener.accept().await?;
    tracing::debug!(%peer, "connection");
    // A message that waits for an acknowledgement is a frame too late. On a connection that is gone already it fails.
    stream
        .set_nodelay(true)
        .map_err(|_| io::ErrorKind::ConnectionAborted)?;
    Ok(stream)
}

/// Waits until the bridge shuts down.
async fn closed(open: Option<watch::Receiver<()>>) {
    if let Some(mut open) = open {
        while open.changed().await.is_ok() {}
    }
}
