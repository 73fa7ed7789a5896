//! What draft 14 writes as fixed fields where later drafts have parameters and track properties.
//!
//! Fields that are always there are always read as parameters. What later drafts call track properties (delivery timeout,
//! cache duration, group order) is handed on as such, written the way this draft writes key-value pairs.

use core::time::Duration;

use crate::{
    DecodeError, Draft, EncodeError, Filter, GroupOrder, Location, Parameters, RequestOk, Scope,
    TrackProperties, Value,
    draft::Param,
    wire::{Reader, Writer},
};

/// Parameters that later drafts have as track properties (section 9.2.1).
const DELIVERY_TIMEOUT: u64 = 0x02;
const CACHE_DURATION_MAX: u64 = 0x04;

/// What a subscriber that says nothing wants: everything.
const EVERYTHING: Filter = Filter::AbsoluteStart(Location::new(0, 0));

/// SUBSCRIBE and TRACK_STATUS after the track's name (section 9.7).
pub(super) fn read_subscribe(reader: &mut Reader, scope: Scope) -> Result<Parameters, DecodeError> {
    let before = read_priority_and_order(reader)?;
    let forward = reader.flag("forward")?;
    let filter = Filter::read(reader)?;
    let params = Parameters::read(reader, scope)?;
    if scope == Scope::TrackStatus {
        // The rest means nothing where nothing is delivered.
        return Ok(params);
    }
    Ok(Parameters {
        forward: Some(forward),
        filter: Some(filter),
        subscriber_priority: before.subscriber_priority,
        group_order: before.group_order,
        ..params
    })
}

pub(super) fn write_subscribe(
    writer: &mut Writer<'_>,
    params: &Parameters,
    scope: Scope,
) -> Result<(), EncodeError> {
    write_priority_and_order(writer, params);
    writer.byte(params.forward.unwrap_or(true).into());
    params.filter.unwrap_or(EVERYTHING).write(writer)?;
    params.write(writer, scope)
}

/// SUBSCRIBE_OK and TRACK_STATUS_OK after the alias (section 9.8).
pub(super) fn read_ok(reader: &mut Reader) -> Result<RequestOk, DecodeError> {
    let expires = reader.milliseconds("expires")?;
    let order = read_order(reader)?;
    let largest_object = read_largest(reader)?;
    let ok = read_properties(reader, order)?;
    Ok(RequestOk {
        params: Parameters {
            expires: (!expires.is_zero()).then_some(expires),
            largest_object,
            ..Parameters::default()
        },
        ..ok
    })
}

pub(super) fn write_ok(
    writer: &mut Writer<'_>,
    params: &Parameters,
    raw: &bytes::Bytes,
) -> Result<(), EncodeError> {
    let properties = properties(writer.draft, raw)?;
    writer.milliseconds(params.expires.unwrap_or_default());
    writer.byte(properties.group_order.to_code());
    write_largest(writer, params.largest_object);
    write_properties(writer, &properties, &[]);
    Ok(())
}

/// PUBLISH after the alias (section 9.13).
pub(super) fn read_publish(reader: &mut Reader) -> Result<RequestOk, DecodeError> {
    let order = read_order(reader)?;
    let largest_object = read_largest(reader)?;
    let forward = reader.flag("forward")?;
    let publish = read_properties(reader, order)?;
    Ok(RequestOk {
        params: Parameters {
            largest_object,
            forward: Some(forward),
            ..publish.params
        },
        ..publish
    })
}

pub(super) fn write_publish(
    writer: &mut Writer<'_>,
    params: &Parameters,
    raw: &bytes::Bytes,
) -> Result<(), EncodeError> {
    params.check_to_write(writer.draft, Scope::Publish)?;
    let properties = properties(writer.draft, raw)?;
    writer.byte(properties.group_order.to_code());
    write_largest(writer, params.largest_object);
    writer.byte(params.forward.unwrap_or(true).into());
    write_properties(writer, &properties, &params.authorization);
    Ok(())
}

/// PUBLISH_OK (section 9.14).
pub(super) fn read_publish_ok(reader: &mut Reader) -> Result<Parameters, DecodeError> {
    let forward = reader.flag("forward")?;
    let priority = reader.byte("subscriber priority")?;
    let order = read_order(reader)?;
    let filter = Filter::read(reader)?;
    Ok(Parameters {
        forward: Some(forward),
        subscriber_priority: Some(priority),
        group_order: Some(order),
        filter: Some(filter),
        ..Parameters::read(reader, Scope::PublishOk)?
    })
}

pub(super) fn write_publish_ok(
    writer: &mut Writer<'_>,
    params: &Parameters,
) -> Result<(), EncodeError> {
    writer.byte(params.forward.unwrap_or(true).into());
    writer.byte(priority(params));
    writer.byte(params.group_order.unwrap_or_default().to_code());
    params.filter.unwrap_or(EVERYTHING).write(writer)?;
    params.write(writer, Scope::PublishOk)
}

/// SUBSCRIBE_UPDATE after both ids (section 9.10).
pub(super) fn read_update(reader: &mut Reader) -> Result<Parameters, DecodeError> {
    let start = reader.location("start location")?;
    let filter = match reader.varint("end group")?.checked_sub(1) {
        None => Filter::AbsoluteStart(start),
        Some(end_group) if end_group >= start.group => Filter::AbsoluteRange { start, end_group },
        Some(end_group) => return Err(DecodeError::Forbidden("end group", end_group)),
    };
    let priority = reader.byte("subscriber priority")?;
    let forward = reader.flag("forward")?;
    Ok(Parameters {
        forward: Some(forward),
        subscriber_priority: Some(priority),
        filter: Some(filter),
        ..Parameters::read(reader, Scope::UpdateSubscription)?
    })
}

