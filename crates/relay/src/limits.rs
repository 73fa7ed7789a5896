//! What peers may use up, each limit with its default and its reason.

use std::time::Duration;

use moqrelay_moqt::Namespace;

/// What is kept of tracks for those who come late: FETCH, and readers that begin in the past.
#[derive(Debug, Clone)]
pub struct CacheLimits {
    /// Bytes of all tracks together; beyond, the largest tracks lose their oldest objects.
    /// Default 256 MiB: a minute of 300 voices, or of two videos at 15 Mbit/s.
    pub bytes: usize,
    /// How long a track without publisher or subscribers is kept. Default 30 s: who was cut off is back by then.
    pub linger: Duration,
    /// Tracks that are kept so; beyond, the oldest is forgotten. Default 4,096.
    pub lingering: usize,
    /// What is kept of one track, by the longest prefix of its namespace that is listed.
    pub policies: Vec<(Namespace, CachePolicy)>,
    /// What is kept of a track with none of these prefixes.
    pub default: CachePolicy,
}

/// What is kept of one track. Whichever limit is met first counts; one of zero means that nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// Age of one object; a publisher's MAX_CACHE_DURATION can only shorten it. Default 60 s.
    pub age: Duration,
    /// Bytes: payloads, properties and what keeping them costs. Default 32 MiB: a minute of video at 4 Mbit/s.
    pub bytes: usize,
    /// Objects. Default 16,384: a minute of four objects for each frame at 60 Hz.
    pub objects: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            bytes: 256 << 20,
            linger: Duration::from_secs(30),
            lingering: 4096,
            policies: Vec::new(),
            default: CachePolicy::default(),
        }
    }
}

impl CacheLimits {
    /// Returns what is kept of tracks in a namespace.
    pub(crate) fn policy(&self, namespace: &Namespace) -> CachePolicy {
        let listed = self.policies.iter();
        let fitting = listed.filter(|(prefix, _)| prefix.is_prefix_of(namespace));
        let longest = fitting.max_by_key(|(prefix, _)| prefix.fields().len());
        longest.map_or(self.default, |(_, policy)| *policy)
    }
}

impl CachePolicy {
    /// Keeps nothing.
    pub const NONE: Self = Self {
        age: Duration::ZERO,
        bytes: 0,
        objects: 0,
    };
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(60),
            bytes: 32 << 20,
            objects: 16_384,
        }
    }
}

/// How much of a track is kept for readers that are behind. Whichever limit is met first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackLimits {
    /// Entries of one track: objects, and the beginnings and ends between them.
    /// Default 1,024: 20 s of voice, or 8 s of video with four objects for each frame.
    pub entries: usize,
    /// Bytes of one track: payloads and properties. Default 8 MiB: 3 s of video at 20 Mbit/s.
    pub bytes: usize,
    /// Age of one object. Default 4 s: who is further behind is served better by what is new.
    pub age: Duration,
}

impl Default for TrackLimits {
    fn default() -> Self {
        Self {
            entries: 1024,
            bytes: 8 << 20,
            age: Duration::from_secs(4),
        }
    }
}

