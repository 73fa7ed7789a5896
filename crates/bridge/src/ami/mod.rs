//! The one thing that ARI cannot tell: whether Asterisk is registered at a provider.
//!
//! Asterisk's manager interface (AMI) is asked for its outbound registrations, once at the start, when
//! it says that one has changed, and every [`LOOK_AGAIN`]. Nothing else is done by it.

mod packet;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::packet::action;
pub use self::packet::{Inbox, Packet, TooLong};
use crate::ari::Secret;

/// A registration is asked for again although nothing was heard of it: a reload of Asterisk makes and
/// removes some without a word.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long Asterisk may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before the next attempt: as long as the longest of ARI's about.
const PAUSE: Duration = Duration::from_secs(5);
/// Read at once.
const CHUNK: usize = 4096;

/// Where AMI is, and what it is asked for.
#[derive(Debug, Clone)]
pub struct Config {
    /// `HOST:PORT`; there is no TLS: keep it on a network of your own.
    pub address: String,
    /// The user of `manager.conf`; `read = system` and `write = system,reporting` are enough.
    pub user: String,
    /// Its secret.
    pub password: Secret,
    /// The registrations that matter, by their names in `pjsip.conf`.
    pub registrations: BTreeSet<String>,
}

/// What has become of a registration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Registration {
    /// AMI cannot be asked.
    #[default]
    Unknown,
    /// It holds.
    Registered,
    /// The provider does not answer, or it has ended.
    Unregistered,
    /// The provider does not want it: the password, most likely.
    Rejected,
    /// Asterisk has no such registration.
    Missing,
}

impl Registration {
    /// Returns its name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Registered => "registered",
            Self::Unregistered => "unregistered",
            Self::Rejected => "rejected",
            Self::Missing => "missing",
        }
    }

    fn from_status(status: &str) -> Self {
        match status {
            "Registered" => Self::Registered,
            status if status.starts_with("Rejected") => Self::Rejected,
            _ => Self::Unregistered,
        }
    }
}

/// The registrations that matter, by name.
pub type Registrations = BTreeMap<String, Registration>;

/// Returns what is known, and the work that keeps it so, which ends when nobody looks any more.
pub fn watch(
    config: Config,
) -> (
    watch::Receiver<Registrations>,
    impl Future<Output = ()> + Send,
) {
    let (known, watching) = watch::channel(all_are(&config, Registration::Unknown));
    let work = async move {
        tokio::select! {
            () = known.closed() => {}
            () = keep_asking(&config, &known) => {}
        }
    };
    (watching, work)
}

/// Why AMI is of no use.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Broken(#[from] io::Error),
    #[error("it does not answer")]
    Silent,
    #[error("it refuses: {0}")]
    Refused(String),
    #[error("{0}")]
    TooLong(#[from] TooLong),
}

async fn keep_asking(config: &Config, known: &watch::Sender<Registrations>) {
    let mut complained = false;
    loop {
        let mut asked = false;
        let Err(fault) = ask(config, known, &mut asked).await;
        // The first failure after a success is worth a word, not each attempt.
        if asked || !complained {
            tracing::warn!(%fault, address = config.address, "registrations of trunks are not known: AMI");
            complained = true;
        }
        known.send_replace(all_are(config, Registration::Unknown));
        sleep(PAUSE).await;
    }
}

fn all_are(config: &Config, registration: Registration) -> Registrations {
    let names = config.registrations.iter().cloned();
    names.map(|name| (name, registration)).collect()
}

/// Asks until that fails.
async fn ask(
    config: &Config,
    known: &watch::Sender<Registrations>,
    asked: &mut bool,
) -> Result<std::convert::Infallible, Fault> {
    let connecting = TcpStream::connect(&config.address);
    let stream = timeout(ANSWER_TIMEOUT, connecting)
        .await
        .map_err(|_| Fault::Silent)??;
    let mut line = Line {
        stream,
        inbox: Inbox::default(),
    };
    let user = [
        ("Username", config.user.as_str()),
        ("Secret", config.password.expose()),
        ("Events", "system"),
    ];
    line.send("Login", &user).await?;
    line.obeyed().await?;
    loop {
        let found = line.registrations(&config.registrations).await?;
        *asked = true;
        let now: Registrations = config
            .registrations
            .iter()
            .map(|name| {
                let status = found.get(name).map(String::as_str);
                let registration = status.map_or(Registration::Missing, Registration::from_status);
                (name.clone(), registration)
            })
            .collect();
        known.send_if_modified(|old| std::mem::replace(old, now.clone()) != now);
        let again = Instant::now() + LOOK_AGAIN;
        while let Ok(packet) = timeout_at(again, line.packet()).await {
            if packet? == Packet::RegistrationChanged {
                break;
            }
        }
    }
}

/// A connection to AMI.
struct Line {
    stream: TcpStream,
    inbox: Inbox,
}

impl Line {
    async fn send(&mut self, name: &str, fields: &[(&str, &str)]) -> Result<(), Fault> {
        let text = action(name, fields);
        timeout(ANSWER_TIMEOUT, self.stream.write_all(&text))
            .await
            .map_err(|_| Fault::Silent)??;
        Ok(())
    }

    /// Waits for the next packet. Can be dropped at any time.
    async fn packet(&mut self) -> Result<Packet, Fault> {
        let mut chunk = [0; CHUNK];
        loop {
            if let Some(packet) = self.inbox.take()? {
                return Ok(packet);
            }
            match self.stream.read(&mut chunk).await? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                len => self.inbox.push(&chunk[..len]),
            }
        }
    }

    async fn answer(&mut self) -> Result<Packet, Fault> {
        let answer = timeout(ANSWER_TIMEOUT, self.packet());
        answer.await.map_err(|_| Fault::Silent)?
    }

    /// Waits for the answer to an action.
    async fn obeyed(&mut self) -> Result<(), Fault> {
        loop {
            match self.answer().await? {
                Packet::Response { success: true, .. } => return Ok(()),
                Packet::Response { message, .. } => return Err(Fault::Refused(message)),
                Packet::Registration { .. }
                | Packet::RegistrationsEnd
                | Packet::RegistrationChanged
                | Packet::Other => {}
            }
        }
    }

    /// Asks for all and keeps those that are wanted.
    async fn registrations(
        &mut self,
        wanted: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, Fault> {
        self.send("PJSIPShowRegistrationsOutbound", &[]).await?;
        let mut found = BTreeMap::new();
        loop {
            match self.answer().await? {
                Packet::Registration { name, status } => {
                    if wanted.contains(&name) {
                        found.insert(name, status);
                    }
                }
                Packet::RegistrationsEnd => return Ok(found),
                Packet::Response {
                    success: false,
                    message,
                } => return Err(Fault::Refused(message)),
                Packet::Response { .. } | Packet::RegistrationChanged | Packet::Other => {}
            }
        }
    }
}
