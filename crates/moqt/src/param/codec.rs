//! Writing and reading parameters, and where each may stand.

use bytes::Bytes;

use super::{Filter, GroupOrder, Parameters, Scope};
use crate::{
    DecodeError, Draft, EncodeError, Token,
    draft::Param,
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
    fn allows(self, param: Param) -> bool {
        match self {
            Self::AnyOk => {
                return [
                    Self::PublishOk,
                    Self::TrackStatusOk,
                    Self::NamespaceOk,
                    Self::UpdateOk,
                ]
                .iter()
                .any(|scope| scope.allows(param));
            }
            Self::AnyUpdate => {
                return [
                    Self::UpdateSubscription,
                    Self::UpdateFetch,
                    Self::UpdatePrefix,
                ]
                .iter()
                .any(|scope| scope.allows(param));
            }
            _ => {}
        }
        match param {
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
            Param::GroupOrder => matches!(self, Self::Subscribe | Self::PublishOk | Self::Fetch),
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

    pub(crate) fn read(reader: &mut Reader, scope: Scope) -> Result<Self, DecodeError> {
        let table = reader.draft.table();
        let mut params = Self::default();
        let mut code = 0_u64;
        let count = reader.varint("number of parameters")?;
        // Each parameter takes two bytes at least, so the message's length bounds the loop.
        for index in 0..count {
            let delta = reader.varint("parameter type")?;
            code = code
                .checked_add(delta)
                .ok_or(DecodeError::Overflow("parameter type"))?;
            let param = table
                .param(code)
                .ok_or(DecodeError::UnknownParameter(code))?;
            if !scope.allows(param) {
                return Err(DecodeError::MisplacedParameter(code, scope.name()));
            }
            if index > 0 && delta == 0 && param != Param::AuthorizationToken {
                return Err(DecodeError::DuplicateParameter(code));
            }
            params.read_value(reader, param)?;
        }
        Ok(params)
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>, scope: Scope) -> Result<(), EncodeError> {
        self.check_to_write(writer.draft, scope)?;
        let table = writer.draft.table();
        let count: usize = table.params().map(|(_, param)| self.count(param)).sum();
        writer.varint(count as u64);
        let mut last = 0;
        for (code, param) in table.params() {
            for index in 0..self.count(param) {
                writer.varint(code - last);
                last = code;
                self.write_value(writer, param, index)?;
            }
        }
        Ok(())
    }

    fn misplaced(&self, draft: Draft, scope: Scope) -> Option<u64> {
        let mut present = draft
            .table()
            .params()
            .filter(|(_, param)| self.count(*param) > 0);
        present
            .find(|(_, param)| !scope.allows(*param))
            .map(|(code, _)| code)
    }

    /// How often a parameter is present.
    fn count(&self, param: Param) -> usize {
        let present = match param {
            Param::AuthorizationToken => return self.authorization.len(),
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

    fn read_value(&mut self, reader: &mut Reader, param: Param) -> Result<(), DecodeError> {
        match param {
            Param::ObjectDeliveryTimeout => {
                self.object_delivery_timeout =
                    Some(reader.milliseconds("OBJECT_DELIVERY_TIMEOUT")?);
            }
            Param::AuthorizationToken => {
                let token =
                    reader.sized("AUTHORIZATION_TOKEN", crate::Message::PAYLOAD_LEN_BYTES_MAX)?;
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
            Param::LargestObject => self.largest_object = Some(reader.location("LARGEST_OBJECT")?),
            Param::FillTimeout => self.fill_timeout = Some(reader.milliseconds("FILL_TIMEOUT")?),
            Param::Forward => {
                self.forward = Some(match reader.byte("FORWARD")? {
                    0 => false,
                    1 => true,
                    other => return Err(DecodeError::Forbidden("FORWARD", other.into())),
                });
            }
            Param::SubscriberPriority => {
                self.subscriber_priority = Some(reader.byte("SUBSCRIBER_PRIORITY")?)
            }
            Param::SubscriptionFilter => {
                let filter =
                    reader.sized("SUBSCRIPTION_FILTER", crate::Message::PAYLOAD_LEN_BYTES_MAX)?;
                self.filter = Some(Filter::decode(reader.draft, filter)?);
            }
            Param::GroupOrder => {
                let code = reader.byte("GROUP_ORDER")?;
                self.group_order = Some(GroupOrder::from_code("GROUP_ORDER", code.into())?);
            }
            Param::NewGroupRequest => {
                self.new_group_request = Some(reader.varint("NEW_GROUP_REQUEST")?)
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
    fn decode(draft: Draft, bytes: Bytes) -> Result<Self, DecodeError> {
        let malformed = |_| DecodeError::KeyValueFormat("SUBSCRIPTION_FILTER");
        let mut reader = Reader::new(draft, bytes);
        let filter = match reader.varint("filter type").map_err(malformed)? {
            0x1 => Self::NextGroupStart,
            0x2 => Self::LargestObject,
            0x3 => Self::AbsoluteStart(reader.location("start location").map_err(malformed)?),
            0x4 => {
                let start = reader.location("start location").map_err(malformed)?;
                let groups = reader.varint("end group delta").map_err(malformed)?;
                let end_group = start
                    .group
                    .checked_add(groups)
                    .ok_or(DecodeError::Overflow("end group"))?;
                Self::AbsoluteRange { start, end_group }
            }
            other => return Err(DecodeError::Forbidden("filter type", other)),
        };
        reader.end().map_err(malformed)?;
        Ok(filter)
    }

    fn encode(self, draft: Draft) -> Result<Bytes, EncodeError> {
        let mut out = bytes::BytesMut::new();
        let mut writer = Writer {
            draft,
            out: &mut out,
        };
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
                writer.varint(groups);
            }
        }
        Ok(out.freeze())
    }
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

    #[test]
    fn each_parameter_stands_where_the_draft_lets_it() {
        for (param, row) in DRAFT {
            let ours: String = SCOPES
                .iter()
                .map(|scope| if scope.allows(param) { 'x' } else { '.' })
                .collect();
            assert_eq!(ours, row, "{param:?}");

            let in_any = |scopes: &[Scope]| scopes.iter().any(|scope| scope.allows(param));
            assert_eq!(
                Scope::AnyUpdate.allows(param),
                in_any(&SCOPES[12..16]),
                "{param:?}"
            );
            let oks = [
                Scope::PublishOk,
                Scope::TrackStatusOk,
                Scope::NamespaceOk,
                Scope::UpdateOk,
            ];
            assert_eq!(Scope::AnyOk.allows(param), in_any(&oks), "{param:?}");
        }
    }
}
