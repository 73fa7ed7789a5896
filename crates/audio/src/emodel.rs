//! The E-model of ITU-T G.107 (06/2015): what a conversation's delay and loss do to its quality.
//!
//! Everything but delay, loss and the codec is at the defaults of G.107 table 3, so that a clean
//! line with G.711 has R = 93.2. The result is an estimate of what people would say in a listening
//! and talking test, not a measurement of this sound: noise, echo and level are not looked at.
//!
//! The scale is that of telephone band. Wideband sounds better than it can say: Opus at 16 kHz and
//! G.711 both have an equipment impairment of 0 here.

use core::time::Duration;

/// How a codec takes loss (G.113 appendix I).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Codec {
    /// Equipment impairment factor Ie: what the codec costs without any loss.
    pub impairment: f64,
    /// Packet loss robustness factor Bpl: the higher, the better it takes loss.
    pub robustness: f64,
}

impl Codec {
    /// G.711 with concealment as in its appendix I: Ie 0, Bpl 25.1 (G.113 table I.4).
    pub const G711: Self = Self {
        impairment: 0.0,
        robustness: 25.1,
    };

    /// Opus at 16 kbit/s and more, with its own concealment. G.113 has no values for Opus; these are
    /// those of G.711 with concealment, which is on the safe side: loss that in-band error
    /// correction repairs must not be counted in [`Conditions::loss`].
    pub const OPUS: Self = Self::G711;
}

/// What a listener's conversation has to bear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// From mouth to ear, one way, everything included.
    pub delay: Duration,
    /// The part of the sound that had to be concealed, 0 to 1.
    pub loss: f64,
    /// Mean length of the gaps over that of random loss of the same amount; 1 is random.
    pub burst_ratio: f64,
    /// What coded it.
    pub codec: Codec,
}

/// Transmission rating factor R: 93.2 is a clean telephone line, below 50 is hardly usable.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Rating(f64);

impl Rating {
    /// Computes R = Ro - Is - Id - Ie,eff (G.107 equation 7-1; the advantage factor A is 0).
    ///
    /// Loss outside 0 to 1 and burst ratios below 1 count as the nearest value.
    #[must_use]
    pub fn new(conditions: &Conditions) -> Self {
        let ms = conditions.delay.as_secs_f64() * 1000.0;
        Self(
            signal_to_noise()
                - simultaneous_impairment()
                - delay_impairment(ms)
                - equipment_impairment(conditions),
        )
    }

    /// Takes an R value from elsewhere.
    #[must_use]
    pub fn from_r(r: f64) -> Self {
        Self(r)
    }

    /// Returns R.
    #[must_use]
    pub fn r(self) -> f64 {
        self.0
    }

    /// Returns the mean opinion score MOS-CQE, 1 (bad) to 4.5 (G.107 annex B).
    #[must_use]
    pub fn mos(self) -> f64 {
        let r = self.0;
        if r <= 0.0 {
            return 1.0;
        }
        if r >= 100.0 {
            return 4.5;
        }
        // The polynomial dips below 1 for R under 6.5.
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
    }
}

// Defaults of G.107 table 3: loudness in dB, noise in dBm0p and dB(A), distortion in units of qdu.
const SLR: f64 = 8.0;
const RLR: f64 = 2.0;
const OLR: f64 = SLR + RLR;
const STMR: f64 = 15.0;
const D_VALUE: f64 = 3.0;
const LSTR: f64 = STMR + D_VALUE;
const TELR: f64 = 65.0;
const WEPL: f64 = 110.0;
const QDU: f64 = 1.0;
const NC: f64 = -70.0;
const NFOR: f64 = -64.0;
const PS: f64 = 35.0;
const PR: f64 = 35.0;

fn decibels(power: f64) -> f64 {
    10.0 * power.log10()
}

fn power(decibels: f64) -> f64 {
    10f64.powf(decibels / 10.0)
}

/// No: all noises, as one at the 0 dBr point (equations 7-3 to 7-7).
fn noise() -> f64 {
    let sender = PS - SLR - D_VALUE - 100.0 + 0.004 * (PS - OLR - D_VALUE - 14.0).powi(2);
    let heard = PR + decibels(1.0 + power(10.0 - LSTR));
    let receiver = RLR - 121.0 + heard + 0.008 * (heard - 35.0).powi(2);
    let floor = NFOR + RLR;
    decibels(power(NC) + power(sender) + power(receiver) + power(floor))
}

/// Ro (equation 7-2).
fn signal_to_noise() -> f64 {
    15.0 - 1.5 * (SLR + noise())
}

/// Is: loudness, sidetone and quantisation (equations 7-8 to 7-17).
fn simultaneous_impairment() -> f64 {
    let x = OLR + 0.2 * (64.0 + noise() - RLR);
    let loud = 20.0 * ((1.0 + (x / 8.0).powi(8)).powf(1.0 / 8.0) - x / 8.0);

    // For T = 0: the effect of delay on sidetone is below 0.1.
    let stmr = -decibels(power(-STMR) + power(-TELR));
    let sidetone = 12.0 * (1.0 + ((stmr - 13.0) / 6.0).powi(8)).powf(1.0 / 8.0)
        - 28.0 * (1.0 + ((stmr + 1.0) / 19.4).powi(35)).powf(1.0 / 35.0)
        - 13.0 * (1.0 + ((stmr - 3.0) / 33.0).powi(13)).powf(1.0 / 13.0)
        + 29.0;

    let q = 37.0 - 15.0 * QDU.log10();
    let g = 1.07 + 0.258 * q + 0.0602 * q * q;
    let y = (signal_to_noise() - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0;
    let z = 46.0 / 30.0 - g / 40.0;
    let quantisation = 15.0 * (1.0 + 10f64.powf(y) + 10f64.powf(z)).log10();

    loud + sidetone + quantisation
}

/// Id: talker echo, listener echo, and delay itself (equations 7-18 to 7-27); T = Ta, Tr = 2 T.
fn delay_impairment(ms: f64) -> f64 {
    let roe = -1.5 * (noise() - RLR);
    let terv = TELR - 40.0 * ((1.0 + ms / 10.0) / (1.0 + ms / 150.0)).log10()
        + 6.0 * (-0.3 * ms * ms).exp();
    let re = 80.0 + 2.5 * (terv - 14.0);
    let half = (roe - re) / 2.0;
    let talker_echo = (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-ms).exp());

    let rle = 10.5 * (WEPL + 7.0) * (2.0 * ms + 1.0).powf(-0.25);
    let half = (signal_to_noise() - rle) / 2.0;
    let listener_echo = half + (half * half + 169.0).sqrt();

    talker_echo + listener_echo + pure_delay(ms)
}

/// Idd: delay without any echo is not noticed up to 100 ms.
fn pure_delay(ms: f64) -> f64 {
    if ms <= 100.0 {
        return 0.0;
    }
    let x = (ms / 100.0).log2();
    let root = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// Ie,eff (equation 7-29).
fn equipment_impairment(conditions: &Conditions) -> f64 {
    let Codec {
        impairment,
        robustness,
    } = conditions.codec;
    let percent = 100.0 * conditions.loss.clamp(0.0, 1.0);
    let burst_ratio = conditions.burst_ratio.max(1.0);
    if percent <= 0.0 {
        return impairment;
    }
    impairment + (95.0 - impairment) * percent / (percent / burst_ratio + robustness)
}
