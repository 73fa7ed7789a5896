//! One leg's stream to its service.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::uri::PathAndQuery;
use moqrelay_audio::Frame;
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep_until},
};
use tonic::{Status, Streaming, client::Grpc};
use tonic_prost::ProstCodec;

use crate::{
    Direction, Fallback, Processor,
    aligner::{Aligner, Fate, Verdict},
    breaker::{Breaker, State},
    v1::{self, Answer, Audio, FromProcessor, FromRelay, Question},
};

/// Whose sound a session has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The call's room.
    pub call: String,
    /// The participant in it.
    pub participant: String,
    /// The leg's name in the log.
    pub leg: String,
}

/// What comes of a session.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// The next 20 ms of the leg.
    Frame {
        /// As it was sent.
        timestamp: u64,
        /// What is to be heard.
        frame: Frame,
        /// Whether it is the service's.
        fate: Fate,
    },
    /// Something that was said.
    Text(v1::Text),
    /// Something that happened.
    Event(v1::Event),
}

/// Frames that wait for the network, a third of a second: what is older would be late anyway.
const QUESTIONS_MAX: usize = 16;

/// How long a new stream may take to answer its first frame before it is given up.
const PROOF_TIMEOUT: Duration = Duration::from_secs(2);

/// After a failure, until the service is connected again: a restarted one is found soon, and five refusals take a
/// second.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Frames that a service which only listens must have taken before it is trusted: more than wait in the queue.
const PROOF_FRAMES: u64 = 25;

/// Messages that are taken in one go; then others have their turn.
const MESSAGES_PER_POLL: usize = 64;

/// A frame of 48 kHz has 1,920 bytes, a text 2,048.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// Bytes of a text, of an event's name and of its data: what a page can show.
const TEXT_BYTES_MAX: usize = 2_048;
const NAME_BYTES_MAX: usize = 64;

/// Texts and events of one leg in a second; a captioner sends five.
const TEXTS_PER_SECOND_MAX: u32 = 25;

/// A leg's way through a service. Give it frames by [`send`](Self::send) and poll it; dropping it ends the stream.
pub struct Session {
    processor: Processor,
    about: About,
    breaker: Breaker,
    /// As the metrics have it.
    shown: State,
    aligner: Aligner<Said>,
    link: Link,
    /// Frames not waited for, on a stream that has to prove itself: number and time.
    unproven: VecDeque<(u64, Instant)>,
    next_sequence: u64,
    output: Option<Output>,
    texts: Budget,
    timer: Pin<Box<Sleep>>,
}

/// A frame on its way.
#[derive(Debug)]
struct Said {
    timestamp: u64,
    frame: Frame,
}

type Opened = Pin<Box<dyn Future<Output = Result<Streaming<FromProcessor>, Status>> + Send>>;

/// The stream.
enum Link {
    /// There is none before `until`, nor before somebody wants one.
    Idle { until: Instant, wanted: bool },
    /// There is one.
    Up {
        questions: mpsc::Sender<FromRelay>,
        answers: Answers,
        proof: Proof,
    },
}

/// What comes back.
enum Answers {
    /// Many services say nothing before their first answer.
    Awaited(Opened),
    Coming(Box<Streaming<FromProcessor>>),
}

/// Whether a stream is worth waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Nothing was sent.
    None,
    /// So many frames were sent, the first one at `since`.
    Asked { since: Instant, frames: u64 },
    /// It has done what it should.
    Given,
}

impl Session {
    pub(crate) fn new(processor: Processor, about: About) -> Self {
        let now = Instant::now();
        let config = processor.config();
        let (breaker, aligner) = (Breaker::new(config.breaker), Aligner::new(config.deadline));
        processor.meters().enters(breaker.state());
        Self {
            shown: breaker.state(),
            breaker,
            aligner,
            about,
            link: Link::Idle {
                until: now,
                wanted: false,
            },
            unproven: VecDeque::new(),
            next_sequence: 0,
            output: None,
            texts: Budget::new(now),
            timer: Box::pin(sleep_until(now)),
            processor,
        }
    }

