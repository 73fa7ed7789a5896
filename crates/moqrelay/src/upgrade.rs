//! An upgrade without loss: a new process takes over from the old one, whose calls go on.
//!
//! The old process listens on a Unix socket. The new one connects, gets copies of the sockets,
//! builds everything, says that it is ready, and begins when the old one has stepped aside. The
//! connection then stays: when the new process dies, the old one hears its clients by itself again.

mod manifest;
mod strays;
mod tickets;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use moqrelay_bridge::Stray;
use moqrelay_control::token::Own;
use moqrelay_relay::{Elder, Estate};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt,
};
use tokio::{sync::mpsc, task::spawn_blocking};

use self::manifest::{FAREWELL_BYTES_MAX, MANIFEST_BYTES_MAX, Manifest};
pub(crate) use self::tickets::{Farewell, Ticket, Tickets};

/// The kernel passes at most 253 descriptors at once (SCM_MAX_FD).
const FDS_AT_ONCE: usize = 64;

/// How long the other side may take for one step; reading configuration and keys is the longest.
const STEP_TIME: Duration = Duration::from_secs(30);

const READY: u8 = b'R';
const YOURS: u8 = b'Y';

/// What an old process gives.
pub(crate) struct Gift {
    pub(crate) ports: BTreeMap<&'static str, (SocketAddr, OwnedFd)>,
    pub(crate) moq: SocketAddr,
    pub(crate) estate: Estate,
    pub(crate) runs: Vec<u32>,
    pub(crate) own_key: Option<Own>,
}

/// Waits for a process that takes over. Removes its file when it is dropped.
pub(crate) struct Door {
    listener: tokio::net::UnixListener,
    /// `None` when a new process has its own file there, or will have.
    path: Option<PathBuf>,
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            drop(fs::remove_file(path));
        }
    }
}

/// The process that takes over, ready to begin.
pub(crate) struct Successor(UnixStream);

impl Door {
    /// Listens; only processes of the same user are heard.
    ///
    /// # Errors
    ///
    /// When the file cannot be made.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let told = || format!("upgrade.socket is {}", path.display());
        // Left by a process that was killed, or by the one that has just handed over.
        drop(fs::remove_file(path));
        let listener = UnixListener::bind(path).with_context(told)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(told)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: tokio::net::UnixListener::from_std(listener)?,
            path: Some(path.to_owned()),
        })
    }

    /// Waits until a process has everything and is ready to begin; tries that fail are logged.
    pub(crate) async fn successor(&self, gift: impl Fn() -> io::Result<Gift>) -> Successor {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a process that wants to take over cannot be heard");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            match self.give(stream, &gift).await {
                Ok(successor) => return successor,
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "a take-over has failed: everything goes on");
                }
            }
        }
    }

    async fn give(
        &self,
        stream: tokio::net::UnixStream,
        gift: impl Fn() -> io::Result<Gift>,
    ) -> Result<Successor> {
        let peer = stream.peer_cred()?;
        let own = rustix::process::geteuid().as_raw();
        ensure!(peer.uid() == own, "user {} is not ours", peer.uid());
        let gift = gift().context("copies of the sockets")?;
        let stream = stream.into_std()?;
        let given = spawn_blocking(move || give(stream, gift));
        Ok(Successor(given.await??))
    }

    /// A new process has taken over, and needs the file's place.
    pub(crate) fn leave(mut self) {
        self.path = None;
    }
}

impl Successor {
    /// Lets it begin. From now on it reads the sockets, leaves these callers in Asterisk to us, and has these tickets.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub(crate) fn begin(&mut self, farewell: &Farewell) -> Result<()> {
        let farewell = serde_json::to_vec(farewell)?;
        let mut message = vec![YOURS];
        message.extend_from_slice(&u32::try_from(farewell.len())?.to_be_bytes());
        message.extend_from_slice(&farewell);
        Ok(self.0.write_all(&message)?)
    }

    /// Takes in the connections that it passes on; completes when the process is gone.
    pub(crate) async fn attend(self, mut take_in: impl FnMut(Stray) + Send + 'static) {
        let stream = self.0;
        // The thread ends with the process that took over, or with this one.
        let attended = spawn_blocking(move || -> Result<()> {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(None)?;
            while let Some(stray) = strays::receive(&stream)? {
                take_in(stray);
            }
            Ok(())
        });
        match attended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "the process that took over cannot be understood");
            }
            Err(error) => tracing::error!(%error, "the process that took over cannot be heard"),
        }
    }
}

fn give(mut stream: UnixStream, gift: Gift) -> Result<UnixStream> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(STEP_TIME))?;
    stream.set_write_timeout(Some(STEP_TIME))?;
    let elders = &gift.estate.elders;
    let ports = gift.ports.iter();
    let manifest = Manifest::new(
        ports
            .map(|(key, (addr, _))| ((*key).to_owned(), *addr))
            .collect(),
        (gift.moq, gift.estate.sockets.len()),
        elders.iter().map(|elder| elder.generation).collect(),
        gift.runs,
        gift.own_key.map(|own| (own.kid, own.secret)),
    );
    let ports = gift.ports.values().map(|(_, fd)| fd.as_fd());
    let sockets = gift.estate.sockets.iter().map(AsFd::as_fd);
    let links = elders.iter().flat_map(|elder| &elder.links);
    let fds: Vec<_> = ports.chain(sockets).chain(links.map(AsFd::as_fd)).collect();
    let text = serde_json::to_vec(&manifest)?;
    stream.write_all(&u32::try_from(text.len())?.to_be_bytes())?;
    stream.write_all(&text)?;
    for fds in fds.chunks(FDS_AT_ONCE) {
        send_fds(&stream, fds)?;
    }
    let mut word = [0];
    stream
        .read_exact(&mut word)
        .context("it did not say that it is ready")?;
    ensure!(word[0] == READY, "it said {word:?} instead of being ready");
    Ok(stream)
}

