//! Records of calls, held back for a moment until the sound of their legs is summed up.
//!
//! A call ends in the switchboard; how its legs sounded is known when the bridge has taken them down,
//! some milliseconds earlier or later.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use moqrelay_bridge::leg::{Stats, Summary};
use moqrelay_room::{CallRecord, LegId};
use serde::Serialize;

use crate::cdr::Cdr;

/// How long a record waits: a leg is taken down within milliseconds, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(2);

/// Records that wait; one more sends the oldest off as it is.
const WAITING_MAX: usize = 1024;

/// What is known of legs beside what the switchboard knows, and the records that wait for it.
pub(crate) struct Ledger {
    cdr: Option<Cdr>,
    facts: BTreeMap<LegId, Facts>,
    waiting: VecDeque<(Instant, CallRecord)>,
}

/// What is known of a leg.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// What Asterisk's own call records know it by.
    pub(crate) linked: Option<String>,
    /// By which trunk it was dialled.
    pub(crate) trunk: Option<String>,
    /// How it sounded; `None` while it lives.
    pub(crate) sound: Option<Sound>,
}

/// How a leg sounded, and by which way.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Sound {
    /// `audiosocket`, `websocket`, `rtp`; absent: it was never connected.
    #[serde(skip_serializing_if = "str::is_empty")]
    road: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<&'static str>,
    /// Samples per second that came; 0: none did.
    rate: u32,
    /// Why this way and this rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_telephone: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_telephone: Option<Side>,
}

/// One direction of a leg.
#[derive(Debug, PartialEq, Serialize)]
struct Side {
    #[serde(skip_serializing_if = "Option::is_none")]
    mos: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mos_worst: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r: Option<f64>,
    lost_percent: f64,
    late: u64,
    concealed_ms: u128,
    jitter_ms: u128,
    delay_ms: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    level_dbov: Option<f64>,
    clipped: u64,
    silent_s: u64,
    /// The likeliest cause when nothing was heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
}

impl Sound {
    pub(crate) fn of(stats: &Stats) -> Self {
        let [from, to] = match stats.summary {
            Some([from, to]) => [Some(from), Some(to)],
            None => [None, None],
        };
        Self {
            road: stats.road,
            codec: stats.codec,
            rate: stats.rate_in,
            why: stats.why,
            from_telephone: from.as_ref().map(Side::of),
            to_telephone: to.as_ref().map(Side::of),
        }
    }
}

impl Side {
    fn of(summary: &Summary) -> Self {
        Self {
            mos: summary.rating.map(|rating| hundredths(rating.mos())),
            mos_worst: summary.worst.map(|rating| hundredths(rating.mos())),
            r: summary.rating.map(|rating| hundredths(rating.r())),
            lost_percent: hundredths(summary.lost * 100.0),
            late: summary.late,
            concealed_ms: summary.concealed.as_millis(),
            jitter_ms: summary.jitter.as_millis(),
            delay_ms: summary.delay.as_millis(),
            level_dbov: summary.level_dbov.map(hundredths),
            clipped: summary.clipped,
            silent_s: summary.silent.as_secs(),
            cause: summary.cause.map(|cause| cause.as_str()),
        }
    }
}

/// More digits would only pretend.
pub(crate) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

impl Ledger {
    pub(crate) fn new(cdr: Option<Cdr>) -> Self {
        Self {
            cdr,
            facts: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A leg begins; what is said of others is forgotten.
    pub(crate) fn begin(&mut self, leg: LegId) {
        if self.cdr.is_some() {
            self.facts.insert(leg, Facts::default());
        }
    }

    pub(crate) fn linked(&mut self, leg: LegId, id: String) {
        if let Some(facts) = self.facts.get_mut(&leg) {
            facts.linked = Some(id);
        }
    }

    pub(crate) fn goes_by(&mut self, leg: LegId, trunk: &str) {
        if let Some(facts) = self.facts.get_mut(&leg) {
            facts.trunk = Some(trunk.to_owned());
        }
    }

    /// A leg has been taken down.
    pub(crate) fn sounded(&mut self, leg: LegId, sound: Sound, lives: &dyn Fn(LegId) -> bool) {
        if let Some(facts) = self.facts.get_mut(&leg) {
            facts.sound = Some(sound);
            self.write_ready(lives);
        }
    }

    /// A call is over. `lives` tells of legs that go on in another call: they are not waited for.
    pub(crate) fn ended(
        &mut self,
        record: CallRecord,
        lives: &dyn Fn(LegId) -> bool,
        now: Instant,
    ) {
        if self.cdr.is_none() {
            return;
        }
        self.waiting.push_back((now + PATIENCE, record));
        if self.waiting.len() > WAITING_MAX {
            self.write_oldest(lives);
        }
        self.write_ready(lives);
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout), if ever.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|(until, _)| *until)
    }

