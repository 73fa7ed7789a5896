//! One telephone call's way to Asterisk: a task of its own that speaks and hears for it.
//!
//! Whatever happens to a leg, a stall, garbage, a vanished peer, ends that leg at most.

mod arrivals;
mod clock;
mod coder;
mod commands;
mod ear;
mod feed;
mod heard;
mod hook;
mod intake;
mod line;
mod media_socket;
mod opus_out;
mod pace;
mod polish;
mod quality;
mod reception;
mod road;
mod rtp_line;
mod socket;
mod spec;
mod stats;
mod telling;
mod tick;
mod timeline;
mod voice;

use std::{
    collections::VecDeque,
    convert::Infallible,
    future, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use moqrelay_audio::{dsp::LoopWatch, emodel::Rating, jitter};
use moqrelay_processor::Processor;
use moqrelay_relay::Relay;
use moqrelay_wire::audiosocket::Rate;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Sleep, sleep_until},
};

pub(crate) use self::{
    clock::{Clock, offset as frame_due},
    commands::Command,
    ear::{Arrived, Look, Source},
    line::{Line, LineError},
    media_socket::MediaSocket,
    road::Road,
    rtp_line::RtpLine,
    socket::{Socket, refuse},
};
use self::{
    ear::Ear,
    heard::HeardHook,
    intake::{Intake, sample_rate},
    opus_out::OpusOut,
    pace::Pace,
    polish::Polish,
    road::Carries,
    voice::Voice,
};
pub use self::{
    line::Bytestream,
    quality::{Cause, Quality, Summary},
    spec::{Beep, Coding, Directions, LegId, OutRate, Reason, Shaping, Spec, Tone, VoiceMode},
    stats::{Lateness, SpeechLevel, Stats},
};
use crate::{Event, Place, codec::Codec, governor::Throttle, meters::Meters};

/// What every leg of a bridge shares.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) relay: Relay,
    pub(crate) coding: Coding,
    pub(crate) shaping: Shaping,
    pub(crate) throttle: Throttle,
    pub(crate) jitter: jitter::Config,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) meters: Meters,
}

/// A leg that is over.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) leg: LegId,
    pub(crate) reason: Reason,
    pub(crate) stats: Box<Stats>,
    /// Events that the queue had no room for; they come before the end.
    pub(crate) unsent: VecDeque<Event>,
    /// What remains to be closed, if it was ever open.
    pub(crate) road: Option<Road>,
}

impl End {
    /// A leg whose road could not be opened.
    pub(crate) fn before(leg: LegId) -> Self {
        Self {
            leg,
            reason: Reason::Unreached,
            stats: Box::default(),
            unsent: VecDeque::new(),
            road: None,
        }
    }
}

/// How often a leg reports its state.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// One leg. [`run`](Self::run) is its life.
#[derive(Debug)]
pub(crate) struct Leg {
    id: LegId,
    rate: OutRate,
    around: Surroundings,
    road: Road,
    commands: mpsc::Receiver<Command>,
    report: watch::Sender<Stats>,
    start: Instant,
    clock: Clock,
    intake: Intake,
    pace: Pace,
    last_audio: Instant,
    voice: Voice,
    ear: Ear,
    polish: Polish,
    loops: LoopWatch,
    frame: Vec<i16>,
    out_rate: Rate,
    opus_out: OpusOut,
    packets: Vec<Bytes>,
    unsent: VecDeque<Event>,
    /// Digits that were heard in the sound and not told yet.
    pressed: Vec<char>,
    stats: Stats,
    reported: Stats,
    report_due: Instant,
    watch: quality::Watch,
    judge_due: Instant,
    place: Option<Place>,
    /// Of what the telephone says.
    processor: Option<Processor>,
    /// Of what it hears.
    heard_by: Option<Processor>,
    heard: Option<Box<HeardHook>>,
}

