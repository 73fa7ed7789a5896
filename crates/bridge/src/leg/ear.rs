//! What a leg hears: any number of tracks and a tone, summed for its own 20 ms clock.

use std::{collections::VecDeque, time::Duration};

use moqrelay_audio::{
    FRAME_DURATION, SampleRate,
    clip::Clip,
    dsp::{ComfortNoise, fade_out},
    jitter,
    level::{Level, SILENCE},
    mix::Bus,
    opus,
    playout::OpusPlayer,
    resample::Resampler,
    tone,
};
use moqrelay_relay::{
    FullTrackName,
    track::{Event, Object, Reader},
};
use moqrelay_wire::audio_object::{Kind, Properties, TIMESCALE};
use tokio::{sync::mpsc, time::Instant};

use super::{Beep, Stats, Tone, clock::CATCH_UP_FRAMES, feed::Feed};
use crate::wheel::Mix;

/// Tracks one leg listens to. A decoder and its buffer take some 40 KB; nobody follows more voices at once.
pub(super) const SOURCES_MAX: usize = 32;

/// Digits that wait to be played.
const DIGITS_MAX: usize = 32;

/// Signals that wait to be played: what is said to somebody at a time is a sentence or two.
const SIGNALS_MAX: usize = 8;

/// A digit sounds for 100 ms and is followed by as much silence: receivers want 40 ms of each (ITU-T Q.24).
const DIGIT_ON: Duration = Duration::from_millis(100);
const DIGIT_FRAMES: u32 = 10;
/// A pause among digits, and how long it is: as Asterisk has it.
const PAUSE: char = 'w';
const PAUSE_FRAMES: u32 = 25;

/// A standstill of more frames than this is over and done with: what waited is forgotten, and what comes with the next
/// frames is the backlog. Taken for the network's jitter, it would keep the delay high for a long time.
const SKIP_FRAMES_MAX: u64 = 10;

/// Frames after such a standstill within which arrivals are backlog: those that are made up for at once, and two.
const BACKLOG_FRAMES: u64 = CATCH_UP_FRAMES + 2;

/// Objects of one source that are looked at within a tick; a publisher has one to send, and a network that was blocked
/// for a second fifty. Who sends more loses what the relay does not keep.
const ARRIVALS_PER_TICK: u32 = 64;

/// What is taken away in the middle of its sound is gone within 5 ms, without a click.
pub(super) const FADE: Duration = Duration::from_millis(5);

/// The way from tracks to frames.
#[derive(Debug)]
pub(super) struct Ear {
    rate: SampleRate,
    jitter: jitter::Config,
    comfort_noise: bool,
    sources: Vec<Source>,
    bus: Bus,
    voice: Vec<i16>,
    /// The end of what was taken away since the last frame.
    tail: Bus,
    tone: Option<(Tone, tone::Tone)>,
    /// The room that is heard.
    feed: Option<Feed>,
    /// What is played once of what was asked for last, the first one now.
    signals: VecDeque<Signal>,
    digits: VecDeque<char>,
    /// Without a tone it is a pause.
    digit: Option<(Option<tone::Tone>, u32)>,
    /// Frames within which arrivals are dropped.
    backlog_frames: u64,
    look: Look,
}

impl Ear {
    /// `start` is the moment from which all times count.
    pub(super) fn new(
        rate: SampleRate,
        jitter: jitter::Config,
        comfort_noise: bool,
        start: Instant,
    ) -> Self {
        Self {
            look: Look::new(start),
            rate,
            jitter,
            comfort_noise,
            sources: Vec::new(),
            bus: Bus::new(rate.frame_samples()),
            voice: vec![0; rate.frame_samples()],
            tail: Bus::new(rate.frame_samples()),
            tone: None,
            feed: None,
            signals: VecDeque::new(),
            digits: VecDeque::new(),
            digit: None,
            backlog_frames: 0,
        }
    }

