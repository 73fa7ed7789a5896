//! Requests.

use crate::{
    DecodeError, EncodeError, Fetch, FetchRange, Message, Parameters, Publish, RequestId,
    RequestOk, Scope, Subscribe, SubscribePrefix, TrackAlias,
    draft::Layout,
    wire::{Reader, Writer},
};

use super::{answer::read_ok, fields};

/// Fetch types (section 10.13).
const STANDALONE: u64 = 0x1;
const RELATIVE_JOINING: u64 = 0x2;
const ABSOLUTE_JOINING: u64 = 0x3;

/// Subscribe Options of draft 16 (section 9.25).
pub(super) const WANTS_TRACKS: u64 = 0x0;
pub(super) const WANTS_NAMESPACES: u64 = 0x1;
pub(super) const WANTS_BOTH: u64 = 0x2;

pub(super) fn read_publish(reader: &mut Reader) -> Result<Publish, DecodeError> {
    let id = RequestId(reader.varint("request id")?);
    let track = reader.track()?;
    let alias = TrackAlias(reader.varint("track alias")?);
    let RequestOk { params, properties } = match reader.draft.table().layout {
        Layout::Typed | Layout::Pairs => read_ok(reader, Scope::Publish)?,
        Layout::Fields => fields::read_publish(reader)?,
    };
    Ok(Publish {
        id,
        track,
        alias,
        params,
        properties,
    })
}

pub(super) fn read_fetch(reader: &mut Reader) -> Result<Fetch, DecodeError> {
    let id = RequestId(reader.varint("request id")?);
    let before = match reader.draft.table().layout {
        Layout::Typed | Layout::Pairs => Parameters::default(),
        Layout::Fields => fields::read_priority_and_order(reader)?,
    };
    let range = read_fetch_range(reader)?;
    let params = Parameters::read(reader, Scope::Fetch)?;
    Ok(Fetch {
        id,
        range,
        params: Parameters {
            subscriber_priority: params.subscriber_priority.or(before.subscriber_priority),
            group_order: params.group_order.or(before.group_order),
            ..params
        },
    })
}

pub(super) fn write_fetch(writer: &mut Writer<'_>, fetch: &Fetch) -> Result<(), EncodeError> {
    writer.varint(fetch.id.0);
    match writer.draft.table().layout {
        Layout::Typed | Layout::Pairs => {}
        Layout::Fields => fields::write_priority_and_order(writer, &fetch.params),
    }
    write_fetch_range(writer, &fetch.range)?;
    fetch.params.write(writer, Scope::Fetch)
}

/// SUBSCRIBE_NAMESPACE: up to draft 16 it may want tracks, too.
pub(super) fn read_subscribe_namespace(reader: &mut Reader) -> Result<Message, DecodeError> {
    let layout = reader.draft.table().layout;
    if layout == Layout::Typed {
        return Ok(Message::SubscribeNamespace(read_prefix(
            reader,
            Scope::SubscribeNamespace,
        )?));
    }
    let id = RequestId(reader.varint("request id")?);
    let prefix = reader.namespace()?;
    if layout == Layout::Fields {
        let params = Parameters::read(reader, Scope::SubscribeTracks)?;
        return Ok(Message::SubscribeBoth(SubscribePrefix {
            id,
            prefix,
            params,
        }));
    }
    let wants = reader.varint("subscribe options")?;
    let scope = match wants {
        WANTS_NAMESPACES => Scope::SubscribeNamespace,
        WANTS_TRACKS | WANTS_BOTH => Scope::SubscribeTracks,
        other => return Err(DecodeError::Forbidden("subscribe options", other)),
    };
    let params = Parameters::read(reader, scope)?;
    let request = SubscribePrefix { id, prefix, params };
    Ok(match wants {
        WANTS_NAMESPACES => Message::SubscribeNamespace(request),
        WANTS_TRACKS => Message::SubscribeTracks(request),
        _ => Message::SubscribeBoth(request),
    })
}

pub(super) fn read_subscribe(reader: &mut Reader, scope: Scope) -> Result<Subscribe, DecodeError> {
    Ok(Subscribe {
        id: RequestId(reader.varint("request id")?),
        track: reader.track()?,
        params: match reader.draft.table().layout {
            Layout::Typed | Layout::Pairs => Parameters::read(reader, scope)?,
            Layout::Fields => fields::read_subscribe(reader, scope)?,
        },
    })
}

pub(super) fn write_subscribe(
    writer: &mut Writer<'_>,
    message: &Subscribe,
    scope: Scope,
) -> Result<(), EncodeError> {
    writer.varint(message.id.0);
    writer.track(&message.track)?;
    match writer.draft.table().layout {
        Layout::Typed | Layout::Pairs => message.params.write(writer, scope),
        Layout::Fields => fields::write_subscribe(writer, &message.params, scope),
    }
}

pub(super) fn read_prefix(
    reader: &mut Reader,
    scope: Scope,
) -> Result<SubscribePrefix, DecodeError> {
    Ok(SubscribePrefix {
        id: RequestId(reader.varint("request id")?),
        prefix: reader.namespace()?,
        params: Parameters::read(reader, scope)?,
    })
}

pub(super) fn write_prefix(
    writer: &mut Writer<'_>,
    message: &SubscribePrefix,
    scope: Scope,
    wants: Option<u64>,
) -> Result<(), EncodeError> {
    writer.varint(message.id.0);
    writer.namespace(&message.prefix);
    if let (Some(wants), Layout::Pairs) = (wants, writer.draft.table().layout) {
        writer.varint(wants);
    }
    message.params.write(writer, scope)
}

fn read_fetch_range(reader: &mut Reader) -> Result<FetchRange, DecodeError> {
    match reader.varint("fetch type")? {
        STANDALONE => Ok(FetchRange::Standalone {
            track: reader.track()?,
            start: reader.location("start location")?,
            end: reader.location("end location")?,
        }),
        RELATIVE_JOINING => Ok(FetchRange::RelativeJoining {
            subscription: RequestId(reader.varint("joining request id")?),
            groups: reader.varint("joining start")?,
        }),
        ABSOLUTE_JOINING => Ok(FetchRange::AbsoluteJoining {
            subscription: RequestId(reader.varint("joining request id")?),
            group: reader.varint("joining start")?,
        }),
        other => Err(DecodeError::Forbidden("fetch type", other)),
    }
}

fn write_fetch_range(writer: &mut Writer<'_>, range: &FetchRange) -> Result<(), EncodeError> {
    match range {
        FetchRange::Standalone { track, start, end } => {
            writer.varint(STANDALONE);
            writer.track(track)?;
            writer.location(*start);
            writer.location(*end);
        }
        FetchRange::RelativeJoining {
            subscription,
            groups,
        } => {
            writer.varint(RELATIVE_JOINING);
            writer.varint(subscription.0);
            writer.varint(*groups);
        }
        FetchRange::AbsoluteJoining {
            subscription,
            group,
        } => {
            writer.varint(ABSOLUTE_JOINING);
            writer.varint(subscription.0);
            writer.varint(*group);
        }
    }
    Ok(())
}
