//! The log of one session: what each side said, in the MoQ schema of qlog
//! (draft-pardue-moq-qlog-moq-events) as JSON text sequences (RFC 7464).
//!
//! Off unless the operator names a folder. A log is bounded in size, the folder in files and age.
//! Payloads are not in it, and no secrets: of tokens, of queries of paths and of URIs only the
//! length is told.

mod json;
mod message;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::BytesMut;
use moqrelay_moqt::{
    Draft, Message, StreamId,
    data::{Object, ObjectDatagram, ObjectStatus, SubgroupHeader, SubgroupId},
};

use self::json::Json;
use crate::table::SessionId;

/// Where sessions or connections are logged, and how much of it is kept.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder; made when it is not there.
    pub folder: PathBuf,
    /// One of so many is logged from its beginning; 0: only those that an operator names.
    pub sample: u32,
    /// The largest log, in bytes; what comes later is not logged.
    pub file_bytes: u64,
    /// Logs that are kept; the oldest goes for a new one.
    pub files: usize,
    /// How long a log is kept; older ones go when a new one comes.
    pub age: Duration,
}

/// Why a session is not logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// No folder is configured.
    #[error("no folder for logs is configured")]
    Off,
    /// There is none of that id.
    #[error("there is no such session")]
    NoSession,
}

/// What a log's name ends with.
const EXTENSION: &str = "mlog";

/// Bytes of an incomplete message that are kept of one stream: the longest one and its head.
const PENDING_MAX: usize = 0x1_0010;

/// Makes logs.
#[derive(Debug)]
pub(crate) struct Logs {
    config: Config,
    sessions: AtomicU64,
}

/// One side of what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// The peer said it.
    Parsed,
    /// We said it.
    Created,
}

/// The log of one session.
pub(crate) struct Mlog {
    out: Bounded<BufWriter<File>>,
    draft: Draft,
    began: Instant,
    /// What is known of messages that are not complete; `None`: the stream is not understood.
    pending: BTreeMap<(StreamId, Way), Option<BytesMut>>,
    /// The last object of each stream of objects.
    last: BTreeMap<u64, u64>,
}

impl Logs {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            sessions: AtomicU64::new(0),
        }
    }

    /// Returns whether the next session is one of those that are logged.
    pub(crate) fn sampled(&self) -> bool {
        let count = self.sessions.fetch_add(1, Relaxed);
        self.config.sample > 0 && count.is_multiple_of(self.config.sample.into())
    }

    /// Returns where a session is logged.
    pub(crate) fn path(&self, session: SessionId, since: SystemTime) -> PathBuf {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{}-{}.{EXTENSION}", since.as_secs(), session.0);
        self.config.folder.join(name)
    }

    /// Begins a log.
    pub(crate) fn begin(&self, path: &Path, draft: Draft, since: SystemTime) -> io::Result<Mlog> {
        fs::create_dir_all(&self.config.folder)?;
        make_room(&self.config, EXTENSION)?;
        let file = BufWriter::new(File::create(path)?);
        let mut log = Mlog {
            out: Bounded::new(file, self.config.file_bytes),
            draft,
            began: Instant::now(),
            pending: BTreeMap::new(),
            last: BTreeMap::new(),
        };
        log.head(since);
        Ok(log)
    }
}

