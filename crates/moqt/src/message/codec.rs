//! Writing and reading control messages.

use core::time::Duration;

use bytes::BytesMut;

use super::{
    Fetch, FetchOk, FetchRange, GoAway, Message, Publish, PublishBlocked, PublishDone, Redirect,
    RequestError, RequestOk, RequestUpdate, Setup, Subscribe, SubscribeOk, SubscribePrefix,
};

use crate::{
    DecodeError, Draft, EncodeError, KeyValueEncoder, KeyValues, Namespace, Parameters,
    PublishDoneCode, RequestCode, RequestId, Scope, Token, TrackAlias, Value, VarInt,
    draft::MessageType,
    wire::{Reader, URI_LEN_BYTES_MAX, Writer},
};

/// Stream Count when the publisher does not know it (section 10.12).
const STREAMS_UNKNOWN: u64 = (1 << 62) - 1;

/// Fetch types (section 10.13).
const STANDALONE: u64 = 0x1;
const RELATIVE_JOINING: u64 = 0x2;
const ABSOLUTE_JOINING: u64 = 0x3;

/// What stands before a message's payload.
pub(crate) struct Head {
    message: MessageType,
    head_len: usize,
    pub(crate) payload_len: usize,
}

impl Head {
    /// Reads type and length; `None`: more bytes needed. The type is judged as soon as it is there.
    pub(crate) fn peek(draft: Draft, bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some((code, len)) = VarInt::peek(draft.varint(), bytes) else {
            return Ok(None);
        };
        let message = draft
            .table()
            .message(code)
            .ok_or(DecodeError::UnknownMessage(code))?;
        let Some(&[high, low]) = bytes.get(len..len + 2) else {
            return Ok(None);
        };
        let payload_len = usize::from(u16::from_be_bytes([high, low]));
        Ok(Some(Self {
            message,
            head_len: len + 2,
            payload_len,
        }))
    }
}

pub(super) fn decode(draft: Draft, buf: &mut BytesMut) -> Result<Option<Message>, DecodeError> {
    let Some(head) = Head::peek(draft, buf)? else {
        return Ok(None);
    };
    let len = head.head_len + head.payload_len;
    if buf.len() < len {
        return Ok(None);
    }
    let payload = buf.split_to(len).freeze().slice(head.head_len..);
    let mut reader = Reader::new(draft, payload);
    let message = read(&mut reader, head.message)?;
    reader.end()?;
    Ok(Some(message))
}

pub(super) fn encode(
    message: &Message,
    draft: Draft,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let mut payload = BytesMut::new();
    write(
        message,
        &mut Writer {
            draft,
            out: &mut payload,
        },
    )?;
    let len =
        u16::try_from(payload.len()).map_err(|_| EncodeError::MessageTooLong(payload.len()))?;
    let mut writer = Writer { draft, out };
    writer.varint(draft.table().message_code(message_type(message)));
    writer.raw(&len.to_be_bytes());
    writer.raw(&payload);
    Ok(())
}

fn message_type(message: &Message) -> MessageType {
    match message {
        Message::Setup(_) => MessageType::Setup,
        Message::GoAway(_) => MessageType::GoAway,
        Message::Subscribe(_) => MessageType::Subscribe,
        Message::SubscribeOk(_) => MessageType::SubscribeOk,
        Message::Publish(_) => MessageType::Publish,
        Message::PublishDone(_) => MessageType::PublishDone,
        Message::Fetch(_) => MessageType::Fetch,
        Message::FetchOk(_) => MessageType::FetchOk,
        Message::TrackStatus(_) => MessageType::TrackStatus,
        Message::PublishNamespace(_) => MessageType::PublishNamespace,
        Message::SubscribeNamespace(_) => MessageType::SubscribeNamespace,
        Message::SubscribeTracks(_) => MessageType::SubscribeTracks,
        Message::Namespace(_) => MessageType::Namespace,
        Message::NamespaceDone(_) => MessageType::NamespaceDone,
        Message::PublishBlocked(_) => MessageType::PublishBlocked,
        Message::RequestUpdate(_) => MessageType::RequestUpdate,
        Message::RequestOk(_) => MessageType::RequestOk,
        Message::RequestError(_) => MessageType::RequestError,
    }
}

