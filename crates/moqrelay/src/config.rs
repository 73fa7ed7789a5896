//! The configuration: a TOML file, then `MOQRELAY__SECTION__KEY` from the environment.
//!
//! `config/relay.toml` documents every key. An error names the key, the value and what is allowed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use moqrelay_control::token;
use moqrelay_moqt::Draft;
use moqrelay_room::{Number, UserId};
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

/// Before each variable of the environment that overrides a key.
const ENV_PREFIX: &str = "MOQRELAY";

/// How often files may be looked at: a look is a system call for each.
const WATCH_MIN: Duration = Duration::from_millis(10);
const WATCH_MAX: Duration = Duration::from_secs(3600);

/// Guests at once: each has a number of its own.
const GUESTS_MAX: u32 = 100_000;

/// The longest name of a user, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Everything the daemon can be told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) daemon: Daemon,
    pub(crate) log: Log,
    pub(crate) moq: Moq,
    pub(crate) tls: Tls,
    pub(crate) http: Http,
    pub(crate) metrics: Metrics,
    pub(crate) auth: Auth,
    pub(crate) users: Vec<User>,
    pub(crate) calls: Calls,
    pub(crate) audio: Audio,
    pub(crate) asterisk: Asterisk,
    pub(crate) upgrade: Upgrade,
}

/// The process.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Daemon {
    /// Worker threads; 0: one for each core.
    pub(crate) workers: usize,
    /// From SIGTERM to the end of the process at the latest.
    #[serde(with = "humantime_serde")]
    pub(crate) drain_timeout: Duration,
    /// How often the files are looked at for a change; 0: never.
    #[serde(with = "humantime_serde")]
    pub(crate) watch: Duration,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            workers: 0,
            drain_timeout: Duration::from_secs(10),
            watch: Duration::from_secs(2),
        }
    }
}

/// Logging, to standard error.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Text,
        }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

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
            cache: Vec::new(),
        }
    }
}

impl Moq {
    fn check(&self) -> Result<()> {
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

/// The certificate of the MoQ port; without one the daemon makes its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// Web page, API and signaling.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) listen: SocketAddr,
    /// HTTPS, with the certificate of `[tls]`.
    pub(crate) tls: bool,
    /// Origins besides the own host that may open the signaling socket.
    pub(crate) origins: Vec<String>,
    /// A folder with the page, instead of the one built in: for work on the page.
    pub(crate) folder: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0u16; 8], 8080)),
            tls: false,
            origins: Vec::new(),
            folder: None,
        }
    }
}

/// Metrics and health.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) listen: SocketAddr,
    /// What `/api/v1/relay/*` wants as a bearer; empty: it serves this machine only.
    pub(crate) bearer: Secret,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
            bearer: Secret::default(),
        }
    }
}

/// Who may do what.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    pub(crate) guests: bool,
    /// Numbers handed to guests, for example `7001-7099`; as many guests there can be.
    pub(crate) guest_numbers: String,
    #[serde(with = "humantime_serde")]
    pub(crate) guest_lifetime: Duration,
    /// Namespaces below which sessions without a token may publish; `""` is everything.
    pub(crate) anonymous_publish: Vec<String>,
    pub(crate) anonymous_subscribe: Vec<String>,
    pub(crate) keys: Vec<Key>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            guests: false,
            guest_numbers: "7001-7099".into(),
            guest_lifetime: Duration::from_secs(12 * 3600),
            anonymous_publish: Vec::new(),
            anonymous_subscribe: Vec::new(),
            keys: Vec::new(),
        }
    }
}

/// A key that signs or checks tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// The `kid` of the tokens it signed.
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    /// HS256: the secret itself, at least 32 bytes.
    #[serde(default)]
    pub(crate) secret: Option<Secret>,
    /// HS256: a file with the secret. ES256: the public key (PEM).
    #[serde(default)]
    pub(crate) file: Option<PathBuf>,
    /// ES256: the private key (PEM), only where this daemon signs.
    #[serde(default)]
    pub(crate) private_file: Option<PathBuf>,
}

/// The algorithms that are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Algorithm {
    HS256,
    ES256,
}

/// A text that no log shows.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// Returns the text; never log it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A person who is known by configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) number: Option<String>,
    /// An AudioSocket connection with this UUID rings this person.
    #[serde(default)]
    pub(crate) audiosocket: Option<Uuid>,
}

/// Calls.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Calls {
    #[serde(with = "humantime_serde")]
    pub(crate) ring_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) duration_max: Duration,
    pub(crate) calls_max: usize,
    pub(crate) users_max: usize,
    /// Where call records go; absent: only into the log.
    pub(crate) records: Option<PathBuf>,
    pub(crate) records_bytes_max: u64,
    pub(crate) records_kept: u32,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            ring_timeout: Duration::from_secs(45),
            duration_max: Duration::from_secs(4 * 3600),
            calls_max: 1_000,
            users_max: 1_000,
            records: None,
            records_bytes_max: 16 << 20,
            records_kept: 4,
        }
    }
}

