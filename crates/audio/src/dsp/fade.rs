use crate::Sample;

/// Lets the first `len` samples rise from silence, so that a beginning in mid-sound does not click.
pub fn fade_in<S: Sample>(samples: &mut [S], len: usize) {
    let len = len.min(samples.len());
    for (i, sample) in samples[..len].iter_mut().enumerate() {
        *sample = S::from_f32(sample.to_f32() * gain(i, len));
    }
}

/// Lets the first `len` samples fall to silence, and silences the rest.
pub fn fade_out<S: Sample>(samples: &mut [S], len: usize) {
    let len = len.min(samples.len());
    for (i, sample) in samples[..len].iter_mut().enumerate() {
        *sample = S::from_f32(sample.to_f32() * (1.0 - gain(i, len)));
    }
    samples[len..].fill(S::default());
}

fn gain(i: usize, len: usize) -> f32 {
    (i as f32 + 0.5) / len as f32
}