    /// Makes frames of another rate from now on; what waited in the buffers is lost.
    pub(super) fn set_rate(&mut self, rate: SampleRate) {
        if rate == self.rate {
            return;
        }
        self.rate = rate;
        self.bus = Bus::new(rate.frame_samples());
        self.tail = Bus::new(rate.frame_samples());
        self.voice = vec![0; rate.frame_samples()];
        self.tone = self.tone.take().map(|(kind, _)| (kind, kind.start(rate)));
        self.digit = None;
        self.signals.clear();
        if let Some(feed) = &mut self.feed {
            feed.set_rate(rate);
        }
        for source in &mut self.sources {
            source.start(rate, self.jitter);
        }
    }

    /// Hears a track from now on; twice is once.
    pub(super) fn listen(&mut self, reader: Reader) {
        if self
            .sources
            .iter()
            .any(|source| source.reader.name() == reader.name())
        {
            return;
        }
        if self.sources.len() >= SOURCES_MAX {
            tracing::warn!(track = %reader.name(), "not listened to: the leg hears {SOURCES_MAX} tracks already");
            return;
        }
        let seed = self.sources.len() as u32;
        let source = Source::new(reader, self.rate, self.jitter, seed);
        self.sources.push(source);
    }

    /// Hears a track no longer.
    pub(super) fn unlisten(&mut self, name: &FullTrackName, now: Duration) {
        let Some(at) = self
            .sources
            .iter()
            .position(|source| source.reader.name() == name)
        else {
            return;
        };
        if let Some(mut player) = self.sources.remove(at).player {
            player.pull(now, &mut self.voice);
            self.let_go();
        }
    }

    /// Plays a tone until [`stop_tone`](Self::stop_tone) or the next one.
    pub(super) fn play(&mut self, tone: Tone) {
        self.tone = Some((tone, tone.start(self.rate)));
    }

    pub(super) fn stop_tone(&mut self) {
        if let Some((_, mut tone)) = self.tone.take() {
            tone.fill(&mut self.voice);
            self.let_go();
        }
    }

    /// Hears the mix of a room, and no other one.
    pub(super) fn hear_room(&mut self, frames: mpsc::Receiver<Mix>) {
        self.feed = Some(Feed::new(frames, self.rate));
    }

    /// Tells whether a room's mix is heard.
    pub(super) fn hears_room(&self) -> bool {
        self.feed.is_some()
    }

    /// Hears no room any more.
    pub(super) fn leave_room(&mut self) {
        if let Some(mut feed) = self.feed.take() {
            feed.fill(&mut self.voice);
            self.let_go();
        }
    }

    /// Plays notes once, beside whatever else is heard, instead of what was being played so.
    pub(super) fn beep(&mut self, beep: Beep) {
        self.hush();
        self.signals.extend(beep.start(self.rate).map(Signal::Note));
    }

    /// Plays recorded sounds once, beside whatever else is heard, after what is being played so; none: ends that.
    pub(super) fn say(&mut self, clips: Vec<Clip>) {
        if clips.is_empty() {
            return self.hush();
        }
        let room = SIGNALS_MAX.saturating_sub(self.signals.len());
        let spoken = clips.into_iter().take(room);
        let rate = self.rate;
        self.signals
            .extend(spoken.map(|clip| Signal::Clip(Spoken::new(clip, rate))));
    }

    /// Ends what is being played once.
    fn hush(&mut self) {
        if let Some(mut signal) = self.signals.pop_front() {
            signal.fill(&mut self.voice);
            self.let_go();
        }
        self.signals.clear();
    }

    /// Lets what is in `voice` fade out at the beginning of the next frame.
    fn let_go(&mut self) {
        fade_out(&mut self.voice, self.rate.samples_in(FADE));
        self.tail.add(&self.voice);
    }

    /// Plays digits one after the other, beside whatever else is heard.
    pub(super) fn play_digits(&mut self, digits: &[char]) {
        let room = DIGITS_MAX - self.digits.len();
        self.digits.extend(digits.iter().take(room));
    }