/// Reads a payload; the caller checks that nothing is left.
fn read(reader: &mut Reader, message: MessageType) -> Result<Message, DecodeError> {
    Ok(match message {
        MessageType::Setup => Message::Setup(read_setup(reader)?),
        MessageType::GoAway => Message::GoAway(GoAway {
            uri: reader.sized("new session URI", URI_LEN_BYTES_MAX)?,
            timeout: reader.milliseconds("timeout")?,
            request: if reader.is_empty() {
                None
            } else {
                Some(RequestId(reader.varint("request id")?))
            },
        }),
        MessageType::Subscribe => Message::Subscribe(read_subscribe(reader, Scope::Subscribe)?),
        MessageType::TrackStatus => {
            Message::TrackStatus(read_subscribe(reader, Scope::TrackStatus)?)
        }
        MessageType::SubscribeOk => Message::SubscribeOk(SubscribeOk {
            alias: TrackAlias(reader.varint("track alias")?),
            params: Parameters::read(reader, Scope::SubscribeOk)?,
            properties: reader.properties(),
        }),
        MessageType::Publish => Message::Publish(Publish {
            id: RequestId(reader.varint("request id")?),
            track: reader.track()?,
            alias: TrackAlias(reader.varint("track alias")?),
            params: Parameters::read(reader, Scope::Publish)?,
            properties: reader.properties(),
        }),
        MessageType::PublishDone => Message::PublishDone(PublishDone {
            status: PublishDoneCode::from_code(reader.draft, reader.varint("status code")?),
            streams: Some(reader.varint("stream count")?)
                .filter(|streams| *streams < STREAMS_UNKNOWN),
            reason: reader.reason()?,
        }),
        MessageType::Fetch => Message::Fetch(Fetch {
            id: RequestId(reader.varint("request id")?),
            range: read_fetch_range(reader)?,
            params: Parameters::read(reader, Scope::Fetch)?,
        }),
        MessageType::FetchOk => Message::FetchOk(FetchOk {
            end_of_track: match reader.byte("end of track")? {
                0 => false,
                1 => true,
                other => return Err(DecodeError::Forbidden("end of track", other.into())),
            },
            end: reader.location("end location")?,
            params: Parameters::read(reader, Scope::FetchOk)?,
            properties: reader.properties(),
        }),
        MessageType::PublishNamespace => {
            Message::PublishNamespace(read_prefix(reader, Scope::PublishNamespace)?)
        }
        MessageType::SubscribeNamespace => {
            Message::SubscribeNamespace(read_prefix(reader, Scope::SubscribeNamespace)?)
        }
        MessageType::SubscribeTracks => {
            Message::SubscribeTracks(read_prefix(reader, Scope::SubscribeTracks)?)
        }
        MessageType::Namespace => Message::Namespace(reader.namespace()?),
        MessageType::NamespaceDone => Message::NamespaceDone(reader.namespace()?),
        MessageType::PublishBlocked => {
            let track = reader.track()?;
            Message::PublishBlocked(PublishBlocked {
                suffix: track.namespace().clone(),
                name: track.name().clone(),
            })
        }
        MessageType::RequestUpdate => Message::RequestUpdate(RequestUpdate {
            id: RequestId(reader.varint("request id")?),
            params: Parameters::read(reader, Scope::AnyUpdate)?,
        }),
        MessageType::RequestOk => Message::RequestOk(RequestOk {
            params: Parameters::read(reader, Scope::AnyOk)?,
            properties: reader.properties(),
        }),
        MessageType::RequestError => Message::RequestError(read_error(reader)?),
    })
}

