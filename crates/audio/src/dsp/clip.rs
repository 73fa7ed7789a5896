/// A wave that touches full scale once was lucky; one that stays there was cut off.
const RUN_MIN: u32 = 3;

/// 0.02 dB below full scale: what companding and gateways make of it.
const FULL_SCALE: i16 = 32_700;

/// Returns how many samples are clipped: those of flat tops, three and more in a row at full scale.
#[must_use]
pub fn clipped(samples: &[i16]) -> u32 {
    // Most frames come nowhere near; this look at them is vectorised.
    let peak = samples
        .iter()
        .fold(0, |peak, sample| peak.max(sample.saturating_abs()));
    if peak < FULL_SCALE {
        return 0;
    }
    let (mut total, mut run) = (0, 0);
    for sample in samples {
        if sample.saturating_abs() >= FULL_SCALE {
            run += 1;
            continue;
        }
        total += counted(run);
        run = 0;
    }
    total + counted(run)
}

fn counted(run: u32) -> u32 {
    if run < RUN_MIN { 0 } else { run }
}