/// What one session, and all of them together, may use up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Sessions at a time; more are refused. Default 10,000: 1 GB at 100 KB for each.
    pub sessions: usize,
    /// Sessions at a time from one address (IPv6: one /64); more are refused. Default 2,000: a
    /// company behind one NAT, and no more than a fifth of all.
    pub sessions_per_address: usize,
    /// Connections whose handshake is under way at a time; more are refused. Default 1,024.
    pub handshakes: usize,
    /// From so many handshakes at a time on, a client must first show that its address is its own
    /// (Retry, RFC 9000 section 8.1.2), which costs it a round trip and us no memory. Default 256:
    /// 0.2 s of one core.
    pub handshakes_before_retry: usize,
    /// How long a connection may take to become a session. Default 10 s.
    pub setup_timeout: Duration,
    /// How long nothing may be heard of a peer. Default 30 s.
    pub idle_timeout: Duration,
    /// How often a silent connection is kept alive. Default 10 s: below the 30 s after which many
    /// NATs forget a UDP flow, and three tries within the idle timeout.
    pub keep_alive: Duration,
    /// Tracks that one session may subscribe to. Default 1,024.
    pub subscriptions: usize,
    /// Tracks that one session may publish. Default 512.
    pub tracks: usize,
    /// Namespaces and prefixes that one session may publish and watch. Default 256.
    pub namespaces: usize,
    /// Requests that one session may make in a second, with a burst of five seconds' worth; more
    /// are refused, and who goes on all the same is sent away. Default 300: a burst covers as many
    /// subscriptions as there may be.
    pub requests_per_second: u64,
    /// Bytes that one session may send in a second, with a burst of two seconds' worth; more end
    /// it. Default 16 MiB: six tracks of 4K video.
    pub bytes_per_second: u64,
    /// Fields of a namespace, 32 at most by the drafts. Default 32.
    pub namespace_fields: usize,
    /// Bytes of a namespace, 4,096 at most by the drafts. Default 1,024: the table keeps one for
    /// each track.
    pub namespace_bytes: usize,
    /// Subgroup streams that one session may have open towards us. Default 1,024.
    pub streams: usize,
    /// Largest payload of an object, in bytes. Default 4 MiB: a key frame of 4K video.
    pub object_bytes: usize,
    /// Largest properties of an object, in bytes. Default 16 KiB.
    pub properties_bytes: usize,
    /// Largest control message, in bytes. Default 16 KiB.
    pub message_bytes: usize,
    /// Bytes of control messages that wait for one session, either direction. Default 256 KiB.
    pub control_bytes: usize,
    /// Longest wait for a publisher that a subscriber gets, whatever it asks for. Default 60 s.
    pub rendezvous: Duration,
    /// How long a peer may take to answer a request of ours; then it is as if it had refused.
    /// Default 10 s: a few retransmissions on the worst of networks.
    pub answer: Duration,
    /// How long objects wait for the message that explains their track alias. Default 2 s: the
    /// message was sent before them and is at most a few retransmissions late.
    pub early_wait: Duration,
    /// Datagrams that wait so. Default 64: 1.3 s of voice.
    pub early_datagrams: usize,
    /// Streams that wait so. Default 32.
    pub early_streams: usize,
    /// FETCHes that one session may have open. Default 16: each holds at most 128 KiB of objects, and as much again
    /// while a publisher is asked.
    pub fetches: usize,
    /// Longest wait for a publisher's answer to what the cache lacks, whatever FILL_TIMEOUT says, and the wait when it
    /// says nothing. Default 5 s.
    pub fill: Duration,
    /// How long late objects are awaited after PUBLISH_DONE said how many streams there are.
    /// Default 2 s.
    pub done_wait: Duration,
    /// Bytes sent and not yet acknowledged, all streams of a connection together.
    /// Default 512 KiB: 20 Mbit/s at 200 ms; what waits in there can no longer be reordered.
    pub send_window: u64,
    /// Bytes a peer may send on one stream before they are read. Default 512 KiB.
    pub stream_receive_window: u32,
    /// Bytes a peer may send on all streams before they are read. Default 2 MiB.
    pub receive_window: u32,
    /// Bytes of datagrams that a connection itself holds to be sent. Default 16 KiB: a burst of 130
    /// voice packets. A slow connection is given no more than it carries in 50 ms.
    pub datagram_send_bytes: usize,
    /// Bytes of datagrams that wait for one connection beyond that; the oldest are dropped.
    /// Default 64 KiB: what a conference of 30 says in 150 ms, four times.
    pub datagram_backlog_bytes: usize,
    /// How old a datagram may be that waits so. Default 150 ms: what is later no jitter buffer
    /// waits for.
    pub datagram_age: Duration,
    /// How old an object may be that waits for a blocked stream; then the stream is reset, and what
    /// comes next begins a new one. Default 1.5 s: after a second without network video goes on
    /// where it was, after two it goes on in the present. What waits takes no memory beyond the
    /// track's own ([`TrackLimits`]).
    pub backlog_age: Duration,
    /// How old what a worker takes of a track may be; when it is older for two and a half times as long, the worker has
    /// more to do than it can, and leaves out what is older than half of it, for all sessions alike. Default 200 ms:
    /// what is later no jitter buffer waits for. A worker reads it when it begins.
    pub lag: Duration,
    /// How long a track that a crowd hears waits for others that the same crowd hears, so that their objects share
    /// packets; zero: not at all. Default 5 ms: a quarter of a frame of voice. A worker reads it when it begins.
    pub gather: Duration,
    /// So many sessions of one worker are such a crowd. Default 64: fewer packets are written in less than a
    /// millisecond. A worker reads it when it begins.
    pub gather_from: usize,
    /// Bytes of datagrams that wait to be read on one connection. Default 64 KiB.
    pub datagram_receive_bytes: usize,
    /// Bytes of streams that wait for the socket of one WebSocket session. Default 64 KiB: a key
    /// frame of modest video; what waits in there still goes by priority.
    pub fallback_send_bytes: usize,
    /// How long they wait: fewer bytes are taken where the socket is slow. Default 250 ms.
    pub fallback_send_time: Duration,
    /// Datagrams that have waited longer for such a socket are dropped. Default 500 ms: what voice
    /// is worth.
    pub fallback_datagram_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            sessions_per_address: 2000,
            handshakes: 1024,
            handshakes_before_retry: 256,
            setup_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
            subscriptions: 1024,
            tracks: 512,
            namespaces: 256,
            requests_per_second: 300,
            bytes_per_second: 16 << 20,
            namespace_fields: 32,
            namespace_bytes: 1024,
            streams: 1024,
            object_bytes: 4 << 20,
            properties_bytes: 16 << 10,
            message_bytes: 16 << 10,
            control_bytes: 256 << 10,
            rendezvous: Duration::from_secs(60),
            answer: Duration::from_secs(10),
            early_wait: Duration::from_secs(2),
            early_datagrams: 64,
            early_streams: 32,
            fetches: 16,
            fill: Duration::from_secs(5),
            done_wait: Duration::from_secs(2),
            send_window: 512 << 10,
            stream_receive_window: 512 << 10,
            receive_window: 2 << 20,
            datagram_send_bytes: 16 << 10,
            datagram_backlog_bytes: 64 << 10,
            datagram_age: Duration::from_millis(150),
            backlog_age: Duration::from_millis(1500),
            lag: Duration::from_millis(200),
            gather: Duration::from_millis(5),
            gather_from: 64,
            datagram_receive_bytes: 64 << 10,
            fallback_send_bytes: 64 << 10,
            fallback_send_time: Duration::from_millis(250),
            fallback_datagram_time: Duration::from_millis(500),
        }
    }
}