/// What the bridge does with sound.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Audio {
    pub(crate) bitrate: u32,
    pub(crate) complexity: u8,
    pub(crate) voice_mode: VoiceMode,
    pub(crate) level_control: bool,
    pub(crate) comfort_noise: bool,
    #[serde(with = "humantime_serde")]
    pub(crate) jitter_min: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) jitter_max: Duration,
}

impl Default for Audio {
    fn default() -> Self {
        Self {
            bitrate: 32_000,
            complexity: 5,
            voice_mode: VoiceMode::Steady,
            level_control: false,
            comfort_noise: true,
            jitter_min: Duration::from_millis(20),
            jitter_max: Duration::from_millis(400),
        }
    }
}

/// How the voice of a telephone leg is sent by MoQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VoiceMode {
    Steady,
    Saving,
}

/// A new process takes over from a running one.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Upgrade {
    /// Where the running process listens for the new one; absent: it does not.
    pub(crate) socket: Option<PathBuf>,
    /// How long calls may go on in a process from which another has taken over.
    #[serde(with = "humantime_serde")]
    pub(crate) drain_timeout: Duration,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self {
            socket: None,
            drain_timeout: Duration::from_secs(4 * 3600),
        }
    }
}

/// The roads to Asterisk.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Asterisk {
    pub(crate) audiosocket: SocketAddr,
    /// What the dialplan shows to get a ticket; absent: no tickets.
    pub(crate) secret: Option<Secret>,
    pub(crate) legs_max: usize,
    /// Whether telephones may transfer calls to numbers.
    pub(crate) transfers_dial: bool,
    /// The UDP port of all RTP; absent: none.
    pub(crate) rtp: Option<SocketAddr>,
    /// Where Asterisk's WebSocket channels connect to us; absent: nowhere.
    pub(crate) websocket: Option<MediaListener>,
    pub(crate) ari: Option<Ari>,
}

impl Default for Asterisk {
    fn default() -> Self {
        Self {
            audiosocket: SocketAddr::from(([127, 0, 0, 1], 9092)),
            secret: None,
            legs_max: 500,
            transfers_dial: false,
            rtp: None,
            websocket: None,
            ari: None,
        }
    }
}

/// The way in for `chan_websocket`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MediaListener {
    pub(crate) listen: SocketAddr,
    /// As in Asterisk's `websocket_client.conf`.
    pub(crate) user: String,
    pub(crate) password: Secret,
}

/// Asterisk's REST interface.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ari {
    pub(crate) url: Url,
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

impl Config {
    /// Reads the file, lays the environment over it and checks the whole.
    ///
    /// # Errors
    ///
    /// Names the key, its value and what is allowed.
    pub(crate) fn load(path: &Path) -> Result<Loaded> {
        ensure!(path.is_file(), "there is no file {}", path.display());
        let environment = config::Environment::with_prefix(ENV_PREFIX)
            .prefix_separator("__")
            .separator("__")
            .list_separator(",")
            .with_list_parse_key("http.origins")
            .with_list_parse_key("auth.anonymous_publish")
            .with_list_parse_key("auth.anonymous_subscribe")
            .try_parsing(true);
        Self::from_sources(
            config::Config::builder()
                .add_source(config::File::from(path).format(config::FileFormat::Toml))
                .add_source(environment),
        )
    }

    pub(crate) fn from_sources(
        builder: config::ConfigBuilder<config::builder::DefaultState>,
    ) -> Result<Loaded> {
        let built = builder.build()?;
        let mut raw = Raw::new();
        flatten("", &built.clone().try_deserialize()?, &mut raw);
        let config: Self = built.try_deserialize()?;
        config.check()?;
        Ok(Loaded { config, raw })
    }

