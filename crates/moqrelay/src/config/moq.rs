//! MoQ sessions, what peers may use up, and what is kept of tracks.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use moqrelay_moqt::Draft;
use serde::Deserialize;
use url::Url;

use super::{https, number, within};

/// MoQ sessions: one UDP port.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Moq {
    pub(crate) listen: SocketAddr,
    /// What browsers are told to connect to; absent: made from the host of their request.
    pub(crate) url: Option<Url>,
    /// MoQ over a WebSocket on the web page's port.
    pub(crate) fallback: bool,
    /// Where clients are sent when the daemon ends.
    pub(crate) goaway_uri: Option<Url>,
    /// Numbers of the drafts that peers may speak, the preferred one first.
    pub(crate) drafts: Vec<String>,
    /// Threads that share the port; 0: as many as there are cores.
    pub(crate) workers: usize,
    pub(crate) sessions_max: usize,
    pub(crate) sessions_per_address_max: usize,
    pub(crate) handshakes_max: usize,
    pub(crate) retry_from_handshakes: usize,
    pub(crate) subscriptions_per_session_max: usize,
    pub(crate) tracks_per_session_max: usize,
    pub(crate) namespaces_per_session_max: usize,
    pub(crate) requests_per_second_max: u64,
    pub(crate) bytes_per_second_max: u64,
    pub(crate) namespace_fields_max: usize,
    pub(crate) namespace_bytes_max: usize,
    pub(crate) object_bytes_max: usize,
    pub(crate) track_objects_max: usize,
    pub(crate) track_bytes_max: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) track_age_max: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) rendezvous_max: Duration,
    /// Where what sessions say is logged; empty: nowhere.
    pub(crate) mlog_dir: String,
    /// One session of so many is logged; 0: only those that an operator names.
    pub(crate) mlog_sample: u32,
    /// Where connections are logged; empty: nowhere.
    pub(crate) qlog_dir: String,
    /// One connection of so many is logged; 0: only those that an operator asks for.
    pub(crate) qlog_sample: u32,
    pub(crate) mlog_file_bytes_max: u64,
    pub(crate) mlog_files_max: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) mlog_age_max: Duration,
    pub(crate) cache_bytes_max: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) cache_linger: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) cache_age_max: Duration,
    pub(crate) cache_track_bytes_max: usize,
    pub(crate) cache_track_objects_max: usize,
    pub(crate) fetches_per_session_max: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) fetch_wait_max: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) gather: Duration,
    /// What differs below some prefixes.
    pub(crate) cache: Vec<Cached>,
}

/// What is kept of tracks below a prefix; what is absent is as for all others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cached {
    pub(crate) prefix: String,
    #[serde(default, with = "humantime_serde")]
    pub(crate) age: Option<Duration>,
    pub(crate) bytes: Option<usize>,
    pub(crate) objects: Option<usize>,
}

impl Default for Moq {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0u16; 8], 4443)),
            url: None,
            fallback: true,
            goaway_uri: None,
            drafts: ["18", "16", "14"].map(str::to_owned).to_vec(),
            workers: 0,
            sessions_max: 10_000,
            sessions_per_address_max: 2_000,
            handshakes_max: 1024,
            retry_from_handshakes: 256,
            subscriptions_per_session_max: 1024,
            tracks_per_session_max: 512,
            namespaces_per_session_max: 256,
            requests_per_second_max: 300,
            bytes_per_second_max: 16 << 20,
            namespace_fields_max: 32,
            namespace_bytes_max: 1024,
            object_bytes_max: 4 << 20,
            track_objects_max: 1024,
            track_bytes_max: 8 << 20,
            track_age_max: Duration::from_secs(4),
            rendezvous_max: Duration::from_secs(60),
            mlog_dir: String::new(),
            mlog_sample: 0,
            qlog_dir: String::new(),
            qlog_sample: 0,
            mlog_file_bytes_max: 16 << 20,
            mlog_files_max: 64,
            mlog_age_max: Duration::from_hours(24),
            cache_bytes_max: 256 << 20,
            cache_linger: Duration::from_secs(30),
            cache_age_max: Duration::from_secs(60),
            cache_track_bytes_max: 32 << 20,
            cache_track_objects_max: 16_384,
            fetches_per_session_max: 16,
            fetch_wait_max: Duration::from_secs(5),
            gather: Duration::from_millis(5),
            cache: Vec::new(),
        }
    }
}

/// A frame of voice: more is delay without a saving.
const GATHER_MAX: Duration = Duration::from_millis(20);

impl Moq {
    pub(super) fn check(&self) -> Result<()> {
        within("moq.rendezvous_max", self.rendezvous_max, 1, 600)?;
        within("moq.cache_age_max", self.cache_age_max, 0, 86_400)?;
        within("moq.cache_linger", self.cache_linger, 0, 86_400)?;
        within("moq.fetch_wait_max", self.fetch_wait_max, 0, 60)?;
        ensure!(
            self.gather <= GATHER_MAX,
            "moq.gather is {:?}: allowed are 0 ms to {GATHER_MAX:?}",
            self.gather
        );
        https("moq.url", self.url.as_ref())?;
        https("moq.goaway_uri", self.goaway_uri.as_ref())?;
        let second = |rate: u64| usize::try_from(rate).unwrap_or(usize::MAX);
        for (key, value, least, most) in [
            ("sessions_max", self.sessions_max, 1, 1_000_000),
            (
                "sessions_per_address_max",
                self.sessions_per_address_max,
                1,
                1_000_000,
            ),
            ("handshakes_max", self.handshakes_max, 1, 100_000),
            (
                "retry_from_handshakes",
                self.retry_from_handshakes,
                0,
                100_000,
            ),
            (
                "subscriptions_per_session_max",
                self.subscriptions_per_session_max,
                1,
                100_000,
            ),
            (
                "tracks_per_session_max",
                self.tracks_per_session_max,
                1,
                100_000,
            ),
            (
                "namespaces_per_session_max",
                self.namespaces_per_session_max,
                1,
                100_000,
            ),
            (
                "requests_per_second_max",
                second(self.requests_per_second_max),
                1,
                1_000_000,
            ),
            (
                "bytes_per_second_max",
                second(self.bytes_per_second_max),
                10_000,
                1 << 40,
            ),
            ("namespace_fields_max", self.namespace_fields_max, 1, 32),
            ("namespace_bytes_max", self.namespace_bytes_max, 16, 4096),
            ("object_bytes_max", self.object_bytes_max, 1_500, 64 << 20),
            ("track_objects_max", self.track_objects_max, 16, 65_536),
            ("cache_bytes_max", self.cache_bytes_max, 0, 1 << 40),
            (
                "cache_track_bytes_max",
                self.cache_track_bytes_max,
                0,
                1 << 40,
            ),
            (
                "cache_track_objects_max",
                self.cache_track_objects_max,
                0,
                10_000_000,
            ),
            (
                "fetches_per_session_max",
                self.fetches_per_session_max,
                0,
                1_000,
            ),
        ] {
            number(&format!("moq.{key}"), value, least, most)?;
        }
        self.drafts().map(drop)
    }

    /// Returns the drafts that peers may speak.
    pub(crate) fn drafts(&self) -> Result<Vec<Draft>> {
        ensure!(!self.drafts.is_empty(), "moq.drafts is empty");
        let drafts = self.drafts.iter().map(|name| {
            let draft = name.parse().ok().and_then(Draft::from_number);
            draft.with_context(|| format!("moq.drafts names {name}: that draft is not spoken"))
        });
        drafts.collect()
    }
}