/// Everything must be said anew: the session fills in what has not changed.
pub(super) fn write_update(
    writer: &mut Writer<'_>,
    params: &Parameters,
) -> Result<(), EncodeError> {
    let (start, end) = match params.filter.unwrap_or(EVERYTHING) {
        Filter::AbsoluteStart(start) => (start, 0),
        Filter::AbsoluteRange { start, end_group } => (start, end_group.saturating_add(1)),
        Filter::NextGroupStart | Filter::LargestObject => {
            return Err(EncodeError::Value("filter of an update"));
        }
    };
    writer.location(start);
    writer.varint(end);
    writer.byte(priority(params));
    writer.byte(params.forward.unwrap_or(true).into());
    params.write(writer, Scope::UpdateSubscription)
}

/// What SUBSCRIBE and FETCH begin with after their names.
pub(super) fn read_priority_and_order(reader: &mut Reader) -> Result<Parameters, DecodeError> {
    Ok(Parameters {
        subscriber_priority: Some(reader.byte("subscriber priority")?),
        group_order: read_order_or_none(reader)?,
        ..Parameters::default()
    })
}

pub(super) fn write_priority_and_order(writer: &mut Writer<'_>, params: &Parameters) {
    writer.byte(priority(params));
    writer.byte(params.group_order.map_or(0, GroupOrder::to_code));
}

pub(super) fn read_order(reader: &mut Reader) -> Result<GroupOrder, DecodeError> {
    GroupOrder::from_code("group order", reader.byte("group order")?.into())
}

/// Reads parameters that say something about the track, and tokens.
pub(super) fn read_properties(
    reader: &mut Reader,
    order: GroupOrder,
) -> Result<RequestOk, DecodeError> {
    let draft = reader.draft;
    let token = draft.table().param_code(Param::AuthorizationToken);
    let mut track = TrackProperties {
        group_order: order,
        ..TrackProperties::default()
    };
    let mut params = Parameters::default();
    let count = reader.varint("number of parameters")?;
    // Each parameter takes two bytes at least, so the message's length bounds the loop.
    for _ in 0..count {
        let pair = reader.pair(0)?;
        let before = match pair.value {
            Value::Int(time) if pair.key == DELIVERY_TIMEOUT => track
                .object_delivery_timeout
                .replace(Duration::from_millis(time)),
            Value::Int(time) if pair.key == CACHE_DURATION_MAX => track
                .cache_duration_max
                .replace(Duration::from_millis(time)),
            Value::Bytes(value) if Some(pair.key) == token => {
                params
                    .authorization
                    .push(crate::Token::decode(draft, value)?);
                None
            }
            // Others are ignored (section 9.2).
            Value::Int(_) | Value::Bytes(_) => None,
        };
        if before.is_some() {
            return Err(DecodeError::DuplicateParameter(pair.key));
        }
    }
    Ok(RequestOk {
        params,
        properties: track.write(draft),
    })
}

pub(super) fn write_properties(
    writer: &mut Writer<'_>,
    track: &TrackProperties,
    tokens: &[crate::Token],
) {
    let times = [
        (DELIVERY_TIMEOUT, track.object_delivery_timeout),
        (CACHE_DURATION_MAX, track.cache_duration_max),
    ];
    let times: Vec<(u64, Duration)> = times
        .into_iter()
        .filter_map(|(key, time)| Some((key, time?)))
        .collect();
    writer.varint((times.len() + tokens.len()) as u64);
    let mut last = 0;
    for (key, time) in times {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        writer.int_pair(&mut last, key, time);
    }
    let draft = writer.draft;
    let code = draft.table().param_code(Param::AuthorizationToken);
    for token in tokens {
        // Longer tokens do not fit in the message either, which its length then shows.
        if let Some(code) = code {
            writer.varint(code);
            let token = token.encode(draft);
            writer.varint(token.len() as u64);
            writer.raw(&token);
        }
    }
}

/// Reads track properties that are to be written as fields.
pub(super) fn properties(draft: Draft, raw: &bytes::Bytes) -> Result<TrackProperties, EncodeError> {
    TrackProperties::read(draft, raw).map_err(|_| EncodeError::Value("track properties"))
}

fn read_order_or_none(reader: &mut Reader) -> Result<Option<GroupOrder>, DecodeError> {
    match reader.byte("group order")? {
        0 => Ok(None),
        code => GroupOrder::from_code("group order", code.into()).map(Some),
    }
}

fn read_largest(reader: &mut Reader) -> Result<Option<Location>, DecodeError> {
    Ok(if reader.flag("content exists")? {
        Some(reader.location("largest location")?)
    } else {
        None
    })
}

fn write_largest(writer: &mut Writer<'_>, largest: Option<Location>) {
    writer.byte(largest.is_some().into());
    if let Some(largest) = largest {
        writer.location(largest);
    }
}

fn priority(params: &Parameters) -> u8 {
    params
        .subscriber_priority
        .unwrap_or(TrackProperties::PRIORITY_DEFAULT)
}
