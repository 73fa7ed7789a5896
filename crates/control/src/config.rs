//! What an operator can set.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moqrelay_wire::file::FileType;
use moqrelay_wire::signal::Services;
use serde::Serialize;

use crate::directory::Directory;
use crate::media::MediaDoor;
use crate::token::Keys;

/// What [`Control`](crate::Control) goes by.
#[derive(Debug, Clone)]
pub struct Config {
    /// Checks tokens, and signs those of guests and of media.
    pub keys: Arc<Keys>,
    /// The users who exist without being registered.
    pub directory: Arc<Directory>,
    /// Hands out guest tokens; `None` refuses with 403.
    pub guests: Option<Guests>,
    /// What Asterisk must show to get a ticket; `None` refuses every one with 401.
    pub asterisk_secret: Option<String>,
    /// Where MoQ is.
    pub transport: TransportSource,
    /// Who carries MoQ over a WebSocket, on this port; `None` refuses it with 404.
    pub media: Option<MediaDoor>,
    /// The certificate with which the port speaks HTTPS; `None`: plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Where the web page comes from.
    pub web: Web,
    /// Origins that may open the signaling socket besides the page's own, such as
    /// `https://phone.example`. `*` is any.
    pub origins: Vec<String>,
    /// What files people in rooms may give each other; `None`: none.
    pub files: Option<Files>,
    /// What the switchboard allows, told to clients.
    pub calls: Calls,
    /// What can be dialled for more than a call, told to clients.
    pub services: Services,
    /// What is refused beyond which size.
    pub limits: Limits,
}

/// Guest sign-in.
#[derive(Debug, Clone)]
pub struct Guests {
    /// The numbers guests get, one each while their token lives; their count limits the guests.
    pub numbers: RangeInclusive<u32>,
    /// How long a guest's token holds.
    pub token_ttl: Duration,
    /// Sign-ins of one address in a minute.
    pub per_minute: u32,
}

impl Default for Guests {
    fn default() -> Self {
        // A working day and its evening; ten people behind one address may sign in at once.
        Self {
            numbers: 7001..=7099,
            token_ttl: Duration::from_secs(12 * 3600),
            per_minute: 10,
        }
    }
}

/// Files in rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The longest one, in bytes.
    pub bytes_max: u64,
    /// Of which types.
    pub types: Vec<FileType>,
}

/// Where the web page comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Web {
    /// The page built into the program.
    Embedded,
    /// A folder, read at each request: for work on the page.
    Folder(PathBuf),
    /// No page, the API alone.
    Off,
}

/// What `GET /api/v1/transport` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transport {
    /// Where MoQ over WebTransport is.
    pub url: String,
    /// Where MoQ over a WebSocket is, relative to the page; absent: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_url: Option<String>,
    /// Relays on other hosts to which a GOAWAY may lead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// The drafts spoken, best first.
    pub drafts: Vec<String>,
    /// SHA-256 of the certificates in use, 64 hex digits each; empty when a public authority signed.
    #[serde(serialize_with = "hashes")]
    pub certificate_hashes: Vec<String>,
    /// When the certificate is renewed, RFC 3339; absent for one that is not ours to renew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_before: Option<String>,
}

fn hashes<S: serde::Serializer>(hashes: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Hash<'a> {
        algorithm: &'static str,
        value: &'a str,
    }
    serializer.collect_seq(hashes.iter().map(|value| Hash {
        algorithm: "sha-256",
        value,
    }))
}

/// Asks the daemon where MoQ is. The argument is the host by which the client reached the page,
/// without port, IPv6 in brackets; `None` when it named none.
#[derive(Clone)]
pub struct TransportSource(pub Arc<Answer>);

type Answer = dyn Fn(Option<&str>) -> Transport + Send + Sync;

impl fmt::Debug for TransportSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransportSource")
    }
}

/// What the switchboard allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// Calls of a device at the same time.
    pub per_device: usize,
    /// How long a call rings.
    pub ring_timeout: Duration,
    /// How long a call lasts; media tokens hold a little longer.
    pub duration_max: Duration,
    /// How long calls outlive the socket.
    pub grace: Duration,
}

impl From<&moqrelay_room::Config> for Calls {
    fn from(config: &moqrelay_room::Config) -> Self {
        Self {
            per_device: config.limits.calls_per_device,
            ring_timeout: config.ring_timeout,
            duration_max: config.call_duration_max,
            grace: config.grace,
        }
    }
}

/// Sizes and rates beyond which a peer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// TCP connections.
    pub connections: usize,
    /// TCP connections of one address.
    pub connections_per_address: usize,
    /// Signaling sessions, those without socket included.
    pub sessions: usize,
    /// Requests that wait for the daemon.
    pub requests: usize,
    /// Messages that wait for a device's socket; a device that does not read is cut off.
    pub outbound: usize,
    /// Messages of one socket in a second, over time.
    pub messages_per_second: u32,
    /// Messages of one socket at once.
    pub messages_burst: u32,
    /// Tickets in a second.
    pub tickets_per_second: u32,
    /// How long a socket may take to register.
    pub register_timeout: Duration,
    /// How often a socket is pinged.
    pub ping_interval: Duration,
    /// How long a socket may be silent.
    pub silence_max: Duration,
    /// How long a request's header may take to arrive.
    pub header_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            // An office behind one address, several connections for each page.
            connections_per_address: 512,
            sessions: 2000,
            requests: 1024,
            // The replay of a resume (256 events) and as much again for what happens meanwhile.
            outbound: 512,
            // A person who dials; ringing and DTMF come in bursts.
            messages_per_second: 20,
            messages_burst: 60,
            tickets_per_second: 50,
            register_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(15),
            silence_max: Duration::from_secs(35),
            header_timeout: Duration::from_secs(10),
        }
    }
}