fn send_fds(stream: &UnixStream, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_AT_ONCE))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(fds));
    sendmsg(
        stream,
        &[io::IoSlice::new(&[0])],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// What a new process got, until it begins.
pub(crate) struct Inheritance {
    stream: UnixStream,
    ports: BTreeMap<String, (SocketAddr, TcpListener)>,
    moq: SocketAddr,
    estate: Option<Estate>,
    pub(crate) runs: Vec<u32>,
    pub(crate) own_key: Option<Own>,
}

/// Asks the process that runs for what it has; `None`: there is none.
///
/// # Errors
///
/// When there is one, and it does not give what is needed.
pub(crate) fn ask(path: &Path) -> Result<Option<Inheritance>> {
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    stream.set_read_timeout(Some(STEP_TIME))?;
    stream.set_write_timeout(Some(STEP_TIME))?;
    let manifest = Manifest::decode(&read_text(&mut stream, MANIFEST_BYTES_MAX)?)?;
    let mut fds = receive_fds(&stream, manifest.fds())?.into_iter();
    let mut next = || fds.next().context("a socket is missing");
    let mut ports = BTreeMap::new();
    for (key, addr) in manifest.ports {
        ports.insert(key, (addr, TcpListener::from(next()?)));
    }
    let sockets = (0..manifest.workers).map(|_| Ok(UdpSocket::from(next()?)));
    let sockets = sockets.collect::<Result<_>>()?;
    let mut elders = Vec::new();
    for generation in manifest.generations {
        let links = (0..manifest.workers).map(|_| Ok(UnixDatagram::from(next()?)));
        elders.push(Elder {
            generation,
            links: links.collect::<Result<_>>()?,
        });
    }
    Ok(Some(Inheritance {
        stream,
        ports,
        moq: manifest.moq,
        estate: Some(Estate { sockets, elders }),
        runs: manifest.runs,
        own_key: manifest.own_key.map(|(kid, secret)| Own { kid, secret }),
    }))
}

/// Reads a length and as many bytes.
fn read_text(stream: &mut UnixStream, bytes_max: usize) -> Result<Vec<u8>> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = usize::try_from(u32::from_be_bytes(len))?;
    ensure!(len <= bytes_max, "{len} bytes are too many");
    let mut text = vec![0; len];
    stream.read_exact(&mut text)?;
    Ok(text)
}

fn receive_fds(stream: &UnixStream, wanted: usize) -> Result<Vec<OwnedFd>> {
    let mut fds = Vec::new();
    while fds.len() < wanted {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_AT_ONCE))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut word = [0];
        let mut into = [io::IoSliceMut::new(&mut word)];
        let got = recvmsg(stream, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        ensure!(got.bytes == 1, "it has ended");
        let before = fds.len();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        ensure!(fds.len() > before, "no socket came");
    }
    Ok(fds)
}

impl Inheritance {
    /// Returns the listener of a port if its address is still the same.
    pub(crate) fn port(&mut self, key: &str, wanted: SocketAddr) -> Option<TcpListener> {
        let (_, listener) = self.ports.remove(key).filter(|(addr, _)| *addr == wanted)?;
        listener.set_nonblocking(true).ok()?;
        // Sent on to the next process as it came.
        Some(listener)
    }

    /// Returns the MoQ port.
    ///
    /// # Errors
    ///
    /// When the configuration names another one: its sessions could not go on.
    pub(crate) fn estate(&mut self, wanted: SocketAddr) -> Result<Estate> {
        let given = self.moq;
        ensure!(
            given == wanted,
            "moq.listen is {wanted}, the running process has {given}: start without --take-over"
        );
        let estate = self.estate.take().context("taken already")?;
        for socket in &estate.sockets {
            // A restart that finds another kind of socket here would hear nothing.
            ensure!(
                sockopt::socket_type(socket)? == rustix::net::SocketType::DGRAM,
                "what was given for moq.listen is no UDP socket"
            );
        }
        Ok(estate)
    }

    /// Says that everything is ready and waits until the old process has stepped aside. Returns what
    /// must live as long as the process, and what the old one said last.
    ///
    /// # Errors
    ///
    /// When the old process does not answer; it then goes on by itself.
    pub(crate) fn begin(mut self) -> Result<(Lifeline, Farewell)> {
        self.stream.write_all(&[READY])?;
        let mut word = [0];
        let read = self.stream.read_exact(&mut word);
        read.context("the running process did not step aside")?;
        ensure!(word[0] == YOURS, "the running process said {word:?}");
        let farewell = read_text(&mut self.stream, FAREWELL_BYTES_MAX)?;
        let farewell = serde_json::from_slice(&farewell).context("its farewell")?;
        Ok((Lifeline(self.stream), farewell))
    }
}

/// Tells the old process that this one lives.
#[derive(Debug)]
pub(crate) struct Lifeline(UnixStream);

impl Lifeline {
    /// Passes connections on to the old process. Never ends, because its end is a message, too.
    pub(crate) async fn carry(self, strays: mpsc::Receiver<Stray>) {
        strays::carry(self.0, strays).await;
    }
}
