//! The handle by which the daemon speaks to its legs.

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use moqrelay_audio::{clip::Clip, conference::Chime, jitter};
use moqrelay_processor::Processor;
use moqrelay_relay::{FullTrackName, Relay};
use tokio::{
    net::{TcpListener, TcpSocket, UdpSocket},
    sync::{mpsc, oneshot},
    time::Instant,
};
use uuid::Uuid;

use crate::{
    Codec, Credentials, Knock, LegId, Place, Service, Site, TlsAcceptor, identify,
    leg::{Beep, Cause, Coding, Command, OutRate, Quality, Reason, Shaping, Spec, Stats, Tone},
    seats::Seats,
    server::{Order, Rooms, Server},
    wheel::Wheel,
};

/// How a bridge behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Asterisk connects. Default 127.0.0.1:9092. AudioSocket has neither encryption nor a password: loopback
    /// or a private network only.
    pub listen: SocketAddr,
    /// What Asterisk shows to come in by WebSocket; `None`: nothing.
    pub media_credentials: Option<Credentials>,
    /// What makes those connections secure; `None`: they are plain.
    pub media_tls: Option<TlsAcceptor>,
    /// Legs at a time; a connection more is refused. Default 500.
    pub legs_max: usize,
    /// Connections at a time that have not said which call they are, or that are being turned away. Default 64:
    /// Asterisk says it at once.
    pub unidentified_max: usize,
    /// How long a connection may take to say it. Default 10 s.
    pub identify_timeout: Duration,
    /// How legs code.
    pub coding: Coding,
    /// What else is done to their sound.
    pub shaping: Shaping,
    /// How legs balance delay against loss.
    pub jitter: jitter::Config,
    /// Seats of a room of many, for those who decode voices themselves; 16 at most, 0: there are none. Default 5: more
    /// voices at once cannot be told apart.
    pub seats: usize,
    /// Whether encoders work less hard while the cores are busy. Default true; not where the clock stands still while
    /// they work.
    pub governed: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9092)),
            media_credentials: None,
            media_tls: None,
            legs_max: 500,
            unidentified_max: 64,
            identify_timeout: Duration::from_secs(10),
            coding: Coding::default(),
            shaping: Shaping::default(),
            jitter: jitter::Config::default(),
            seats: 5,
            governed: true,
        }
    }
}

/// Where a bridge is reached.
#[derive(Debug)]
pub struct Listeners {
    /// AudioSocket.
    pub audiosocket: TcpListener,
    /// Media WebSockets (`chan_websocket`), if Asterisk is to come to us by them.
    pub websocket: Option<TcpListener>,
    /// The RTP of all legs, if any goes that way.
    pub rtp: Option<UdpSocket>,
}

/// A way to Asterisk that we take, see [`Bridge::reach`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// A media WebSocket on Asterisk's HTTP server.
    WebSocket {
        /// The HTTP server.
        site: Site,
        /// The channel's `MEDIA_WEBSOCKET_CONNECTION_ID`.
        connection: String,
    },
    /// RTP, to and from where the channel says it has its port.
    Rtp {
        /// Under which addresses it may send, the likeliest first; a packet from elsewhere is a stranger's.
        peers: Vec<SocketAddr>,
        /// G.711 or G.722: Asterisk takes nothing else.
        codec: Codec,
    },
}

/// What happens on legs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection of an expected leg is there.
    Attached {
        /// The leg; for a standing UUID a name that is new.
        leg: LegId,
        /// What the connection said.
        id: Uuid,
        /// Whether the UUID was expected by [`Bridge::expect_standing`].
        standing: bool,
    },
    /// A media WebSocket is asked for by a call that nobody has announced: [`expect`](Bridge::expect) it under `id`
    /// with a leg, or [turn it away](Bridge::turn_away), within some seconds.
    Knocked {
        /// A new name.
        id: Uuid,
        /// Who calls whom.
        call: Knock,
    },
    /// A key of the telephone was pressed and released.
    Digit {
        /// The leg.
        leg: LegId,
        /// One of `0-9A-D*#`.
        digit: char,
    },
    /// How a leg sounds, from the telephone and to it: every 5 s, and when one of them falls silent.
    /// Left out when the queue is full.
    Quality {
        /// The leg.
        leg: LegId,
        /// The last 5 s; `None`: nothing was to be heard.
        quality: [Option<Quality>; 2],
        /// Why nothing has been heard for 3 s; `None`: something has.
        silent: [Option<Cause>; 2],
    },
    /// Who of a room speaks and is heard, at most four times a second, while somebody hears its seats or its mix.
    Speaking {
        /// The room.
        room: String,
        /// The numbers of `p1`, `p2`, …, in order.
        participants: Vec<u64>,
    },
    /// The leg is over, or never came. Exactly once for each leg that was expected, attached or started.
    Detached {
        /// The leg.
        leg: LegId,
        /// Why.
        reason: Reason,
        /// What it did.
        stats: Box<Stats>,
    },
}

