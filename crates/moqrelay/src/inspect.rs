//! The relay in the words of the operators' API.

use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use moqrelay_control::{
    Backlog, Cache, NoLog, RelayOps, RelaySession, RelaySessions, RelayTrack, RelayTracks, Traffic,
};
use moqrelay_relay::{
    FullTrackName, Relay,
    inspect::{SessionView, TrackView},
    mlog::LogError,
};

/// Lets operators look into a relay.
pub(crate) struct Inspect(pub(crate) Relay);

impl RelayOps for Inspect {
    fn sessions(&self, after: Option<u64>, limit: usize) -> RelaySessions {
        let page = self.0.sessions(after, limit);
        RelaySessions {
            total: page.total,
            sessions: page.items.into_iter().map(session).collect(),
            next: page.next,
        }
    }

    fn tracks(&self, after: Option<&str>, limit: usize) -> Option<RelayTracks> {
        let after = after.map(str::parse::<FullTrackName>).transpose().ok()?;
        let page = self.0.tracks(after.as_ref(), limit);
        Some(RelayTracks {
            total: page.total,
            tracks: page.items.into_iter().map(track).collect(),
            next: page.next.map(|name| name.to_string()),
        })
    }

    fn goaway(&self, session: u64, uri: &str, timeout: Duration) -> bool {
        self.0.goaway(session, uri, timeout)
    }

    fn log(&self, session: u64) -> Result<String, NoLog> {
        match self.0.log_session(session) {
            Ok(path) => Ok(path.display().to_string()),
            Err(LogError::NoSession) => Err(NoLog::NoSession),
            Err(_off) => Err(NoLog::Off),
        }
    }

    fn log_next(&self, address: IpAddr) -> Option<String> {
        let folder = self.0.log_next_connection(address).ok()?;
        Some(folder.display().to_string())
    }

    fn end(&self, session: u64) -> bool {
        self.0.end_session(session)
    }
}

fn session(view: SessionView) -> RelaySession {
    RelaySession {
        id: view.id,
        peer: view.peer.to_string(),
        transport: view.transport.to_owned(),
        draft: view.draft,
        implementation: view.implementation,
        since: view
            .since
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        subscriptions: view.subscriptions,
        publishes: view.publishes,
        rtt_ms: view.rtt.as_secs_f64() * 1000.0,
        lost_packets: view.lost_packets,
        backlog: Backlog {
            control_bytes: view.control_waiting_bytes,
            objects: view.waiting_objects,
            bytes: view.waiting_bytes,
        },
    }
}

fn track(view: TrackView) -> RelayTrack {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    RelayTrack {
        track: view.name.to_string(),
        namespace: view
            .name
            .namespace()
            .fields()
            .iter()
            .map(|field| text(field))
            .collect(),
        name: text(view.name.name()),
        publishers: view.publishers,
        subscribers: view.subscribers,
        groups: view.groups,
        cache: Cache {
            entries: view.entries,
            bytes: view.bytes,
        },
        largest: view.largest.map(|largest| (largest.group, largest.object)),
        total: Traffic {
            objects: view.objects_total,
            bytes: view.bytes_total,
        },
        per_second: Traffic {
            objects: view.objects_per_second,
            bytes: view.bytes_per_second,
        },
    }
}
