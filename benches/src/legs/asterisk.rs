//! What stands in for Asterisk: speaks 20 ms every 20 ms, and notes when sound arrives.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use moqrelay_audio::{g711, g722};
use moqrelay_bridge::Codec;
use moqrelay_wire::{audiosocket, rtp};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream, UdpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::{MissedTickBehavior, interval_at},
};

use super::{
    house::{Ready, uuid},
    road::{Road, Speech, rtp_addr},
    websocket,
};

const FRAME: Duration = Duration::from_millis(20);

/// The clock of RTP's codecs in 20 ms.
const RTP_TICKS: u32 = 160;

/// A sample of sound, not of silence.
const LOUD: u16 = 300;

/// The longest datagram.
const DATAGRAM_BYTES_MAX: usize = 1500;

/// What a leg heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Time between one frame's arrival and the next one's.
    pub(super) gaps: Vec<Duration>,
    /// Frames that held sound, not silence; passed packets that are one of those that were sent.
    pub(super) loud: u64,
    /// What our own timer was late, when the next frame was due to be spoken.
    pub(super) own_late: Vec<Duration>,
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

/// One leg's telephone.
pub(super) struct Telephone {
    mouth: Mouth,
    ear: Ear,
}

/// The way from the telephone.
enum Mouth {
    Stream(OwnedWriteHalf),
    Rtp {
        socket: Arc<UdpSocket>,
        to: SocketAddr,
        packet: rtp::Packet,
    },
}

/// The way to it.
enum Ear {
    AudioSocket(OwnedReadHalf, BytesMut),
    WebSocket(OwnedReadHalf, BytesMut, Option<Arc<HashSet<Bytes>>>),
    Rtp(Arc<UdpSocket>, Decoder),
}

/// What RTP's sound is looked at with.
enum Decoder {
    Law(g711::Law),
    G722(Box<g722::Decoder>),
}

impl Telephone {
    /// Connects one leg.
    pub(super) async fn connect(
        road: Road,
        bridge: &Ready,
        leg: u32,
        speech: &Speech,
    ) -> Result<Self> {
        let id = uuid(leg);
        if let Some((codec, payload_type)) = road.rtp() {
            let socket = UdpSocket::bind(rtp_addr(leg)?).await.context("RTP")?;
            let socket = Arc::new(socket);
            let decoder = match codec {
                Codec::G722 => Decoder::G722(Box::default()),
                Codec::Ulaw | Codec::Alaw | Codec::Slin(_) | Codec::Opus => {
                    Decoder::Law(g711::Law::Mu)
                }
            };
            return Ok(Self {
                mouth: Mouth::Rtp {
                    socket: socket.clone(),
                    to: bridge.rtp,
                    packet: rtp::Packet {
                        payload_type,
                        ssrc: leg,
                        ..rtp::Packet::default()
                    },
                },
                ear: Ear::Rtp(socket, decoder),
            });
        }
        let (to, format) = match road {
            Road::WebsocketSlin16 => (bridge.websocket, "slin16"),
            Road::WebsocketOpus => (bridge.websocket, "opus"),
            Road::Audiosocket | Road::RtpUlaw | Road::RtpG722 => (bridge.audiosocket, ""),
        };
        let mut stream = TcpStream::connect(to).await.context(road.title())?;
        stream.set_nodelay(true)?;
        if format.is_empty() {
            let mut out = BytesMut::new();
            audiosocket::Message::Id(id).encode(&mut out)?;
            stream.write_all(&out).await?;
            let (reader, writer) = stream.into_split();
            return Ok(Self {
                mouth: Mouth::Stream(writer),
                ear: Ear::AudioSocket(reader, BytesMut::new()),
            });
        }
        let inbox = websocket::open(&mut stream, id, format).await?;
        let (reader, writer) = stream.into_split();
        Ok(Self {
            mouth: Mouth::Stream(writer),
            ear: Ear::WebSocket(reader, inbox, speech.packets.clone()),
        })
    }

    /// Speaks and hears until the phase says stop; notes what happens while it says count.
    pub(super) async fn talk(
        self,
        speech: Speech,
        offset: usize,
        phase: watch::Receiver<Phase>,
    ) -> Result<Heard> {
        let own_late = tokio::spawn(self.mouth.speak(speech, offset, phase.clone()));
        let mut heard = self.ear.hear(phase).await?;
        heard.own_late = own_late.await??;
        Ok(heard)
    }
}