    /// Moves what came since the last look into the jitter buffers. Nobody is woken for it: the relay knows when each
    /// object came, and until the next tick nothing would be done with it.
    pub(super) fn take_arrivals(&mut self, now: Instant, stats: &mut Stats) {
        self.look.at(now);
        let arrived = if self.backlog_frames > 0 {
            Arrived::TooLate
        } else {
            Arrived::Since(self.look)
        };
        for source in &mut self.sources {
            source.drain(arrived, stats);
        }
    }

    /// Begins the next 20 ms.
    pub(super) fn step(&mut self) {
        self.backlog_frames = self.backlog_frames.saturating_sub(1);
    }

    /// Fills `out`, which holds 20 ms, with what is due at `due`.
    pub(super) fn hear(&mut self, due: Duration, out: &mut [i16]) {
        self.bus.clear();
        for source in &mut self.sources {
            let Some(player) = &mut source.player else {
                continue;
            };
            player.pull(due, &mut self.voice);
            if self.comfort_noise {
                let silent = !player.is_sounding();
                let level = if silent { source.silence } else { SILENCE };
                source.noise.add(level, &mut self.voice);
            }
            self.bus.add(&self.voice);
        }
        if self.tail.voices() > 0 {
            self.tail.total(&mut self.voice);
            self.tail.clear();
            self.bus.add(&self.voice);
        }
        if let Some((_, tone)) = &mut self.tone {
            tone.fill(&mut self.voice);
            self.bus.add(&self.voice);
        }
        if let Some(feed) = &mut self.feed {
            feed.fill(&mut self.voice);
            self.bus.add(&self.voice);
        }
        self.hear_signal();
        self.hear_digit();
        self.bus.total(out);
    }

    /// Returns what is heard, for those who can pass packets on.
    pub(super) fn heard(&mut self) -> Heard<'_> {
        let tone = self.tone.is_some() || self.digit.is_some() || !self.digits.is_empty();
        let tone = tone || self.feed.is_some() || !self.signals.is_empty();
        let sounds = self.sources.iter().filter(|source| source.player.is_some());
        match (tone, sounds.count()) {
            (false, 0) => Heard::Nothing,
            (false, 1) => {
                let mut players = self
                    .sources
                    .iter_mut()
                    .filter_map(|source| source.player.as_mut());
                players.next().map_or(Heard::Nothing, Heard::One)
            }
            _ => Heard::Many,
        }
    }

    /// Passes over frames that are never going to be sent; the last of them was due at `due`.
    pub(super) fn skip(&mut self, frames: u64, due: Duration, form: Form) {
        let long = frames > SKIP_FRAMES_MAX;
        if long {
            self.backlog_frames = BACKLOG_FRAMES;
        }
        if let Some(feed) = &mut self.feed {
            feed.skip(frames);
        }
        for player in self
            .sources
            .iter_mut()
            .filter_map(|source| source.player.as_mut())
        {
            if long {
                player.reset();
                continue;
            }
            for _ in 0..frames {
                match form {
                    Form::Sound => {
                        player.pull(due, &mut self.voice);
                    }
                    Form::Packets => player.pass(due, FRAME_DURATION, |_| {}),
                }
            }
        }
    }

    /// Returns the state of each jitter buffer.
    pub(super) fn stats(&self) -> Vec<(String, jitter::Stats)> {
        let stats = |source: &Source| {
            let player = source.player.as_ref()?;
            Some((source.reader.name().to_string(), player.stats()))
        };
        self.sources.iter().filter_map(stats).collect()
    }

    fn hear_signal(&mut self) {
        let Some(signal) = self.signals.front_mut() else {
            return;
        };
        let over = signal.fill(&mut self.voice);
        self.bus.add(&self.voice);
        if over {
            self.signals.pop_front();
        }
    }

    fn hear_digit(&mut self) {
        if self.digit.is_none() {
            let Some(digit) = self.digits.pop_front() else {
                return;
            };
            self.digit = match tone::Tone::dtmf(self.rate, digit, DIGIT_ON) {
                Some(tone) => Some((Some(tone), DIGIT_FRAMES)),
                None => (digit == PAUSE).then_some((None, PAUSE_FRAMES)),
            };
        }
        let Some((tone, frames)) = &mut self.digit else {
            return;
        };
        if let Some(tone) = tone {
            tone.fill(&mut self.voice);
            self.bus.add(&self.voice);
        }
        *frames -= 1;
        if *frames == 0 {
            self.digit = None;
        }
    }
}

