//! What came of our requests.

use std::time::Instant;

use moqrelay_wire::signal::Cause;

use super::{Failure, Joining, LegId, Part, Phase, Piece, RequestId, Response, Saying, Steering};

/// What a request is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Make a leg's channel.
    Create(LegId, Piece),
    /// Make a leg's bridge.
    Mix(LegId),
    /// Put a leg's channels into its bridge.
    Join(LegId),
    /// Dial a leg's far end.
    Dial(LegId),
    /// Let a leg's far end ring.
    Ring(LegId),
    /// Answer a leg's far end.
    Answer(LegId),
    /// Send digits, hold, or resume: a failure changes nothing.
    Minor,
    /// Remove what has this id.
    Remove(String),
    /// Read all channels.
    Channels,
    /// Read all bridges.
    Bridges,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The channel is not there, or not in our application any more.
    Crossed,
    /// Refused for another reason.
    Refused,
    /// Not known.
    Unknown,
}

impl Steering {
    /// Applies what came of a request.
    pub fn handle_response(
        &mut self,
        request: RequestId,
        result: Result<Response, Failure>,
        now: Instant,
    ) {
        let Some(purpose) = self.pending.remove(&request) else {
            return;
        };
        let outcome = match &result {
            Ok(Response {
                status: 200..=299, ..
            }) => Outcome::Done,
            Ok(Response {
                status: 404 | 409 | 422,
                ..
            }) => Outcome::Crossed,
            Ok(_) => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
        if outcome != Outcome::Done {
            log(&purpose, &result);
        }
        match purpose {
            Purpose::Create(id, piece) => self.created(request, id, piece, outcome, now),
            Purpose::Mix(id) => self.mixed(request, id, outcome, now),
            Purpose::Join(id) => self.joined(id, outcome, now),
            Purpose::Dial(id) => match outcome {
                Outcome::Done => {}
                // If it has left meanwhile, the cause is on its way.
                Outcome::Crossed if self.is_leaving(id) => {}
                _ => self.end(id, Cause::Unreachable),
            },
            Purpose::Ring(id) => {
                if outcome == Outcome::Crossed {
                    self.end(id, Cause::Cancelled);
                }
            }
            Purpose::Answer(id) => self.said(id, outcome, now),
            Purpose::Minor => {}
            Purpose::Remove(id) => match outcome {
                // Not there is as good as removed.
                Outcome::Done | Outcome::Crossed => {
                    self.dooms.remove(&id);
                }
                Outcome::Refused | Outcome::Unknown => self.remove_again(&id, now),
            },
            Purpose::Channels => self.list_channels(result.ok(), now),
            Purpose::Bridges => self.list_bridges(result.ok(), now),
        }
    }

    fn created(
        &mut self,
        request: RequestId,
        id: LegId,
        piece: Piece,
        outcome: Outcome,
        now: Instant,
    ) {
        let Some(leg) = self.legs.get_mut(&id) else {
            self.remove_after(request);
            return;
        };
        let part = match piece {
            Piece::Far => &mut leg.far_part,
            Piece::External => &mut leg.external,
        };
        if *part == Part::Asked(request) {
            *part = match outcome {
                Outcome::Done | Outcome::Unknown => Part::Made,
                Outcome::Crossed | Outcome::Refused => Part::Absent,
            };
        }
        match (outcome, piece) {
            (Outcome::Done, _) => self.advance(id, now),
            (_, Piece::Far) => self.end(id, Cause::Unreachable),
            (_, Piece::External) => self.end(id, Cause::Failed),
        }
    }

    fn mixed(&mut self, request: RequestId, id: LegId, outcome: Outcome, now: Instant) {
        let Some(leg) = self.legs.get_mut(&id) else {
            self.remove_after(request);
            return;
        };
        match outcome {
            Outcome::Done => {
                leg.mix = Part::Ready;
                self.advance(id, now);
            }
            Outcome::Unknown => {
                leg.mix = Part::Made;
                self.end(id, Cause::Failed);
            }
            Outcome::Crossed | Outcome::Refused => {
                leg.mix = Part::Absent;
                self.end(id, Cause::Failed);
            }
        }
    }

    fn joined(&mut self, id: LegId, outcome: Outcome, now: Instant) {
        if self.is_leaving(id) {
            return;
        }
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        match outcome {
            Outcome::Done => {
                leg.joining = Joining::Done;
                self.advance(id, now);
            }
            Outcome::Crossed => {
                let cause = leg.cause_of_absence();
                self.end(id, cause);
            }
            Outcome::Refused | Outcome::Unknown => self.end(id, Cause::Failed),
        }
    }

    fn said(&mut self, id: LegId, outcome: Outcome, now: Instant) {
        let Some(Phase::Answering { until, .. }) = self.phase(id) else {
            return;
        };
        match outcome {
            Outcome::Done => {
                self.set_phase(
                    id,
                    Phase::Answering {
                        until,
                        saying: Saying::Done,
                    },
                );
                self.advance(id, now);
            }
            Outcome::Crossed => self.end(id, Cause::Cancelled),
            Outcome::Refused | Outcome::Unknown => self.end(id, Cause::Failed),
        }
    }

    fn is_leaving(&self, id: LegId) -> bool {
        matches!(self.phase(id), Some(Phase::Leaving { .. }))
    }
}

fn log(purpose: &Purpose, result: &Result<Response, Failure>) {
    match result {
        // What is already gone is the usual case: Asterisk and we end things at the same time.
        Ok(Response { status: 404, .. }) if matches!(purpose, Purpose::Remove(_)) => {}
        Ok(Response { status, body }) => {
            let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
            tracing::debug!(?purpose, status, %text, "asterisk refused");
        }
        Err(failure) => tracing::debug!(?purpose, %failure, "request failed"),
    }
}