impl Leg {
    /// Begins a leg on a road that is open; `attached` is the first event it sends.
    pub(crate) fn new(
        spec: Spec,
        attached: Event,
        road: Road,
        commands: mpsc::Receiver<Command>,
        report: watch::Sender<Stats>,
        around: Surroundings,
    ) -> Self {
        let now = Instant::now();
        let out_rate = match road.carries() {
            Carries::AnyPcm => spec.rate.given(None),
            Carries::Pcm(rate) => rate,
            // What is mixed for it is full band, as the browsers' own packets are.
            Carries::Opus => Rate::Hz48000,
        };
        let codec = road.codec().map(Codec::name);
        tracing::info!(road = road.name(), codec, "leg begins");
        let stats = Stats {
            level: 127,
            rate_out: out_rate.hz(),
            road: road.name(),
            codec,
            ..Stats::default()
        };
        let mut leg = Self {
            id: spec.leg,
            rate: spec.rate,
            road,
            commands,
            report,
            start: now,
            clock: Clock::new(now),
            intake: Intake::default(),
            pace: Pace::default(),
            last_audio: now,
            voice: Voice::new(around.coding, around.shaping, around.throttle.clone()),
            ear: Ear::new(
                sample_rate(out_rate),
                around.jitter,
                around.shaping.comfort_noise,
                now,
            ),
            polish: Polish::to_telephone(around.shaping, sample_rate(out_rate)),
            loops: LoopWatch::new(),
            frame: vec![0; out_rate.frame_samples()],
            out_rate,
            opus_out: OpusOut::new(around.coding),
            packets: Vec::new(),
            unsent: VecDeque::from([attached]),
            pressed: Vec::new(),
            reported: stats.clone(),
            stats,
            report_due: now + REPORT_INTERVAL,
            watch: quality::Watch::default(),
            judge_due: now + quality::INTERVAL,
            place: None,
            processor: None,
            heard_by: None,
            heard: None,
            around,
        };
        leg.flush_events();
        if let Some(place) = spec.place {
            leg.obey(Command::Join(place));
        }
        leg
    }

    /// Lives until either side hangs up or something breaks.
    pub(crate) async fn run(mut self) -> End {
        let tick = sleep_until(self.clock.next());
        tokio::pin!(tick);
        // What came in one piece with the call's id is here already.
        let began = self.take_arrivals();
        self.speak();
        let reason = match began {
            Ok(()) => future::poll_fn(|cx| self.poll(cx, tick.as_mut())).await,
            Err(reason) => reason,
        };
        self.end(reason)
    }

    /// Does what there is to do, the tick first; ready when the leg is over. Each turn asks every side once: with a
    /// thousand legs turns are what they cost.
    fn poll(&mut self, cx: &mut Context<'_>, mut tick: Pin<&mut Sleep>) -> Poll<Reason> {
        self.turn(cx, tick.as_mut()).map(|Err(reason)| reason)
    }

    fn turn(
        &mut self,
        cx: &mut Context<'_>,
        mut tick: Pin<&mut Sleep>,
    ) -> Poll<Result<Infallible, Reason>> {
        while tick.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if let Some(due) = self.clock.due(now) {
                self.tick(due, now)?;
            }
            tick.as_mut().reset(self.clock.next());
        }
        while let Poll::Ready(command) = self.commands.poll_recv(cx) {
            self.obey(command.ok_or(Reason::HungUp)?);
        }
        while self.voice.poll_processed(cx, &mut self.stats).is_ready() {}
        if let Some(heard) = &mut self.heard {
            heard.poll(cx);
        }
        let before = self.stats.frames_in;
        while let Poll::Ready(ready) = self.road.poll_ready(cx) {
            self.move_bytes(ready)?;
        }
        // A room has a clock of its own, which its legs must not leave.
        if self.stats.frames_in != before && !self.ear.hears_room() {
            let now = Instant::now();
            self.clock.follow(now);
            if let Some(due) = self.clock.due_soon(now) {
                self.tick(due, now)?;
                tick.as_mut().reset(self.clock.next());
            }
        }
        Poll::Pending
    }

    fn end(mut self, reason: Reason) -> End {
        self.road.say_hangup();
        self.stats.sources = self.ear.stats();
        self.judge();
        self.sum_up();
        self.publish_report();
        tracing::info!(
            %reason,
            road = self.stats.road,
            codec = self.stats.codec,
            why = self.stats.why,
            seconds = self.start.elapsed().as_secs(),
            frames_in = self.stats.frames_in,
            frames_out = self.stats.frames_out,
            late_ms_max = self.stats.lateness.max().as_millis() as u64,
            mos_from = self.stats.worst[0].map(Rating::mos),
            mos_to = self.stats.worst[1].map(Rating::mos),
            "leg over"
        );
        End {
            leg: self.id,
            reason,
            stats: Box::new(self.stats),
            unsent: self.unsent,
            road: Some(self.road),
        }
    }
}

/// Asterisk closes without reading what we sent last, and then the kernel resets the connection: a plain hang-up.
fn broken(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Reason::Closed,
        _ => {
            tracing::info!(%error, "connection broken");
            Reason::Broken
        }
    }
}