fn write(message: &Message, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
    match message {
        Message::Setup(setup) => write_setup(writer, setup)?,
        Message::GoAway(goaway) => {
            writer.sized("new session URI", &goaway.uri, URI_LEN_BYTES_MAX)?;
            writer.milliseconds(goaway.timeout);
            if let Some(RequestId(id)) = goaway.request {
                writer.varint(id);
            }
        }
        Message::Subscribe(subscribe) => write_subscribe(writer, subscribe, Scope::Subscribe)?,
        Message::TrackStatus(status) => write_subscribe(writer, status, Scope::TrackStatus)?,
        Message::SubscribeOk(ok) => {
            writer.varint(ok.alias.0);
            ok.params.write(writer, Scope::SubscribeOk)?;
            writer.raw(&ok.properties);
        }
        Message::Publish(publish) => {
            writer.varint(publish.id.0);
            writer.track(&publish.track);
            writer.varint(publish.alias.0);
            publish.params.write(writer, Scope::Publish)?;
            writer.raw(&publish.properties);
        }
        Message::PublishDone(done) => {
            writer.varint(done.status.to_code(writer.draft));
            writer.varint(done.streams.unwrap_or(STREAMS_UNKNOWN));
            writer.reason(&done.reason);
        }
        Message::Fetch(fetch) => {
            writer.varint(fetch.id.0);
            write_fetch_range(writer, &fetch.range);
            fetch.params.write(writer, Scope::Fetch)?;
        }
        Message::FetchOk(ok) => {
            writer.byte(ok.end_of_track.into());
            writer.location(ok.end);
            ok.params.write(writer, Scope::FetchOk)?;
            writer.raw(&ok.properties);
        }
        Message::PublishNamespace(request) => {
            write_prefix(writer, request, Scope::PublishNamespace)?
        }
        Message::SubscribeNamespace(request) => {
            write_prefix(writer, request, Scope::SubscribeNamespace)?
        }
        Message::SubscribeTracks(request) => write_prefix(writer, request, Scope::SubscribeTracks)?,
        Message::Namespace(suffix) | Message::NamespaceDone(suffix) => writer.namespace(suffix),
        Message::PublishBlocked(blocked) => {
            writer.namespace(&blocked.suffix);
            writer.sized("track name", &blocked.name, Namespace::LEN_BYTES_MAX)?;
        }
        Message::RequestUpdate(update) => {
            writer.varint(update.id.0);
            update.params.write(writer, Scope::AnyUpdate)?;
        }
        Message::RequestOk(ok) => {
            ok.params.write(writer, Scope::AnyOk)?;
            writer.raw(&ok.properties);
        }
        Message::RequestError(error) => write_error(writer, error)?,
    }
    Ok(())
}

fn read_setup(reader: &mut Reader) -> Result<Setup, DecodeError> {
    let draft = reader.draft;
    let codes = &draft.table().setup;
    let mut setup = Setup::default();
    for pair in KeyValues::new(draft, reader.rest()) {
        let pair = pair?;
        let before = match pair.value {
            Value::Int(value) if pair.key == codes.auth_token_cache_size_max => {
                setup.auth_token_cache_bytes_max.replace(value).is_some()
            }
            Value::Bytes(value) if pair.key == codes.authorization_token => {
                setup.authorization.push(Token::decode(draft, value)?);
                false
            }
            Value::Bytes(value) if pair.key == codes.path => setup.path.replace(value).is_some(),
            Value::Bytes(value) if pair.key == codes.authority => {
                setup.authority.replace(value).is_some()
            }
            Value::Bytes(value) if pair.key == codes.implementation => {
                setup.implementation.replace(value).is_some()
            }
            // Unknown options are ignored, repeated ones too (section 10.3).
            Value::Int(_) | Value::Bytes(_) => false,
        };
        if before {
            return Err(DecodeError::DuplicateParameter(pair.key));
        }
    }
    Ok(setup)
}

