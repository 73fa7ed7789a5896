//! G.722 at 64 kbit/s: 16 kHz in two bands of adaptive differential PCM, a byte for two samples.
//!
//! Names in capitals are the blocks of the Recommendation (ITU-T G.722 sections 3 to 6), whose 16 bit arithmetic this
//! follows bit for bit.

/// Codes 16 kHz.
#[derive(Clone, Debug)]
pub struct Encoder {
    history: [i32; 24],
    low: Band,
    high: Band,
}

/// Decodes to 16 kHz.
#[derive(Clone, Debug)]
pub struct Decoder {
    history: [i32; 24],
    low: Band,
    high: Band,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            history: [0; 24],
            low: Band::new(SCALE_LOW),
            high: Band::new(SCALE_HIGH),
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            history: [0; 24],
            low: Band::new(SCALE_LOW),
            high: Band::new(SCALE_HIGH),
        }
    }
}

impl Encoder {
    /// Appends a byte for every two samples; an odd last one is left out.
    pub fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        let (pairs, _odd) = samples.as_chunks::<2>();
        for pair in pairs {
            out.push(self.encode_pair(*pair));
        }
    }

    fn encode_pair(&mut self, pair: [i16; 2]) -> u8 {
        let (odd, even) = split(&mut self.history, pair.map(i32::from));
        let low = self.low.quantize_low((even + odd) >> 14);
        let high = self.high.quantize_high((even - odd) >> 14);
        (high << 6 | low) as u8
    }
}

impl Decoder {
    /// Appends two samples for every byte.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<i16>) {
        for byte in bytes {
            out.extend(self.decode_byte(*byte));
        }
    }

    fn decode_byte(&mut self, byte: u8) -> [i16; 2] {
        let (low_code, high_code) = (usize::from(byte & 0x3f), usize::from(byte >> 6));
        let low = limit(self.low.signal + ((self.low.scale * LEVELS_64[low_code]) >> 15));
        let difference = self.low.adapt_low(low_code);
        self.low.predict(difference);
        let difference = self.high.adapt_high(high_code);
        let high = limit(self.high.signal + difference);
        self.high.predict(difference);
        let (first, second) = split(&mut self.history, [low + high, low - high]);
        // The receive filter is the transmit filter with its halves exchanged.
        [second >> 11, first >> 11].map(|sample| saturate(sample) as i16)
    }
}

/// One band's predictor and scale factor.
#[derive(Clone, Debug)]
struct Band {
    /// The predicted signal (PREDIC), and its part from the zeros (FILTEZ).
    signal: i32,
    zeros: i32,
    /// The last two reconstructed signals, newest first.
    recons: [i32; 2],
    /// The last two partially reconstructed signals.
    partial: [i32; 2],
    /// The pole predictor's coefficients.
    poles: [i32; 2],
    /// The last six differences, and the zero predictor's coefficients.
    differences: [i32; 6],
    weights: [i32; 6],
    /// The logarithmic and the linear scale factor.
    log_scale: i32,
    scale: i32,
}

impl Band {
    fn new(scale: i32) -> Self {
        Self {
            signal: 0,
            zeros: 0,
            recons: [0; 2],
            partial: [0; 2],
            poles: [0; 2],
            differences: [0; 6],
            weights: [0; 6],
            log_scale: 0,
            scale,
        }
    }

    fn quantize_low(&mut self, input: i32) -> i32 {
        let error = saturate(input - self.signal);
        let size = magnitude(error);
        let above = |threshold: &i32| size >= (threshold * self.scale) >> 12;
        let interval = THRESHOLDS
            .iter()
            .take_while(|threshold| above(threshold))
            .count();
        // 30 intervals on each side; the two smallest negative ones have codes of their own (table 6).
        let code = match (error < 0, interval) {
            (true, 0) => 63,
            (true, 1) => 62,
            (true, interval) => 33 - interval as i32,
            (false, interval) => 61 - interval as i32,
        };
        let difference = self.adapt_low(code as usize);
        self.predict(difference);
        code
    }

    fn quantize_high(&mut self, input: i32) -> i32 {
        let error = saturate(input - self.signal);
        let outer = magnitude(error) >= (THRESHOLD_HIGH * self.scale) >> 12;
        let code = match (error < 0, outer) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        let difference = self.adapt_high(code as usize);
        self.predict(difference);
        code
    }

    /// INVQAL, LOGSCL, SCALEL: returns the difference that the code's upper four bits stand for.
    fn adapt_low(&mut self, code: usize) -> i32 {
        let code = code >> 2;
        let difference = (self.scale * LEVELS_48[code]) >> 15;
        let log = ((self.log_scale * 127) >> 7) + STEPS_LOW[code];
        self.log_scale = log.clamp(0, 18_432);
        self.scale = linear(self.log_scale, 8);
        difference
    }

