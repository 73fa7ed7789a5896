//! The drafts and what differs between them on the wire.
//!
//! A draft is a [`Table`] of code points; codec and session ask the table and know no numbers themselves. What another
//! draft lays out differently is a branch in the codec of that message. The session knows one difference only: one
//! control stream for everything ([`Draft::one_control_stream`]) or a stream for each request.

/// A version of MoQT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Draft {
    /// draft-ietf-moq-transport-14.
    D14,
    /// draft-ietf-moq-transport-16.
    D16,
    /// draft-ietf-moq-transport-18.
    D18,
    /// draft-ietf-moq-transport-19: for those who ask for it by name.
    D19,
}

/// How a draft writes variable-length integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VarIntFlavour {
    /// The number of leading ones of the first byte is the number of bytes that follow; 64 bits (draft 17 and later).
    LeadingOnes,
    /// RFC 9000: the first two bits tell the length; 62 bits (draft 16 and earlier).
    Quic,
}

impl Draft {
    /// Every draft this crate speaks.
    pub const ALL: &'static [Self] = &[Self::D18, Self::D16, Self::D14, Self::D19];

    /// What is offered to everyone, the preferred one first. See `docs/adr/0014-draft-19.md`.
    pub const OFFERED: &'static [Self] = &[Self::D18, Self::D16, Self::D14];

    /// Returns the ALPN of raw QUIC, which is also the WebTransport subprotocol.
    pub fn alpn(self) -> &'static str {
        self.table().alpn
    }

    /// Returns the draft with that ALPN or WebTransport subprotocol.
    pub fn from_alpn(alpn: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|draft| draft.alpn() == alpn)
    }

    /// Returns the draft's number: 18.
    pub fn number(self) -> u32 {
        self.table().number
    }

    /// Returns the draft with that number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|draft| draft.number() == number)
    }

    /// Returns how this draft writes integers.
    pub fn varint(self) -> VarIntFlavour {
        self.table().varint
    }

    /// Returns true when one bidirectional stream carries all control messages, and they name the requests they are
    /// about (draft 16 and earlier).
    pub fn one_control_stream(self) -> bool {
        self.table().setup.max_request_id.is_some()
    }

    /// Returns the version number in SETUP, for drafts that are not told apart by ALPN (14).
    pub(crate) fn version(self) -> Option<u64> {
        match self {
            Self::D14 => Some(0xff00_000e),
            Self::D16 | Self::D18 | Self::D19 => None,
        }
    }

    pub(crate) fn table(self) -> &'static Table {
        match self {
            Self::D14 => &D14,
            Self::D16 => &D16,
            Self::D18 => &D18,
            Self::D19 => &D19,
        }
    }

    /// Returns true when several subscriptions of one side to a track may be open (draft 19).
    pub(crate) fn shares_tracks(self) -> bool {
        self.table().setup.request_updates_max.is_some()
    }
}

/// Code points of one draft.
pub(crate) struct Table {
    /// GOAWAY on the control stream says which requests were not processed.
    pub(crate) goaway_names_request: bool,
    number: u32,
    alpn: &'static str,
    varint: VarIntFlavour,
    pub(crate) keys: Keys,
    pub(crate) layout: Layout,
    /// Types of control messages; when a message has several, the first one is written.
    messages: &'static [(u64, MessageType)],
    params: &'static [(u64, Param)],
    pub(crate) setup: SetupCodes,
    pub(crate) properties: PropertyCodes,
    pub(crate) streams: StreamCodes,
}

/// How the keys of key-value pairs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// As the difference to the key before.
    Delta,
    /// As they are (draft 14).
    Plain,
}

/// How message parameters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Each has the form of its own type (draft 17 and later).
    Typed,
    /// Key-value pairs (15 and 16).
    Pairs,
    /// Most of them are fixed fields of their messages, the others key-value pairs (14).
    Fields,
}

