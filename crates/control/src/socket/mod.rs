//! One signaling socket: a task from the upgrade to the close. How it registers: `join`.

mod join;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use moqrelay_room::Attachment;
use moqrelay_wire::signal::{
    self, ClientMessage, Code, DecodeError, Done, MESSAGE_LEN_MAX, Notice,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{self, timeout};

use crate::control::Shared;
use crate::rate::{Bucket, Rate, Verdict};
use crate::request::{Failure, Reply, Request, RoomRequest, Visitor};
use crate::session::{Begun, Cut, Session, encode, refused};
use crate::translate;

/// A socket that takes no byte for so long is dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a peer may take to answer our close, so that it reads the reason before the reset.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Close codes (docs/protocol.md, section 4).
mod close {
    pub(super) const NORMAL: u16 = 1000;
    pub(super) const AWAY: u16 = 1001;
    pub(super) const TOO_LARGE: u16 = 1009;
    pub(super) const NOT_REGISTERED: u16 = 4001;
    pub(super) const UNAUTHORIZED: u16 = 4003;
    pub(super) const TOO_MANY: u16 = 4008;
    pub(super) const REPLACED: u16 = 4009;
}

/// Why a socket ends.
#[derive(Debug)]
enum End {
    /// The peer is gone; nothing can be said.
    Gone,
    /// We close.
    Close { code: u16, reason: &'static str },
}

fn end(code: u16, reason: &'static str) -> End {
    End::Close { code, reason }
}

/// Speaks with a client until one of the two closes.
pub(crate) async fn run(shared: Arc<Shared>, stream: WebSocket, address: SocketAddr) {
    let _counted = shared.count_socket();
    let limits = shared.config.limits;
    let rate = Rate::per_second(limits.messages_per_second, limits.messages_burst);
    let bucket = Bucket::full(rate, Instant::now());
    let closing = shared.closing();
    let mut socket = Socket {
        shared,
        stream,
        address,
        closing,
        rate,
        bucket,
    };
    let End::Close { code, reason } = socket.converse().await else {
        metrics::counter!("moqrelay_control_sockets_closed_total", "code" => "gone").increment(1);
        return;
    };
    tracing::debug!(%address, code, reason, "closing a signaling socket");
    metrics::counter!("moqrelay_control_sockets_closed_total", "code" => code.to_string())
        .increment(1);
    let frame = CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    };
    let farewell = async {
        socket.stream.send(Message::Close(Some(frame))).await?;
        while let Some(Ok(_)) = socket.stream.recv().await {}
        Ok::<(), axum::Error>(())
    };
    if !matches!(timeout(CLOSE_TIMEOUT, farewell).await, Ok(Ok(()))) {
        tracing::trace!(%address, "the close was not answered");
    }
}

struct Socket {
    shared: Arc<Shared>,
    stream: WebSocket,
    address: SocketAddr,
    closing: watch::Receiver<bool>,
    rate: Rate,
    bucket: Bucket,
}

/// A socket that has registered.
struct Live {
    session: Arc<Session>,
    attachment: Attachment,
    visitor: Visitor,
    messages: mpsc::Receiver<Utf8Bytes>,
    cut: oneshot::Receiver<Cut>,
    /// When the token ends.
    until: SystemTime,
    /// Requests with lower ids may be repeats.
    registered_id: u64,
}

impl Socket {
    async fn converse(&mut self) -> End {
        let wait = self.shared.config.limits.register_timeout;
        let mut live = match timeout(wait, self.register()).await {
            Ok(Ok(live)) => live,
            Ok(Err(end)) => return end,
            Err(_) => return end(close::NOT_REGISTERED, "not registered in time"),
        };
        let (device, attachment) = (live.session.device, live.attachment);
        let user = &live.session.user;
        tracing::info!(%device, %user, address = %self.address, "device attached");
        let end = self.serve(&mut live).await;
        tracing::info!(%device, ?end, "device detached");
        if live.session.detach(attachment) {
            self.shared
                .tell(Request::Dropped { device, attachment })
                .await;
        }
        end
    }

    /// Carries messages both ways.
    async fn serve(&mut self, live: &mut Live) -> End {
        let limits = self.shared.config.limits;
        let lifetime = live
            .until
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        let expiry = time::sleep(lifetime);
        tokio::pin!(expiry);
        let mut pings = time::interval(limits.ping_interval);
        // After a write that took long there is nothing to catch up.
        pings.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        pings.reset();
        let silence = time::sleep(limits.silence_max);
        tokio::pin!(silence);
        loop {
            let step = tokio::select! {
                biased;
                why = &mut live.cut => {
                    let why = why.unwrap_or(Cut::Forgotten);
                    if why == Cut::Forgotten {
                        self.flush(live).await;
                    }
                    return cut(why);
                }
                () = closed(&mut self.closing) => {
                    return self.flush_and_bye(live).await;
                }
                () = &mut expiry => {
                    let reason = "the token has expired".to_owned();
                    let error = encode(Notice::Error { code: Code::Expired, reason });
                    match self.write(live, error).await {
                        Ok(()) => Err(end(close::UNAUTHORIZED, "the token has expired")),
                        Err(end) => Err(end),
                    }
                }
                () = &mut silence => Err(End::Gone),
                _ = pings.tick() => self.write(live, encode(Notice::Ping)).await,
                text = live.messages.recv() => match text {
                    Some(text) => self.write(live, text).await,
                    // The way to us is dropped together with the cut.
                    None => continue,
                },
                text = receive(&mut self.stream) => {
                    silence.as_mut().reset(time::Instant::now() + limits.silence_max);
                    text.and_then(|text| self.take(live, text))
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn write(&mut self, live: &mut Live, text: Utf8Bytes) -> Result<(), End> {
        let why = {
            let sending = timeout(WRITE_TIMEOUT, self.stream.send(Message::Text(text)));
            tokio::pin!(sending);
            let why = tokio::select! {
                biased;
                why = &mut live.cut => why.unwrap_or(Cut::Forgotten),
                sent = &mut sending => return match sent {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) | Err(_) => Err(End::Gone),
                },
            };
            if why == Cut::Forgotten && !matches!(sending.await, Ok(Ok(()))) {
                return Err(End::Gone);
            }
            why
        };
        if why == Cut::Forgotten {
            self.flush(live).await;
        }
        Err(cut(why))
    }

    /// What happened until the device was forgotten is told yet: its calls have ended, for example.
    async fn flush(&mut self, live: &mut Live) {
        while let Ok(text) = live.messages.try_recv() {
            let sent = timeout(WRITE_TIMEOUT, self.stream.send(Message::Text(text))).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Takes a message; `None` is one without text.
    fn take(&mut self, live: &Live, text: Option<Utf8Bytes>) -> Result<(), End> {
        metrics::counter!("moqrelay_control_messages_total").increment(1);
        let verdict = self.bucket.take(self.rate, Instant::now());
        if verdict == Verdict::Flood {
            return Err(end(close::TOO_MANY, "too many messages"));
        }
        let Some(text) = text else { return Ok(()) };
        if text.len() > MESSAGE_LEN_MAX {
            return Err(end(close::TOO_LARGE, "message too large"));
        }
        let session = &live.session;
        match signal::decode(&text) {
            Ok(ClientMessage::Pong) => {}
            Ok(ClientMessage::Request { id, .. }) if verdict == Verdict::Refused => {
                session.send(refused(id, Code::RateLimited, "too many messages"));
            }
            // Asking again gives the same place: there is nothing to keep for a repeat.
            Ok(ClientMessage::Request {
                id,
                request: signal::Request::Join(join),
            }) => self.ask_room(live, id, RoomRequest::Join(join)),
            Ok(ClientMessage::Request { id, request }) => {
                match session.begin(id, &request, live.registered_id) {
                    Begun::New => self.ask(live, id, request),
                    Begun::Repeated => {}
                }
            }
            Err(error) => session.send(fault(error)),
        }
        Ok(())
    }

    /// Asks the conference.
    fn ask_room(&self, live: &Live, id: u64, request: RoomRequest) {
        let session = Arc::clone(&live.session);
        let reply = Reply::new(move |result: Result<Done, Failure>| {
            let notice = match result {
                Ok(done) => Notice::Ok { id, done },
                Err(failure) => failed(id, failure),
            };
            session.answer(id, notice);
        });
        self.shared.ask(Request::Room {
            device: live.session.device,
            attachment: live.attachment,
            visitor: live.visitor.clone(),
            request,
            reply,
        });
    }

    fn ask(&self, live: &Live, id: u64, request: signal::Request) {
        let request = match request {
            signal::Request::Join(join) => {
                return self.ask_room(live, id, RoomRequest::Join(join));
            }
            signal::Request::Leave { room } => {
                return self.ask_room(live, id, RoomRequest::Leave(room));
            }
            signal::Request::Room { room, r#do: act } => {
                return self.ask_room(live, id, RoomRequest::Act(room, act));
            }
            other => other,
        };
        let session = Arc::clone(&live.session);
        let device = session.device;
        let Some((request, call)) = translate::request(request) else {
            let refusal = refused(id, Code::AlreadyRegistered, "this socket has registered");
            session.answer(id, refusal);
            return;
        };
        let reply = Reply::new(move |result: Result<(), Failure>| {
            let notice = match result {
                Ok(()) => {
                    let done = call.map_or(Done::Plain {}, |call| Done::Called { call });
                    Notice::Ok { id, done }
                }
                Err(failure) => failed(id, failure),
            };
            session.answer(id, notice);
        });
        self.shared.ask(Request::Signal {
            device,
            request,
            reply,
        });
    }

    /// What happened until now goes out before the last word.
    async fn flush_and_bye(&mut self, live: &mut Live) -> End {
        while let Ok(text) = live.messages.try_recv() {
            if let Err(end) = self.write(live, text).await {
                return end;
            }
        }
        self.bye().await
    }

    async fn bye(&mut self) -> End {
        let reason = "the server is going down".to_owned();
        let bye = self
            .stream
            .send(Message::Text(encode(Notice::Bye { reason })));
        match timeout(WRITE_TIMEOUT, bye).await {
            Ok(Ok(())) => end(close::AWAY, "the server is going down"),
            Ok(Err(_)) | Err(_) => End::Gone,
        }
    }
}

/// Completes when the server closes its sockets.
async fn closed(closing: &mut watch::Receiver<bool>) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        // The sender lives as long as we do; never close for want of it.
        std::future::pending::<()>().await;
    }
}

/// Returns the next text; `None` for a message of another kind.
async fn receive(stream: &mut WebSocket) -> Result<Option<Utf8Bytes>, End> {
    match stream.recv().await {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        // Answered with words: a client that sends bytes has misunderstood something.
        Some(Ok(Message::Binary(_))) => Ok(Some(Utf8Bytes::from_static(""))),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) | None => Err(End::Gone),
        // The library names this fault by words alone.
        Some(Err(error)) if error.to_string().contains("too long") => {
            Err(end(close::TOO_LARGE, "message too large"))
        }
        Some(Err(error)) => {
            tracing::debug!(%error, "a signaling socket broke");
            Err(End::Gone)
        }
    }
}

fn cut(why: Cut) -> End {
    match why {
        Cut::Replaced => end(close::REPLACED, "replaced by a resume"),
        Cut::TooSlow => end(close::TOO_MANY, "messages are not read"),
        Cut::Forgotten => end(close::NORMAL, "the session has ended"),
    }
}

fn fault(error: DecodeError) -> Notice {
    metrics::counter!("moqrelay_control_messages_malformed_total").increment(1);
    let DecodeError { id, code, reason } = error;
    match id {
        Some(id) => Notice::Refused { id, code, reason },
        None => Notice::Error { code, reason },
    }
}

fn failed(id: u64, failure: Failure) -> Notice {
    let notice = match failure {
        Failure::Refused(refusal) => refused(id, translate::code(refusal.reason), refusal.text),
        Failure::Denied(denied) => refused(id, translate::denied(denied), denied.to_string()),
        Failure::Dropped => refused(id, Code::Internal, "the server did not answer"),
    };
    if let Notice::Refused { code, .. } = &notice {
        metrics::counter!("moqrelay_control_requests_refused_total", "code" => code.as_str())
            .increment(1);
    }
    notice
}
