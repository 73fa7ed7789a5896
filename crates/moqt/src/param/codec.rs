//! Writing and reading parameters, and where each may stand.

use bytes::Bytes;

use super::{Filter, GroupOrder, Parameters, RangeFilter, RangeKind, Scope};
use crate::{
    DecodeError, Draft, EncodeError, Token,
    draft::{Layout, Param},
    kvp::next_key,
    wire::{Reader, Writer},
};

impl Scope {
    /// Returns the name for error messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "SUBSCRIBE",
            Self::SubscribeOk => "SUBSCRIBE_OK",
            Self::Publish => "PUBLISH",
            Self::PublishOk => "PUBLISH_OK",
            Self::Fetch => "FETCH",
            Self::FetchOk => "FETCH_OK",
            Self::TrackStatus => "TRACK_STATUS",
            Self::TrackStatusOk => "TRACK_STATUS_OK",
            Self::PublishNamespace => "PUBLISH_NAMESPACE",
            Self::SubscribeNamespace => "SUBSCRIBE_NAMESPACE",
            Self::SubscribeTracks => "SUBSCRIBE_TRACKS",
            Self::NamespaceOk | Self::AnyOk => "REQUEST_OK",
            Self::UpdateSubscription
            | Self::UpdateFetch
            | Self::UpdatePublishNamespace
            | Self::UpdatePrefix
            | Self::AnyUpdate => "REQUEST_UPDATE",
            Self::UpdateOk => "REQUEST_UPDATE_OK",
        }
    }

    fn is_update(self) -> bool {
        matches!(
            self,
            Self::UpdateSubscription
                | Self::UpdateFetch
                | Self::UpdatePublishNamespace
                | Self::UpdatePrefix
        )
    }

    /// The definitions of section 10.2, one arm each.
    fn allows(self, draft: Draft, param: Param) -> bool {
        let nineteen = draft.shares_tracks();
        match self {
            Self::AnyOk => {
                return [
                    Self::PublishOk,
                    Self::TrackStatusOk,
                    Self::NamespaceOk,
                    Self::UpdateOk,
                ]
                .iter()
                .any(|scope| scope.allows(draft, param));
            }
            Self::AnyUpdate => {
                return [
                    Self::UpdateSubscription,
                    Self::UpdateFetch,
                    Self::UpdatePrefix,
                ]
                .iter()
                .any(|scope| scope.allows(draft, param));
            }
            _ => {}
        }
        match param {
            // Whatever a subscription may begin with is a default for those to come (section 10.19.1 of draft 19).
            _ if nineteen
                && self == Self::SubscribeTracks
                && Self::Subscribe.allows(draft, param) =>
            {
                true
            }
            Param::ObjectDeliveryTimeout | Param::SubgroupDeliveryTimeout => {
                matches!(self, Self::PublishOk | Self::Subscribe) || self.is_update()
            }
            Param::AuthorizationToken => {
                matches!(
                    self,
                    Self::Publish
                        | Self::Subscribe
                        | Self::SubscribeNamespace
                        | Self::SubscribeTracks
                        | Self::PublishNamespace
                        | Self::TrackStatus
                        | Self::Fetch
                ) || self.is_update()
            }
            Param::RendezvousTimeout => matches!(self, Self::Subscribe),
            // TRACK_STATUS_OK has "the same parameters" as SUBSCRIBE_OK (section 10.15).
            Param::Expires if nineteen && self == Self::NamespaceOk => true,
            Param::Expires => matches!(
                self,
                Self::SubscribeOk
                    | Self::Publish
                    | Self::PublishOk
                    | Self::UpdateOk
                    | Self::TrackStatusOk
            ),
            Param::LargestObject => {
                matches!(
                    self,
                    Self::SubscribeOk | Self::Publish | Self::UpdateOk | Self::TrackStatusOk
                )
            }
            Param::FillTimeout => matches!(self, Self::Fetch),
            Param::Forward => matches!(
                self,
                Self::Subscribe
                    | Self::UpdateSubscription
                    | Self::Publish
                    | Self::PublishOk
                    | Self::SubscribeTracks
            ),
            Param::SubscriberPriority => matches!(
                self,
                Self::Subscribe
                    | Self::Fetch
                    | Self::UpdateSubscription
                    | Self::UpdateFetch
                    | Self::PublishOk
            ),
            Param::SubscriptionFilter | Param::NewGroupRequest => {
                matches!(
                    self,
                    Self::Subscribe | Self::PublishOk | Self::UpdateSubscription
                )
            }
            // Draft 19 moves it from the answer to an offer to the offer (section 10.19.1).
            Param::GroupOrder if nineteen => {
                matches!(self, Self::Subscribe | Self::Publish | Self::Fetch)
            }
            Param::GroupOrder => matches!(self, Self::Subscribe | Self::PublishOk | Self::Fetch),
            Param::SubgroupFilter
            | Param::ObjectIdFilter
            | Param::PriorityFilter
            | Param::ObjectPropertyFilter => matches!(
                self,
                Self::Subscribe | Self::Fetch | Self::PublishOk | Self::UpdateSubscription
            ),
            Param::TrackPropertyFilter => {
                matches!(self, Self::SubscribeTracks | Self::UpdatePrefix)
            }
            Param::TrackNamespacePrefix => matches!(self, Self::UpdatePrefix),
        }
    }
}

