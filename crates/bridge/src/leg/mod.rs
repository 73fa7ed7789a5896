//! One telephone call's way to Asterisk: a task of its own that speaks and hears for it.
//!
//! Whatever happens to a leg, a stall, garbage, a vanished peer, ends that leg at most.

mod clock;
mod coder;
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
mod timeline;
mod voice;

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt, future, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use moqrelay_audio::{
    clip::Clip,
    dsp::LoopWatch,
    emodel::Rating,
    jitter,
    level::{self, AudioLevel, Level},
    mode::Report,
};
use moqrelay_processor::{Direction, Processor};
use moqrelay_relay::{FullTrackName, Relay};
use moqrelay_wire::audiosocket::{Audio, Rate};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Sleep, sleep_until},
};

use self::{
    clock::Due,
    ear::{Ear, Form, Heard},
    heard::HeardHook,
    intake::{Intake, Label, Taken, sample_rate},
    opus_out::OpusOut,
    pace::Pace,
    polish::Polish,
    road::{Arrival, Carries, Sent},
    socket::Read,
    voice::Voice,
};
pub(crate) use self::{
    clock::{Clock, offset as frame_due},
    ear::{Arrived, Look, Source},
    line::{Line, LineError},
    media_socket::MediaSocket,
    road::Road,
    rtp_line::RtpLine,
    socket::{Socket, refuse},
};
pub use self::{
    line::Bytestream,
    quality::{Cause, Quality, Summary},
    spec::{Beep, Coding, Directions, LegId, OutRate, Reason, Shaping, Spec, Tone, VoiceMode},
    stats::{Lateness, SpeechLevel, Stats},
};
use crate::{
    Event, Place, codec::Codec, governor::Throttle, meters::Meters, publication::Publication,
    wheel::Wheel,
};

/// What a leg is told while it lives. Dropping the queue's other end is the command to hang up.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    Join(Place),
    Listen(FullTrackName),
    Unlisten(FullTrackName),
    Play(Tone),
    StopTone,
    Digits(Vec<char>),
    Mute(bool),
    /// Hears the room of that place, without the voice there.
    HearRoom(Wheel, Place),
    LeaveRoom,
    Beep(Beep),
    /// Plays recorded sounds once, after those that are being played; none: ends them.
    Say(Vec<Clip>),
    Answer,
    Explain(&'static str),
    DetectDigits(bool),
    Process(Processor),
}

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

/// Events of one leg that wait for room in the queue; then further digits are dropped.
const UNSENT_EVENTS_MAX: usize = 32;

/// Messages without sense after which a leg is given up.
const MALFORMED_MAX: u64 = 50;

