//! What a leg is told, and what it does then.

use moqrelay_audio::clip::Clip;
use moqrelay_processor::{Direction, Processor};
use moqrelay_relay::FullTrackName;
use tokio::time::Instant;

use super::{Beep, Leg, Tone};
use crate::{Place, publication::Publication, wheel::Wheel};

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

impl Leg {
    pub(super) fn obey(&mut self, command: Command) {
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

    pub(super) fn join(&mut self, place: &Place) {
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
}
