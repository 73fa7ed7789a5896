//! Which socket of a shared port gets a packet: the one whose number is in its connection id.

#[cfg(target_os = "linux")]
pub(crate) use self::linux::route_by_connection_id;

/// Makes the kernel choose among the sockets of a port; only Linux can.
#[cfg(not(target_os = "linux"))]
pub(crate) fn route_by_connection_id(
    _socket: &std::net::UdpSocket,
    _sockets: usize,
) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{io, mem::size_of, net::UdpSocket, os::fd::AsRawFd};

    use libc::{
        BPF_A, BPF_ABS, BPF_ALU, BPF_B, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_MOD, BPF_RET,
        sock_filter, sock_fprog, socklen_t,
    };

    /// The option's number on Linux, which libc names for Android only.
    const SO_ATTACH_REUSEPORT_CBPF: libc::c_int = 51;

    /// Set in the first byte of a packet with a long header (RFC 9000 section 17.2).
    const LONG_HEADER: u32 = 0x80;

    /// Where the destination connection id begins: behind the first byte, or behind the first
    /// byte, the version and a length.
    const SHORT_CID_AT: u32 = 1;
    const LONG_CID_AT: u32 = 6;

    /// Makes the kernel choose among the `sockets` of a port. A client's very first packets carry
    /// an id of its own choice: any socket will do, as long as it is always the same.
    #[expect(
        unsafe_code,
        reason = "no library of ours has this socket option behind a safe function"
    )]
    pub(crate) fn route_by_connection_id(socket: &UdpSocket, sockets: usize) -> io::Result<()> {
        let sockets = u32::try_from(sockets).map_err(io::Error::other)?;
        let mut program = program(sockets);
        let program = sock_fprog {
            len: u16::try_from(program.len()).map_err(io::Error::other)?,
            filter: program.as_mut_ptr(),
        };
        let length = socklen_t::try_from(size_of::<sock_fprog>()).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open while `socket` is borrowed; `program` is a `sock_fprog`
        // of the length given, and what it points to lives until the call returns. The kernel
        // copies both, and checks the program.
        let set = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_ATTACH_REUSEPORT_CBPF,
                (&raw const program).cast(),
                length,
            )
        };
        if set == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Classic BPF over the UDP payload. A packet that is too short makes it return 0.
    fn program(sockets: u32) -> [sock_filter; 7] {
        [
            op(BPF_LD | BPF_B | BPF_ABS, 0),
            // A long header goes on at the next operation, a short one skips two.
            sock_filter {
                jf: 2,
                ..op(BPF_JMP | BPF_JSET | BPF_K, LONG_HEADER)
            },
            op(BPF_LD | BPF_B | BPF_ABS, LONG_CID_AT),
            op(BPF_JMP, 1),
            op(BPF_LD | BPF_B | BPF_ABS, SHORT_CID_AT),
            op(BPF_ALU | BPF_MOD | BPF_K, sockets),
            op(BPF_RET | BPF_A, 0),
        ]
    }

    fn op(code: u32, k: u32) -> sock_filter {
        sock_filter {
            // All codes are below 256.
            code: u16::try_from(code).unwrap_or(u16::MAX),
            jt: 0,
            jf: 0,
            k,
        }
    }
}