/// Every control message, whatever its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageType {
    Setup,
    ClientSetup,
    ServerSetup,
    GoAway,
    MaxRequestId,
    RequestsBlocked,
    Subscribe,
    SubscribeOk,
    SubscribeError,
    Unsubscribe,
    Publish,
    PublishOk,
    PublishError,
    PublishDone,
    Fetch,
    FetchOk,
    FetchError,
    FetchCancel,
    TrackStatus,
    TrackStatusOk,
    TrackStatusError,
    PublishNamespace,
    PublishNamespaceOk,
    PublishNamespaceError,
    PublishNamespaceDone,
    PublishNamespaceCancel,
    SubscribeNamespace,
    SubscribeNamespaceOk,
    SubscribeNamespaceError,
    UnsubscribeNamespace,
    SubscribeTracks,
    Namespace,
    NamespaceDone,
    PublishBlocked,
    RequestUpdate,
    RequestOk,
    RequestError,
}

/// Every message parameter, whatever its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Param {
    ObjectDeliveryTimeout,
    AuthorizationToken,
    RendezvousTimeout,
    SubgroupDeliveryTimeout,
    Expires,
    LargestObject,
    FillTimeout,
    Forward,
    SubscriberPriority,
    SubscriptionFilter,
    GroupOrder,
    SubgroupFilter,
    ObjectIdFilter,
    PriorityFilter,
    ObjectPropertyFilter,
    TrackPropertyFilter,
    NewGroupRequest,
    TrackNamespacePrefix,
}

/// Keys of SETUP.
pub(crate) struct SetupCodes {
    pub(crate) path: u64,
    pub(crate) authorization_token: u64,
    pub(crate) auth_token_cache_size_max: u64,
    pub(crate) authority: u64,
    pub(crate) implementation: u64,
    /// Only with [`Draft::one_control_stream`].
    pub(crate) max_request_id: Option<u64>,
    /// MAX_FILTER_RANGES (draft 19).
    pub(crate) filter_ranges_max: Option<u64>,
    /// MAX_REQUEST_UPDATES (draft 19).
    pub(crate) request_updates_max: Option<u64>,
}

/// Keys of properties.
pub(crate) struct PropertyCodes {
    pub(crate) object_delivery_timeout: u64,
    pub(crate) cache_duration_max: u64,
    pub(crate) subgroup_delivery_timeout: u64,
    pub(crate) immutable: u64,
    pub(crate) publisher_priority: u64,
    pub(crate) group_order: u64,
    pub(crate) dynamic_groups: u64,
    pub(crate) prior_group_gap: u64,
    pub(crate) prior_object_gap: u64,
    pub(crate) mandatory: core::ops::Range<u64>,
}

/// Types of streams and datagrams. Those of subgroups and objects are bits, the same ones in every draft.
pub(crate) struct StreamCodes {
    /// Unidirectional control streams.
    pub(crate) control: Option<u64>,
    pub(crate) fetch: u64,
    pub(crate) padding: Option<u64>,
    pub(crate) padding_datagram: Option<u64>,
    /// Bits that a subgroup stream's type may have.
    pub(crate) subgroup: u64,
    /// Bits that an object datagram's type may have.
    pub(crate) datagram: u64,
}

impl Table {
    pub(crate) fn message(&self, code: u64) -> Option<MessageType> {
        self.messages
            .iter()
            .find(|(number, _)| *number == code)
            .map(|(_, message)| *message)
    }

    /// Returns the number to write; `None`: the draft has no such message.
    pub(crate) fn message_code(&self, message: MessageType) -> Option<u64> {
        self.messages
            .iter()
            .find(|(_, candidate)| *candidate == message)
            .map(|(code, _)| *code)
    }

    pub(crate) fn param(&self, code: u64) -> Option<Param> {
        self.params
            .iter()
            .find(|(number, _)| *number == code)
            .map(|(_, param)| *param)
    }

    /// `None`: the draft has no such parameter.
    pub(crate) fn param_code(&self, param: Param) -> Option<u64> {
        self.params
            .iter()
            .find(|(_, candidate)| *candidate == param)
            .map(|(number, _)| *number)
    }

