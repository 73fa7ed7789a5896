//! How a socket registers: as a new device, or as one that comes back.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::extract::ws::Message;
use moqrelay_room::{Reason, Refusal, Snapshot, User};
use moqrelay_wire::signal::{self, ClientMessage, Code, Done, Notice, Registered, Resume};
use tokio::sync::{mpsc, oneshot};

use super::{End, Live, Socket, close, closed, end, failed, fault, receive};
use crate::control::Shared;
use crate::rate::Verdict;
use crate::request::{Failure, Reply, Request};
use crate::session::{Outbound, Session, encode, refused};
use crate::token::TokenError;
use crate::{random, translate};

/// How a client registers.
struct Application {
    id: u64,
    user: User,
    until: SystemTime,
}

#[derive(Debug, Clone, Copy)]
enum Join {
    New,
    Resume { seq: u64 },
}

impl Socket {
    /// Reads until a `register` succeeds.
    pub(super) async fn register(&mut self) -> Result<Live, End> {
        loop {
            let text = tokio::select! {
                biased;
                () = closed(&mut self.closing) => return Err(self.bye().await),
                text = receive(&mut self.stream) => text?,
            };
            let Some(text) = text else { continue };
            if self.bucket.take(self.rate, Instant::now()) != Verdict::Granted {
                return Err(end(close::TOO_MANY, "too many messages"));
            }
            let notice = match signal::decode(&text) {
                Ok(ClientMessage::Pong) => continue,
                Ok(ClientMessage::Request {
                    id,
                    request: signal::Request::Register { token, resume },
                }) => match self.apply(id, &token, resume).await {
                    Ok(live) => return Ok(live),
                    Err(notice) => notice,
                },
                Ok(ClientMessage::Request { id, .. }) => {
                    refused(id, Code::NotRegistered, "register first")
                }
                Err(error) => fault(error),
            };
            let last_word = self.last_word(&notice);
            self.stream
                .send(Message::Text(encode(notice)))
                .await
                .map_err(|_| End::Gone)?;
            if let Some(end) = last_word {
                return Err(end);
            }
        }
    }

    /// Some faults will not mend on this socket.
    fn last_word(&self, notice: &Notice) -> Option<End> {
        let (Notice::Refused { code, .. } | Notice::Error { code, .. }) = notice else {
            return None;
        };
        match code {
            Code::Unauthorized | Code::Expired => {
                Some(end(close::UNAUTHORIZED, "the token does not hold"))
            }
            Code::TooLarge => Some(end(close::TOO_LARGE, "message too large")),
            _ => None,
        }
    }

    /// Carries out a `register`.
    async fn apply(
        &mut self,
        id: u64,
        token: &str,
        resume: Option<Resume>,
    ) -> Result<Live, Notice> {
        let application = self.check(id, token)?;
        if let Some(resume) = resume
            && let Some(session) = self.shared.session_named(&resume.session)
            && session.user == application.user.id
            && session.has_key(&resume.key)
        {
            let from = Join::Resume { seq: resume.seq };
            match self.join(&session, &application, from).await {
                Ok(live) => return Ok(live),
                // Its grace is over: begin anew.
                Err(Failure::Refused(Refusal {
                    reason: Reason::NotRegistered,
                    ..
                })) => {}
                Err(failure) => return Err(failed(id, failure)),
            }
        }
        let Some(session) = self.shared.begin_session(application.user.id.clone()) else {
            return Err(refused(id, Code::TooMany, "too many devices"));
        };
        self.join(&session, &application, Join::New)
            .await
            .map_err(|failure| {
                self.shared.remove_session(session.device);
                failed(id, failure)
            })
    }

    fn check(&self, id: u64, token: &str) -> Result<Application, Notice> {
        let claims = self
            .shared
            .config
            .keys
            .verify(token, SystemTime::now())
            .map_err(|error| {
                let code = match error {
                    TokenError::Expired => Code::Expired,
                    _ => Code::Unauthorized,
                };
                refused(id, code, error.to_string())
            })?;
        if self.shared.is_draining() {
            return Err(refused(id, Code::ShuttingDown, "the server is going down"));
        }
        let user = self
            .shared
            .user(&claims)
            .ok_or_else(|| refused(id, Code::Unauthorized, "the token names no user"))?;
        if !self.shared.admits(&user, claims.exp) {
            let reason = "someone else has this name or number now";
            return Err(refused(id, Code::Unauthorized, reason));
        }
        Ok(Application {
            id,
            user,
            until: claims.refused_from(),
        })
    }

    /// Asks the daemon; on consent this socket is the session's.
    async fn join(
        &mut self,
        session: &Arc<Session>,
        application: &Application,
        join: Join,
    ) -> Result<Live, Failure> {
        let (messages_tx, messages) = mpsc::channel(self.shared.config.limits.outbound_len());
        let (cut_tx, cut) = oneshot::channel();
        let outbound = Outbound {
            messages: messages_tx,
            cut: cut_tx,
        };
        let (joined_tx, joined) = oneshot::channel();
        let (device, attachment) = (session.device, session.next_attachment());
        let id = application.id;
        let (seq, resumed) = match join {
            Join::New => (0, false),
            Join::Resume { seq } => (seq, true),
        };
        let (of, shared) = (Arc::clone(session), Arc::clone(&self.shared));
        let reply = Reply::new(move |result: Result<Snapshot, Failure>| {
            // The task awaits this without a deadline of its own.
            let _waiting = joined_tx.send(result.map(|snapshot| {
                let key = random::name();
                let done = registered(&shared, &of, &key, resumed, snapshot);
                of.attach(
                    attachment,
                    outbound,
                    key,
                    encode(Notice::Ok { id, done }),
                    seq,
                );
            }));
        });
        let user = application.user.clone();
        self.shared.ask(match join {
            Join::New => Request::Register {
                device,
                user,
                attachment,
                reply,
            },
            Join::Resume { .. } => Request::Resume {
                device,
                attachment,
                reply,
            },
        });
        joined.await.unwrap_or(Err(Failure::Dropped))?;
        let (session, until) = (Arc::clone(session), application.until);
        Ok(Live {
            session,
            attachment,
            visitor: self
                .shared
                .visitor(application.user.clone(), self.address.ip()),
            messages,
            cut,
            until,
            registered_id: id,
        })
    }
}

fn registered(
    shared: &Shared,
    session: &Session,
    key: &str,
    resumed: bool,
    snapshot: Snapshot,
) -> Done {
    Done::Registered(Box::new(Registered {
        session: session.name.clone(),
        key: key.to_owned(),
        user: session.user.to_string(),
        device: session.device.to_string(),
        resumed,
        calls: translate::calls(snapshot.calls, Instant::now(), &|call, participant| {
            shared.mint(call, participant)
        }),
        presence: translate::presence(snapshot.presence, snapshot.lines),
        rules: translate::rules(snapshot.rules),
        messages: snapshot.messages,
        parked: translate::parked(snapshot.parked),
        services: shared.config.services.clone(),
        limits: shared.advertised(),
    }))
}
