//! Logs and metrics.

use std::{io::IsTerminal, time::Duration};

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{
    EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use crate::config::{self, LogFormat};

/// Seconds: set-up times and delays, from a tick to a long wait.
const BUCKETS_S: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

/// Mean opinion scores: bad, poor, fair, good (ITU-T P.800) and what lies between.
const BUCKETS_MOS: [f64; 8] = [1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.2, 4.5];

/// Parts of a whole.
const BUCKETS_RATIO: [f64; 8] = [0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3];

/// How often the values of histograms are counted into their buckets: a few thousand are kept until then.
pub(crate) const UPKEEP: Duration = Duration::from_secs(5);

/// A peer that closes its connection is no warning; `log.level` may say otherwise.
const QUIET: &str = "web_transport_quinn=error";

/// Starts logging to standard error.
///
/// # Errors
///
/// When `log.level` is no filter, or logging was started before.
pub(crate) fn start_logging(log: &config::Log) -> Result<LogFilter> {
    let (filter, handle) = reload::Layer::new(LogFilter::parse(log)?);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    }
    .context("logging cannot be started twice")?;
    Ok(LogFilter(handle))
}

/// Which lines are logged; can be changed.
pub(crate) struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Reads `log.level`.
    ///
    /// # Errors
    ///
    /// When it is no filter.
    pub(crate) fn parse(log: &config::Log) -> Result<EnvFilter> {
        EnvFilter::builder().parse(format!("{QUIET},{}", log.level)).with_context(|| {
            format!(
                "log.level is {:?}: allowed are error, warn, info, debug, trace and lists such as info,moqrelay_bridge=debug",
                log.level
            )
        })
    }

    /// Puts another filter in the place of the present one.
    ///
    /// # Errors
    ///
    /// When logging has ended.
    pub(crate) fn set(&self, filter: EnvFilter) -> Result<()> {
        self.0.reload(filter).context("log.level")
    }
}

/// Starts to gather metrics; the handle renders them.
///
/// # Errors
///
/// When a recorder was installed before.
pub(crate) fn start_metrics() -> Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS_S)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_mos".into()), &BUCKETS_MOS)
        })
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_ratio".into()), &BUCKETS_RATIO)
        })
        .context("metrics buckets")?
        .install_recorder()
        .context("metrics cannot be started twice")?;
    for (name, what) in COUNTERS {
        metrics::describe_counter!(*name, *what);
    }
    for (name, what) in GAUGES {
        metrics::describe_gauge!(*name, *what);
    }
    metrics::describe_histogram!(
        "moqrelay_relay_delivery_lag_seconds",
        "From an object's arrival to the connections of its subscribers; one round of 16 is timed."
    );
    metrics::describe_histogram!(
        "moqrelay_call_answer_seconds",
        "From the beginning of a call to its answer."
    );
    metrics::describe_histogram!(
        "moqrelay_bridge_mos",
        "Estimated mean opinion score of a leg over 5 s (E-model, ITU-T G.107), by direction."
    );
    metrics::describe_histogram!(
        "moqrelay_bridge_missing_ratio",
        "Part of a leg's sound that was missing over 5 s, by direction."
    );
    metrics::describe_histogram!(
        "moqrelay_processor_answer_seconds",
        "How long a media processor takes to answer a frame of 20 ms, by processor."
    );
    metrics::describe_histogram!(
        "moqrelay_bridge_delay_seconds",
        "Estimated delay from mouth to ear of a leg, by direction."
    );
    Ok(handle)
}

