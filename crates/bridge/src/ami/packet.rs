//! Packets of the manager interface: lines of `Key: value`, ended by an empty one.

/// The longest packet; one with everything about a registration has 2 KiB.
const LEN_MAX: usize = 64 << 10;

/// What ends a packet.
const END: &[u8] = b"\r\n\r\n";

/// Bytes from Asterisk, on their way to become packets.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    /// So many of them are known to hold no end.
    seen: usize,
}

/// What Asterisk says, as far as we care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The answer to an action.
    Response {
        /// Whether it was obeyed.
        success: bool,
        /// For people.
        message: String,
    },
    /// A registration of ours elsewhere.
    Registration {
        /// Its name in `pjsip.conf`.
        name: String,
        /// What has become of it, in Asterisk's words.
        status: String,
    },
    /// Those were all.
    RegistrationsEnd,
    /// Something has become of a registration.
    RegistrationChanged,
    /// Something we do not care about.
    Other,
}

/// A packet without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a packet of the manager interface is longer than {LEN_MAX} bytes")]
pub struct TooLong;

impl Inbox {
    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next packet; `None`: more bytes are needed.
    ///
    /// # Errors
    ///
    /// When the packet is too long; the stream cannot go on.
    pub fn take(&mut self) -> Result<Option<Packet>, TooLong> {
        let from = self.seen.saturating_sub(END.len() - 1);
        let rest = self.bytes.get(from..).unwrap_or_default();
        let Some(at) = rest.windows(END.len()).position(|bytes| bytes == END) else {
            self.seen = self.bytes.len();
            return match self.seen > LEN_MAX {
                true => Err(TooLong),
                false => Ok(None),
            };
        };
        let len = from + at + END.len();
        if len > LEN_MAX {
            return Err(TooLong);
        }
        let bytes: Vec<u8> = self.bytes.drain(..len).collect();
        self.seen = 0;
        Ok(Some(Packet::parse(&String::from_utf8_lossy(&bytes))))
    }
}

impl Packet {
    fn parse(text: &str) -> Self {
        let field = |wanted: &str| {
            let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
            let found = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim().to_owned())
        };
        if let Some(response) = field("Response") {
            return Self::Response {
                success: response.eq_ignore_ascii_case("Success"),
                message: field("Message").unwrap_or_default(),
            };
        }
        match field("Event").as_deref() {
            Some("OutboundRegistrationDetail") => match (field("ObjectName"), field("Status")) {
                (Some(name), Some(status)) => Self::Registration { name, status },
                _ => Self::Other,
            },
            Some("OutboundRegistrationDetailComplete") => Self::RegistrationsEnd,
            Some("Registry") => Self::RegistrationChanged,
            Some(_) | None => Self::Other,
        }
    }
}

/// Writes an action. What is not meant to be there cannot break the lines.
pub(super) fn action(name: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("Action: {name}\r\n");
    for (key, value) in fields {
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        text += &format!("{key}: {value}\r\n");
    }
    text += "\r\n";
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &[u8] = b"Asterisk Call Manager/10.0.0\r\n\
        Response: Success\r\nMessage: Authentication accepted\r\n\r\n\
        Event: OutboundRegistrationDetail\r\nObjectType: registration\r\nObjectName: carrier\r\n\
        ServerUri: sip:127.0.0.1:5070\r\nStatus: Rejected Permanent\r\nNextReg: 0\r\n\r\n\
        Event: AuthDetail\r\nPassword: secret\r\n\r\n\
        Event: OutboundRegistrationDetailComplete\r\nEventList: Complete\r\n\r\n\
        Event: Registry\r\nStatus: Registered\r\n\r\n";

    #[test]
    fn a_list_of_registrations_is_read_whatever_comes_between() {
        assert_eq!(read(&[LISTED]), wanted());
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut() {
        for at in 0..LISTED.len() {
            let (first, second) = LISTED.split_at(at);
            assert_eq!(read(&[first, second]), wanted(), "cut at {at}");
        }
    }

    #[test]
    fn what_is_no_packet_of_ours_is_passed_over() {
        let texts: [&[u8]; 4] = [
            b"\r\n\r\n",
            b":\r\n\r\n",
            b"Event\r\n\r\n",
            b"\xff\xfe:\xfd\r\n\r\n",
        ];

        assert_eq!(read(&texts), vec![Packet::Other; texts.len()]);
    }

    #[test]
    fn a_packet_without_an_end_is_given_up() {
        let mut inbox = Inbox::default();

        inbox.push(&vec![b'x'; LEN_MAX + 1]);

        assert_eq!(inbox.take(), Err(TooLong));
    }

    #[test]
    fn a_value_cannot_begin_another_line() {
        let text = action("Login", &[("Secret", "x\r\nAction: Originate")]);

        assert_eq!(text, b"Action: Login\r\nSecret: xAction: Originate\r\n\r\n");
    }

    fn wanted() -> Vec<Packet> {
        vec![
            Packet::Response {
                success: true,
                message: "Authentication accepted".into(),
            },
            Packet::Registration {
                name: "carrier".into(),
                status: "Rejected Permanent".into(),
            },
            Packet::Other,
            Packet::RegistrationsEnd,
            Packet::RegistrationChanged,
        ]
    }

    fn read(pieces: &[&[u8]]) -> Vec<Packet> {
        let mut inbox = Inbox::default();
        let mut packets = Vec::new();
        for piece in pieces {
            inbox.push(piece);
            while let Some(packet) = inbox.take().unwrap() {
                packets.push(packet);
            }
        }
        packets
    }
}
