//! Ports and what the system gives their sockets.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use rustix::net::sockopt;

use super::Report;
use crate::config::Config;

/// Hundreds of sessions, each with a burst of voice in the moment the process is not at work.
pub(super) const UDP_BUFFER_MIN: usize = 2 << 20;

/// How long the daemon on this machine may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Returns whether a daemon with this configuration runs: its metrics are there.
pub(super) fn daemon_runs(config: &Config) -> bool {
    let addr = reachable(config.metrics.listen);
    let asked = || -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&addr, ANSWER_TIME)?;
        stream.set_read_timeout(Some(ANSWER_TIME))?;
        stream.set_write_timeout(Some(ANSWER_TIME))?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        // Enough to see whose metrics they are.
        stream.take(64 << 10).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    asked().is_ok_and(|answer| answer.contains("moqrelay_"))
}

/// Where a listener is reached from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Looks whether every port can be had.
pub(super) fn look(report: &mut Report, config: &Config, runs: bool) {
    let tcp = |addr| TcpListener::bind(addr).map(drop);
    let udp = |addr| UdpSocket::bind(addr).map(drop);
    port(report, "moq.listen", "UDP", config.moq.listen, udp, runs);
    for (key, addr) in [
        ("http.listen", config.http.listen),
        ("metrics.listen", config.metrics.listen),
        ("asterisk.audiosocket", config.asterisk.audiosocket),
    ] {
        port(report, key, "TCP", addr, tcp, runs);
    }
}

fn port(
    report: &mut Report,
    key: &str,
    protocol: &str,
    addr: SocketAddr,
    bind: impl Fn(SocketAddr) -> io::Result<()>,
    runs: bool,
) {
    let place = format!("{protocol} {addr}");
    match bind(addr) {
        Ok(()) => report.good(key, format!("{place} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && runs => {
            report.good(key, format!("{place} is in use by the running daemon"));
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let show = if protocol == "UDP" { "-ulnp" } else { "-tlnp" };
            let port = addr.port();
            report.bad(
                key,
                format!("{place} is taken by another program"),
                format!(
                    "end that program (`ss {show} 'sport = :{port}'` names it), or give {key} another port"
                ),
            );
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => report.bad(
            key,
            format!("{place} may not be opened by this user"),
            format!(
                "give {key} a port from 1024 on, or the program the right to low ports (AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit)"
            ),
        ),
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => report.bad(
            key,
            format!("{} is no address of this machine", addr.ip()),
            format!("give {key} one of the addresses that `ip address` shows, or 0.0.0.0"),
        ),
        // The daemon listens on IPv4 alone then.
        Err(_) if addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            report.good(key, format!("{place}: this machine has no IPv6"));
        }
        Err(error) => report.bad(
            key,
            format!("{place} cannot be opened: {error}"),
            format!("give {key} another address"),
        ),
    }
}

/// Looks how much the system lets wait in a UDP socket.
pub(super) fn udp_buffers(report: &mut Report, wanted: usize) {
    for (direction, key, given) in [
        ("receive", "net.core.rmem_max", given(wanted, Direction::In)),
        ("send", "net.core.wmem_max", given(wanted, Direction::Out)),
    ] {
        let check = format!("UDP {direction} buffer");
        match given {
            Ok(given) if given >= wanted => {
                report.good(check, format!("the system gives {wanted} bytes"));
            }
            Ok(given) => report.bad(
                check,
                format!("the system gives {given} bytes of the {wanted} that are needed: packets are lost when many come at once"),
                format!("`sysctl -w {key}={wanted}`, and the same line in /etc/sysctl.d/moqrelay.conf"),
            ),
            Err(error) => report.skipped(check, format!("cannot be looked at: {error}")),
        }
    }
}

enum Direction {
    In,
    Out,
}

/// Returns how much of it a socket really gets. Linux counts its own book-keeping in, and so doubles
/// what it is asked for.
fn given(wanted: usize, direction: Direction) -> io::Result<usize> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let counted = match direction {
        Direction::In => {
            sockopt::set_socket_recv_buffer_size(&socket, wanted)?;
            sockopt::socket_recv_buffer_size(&socket)?
        }
        Direction::Out => {
            sockopt::set_socket_send_buffer_size(&socket, wanted)?;
            sockopt::socket_send_buffer_size(&socket)?
        }
    };
    Ok(match cfg!(target_os = "linux") {
        true => counted / 2,
        false => counted,
    })
}