/// A connection that somebody else may expect.
#[derive(Debug)]
pub struct Stray {
    /// What it said.
    pub id: Uuid,
    /// What came behind that, at most [`Stray::INBOX_BYTES_MAX`].
    pub inbox: Vec<u8>,
    /// The connection, which does not block.
    pub stream: std::net::TcpStream,
}

impl Stray {
    /// The most that is read with the UUID.
    pub const INBOX_BYTES_MAX: usize = 2 * identify::INBOX_BYTES_MAX;
}

/// The bridge's events, in the order of each leg. Whoever does not take them loses digits, nothing else.
pub type Events = mpsc::Receiver<Event>;

/// A command that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Too many commands wait: the bridge's future is not being run, or the machine is overloaded.
    #[error("the bridge has {COMMANDS_WAITING_MAX} commands waiting already")]
    Full,
    /// The bridge has ended.
    #[error("the bridge has ended")]
    Ended,
}

/// Commands that may wait; a call's whole life has about ten.
const COMMANDS_WAITING_MAX: usize = 4096;

/// Events that may wait; past that, legs keep their own for a while.
const EVENTS_WAITING_MAX: usize = 1024;

/// What waits in the kernel towards Asterisk is delay: room for about eight frames of 48 kHz.
const SEND_BUFFER_BYTES: u32 = 16 * 1024;

/// Connections the kernel may hold for us: Asterisk gives up after 2 s, and a refused one hurts it.
const BACKLOG: u32 = 1024;

/// Commands the bridge. Commands are queued and never wait; what becomes of them is told by [`Events`].
///
/// A command for a leg that is over is ignored. When the last handle is dropped the bridge ends as by
/// [`shut_down`](Self::shut_down).
#[derive(Debug, Clone)]
pub struct Bridge {
    orders: mpsc::Sender<Order>,
    wheel: Wheel,
    seats: Seats,
    local_addr: SocketAddr,
    websocket_addr: Option<SocketAddr>,
    rtp_addr: Option<SocketAddr>,
}