/// Removes logs that are too old or too many: files of the folder whose names end so.
pub(crate) fn make_room(config: &Config, extension: &str) -> io::Result<()> {
    let now = SystemTime::now();
    let mut logs = Vec::new();
    for entry in fs::read_dir(&config.folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == extension) {
            let written = fs::metadata(&path).and_then(|data| data.modified())?;
            logs.push((written, path));
        }
    }
    logs.sort();
    let surplus = (logs.len() + 1).saturating_sub(config.files.max(1));
    for (index, (written, path)) in logs.iter().enumerate() {
        let age = now.duration_since(*written).unwrap_or_default();
        if index < surplus || age > config.age {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

impl Mlog {
    /// Bytes of a control or request stream; whole messages among them are logged.
    pub(crate) fn control(&mut self, way: Way, stream: StreamId, bytes: &[u8]) {
        let pending = self.pending.entry((stream, way));
        let Some(mut buffer) = pending.or_insert_with(|| Some(BytesMut::new())).take() else {
            return;
        };
        buffer.extend_from_slice(bytes);
        loop {
            let before = buffer.len();
            match Message::decode(self.draft, &mut buffer) {
                Ok(Some(message)) => self.message(way, stream, before - buffer.len(), &message),
                Ok(None) if buffer.len() <= PENDING_MAX => break,
                // It ends the session, or the log began within a message.
                Ok(None) | Err(_) => return,
            }
        }
        self.pending.insert((stream, way), Some(buffer));
    }

    /// A stream is over.
    pub(crate) fn forget(&mut self, stream: StreamId) {
        for way in [Way::Parsed, Way::Created] {
            self.pending.remove(&(stream, way));
        }
    }

    /// A stream of objects begins; `slot`: its place among the session's streams.
    pub(crate) fn subgroup(&mut self, way: Way, slot: u32, header: &SubgroupHeader) {
        let stream = objects(slot);
        self.last.remove(&stream);
        self.event("subgroup_header", way, |data| {
            data.int("stream_id", stream);
            data.int("track_alias", header.alias.0);
            data.int("group_id", header.group);
            let (mode, id) = match header.subgroup {
                SubgroupId::Zero => (0, None),
                SubgroupId::FirstObject => (1, None),
                SubgroupId::Explicit(id) => (2, Some(id)),
            };
            data.int("subgroup_id_mode", mode);
            data.maybe("subgroup_id", id);
            data.maybe("publisher_priority", header.priority.map(u64::from));
            data.flag("contains_end_of_group", header.end_of_group);
            data.flag("extensions_present", header.properties);
        });
    }

    pub(crate) fn object(&mut self, way: Way, slot: u32, object: &Object) {
        let stream = objects(slot);
        let delta = match self.last.insert(stream, object.id) {
            None => object.id,
            Some(previous) => object.id.saturating_sub(previous).saturating_sub(1),
        };
        self.event("subgroup_object", way, |data| {
            data.int("stream_id", stream);
            data.int("object_id_delta", delta);
            data.int("object_payload_length", object.payload.len() as u64);
            data.maybe("object_status", status(object.status));
        });
    }

    pub(crate) fn datagram(&mut self, way: Way, object: &ObjectDatagram) {
        self.event("object_datagram", way, |data| {
            data.int("track_alias", object.alias.0);
            data.int("group_id", object.group);
            data.int("object_id", object.id);
            data.maybe("publisher_priority", object.priority.map(u64::from));
            data.maybe("object_status", status(object.status));
            data.object("object_payload", |raw| {
                raw.int("length", object.payload.len() as u64);
            });
            data.flag("end_of_group", object.end_of_group);
        });
    }

    fn message(&mut self, way: Way, stream: StreamId, len: usize, message: &Message) {
        let draft = self.draft;
        self.event("control_message", way, |data| {
            data.int("stream_id", stream.0 * 2);
            data.int("length", len as u64);
            data.object("message", |data| message::describe(draft, message, data));
        });
    }

    fn head(&mut self, since: SystemTime) {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut head = Json::default();
        head.text("file_schema", "urn:ietf:params:qlog:file:sequential");
        head.text("serialization_format", "application/qlog+json-seq");
        head.text("title", "moqrelay");
        head.object("trace", |trace| {
            trace.object("vantage_point", |point| point.text("type", "server"));
            trace.list("event_schemas", |schemas| {
                schemas.text("urn:ietf:params:qlog:events:moqt-06");
            });
            trace.object("common_fields", |fields| {
                fields.text("time_format", "relative_to_epoch");
                fields.object("reference_time", |time| {
                    time.text("clock_type", "monotonic");
                    time.text("epoch", "unknown");
                    time.int("wall_clock_time_ms", since.as_millis() as u64);
                });
            });
        });
        self.out.record(&head.finish());
    }

    fn event(&mut self, name: &str, way: Way, fill: impl FnOnce(&mut Json)) {
        if self.out.is_full() {
            return;
        }
        let ending = match way {
            Way::Parsed => "parsed",
            Way::Created => "created",
        };
        let mut event = Json::default();
        event.float("time", self.began.elapsed().as_secs_f64() * 1000.0);
        event.text("name", &format!("moqt:{name}_{ending}"));
        event.object("data", fill);
        self.out.record(&event.finish());
    }
}

/// Streams of objects have odd numbers, control and request streams even ones.
fn objects(slot: u32) -> u64 {
    u64::from(slot) * 2 + 1
}

fn status(status: ObjectStatus) -> Option<u64> {
    match status {
        ObjectStatus::Normal => None,
        ObjectStatus::EndOfGroup => Some(3),
        ObjectStatus::EndOfTrack => Some(4),
    }
}

/// A file that takes so much and no more.
struct Bounded<W> {
    out: W,
    left: u64,
}

impl<W: Write> Bounded<W> {
    fn new(out: W, left: u64) -> Self {
        Self { out, left }
    }

    fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Writes one text of the sequence, or none any more.
    fn record(&mut self, text: &str) {
        let len = text.len() as u64 + 2;
        if len > self.left {
            self.left = 0;
            return;
        }
        self.left -= len;
        // A disk that is full ends the log, not the session.
        if writeln!(self.out, "\x1e{text}").is_err() {
            self.left = 0;
        }
    }
}
