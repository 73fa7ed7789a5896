//! From many samples to few figures.

use std::time::Duration;

/// The value below or at which `part` (0 to 1) of the samples are; zero when there are none. Sorts them.
pub(crate) fn percentile(samples: &mut [Duration], part: f64) -> Duration {
    samples.sort_unstable();
    let Some(last) = samples.len().checked_sub(1) else {
        return Duration::ZERO;
    };
    let rank = (part * samples.len() as f64).ceil() as usize;
    samples[rank.saturating_sub(1).min(last)]
}

/// The middle of a few runs, with the lowest and the highest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Runs {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Runs {
    /// Sums up runs; all zero when there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        Self {
            median: values.get(values.len() / 2).copied().unwrap_or(0.0),
            low: values.first().copied().unwrap_or(0.0),
            high: values.last().copied().unwrap_or(0.0),
        }
    }

    /// As `2.1 ms (1.9–2.4)`.
    pub(crate) fn text(self, unit: &str) -> String {
        format!(
            "{} {unit} ({}–{})",
            short(self.median),
            short(self.low),
            short(self.high)
        )
    }
}

/// Writes a figure with two or three digits that matter.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Milliseconds with their fraction.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_samples() {
        let mut samples: Vec<_> = (1..=1000).rev().map(Duration::from_millis).collect();

        assert_eq!(percentile(&mut samples, 0.5), Duration::from_millis(500));
        assert_eq!(percentile(&mut samples, 0.999), Duration::from_millis(999));
        assert_eq!(percentile(&mut samples, 1.0), Duration::from_millis(1000));
        assert_eq!(percentile(&mut samples, 0.0), Duration::from_millis(1));
        assert_eq!(percentile(&mut [], 0.5), Duration::ZERO);
    }

    #[test]
    fn runs_are_summed_up_by_their_middle() {
        let runs = Runs::of([2.1, 30.0, 1.9]);

        assert_eq!(runs.text("ms"), "2.10 ms (1.90–30.0)");
        assert_eq!(Runs::of([]).median, 0.0);
    }
}