/// After such a silence the started frame does not belong to what comes next.
const PAUSE: Duration = Duration::from_millis(100);

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

    /// Says how good the leg was, once and for all.
    fn sum_up(&mut self) {
        let summary = self.watch.summary(&self.stats, self.start.elapsed());
        for (direction, side) in ["from_telephone", "to_telephone"].into_iter().zip(&summary) {
            tracing::info!(
                direction,
                r = side.rating.map(Rating::r),
                mos = side.rating.map(Rating::mos),
                lost_percent = side.lost * 100.0,
                late = side.late,
                concealed_ms = side.concealed.as_millis() as u64,
                jitter_ms = side.jitter.as_millis() as u64,
                delay_ms = side.delay.as_millis() as u64,
                level_dbov = side.level_dbov,
                clipped_samples = side.clipped,
                silent_s = side.silent.as_secs(),
                cause = side.cause.map(Cause::explanation),
                "quality of the leg"
            );
        }
        self.stats.summary = Some(summary);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Join(place) => self.join(&place),
            Command::Listen(name) => {
                tracing::info!(track = %name, "listens");
                self.ear.listen(self.around.relay.subscribe(name));
            }
            Command::Unlisten(name) => {
                tracing::info!(track = %name, "stops listening");
                self.ear.unlisten(&name, self.start.elapsed());
            }
            Command::Play(tone) => {
                tracing::info!(?tone, "plays a tone");
                self.ear.play(tone);
            }
            Command::StopTone => self.ear.stop_tone(),
            Command::HearRoom(wheel, place) => {
                tracing::info!(room = place.room(), "hears the room's mix");
                self.ear.hear_room(wheel.hear(place));
            }
            Command::LeaveRoom => self.ear.leave_room(),
            Command::Beep(beep) => {
                tracing::debug!(?beep, "beeps");
                self.ear.beep(beep);
            }
            Command::Say(clips) => {
                tracing::debug!(clips = clips.len(), "plays what was recorded");
                self.ear.say(clips);
            }
            Command::Digits(digits) => self.ear.play_digits(&digits),
            Command::Mute(muted) => {
                tracing::info!(muted, "mute");
                self.voice.mute(muted);
            }
            Command::Explain(why) => self.stats.why = Some(why),
            Command::Answer => {
                if let Err(error) = self.road.answer() {
                    tracing::debug!(%error, "the call could not be answered");
                }
            }
            Command::DetectDigits(wanted) => self.voice.detect_digits(wanted),
            Command::Process(processor) => {
                let direction = processor.config().direction;
                match direction {
                    Direction::Says => self.processor = Some(processor),
                    Direction::Hears => self.heard_by = Some(processor),
                }
                self.hook_up(direction);
            }
        }
    }

    fn join(&mut self, place: &Place) {
        tracing::Span::current().record("room", place.room());
        tracing::info!(participant = place.participant(), "joins");
        let catalog = self.around.coding.catalog();
        match Publication::open(&self.around.relay, place, &catalog, Instant::now()) {
            Ok(publication) => self.voice.publish(publication),
            Err(error) => tracing::warn!(%error, "the leg is not heard"),
        }
        self.place = Some(place.clone());
        self.hook_up(Direction::Says);
        self.hook_up(Direction::Hears);
    }

    fn tick(&mut self, due: Due, now: Instant) -> Result<(), Reason> {
        self.stats.lateness.record(due.late);
        self.around.throttle.ticked(due.late);
        self.stats.frames_skipped += due.skipped;
        if due.skipped > 0 {
            tracing::debug!(late_ms = due.late.as_millis() as u64, "stood still");
            let form = self.form();
            let last = self.clock.time_of(due.first - 1);
            self.ear.skip(due.skipped, last, form);
            self.road.skip(due.skipped);
        }
        self.ear.take_arrivals(now, &mut self.stats);
        for index in due.first..due.first + due.frames {
            match self.send_next(self.clock.time_of(index), now) {
                Ok(Sent::Yes) => self.stats.frames_out += 1,
                Ok(Sent::Dropped) => self.stats.frames_unsent += 1,
                Ok(Sent::Stalled) => return Err(Reason::Stalled),
                Err(error) => return Err(broken(&error)),
            }
        }
        self.road.refill(now).map_err(|error| broken(&error))?;
        // What is passed on untouched has no level that anyone knows.
        if self.road.carries() != Carries::Opus {
            self.watch_for_loops();
        }
        self.voice.tick(now);
        self.flush_events();
        if now >= self.report_due {
            self.report_due = now + REPORT_INTERVAL;
            self.voice.look_at_way(self.start.elapsed());
            self.publish_report();
            self.look_for_silence();
            if now >= self.judge_due {
                self.judge_due = now + quality::INTERVAL;
                self.judge();
            }
        }
        if self.intake.is_companded(now) {
            return Err(self.refuse_codec());
        }
        Ok(())
    }

    /// Returns what this leg's next frames are made of.
    fn form(&mut self) -> Form {
        match self.ear.heard() {
            Heard::One(_) if self.road.carries() == Carries::Opus => Form::Packets,
            Heard::One(_) | Heard::Many | Heard::Nothing => Form::Sound,
        }
    }

    /// Sends what is to be heard at `due`.
    fn send_next(&mut self, due: Duration, now: Instant) -> io::Result<Sent> {
        self.ear.step();
        if self.road.carries() != Carries::Opus {
            self.ear.hear(due, &mut self.frame);
            self.polish.process_unmeasured(&mut self.frame);
            if let Some(heard) = &mut self.heard {
                heard.lead(sample_rate(self.out_rate), &mut self.frame);
            }
            return self.road.send(self.out_rate, &self.frame, now);
        }
        let Self {
            opus_out,
            ear,
            frame,
            packets,
            stats,
            road,
            ..
        } = self;
        opus_out.make(ear, due, frame, packets, stats);
        // A packet that lasts longer than 20 ms leaves the next ticks with nothing to send.
        let mut sent = Sent::Yes;
        for packet in packets.drain(..) {
            sent = road.send_packet(packet, now)?;
        }
        Ok(sent)
    }

    /// Reads all there is within the budget, and only then looks what is worth keeping: of a backlog the newest.
    fn move_bytes(&mut self, ready: io::Result<()>) -> Result<(), Reason> {
        ready.map_err(|error| broken(&error))?;
        loop {
            match self.road.read() {
                Ok(Read::Some) => self.take_arrivals()?,
                Ok(Read::Spent) => return Ok(()),
                Ok(Read::Empty) => break,
                Ok(Read::Ended) => {
                    self.speak();
                    return Err(Reason::Closed);
                }
                Err(error) => return Err(broken(&error)),
            }
        }
        self.speak();
        Ok(())
    }

    fn take_arrivals(&mut self) -> Result<(), Reason> {
        while let Some(arrival) = self.road.next() {
            self.take(arrival)?;
        }
        Ok(())
    }

    fn take(&mut self, arrival: Arrival) -> Result<(), Reason> {
        match arrival {
            Arrival::Labelled(audio) => self.take_audio(&audio, Label::Doubtful),
            Arrival::Pcm(audio) => self.take_audio(&audio, Label::True),
            Arrival::Lost(length) => {
                self.speak();
                self.intake.break_off();
                self.voice.lose(length);
                Ok(())
            }
            Arrival::Packet(packet) => {
                self.stats.frames_in += 1;
                let now = self.start.elapsed();
                self.voice.pass(packet, now, &mut self.stats);
                Ok(())
            }
            Arrival::Digit(digit) => {
                // What brings keys itself needs no ear for them, which would hear some twice.
                self.voice.detect_digits(false);
                self.digit_pressed(digit);
                Ok(())
            }
            Arrival::Ended => Err(Reason::Closed),
            Arrival::Broken(what) => {
                tracing::warn!("{what}");
                Err(Reason::Malformed)
            }
            Arrival::Nonsense(what) => self.malformed(format_args!("{what}")),
            Arrival::Nothing => Ok(()),
        }
    }

    fn take_audio(&mut self, audio: &Audio, label: Label) -> Result<(), Reason> {
        let now = Instant::now();
        if now.duration_since(self.last_audio) > PAUSE {
            self.intake.break_off();
        }
        self.last_audio = now;
        if label == Label::Doubtful
            && let Some(odd) = self.pace.take(audio, now)
        {
            self.stats.odd_pace += 1;
            tracing::warn!("{odd}");
        }
        let before = self.intake.rate();
        match self.intake.take(audio, label, now) {
            Taken::Withheld => {}
            Taken::Companded => return Err(self.refuse_codec()),
            Taken::Queued { dropped } => self.stats.frames_dropped += dropped,
        }
        let arriving = self.intake.rate();
        if arriving != before {
            self.rate_changed(arriving);
        }
        Ok(())
    }

    fn rate_changed(&mut self, arriving: Option<Rate>) {
        self.stats.rate_in = arriving.map_or(0, Rate::hz);
        if self.road.carries() != Carries::AnyPcm {
            return;
        }
        self.out_rate = self.rate.given(arriving);
        self.stats.rate_out = self.out_rate.hz();
        self.frame.resize(self.out_rate.frame_samples(), 0);
        self.ear.set_rate(sample_rate(self.out_rate));
        self.polish.set_rate(sample_rate(self.out_rate));
        tracing::info!(
            hz_in = self.stats.rate_in,
            hz_out = self.stats.rate_out,
            "sound from Asterisk"
        );
    }

    /// Publishes what waits.
    fn speak(&mut self) {
        let waiting = self.intake.waiting();
        self.stats.queue_frames_max = self.stats.queue_frames_max.max(waiting);
        let now = self.start.elapsed();
        for after in (0..waiting).rev() {
            let Some(frame) = self.intake.next_frame() else {
                break;
            };
            self.stats.frames_in += 1;
            let Self {
                voice,
                stats,
                pressed,
                ..
            } = self;
            voice.say(frame, after, now, stats, |digit| pressed.push(digit.digit));
        }
        for digit in std::mem::take(&mut self.pressed) {
            self.digit_pressed(digit);
        }
    }

    fn digit_pressed(&mut self, digit: char) {
        tracing::info!(%digit, "key pressed");
        self.stats.digits += 1;
        self.tell(Event::Digit {
            leg: self.id,
            digit,
        });
    }

    fn malformed(&mut self, what: fmt::Arguments<'_>) -> Result<(), Reason> {
        self.stats.malformed += 1;
        tracing::debug!(%what, "message without sense");
        if self.stats.malformed < MALFORMED_MAX {
            return Ok(());
        }
        tracing::warn!(%what, "too many messages without sense: hanging up");
        Err(Reason::Malformed)
    }

    fn refuse_codec(&self) -> Reason {
        tracing::warn!(
            "Asterisk sends another codec under type 0x10, not linear sound: the dialplan's \
             Dial(AudioSocket/host:port/uuid) lacks /c(slin16); hanging up"
        );
        Reason::Companded
    }

    fn tell(&mut self, event: Event) {
        self.flush_events();
        if self.unsent.len() < UNSENT_EVENTS_MAX {
            self.unsent.push_back(event);
            self.flush_events();
        } else {
            tracing::warn!("a digit was dropped: nobody takes the bridge's events");
        }
    }

    fn flush_events(&mut self) {
        while let Some(event) = self.unsent.pop_front() {
            match self.around.events.try_send(event) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    return self.unsent.push_front(event);
                }
            }
        }
    }

    /// Looks whether what was sent last is what was said before.
    fn watch_for_loops(&mut self) {
        let sent = Level::of(&self.frame);
        let voice = sent < level::QUIET;
        self.stats.speech[1].add(AudioLevel { level: sent, voice });
        let Some(found) = self.loops.handle(sent, self.voice.take_loudest()) else {
            return;
        };
        self.stats.loops += 1;
        tracing::warn!(
            after_ms = found.delay.as_millis() as u64,
            softer_db = f64::from(found.loss_db),
            "what we send comes back: an echo at the telephone, or a loop in the dialplan"
        );
    }

    /// Rates both directions.
    fn judge(&mut self) {
        self.stats.quality = self.watch.judge(&self.stats);
        // The others' way to us is most likely ours to them: they have one access line.
        if let Some(heard) = self.stats.quality[1] {
            let report = Report {
                loss: heard.lost,
                bandwidth_bps: None,
            };
            self.voice.measured(report, self.start.elapsed());
        }
        for (side, direction) in ["from_telephone", "to_telephone"].into_iter().enumerate() {
            let Some(quality) = self.stats.quality[side] else {
                continue;
            };
            let worst = &mut self.stats.worst[side];
            if worst.is_none_or(|worst| quality.rating < worst) {
                *worst = Some(quality.rating);
            }
            self.around.meters.quality(side, &quality);
            tracing::debug!(
                direction,
                mos = quality.rating.mos(),
                missing = quality.missing,
                delay_ms = quality.delay.as_millis() as u64,
                jitter_ms = quality.jitter.as_millis() as u64,
                "quality"
            );
        }
        self.tell_quality();
    }

    /// A report that finds no room is not worth a digit's place: the next one follows.
    fn tell_quality(&mut self) {
        let event = Event::Quality {
            leg: self.id,
            quality: self.stats.quality,
            silent: self.watch.silent(),
        };
        if self.unsent.is_empty() && self.around.events.try_send(event).is_err() {
            tracing::trace!("nobody takes the bridge's events");
        }
    }

    fn look_for_silence(&mut self) {
        let now = self.start.elapsed();
        let before = self.watch.silent();
        while let Some(missing) = self.watch.missing(&self.stats, now) {
            self.around.meters.silent(missing as usize);
            match missing {
                quality::Missing::FromTelephone => tracing::warn!(
                    cause = missing.cause(self.stats.frames_in).explanation(),
                    "no sound from Asterisk for 3 s"
                ),
                // Whoever is muted may send nothing at all.
                quality::Missing::ToTelephone => tracing::info!(
                    cause = missing.cause(self.stats.objects_in).explanation(),
                    "nothing to say to Asterisk for 3 s"
                ),
            }
        }
        if self.watch.silent() != before {
            self.tell_quality();
        }
    }

    fn publish_report(&mut self) {
        let effort = self.around.throttle.effort();
        (self.stats.complexity, self.stats.narrow) = (effort.complexity, effort.narrow);
        self.stats.sources = self.ear.stats();
        let counts = self.road.counts();
        self.stats.packets_lost = counts.lost;
        self.stats.packets_late = counts.late;
        self.stats.packets_duplicate = counts.duplicate;
        self.stats.packets_strange = counts.strange;
        self.stats.said_level = counts.said_level;
        self.stats.said_mode = counts.said_mode;
        self.stats.remote_loss = counts.remote_loss.map(|part| f64::from(part) / 256.0);
        self.around.meters.leg_progress(&self.reported, &self.stats);
        self.reported = self.stats.clone();
        self.report.send_replace(self.stats.clone());
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
