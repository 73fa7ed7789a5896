use crate::level::{AudioLevel, Level};

/// Says of each 20 ms whether it is speech that is sent or silence that is not.
///
/// It opens with the first frame of voice and closes a while after the last one. What silence sounds
/// like is told when it begins, when it changes, and once a second, so that whoever joins late or
/// lost it knows.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Frames without voice that are still sent.
    open_frames: u32,
    /// Frames since silence was told.
    told_frames: u32,
    /// Level of the background as it was told, and smoothed, -dBov.
    told: f32,
    background: Option<f32>,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// It is sent; the first one after silence.
    Begin,
    /// It is sent.
    Speech,
    /// It is not sent, but the others are told that it is silent, and how loud that is.
    Tell(Level),
    /// It is not sent.
    Nothing,
}

/// Frames that are sent after the last voice: with [`crate::level::HANGOVER_FRAMES`] 280 ms, so that
/// soft word ends are heard and short pauses do not chop.
const HOLD_FRAMES: u32 = 4;

/// 1 s: whoever missed it wonders no longer than that.
const TELL_FRAMES: u32 = 50;

/// A background that changed by so much is told anew, dB.
const CHANGE_DB: f32 = 6.0;

/// At most five times a second.
const TELL_FRAMES_MIN: u32 = 10;

/// Time constant of the background's level, in frames.
const FOLLOW_FRAMES: f32 = 10.0;

impl Gate {
    /// Makes a gate that is closed.
    #[must_use]
    pub fn new() -> Self {
        Self {
            open_frames: 0,
            told_frames: TELL_FRAMES,
            told: 0.0,
            background: None,
        }
    }

    /// Returns what becomes of the next frame.
    pub fn handle(&mut self, frame: AudioLevel) -> Sending {
        let was_open = self.open_frames > 0;
        if frame.voice {
            self.open_frames = HOLD_FRAMES + 1;
        }
        self.open_frames = self.open_frames.saturating_sub(u32::from(!frame.voice));
        if self.open_frames > 0 {
            return if was_open {
                Sending::Speech
            } else {
                Sending::Begin
            };
        }
        self.be_silent(frame, was_open)
    }

    fn be_silent(&mut self, frame: AudioLevel, begins: bool) -> Sending {
        let level = f32::from(frame.level.minus_dbov());
        let background = match self.background {
            Some(before) if !begins => before + (level - before) / FOLLOW_FRAMES,
            _ => level,
        };
        self.background = Some(background);
        self.told_frames += 1;
        let changed =
            (background - self.told).abs() >= CHANGE_DB && self.told_frames >= TELL_FRAMES_MIN;
        if !begins && !changed && self.told_frames < TELL_FRAMES {
            return Sending::Nothing;
        }
        self.told_frames = 0;
        self.told = background;
        Sending::Tell(Level::new(background.round() as u8))
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