    /// Writes what has waited long enough.
    pub(crate) fn handle_timeout(&mut self, lives: &dyn Fn(LegId) -> bool, now: Instant) {
        while self.poll_timeout().is_some_and(|until| until <= now) {
            self.write_oldest(lives);
        }
    }

    /// Returns whether nothing waits.
    pub(crate) fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Records are written in the order of their calls' ends.
    fn write_ready(&mut self, lives: &dyn Fn(LegId) -> bool) {
        while let Some((_, record)) = self.waiting.front() {
            let mut legs = record.legs.iter().filter_map(|leg| leg.leg);
            let missing = legs.any(|leg| {
                let facts = self.facts.get(&leg);
                facts.is_some_and(|facts| facts.sound.is_none()) && !lives(leg)
            });
            if missing {
                return;
            }
            self.write_oldest(lives);
        }
    }

    fn write_oldest(&mut self, lives: &dyn Fn(LegId) -> bool) {
        let Some((_, record)) = self.waiting.pop_front() else {
            return;
        };
        if let Some(cdr) = &self.cdr {
            cdr.write(&record, &self.facts);
        }
        let waited_for = |leg: LegId| {
            let mut legs = self.waiting.iter().flat_map(|(_, record)| &record.legs);
            legs.any(|other| other.leg == Some(leg))
        };
        let over: Vec<LegId> = record
            .legs
            .iter()
            .filter_map(|leg| leg.leg)
            .filter(|leg| !lives(*leg) && !waited_for(*leg))
            .collect();
        for leg in over {
            self.facts.remove(&leg);
        }
    }
}

#[cfg(test)]
mod tests {
    use moqrelay_room::{CallId, Cause, LegRecord, ParticipantId, Party, PartyKind};
    use tokio::sync::mpsc;

    use super::*;

    const LEG: LegId = LegId(3);

    #[test]
    fn a_record_waits_for_the_sound_of_its_leg() {
        let (mut ledger, mut written) = ledger();
        ledger.begin(LEG);
        ledger.linked(LEG, "moq-1.7".into());

        ledger.ended(record(1), &gone, Instant::now());
        assert!(written.try_recv().is_err());
        ledger.sounded(
            LEG,
            Sound {
                road: "rtp",
                ..Sound::default()
            },
            &gone,
        );

        let text = written.try_recv().unwrap();
        assert!(
            text.contains(r#""linked_id":"moq-1.7""#) && text.contains(r#""road":"rtp""#),
            "{text}"
        );
        assert!(ledger.is_done() && ledger.facts.is_empty());
    }

    #[test]
    fn sound_that_came_first_is_there() {
        let (mut ledger, mut written) = ledger();
        ledger.begin(LEG);
        ledger.sounded(
            LEG,
            Sound {
                road: "rtp",
                ..Sound::default()
            },
            &gone,
        );

        ledger.ended(record(1), &gone, Instant::now());

        assert!(written.try_recv().unwrap().contains(r#""road":"rtp""#));
    }

    #[test]
    fn nothing_waits_for_ever() {
        let (mut ledger, mut written) = ledger();
        let now = Instant::now();
        ledger.begin(LEG);
        ledger.ended(record(1), &gone, now);

        let until = ledger.poll_timeout().unwrap();
        ledger.handle_timeout(&gone, until);

        assert_eq!(until - now, PATIENCE);
        assert!(written.try_recv().is_ok());
        assert!(ledger.is_done() && ledger.facts.is_empty());
    }

    #[test]
    fn a_leg_that_goes_on_is_not_waited_for_and_not_forgotten() {
        let (mut ledger, mut written) = ledger();
        ledger.begin(LEG);
        ledger.linked(LEG, "moq-1.7".into());

        ledger.ended(record(1), &|_| true, Instant::now());
        assert!(written.try_recv().is_ok());
        ledger.sounded(LEG, Sound::default(), &gone);
        ledger.ended(record(2), &gone, Instant::now());

        assert!(written.try_recv().unwrap().contains("moq-1.7"));
    }

    fn gone(_: LegId) -> bool {
        false
    }

    fn ledger() -> (Ledger, mpsc::Receiver<String>) {
        let (cdr, written) = Cdr::to_queue();
        (Ledger::new(Some(cdr)), written)
    }

    fn record(call: u128) -> CallRecord {
        let now = Instant::now();
        let party = || Party {
            id: "1001".into(),
            name: "Alice".into(),
            number: None,
            kind: PartyKind::Phone,
        };
        let leg = LegRecord {
            participant: ParticipantId::CALLER,
            party: party(),
            leg: Some(LEG),
            began: now,
            answered: None,
            ended: now,
            cause: Cause::Busy,
        };
        CallRecord {
            call: CallId(call),
            from: party(),
            to: party(),
            started: now,
            rang: None,
            answered: None,
            ended: now,
            cause: Cause::Busy,
            ended_by: None,
            went_on_in: None,
            legs: vec![leg],
        }
    }
}
