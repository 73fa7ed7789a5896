//! Opening the ports, with an error that says which one cannot be had.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use anyhow::{Context, Result};
use tokio::net::TcpListener;

/// Listens on a TCP port. `[::]` takes IPv4 too; on a machine without IPv6 it becomes `0.0.0.0`.
///
/// # Errors
///
/// Names the key of the configuration and the address.
pub(crate) async fn tcp(key: &str, address: SocketAddr) -> Result<TcpListener> {
    let listener = match TcpListener::bind(address).await {
        Err(error) if no_such_address(&error) && is_any_v6(address) => {
            TcpListener::bind(any_v4(address)).await
        }
        other => other,
    };
    listener.with_context(|| occupied(key, "TCP", address))
}

/// Returns what to say when a port cannot be had.
pub(crate) fn occupied(key: &str, protocol: &str, address: SocketAddr) -> String {
    format!("cannot listen on {protocol} {address} ({key})")
}

fn no_such_address(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no kind of its own.
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(97)
}

fn is_any_v6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

fn any_v4(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port())
}