    /// Takes the next 20 ms of the leg; [`poll`](Self::poll) gives them back.
    pub fn send(&mut self, timestamp: u64, frame: Frame) {
        let now = Instant::now();
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let waits = self.ask(sequence, timestamp, &frame, now);
        let said = Said { timestamp, frame };
        if waits {
            self.aligner.ask(sequence, said, now.into_std());
        } else {
            self.aligner.pass(sequence, said);
        }
    }

    /// Returns what comes next. The leg's task must poll it whenever it has sent something or was woken.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Output> {
        for _ in 0..MESSAGES_PER_POLL {
            let now = Instant::now();
            self.handle_timeout(now);
            if let Some(output) = self.next_output() {
                return Poll::Ready(output);
            }
            if self.poll_link(cx, now).is_ready() {
                continue;
            }
            let Some(due) = self.poll_timeout() else {
                return Poll::Pending;
            };
            if self.timer.deadline() != due {
                self.timer.as_mut().reset(due);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Returns the oldest frame that is under way at once, as it was sent if its answer is not there: for those who
    /// have to send something now. What else the service has said is forgotten; `None`: nothing is under way.
    pub fn take_frame(&mut self) -> Option<(u64, Frame)> {
        self.handle_timeout(Instant::now());
        self.aligner.hurry();
        self.output = None;
        match self.next_output()? {
            Output::Frame {
                timestamp, frame, ..
            } => Some((timestamp, frame)),
            Output::Text(_) | Output::Event(_) => None,
        }
    }

    /// Returns what the breaker says of the service.
    #[must_use]
    pub fn breaker(&self) -> State {
        self.breaker.state()
    }

    /// Sends a frame if there is a stream; returns whether its answer is worth waiting for.
    fn ask(&mut self, sequence: u64, timestamp: u64, frame: &Frame, now: Instant) -> bool {
        let (questions, proof) = match &mut self.link {
            Link::Idle { wanted, .. } => {
                *wanted = true;
                return false;
            }
            Link::Up {
                questions, proof, ..
            } => (questions, proof),
        };
        let question = Question::Audio(Audio {
            sequence,
            timestamp,
            sample_rate: frame.rate().hz(),
            pcm: to_le_bytes(frame.samples()),
        });
        let asked = questions
            .try_send(FromRelay {
                what: Some(question),
            })
            .is_ok();
        let audio = self.processor.config().audio;
        match proof {
            Proof::Given if asked => audio,
            Proof::Given => {
                // It does not even take what it is asked.
                self.miss(1, now);
                false
            }
            Proof::None | Proof::Asked { .. } if !asked => false,
            Proof::None => {
                *proof = Proof::Asked {
                    since: now,
                    frames: 1,
                };
                self.unproven.push_back((sequence, now));
                false
            }
            Proof::Asked { frames, .. } => {
                *frames += 1;
                let enough = !audio && *frames >= PROOF_FRAMES;
                self.unproven.push_back((sequence, now));
                if self.unproven.len() > QUESTIONS_MAX {
                    self.unproven.pop_front();
                }
                if enough {
                    self.prove();
                }
                false
            }
        }
    }

    fn next_output(&mut self) -> Option<Output> {
        if let Some(output) = self.output.take() {
            return Some(output);
        }
        let (mut said, fate) = self.aligner.poll_output()?;
        let (meters, config) = (self.processor.meters(), self.processor.config());
        match fate {
            Fate::Answered => meters.answered.increment(1),
            Fate::Passed => meters.passed.increment(1),
        }
        if fate == Fate::Passed && config.audio && config.fallback == Fallback::Silence {
            said.frame.samples_mut().fill(0);
        }
        Some(Output::Frame {
            timestamp: said.timestamp,
            frame: said.frame,
            fate,
        })
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.aligner.handle_timeout(now.into_std());
        let missed = self.aligner.take_missed();
        if missed > 0 {
            self.miss(missed, now);
        }
        if let Link::Up {
            proof: Proof::Asked { since, .. },
            ..
        } = self.link
            && now >= since + PROOF_TIMEOUT
        {
            self.fail("it answers nothing in time", now);
        }
        self.breaker.handle_timeout(now.into_std());
        self.show();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let link = match self.link {
            Link::Idle {
                until,
                wanted: true,
            } if self.breaker.state() != State::Open => Some(until),
            Link::Up {
                proof: Proof::Asked { since, .. },
                ..
            } => Some(since + PROOF_TIMEOUT),
            Link::Idle { .. } | Link::Up { .. } => None,
        };
        let machines = [self.aligner.poll_timeout(), self.breaker.poll_timeout()];
        let machines = machines.into_iter().flatten().map(Instant::from_std);
        machines.chain(link).min()
    }

    /// Ready when something has changed.
    fn poll_link(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        match &mut self.link {
            Link::Idle { until, wanted } => {
                if !*wanted || now < *until || self.breaker.state() == State::Open {
                    return Poll::Pending;
                }
                self.connect();
            }
            Link::Up { answers, .. } => match answers {
                Answers::Awaited(opened) => match std::task::ready!(opened.as_mut().poll(cx)) {
                    Ok(stream) => *answers = Answers::Coming(Box::new(stream)),
                    Err(status) => self.fail(status.message(), now),
                },
                Answers::Coming(stream) => match std::task::ready!(stream.poll_next_unpin(cx)) {
                    Some(Ok(message)) => self.take(message, now),
                    Some(Err(status)) => self.fail(status.message(), now),
                    None => self.fail("it has ended the stream", now),
                },
            },
        }
        Poll::Ready(())
    }

    /// Opens a stream. Its first message is there before any frame.
    fn connect(&mut self) {
        let config = self.processor.config();
        let (questions, mut waiting) = mpsc::channel(QUESTIONS_MAX + 1);
        let start = v1::Start {
            call: self.about.call.clone(),
            participant: self.about.participant.clone(),
            leg: self.about.leg.clone(),
            wants_audio: config.audio,
            deadline_ms: u32::try_from(config.deadline.as_millis()).unwrap_or(u32::MAX),
            hears: config.direction == Direction::Hears,
        };
        let start = FromRelay {
            what: Some(Question::Start(start)),
        };
        // The queue is new and has room.
        if questions.try_send(start).is_err() {
            return;
        }
        let request = self
            .processor
            .request(stream::poll_fn(move |cx| waiting.poll_recv(cx)));
        let mut client =
            Grpc::new(self.processor.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let opened = async move {
            client
                .ready()
                .await
                .map_err(|error| Status::unavailable(error.to_string()))?;
            let path = PathAndQuery::from_static(v1::PROCESS);
            let codec = ProstCodec::<FromRelay, FromProcessor>::default();
            Ok(client.streaming(request, path, codec).await?.into_inner())
        };
        self.processor.meters().streams.increment(1);
        self.link = Link::Up {
            questions,
            answers: Answers::Awaited(Box::pin(opened)),
            proof: Proof::None,
        };
    }

    fn take(&mut self, message: FromProcessor, now: Instant) {
        let meters = self.processor.meters();
        match message.what {
            Some(Answer::Audio(audio)) => self.take_audio(&audio, now),
            Some(Answer::Text(text)) => {
                if text.text.len() > TEXT_BYTES_MAX || text.language.len() > NAME_BYTES_MAX {
                    meters.malformed.increment(1);
                } else if !self.texts.take(now) {
                    meters.crowded.increment(1);
                } else {
                    meters.texts.increment(1);
                    self.output = Some(Output::Text(text));
                }
            }
            Some(Answer::Event(event)) => {
                if event.data.len() > TEXT_BYTES_MAX || event.name.len() > NAME_BYTES_MAX {
                    meters.malformed.increment(1);
                } else if !self.texts.take(now) {
                    meters.crowded.increment(1);
                } else {
                    meters.events.increment(1);
                    self.output = Some(Output::Event(event));
                }
            }
            // A later version's.
            None => {}
        }
    }

    fn take_audio(&mut self, audio: &Audio, now: Instant) {
        if !self.processor.config().audio {
            return;
        }
        let verdict = self.aligner.answer(audio.sequence, now.into_std(), |said| {
            let answer = Frame::from_le_bytes(said.frame.rate(), &audio.pcm);
            answer.is_ok_and(|answer| {
                said.frame = answer;
                true
            })
        });
        match verdict {
            Verdict::Taken(after) => {
                self.processor
                    .meters()
                    .answer_seconds
                    .record(after.as_secs_f64());
                self.breaker.handle_success();
            }
            Verdict::Unwanted => self.weigh(audio.sequence, now),
            // Counted as missed when it is looked at next.
            Verdict::Unfit => self.processor.meters().malformed.increment(1),
        }
        self.show();
    }

    /// An answer that nobody waited for proves the stream if it would have been in time.
    fn weigh(&mut self, sequence: u64, now: Instant) {
        let deadline = self.processor.config().deadline;
        let sent = self
            .unproven
            .iter()
            .find(|(unproven, _)| *unproven == sequence);
        if sent.is_some_and(|(_, at)| now < *at + deadline) {
            self.prove();
        }
    }

    fn prove(&mut self) {
        self.unproven.clear();
        self.breaker.handle_success();
        if let Link::Up { proof, .. } = &mut self.link {
            *proof = Proof::Given;
            tracing::info!(
                processor = self.processor.config().name,
                "the media processor is there"
            );
        }
    }

    fn miss(&mut self, frames: u64, now: Instant) {
        self.processor.meters().missed.increment(frames);
        for _ in 0..frames {
            self.breaker.handle_failure(now.into_std());
        }
        tracing::debug!(frames, "the media processor was late");
        if self.breaker.state() == State::Open {
            self.disconnect(now);
        }
    }

    fn fail(&mut self, why: &str, now: Instant) {
        let processor = &self.processor.config().name;
        tracing::info!(processor, why, "the media processor failed");
        self.processor.meters().streams_failed.increment(1);
        self.breaker.handle_failure(now.into_std());
        self.disconnect(now);
    }

    /// Gives the stream up; what waits for it goes on as it was.
    fn disconnect(&mut self, now: Instant) {
        self.link = Link::Idle {
            until: now + RETRY_PAUSE,
            wanted: false,
        };
        self.unproven.clear();
        self.aligner.give_up();
    }

    /// Tells when the breaker has moved.
    fn show(&mut self) {
        let state = self.breaker.state();
        if state == self.shown {
            return;
        }
        self.processor.meters().changes(self.shown, state);
        let processor = &self.processor.config().name;
        match state {
            State::Open => tracing::warn!(
                processor,
                pause_s = self.processor.config().breaker.pause.as_secs_f32(),
                "the media processor is left alone for a while: sound goes past it"
            ),
            State::HalfOpen => tracing::info!(processor, "the media processor is tried again"),
            State::Closed => tracing::info!(processor, "the media processor is used again"),
        }
        self.shown = state;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.processor.meters().leaves(self.shown);
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("processor", &self.processor)
            .field("about", &self.about)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

/// So many in each second.
#[derive(Debug)]
struct Budget {
    since: Instant,
    taken: u32,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            taken: 0,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            *self = Self::new(now);
        }
        self.taken += 1;
        self.taken <= TEXTS_PER_SECOND_MAX
    }
}

fn to_le_bytes(samples: &[i16]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(2 * samples.len());
    for sample in samples {
        bytes.put_i16_le(*sample);
    }
    bytes.freeze()
}
