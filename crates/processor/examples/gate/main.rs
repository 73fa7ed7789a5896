//! An example of a media processor: a noise gate that also tells who speaks.
//!
//! ```sh
//! cargo run --package moqrelay-processor --example gate -- 127.0.0.1:50051
//! ```
//!
//! What is softer than speech comes back 20 dB softer. When somebody begins to speak, an event says so; when he ends,
//! a text says for how long he spoke. A captioner is built like it: it collects the frames, and sends `Text` messages
//! when it has understood something.

#![allow(clippy::print_stdout, reason = "a program of its own")]

mod service;

use std::{env, error::Error, sync::Arc};

use moqrelay_processor::v1::{Answer, Audio, Event, Question, Text};
use tokio::net::TcpListener;

/// The root mean square of samples from which on they are speech: -46 dBov.
const SPEECH: f64 = 164.0;

/// Frames after the last loud one within which a word goes on: 300 ms.
const HANGOVER: u32 = 15;

/// Units of timestamps in a second.
const TIMESCALE: u64 = 48_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listen = env::args().nth(1).unwrap_or("127.0.0.1:50051".into());
    let listener = TcpListener::bind(listen).await?;
    println!("listens on {}", listener.local_addr()?);
    let begin = |_: &_| {
        let mut gate = Gate::default();
        Ok(Box::new(move |question| gate.answer(question)) as service::Answers)
    };
    service::serve(listener, None, Arc::new(begin)).await?;
    Ok(())
}

/// The state of one leg.
#[derive(Debug, Default)]
struct Gate {
    /// When the word began that is being spoken.
    began: Option<u64>,
    hangover: u32,
    words: u64,
    /// How far the gate is open, 0 to 1.
    open: f64,
}

impl Gate {
    fn answer(&mut self, question: Question) -> Vec<Answer> {
        match question {
            Question::Start(start) => {
                println!("{} of call {}", start.participant, start.call);
                Vec::new()
            }
            Question::Audio(audio) => self.hear(audio),
        }
    }

    fn hear(&mut self, audio: Audio) -> Vec<Answer> {
        let (pairs, _odd) = audio.pcm.as_chunks::<2>();
        let samples: Vec<f64> = pairs
            .iter()
            .map(|pair| f64::from(i16::from_le_bytes(*pair)))
            .collect();
        let power = samples.iter().map(|sample| sample * sample).sum::<f64>();
        let loud = power > SPEECH * SPEECH * samples.len() as f64;
        self.hangover = match loud {
            true => HANGOVER,
            false => self.hangover.saturating_sub(1),
        };
        let mut answers = vec![Answer::Audio(Audio {
            sequence: audio.sequence,
            pcm: self.shut(&samples).into(),
            ..Audio::default()
        })];
        answers.extend(self.tell(audio.timestamp));
        answers
    }

    /// Moves the gate slowly enough not to click.
    fn shut(&mut self, samples: &[f64]) -> Vec<u8> {
        let wanted = if self.hangover > 0 { 1.0 } else { 0.1 };
        let mut bytes = Vec::with_capacity(2 * samples.len());
        for sample in samples {
            self.open += (wanted - self.open) * 0.01;
            bytes.extend(((sample * self.open) as i16).to_le_bytes());
        }
        bytes
    }

    fn tell(&mut self, now: u64) -> Option<Answer> {
        match (self.began, self.hangover > 0) {
            (None, true) => {
                self.began = Some(now);
                Some(Answer::Event(Event {
                    name: "speech_began".into(),
                    data: String::new(),
                    timestamp: now,
                }))
            }
            (Some(begin), false) => {
                self.began = None;
                self.words += 1;
                let seconds = now.saturating_sub(begin) as f64 / TIMESCALE as f64;
                Some(Answer::Text(Text {
                    id: self.words,
                    text: format!("(speech, {seconds:.1} s)"),
                    r#final: true,
                    begin,
                    end: now,
                    language: "en".into(),
                }))
            }
            (None, false) | (Some(_), true) => None,
        }
    }
}