/// In which form sound is taken out of the jitter buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Decoded.
    Sound,
    /// As it came.
    Packets,
}

/// Something that is played once.
#[derive(Debug)]
enum Signal {
    Note(tone::Tone),
    Clip(Spoken),
}

impl Signal {
    /// Writes the next 20 ms; true: nothing is left.
    fn fill(&mut self, out: &mut [i16]) -> bool {
        match self {
            Self::Note(note) => {
                note.fill(out);
                note.is_over()
            }
            Self::Clip(spoken) => spoken.fill(out),
        }
    }
}

/// A recorded sound on its way, at the leg's rate.
#[derive(Debug)]
struct Spoken {
    clip: Clip,
    at: usize,
    /// To the leg's rate, if that is another one, and what came out of it and is not used yet.
    resampler: Option<Resampler>,
    resampled: Vec<i16>,
}

impl Spoken {
    fn new(clip: Clip, rate: SampleRate) -> Self {
        Self {
            clip,
            at: 0,
            resampler: (rate != Clip::RATE).then(|| Resampler::new(Clip::RATE, rate)),
            resampled: Vec::new(),
        }
    }

    fn fill(&mut self, out: &mut [i16]) -> bool {
        out.fill(0);
        let samples = self.clip.samples();
        let Some(resampler) = &mut self.resampler else {
            let rest = samples.get(self.at..).unwrap_or_default();
            for (to, from) in out.iter_mut().zip(rest) {
                *to = *from;
            }
            self.at += out.len();
            return self.at >= samples.len();
        };
        // What the resampler keeps back at first comes with the next frame.
        while self.resampled.len() < out.len() && self.at < samples.len() {
            let end = (self.at + Clip::RATE.frame_samples()).min(samples.len());
            resampler.process(&samples[self.at..end], &mut self.resampled);
            self.at = end;
        }
        let len = out.len().min(self.resampled.len());
        for (to, from) in out.iter_mut().zip(self.resampled.drain(..len)) {
            *to = from;
        }
        self.at >= samples.len() && self.resampled.is_empty()
    }
}

/// What a leg hears at a time.
#[derive(Debug)]
pub(super) enum Heard<'a> {
    /// No track at all.
    Nothing,
    /// One track and nothing else.
    One(&'a mut OpusPlayer),
    /// Several tracks, or a tone: they must be mixed.
    Many,
}

/// When objects came, for the jitter buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arrived {
    /// Each at its own time, since the last look.
    Since(Look),
    /// While we stood still: too late.
    TooLate,
}

/// The times of two looks at what came, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// From which times count.
    start: Instant,
    before: Instant,
    now: Instant,
}

impl Look {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            before: start,
            now: start,
        }
    }

    /// Looks again.
    pub(crate) fn at(&mut self, now: Instant) {
        self.before = self.now;
        self.now = now.max(self.now);
    }

    /// Returns the time of what came at `at` by the relay's clock. That is the system's, which in tests is not ours:
    /// what is found at this look has come since the one before.
    fn arrival(&self, at: std::time::Instant) -> Duration {
        Instant::from_std(at).clamp(self.before, self.now) - self.start
    }
}

/// One track that is heard.
#[derive(Debug)]
pub(crate) struct Source {
    reader: Reader,
    /// `None` when libopus had no memory for a decoder.
    player: Option<OpusPlayer>,
    /// What the track's properties say of timestamps.
    timescale: Option<u64>,
    noise: ComfortNoise,
    /// How loud its silence is, as it said.
    silence: Level,
    ended: bool,
}

