//! A service that does what a test tells it, a network that can be cut, and a leg.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "helpers of tests, of which each test program uses a part"
)]

#[path = "../../examples/gate/service.rs"]
pub mod service;

use std::{future::poll_fn, net::SocketAddr, ops::Range, sync::Arc, time::Duration};

use moqrelay_audio::{Frame, SampleRate};
use moqrelay_processor::{
    About, Config, Output, Processor, Session,
    aligner::Fate,
    v1::{Answer, Audio, Question},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    select,
    task::{JoinHandle, JoinSet},
    time::{Instant, interval_at},
};
use tonic::transport::ServerTlsConfig;

pub const FRAME: Duration = Duration::from_millis(20);

/// Starts a service that answers as told; it lives as long as the test.
pub async fn start(
    answer: impl FnMut(Question) -> Vec<Answer> + Clone + Send + Sync + 'static,
) -> SocketAddr {
    let begin = move |_: &_| Ok(Box::new(answer.clone()) as service::Answers);
    start_with(None, Arc::new(begin)).await
}

pub async fn start_with(tls: Option<ServerTlsConfig>, begin: service::Begin) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(service::serve(listener, tls, begin));
    addr
}

/// Answers each frame upside down.
pub fn invert(question: Question) -> Vec<Answer> {
    match question {
        Question::Start(_) => Vec::new(),
        Question::Audio(audio) => vec![inverted(&audio)],
    }
}

pub fn inverted(audio: &Audio) -> Answer {
    let (pairs, _) = audio.pcm.as_chunks::<2>();
    let samples = pairs.iter().map(|pair| -i16::from_le_bytes(*pair));
    Answer::Audio(Audio {
        sequence: audio.sequence,
        pcm: samples.flat_map(i16::to_le_bytes).collect(),
        ..Audio::default()
    })
}

/// The network before a service; cutting it is for the other side as if the service had been killed.
pub struct Network {
    pub addr: SocketAddr,
    to: SocketAddr,
    task: JoinHandle<()>,
}

impl Network {
    pub async fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(carry(listener, to));
        Self { addr, to, task }
    }

    /// Closes every connection and the port.
    pub async fn cut(&mut self) {
        self.task.abort();
        assert!((&mut self.task).await.unwrap_err().is_cancelled());
    }

    pub async fn mend(&mut self) {
        let listener = TcpListener::bind(self.addr).await.unwrap();
        self.task = tokio::spawn(carry(listener, self.to));
    }
}

async fn carry(listener: TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        near.set_nodelay(true).unwrap();
        connections.spawn(async move {
            let mut far = TcpStream::connect(to).await.unwrap();
            far.set_nodelay(true).unwrap();
            copy_bidirectional(&mut near, &mut far).await
        });
    }
}

/// A leg that says a frame every 20 ms.
pub struct Leg {
    pub session: Session,
    pub said: u64,
    /// Each frame that went on: its number, how late, and what became of it.
    pub frames: Vec<(u64, Duration, Fate)>,
    pub others: Vec<Output>,
    times: Vec<Instant>,
    /// Whether answers must be what was said upside down.
    inverted: bool,
}

impl Leg {
    pub fn new(processor: &Processor) -> Self {
        let about = About {
            call: "c1".into(),
            participant: "p1".into(),
            leg: "leg1".into(),
        };
        Self {
            session: processor.open(about),
            said: 0,
            frames: Vec::new(),
            others: Vec::new(),
            times: Vec::new(),
            inverted: true,
        }
    }

    pub fn at(addr: SocketAddr) -> Self {
        Self::with(addr, |_| {})
    }

    pub fn with(addr: SocketAddr, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new("test", format!("http://{addr}"));
        change(&mut config);
        Self::new(&Processor::new(config).unwrap())
    }

    /// A leg whose service may answer what it likes.
    pub fn heard(addr: SocketAddr, change: impl FnOnce(&mut Config)) -> Self {
        Self {
            inverted: false,
            ..Self::with(addr, change)
        }
    }

    /// Says so many frames and takes what comes until the next one is due.
    pub async fn say(&mut self, frames: u64) {
        self.say_for(frames, |_| false).await;
    }

    /// Says frames until `enough`; more than so many are a fault.
    pub async fn say_until(&mut self, frames: u64, enough: impl Fn(&Self) -> bool) {
        self.say_for(frames, &enough).await;
        assert!(enough(self), "not within {frames} frames");
    }

    async fn say_for(&mut self, frames: u64, enough: impl Fn(&Self) -> bool) {
        let mut ticks = interval_at(Instant::now() + FRAME, FRAME);
        for _ in 0..frames {
            self.session.send(
                self.said * 960,
                Frame::new(RATE, &samples(self.said)).unwrap(),
            );
            self.times.push(Instant::now());
            self.said += 1;
            loop {
                select! {
                    biased;
                    output = poll_fn(|cx| self.session.poll(cx)) => self.take(output),
                    _ = ticks.tick() => break,
                }
            }
            if enough(self) {
                return;
            }
        }
    }

    pub fn fates(&self, numbers: Range<u64>) -> Vec<Fate> {
        let frames = self.frames.iter();
        frames
            .filter(|(number, ..)| numbers.contains(number))
            .map(|(_, _, fate)| *fate)
            .collect()
    }

    /// How many frames within `numbers` were the service's.
    pub fn answered(&self, numbers: Range<u64>) -> usize {
        let fates = self.fates(numbers);
        fates.iter().filter(|fate| **fate == Fate::Answered).count()
    }

    fn take(&mut self, output: Output) {
        let Output::Frame {
            timestamp,
            frame,
            fate,
        } = output
        else {
            return self.others.push(output);
        };
        let number = timestamp / 960;
        // Nothing lost, nothing twice, nothing out of order.
        assert_eq!(number, self.frames.len() as u64);
        let answered = fate == Fate::Answered;
        let sign = if answered { -1 } else { 1 };
        let expected: Vec<i16> = samples(number).iter().map(|sample| sign * sample).collect();
        assert!(
            frame.samples() == expected || (answered && !self.inverted),
            "frame {number}, {fate:?}"
        );
        let late = self.times[number as usize].elapsed();
        self.frames.push((number, late, fate));
    }
}

const RATE: SampleRate = SampleRate::Hz16000;

fn samples(number: u64) -> Vec<i16> {
    (0..320)
        .map(|at| ((number * 37 + at) % 20_000) as i16)
        .collect()
}