    fn check(&self) -> Result<()> {
        ensure!(
            self.tls.certificate.is_some() == self.tls.key.is_some(),
            "tls.certificate and tls.key: both or neither must be set"
        );
        within("daemon.drain_timeout", self.daemon.drain_timeout, 1, 600)?;
        within(
            "upgrade.drain_timeout",
            self.upgrade.drain_timeout,
            1,
            7 * 86_400,
        )?;
        within("calls.ring_timeout", self.calls.ring_timeout, 5, 600)?;
        within(
            "calls.duration_max",
            self.calls.duration_max,
            60,
            7 * 86_400,
        )?;
        within(
            "auth.guest_lifetime",
            self.auth.guest_lifetime,
            60,
            7 * 86_400,
        )?;
        within("moq.rendezvous_max", self.moq.rendezvous_max, 1, 600)?;
        within("moq.cache_age_max", self.moq.cache_age_max, 0, 86_400)?;
        within("moq.cache_linger", self.moq.cache_linger, 0, 86_400)?;
        within("moq.fetch_wait_max", self.moq.fetch_wait_max, 0, 60)?;
        number("audio.bitrate", self.audio.bitrate as usize, 6_000, 128_000)?;
        number(
            "audio.complexity",
            usize::from(self.audio.complexity),
            0,
            10,
        )?;
        self.moq.check()?;
        number("asterisk.legs_max", self.asterisk.legs_max, 1, 10_000)?;
        number("calls.calls_max", self.calls.calls_max, 1, 100_000)?;
        ensure!(
            self.audio.jitter_min <= self.audio.jitter_max,
            "audio.jitter_min is {:?}: it must not be above audio.jitter_max, {:?}",
            self.audio.jitter_min,
            self.audio.jitter_max
        );
        self.auth.guest_number_range()?;
        self.check_users()?;
        self.check_keys()?;
        for (key, url) in [
            ("moq.url", &self.moq.url),
            ("moq.goaway_uri", &self.moq.goaway_uri),
        ] {
            if let Some(url) = url {
                ensure!(
                    url.scheme() == "https",
                    "{key} is {url}: it must begin with https://"
                );
            }
        }
        let watch = self.daemon.watch;
        ensure!(
            watch.is_zero() || (WATCH_MIN..=WATCH_MAX).contains(&watch),
            "daemon.watch is {watch:?}: allowed are 0s and {WATCH_MIN:?} to {WATCH_MAX:?}"
        );
        if let Some(ari) = &self.asterisk.ari {
            ensure!(
                ari.url.scheme() == "http",
                "asterisk.ari.url is {}: it must begin with http://",
                ari.url
            );
        }
        if let Some(secret) = &self.asterisk.secret {
            ensure!(
                secret.expose().len() >= 8,
                "asterisk.secret has {} characters: at least 8 are needed",
                secret.expose().len()
            );
        }
        Ok(())
    }

    fn check_users(&self) -> Result<()> {
        let mut ids = BTreeSet::new();
        for user in &self.users {
            UserId::new(&user.id).with_context(|| format!("users.id is {:?}", user.id))?;
            if let Some(number) = &user.number {
                Number::new(number).with_context(|| format!("users.number is {number:?}"))?;
            }
            ensure!(
                (1..=NAME_CHARS_MAX).contains(&user.name.chars().count()),
                "users.name is {:?}: 1 to {NAME_CHARS_MAX} characters are allowed",
                user.name
            );
            ensure!(ids.insert(&user.id), "users.id {:?} stands twice", user.id);
        }
        Ok(())
    }

    fn check_keys(&self) -> Result<()> {
        for key in &self.auth.keys {
            match key.algorithm {
                Algorithm::HS256 => ensure!(
                    key.secret.is_some() != key.file.is_some(),
                    "auth.keys {:?}: HS256 needs either secret or file",
                    key.id
                ),
                Algorithm::ES256 => ensure!(
                    key.file.is_some() && key.secret.is_none(),
                    "auth.keys {:?}: ES256 needs file (the public key) and takes no secret",
                    key.id
                ),
            }
        }
        Ok(())
    }
}

/// A configuration, and what was written to get it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) raw: Raw,
}

/// Each key that is set, and its value as a text. Never logged: some are secrets.
pub(crate) type Raw = BTreeMap<String, String>;

/// Names the leaves of a tree; a list is one.
fn flatten(key: &str, value: &serde_json::Value, raw: &mut Raw) {
    match value.as_object() {
        Some(table) => {
            for (name, value) in table {
                let dot = if key.is_empty() { "" } else { "." };
                flatten(&format!("{key}{dot}{name}"), value, raw);
            }
        }
        None => {
            raw.insert(key.to_owned(), value.to_string());
        }
    }
}

/// What the files hold that the configuration names; read once, at the start.
pub(crate) struct Secrets {
    /// The keys of tokens.
    pub(crate) keys: Vec<token::Key>,
}

impl Config {
    /// Reads the files of the keys.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or a key cannot be used.
    pub(crate) fn secrets(&self) -> Result<Secrets> {
        let keys = self
            .auth
            .keys
            .iter()
            .map(Key::read)
            .collect::<Result<Vec<_>>>()?;
        token::Keys::new(keys.clone()).context("auth.keys")?;
        Ok(Secrets { keys })
    }
}