    /// All parameters in the order in which they stand in a message.
    pub(crate) fn params(&self) -> impl Iterator<Item = (u64, Param)> {
        self.params.iter().copied()
    }
}

/// Tables 2, 10.2, 15.4 to 15.10 of draft-ietf-moq-transport-18.
static D18: Table = EIGHTEEN;

const EIGHTEEN: Table = Table {
    goaway_names_request: true,
    number: 18,
    alpn: "moqt-18",
    varint: VarIntFlavour::LeadingOnes,
    keys: Keys::Delta,
    layout: Layout::Typed,
    messages: &[
        (0x2f00, MessageType::Setup),
        (0x10, MessageType::GoAway),
        (0x3, MessageType::Subscribe),
        (0x4, MessageType::SubscribeOk),
        (0x1d, MessageType::Publish),
        (0xb, MessageType::PublishDone),
        (0x16, MessageType::Fetch),
        (0x18, MessageType::FetchOk),
        (0xd, MessageType::TrackStatus),
        (0x6, MessageType::PublishNamespace),
        (0x50, MessageType::SubscribeNamespace),
        (0x51, MessageType::SubscribeTracks),
        (0x8, MessageType::Namespace),
        (0xe, MessageType::NamespaceDone),
        (0xf, MessageType::PublishBlocked),
        (0x2, MessageType::RequestUpdate),
        (0x7, MessageType::RequestOk),
        // The table of messages still gives PUBLISH_OK a number of its own although its section is REQUEST_OK's.
        (0x1e, MessageType::RequestOk),
        (0x5, MessageType::RequestError),
    ],
    params: &[
        (0x02, Param::ObjectDeliveryTimeout),
        (0x03, Param::AuthorizationToken),
        (0x04, Param::RendezvousTimeout),
        (0x06, Param::SubgroupDeliveryTimeout),
        (0x08, Param::Expires),
        (0x09, Param::LargestObject),
        (0x0a, Param::FillTimeout),
        (0x10, Param::Forward),
        (0x20, Param::SubscriberPriority),
        (0x21, Param::SubscriptionFilter),
        (0x22, Param::GroupOrder),
        (0x32, Param::NewGroupRequest),
        (0x34, Param::TrackNamespacePrefix),
    ],
    setup: SetupCodes {
        path: 0x01,
        authorization_token: 0x03,
        auth_token_cache_size_max: 0x04,
        authority: 0x05,
        implementation: 0x07,
        max_request_id: None,
        filter_ranges_max: None,
        request_updates_max: None,
    },
    properties: PropertyCodes {
        object_delivery_timeout: 0x02,
        cache_duration_max: 0x04,
        subgroup_delivery_timeout: 0x06,
        immutable: 0x0b,
        publisher_priority: 0x0e,
        group_order: 0x22,
        dynamic_groups: 0x30,
        prior_group_gap: 0x3c,
        prior_object_gap: 0x3e,
        mandatory: 0x4000..0x8000,
    },
    streams: StreamCodes {
        control: Some(0x2f00),
        fetch: 0x05,
        padding: Some(0x132b_3e28),
        padding_datagram: Some(0x132b_3e29),
        subgroup: 0x7f,
        datagram: 0x2f,
    },
};