    /// INVQAH, LOGSCH, SCALEH.
    fn adapt_high(&mut self, code: usize) -> i32 {
        let difference = (self.scale * LEVELS_HIGH[code]) >> 15;
        let log = ((self.log_scale * 127) >> 7) + STEPS_HIGH[code];
        self.log_scale = log.clamp(0, 22_528);
        self.scale = linear(self.log_scale, 10);
        difference
    }

    /// Adapts the predictor to `difference` and predicts the next signal.
    fn predict(&mut self, difference: i32) {
        let recons = saturate(self.signal + difference);
        let partial = saturate(self.zeros + difference);
        self.adapt_poles(partial);
        self.adapt_zeros(difference);
        self.differences.rotate_right(1);
        self.differences[0] = difference;
        self.recons = [recons, self.recons[0]];
        self.partial = [partial, self.partial[0]];
        // FILTEP, FILTEZ, PREDIC.
        let poles = self.poles.iter().zip(self.recons);
        let poles = saturate(poles.map(|(a, r)| (a * saturate(2 * r)) >> 15).sum());
        let zeros = self.weights.iter().zip(self.differences);
        self.zeros = saturate(zeros.map(|(b, d)| (b * saturate(2 * d)) >> 15).sum());
        self.signal = saturate(poles + self.zeros);
    }

    /// UPPOL2 and UPPOL1.
    fn adapt_poles(&mut self, partial: i32) {
        let alike = |other: i32| (partial < 0) == (other < 0);
        let first = saturate(4 * self.poles[0]);
        let turned = if alike(self.partial[0]) {
            -first
        } else {
            first
        };
        let push = if alike(self.partial[1]) { 128 } else { -128 };
        let second = (turned.min(32_767) >> 7) + push + ((self.poles[1] * 32_512) >> 15);
        let second = second.clamp(-12_288, 12_288);
        let push = if alike(self.partial[0]) { 192 } else { -192 };
        let bound = saturate(15_360 - second);
        let first = saturate(push + ((self.poles[0] * 32_640) >> 15));
        self.poles = [first.clamp(-bound, bound), second];
    }

    /// UPZERO.
    fn adapt_zeros(&mut self, difference: i32) {
        let push = if difference == 0 { 0 } else { 128 };
        for (weight, old) in self.weights.iter_mut().zip(self.differences) {
            let alike = (difference < 0) == (old < 0);
            let push = if alike { push } else { -push };
            *weight = saturate(push + ((*weight * 32_640) >> 15));
        }
    }
}

/// The quadrature mirror filter: shifts two samples in and returns the sums over the odd and the even ones.
fn split(history: &mut [i32; 24], pair: [i32; 2]) -> (i32, i32) {
    history.copy_within(2.., 0);
    history[22..].copy_from_slice(&pair);
    let (pairs, _none) = history.as_chunks::<2>();
    let rising = pairs.iter().zip(FILTER).map(|(pair, h)| pair[0] * h);
    let falling = pairs
        .iter()
        .zip(FILTER.iter().rev())
        .map(|(pair, h)| pair[1] * h);
    (rising.sum(), falling.sum())
}

/// Turns a logarithmic scale factor into a linear one.
fn linear(log: i32, shift: i32) -> i32 {
    let mantissa = ANTILOG[(log >> 6 & 31) as usize];
    let shift = shift - (log >> 11);
    let value = if shift < 0 {
        mantissa << -shift
    } else {
        mantissa >> shift
    };
    value << 2
}

/// The size of an error; that of a negative one is counted from -1.
fn magnitude(error: i32) -> i32 {
    if error < 0 { -(error + 1) } else { error }
}

fn saturate(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

fn limit(value: i32) -> i32 {
    value.clamp(-16_384, 16_383)
}

/// The scale factors at the start.
const SCALE_LOW: i32 = 32;
const SCALE_HIGH: i32 = 8;

/// Half of the filter's 24 coefficients; the other half is the same backwards (table 11).
const FILTER: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];

/// Decision levels of the lower band (table 2).
const THRESHOLDS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023,
    1_121, 1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];

/// The decision level of the upper band.
const THRESHOLD_HIGH: i32 = 564;

/// Output levels of the lower band, four bits (table 14).
const LEVELS_48: [i32; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288,
    4_240, 2_584, 1_200, 0,
];

/// Output levels of the lower band, six bits.
const LEVELS_64: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192,
    -10_232, -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008,
    -3_576, -3_168, -2_776, -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008,
    16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000,
    5_456, 4_944, 4_464, 4_008, 3_576, 3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432,
    136, -432, -136,
];

/// Output levels of the upper band.
const LEVELS_HIGH: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];

/// What a code of four bits adds to the lower band's scale (table 15).
const STEPS_LOW: [i32; 16] = [
    -60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60,
];

/// What a code adds to the upper band's scale.
const STEPS_HIGH: [i32; 4] = [798, -214, 798, -214];

/// 2048 times 2^(i/32) (table 13).
const ANTILOG: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656,
    2_714, 2_774, 2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520,
    3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];
