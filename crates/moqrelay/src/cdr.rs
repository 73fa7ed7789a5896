//! Call records: a line of JSON for each call and for each party's part in it, in a file.
//!
//! The file is opened anew for each write, so that a rotation from outside or another process of ours
//! (after a take-over) does no harm.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use moqrelay_room::{CallRecord, LegId, LegRecord, Party, PartyKind};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    driver::word,
    ledger::{Facts, Sound},
};

/// Calls whose records wait for the disk: some seconds of the busiest node.
const CALLS_WAITING_MAX: usize = 1024;

/// Takes records; never waits.
#[derive(Debug, Clone)]
pub(crate) struct Cdr {
    queue: mpsc::Sender<String>,
}

/// Where records go.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// A file that has reached it is renamed to `.1` before the next record.
    pub(crate) bytes_max: u64,
    /// Renamed files that are kept, `.1` being the newest.
    pub(crate) kept: u32,
}

impl Cdr {
    /// Returns the writer's handle and its work, which ends when every handle is dropped and what
    /// waits is written.
    pub(crate) fn new(file: File) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, mut waiting) = mpsc::channel::<String>(CALLS_WAITING_MAX);
        let work = async move {
            let mut complained = false;
            while let Some(text) = waiting.recv().await {
                let target = file.clone();
                let written = tokio::task::spawn_blocking(move || append(&target, &text)).await;
                match written {
                    Ok(Ok(())) => complained = false,
                    Ok(Err(error)) => {
                        metrics::counter!("moqrelay_call_records_lost_total").increment(1);
                        if !complained {
                            tracing::error!(%error, path = %file.path.display(), "call records cannot be written");
                        }
                        complained = true;
                    }
                    Err(error) => tracing::error!(%error, "the writer of call records failed"),
                }
            }
        };
        (Self { queue }, work)
    }

    /// Writes what remains of a call, and what else is known of its legs.
    pub(crate) fn write(&self, record: &CallRecord, facts: &BTreeMap<LegId, Facts>) {
        let text = lines(record, facts, Instant::now(), SystemTime::now());
        if self.queue.try_send(text).is_err() {
            metrics::counter!("moqrelay_call_records_lost_total").increment(1);
            tracing::error!(call = %record.call, "a call's record is lost: too many wait for the disk");
        }
    }
}

#[cfg(test)]
impl Cdr {
    /// Returns a writer whose text goes where a test can see it.
    pub(crate) fn to_queue() -> (Self, mpsc::Receiver<String>) {
        let (queue, written) = mpsc::channel(CALLS_WAITING_MAX);
        (Self { queue }, written)
    }
}

#[derive(Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
enum Line<'a> {
    Call {
        call: String,
        from: Who<'a>,
        to: Who<'a>,
        started_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        rang_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        answered_ms: Option<u64>,
        ended_ms: u64,
        talked_s: f64,
        cause: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        ended_by: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        went_on_in: Option<String>,
    },
    Leg {
        call: String,
        participant: String,
        who: Who<'a>,
        began_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        answered_ms: Option<u64>,
        ended_ms: u64,
        talked_s: f64,
        cause: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        leg: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        linked_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        trunk: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sound: Option<&'a Sound>,
    },
}

#[derive(Serialize)]
struct Who<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<&'a str>,
    kind: &'static str,
}

impl<'a> From<&'a Party> for Who<'a> {
    fn from(party: &'a Party) -> Self {
        Self {
            id: &party.id,
            name: &party.name,
            number: party.number.as_deref(),
            kind: match party.kind {
                PartyKind::Browser => "browser",
                PartyKind::Phone => "phone",
                PartyKind::Service => "service",
            },
        }
    }
}

/// Returns the lines of a call: its legs, then the call itself.
fn lines(
    record: &CallRecord,
    facts: &BTreeMap<LegId, Facts>,
    now: Instant,
    wall: SystemTime,
) -> String {
    let clock = Clock { now, wall };
    let call = Line::Call {
        call: record.call.to_string(),
        from: (&record.from).into(),
        to: (&record.to).into(),
        started_ms: clock.ms(record.started),
        rang_ms: record.rang.map(|at| clock.ms(at)),
        answered_ms: record.answered.map(|at| clock.ms(at)),
        ended_ms: clock.ms(record.ended),
        talked_s: seconds(record.talked()),
        cause: word(record.cause),
        ended_by: record.ended_by.map(|by| by.to_string()),
        went_on_in: record.went_on_in.map(|call| call.to_string()),
    };
    let mut text = String::new();
    for line in record
        .legs
        .iter()
        .map(|leg| leg_line(record, leg, facts, clock))
        .chain([call])
    {
        text += &serde_json::to_string(&line).expect("only text keys and finite numbers");
        text.push('\n');
    }
    text
}