/// Counts the values of histograms into their buckets from time to time, for as long as it is polled.
///
/// Until that is done each value is kept, and where nobody reads the metrics nobody else does it.
pub(crate) async fn keep_up(metrics: PrometheusHandle, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

/// What only grows.
const COUNTERS: &[(&str, &str)] = &[
    (
        "moqrelay_ari_requests_total",
        "Requests to Asterisk, by outcome.",
    ),
    (
        "moqrelay_ari_unreadable_total",
        "Events of Asterisk that could not be read.",
    ),
    (
        "moqrelay_bridge_connections_refused_total",
        "AudioSocket connections refused, by reason.",
    ),
    (
        "moqrelay_bridge_digits_total",
        "Keys pressed on telephones.",
    ),
    (
        "moqrelay_bridge_frames_dropped_total",
        "Frames of 20 ms not played or not published.",
    ),
    (
        "moqrelay_bridge_frames_in_total",
        "Frames of 20 ms from Asterisk.",
    ),
    (
        "moqrelay_bridge_frames_out_total",
        "Frames of 20 ms to Asterisk.",
    ),
    (
        "moqrelay_bridge_legs_attached_total",
        "Legs whose connection came.",
    ),
    (
        "moqrelay_bridge_legs_ended_total",
        "Legs that ended, by reason.",
    ),
    (
        "moqrelay_bridge_messages_malformed_total",
        "AudioSocket messages without sense.",
    ),
    (
        "moqrelay_bridge_objects_failed_total",
        "Objects that could not be coded or published.",
    ),
    (
        "moqrelay_bridge_objects_in_total",
        "Audio objects heard by legs.",
    ),
    (
        "moqrelay_bridge_loops_total",
        "Times that a leg heard what it had said.",
    ),
    (
        "moqrelay_bridge_objects_kind_total",
        "Audio objects published by legs, by kind.",
    ),
    (
        "moqrelay_bridge_odd_pace_total",
        "Legs whose sound came much faster or more slowly than it lasts.",
    ),
    (
        "moqrelay_bridge_opus_complexity_changes_total",
        "Times that the load governor changed the encoders' complexity, by direction.",
    ),
    (
        "moqrelay_bridge_samples_clipped_total",
        "Samples that came clipped from telephones.",
    ),
    (
        "moqrelay_call_rules_unwritten_total",
        "Changes of users' rules that could not be written to their file.",
    ),
    (
        "moqrelay_bridge_voice_baseline_bytes_total",
        "Bytes that legs' voices would have taken as 20 ms packets of 24 kbit/s.",
    ),
    (
        "moqrelay_bridge_voice_bytes_total",
        "Bytes on the wire of legs' voices, about.",
    ),
    (
        "moqrelay_bridge_objects_malformed_total",
        "Audio objects that legs could not read.",
    ),
    (
        "moqrelay_bridge_objects_out_total",
        "Audio objects published by legs.",
    ),
    (
        "moqrelay_bridge_packets_made_total",
        "Opus packets made for Asterisk because what a leg hears had to be mixed.",
    ),
    (
        "moqrelay_bridge_packets_passed_total",
        "Opus packets that went to Asterisk untouched.",
    ),
    (
        "moqrelay_bridge_rtp_dropped_total",
        "RTP packets not taken, by cause: stranger (no leg expects its sender), source (another SSRC), late, duplicate, full.",
    ),
    (
        "moqrelay_bridge_rtp_lost_total",
        "RTP packets of Asterisk's that never came.",
    ),
    (
        "moqrelay_bridge_silent_total",
        "Times that a leg's direction was not heard for 3 s.",
    ),
    (
        "moqrelay_bridge_ticks_later_than_10ms_total",
        "Ticks of the audio clock later than 10 ms.",
    ),
    (
        "moqrelay_call_records_lost_total",
        "Call records that could not be written.",
    ),
    ("moqrelay_calls_ended_total", "Calls that ended, by cause."),
    (
        "moqrelay_trunk_calls_total",
        "Calls that were begun by a trunk.",
    ),
    (
        "moqrelay_mix_frames_total",
        "Turns of 20 ms of rooms that are mixed.",
    ),
    ("moqrelay_mixes_total", "Mixes made in those turns."),
    (
        "moqrelay_seat_objects_total",
        "Objects of voices that were handed on in seats of rooms.",
    ),
    (
        "moqrelay_seat_objects_refused_total",
        "Objects of voices that cannot be read, are too large, or are more than speech has: they take no seat.",
    ),
    (
        "moqrelay_seat_changes_total",
        "Seats of rooms that somebody has got.",
    ),
    (
        "moqrelay_room_files_total",
        "Files that somebody wanted to bring into a room, by result.",
    ),
    (
        "moqrelay_room_file_reads_total",
        "Files that somebody in a room wanted to have, by result.",
    ),
    (
        "moqrelay_room_announcements_total",
        "Sentences on who comes into rooms and goes, by result: spoken, late, failed, or refused as too many wait.",
    ),
    (
        "moqrelay_rooms_unwritten_total",
        "Changes of rooms that operators have set up that could not be written to their file.",
    ),
    (
        "moqrelay_room_messages_total",
        "Messages in rooms, by kind: public or private.",
    ),
    (
        "moqrelay_processor_answers_dropped_total",
        "Answers of a media processor that were not used, by cause: malformed, or too many texts.",
    ),
    (
        "moqrelay_processor_breaker_changes_total",
        "Times a leg's circuit breaker changed, by the state it changed to.",
    ),
    (
        "moqrelay_processor_events_total",
        "Events that a media processor told.",
    ),
    (
        "moqrelay_processor_frames_missed_total",
        "Frames whose answer did not come in time.",
    ),
    (
        "moqrelay_processor_frames_total",
        "Frames led through a media processor, by result: answered, or passed as they were.",
    ),
    (
        "moqrelay_processor_streams_failed_total",
        "Streams to a media processor that failed.",
    ),
    (
        "moqrelay_processor_streams_total",
        "Streams to a media processor that were opened.",
    ),
    (
        "moqrelay_processor_texts_total",
        "Texts that a media processor sent.",
    ),
    (
        "moqrelay_control_connections_refused_total",
        "TCP connections refused: too many.",
    ),
    (
        "moqrelay_control_connections_timed_out_total",
        "TCP connections that sent no request.",
    ),
    ("moqrelay_control_guests_total", "Guests signed in."),
    (
        "moqrelay_control_http_requests_total",
        "HTTP requests, by path and status.",
    ),
    (
        "moqrelay_control_messages_malformed_total",
        "Signaling messages that could not be read.",
    ),
    (
        "moqrelay_control_messages_total",
        "Signaling messages received.",
    ),
    (
        "moqrelay_control_queue_full_total",
        "Requests refused because the daemon was busy.",
    ),
    (
        "moqrelay_control_requests_refused_total",
        "Signaling requests refused, by code.",
    ),
    (
        "moqrelay_control_sockets_closed_total",
        "Signaling sockets closed, by reason.",
    ),
    (
        "moqrelay_control_tickets_total",
        "Tickets asked for, by outcome.",
    ),
    (
        "moqrelay_control_tls_failed_total",
        "TCP connections whose TLS handshake failed.",
    ),
    (
        "moqrelay_reloads_total",
        "Times the configuration was read again, by outcome.",
    ),
    (
        "moqrelay_relay_bytes_out_total",
        "Bytes of objects delivered to sessions.",
    ),
    (
        "moqrelay_relay_bytes_in_total",
        "Bytes of objects received.",
    ),
    (
        "moqrelay_relay_cache_evictions_total",
        "Objects that the cache gave up, by reason.",
    ),
    (
        "moqrelay_relay_cache_hits_total",
        "Objects of FETCHes that the cache had.",
    ),
    (
        "moqrelay_relay_cache_misses_total",
        "Gaps in FETCHes that the cache could not answer.",
    ),
    ("moqrelay_relay_fetches_total", "FETCHes accepted."),
    (
        "moqrelay_relay_objects_dropped_total",
        "Objects that slow subscribers did not get.",
    ),
    ("moqrelay_relay_objects_in_total", "Objects received."),
    (
        "moqrelay_relay_objects_out_total",
        "Objects delivered to sessions.",
    ),
    (
        "moqrelay_relay_limits_met_total",
        "Limits that MoQ sessions met, by limit.",
    ),
    (
        "moqrelay_upgrade_passed_on_total",
        "AudioSocket connections that an older process expected and got.",
    ),
    (
        "moqrelay_relay_handover_dropped_total",
        "Packets of the older process's connections that could not be passed on to it.",
    ),
    (
        "moqrelay_relay_objects_repeated_total",
        "Objects that one publisher of a track sent after another one did.",
    ),
    (
        "moqrelay_relay_refused_total",
        "MoQ connections and sessions refused, by reason.",
    ),
    (
        "moqrelay_relay_requests_refused_total",
        "MoQ requests refused, by type and code.",
    ),
    (
        "moqrelay_relay_requests_total",
        "MoQ requests of peers, by type.",
    ),
    (
        "moqrelay_relay_requests_revoked_total",
        "Running MoQ requests ended because the right to them was taken back.",
    ),
    (
        "moqrelay_relay_retried_total",
        "MoQ connections that had to show first that their address is their own.",
    ),
    (
        "moqrelay_relay_session_ends_total",
        "MoQ sessions that ended, by code.",
    ),
    ("moqrelay_relay_sessions_total", "MoQ sessions that began."),
    (
        "moqrelay_relay_streams_reset_total",
        "Streams to subscribers given up before their end.",
    ),
    (
        "moqrelay_relay_tracks_malformed_total",
        "Publishers dropped because what they sent contradicted itself.",
    ),
    (
        "moqrelay_relay_violations_total",
        "MoQ sessions ended because the peer broke the protocol.",
    ),
];

/// What goes up and down.
const GAUGES: &[(&str, &str)] = &[
    ("moqrelay_ari_up", "Whether Asterisk is reachable by ARI."),
    (
        "moqrelay_trunk_up",
        "Whether calls can go by a trunk, as far as anybody knows.",
    ),
    (
        "moqrelay_bridge_connections_unidentified",
        "AudioSocket connections without a call yet.",
    ),
    (
        "moqrelay_bridge_opus_complexity",
        "Complexity that the load governor allows the encoders, once it has changed it.",
    ),
    (
        "moqrelay_bridge_opus_narrow_band",
        "1 while the load governor has speech coded in narrow band, once it has done so.",
    ),
    (
        "moqrelay_bridge_legs",
        "AudioSocket legs and built-in parties.",
    ),
    ("moqrelay_calls", "Calls alive."),
    ("moqrelay_calls_up", "Calls answered."),
    (
        "moqrelay_processor_legs",
        "Legs led through a media processor, by the state of their circuit breaker.",
    ),
    ("moqrelay_devices", "Devices registered."),
    ("moqrelay_guests", "Guests whose token holds."),
    ("moqrelay_rooms", "Rooms that somebody is in."),
    (
        "moqrelay_room_file_bytes",
        "What is kept of files in rooms, in bytes.",
    ),
    (
        "moqrelay_room_participants",
        "Those who are in rooms, the waiting ones included.",
    ),
    (
        "moqrelay_http_connections",
        "TCP connections of page, API and signaling.",
    ),
    ("moqrelay_legs", "Legs alive, as the switchboard counts."),
    (
        "moqrelay_relay_cache_bytes",
        "Bytes kept for those who come late.",
    ),
    (
        "moqrelay_relay_cache_objects",
        "Objects kept for those who come late.",
    ),
    (
        "moqrelay_relay_revocations",
        "Participants whose tokens hold but give less than they say.",
    ),
    (
        "moqrelay_relay_sessions",
        "MoQ sessions open, by transport and draft.",
    ),
    ("moqrelay_relay_subscriptions", "Subscriptions open."),
    ("moqrelay_relay_tracks", "Tracks known."),
    (
        "moqrelay_relay_worker_busy_ratio",
        "Part of the last second in which a worker had something to do.",
    ),
    (
        "moqrelay_memory_bytes",
        "Memory that is allocated, and free between that, by state (used, free); looked at once a minute.",
    ),
    (
        "moqrelay_relay_worker_sessions",
        "MoQ sessions open, by worker.",
    ),
    (
        "moqrelay_signal_sessions",
        "Signaling sessions, those without socket included.",
    ),
    ("moqrelay_signal_sockets", "Signaling sockets."),
    (
        "moqrelay_tasks",
        "Tasks of the daemon: calls, connections and what runs always; not those of MoQ sessions.",
    ),
    (
        "moqrelay_tickets",
        "Tickets that wait for their connection.",
    ),
    ("moqrelay_users", "Users known."),
];

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        path::{Path, PathBuf},
        time::Instant,
    };

    use super::*;
    use crate::memory;

    /// How every name of ours begins.
    const OURS: &str = "moqrelay_";

    #[test]
    fn every_metric_that_is_counted_is_described() {
        let described = names_in(include_str!("telemetry.rs"));
        let mut counted = BTreeSet::new();
        for file in sources(&crates()) {
            let text = fs::read_to_string(&file).unwrap();
            for macro_name in ["counter!(", "gauge!(", "histogram!("] {
                for call in text.split(macro_name).skip(1) {
                    let argument = call.split([',', ')']).next().unwrap_or_default();
                    counted.extend(names_in(argument));
                }
            }
        }

        let missing: Vec<_> = counted.difference(&described).collect();
        assert!(!counted.is_empty() && missing.is_empty(), "{missing:?}");
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[tokio::test]
    async fn values_do_not_pile_up_where_nobody_reads_the_metrics() {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS_S).unwrap();
        let recorder = builder.build_recorder();
        let histogram = metrics::with_local_recorder(&recorder, || metrics::histogram!("lag"));
        let before = memory::used().unwrap();
        (0..1_000_000).for_each(|n| histogram.record(f64::from(n)));
        let piled = memory::used().unwrap() - before;
        assert!(piled > 8 << 20, "{piled}");

        let kept = tokio::spawn(keep_up(recorder.handle(), Duration::from_millis(1)));

        let deadline = Instant::now() + Duration::from_secs(30);
        while memory::used().unwrap() > before + piled / 4 {
            assert!(Instant::now() < deadline, "they are still there");
            tokio::task::yield_now().await;
        }
        kept.abort();
    }

    #[test]
    fn the_dashboard_shows_only_metrics_that_exist() {
        let described = names_in(include_str!("telemetry.rs"));
        let dashboard = include_str!("../../../deploy/dashboard/moqrelay.json");

        let shown = names_in(dashboard);

        let base = |name: &str| {
            let endings = ["_bucket", "_sum", "_count"];
            let ending = endings.iter().find_map(|ending| name.strip_suffix(ending));
            ending.unwrap_or(name).to_owned()
        };
        let unknown: Vec<_> = shown
            .iter()
            .filter(|name| !described.contains(*name) && !described.contains(&base(name)))
            .collect();
        assert!(shown.len() > 10 && unknown.is_empty(), "{unknown:?}");
    }

    fn names_in(text: &str) -> BTreeSet<String> {
        text.match_indices(OURS)
            .map(|(at, _)| {
                let rest = &text[at..];
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                rest[..end.unwrap_or(rest.len())].to_owned()
            })
            .filter(|name| name != OURS)
            .collect()
    }

    fn crates() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// Sources of every crate, without its tests.
    fn sources(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_owned();
            if path.is_dir() && name != "tests" && name != "target" {
                found.extend(sources(&path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
        found
    }
}