impl Source {
    pub(crate) fn new(reader: Reader, rate: SampleRate, jitter: jitter::Config, seed: u32) -> Self {
        let mut source = Self {
            reader,
            player: None,
            timescale: None,
            noise: ComfortNoise::new(seed),
            silence: SILENCE,
            ended: false,
        };
        source.start(rate, jitter);
        source
    }

    /// Moves what has arrived into the buffer, as much as may in one tick.
    pub(crate) fn drain(&mut self, arrived: Arrived, stats: &mut Stats) {
        if self.ended {
            return;
        }
        for _ in 0..ARRIVALS_PER_TICK {
            let Some((at, event)) = self.reader.try_next_at() else {
                if !self.reader.is_attached() {
                    self.ended = true;
                    tracing::warn!(track = %self.reader.name(), "not heard: the relay keeps too many tracks");
                }
                return;
            };
            let at = match arrived {
                Arrived::Since(look) => Some(look.arrival(at)),
                Arrived::TooLate => None,
            };
            self.take(event, at, stats);
        }
    }

    /// Fills `out`, 20 ms, with what is due at `due`; false when that is silence.
    pub(crate) fn hear(&mut self, due: Duration, out: &mut [i16]) -> bool {
        let Some(player) = &mut self.player else {
            return false;
        };
        player.pull(due, out);
        player.is_sounding()
    }

    /// Forgets what waits.
    pub(crate) fn reset(&mut self) {
        if let Some(player) = &mut self.player {
            player.reset();
        }
    }

    fn start(&mut self, rate: SampleRate, jitter: jitter::Config) {
        self.player = OpusPlayer::opus(rate, jitter)
            .inspect_err(|error: &opus::Error| {
                tracing::warn!(track = %self.reader.name(), %error, "cannot be decoded");
            })
            .ok();
    }

    /// `at`: when it came, if that was in time.
    fn take(&mut self, event: Event, at: Option<Duration>, stats: &mut Stats) {
        match event {
            Event::Object(object) => {
                stats.objects_in += 1;
                if let Some(at) = at
                    && self.push(&object, at).is_none()
                {
                    stats.objects_malformed += 1;
                }
            }
            Event::Began(info) => {
                let properties = Properties::decode(&info.properties).unwrap_or_default();
                self.timescale = properties.timescale;
                self.silence = SILENCE;
                // Another publisher has another clock.
                if let Some(player) = &mut self.player {
                    player.reset();
                }
                tracing::debug!(track = %self.reader.name(), "heard now");
            }
            Event::Ended(ending) => {
                tracing::debug!(track = %self.reader.name(), reason = ending.reason, "ended");
            }
            Event::Lost { entries } => {
                tracing::debug!(track = %self.reader.name(), entries, "fell behind");
            }
            _ => {}
        }
    }

    /// Returns `None` when the object is no voice.
    fn push(&mut self, object: &Object, now: Duration) -> Option<()> {
        let properties = Properties::decode(&object.properties).ok()?;
        if object.payload.is_empty() && properties.kind != Kind::Silence {
            // The end of a group or of the track: nothing to hear and nothing wrong.
            return Some(());
        }
        // Ours always say it; a foreign publisher of 48 kHz Opus most likely means the same.
        let scale = self.timescale.unwrap_or(TIMESCALE);
        let timestamp = properties.timestamp_48k(Some(scale))?;
        let player = self.player.as_mut()?;
        if properties.kind == Kind::Silence {
            let level = properties.level.map(|level| level.below_overload_db);
            self.silence = level.map_or(SILENCE, Level::new);
            player.pause(timestamp);
            return Some(());
        }
        let push = player.push(timestamp, object.payload.clone(), now).ok()?;
        tracing::trace!(timestamp, ?push, "object");
        Some(())
    }
}