impl Parameters {
    /// Checks that each parameter may stand in `scope`.
    pub(crate) fn check(&self, draft: Draft, scope: Scope) -> Result<(), DecodeError> {
        match self.misplaced(draft, scope) {
            Some(code) => Err(DecodeError::MisplacedParameter(code, scope.name())),
            None => Ok(()),
        }
    }

    /// The same for what we are asked to send.
    pub(crate) fn check_to_write(&self, draft: Draft, scope: Scope) -> Result<(), EncodeError> {
        match self.misplaced(draft, scope) {
            Some(code) => Err(EncodeError::MisplacedParameter(code, scope.name())),
            None => Ok(()),
        }
    }

    /// Reads parameters and checks that they may stand in `scope`.
    ///
    /// Up to draft 16 those that do not belong there are ignored, up to 14 unknown ones, too.
    pub(crate) fn read(reader: &mut Reader, scope: Scope) -> Result<Self, DecodeError> {
        let draft = reader.draft;
        let table = draft.table();
        let mut params = Self::default();
        let mut elsewhere = Self::default();
        let mut seen = 0_u32;
        let mut code = 0_u64;
        let count = reader.varint("number of parameters")?;
        // Each parameter takes two bytes at least, so the message's length bounds the loop.
        for _ in 0..count {
            let mut value;
            let value = match table.layout {
                Layout::Typed => {
                    let written = reader.varint("parameter type")?;
                    code = next_key(reader.draft, "parameter type", code, written)?;
                    &mut *reader
                }
                Layout::Pairs | Layout::Fields => {
                    let pair = reader.pair(code)?;
                    code = pair.key;
                    value = Reader::pair_value(reader.draft, pair.value);
                    &mut value
                }
            };
            let Some(param) = table.param(code) else {
                if table.layout == Layout::Fields {
                    continue;
                }
                return Err(DecodeError::UnknownParameter(code));
            };
            let allowed = scope.allows(draft, param);
            if !allowed && table.layout == Layout::Typed {
                return Err(DecodeError::MisplacedParameter(code, scope.name()));
            }
            let bit = 1 << param as u32;
            let repeats = param == Param::AuthorizationToken || RangeKind::of(param).is_some();
            if seen & bit != 0 && !repeats {
                return Err(DecodeError::DuplicateParameter(code));
            }
            seen |= bit;
            let target = if allowed { &mut params } else { &mut elsewhere };
            target.read_value(value, param)?;
            if table.layout != Layout::Typed {
                value
                    .end()
                    .map_err(|_| DecodeError::KeyValueFormat("message parameter"))?;
            }
        }
        Ok(params)
    }

