//! What stands in for Asterisk: speaks 20 ms every 20 ms, and notes when sound arrives.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use moqrelay_wire::audiosocket::{Message, Rate, encode_audio};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::{MissedTickBehavior, interval_at},
};
use uuid::Uuid;

use crate::voice;

/// The rate of legs in the dialplan that we ship.
pub(super) const RATE: Rate = Rate::Hz16000;

const FRAME: Duration = Duration::from_millis(20);

/// What a leg heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Time between one frame's arrival and the next one's.
    pub(super) gaps: Vec<Duration>,
    /// Frames that held sound, not silence.
    pub(super) loud: u64,
    /// What our own timer was late, when the next frame was due to be spoken.
    pub(super) own_late: Vec<Duration>,
}

/// The pretended voice as AudioSocket messages.
pub(super) fn speech() -> Result<Arc<Vec<Bytes>>> {
    let voice = voice::samples(RATE.hz());
    let frames = voice.chunks_exact(RATE.frame_samples()).map(|samples| {
        let mut out = BytesMut::new();
        encode_audio(RATE, samples, &mut out)?;
        Ok(out.freeze())
    });
    Ok(Arc::new(frames.collect::<Result<_>>()?))
}

/// Connects one leg.
pub(super) async fn connect(bridge: SocketAddr, id: Uuid) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(bridge).await.context("AudioSocket")?;
    stream.set_nodelay(true)?;
    let mut out = BytesMut::new();
    Message::Id(id).encode(&mut out)?;
    stream.write_all(&out).await?;
    Ok(stream)
}

/// Speaks and hears until `stop` says so; notes what happens while `counting` holds.
pub(super) async fn talk(
    stream: TcpStream,
    speech: Arc<Vec<Bytes>>,
    offset: usize,
    phase: watch::Receiver<Phase>,
) -> Result<Heard> {
    let (reader, writer) = stream.into_split();
    let own_late = tokio::spawn(speak(writer, speech, offset, phase.clone()));
    let mut heard = hear(reader, phase).await?;
    heard.own_late = own_late.await??;
    Ok(heard)
}

/// What is to be done with what happens now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing yet.
    WarmUp,
    /// Note it.
    Count,
    /// It is over.
    Stop,
}

async fn speak(
    mut writer: OwnedWriteHalf,
    speech: Arc<Vec<Bytes>>,
    offset: usize,
    phase: watch::Receiver<Phase>,
) -> Result<Vec<Duration>> {
    let mut ticks = interval_at(tokio::time::Instant::now() + FRAME, FRAME);
    // As Asterisk does after a stall: what is due is sent at once.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut late = Vec::new();
    for frame in speech.iter().cycle().skip(offset) {
        let due = ticks.tick().await;
        match *phase.borrow() {
            Phase::WarmUp => {}
            Phase::Count => late.push(due.elapsed()),
            Phase::Stop => break,
        }
        writer
            .write_all(frame)
            .await
            .context("the bridge hung up")?;
    }
    Ok(late)
}

async fn hear(mut reader: OwnedReadHalf, phase: watch::Receiver<Phase>) -> Result<Heard> {
    let mut heard = Heard::default();
    let mut inbox = BytesMut::new();
    let mut last: Option<Instant> = None;
    loop {
        let read = reader.read_buf(&mut inbox).await?;
        let now = Instant::now();
        if *phase.borrow() == Phase::Stop {
            return Ok(heard);
        }
        while let Some(message) = Message::decode(&mut inbox)? {
            let Message::Audio(audio) = message else {
                bail!("{message:?} instead of sound");
            };
            match *phase.borrow() {
                Phase::WarmUp => {}
                Phase::Count => {
                    heard.gaps.extend(last.map(|last| now - last));
                    let loud = audio.samples().any(|sample| sample.unsigned_abs() > 300);
                    heard.loud += u64::from(loud);
                }
                Phase::Stop => return Ok(heard),
            }
            last = Some(now);
        }
        if read == 0 {
            bail!("the bridge hung up");
        }
    }
}
