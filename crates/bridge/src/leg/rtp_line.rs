//! The RTP of a leg, by the exchange's one port: packets of 20 ms both ways, and reports every few seconds.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::BytesMut;
use moqrelay_audio::{FRAME_DURATION, level::Meter};
use moqrelay_wire::{
    audio_object::{Level, Mode},
    rtp::{self, Packet, Reports, SenderInfo, is_rtcp},
};
use tokio::{sync::mpsc, time::Instant};
use uuid::Uuid;

use super::{
    coder::Coder,
    reception::{Reception, Verdict},
    road::{Arrival, Sent},
    socket::Read,
};
use crate::{
    codec::Codec,
    exchange::{Datagram, Exchange},
};

/// Datagrams that are read between two ticks: a backlog is read away quickly, and a flood costs little.
const DATAGRAMS_PER_TICK: usize = 64;

/// How often we report (RFC 3550 section 6.2: five seconds at least).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Seconds from 1900 to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;

/// Samples of 20 ms by the clock of every codec here.
const FRAME_TICKS: u32 = 160;

/// How we send: all codecs here have 64 kbit/s.
const MODE: Mode = Mode {
    length_ms: 20,
    kbps: 64,
    fec: false,
    saving: false,
};

/// Packets of a second.
const MODE_PACKETS: u32 = 50;

/// One leg's way through the exchange.
#[derive(Debug)]
pub(crate) struct RtpLine {
    exchange: Exchange,
    inbox: mpsc::Receiver<Datagram>,
    read: VecDeque<Arrival>,
    ended: bool,
    budget: usize,
    codec: Codec,
    coder: Coder,
    payload_type: u8,
    /// Where to send: as announced, until its first packet shows by which of its addresses it comes.
    remote: SocketAddr,
    latched: bool,
    start: Instant,
    reception: Reception,
    /// What its sender report said last, and when.
    reported: Option<(u32, Duration)>,
    out: Outgoing,
    report_due: Instant,
    counts: Counts,
}

/// What we send.
#[derive(Debug)]
struct Outgoing {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    packets: u32,
    bytes: u32,
    meter: Meter,
    datagram: BytesMut,
    name: String,
}

/// What was not taken, and what was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) lost: u64,
    pub(super) late: u64,
    pub(super) duplicate: u64,
    pub(super) strange: u64,
    /// The part of our packets that the other end misses, in 1/256, by its last report.
    pub(super) remote_loss: Option<u8>,
    /// How loud the last packet was that said it, and how the other end sends.
    pub(super) said_level: Option<Level>,
    pub(super) said_mode: Option<Mode>,
}

impl RtpLine {
    /// Joins the exchange for what comes from any of `peers`, the first of which is sent to. `None` when the codec
    /// has no payload type that Asterisk takes.
    pub(crate) async fn open(
        exchange: Exchange,
        peers: Vec<SocketAddr>,
        codec: Codec,
    ) -> io::Result<Option<Self>> {
        let payload_type = match codec {
            Codec::Ulaw => rtp::PCMU,
            Codec::Alaw => rtp::PCMA,
            Codec::G722 => rtp::G722,
            Codec::Slin(_) | Codec::Opus => return Ok(None),
        };
        let remote = *peers.first().ok_or(io::ErrorKind::InvalidInput)?;
        // Its reports come from the port above (RFC 3550 section 11), or from the same (RFC 5761).
        let reports = peers.iter().copied().map(above);
        let from = peers.iter().copied().chain(reports).collect();
        let inbox = exchange.join(from).await?;
        let random = Uuid::new_v4().as_u128();
        let now = Instant::now();
        Ok(Some(Self {
            exchange,
            inbox,
            read: VecDeque::new(),
            ended: false,
            budget: DATAGRAMS_PER_TICK,
            codec,
            coder: Coder::new(codec),
            payload_type,
            remote,
            latched: false,
            start: now,
            reception: Reception::default(),
            reported: None,
            out: Outgoing {
                ssrc: random as u32,
                sequence: (random >> 32) as u16,
                timestamp: (random >> 80) as u32,
                packets: 0,
                bytes: 0,
                meter: Meter::new(),
                datagram: BytesMut::new(),
                name: format!("moqrelay-{:08x}", random as u32),
            },
            report_due: now + REPORT_INTERVAL,
            counts: Counts::default(),
        }))
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Ready when a datagram came, or none will come any more.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.budget == 0 || self.ended {
            return Poll::Pending;
        }
        match ready!(self.inbox.poll_recv(cx)) {
            Some(datagram) => self.take(datagram),
            None => self.ended = true,
        }
        Poll::Ready(())
    }

    pub(super) fn read(&mut self) -> Read {
        while self.budget > 0
            && let Ok(datagram) = self.inbox.try_recv()
        {
            self.take(datagram);
        }
        match (self.read.is_empty(), self.ended) {
            (false, _) => Read::Some,
            (true, true) => Read::Ended,
            (true, false) => Read::Empty,
        }
    }

    pub(super) fn next(&mut self) -> Option<Arrival> {
        self.read.pop_front()
    }