    /// Writes the parameters; those that the draft does not have are left out.
    pub(crate) fn write(&self, writer: &mut Writer<'_>, scope: Scope) -> Result<(), EncodeError> {
        let draft = writer.draft;
        self.check_to_write(draft, scope)?;
        let table = draft.table();
        let count: usize = table
            .params()
            .map(|(_, param)| self.count(draft, param))
            .sum();
        writer.varint(count as u64);
        let mut last = 0;
        for (code, param) in table.params() {
            for index in 0..self.count(draft, param) {
                match table.layout {
                    Layout::Typed => {
                        writer.varint(code - last);
                        last = code;
                        self.write_value(writer, param, index)?;
                    }
                    Layout::Pairs | Layout::Fields => {
                        self.write_pair(writer, &mut last, (code, param), index)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a parameter as a key-value pair: bytes get a length, and all numbers are integers of variable length.
    fn write_pair(
        &self,
        writer: &mut Writer<'_>,
        last: &mut u64,
        (code, param): (u64, Param),
        index: usize,
    ) -> Result<(), EncodeError> {
        match param {
            Param::Forward => {
                writer.int_pair(last, code, self.forward.unwrap_or_default().into());
            }
            Param::SubscriberPriority => {
                let priority = self.subscriber_priority.unwrap_or_default();
                writer.int_pair(last, code, priority.into());
            }
            Param::GroupOrder => {
                let order = self.group_order.unwrap_or_default();
                writer.int_pair(last, code, order.to_code().into());
            }
            Param::LargestObject => {
                let mut out = bytes::BytesMut::new();
                let mut value = Writer {
                    draft: writer.draft,
                    out: &mut out,
                };
                value.location(self.largest_object.unwrap_or_default());
                writer.bytes_pair(last, code, &out)?;
            }
            // These already have the form that their keys demand.
            Param::ObjectDeliveryTimeout
            | Param::AuthorizationToken
            | Param::RendezvousTimeout
            | Param::SubgroupDeliveryTimeout
            | Param::Expires
            | Param::FillTimeout
            | Param::SubscriptionFilter
            | Param::SubgroupFilter
            | Param::ObjectIdFilter
            | Param::PriorityFilter
            | Param::ObjectPropertyFilter
            | Param::TrackPropertyFilter
            | Param::NewGroupRequest
            | Param::TrackNamespacePrefix => {
                writer.key(last, code);
                self.write_value(writer, param, index)?;
            }
        }
        Ok(())
    }

    fn misplaced(&self, draft: Draft, scope: Scope) -> Option<u64> {
        let mut present = draft
            .table()
            .params()
            .filter(|(_, param)| self.count(draft, *param) > 0);
        present
            .find(|(_, param)| !scope.allows(draft, *param))
            .map(|(code, _)| code)
    }

    /// How often a parameter is present.
    fn count(&self, draft: Draft, param: Param) -> usize {
        let present = match param {
            Param::AuthorizationToken => return self.authorization.len(),
            Param::SubgroupFilter
            | Param::ObjectIdFilter
            | Param::PriorityFilter
            | Param::ObjectPropertyFilter
            | Param::TrackPropertyFilter => return self.range_filters_of(param).count(),
            // Up to draft 16 there is no zero: its absence is what later drafts call zero.
            Param::ObjectDeliveryTimeout if draft.one_control_stream() => self
                .object_delivery_timeout
                .is_some_and(|timeout| !timeout.is_zero()),
            Param::ObjectDeliveryTimeout => self.object_delivery_timeout.is_some(),
            Param::RendezvousTimeout => self.rendezvous_timeout.is_some(),
            Param::SubgroupDeliveryTimeout => self.subgroup_delivery_timeout.is_some(),
            Param::Expires => self.expires.is_some(),
            Param::LargestObject => self.largest_object.is_some(),
            Param::FillTimeout => self.fill_timeout.is_some(),
            Param::Forward => self.forward.is_some(),
            Param::SubscriberPriority => self.subscriber_priority.is_some(),
            Param::SubscriptionFilter => self.filter.is_some(),
            Param::GroupOrder => self.group_order.is_some(),
            Param::NewGroupRequest => self.new_group_request.is_some(),
            Param::TrackNamespacePrefix => self.prefix.is_some(),
        };
        usize::from(present)
    }

    fn range_filters_of(&self, param: Param) -> impl Iterator<Item = &RangeFilter> {
        let kind = RangeKind::of(param);
        let filters = self.range_filters.iter();
        filters.filter(move |filter| Some(filter.kind) == kind)
    }

    fn read_value(&mut self, reader: &mut Reader, param: Param) -> Result<(), DecodeError> {
        let typed = reader.draft.table().layout == Layout::Typed;
        match param {
            Param::ObjectDeliveryTimeout => {
                let timeout = reader.milliseconds("OBJECT_DELIVERY_TIMEOUT")?;
                if timeout.is_zero() && reader.draft == Draft::D16 {
                    return Err(DecodeError::Forbidden("DELIVERY_TIMEOUT", 0));
                }
                // What draft 14 calls zero is what its absence means.
                let is_none = timeout.is_zero() && !typed;
                self.object_delivery_timeout = (!is_none).then_some(timeout);
            }
            Param::AuthorizationToken => {
                let token = reader.value("AUTHORIZATION_TOKEN")?;
                self.authorization.push(Token::decode(reader.draft, token)?);
            }
            Param::RendezvousTimeout => {
                self.rendezvous_timeout = Some(reader.milliseconds("RENDEZVOUS_TIMEOUT")?)
            }
            Param::SubgroupDeliveryTimeout => {
                self.subgroup_delivery_timeout =
                    Some(reader.milliseconds("SUBGROUP_DELIVERY_TIMEOUT")?);
            }
            Param::Expires => self.expires = Some(reader.milliseconds("EXPIRES")?),
            Param::LargestObject => {
                let read = reader.location("LARGEST_OBJECT");
                let malformed = |_| DecodeError::KeyValueFormat("LARGEST_OBJECT");
                self.largest_object = Some(if typed {
                    read?
                } else {
                    read.map_err(malformed)?
                });
            }
            Param::FillTimeout => self.fill_timeout = Some(reader.milliseconds("FILL_TIMEOUT")?),
            Param::Forward => {
                self.forward = Some(match reader.small("FORWARD")? {
                    0 => false,
                    1 => true,
                    other => return Err(DecodeError::Forbidden("FORWARD", other)),
                });
            }
            Param::SubscriberPriority => {
                let value = reader.small("SUBSCRIBER_PRIORITY")?;
                let forbidden = |_| DecodeError::Forbidden("SUBSCRIBER_PRIORITY", value);
                self.subscriber_priority = Some(u8::try_from(value).map_err(forbidden)?);
            }
            Param::SubscriptionFilter => {
                let filter = reader.value("SUBSCRIPTION_FILTER")?;
                self.filter = Some(Filter::decode(reader.draft, filter)?);
            }
            Param::GroupOrder => {
                let code = reader.small("GROUP_ORDER")?;
                self.group_order = Some(GroupOrder::from_code("GROUP_ORDER", code)?);
            }
            Param::NewGroupRequest => {
                self.new_group_request = Some(reader.varint("NEW_GROUP_REQUEST")?)
            }
            Param::SubgroupFilter
            | Param::ObjectIdFilter
            | Param::PriorityFilter
            | Param::ObjectPropertyFilter
            | Param::TrackPropertyFilter => {
                let value = reader.value("range filter")?;
                let kind = RangeKind::of(param);
                self.range_filters
                    .extend(kind.map(|kind| RangeFilter { kind, value }));
            }
            Param::TrackNamespacePrefix => self.prefix = Some(reader.namespace()?),
        }
        Ok(())
    }

    /// Writes a parameter that is present; `index` counts those that repeat.
    fn write_value(
        &self,
        writer: &mut Writer<'_>,
        param: Param,
        index: usize,
    ) -> Result<(), EncodeError> {
        let max = crate::Message::PAYLOAD_LEN_BYTES_MAX;
        let time = match param {
            Param::ObjectDeliveryTimeout => self.object_delivery_timeout,
            Param::RendezvousTimeout => self.rendezvous_timeout,
            Param::SubgroupDeliveryTimeout => self.subgroup_delivery_timeout,
            Param::Expires => self.expires,
            Param::FillTimeout => self.fill_timeout,
            _ => None,
        };
        if let Some(time) = time {
            writer.milliseconds(time);
            return Ok(());
        }
        match param {
            Param::AuthorizationToken => {
                if let Some(token) = self.authorization.get(index) {
                    writer.sized("AUTHORIZATION_TOKEN", &token.encode(writer.draft), max)?;
                }
            }
            Param::LargestObject => writer.location(self.largest_object.unwrap_or_default()),
            Param::Forward => writer.byte(self.forward.unwrap_or_default().into()),
            Param::SubscriberPriority => writer.byte(self.subscriber_priority.unwrap_or_default()),
            Param::SubscriptionFilter => {
                if let Some(filter) = self.filter {
                    writer.sized("SUBSCRIPTION_FILTER", &filter.encode(writer.draft)?, max)?;
                }
            }
            Param::GroupOrder => writer.byte(self.group_order.unwrap_or_default().to_code()),
            Param::NewGroupRequest => writer.varint(self.new_group_request.unwrap_or_default()),
            Param::SubgroupFilter
            | Param::ObjectIdFilter
            | Param::PriorityFilter
            | Param::ObjectPropertyFilter
            | Param::TrackPropertyFilter => {
                if let Some(filter) = self.range_filters_of(param).nth(index) {
                    writer.sized("range filter", &filter.value, max)?;
                }
            }
            Param::TrackNamespacePrefix => {
                if let Some(prefix) = &self.prefix {
                    writer.namespace(prefix);
                }
            }
            Param::ObjectDeliveryTimeout
            | Param::RendezvousTimeout
            | Param::SubgroupDeliveryTimeout
            | Param::Expires
            | Param::FillTimeout => {}
        }
        Ok(())
    }
}

impl Filter {
    /// Reads a filter that fills all of `bytes`.
    fn decode(draft: Draft, bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(draft, bytes);
        let filter = match Self::read(&mut reader) {
            Err(DecodeError::Truncated(_)) => None,
            read => Some(read?),
        };
        filter
            .filter(|_| reader.is_empty())
            .ok_or(DecodeError::KeyValueFormat("SUBSCRIPTION_FILTER"))
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.varint("filter type")? {
            0x1 => Self::NextGroupStart,
            0x2 => Self::LargestObject,
            0x3 => Self::AbsoluteStart(reader.location("start location")?),
            0x4 => {
                let start = reader.location("start location")?;
                let written = reader.varint("end group")?;
                let end_group = if ends_relative(reader.draft) {
                    start
                        .group
                        .checked_add(written)
                        .ok_or(DecodeError::Overflow("end group"))?
                } else if written < start.group {
                    return Err(DecodeError::Forbidden("end group", written));
                } else {
                    written
                };
                Self::AbsoluteRange { start, end_group }
            }
            other => return Err(DecodeError::Forbidden("filter type", other)),
        })
    }

    fn encode(self, draft: Draft) -> Result<Bytes, EncodeError> {
        let mut out = bytes::BytesMut::new();
        let mut writer = Writer {
            draft,
            out: &mut out,
        };
        self.write(&mut writer)?;
        Ok(out.freeze())
    }

    pub(crate) fn write(self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::NextGroupStart => writer.varint(0x1),
            Self::LargestObject => writer.varint(0x2),
            Self::AbsoluteStart(start) => {
                writer.varint(0x3);
                writer.location(start);
            }
            Self::AbsoluteRange { start, end_group } => {
                let groups = end_group
                    .checked_sub(start.group)
                    .ok_or(EncodeError::Value("end group"))?;
                writer.varint(0x4);
                writer.location(start);
                writer.varint(if ends_relative(writer.draft) {
                    groups
                } else {
                    end_group
                });
            }
        }
        Ok(())
    }
}

/// The end of a range is written as the number of groups after the first one (draft 17 and later).
fn ends_relative(draft: Draft) -> bool {
    !draft.one_control_stream()
}

impl GroupOrder {
    pub(crate) fn from_code(field: &'static str, code: u64) -> Result<Self, DecodeError> {
        match code {
            1 => Ok(Self::Ascending),
            2 => Ok(Self::Descending),
            other => Err(DecodeError::Forbidden(field, other)),
        }
    }

    pub(crate) fn to_code(self) -> u8 {
        match self {
            Self::Ascending => 1,
            Self::Descending => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPES: [Scope; 17] = [
        Scope::Subscribe,
        Scope::SubscribeOk,
        Scope::Publish,
        Scope::PublishOk,
        Scope::Fetch,
        Scope::FetchOk,
        Scope::TrackStatus,
        Scope::TrackStatusOk,
        Scope::PublishNamespace,
        Scope::SubscribeNamespace,
        Scope::SubscribeTracks,
        Scope::NamespaceOk,
        Scope::UpdateSubscription,
        Scope::UpdateFetch,
        Scope::UpdatePublishNamespace,
        Scope::UpdatePrefix,
        Scope::UpdateOk,
    ];

    /// One column for each scope above; rows in the order of section 10.2.
    const DRAFT: [(Param, &str); 13] = [
        (Param::AuthorizationToken, "x.x.x.x.xxx.xxxx."),
        (Param::SubgroupDeliveryTimeout, "x..x........xxxx."),
        (Param::ObjectDeliveryTimeout, "x..x........xxxx."),
        (Param::FillTimeout, "....x............"),
        (Param::RendezvousTimeout, "x................"),
        (Param::SubscriberPriority, "x..xx.......xx..."),
        (Param::GroupOrder, "x..xx............"),
        (Param::SubscriptionFilter, "x..x........x...."),
        (Param::Expires, ".xxx...x........x"),
        (Param::LargestObject, ".xx....x........x"),
        (Param::Forward, "x.xx......x.x...."),
        (Param::NewGroupRequest, "x..x........x...."),
        (Param::TrackNamespacePrefix, "...............x."),
    ];

    /// What draft 19 changes; the others are as above, but that SUBSCRIBE_TRACKS takes all that SUBSCRIBE takes.
    const NINETEEN: [(Param, &str); 7] = [
        (Param::GroupOrder, "x.x.x.....x......"),
        (Param::Expires, ".xxx...x...x....x"),
        (Param::SubgroupFilter, "x..xx.....x.x...."),
        (Param::ObjectIdFilter, "x..xx.....x.x...."),
        (Param::PriorityFilter, "x..xx.....x.x...."),
        (Param::ObjectPropertyFilter, "x..xx.....x.x...."),
        (Param::TrackPropertyFilter, "..........x....x."),
    ];

    #[test]
    fn each_parameter_stands_where_the_draft_lets_it() {
        for (param, row) in DRAFT {
            stands(Draft::D18, param, row);
        }
        for (param, row) in NINETEEN {
            stands(Draft::D19, param, row);
        }
        for (param, row) in DRAFT {
            if NINETEEN.iter().all(|(changed, _)| *changed != param) {
                let mut row = row.to_owned();
                if row.starts_with('x') {
                    row.replace_range(10..11, "x");
                }
                stands(Draft::D19, param, &row);
            }
        }
    }

    fn stands(draft: Draft, param: Param, row: &str) {
        let allows = |scope: &Scope| scope.allows(draft, param);
        let ours: String = SCOPES
            .iter()
            .map(|scope| if allows(scope) { 'x' } else { '.' })
            .collect();
        assert_eq!(ours, row, "{draft:?} {param:?}");

        let in_any = |scopes: &[Scope]| scopes.iter().any(allows);
        assert_eq!(
            allows(&Scope::AnyUpdate),
            in_any(&SCOPES[12..16]),
            "{draft:?} {param:?}"
        );
        let oks = [
            Scope::PublishOk,
            Scope::TrackStatusOk,
            Scope::NamespaceOk,
            Scope::UpdateOk,
        ];
        assert_eq!(allows(&Scope::AnyOk), in_any(&oks), "{draft:?} {param:?}");
    }
}