fn leg_line<'a>(
    record: &CallRecord,
    leg: &'a LegRecord,
    facts: &'a BTreeMap<LegId, Facts>,
    clock: Clock,
) -> Line<'a> {
    let facts = leg.leg.and_then(|leg| facts.get(&leg));
    Line::Leg {
        call: record.call.to_string(),
        participant: leg.participant.to_string(),
        who: (&leg.party).into(),
        began_ms: clock.ms(leg.began),
        answered_ms: leg.answered.map(|at| clock.ms(at)),
        ended_ms: clock.ms(leg.ended),
        talked_s: seconds(leg.talked()),
        cause: word(leg.cause),
        leg: leg.leg.map(|leg| leg.to_string()),
        linked_id: facts.and_then(|facts| facts.linked.as_deref()),
        trunk: facts.and_then(|facts| facts.trunk.as_deref()),
        sound: facts.and_then(|facts| facts.sound.as_ref()),
    }
}

/// The two clocks at one moment.
#[derive(Clone, Copy)]
struct Clock {
    now: Instant,
    wall: SystemTime,
}

impl Clock {
    /// Returns a moment in milliseconds since 1970.
    fn ms(self, at: Instant) -> u64 {
        let ago = self.now.saturating_duration_since(at);
        let wall = self.wall.checked_sub(ago).unwrap_or(self.wall);
        let since = wall.duration_since(SystemTime::UNIX_EPOCH);
        u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
    }
}

fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}

fn append(file: &File, text: &str) -> io::Result<()> {
    let full = fs::metadata(&file.path).is_ok_and(|found| found.len() >= file.bytes_max);
    if full {
        rotate(file)?;
    }
    let mut open = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file.path)?;
    // One write, so that two processes do not mix their lines.
    open.write_all(text.as_bytes())
}

fn rotate(file: &File) -> io::Result<()> {
    for number in (1..file.kept).rev() {
        let (from, to) = (
            numbered(&file.path, number),
            numbered(&file.path, number + 1),
        );
        if from.exists() {
            fs::rename(from, to)?;
        }
    }
    if file.kept == 0 {
        return fs::remove_file(&file.path);
    }
    fs::rename(&file.path, numbered(&file.path, 1))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use moqrelay_room::{CallId, Cause, ParticipantId};

    use super::*;

    #[test]
    fn a_call_is_a_line_for_each_leg_and_one_for_the_whole() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let leg = |participant, leg: Option<u64>, answered: Option<u64>| LegRecord {
            participant,
            party: party("1001"),
            leg: leg.map(LegId),
            began: at(0),
            answered: answered.map(at),
            ended: at(5_500),
            cause: Cause::Normal,
        };
        let record = CallRecord {
            call: CallId(7),
            from: party("1001"),
            to: party("7001"),
            started: start,
            rang: None,
            answered: Some(at(1_250)),
            ended: at(5_500),
            cause: Cause::Normal,
            ended_by: Some(ParticipantId::CALLER),
            went_on_in: None,
            legs: vec![
                leg(ParticipantId::CALLER, Some(3), Some(1_250)),
                leg(ParticipantId::CALLEE, None, None),
            ],
        };
        let known = Facts {
            linked: Some("moq-1.7".to_owned()),
            trunk: Some("carrier".to_owned()),
            sound: None,
        };
        let facts = BTreeMap::from([(LegId(3), known)]);
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);

        let text = lines(&record, &facts, at(5_500), wall);

        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["record"], "leg");
        assert_eq!(
            (&lines[0]["linked_id"], &lines[0]["trunk"]),
            (&"moq-1.7".into(), &"carrier".into())
        );
        assert_eq!(
            (&lines[1]["talked_s"], &lines[1]["answered_ms"]),
            (&0.0.into(), &serde_json::Value::Null)
        );
        let call = &lines[2];
        assert_eq!(
            (&call["record"], &call["talked_s"]),
            (&"call".into(), &4.25.into())
        );
        assert_eq!(
            (&call["started_ms"], &call["ended_ms"]),
            (&994_500.into(), &1_000_000.into())
        );
        assert_eq!(
            (&call["cause"], &call["ended_by"]),
            (&"normal".into(), &"p1".into())
        );
    }

    #[test]
    fn a_full_file_makes_room_and_the_oldest_goes() {
        let folder = std::env::temp_dir().join(format!("moqrelay-cdr-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let file = File {
            path: folder.join("calls.jsonl"),
            bytes_max: 4,
            kept: 2,
        };

        for text in ["one\n", "two\n", "three\n", "four\n"] {
            append(&file, text).unwrap();
        }

        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        assert_eq!(read("calls.jsonl").as_deref(), Some("four\n"));
        assert_eq!(read("calls.jsonl.1").as_deref(), Some("three\n"));
        assert_eq!(read("calls.jsonl.2").as_deref(), Some("two\n"));
        assert_eq!(read("calls.jsonl.3"), None);
        fs::remove_dir_all(folder).unwrap();
    }

    fn party(id: &str) -> Party {
        Party {
            id: id.into(),
            name: id.into(),
            number: Some(id.into()),
            kind: PartyKind::Phone,
        }
    }
}