    fn take(&mut self, (from, datagram): Datagram) {
        self.budget -= 1;
        if is_rtcp(&datagram) {
            return self.take_reports(&datagram);
        }
        let packet = match Packet::decode(&datagram) {
            Ok(packet) => packet,
            Err(error) => return self.read.push_back(Arrival::Nonsense(error.to_string())),
        };
        // Comfort noise and digits of RFC 4733 have numbers of their own; Asterisk sends none of them.
        if packet.payload_type != self.payload_type || packet.payload.is_empty() {
            return;
        }
        let samples = packet.payload.len() as u32;
        match self.reception.take(&packet, samples, self.start.elapsed()) {
            Verdict::Next(lost) => {
                self.latch(from);
                self.counts.said_level = packet.level.or(self.counts.said_level);
                self.counts.said_mode = packet.mode.or(self.counts.said_mode);
                if !lost.is_zero() {
                    let frames = lost.as_nanos() / FRAME_DURATION.as_nanos();
                    self.counts.lost += u64::try_from(frames).unwrap_or(0);
                    self.read.push_back(Arrival::Lost(lost));
                }
                if let Some(audio) = self.coder.decode(packet.payload) {
                    self.read.push_back(Arrival::Pcm(audio));
                }
            }
            Verdict::Late => self.counts.late += 1,
            Verdict::Duplicate => self.counts.duplicate += 1,
            Verdict::Strange => self.counts.strange += 1,
        }
    }

    /// Answers where the sound comes from, of the addresses that were announced.
    fn latch(&mut self, from: SocketAddr) {
        if !self.latched {
            self.latched = true;
            self.remote = from;
            tracing::debug!(%from, "RTP comes");
        }
    }

    fn take_reports(&mut self, datagram: &[u8]) {
        match Reports::decode(datagram) {
            Ok(reports) => {
                if let Some(sender) = reports.sender {
                    self.reported = Some(((sender.ntp >> 16) as u32, self.start.elapsed()));
                }
                let ours = self.out.ssrc;
                if let Some(block) = reports.blocks.iter().find(|block| block.ssrc == ours) {
                    self.counts.remote_loss = Some(block.fraction_lost);
                }
            }
            Err(error) => self.read.push_back(Arrival::Nonsense(error.to_string())),
        }
    }

    /// Begins the budget of the next tick, and reports when it is time.
    pub(super) fn refill(&mut self, now: Instant) -> io::Result<()> {
        self.budget = DATAGRAMS_PER_TICK;
        if now >= self.report_due {
            self.report_due = now + REPORT_INTERVAL;
            self.report(Farewell::No)?;
        }
        Ok(())
    }

    fn report(&mut self, farewell: Farewell) -> io::Result<()> {
        let mut block = self.reception.report();
        if let (Some(block), Some((ntp, when))) = (&mut block, self.reported) {
            block.last_report = ntp;
            let since = self.start.elapsed().saturating_sub(when);
            block.delay = u32::try_from((since.as_millis() << 16) / 1000).unwrap_or(u32::MAX);
        }
        let out = &mut self.out;
        let reports = Reports {
            ssrc: out.ssrc,
            sender: Some(SenderInfo {
                ntp: ntp(SystemTime::now()),
                timestamp: out.timestamp,
                packets: out.packets,
                bytes: out.bytes,
            }),
            blocks: block.into_iter().collect(),
            bye: farewell == Farewell::Yes,
        };
        out.datagram.clear();
        reports.encode(&out.name, &mut out.datagram);
        self.exchange
            .send(&out.datagram, above(self.remote))
            .map(|_| ())
    }

    /// Passes over frames that are never sent: time goes on without them.
    pub(super) fn skip(&mut self, frames: u64) {
        let ticks = u32::try_from(frames).unwrap_or(0).wrapping_mul(FRAME_TICKS);
        self.out.timestamp = self.out.timestamp.wrapping_add(ticks);
    }

    pub(super) fn send(&mut self, samples: &[i16]) -> io::Result<Sent> {
        let out = &mut self.out;
        let level = out.meter.measure(samples);
        let packet = Packet {
            payload_type: self.payload_type,
            marker: out.packets == 0,
            sequence: out.sequence,
            timestamp: out.timestamp,
            ssrc: out.ssrc,
            level: Some(Level {
                below_overload_db: level.level.minus_dbov(),
                voice: level.voice,
            }),
            // Once a second: it never changes.
            mode: out.packets.is_multiple_of(MODE_PACKETS).then_some(MODE),
            payload: self.coder.encode(samples),
        };
        out.datagram.clear();
        packet.encode(&mut out.datagram);
        out.timestamp = out.timestamp.wrapping_add(FRAME_TICKS);
        if !self.exchange.send(&out.datagram, self.remote)? {
            return Ok(Sent::Dropped);
        }
        out.sequence = out.sequence.wrapping_add(1);
        out.packets = out.packets.wrapping_add(1);
        out.bytes = out.bytes.wrapping_add(packet.payload.len() as u32);
        Ok(Sent::Yes)
    }

    /// Says good-bye; whoever ends the call in Asterisk is ARI.
    pub(super) fn say_hangup(&mut self) {
        if let Err(error) = self.report(Farewell::Yes) {
            tracing::trace!(%error, "no good-bye by RTCP");
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    Yes,
    No,
}

/// The port of the reports.
fn above(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip(), addr.port().saturating_add(1))
}

/// Seconds since 1900 in the upper half, their fraction in the lower.
fn ntp(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    since.as_secs().wrapping_add(NTP_EPOCH) << 32 | fraction
}