impl Key {
    fn read(&self) -> Result<token::Key> {
        let read = |path: &PathBuf| {
            fs::read(path).with_context(|| {
                format!("auth.keys {:?}: {} cannot be read", self.id, path.display())
            })
        };
        let pem = |path: &PathBuf| {
            String::from_utf8(read(path)?)
                .with_context(|| format!("{} is no PEM file", path.display()))
        };
        let material = match (self.algorithm, &self.secret, &self.file, &self.private_file) {
            (Algorithm::HS256, Some(secret), _, _) => {
                token::Material::Hs256(secret.expose().as_bytes().to_vec())
            }
            (Algorithm::HS256, None, Some(path), _) => {
                let mut secret = read(path)?;
                // An editor's last line break is not part of the secret.
                while secret
                    .last()
                    .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
                {
                    secret.pop();
                }
                token::Material::Hs256(secret)
            }
            (Algorithm::ES256, _, _, Some(path)) => token::Material::Es256Private(pem(path)?),
            (Algorithm::ES256, _, Some(path), None) => token::Material::Es256Public(pem(path)?),
            (Algorithm::HS256, None, None, _) | (Algorithm::ES256, _, None, None) => {
                bail!("auth.keys {:?} names no key", self.id)
            }
        };
        Ok(token::Key {
            kid: Some(self.id.clone()),
            material,
        })
    }
}

impl Auth {
    /// Returns the numbers for guests.
    ///
    /// # Errors
    ///
    /// When the text is not of the form `7001-7099`.
    pub(crate) fn guest_number_range(&self) -> Result<RangeInclusive<u32>> {
        let allowed = || {
            format!(
                "auth.guest_numbers is {:?}: allowed is FIRST-LAST with at most {GUESTS_MAX} numbers, for example 7001-7099",
                self.guest_numbers
            )
        };
        let (first, last) = self.guest_numbers.split_once('-').with_context(allowed)?;
        let first: u32 = first.trim().parse().with_context(allowed)?;
        let last: u32 = last.trim().parse().with_context(allowed)?;
        if first > last || last - first >= GUESTS_MAX {
            bail!(allowed());
        }
        Ok(first..=last)
    }
}

fn within(key: &str, value: Duration, least_s: u64, most_s: u64) -> Result<()> {
    ensure!(
        (least_s..=most_s).contains(&value.as_secs()),
        "{key} is {value:?}: allowed are {least_s} s to {most_s} s"
    );
    Ok(())
}

fn number(key: &str, value: usize, least: usize, most: usize) -> Result<()> {
    ensure!(
        (least..=most).contains(&value),
        "{key} is {value}: allowed are {least} to {most}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_sets_every_key_to_its_default_but_the_named_ones() {
        let text = include_str!("../../../config/relay.toml");

        let config = parse(text).unwrap();

        let expected = Config {
            auth: Auth {
                guests: true,
                ..Auth::default()
            },
            ..Config::default()
        };
        assert_eq!(format!("{config:?}"), format!("{expected:?}"));
    }

    #[test]
    fn the_open_file_listens_on_loopback_only() {
        let config = parse(include_str!("../../../config/open.toml")).unwrap();

        assert!(config.moq.listen.ip().is_loopback());
        assert!(config.http.listen.ip().is_loopback());
        assert!(config.asterisk.audiosocket.ip().is_loopback());
        assert_eq!(config.auth.anonymous_publish, [""]);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = parse("[moq]\nlisten_on = \"x\"").unwrap_err().to_string();

        assert!(error.contains("listen_on"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_key() {
        let error = parse("[moq]\nlisten = \"nowhere\"")
            .unwrap_err()
            .to_string();

        assert!(error.contains("moq.listen"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_named_with_what_is_allowed() {
        let error = parse("[audio]\ncomplexity = 11").unwrap_err().to_string();

        assert_eq!(error, "audio.complexity is 11: allowed are 0 to 10");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let config = parse("[asterisk]\nsecret = \"do-not-show-me\"").unwrap();

        assert!(!format!("{config:?}").contains("do-not-show-me"));
    }

    #[test]
    fn a_range_of_guest_numbers_must_go_up() {
        let error = parse("[auth]\nguest_numbers = \"9-3\"")
            .unwrap_err()
            .to_string();

        assert!(error.contains("auth.guest_numbers"), "{error}");
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let environment = config::Environment::with_prefix(ENV_PREFIX)
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .source(Some(
                [("MOQRELAY__MOQ__LISTEN".to_owned(), "127.0.0.1:7".to_owned())].into(),
            ));

        let config = Config::from_sources(
            config::Config::builder()
                .add_source(config::File::from_str(
                    "[moq]\nlisten = \"127.0.0.1:6\"",
                    TOML,
                ))
                .add_source(environment),
        )
        .unwrap()
        .config;

        assert_eq!(config.moq.listen.port(), 7);
    }

    const TOML: config::FileFormat = config::FileFormat::Toml;

    fn parse(text: &str) -> Result<Config> {
        Config::from_sources(
            config::Config::builder().add_source(config::File::from_str(text, TOML)),
        )
        .map(|loaded| loaded.config)
    }
}