/// What draft-ietf-moq-transport-19 has in another way than 18: the same tables.
static D19: Table = Table {
    goaway_names_request: false,
    number: 19,
    alpn: "moqt-19",
    messages: &[
        (0x2f00, MessageType::Setup),
        (0x10, MessageType::GoAway),
        (0x3, MessageType::Subscribe),
        (0x4, MessageType::SubscribeOk),
        (0x1d, MessageType::Publish),
        (0xb, MessageType::PublishDone),
        (0x16, MessageType::Fetch),
        (0x18, MessageType::FetchOk),
        (0xd, MessageType::TrackStatus),
        (0x6, MessageType::PublishNamespace),
        (0x50, MessageType::SubscribeNamespace),
        (0x51, MessageType::SubscribeTracks),
        (0x8, MessageType::Namespace),
        (0xe, MessageType::NamespaceDone),
        (0xf, MessageType::PublishBlocked),
        (0x2, MessageType::RequestUpdate),
        (0x7, MessageType::RequestOk),
        (0x5, MessageType::RequestError),
    ],
    params: &[
        (0x02, Param::ObjectDeliveryTimeout),
        (0x03, Param::AuthorizationToken),
        (0x04, Param::RendezvousTimeout),
        (0x06, Param::SubgroupDeliveryTimeout),
        (0x08, Param::Expires),
        (0x09, Param::LargestObject),
        (0x0a, Param::FillTimeout),
        (0x10, Param::Forward),
        (0x20, Param::SubscriberPriority),
        (0x21, Param::SubscriptionFilter),
        (0x22, Param::GroupOrder),
        (0x25, Param::SubgroupFilter),
        (0x26, Param::ObjectIdFilter),
        (0x27, Param::PriorityFilter),
        (0x28, Param::ObjectPropertyFilter),
        (0x29, Param::TrackPropertyFilter),
        (0x32, Param::NewGroupRequest),
        (0x34, Param::TrackNamespacePrefix),
    ],
    setup: SetupCodes {
        filter_ranges_max: Some(0x06),
        request_updates_max: Some(0x08),
        ..EIGHTEEN.setup
    },
    ..EIGHTEEN
};

/// Section 9's table, 9.2 and 13 of draft-ietf-moq-transport-16.
static D16: Table = Table {
    goaway_names_request: false,
    number: 16,
    alpn: "moqt-16",
    varint: VarIntFlavour::Quic,
    keys: Keys::Delta,
    layout: Layout::Pairs,
    messages: &[
        (0x20, MessageType::ClientSetup),
        (0x21, MessageType::ServerSetup),
        (0x10, MessageType::GoAway),
        (0x15, MessageType::MaxRequestId),
        (0x1a, MessageType::RequestsBlocked),
        (0x7, MessageType::RequestOk),
        (0x5, MessageType::RequestError),
        (0x3, MessageType::Subscribe),
        (0x4, MessageType::SubscribeOk),
        (0x2, MessageType::RequestUpdate),
        (0xa, MessageType::Unsubscribe),
        (0x1d, MessageType::Publish),
        (0x1e, MessageType::PublishOk),
        (0xb, MessageType::PublishDone),
        (0x16, MessageType::Fetch),
        (0x18, MessageType::FetchOk),
        (0x17, MessageType::FetchCancel),
        (0xd, MessageType::TrackStatus),
        (0x6, MessageType::PublishNamespace),
        (0x8, MessageType::Namespace),
        (0x9, MessageType::PublishNamespaceDone),
        (0xe, MessageType::NamespaceDone),
        (0xc, MessageType::PublishNamespaceCancel),
        (0x11, MessageType::SubscribeNamespace),
    ],
    params: &[
        (0x02, Param::ObjectDeliveryTimeout),
        (0x03, Param::AuthorizationToken),
        (0x08, Param::Expires),
        (0x09, Param::LargestObject),
        (0x10, Param::Forward),
        (0x20, Param::SubscriberPriority),
        (0x21, Param::SubscriptionFilter),
        (0x22, Param::GroupOrder),
        (0x32, Param::NewGroupRequest),
    ],
    setup: OLD_SETUP,
    properties: OLD_PROPERTIES,
    streams: StreamCodes {
        subgroup: 0x3f,
        datagram: 0x2f,
        ..OLD_STREAMS
    },
};

