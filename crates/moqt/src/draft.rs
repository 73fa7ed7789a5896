//! The drafts and what differs between them on the wire.
//!
//! A draft is a [`Table`] of code points; codec and session ask the table and know no numbers themselves. What another
//! draft lays out differently is a branch in the codec of that message, never in the session.

/// A version of MoQT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Draft {
    /// draft-ietf-moq-transport-18.
    D18,
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
    /// Every draft this crate speaks, the preferred one first.
    pub const ALL: &'static [Self] = &[Self::D18];

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

    pub(crate) fn table(self) -> &'static Table {
        match self {
            Self::D18 => &D18,
        }
    }
}

/// Code points of one draft.
pub(crate) struct Table {
    number: u32,
    alpn: &'static str,
    varint: VarIntFlavour,
    /// Types of control messages; when a message has several, the first one is written.
    messages: &'static [(u64, MessageType)],
    params: &'static [(u64, Param)],
    pub(crate) setup: SetupCodes,
    pub(crate) properties: PropertyCodes,
    pub(crate) streams: StreamCodes,
}

/// Every control message, whatever its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageType {
    Setup,
    GoAway,
    Subscribe,
    SubscribeOk,
    Publish,
    PublishDone,
    Fetch,
    FetchOk,
    TrackStatus,
    PublishNamespace,
    SubscribeNamespace,
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
    pub(crate) mandatory: core::ops::RangeInclusive<u64>,
}

/// Types of streams and datagrams other than those with flag bits.
pub(crate) struct StreamCodes {
    pub(crate) control: u64,
    pub(crate) fetch: u64,
    pub(crate) padding: u64,
    pub(crate) padding_datagram: u64,
}

impl Table {
    pub(crate) fn message(&self, code: u64) -> Option<MessageType> {
        self.messages
            .iter()
            .find(|(number, _)| *number == code)
            .map(|(_, message)| *message)
    }

    pub(crate) fn message_code(&self, message: MessageType) -> u64 {
        let found = self
            .messages
            .iter()
            .find(|(_, candidate)| *candidate == message);
        found
            .map(|(code, _)| *code)
            .expect("each draft's table lists every message; a test checks it")
    }

    pub(crate) fn param(&self, code: u64) -> Option<Param> {
        self.params
            .iter()
            .find(|(number, _)| *number == code)
            .map(|(_, param)| *param)
    }

    /// All parameters in the order in which they stand in a message.
    pub(crate) fn params(&self) -> impl Iterator<Item = (u64, Param)> {
        self.params.iter().copied()
    }
}

/// Tables 2, 10.2, 15.4 to 15.10 of draft-ietf-moq-transport-18.
static D18: Table = Table {
    number: 18,
    alpn: "moqt-18",
    varint: VarIntFlavour::LeadingOnes,
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
        mandatory: 0x4000..=0x7fff,
    },
    streams: StreamCodes {
        control: 0x2f00,
        fetch: 0x05,
        padding: 0x132b_3e28,
        padding_datagram: 0x132b_3e29,
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draft_names_every_message_and_lists_parameters_ascending() {
        for draft in Draft::ALL {
            let table = draft.table();
            for (_, message) in table.messages {
                let code = table.message_code(*message);
                assert_eq!(table.message(code), Some(*message));
            }
            // One entry for each variant, plus the second number of REQUEST_OK.
            assert_eq!(table.messages.len(), MessageType::RequestError as usize + 2);
            assert_eq!(table.params.len(), Param::TrackNamespacePrefix as usize + 1);
            assert!(table.params.is_sorted_by(|a, b| a.0 < b.0));
        }
    }

    #[test]
    fn a_draft_is_found_by_its_alpn_and_number() {
        assert_eq!(Draft::from_alpn("moqt-18"), Some(Draft::D18));
        assert_eq!(Draft::from_alpn("moqt-1"), None);
        assert_eq!(Draft::from_number(18), Some(Draft::D18));
        assert_eq!(Draft::from_number(17), None);
    }
}
