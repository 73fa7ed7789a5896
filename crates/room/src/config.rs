//! What an operator can set.

use std::time::Duration;

use crate::{Line, Number, Parking, Routing, Rules, User};

/// What the switchboard goes by.
#[derive(Debug, Clone)]
pub struct Config {
    /// Users that exist whether or not they are registered; the others exist while they are.
    pub users: Vec<User>,
    /// How long a call rings before it ends with [`Cause::NoAnswer`](crate::Cause::NoAnswer).
    pub ring_timeout: Duration,
    /// How long a call may last after the answer.
    pub call_duration_max: Duration,
    /// How long a device's calls outlive its socket.
    pub grace: Duration,
    /// How long a ticket waits for its AudioSocket connection.
    pub ticket_ttl: Duration,
    /// Whether a telephone that transfers may send the call to a number.
    pub telephones_dial: bool,
    /// How numbers are understood, and by which trunk they go.
    pub routing: Routing,
    /// What users wanted done with their calls when it was last kept, configured users or not.
    pub rules: Vec<(User, Rules)>,
    /// Where calls are parked; absent: nowhere.
    pub parking: Option<Parking>,
    /// Dialled before a number it takes the call that rings there; absent: calls stay where they ring.
    pub pick_up: Option<Number>,
    /// Telephones of Asterisk's whose state is shown.
    pub lines: Vec<Line>,
    /// What is refused beyond which size.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            // A telephone network gives up after one to two minutes; a voicemail takes over before.
            ring_timeout: Duration::from_secs(45),
            // A forgotten call ends within the working day.
            call_duration_max: Duration::from_secs(4 * 3600),
            // Long enough for a change from Wi-Fi to mobile, short enough for the one who waits.
            grace: Duration::from_secs(10),
            // The dialplan connects in milliseconds; what comes later is somebody else.
            ticket_ttl: Duration::from_secs(30),
            // A caller from outside could otherwise call on at the house's expense.
            telephones_dial: false,
            routing: Routing::default(),
            rules: Vec::new(),
            parking: None,
            pick_up: None,
            lines: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// The sizes of the switchboard's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Users, configured or registered; each change of presence goes to every device.
    pub users: usize,
    /// Devices of one user.
    pub devices_per_user: usize,
    /// Calls of one device at the same time, the waiting ones included.
    pub calls_per_device: usize,
    /// Calls of one user at the same time over all devices.
    pub calls_per_user: usize,
    /// Participants of one call; each hears a mix of all others.
    pub participants_per_call: usize,
    /// Calls of the whole node.
    pub calls: usize,
    /// Tickets that wait for their connection.
    pub tickets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            users: 1000,
            devices_per_user: 5,
            // One that is held and one that talks or waits.
            calls_per_device: 2,
            calls_per_user: 4,
            participants_per_call: 8,
            calls: 500,
            tickets: 500,
        }
    }
}
