//! Whether sound comes as fast as it lasts. No I/O and no clock.
//!
//! What comes at another pace is heard at the wrong pitch, in pieces, or too late, and nothing else says why: the
//! length of a message alone tells no rate from another.

use std::{fmt, time::Duration};

use moqrelay_wire::audiosocket::{Audio, Rate};
use tokio::time::Instant;

/// Over such a time it is measured; a standstill of this process, which makes up for it in a burst, is small in it.
const WINDOW: Duration = Duration::from_secs(2);

/// As many in a row must be odd before it is said.
const WINDOWS: u32 = 2;

/// Whoever sends nothing for longer is silent, not slow.
const PAUSE: Duration = Duration::from_millis(150);

/// Sound by time. Clocks differ by some millionths; what is beyond is no clock.
const USUAL: std::ops::Range<f64> = 0.75..1.35;

/// What lies between the messages of a sender whose frames are 20 ms.
const FRAME_PACE: std::ops::Range<f64> = 0.017..0.023;

/// Measures one leg's sound, and says once that its pace is odd.
#[derive(Debug, Default)]
pub(super) struct Pace {
    window: Option<Window>,
    odd: u32,
    said: bool,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    last: Instant,
    rate: Rate,
    /// Samples of each message; `None`: they differ.
    samples: Option<usize>,
    messages: u32,
    sound: f64,
}

/// Sound that comes too fast or too slowly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Odd {
    /// Seconds of sound in a second.
    pace: f64,
    /// What the messages' type says.
    labelled: Rate,
    /// What they look like, if that is another rate.
    likely: Option<Rate>,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sound comes at {:.1} times its pace: ", self.pace)?;
        match self.likely {
            Some(rate) => write!(
                f,
                "its type says {} Hz, it looks like {} Hz",
                self.labelled.hz(),
                rate.hz()
            ),
            None if self.pace < 1.0 => write!(f, "too little is sent, or much is lost"),
            None => write!(f, "too much is sent, most of it is dropped"),
        }
    }
}

impl Pace {
    /// Takes a message that was read at `now`.
    pub(super) fn take(&mut self, audio: &Audio, now: Instant) -> Option<Odd> {
        if self.said {
            return None;
        }
        let samples = audio.pcm.len() / 2;
        let window = match &mut self.window {
            Some(window)
                if window.rate == audio.rate && now.duration_since(window.last) <= PAUSE =>
            {
                window
            }
            window => {
                // Whatever came before does not belong to this.
                if window.is_some() {
                    self.odd = 0;
                }
                *window = Some(Window::new(audio.rate, samples, now));
                return None;
            }
        };
        window.add(samples, now);
        let elapsed = now.duration_since(window.began);
        if elapsed < WINDOW {
            return None;
        }
        let found = window.judge(elapsed);
        self.window = Some(Window::new(audio.rate, samples, now));
        self.odd = found.map_or(0, |_| self.odd + 1);
        self.said = self.odd >= WINDOWS;
        found.filter(|_| self.said)
    }
}

impl Window {
    /// Begins at a message, whose sound is before it.
    fn new(rate: Rate, samples: usize, now: Instant) -> Self {
        Self {
            began: now,
            last: now,
            rate,
            samples: Some(samples),
            messages: 0,
            sound: 0.0,
        }
    }

    fn add(&mut self, samples: usize, now: Instant) {
        self.last = now;
        self.messages += 1;
        self.samples = self.samples.filter(|usual| *usual == samples);
        self.sound += samples as f64 / f64::from(self.rate.hz());
    }

    fn judge(&self, elapsed: Duration) -> Option<Odd> {
        let seconds = elapsed.as_secs_f64();
        let pace = self.sound / seconds;
        if USUAL.contains(&pace) {
            return None;
        }
        let likely = self
            .samples
            .filter(|_| FRAME_PACE.contains(&(seconds / f64::from(self.messages))))
            .and_then(|samples| {
                let of_20_ms = |rate: &Rate| rate.frame_samples() == samples;
                Rate::ALL.into_iter().find(of_20_ms)
            });
        Some(Odd {
            pace,
            labelled: self.rate,
            likely,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS_20: Duration = Duration::from_millis(20);

    #[test]
    fn real_time_is_not_worth_a_word() {
        for rate in Rate::ALL {
            assert_eq!(said(rate, rate.frame_samples(), MS_20), None);
        }
        assert_eq!(said(Rate::Hz8000, 80, MS_20 / 2), None);
        assert_eq!(said(Rate::Hz8000, 480, 3 * MS_20), None);
    }

    #[test]
    fn a_rate_under_the_type_of_another_is_named() {
        let slow = said(Rate::Hz16000, 160, MS_20).unwrap();
        let fast = said(Rate::Hz8000, 960, MS_20).unwrap();

        assert_eq!(
            slow,
            "sound comes at 0.5 times its pace: its type says 16000 Hz, it looks like 8000 Hz"
        );
        assert_eq!(
            fast,
            "sound comes at 6.0 times its pace: its type says 8000 Hz, it looks like 48000 Hz"
        );
    }

    #[test]
    fn too_little_and_too_much_are_told() {
        let little = said(Rate::Hz16000, 320, 2 * MS_20).unwrap();
        let much = said(Rate::Hz16000, 320, MS_20 / 4).unwrap();

        assert!(little.starts_with("sound comes at 0.5 times its pace: too little"));
        assert!(much.starts_with("sound comes at 4.0 times its pace: too much"));
    }

    #[test]
    fn a_silence_is_not_slow_and_a_burst_after_a_standstill_not_fast() {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        let audio = audio(Rate::Hz16000, 320);

        // A word of half a second every second, as telephones with silence suppression send.
        for _ in 0..20 {
            for _ in 0..25 {
                now += MS_20;
                assert_eq!(pace.take(&audio, now), None);
            }
            now += Duration::from_millis(500);
        }
        // Half a second of standstill in every three.
        for _ in 0..5 {
            for _ in 0..125 {
                now += MS_20;
                assert_eq!(pace.take(&audio, now), None);
            }
            now += 25 * MS_20;
            for _ in 0..25 {
                assert_eq!(pace.take(&audio, now), None);
            }
        }
    }

    #[test]
    fn it_is_said_once() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let audio = audio(Rate::Hz16000, 160);

        let said = (0..2000).filter_map(|n| pace.take(&audio, start + MS_20 * n));

        assert_eq!(said.count(), 1);
    }

    /// What is said of ten seconds of such messages.
    fn said(rate: Rate, samples: usize, every: Duration) -> Option<String> {
        let mut pace = Pace::default();
        let start = Instant::now();
        let messages = u32::try_from(10_000 / every.as_millis()).unwrap();
        (0..messages)
            .find_map(|n| pace.take(&audio(rate, samples), start + every * n))
            .map(|odd| odd.to_string())
    }

    fn audio(rate: Rate, samples: usize) -> Audio {
        Audio {
            rate,
            pcm: vec![0; samples * 2].into(),
        }
    }
}