/// Section 9's table, 9.2.1 and 10 of draft-ietf-moq-transport-14.
static D14: Table = Table {
    goaway_names_request: false,
    number: 14,
    alpn: "moq-00",
    varint: VarIntFlavour::Quic,
    keys: Keys::Plain,
    layout: Layout::Fields,
    messages: &[
        (0x20, MessageType::ClientSetup),
        (0x21, MessageType::ServerSetup),
        (0x10, MessageType::GoAway),
        (0x15, MessageType::MaxRequestId),
        (0x1a, MessageType::RequestsBlocked),
        (0x3, MessageType::Subscribe),
        (0x4, MessageType::SubscribeOk),
        (0x5, MessageType::SubscribeError),
        (0x2, MessageType::RequestUpdate),
        (0xa, MessageType::Unsubscribe),
        (0xb, MessageType::PublishDone),
        (0x1d, MessageType::Publish),
        (0x1e, MessageType::PublishOk),
        (0x1f, MessageType::PublishError),
        (0x16, MessageType::Fetch),
        (0x18, MessageType::FetchOk),
        (0x19, MessageType::FetchError),
        (0x17, MessageType::FetchCancel),
        (0xd, MessageType::TrackStatus),
        (0xe, MessageType::TrackStatusOk),
        (0xf, MessageType::TrackStatusError),
        (0x6, MessageType::PublishNamespace),
        (0x7, MessageType::PublishNamespaceOk),
        (0x8, MessageType::PublishNamespaceError),
        (0x9, MessageType::PublishNamespaceDone),
        (0xc, MessageType::PublishNamespaceCancel),
        (0x11, MessageType::SubscribeNamespace),
        (0x12, MessageType::SubscribeNamespaceOk),
        (0x13, MessageType::SubscribeNamespaceError),
        (0x14, MessageType::UnsubscribeNamespace),
    ],
    params: &[
        (0x02, Param::ObjectDeliveryTimeout),
        (0x03, Param::AuthorizationToken),
    ],
    setup: OLD_SETUP,
    // Draft 14 has no track properties: its fields and parameters are turned into these (`message::codec::fields`).
    properties: OLD_PROPERTIES,
    streams: StreamCodes {
        subgroup: 0x1f,
        datagram: 0x27,
        ..OLD_STREAMS
    },
};

/// Draft 14 gives 0x05 to MOQT_IMPLEMENTATION, too; the later number is the one in use.
const OLD_SETUP: SetupCodes = SetupCodes {
    path: 0x01,
    authorization_token: 0x03,
    auth_token_cache_size_max: 0x04,
    authority: 0x05,
    implementation: 0x07,
    max_request_id: Some(0x02),
    filter_ranges_max: None,
    request_updates_max: None,
};

const OLD_PROPERTIES: PropertyCodes = PropertyCodes {
    object_delivery_timeout: 0x02,
    cache_duration_max: 0x04,
    subgroup_delivery_timeout: 0x06,
    immutable: 0x0b,
    publisher_priority: 0x0e,
    group_order: 0x22,
    dynamic_groups: 0x30,
    prior_group_gap: 0x3c,
    prior_object_gap: 0x3e,
    mandatory: 0..0,
};

const OLD_STREAMS: StreamCodes = StreamCodes {
    control: None,
    fetch: 0x05,
    padding: None,
    padding_datagram: None,
    subgroup: 0,
    datagram: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: [&Table; 4] = [&D14, &D16, &D18, &D19];

    #[test]
    fn a_number_stands_for_one_message_and_parameters_ascend() {
        for table in TABLES {
            for (code, message) in table.messages {
                assert_eq!(table.message(*code), Some(*message));
                let written = table.message_code(*message).unwrap();
                assert_eq!(table.message(written), Some(*message));
            }
            assert!(table.params.is_sorted_by(|a, b| a.0 < b.0));
        }
        assert_eq!(D19.params.len(), Param::TrackNamespacePrefix as usize + 1);
    }

    #[test]
    fn a_draft_is_found_by_its_alpn_and_number() {
        assert_eq!(Draft::from_alpn("moqt-18"), Some(Draft::D18));
        assert_eq!(Draft::from_alpn("moqt-1"), None);
        assert_eq!(Draft::from_number(18), Some(Draft::D18));
        assert_eq!(Draft::from_number(17), None);
        assert_eq!(Draft::from_number(19), Draft::from_alpn("moqt-19"));
        assert!(!Draft::OFFERED.contains(&Draft::D19));
    }
}
