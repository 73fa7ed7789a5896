//! Adds voices up: for everyone the sum of all others (N-1).

/// The sum of one tick's voices, wide enough not to overflow.
///
/// [`clear`](Self::clear), [`add`](Self::add) each voice, then take [`total`](Self::total) or, for
/// someone who should not hear himself, [`total_without`](Self::total_without).
#[derive(Clone, Debug)]
pub struct Bus {
    sum: Vec<i32>,
    voices: usize,
}

impl Bus {
    /// Makes a bus of `samples` per tick.
    #[must_use]
    pub fn new(samples: usize) -> Self {
        Self {
            sum: vec![0; samples],
            voices: 0,
        }
    }

    /// Starts the next tick.
    pub fn clear(&mut self) {
        self.sum.fill(0);
        self.voices = 0;
    }

    /// Adds a voice. What is longer than the bus is ignored, what is shorter ends in silence.
    /// At most [`VOICES_MAX`] count; more are ignored.
    pub fn add(&mut self, voice: &[i16]) {
        if self.voices == VOICES_MAX {
            return;
        }
        self.voices += 1;
        for (sum, sample) in self.sum.iter_mut().zip(voice) {
            *sum += i32::from(*sample);
        }
    }

    /// Returns how many voices were added since [`clear`](Self::clear).
    #[must_use]
    pub fn voices(&self) -> usize {
        self.voices
    }

    /// Writes the sum of all voices.
    ///
    /// One voice comes out unchanged; more are bent softly where they would exceed full scale.
    pub fn total(&self, out: &mut [i16]) {
        self.write(&[], self.voices, out);
    }

    /// Writes the sum of all voices but `own`, which must have been added.
    pub fn total_without(&self, own: &[i16], out: &mut [i16]) {
        self.write(own, self.voices.saturating_sub(1), out);
    }

    fn write(&self, own: &[i16], voices: usize, out: &mut [i16]) {
        let own = own
            .iter()
            .map(|sample| i32::from(*sample))
            .chain(core::iter::repeat(0));
        let sum = self.sum.iter().copied().chain(core::iter::repeat(0));
        for ((out, sum), own) in out.iter_mut().zip(sum).zip(own) {
            let sum = sum - own;
            *out = if voices <= 1 {
                saturate(sum)
            } else {
                soften(sum)
            };
        }
    }
}

/// More voices than could ever be told apart; keeps the sum within 32 bits.
pub const VOICES_MAX: usize = 4096;

/// Bends `sum` below full scale: straight up to 3/4, then ever flatter, never above.
///
/// The curve and its slope are continuous, so a loud sum gets warm instead of crackling.
#[must_use]
pub fn soften(sum: i32) -> i16 {
    let over = sum.unsigned_abs().saturating_sub(KNEE);
    if over == 0 {
        return saturate(sum);
    }
    // room * over / (room + over): slope 1 at the knee, approaching full scale.
    let (over, room) = (u64::from(over), u64::from(FULL_SCALE - KNEE));
    let bent = KNEE + (room * over / (room + over)) as u32;
    let bent = bent.min(FULL_SCALE) as i32;
    saturate(if sum < 0 { -bent } else { bent })
}

const FULL_SCALE: u32 = i16::MAX as u32;
const KNEE: u32 = FULL_SCALE / 4 * 3;

fn saturate(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}
