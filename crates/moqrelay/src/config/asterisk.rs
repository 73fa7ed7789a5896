//! The roads to Asterisk.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result, ensure};
use moqrelay_room::Number;
use serde::Deserialize;
use url::Url;

use super::{Ami, Numbers, Secret, Trunk, number, registrations, routing};

/// The roads to Asterisk.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Asterisk {
    pub(crate) audiosocket: SocketAddr,
    /// What the dialplan shows to get a ticket; absent: no tickets.
    pub(crate) secret: Option<Secret>,
    pub(crate) legs_max: usize,
    /// Whether keys are listened for in the sound of calls without ARI.
    pub(crate) detect_digits: bool,
    /// Whether telephones may transfer calls to numbers.
    pub(crate) transfers_dial: bool,
    /// The UDP port of all RTP; absent: none.
    pub(crate) rtp: Option<SocketAddr>,
    /// Where Asterisk's WebSocket channels connect to us; absent: nowhere.
    pub(crate) websocket: Option<MediaListener>,
    pub(crate) ari: Option<Ari>,
    /// Absent: nobody asks for registrations.
    pub(crate) ami: Option<Ami>,
    pub(crate) numbers: Numbers,
    pub(crate) trunks: Vec<Trunk>,
    /// Telephones whose state is shown.
    pub(crate) lines: Vec<Line>,
}

/// A telephone of Asterisk's whose state is shown.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    /// What to dial.
    pub(crate) number: String,
    pub(crate) name: String,
    /// Asterisk's name of the device, such as `PJSIP/alice`.
    pub(crate) device: String,
}

impl Default for Asterisk {
    fn default() -> Self {
        Self {
            audiosocket: SocketAddr::from(([127, 0, 0, 1], 9092)),
            secret: None,
            legs_max: 500,
            detect_digits: false,
            transfers_dial: false,
            rtp: None,
            websocket: None,
            ari: None,
            ami: None,
            numbers: Numbers::default(),
            trunks: Vec::new(),
            lines: Vec::new(),
        }
    }
}

impl Asterisk {
    pub(super) fn check(&self) -> Result<()> {
        number("asterisk.legs_max", self.legs_max, 1, 10_000)?;
        if let Some(ari) = &self.ari {
            ensure!(
                ["http", "https"].contains(&ari.url.scheme()),
                "asterisk.ari.url is {}: it must begin with http:// or https://",
                ari.url
            );
            ensure!(
                ari.ca.is_none() || ari.url.scheme() == "https",
                "asterisk.ari.ca is set, and asterisk.ari.url is {}: it must begin with https://",
                ari.url
            );
        }
        routing(&self.numbers, &self.trunks)?;
        registrations(self.ami.as_ref(), &self.trunks)?;
        let voicemail = self.ari.as_ref().and_then(|ari| ari.voicemail.as_ref());
        let voicemail = voicemail.map(|number| ("asterisk.ari.voicemail", number));
        let lines = self.lines.iter();
        let lines = lines.map(|line| ("asterisk.lines.number", &line.number));
        for (key, text) in lines.chain(voicemail) {
            Number::new(text).with_context(|| format!("{key} is {text:?}"))?;
        }
        if let Some(secret) = &self.secret {
            ensure!(
                secret.expose().len() >= 8,
                "asterisk.secret has {} characters: at least 8 are needed",
                secret.expose().len()
            );
        }
        Ok(())
    }
}

/// The way in for `chan_websocket`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MediaListener {
    pub(crate) listen: SocketAddr,
    /// Whether it is `wss://`, with the certificate of the web page.
    #[serde(default)]
    pub(crate) tls: bool,
    /// As in Asterisk's `websocket_client.conf`.
    pub(crate) user: String,
    pub(crate) password: Secret,
}

/// Asterisk's REST interface.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ari {
    pub(crate) url: Url,
    /// A PEM file: who signs Asterisk's certificate; absent: whom the system trusts.
    #[serde(default)]
    pub(crate) ca: Option<PathBuf>,
    pub(crate) user: String,
    pub(crate) password: Secret,
    #[serde(default = "Ari::default_app")]
    pub(crate) app: String,
    /// What is dialled for a number, `{number}` in it.
    pub(crate) dial: String,
    /// Our AudioSocket as Asterisk reaches it; absent: `[asterisk] audiosocket`.
    #[serde(default)]
    pub(crate) audiosocket: Option<String>,
    /// Our port for RTP as Asterisk reaches it; absent: `[asterisk] rtp`.
    #[serde(default)]
    pub(crate) rtp: Option<String>,
    #[serde(default)]
    pub(crate) road: Road,
    /// Absent: what the road carries best.
    #[serde(default)]
    pub(crate) format: Option<Format>,
    /// The same for calls to some numbers.
    #[serde(default)]
    pub(crate) roads: Vec<NumberRoad>,
    /// What becomes of a telephone's call that nobody has answered.
    #[serde(default)]
    pub(crate) unanswered: Unanswered,
    /// The mailbox of a number, `{number}` in it; absent: nobody is told of messages.
    #[serde(default)]
    pub(crate) mailbox: Option<String>,
    /// What is dialled to hear messages.
    #[serde(default)]
    pub(crate) voicemail: Option<String>,
}

/// What becomes of a telephone's call that nobody has answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unanswered {
    #[default]
    Hangup,
    Dialplan,
}

impl From<Unanswered> for moqrelay_bridge::ari::Unanswered {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Hangup => Self::HangUp,
            Unanswered::Dialplan => Self::Dialplan,
        }
    }
}

/// The road of calls to some numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NumberRoad {
    /// What the number dialled begins with; the longest that fits counts.
    pub(crate) prefix: String,
    #[serde(default)]
    pub(crate) calls: Side,
    pub(crate) road: Road,
    /// Absent: what the road carries best.
    #[serde(default)]
    pub(crate) format: Option<Format>,
}

/// Who dials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    In,
    Out,
    #[default]
    Both,
}

/// By which way ARI asks Asterisk to exchange sound with us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Road {
    /// The cheapest that loses nothing, for each call.
    Auto,
    #[default]
    AudioSocket,
    WebSocket,
    Rtp,
}

/// What ARI asks Asterisk to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Slin,
    Slin12,
    Slin16,
    Slin24,
    Slin48,
    Opus,
    Ulaw,
    Alaw,
    G722,
}

impl Format {
    /// Returns Asterisk's name of it, which is ours.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Slin => "slin",
            Self::Slin12 => "slin12",
            Self::Slin16 => "slin16",
            Self::Slin24 => "slin24",
            Self::Slin48 => "slin48",
            Self::Opus => "opus",
            Self::Ulaw => "ulaw",
            Self::Alaw => "alaw",
            Self::G722 => "g722",
        }
    }
}

impl Ari {
    fn default_app() -> String {
        "moqrelay".into()
    }
}
