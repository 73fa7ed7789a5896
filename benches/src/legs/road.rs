//! The roads that legs can take, and what a telephone's speech is on each.

use std::{collections::HashSet, net::Ipv4Addr, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use moqrelay_audio::{Frame, SampleRate, g711, g722, opus};
use moqrelay_bridge::Codec;
use moqrelay_wire::audiosocket::{Rate, encode_audio};

use super::websocket;
use crate::voice;

/// A way between Asterisk and the bridge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Road {
    /// AudioSocket, slin16.
    #[default]
    Audiosocket,
    /// `chan_websocket` with slin16.
    WebsocketSlin16,
    /// `chan_websocket` with Opus, which is passed untouched.
    WebsocketOpus,
    /// RTP with G.711 µ-law.
    RtpUlaw,
    /// RTP with G.722.
    RtpG722,
}

/// What a telephone says, round and round.
#[derive(Debug, Clone)]
pub(super) struct Speech {
    /// What goes over the wire for each 20 ms; for RTP its payload.
    pub(super) pieces: Arc<Vec<Bytes>>,
    /// The packets, where they are passed untouched.
    pub(super) packets: Option<Arc<HashSet<Bytes>>>,
}

impl Road {
    /// Returns what rows call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Audiosocket => "AudioSocket",
            Self::WebsocketSlin16 => "WebSocket slin16",
            Self::WebsocketOpus => "WebSocket Opus",
            Self::RtpUlaw => "RTP PCMU",
            Self::RtpG722 => "RTP G.722",
        }
    }

    /// Returns what its option is called.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Audiosocket => "audiosocket",
            Self::WebsocketSlin16 => "websocket-slin16",
            Self::WebsocketOpus => "websocket-opus",
            Self::RtpUlaw => "rtp-ulaw",
            Self::RtpG722 => "rtp-g722",
        }
    }

    /// Returns the rate at which its legs code Opus; `None`: they do not.
    pub(super) fn coded(self) -> Option<SampleRate> {
        match self {
            Self::Audiosocket | Self::WebsocketSlin16 | Self::RtpG722 => Some(SampleRate::Hz16000),
            Self::RtpUlaw => Some(SampleRate::Hz8000),
            Self::WebsocketOpus => None,
        }
    }

    /// Returns its codec and payload type, if it is RTP.
    pub(super) fn rtp(self) -> Option<(Codec, u8)> {
        match self {
            Self::RtpUlaw => Some((Codec::Ulaw, moqrelay_wire::rtp::PCMU)),
            Self::RtpG722 => Some((Codec::G722, moqrelay_wire::rtp::G722)),
            Self::Audiosocket | Self::WebsocketSlin16 | Self::WebsocketOpus => None,
        }
    }

    /// Makes the speech.
    pub(super) fn speech(self, bitrate_bps: u32) -> Result<Speech> {
        let rate = self.coded().unwrap_or(SampleRate::Hz48000);
        let voice = voice::samples(rate.hz());
        let frames = voice.chunks_exact(rate.frame_samples());
        let mut g722 = g722::Encoder::default();
        let mut encoder = opus::Encoder::new(opus::Config {
            bitrate_bps,
            ..opus::Config::new(rate)
        })?;
        let mut packets = HashSet::new();
        let piece = |samples: &[i16]| -> Result<Bytes> {
            let mut bytes = Vec::new();
            Ok(match self {
                Self::Audiosocket => {
                    let mut out = BytesMut::new();
                    encode_audio(Rate::Hz16000, samples, &mut out)?;
                    out.freeze()
                }
                Self::WebsocketSlin16 => {
                    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
                    websocket::binary(&bytes)
                }
                Self::WebsocketOpus => {
                    let packet = encoder.encode(&Frame::new(rate, samples)?)?;
                    let message = websocket::binary(&packet);
                    packets.insert(packet);
                    message
                }
                Self::RtpUlaw => {
                    g711::Law::Mu.encode(samples, &mut bytes);
                    bytes.into()
                }
                Self::RtpG722 => {
                    g722.encode(samples, &mut bytes);
                    bytes.into()
                }
            })
        };
        let pieces = frames.map(piece).collect::<Result<Vec<_>>>()?;
        Ok(Speech {
            pieces: Arc::new(pieces),
            packets: (self == Self::WebsocketOpus).then(|| Arc::new(packets)),
        })
    }
}

/// Where a telephone's RTP comes from: each has an address of its own, so that no two have neighbouring ports.
pub(super) fn rtp_addr(leg: u32) -> Result<SocketAddr> {
    let [block, host] = [leg / 250, leg % 250 + 1].map(u8::try_from);
    let ip = Ipv4Addr::new(127, 1, block.context("too many legs")?, host?);
    Ok((ip, RTP_PORT).into())
}

/// The same for all: nobody else has these addresses.
const RTP_PORT: u16 = 40_000;