impl Bridge {
    /// Opens the AudioSocket listener. Nothing happens until the future is run; it ends after
    /// [`shut_down`](Self::shut_down), when every leg has ended.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn bind(
        config: Config,
        relay: Relay,
    ) -> io::Result<(Self, Events, impl Future<Output = ()> + Send + 'static)> {
        Self::on(Self::open_listener(config.listen)?, config, relay)
    }

    /// Opens a listener for [`on`](Self::on).
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub fn open_listener(addr: SocketAddr) -> io::Result<TcpListener> {
        let socket = match addr {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        // Connections inherit it.
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    }

    /// Like [`bind`](Self::bind), on a listener that an earlier process has opened.
    ///
    /// # Errors
    ///
    /// When the listener has no address.
    pub fn on(
        listener: TcpListener,
        config: Config,
        relay: Relay,
    ) -> io::Result<(Self, Events, impl Future<Output = ()> + Send + 'static)> {
        let listeners = Listeners {
            audiosocket: listener,
            websocket: None,
            rtp: None,
        };
        Self::with(listeners, config, relay)
    }

    /// Like [`on`](Self::on), with every way in.
    ///
    /// # Errors
    ///
    /// When a listener has no address.
    pub fn with(
        listeners: Listeners,
        config: Config,
        relay: Relay,
    ) -> io::Result<(Self, Events, impl Future<Output = ()> + Send + 'static)> {
        let local_addr = listeners.audiosocket.local_addr()?;
        let websocket = listeners.websocket.as_ref();
        let websocket_addr = websocket.map(TcpListener::local_addr).transpose()?;
        let rtp = listeners.rtp.as_ref();
        let rtp_addr = rtp.map(UdpSocket::local_addr).transpose()?;
        let (orders, orders_rx) = mpsc::channel(COMMANDS_WAITING_MAX);
        let (events, events_rx) = mpsc::channel(EVENTS_WAITING_MAX);
        let level_control = config.shaping.rooms_level_control;
        let (seats, seating) = Seats::new(relay.clone(), config.seats, events.clone());
        let (wheel, turning) = Wheel::new(
            relay.clone(),
            config.coding,
            config.jitter,
            level_control,
            seats.clone(),
        );
        let rooms = Rooms {
            wheel: wheel.clone(),
            seats: seats.clone(),
            work: vec![Box::pin(turning), Box::pin(seating)],
        };
        let server = Server::new(config, relay, listeners, orders_rx, events, rooms);
        let bridge = Self {
            orders,
            wheel,
            seats,
            local_addr,
            websocket_addr,
            rtp_addr,
        };
        Ok((bridge, events_rx, server.run()))
    }

    /// Returns the address that is listened on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns the address at which media WebSockets are taken, if any.
    #[must_use]
    pub fn websocket_addr(&self) -> Option<SocketAddr> {
        self.websocket_addr
    }

    /// Returns the address of the RTP of all legs, if any goes that way.
    #[must_use]
    pub fn rtp_addr(&self) -> Option<SocketAddr> {
        self.rtp_addr
    }

    /// Opens the socket for the RTP of all legs.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub fn open_rtp(addr: SocketAddr) -> io::Result<UdpSocket> {
        let socket = std::net::UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    }

    /// Goes to Asterisk for the leg that is expected under `id`, as if Asterisk had come.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn reach(&self, id: Uuid, way: Way) -> Result<(), CommandError> {
        self.order(Order::Reach { id, way })
    }

    /// Says why a leg's road was chosen, for its log and its report ([`Stats::why`]).
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn explain(&self, leg: LegId, why: &'static str) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::Explain(why)))
    }

    /// Answers the call of a leg whose road leaves it to us: a media WebSocket that was made with the option `n`.
    /// Others are answered already.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn answer(&self, leg: LegId) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::Answer))
    }

    /// Expects a connection that says `id` within `ttl`, once. It will be the leg of `spec`, which can be given
    /// commands at once.
    ///
    /// A leg that cannot be expected, or does not come, is reported as detached.
    ///
    /// # Errors
    ///
    /// When the command cannot be queued; so do all others.
    pub fn expect(&self, id: Uuid, spec: Spec, ttl: Duration) -> Result<(), CommandError> {
        self.order(Order::Expect {
            id,
            spec,
            until: Instant::now() + ttl,
        })
    }

    /// Expects connections that say `id`, one at a time, until [`forget`](Self::forget). Each is a new leg without a
    /// place: give it one by [`join`](Self::join).
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn expect_standing(&self, id: Uuid, rate: OutRate) -> Result<(), CommandError> {
        self.order(Order::ExpectStanding { id, rate })
    }

    /// Expects connections that say `id` no longer. One that is there stays.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn forget(&self, id: Uuid) -> Result<(), CommandError> {
        self.order(Order::Forget(id))
    }

    /// Turns away a call that has [knocked](Event::Knocked): in Asterisk's dialplan it goes on.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn turn_away(&self, id: Uuid) -> Result<(), CommandError> {
        self.order(Order::TurnAway(id))
    }

    /// Lets a leg publish from now on.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn join(&self, leg: LegId, place: Place) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::Join(place)))
    }

    /// Lets a leg hear a track, whether or not it is published yet.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn listen(&self, leg: LegId, track: FullTrackName) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::Listen(track)))
    }

    /// Lets a leg hear a track no longer.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn unlisten(&self, leg: LegId, track: FullTrackName) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::Unlisten(track)))
    }

    /// Plays a tone to a leg's telephone, beside what else it hears, until [`stop_tone`](Self::stop_tone).
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn play(&self, leg: LegId, tone: Tone) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::Play(tone)))
    }

    /// Ends a leg's tone.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn stop_tone(&self, leg: LegId) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::StopTone))
    }

    /// Plays a short signal to a leg's telephone once, beside what else it hears.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn beep(&self, leg: LegId, beep: Beep) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::Beep(beep)))
    }

    /// Plays recorded sounds once, one after the other and after those that are being played; none: ends them.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn say(&self, leg: LegId, clips: Vec<Clip>) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::Say(clips)))
    }

    /// Makes the voice of a place part of its room's mix and seats, whether or not it is published yet.
    pub fn add_voice(&self, place: Place) {
        self.wheel.add(place.clone());
        self.seats.add(place);
    }

    /// Makes the voice of a place so many decibels louder in its room's mixes, -20 to 10, as long as the room has any.
    pub fn set_level(&self, place: Place, db: i8) {
        self.wheel.level(place, db);
    }

    /// Takes the voice of a place out of its room's mix and seats.
    pub fn remove_voice(&self, place: Place) {
        self.wheel.remove(place.clone());
        self.seats.remove(place);
    }

    /// Publishes the seats of a room, `room/<room>/s1` and on, and who speaks, for those who decode voices themselves.
    /// They are given out while somebody subscribes, until [`end_seats`](Self::end_seats).
    pub fn publish_seats(&self, room: &str) {
        self.seats.open(room);
    }

    /// Ends the seats of a room.
    pub fn end_seats(&self, room: &str) {
        self.seats.close(room);
    }

    /// Lets a leg hear the mix of a room: everyone who is heard there but the voice of `place`.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn hear_room(&self, leg: LegId, place: Place) -> Result<(), CommandError> {
        self.order(Order::Tell(
            leg,
            Command::HearRoom(self.wheel.clone(), place),
        ))
    }

    /// Lets a leg hear a room's mix no longer.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn leave_room(&self, leg: LegId) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::LeaveRoom))
    }

    /// Publishes the mix of `place`'s room there, for those who listen by MoQ: everyone who is heard, coded once. It is
    /// made while somebody subscribes, until [`end_mix`](Self::end_mix).
    pub fn publish_mix(&self, place: Place) {
        self.wheel.publish(place);
    }

    /// Ends the mix of `place`'s room.
    pub fn end_mix(&self, place: Place) {
        self.wheel.unpublish(place);
    }

    /// Plays a sign to everyone who hears a room's mix.
    pub fn chime(&self, room: &str, chime: Chime) {
        self.wheel.chime(room.to_owned(), chime);
    }

    /// Plays digits (`0-9A-D*#`, `w` for half a second of nothing) to a leg as tones, each 100 ms and as long a pause: AudioSocket has no other way to
    /// send them. Asterisk does better with ARI.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn send_digits(&self, leg: LegId, digits: Vec<char>) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::Digits(digits)))
    }

    /// Stops (true) or resumes publishing what a leg says.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn mute(&self, leg: LegId, muted: bool) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::Mute(muted)))
    }

    /// Listens for digits in what a leg's telephone says (true), for roads that bring them in no other way. They are
    /// told by [`Event::Digit`].
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn detect_digits(&self, leg: LegId, wanted: bool) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::DetectDigits(wanted)))
    }

    /// Leads what a leg's telephone says, or what it hears ([`moqrelay_processor::Direction`]), through a media
    /// processor; of what it says the texts are the track [`Place::text`]. A leg whose packets of Opus pass untouched takes no notice.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn process(&self, leg: LegId, processor: Processor) -> Result<(), CommandError> {
        self.order(Order::Tell(leg, Command::Process(processor)))
    }

    /// Ends a leg: one that is there, one that is still expected, or a service.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn hang_up(&self, leg: LegId) -> Result<(), CommandError> {
        self.order(Order::HangUp(leg))
    }

    /// Ends every leg.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn hang_up_all(&self) -> Result<(), CommandError> {
        self.order(Order::HangUpAll)
    }

    /// Starts a built-in party as the leg `leg`. `source` is what it hears, the same as a later
    /// [`listen`](Self::listen); only the echo hears anything.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn start_service(
        &self,
        leg: LegId,
        service: Service,
        place: Place,
        source: Option<FullTrackName>,
    ) -> Result<(), CommandError> {
        self.order(Order::Start {
            leg,
            service,
            place,
            source,
        })
    }

    /// Closes the listener to new connections, which an other process takes from now on. Legs go
    /// on; connections of those that have not come are to be [taken in](Self::take_in).
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn stop_accepting(&self) -> Result<(), CommandError> {
        self.order(Order::StopAccepting)
    }

    /// Leaves connections whose UUID is not expected to others, instead of refusing them; refuses
    /// them when the queue is full or closed.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn leave_strays_to(&self, strays: mpsc::Sender<Stray>) -> Result<(), CommandError> {
        self.order(Order::LeaveStraysTo(strays))
    }

    /// Takes a connection that another bridge has accepted.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn take_in(&self, stray: Stray) -> Result<(), CommandError> {
        self.order(Order::TakeIn(stray))
    }

    /// Closes the listener and ends every leg; the bridge's future ends when they have.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn shut_down(&self) -> Result<(), CommandError> {
        self.order(Order::ShutDown)
    }

    /// Returns what each leg that is there did up to its last report, at most a second ago.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub async fn stats(&self) -> Result<Vec<(LegId, Stats)>, CommandError> {
        let (answer, stats) = oneshot::channel();
        self.order(Order::Stats(answer))?;
        stats.await.map_err(|_| CommandError::Ended)
    }

    fn order(&self, order: Order) -> Result<(), CommandError> {
        self.orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommandError::Full,
            mpsc::error::TrySendError::Closed(_) => CommandError::Ended,
        })
    }
}