fn write_setup(writer: &mut Writer<'_>, setup: &Setup) -> Result<(), EncodeError> {
    let draft = writer.draft;
    let codes = &draft.table().setup;
    let mut options: Vec<(u64, Value)> = Vec::new();
    let bytes = [
        (codes.path, &setup.path),
        (codes.authority, &setup.authority),
        (codes.implementation, &setup.implementation),
    ];
    options.extend(
        bytes
            .into_iter()
            .filter_map(|(key, value)| Some((key, Value::Bytes(value.clone()?)))),
    );
    if let Some(size) = setup.auth_token_cache_bytes_max {
        options.push((codes.auth_token_cache_size_max, Value::Int(size)));
    }
    for token in &setup.authorization {
        options.push((codes.authorization_token, Value::Bytes(token.encode(draft))));
    }
    options.sort_by_key(|(key, _)| *key);
    let mut encoder = KeyValueEncoder::new(draft);
    for (key, value) in &options {
        match value {
            Value::Int(value) => encoder.int(*key, *value)?,
            Value::Bytes(value) => encoder.bytes(*key, value)?,
        };
    }
    writer.raw(&encoder.finish());
    Ok(())
}

fn read_subscribe(reader: &mut Reader, scope: Scope) -> Result<Subscribe, DecodeError> {
    Ok(Subscribe {
        id: RequestId(reader.varint("request id")?),
        track: reader.track()?,
        params: Parameters::read(reader, scope)?,
    })
}

fn write_subscribe(
    writer: &mut Writer<'_>,
    message: &Subscribe,
    scope: Scope,
) -> Result<(), EncodeError> {
    writer.varint(message.id.0);
    writer.track(&message.track);
    message.params.write(writer, scope)
}

fn read_prefix(reader: &mut Reader, scope: Scope) -> Result<SubscribePrefix, DecodeError> {
    Ok(SubscribePrefix {
        id: RequestId(reader.varint("request id")?),
        prefix: reader.namespace()?,
        params: Parameters::read(reader, scope)?,
    })
}

fn write_prefix(
    writer: &mut Writer<'_>,
    message: &SubscribePrefix,
    scope: Scope,
) -> Result<(), EncodeError> {
    writer.varint(message.id.0);
    writer.namespace(&message.prefix);
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

fn write_fetch_range(writer: &mut Writer<'_>, range: &FetchRange) {
    match range {
        FetchRange::Standalone { track, start, end } => {
            writer.varint(STANDALONE);
            writer.track(track);
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
}

fn read_error(reader: &mut Reader) -> Result<RequestError, DecodeError> {
    let code = RequestCode::from_code(reader.draft, reader.varint("error code")?);
    // Milliseconds plus one; zero: never (section 10.6.2).
    let retry = reader
        .varint("retry interval")?
        .checked_sub(1)
        .map(Duration::from_millis);
    let reason = reader.reason()?;
    let redirect = if code == RequestCode::Redirect {
        Some(read_redirect(reader)?)
    } else {
        None
    };
    Ok(RequestError {
        code,
        retry,
        reason,
        redirect,
    })
}

fn write_error(writer: &mut Writer<'_>, error: &RequestError) -> Result<(), EncodeError> {
    writer.varint(error.code.to_code(writer.draft));
    let retry = error
        .retry
        .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    writer.varint(retry.map_or(0, |after| after.saturating_add(1)));
    writer.reason(&error.reason);
    match (&error.redirect, error.code) {
        (Some(redirect), RequestCode::Redirect) => write_redirect(writer, redirect),
        (None, RequestCode::Redirect) | (Some(_), _) => Err(EncodeError::Value("redirect")),
        (None, _) => Ok(()),
    }
}

fn read_redirect(reader: &mut Reader) -> Result<Redirect, DecodeError> {
    let uri = reader.sized("connect URI", URI_LEN_BYTES_MAX)?;
    let track = reader.track()?;
    let same = track.namespace().is_empty() && track.name().is_empty();
    Ok(Redirect {
        uri,
        track: (!same).then_some(track),
    })
}

fn write_redirect(writer: &mut Writer<'_>, redirect: &Redirect) -> Result<(), EncodeError> {
    writer.sized("connect URI", &redirect.uri, URI_LEN_BYTES_MAX)?;
    match &redirect.track {
        Some(track) => writer.track(track),
        None => {
            writer.namespace(&Namespace::empty());
            writer.varint(0);
        }
    }
    Ok(())
}
