use core::f32::consts::TAU;

use crate::SampleRate;

/// Takes direct current and rumble out: what bad sound cards and some gateways add, which costs
/// headroom, clicks at every cut and lifts the measured level of silence.
///
/// One zero at 0 Hz and one pole at [`CORNER_HZ`]: speech, 70 Hz and up, loses less than 0.2 dB.
#[derive(Clone, Debug)]
pub struct DcBlocker {
    pole: f32,
    heard: f32,
    said: f32,
}

/// Where the filter has -3 dB: two octaves below the lowest voice.
const CORNER_HZ: f32 = 15.0;

/// Below this the filter's memory is nothing that 16 bits can show; kept on, it would end as
/// denormal numbers, which are slow.
const FORGOTTEN: f32 = 1e-3;

/// Beside this a number of 24 bits has no room for a fraction: adding and subtracting it rounds. A call of
/// `round_ties_even` for each sample, which is what older processors need, costs three times the filter.
const WHOLE: f32 = (3 << 22) as f32;

impl DcBlocker {
    /// Makes a filter that has heard silence.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        Self {
            pole: 1.0 - TAU * CORNER_HZ / rate.hz() as f32,
            heard: 0.0,
            said: 0.0,
        }
    }

    /// Filters the next samples in place.
    pub fn process(&mut self, samples: &mut [i16]) {
        let Self { pole, heard, said } = self;
        for sample in samples {
            let now = f32::from(*sample);
            *said = now - *heard + *pole * *said;
            *heard = now;
            // Rounds to even; a cast saturates.
            *sample = (*said + WHOLE - WHOLE) as i16;
        }
        if said.abs() < FORGOTTEN {
            *said = 0.0;
        }
    }
}
