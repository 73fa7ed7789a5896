//! Connections of Asterisk's that come to the new process and that the old one expects.

use std::{
    io::{IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::TcpStream,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use moqrelay_bridge::Stray;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt,
};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::manifest::StrayHead;

const STRAY: u8 = b'S';

/// Passes on what comes, until the old process is gone; ends when nothing can come any more.
pub(super) async fn carry(stream: UnixStream, mut strays: mpsc::Receiver<Stray>) {
    let stream = Arc::new(stream);
    while let Some(stray) = strays.recv().await {
        let (id, stream) = (stray.id, stream.clone());
        let sent = spawn_blocking(move || send(&stream, &stray)).await;
        match sent {
            Ok(Ok(())) => metrics::counter!("moqrelay_upgrade_passed_on_total").increment(1),
            Ok(Err(error)) => {
                let error = format!("{error:#}");
                tracing::info!(%id, error, "no earlier process is there to expect a call");
                break;
            }
            Err(error) => {
                tracing::error!(%error, "a connection could not be passed on");
                break;
            }
        }
    }
    // What comes from now on is refused at once.
    drop(strays);
    // The stream's end tells the old process that this one has ended.
    std::future::pending::<()>().await;
}

fn send(mut stream: &UnixStream, stray: &Stray) -> Result<()> {
    let head = StrayHead {
        id: stray.id.into_bytes(),
        inbox_len: stray.inbox.len(),
    };
    let head = head.encode()?;
    let fds = [stray.stream.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let word = [IoSlice::new(&[STRAY])];
    sendmsg(stream, &word, &mut ancillary, SendFlags::NOSIGNAL)?;
    stream.write_all(&head)?;
    stream.write_all(&stray.inbox)?;
    Ok(())
}

/// Waits for the next connection; `None`: the new process is gone.
///
/// # Errors
///
/// When what comes is no connection: nothing more can be read.
pub(super) fn receive(mut stream: &UnixStream) -> Result<Option<Stray>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    let mut into = [IoSliceMut::new(&mut word)];
    let got = loop {
        match recvmsg(stream, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            // Killed: what it had not read is lost.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            got => break got?,
        }
    };
    if got.bytes == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    ensure!(word == [STRAY], "it said {word:?}");
    let fd = fds.pop().context("no connection came")?;
    ensure!(
        sockopt::socket_type(&fd)? == rustix::net::SocketType::STREAM,
        "what came is no connection"
    );
    let mut head = [0; StrayHead::LEN];
    stream.read_exact(&mut head)?;
    let head = StrayHead::decode(head)?;
    let mut inbox = vec![0; head.inbox_len];
    stream.read_exact(&mut inbox)?;
    let stream = TcpStream::from(fd);
    stream.set_nonblocking(true)?;
    Ok(Some(Stray {
        id: uuid::Uuid::from_bytes(head.id),
        inbox,
        stream,
    }))
}