impl Mouth {
    async fn speak(
        mut self,
        speech: Speech,
        offset: usize,
        phase: watch::Receiver<Phase>,
    ) -> Result<Vec<Duration>> {
        let mut ticks = interval_at(tokio::time::Instant::now() + FRAME, FRAME);
        // As Asterisk does after a stall: what is due is sent at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut late = Vec::new();
        for piece in speech.pieces.iter().cycle().skip(offset) {
            let due = ticks.tick().await;
            match *phase.borrow() {
                Phase::WarmUp => {}
                Phase::Count => late.push(due.elapsed()),
                Phase::Stop => break,
            }
            self.send(piece).await?;
        }
        Ok(late)
    }

    async fn send(&mut self, piece: &Bytes) -> Result<()> {
        match self {
            Self::Stream(writer) => writer.write_all(piece).await.context("the bridge hung up"),
            Self::Rtp { socket, to, packet } => {
                packet.payload = piece.clone();
                packet.sequence = packet.sequence.wrapping_add(1);
                packet.timestamp = packet.timestamp.wrapping_add(RTP_TICKS);
                let mut datagram = BytesMut::with_capacity(DATAGRAM_BYTES_MAX);
                packet.encode(&mut datagram);
                socket.send_to(&datagram, *to).await.context("RTP")?;
                Ok(())
            }
        }
    }
}

impl Ear {
    async fn hear(mut self, mut phase: watch::Receiver<Phase>) -> Result<Heard> {
        let mut heard = Heard::default();
        let mut last: Option<Instant> = None;
        let mut frames = Vec::new();
        loop {
            // After a stop nothing may come that would wake us.
            tokio::select! {
                read = self.read(&mut frames) => match read {
                    // The mouth may have stopped first, and the bridge hung up.
                    Err(_) if *phase.borrow() == Phase::Stop => return Ok(heard),
                    read => read?,
                },
                changed = phase.changed() => changed?,
            }
            let (now, current) = (Instant::now(), *phase.borrow());
            for loud in frames.drain(..) {
                if current == Phase::Count {
                    heard.gaps.extend(last.map(|last| now - last));
                    heard.loud += u64::from(loud);
                }
                last = Some(now);
            }
            if current == Phase::Stop {
                return Ok(heard);
            }
        }
    }

    /// Waits for something and says of each frame that came whether it is sound. Cancel safe.
    async fn read(&mut self, frames: &mut Vec<bool>) -> Result<()> {
        match self {
            Self::AudioSocket(reader, inbox) => {
                let read = reader.read_buf(inbox).await?;
                while let Some(message) = audiosocket::Message::decode(inbox)? {
                    let audiosocket::Message::Audio(audio) = message else {
                        bail!("{message:?} instead of sound");
                    };
                    frames.push(audio.samples().any(is_loud));
                }
                ended(read)
            }
            Self::WebSocket(reader, inbox, packets) => {
                let read = reader.read_buf(inbox).await?;
                while let Some(message) = websocket::take(inbox)? {
                    let websocket::Message::Binary(sound) = message else {
                        continue;
                    };
                    frames.push(match packets {
                        Some(packets) => packets.contains(&sound),
                        None => sound
                            .chunks_exact(2)
                            .any(|two| is_loud(i16::from_le_bytes([two[0], two[1]]))),
                    });
                }
                ended(read)
            }
            Self::Rtp(socket, decoder) => {
                let mut datagram = BytesMut::with_capacity(DATAGRAM_BYTES_MAX);
                socket.recv_buf(&mut datagram).await?;
                let datagram = datagram.freeze();
                if !rtp::is_rtcp(&datagram) {
                    let packet = rtp::Packet::decode(&datagram)?;
                    frames.push(decoder.is_loud(&packet.payload));
                }
                Ok(())
            }
        }
    }
}

impl Decoder {
    fn is_loud(&mut self, payload: &[u8]) -> bool {
        let mut samples = Vec::new();
        match self {
            Self::Law(law) => law.decode(payload, &mut samples),
            Self::G722(decoder) => decoder.decode(payload, &mut samples),
        }
        samples.into_iter().any(is_loud)
    }
}

fn is_loud(sample: i16) -> bool {
    sample.unsigned_abs() > LOUD
}

fn ended(read: usize) -> Result<()> {
    if read == 0 {
        bail!("the bridge hung up");
    }
    Ok(())
}
