//! Writing and reading control messages.

use core::time::Duration;

use bytes::BytesMut;

mod fields;

use super::{
    About, Envelope, Fetch, FetchOk, FetchRange, GoAway, Message, Publish, PublishBlocked,
    PublishDone, Redirect, RequestError, RequestKind, RequestOk, RequestUpdate, Setup, Subscribe,
    SubscribeOk, SubscribePrefix,
};

use crate::{
    DecodeError, Draft, EncodeError, KeyValueEncoder, KeyValues, Namespace, Parameters,
    PublishDoneCode, RequestCode, RequestId, Role, Scope, Token, TrackAlias, Value, VarInt,
    draft::{Layout, MessageType},
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
    pub(crate) message: MessageType,
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

/// Subscribe Options of draft 16 (section 9.25).
const WANTS_TRACKS: u64 = 0x0;
const WANTS_NAMESPACES: u64 = 0x1;
const WANTS_BOTH: u64 = 0x2;

pub(super) fn decode(draft: Draft, buf: &mut BytesMut) -> Result<Option<Envelope>, DecodeError> {
    let Some(head) = Head::peek(draft, buf)? else {
        return Ok(None);
    };
    let len = head.head_len + head.payload_len;
    if buf.len() < len {
        return Ok(None);
    }
    let payload = buf.split_to(len).freeze().slice(head.head_len..);
    let mut reader = Reader::new(draft, payload);
    let mut about = read_about(&mut reader, head.message)?;
    let message = read(&mut reader, head.message, &mut about)?;
    reader.end()?;
    Ok(Some(Envelope { about, message }))
}

pub(super) fn encode(
    message: &Message,
    about: Option<&About>,
    draft: Draft,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let message_type = message_type(message, about, draft)?;
    let code = draft
        .table()
        .message_code(message_type)
        .ok_or(EncodeError::NotInDraft(name(message)))?;
    let mut payload = BytesMut::new();
    let mut writer = Writer {
        draft,
        out: &mut payload,
    };
    write_about(&mut writer, message_type, about)?;
    write(message, about, &mut writer)?;
    let len =
        u16::try_from(payload.len()).map_err(|_| EncodeError::MessageTooLong(payload.len()))?;
    let mut writer = Writer { draft, out };
    writer.varint(code);
    writer.raw(&len.to_be_bytes());
    writer.raw(&payload);
    Ok(())
}

/// The type under which a draft sends a message.
fn message_type(
    message: &Message,
    about: Option<&About>,
    draft: Draft,
) -> Result<MessageType, EncodeError> {
    let kind = match about {
        Some(About::Request { kind, .. }) => *kind,
        Some(About::Namespace(_)) | None => None,
    };
    Ok(match message {
        Message::Setup(setup) => match setup.sender {
            _ if !draft.one_control_stream() => MessageType::Setup,
            Some(Role::Client) => MessageType::ClientSetup,
            Some(Role::Server) => MessageType::ServerSetup,
            None => return Err(EncodeError::Value("sender of SETUP")),
        },
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
        Message::SubscribeTracks(_) if draft.one_control_stream() => {
            MessageType::SubscribeNamespace
        }
        Message::SubscribeTracks(_) => MessageType::SubscribeTracks,
        Message::SubscribeBoth(_) if draft.one_control_stream() => MessageType::SubscribeNamespace,
        Message::SubscribeBoth(_) => return Err(EncodeError::NotInDraft(name(message))),
        Message::Namespace(_) => MessageType::Namespace,
        Message::NamespaceDone(_) => MessageType::NamespaceDone,
        Message::PublishBlocked(_) => MessageType::PublishBlocked,
        Message::RequestUpdate(_) => MessageType::RequestUpdate,
        Message::RequestOk(_) => ok_type(draft, kind)?,
        Message::RequestError(_) => error_type(draft, kind)?,
        Message::MaxRequestId(_) => MessageType::MaxRequestId,
        Message::RequestsBlocked(_) => MessageType::RequestsBlocked,
        Message::Unsubscribe => MessageType::Unsubscribe,
        Message::FetchCancel => MessageType::FetchCancel,
        Message::PublishNamespaceDone => MessageType::PublishNamespaceDone,
        Message::PublishNamespaceCancel(_) => MessageType::PublishNamespaceCancel,
        Message::UnsubscribeNamespace => MessageType::UnsubscribeNamespace,
    })
}

/// The name of a message that not every draft has.
fn name(message: &Message) -> &'static str {
    match message {
        Message::Namespace(_) | Message::NamespaceDone(_) => "NAMESPACE",
        Message::PublishBlocked(_) => "PUBLISH_BLOCKED",
        Message::MaxRequestId(_) => "MAX_REQUEST_ID",
        Message::RequestsBlocked(_) => "REQUESTS_BLOCKED",
        Message::Unsubscribe => "UNSUBSCRIBE",
        Message::FetchCancel => "FETCH_CANCEL",
        Message::PublishNamespaceDone => "PUBLISH_NAMESPACE_DONE",
        Message::PublishNamespaceCancel(_) => "PUBLISH_NAMESPACE_CANCEL",
        Message::UnsubscribeNamespace => "UNSUBSCRIBE_NAMESPACE",
        Message::SubscribeBoth(_) => "SUBSCRIBE_NAMESPACE for both",
        _ => "such message",
    }
}

fn ok_type(draft: Draft, kind: Option<RequestKind>) -> Result<MessageType, EncodeError> {
    match (draft.table().layout, kind) {
        (Layout::Typed, _) => Ok(MessageType::RequestOk),
        (Layout::Pairs | Layout::Fields, Some(RequestKind::Publish)) => Ok(MessageType::PublishOk),
        (Layout::Pairs, _) => Ok(MessageType::RequestOk),
        (Layout::Fields, Some(RequestKind::TrackStatus)) => Ok(MessageType::TrackStatusOk),
        (Layout::Fields, Some(RequestKind::PublishNamespace)) => {
            Ok(MessageType::PublishNamespaceOk)
        }
        (Layout::Fields, Some(RequestKind::SubscribeNamespace)) => {
            Ok(MessageType::SubscribeNamespaceOk)
        }
        (Layout::Fields, Some(RequestKind::Subscribe | RequestKind::Fetch) | None) => {
            Err(EncodeError::NotInDraft("REQUEST_OK"))
        }
    }
}

fn error_type(draft: Draft, kind: Option<RequestKind>) -> Result<MessageType, EncodeError> {
    match (draft.table().layout, kind) {
        (Layout::Typed | Layout::Pairs, _) => Ok(MessageType::RequestError),
        (Layout::Fields, Some(kind)) => Ok(match kind {
            RequestKind::Subscribe => MessageType::SubscribeError,
            RequestKind::Publish => MessageType::PublishError,
            RequestKind::Fetch => MessageType::FetchError,
            RequestKind::TrackStatus => MessageType::TrackStatusError,
            RequestKind::PublishNamespace => MessageType::PublishNamespaceError,
            RequestKind::SubscribeNamespace => MessageType::SubscribeNamespaceError,
        }),
        (Layout::Fields, None) => Err(EncodeError::NotInDraft("REQUEST_ERROR")),
    }
}

/// What a message begins with when it is about a request.
enum Subject {
    Nothing,
    /// A request id; the kind of the request where the type tells.
    Request(Option<RequestKind>),
    Namespace,
}

fn subject(draft: Draft, message: MessageType) -> Subject {
    if !draft.one_control_stream() {
        return Subject::Nothing;
    }
    let fields = draft.table().layout == Layout::Fields;
    match message {
        MessageType::SubscribeOk | MessageType::SubscribeError => {
            Subject::Request(Some(RequestKind::Subscribe))
        }
        MessageType::PublishOk | MessageType::PublishError => {
            Subject::Request(Some(RequestKind::Publish))
        }
        MessageType::FetchOk | MessageType::FetchError | MessageType::FetchCancel => {
            Subject::Request(Some(RequestKind::Fetch))
        }
        MessageType::TrackStatusOk | MessageType::TrackStatusError => {
            Subject::Request(Some(RequestKind::TrackStatus))
        }
        MessageType::PublishNamespaceOk | MessageType::PublishNamespaceError => {
            Subject::Request(Some(RequestKind::PublishNamespace))
        }
        MessageType::SubscribeNamespaceOk | MessageType::SubscribeNamespaceError => {
            Subject::Request(Some(RequestKind::SubscribeNamespace))
        }
        MessageType::RequestOk
        | MessageType::RequestError
        | MessageType::PublishDone
        | MessageType::Unsubscribe => Subject::Request(None),
        MessageType::PublishNamespaceDone | MessageType::PublishNamespaceCancel if fields => {
            Subject::Namespace
        }
        MessageType::PublishNamespaceDone | MessageType::PublishNamespaceCancel => {
            Subject::Request(Some(RequestKind::PublishNamespace))
        }
        MessageType::UnsubscribeNamespace => Subject::Namespace,
        // REQUEST_UPDATE names itself first, and what it changes after that.
        MessageType::RequestUpdate
        | MessageType::Setup
        | MessageType::ClientSetup
        | MessageType::ServerSetup
        | MessageType::GoAway
        | MessageType::MaxRequestId
        | MessageType::RequestsBlocked
        | MessageType::Subscribe
        | MessageType::Publish
        | MessageType::Fetch
        | MessageType::TrackStatus
        | MessageType::PublishNamespace
        | MessageType::SubscribeNamespace
        | MessageType::SubscribeTracks
        | MessageType::Namespace
        | MessageType::NamespaceDone
        | MessageType::PublishBlocked => Subject::Nothing,
    }
}

fn read_about(reader: &mut Reader, message: MessageType) -> Result<Option<About>, DecodeError> {
    Ok(match subject(reader.draft, message) {
        Subject::Nothing => None,
        Subject::Request(kind) => Some(About::Request {
            id: RequestId(reader.varint("request id")?),
            kind,
        }),
        Subject::Namespace => Some(About::Namespace(reader.namespace()?)),
    })
}

fn write_about(
    writer: &mut Writer<'_>,
    message: MessageType,
    about: Option<&About>,
) -> Result<(), EncodeError> {
    match (subject(writer.draft, message), about) {
        (Subject::Nothing, _) => {}
        (Subject::Request(_), Some(About::Request { id, .. })) => writer.varint(id.0),
        (Subject::Namespace, Some(About::Namespace(namespace))) => writer.namespace(namespace),
        (Subject::Request(_), Some(About::Namespace(_)) | None)
        | (Subject::Namespace, Some(About::Request { .. }) | None) => {
            return Err(EncodeError::Value("what the message is about"));
        }
    }
    Ok(())
}

/// Reads a payload; the caller checks that nothing is left.
fn read(
    reader: &mut Reader,
    message: MessageType,
    about: &mut Option<About>,
) -> Result<Message, DecodeError> {
    let layout = reader.draft.table().layout;
    Ok(match message {
        MessageType::Setup => Message::Setup(read_setup(reader)?),
        MessageType::ClientSetup => Message::Setup(read_old_setup(reader, Role::Client)?),
        MessageType::ServerSetup => Message::Setup(read_old_setup(reader, Role::Server)?),
        MessageType::GoAway => Message::GoAway(read_goaway(reader)?),
        MessageType::MaxRequestId => Message::MaxRequestId(reader.varint("max request id")?),
        MessageType::RequestsBlocked => {
            Message::RequestsBlocked(reader.varint("maximum request id")?)
        }
        MessageType::Subscribe => Message::Subscribe(read_subscribe(reader, Scope::Subscribe)?),
        MessageType::TrackStatus => {
            Message::TrackStatus(read_subscribe(reader, Scope::TrackStatus)?)
        }
        MessageType::SubscribeOk => {
            let alias = TrackAlias(reader.varint("track alias")?);
            let RequestOk { params, properties } = match layout {
                Layout::Typed | Layout::Pairs => read_ok(reader, Scope::SubscribeOk)?,
                Layout::Fields => fields::read_ok(reader)?,
            };
            Message::SubscribeOk(SubscribeOk {
                alias,
                params,
                properties,
            })
        }
        MessageType::Publish => Message::Publish(read_publish(reader)?),
        MessageType::PublishOk => Message::RequestOk(RequestOk {
            params: match layout {
                Layout::Typed | Layout::Pairs => Parameters::read(reader, Scope::PublishOk)?,
                Layout::Fields => fields::read_publish_ok(reader)?,
            },
            ..RequestOk::default()
        }),
        MessageType::PublishDone => Message::PublishDone(PublishDone {
            status: PublishDoneCode::from_code(reader.draft, reader.varint("status code")?),
            streams: Some(reader.varint("stream count")?)
                .filter(|streams| *streams < STREAMS_UNKNOWN),
            reason: reader.reason()?,
        }),
        MessageType::Fetch => Message::Fetch(read_fetch(reader)?),
        MessageType::FetchOk => Message::FetchOk(read_fetch_ok(reader)?),
        MessageType::TrackStatusOk => {
            // The alias says nothing (section 9.17 of draft 14).
            reader.varint("track alias")?;
            Message::RequestOk(fields::read_ok(reader)?)
        }
        MessageType::PublishNamespace => {
            Message::PublishNamespace(read_prefix(reader, Scope::PublishNamespace)?)
        }
        MessageType::PublishNamespaceOk | MessageType::SubscribeNamespaceOk => {
            Message::RequestOk(RequestOk::default())
        }
        MessageType::SubscribeNamespace => read_subscribe_namespace(reader)?,
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
        MessageType::RequestUpdate => {
            let id = RequestId(reader.varint("request id")?);
            if reader.draft.one_control_stream() {
                *about = Some(About::Request {
                    id: RequestId(reader.varint("existing request id")?),
                    kind: None,
                });
            }
            let params = match layout {
                Layout::Typed | Layout::Pairs => Parameters::read(reader, Scope::AnyUpdate)?,
                Layout::Fields => fields::read_update(reader)?,
            };
            Message::RequestUpdate(RequestUpdate { id, params })
        }
        MessageType::RequestOk => match layout {
            Layout::Typed => Message::RequestOk(read_ok(reader, Scope::AnyOk)?),
            Layout::Pairs | Layout::Fields => Message::RequestOk(RequestOk {
                params: Parameters::read(reader, Scope::AnyOk)?,
                ..RequestOk::default()
            }),
        },
        MessageType::RequestError
        | MessageType::SubscribeError
        | MessageType::PublishError
        | MessageType::FetchError
        | MessageType::TrackStatusError
        | MessageType::PublishNamespaceError
        | MessageType::SubscribeNamespaceError => {
            Message::RequestError(read_error(reader, about.as_ref())?)
        }
        MessageType::Unsubscribe => Message::Unsubscribe,
        MessageType::FetchCancel => Message::FetchCancel,
        MessageType::PublishNamespaceDone => Message::PublishNamespaceDone,
        MessageType::PublishNamespaceCancel => {
            let code = reader.varint("error code")?;
            let kind = RequestKind::PublishNamespace;
            Message::PublishNamespaceCancel(RequestError::new(
                RequestCode::from_code_for(reader.draft, kind, code),
                reader.reason()?,
            ))
        }
        MessageType::UnsubscribeNamespace => Message::UnsubscribeNamespace,
    })
}

fn write(
    message: &Message,
    about: Option<&About>,
    writer: &mut Writer<'_>,
) -> Result<(), EncodeError> {
    let draft = writer.draft;
    let layout = draft.table().layout;
    match message {
        Message::Setup(setup) => write_setup(writer, setup)?,
        Message::GoAway(goaway) => {
            writer.sized("new session URI", &goaway.uri, URI_LEN_BYTES_MAX)?;
            if !draft.one_control_stream() {
                writer.milliseconds(goaway.timeout);
                if let Some(RequestId(id)) = goaway.request {
                    writer.varint(id);
                }
            }
        }
        Message::MaxRequestId(id) | Message::RequestsBlocked(id) => writer.varint(*id),
        Message::Subscribe(subscribe) => write_subscribe(writer, subscribe, Scope::Subscribe)?,
        Message::TrackStatus(status) => write_subscribe(writer, status, Scope::TrackStatus)?,
        Message::SubscribeOk(ok) => {
            writer.varint(ok.alias.0);
            match layout {
                Layout::Typed | Layout::Pairs => {
                    ok.params.write(writer, Scope::SubscribeOk)?;
                    writer.raw(&ok.properties);
                }
                Layout::Fields => fields::write_ok(writer, &ok.params, &ok.properties)?,
            }
        }
        Message::Publish(publish) => {
            writer.varint(publish.id.0);
            writer.track(&publish.track)?;
            writer.varint(publish.alias.0);
            match layout {
                Layout::Typed | Layout::Pairs => {
                    publish.params.write(writer, Scope::Publish)?;
                    writer.raw(&publish.properties);
                }
                Layout::Fields => {
                    fields::write_publish(writer, &publish.params, &publish.properties)?
                }
            }
        }
        Message::PublishDone(done) => {
            writer.varint(done.status.to_code(draft));
            writer.varint(done.streams.unwrap_or(STREAMS_UNKNOWN));
            writer.reason(&done.reason);
        }
        Message::Fetch(fetch) => write_fetch(writer, fetch)?,
        Message::FetchOk(ok) => write_fetch_ok(writer, ok)?,
        Message::PublishNamespace(request) => {
            write_prefix(writer, request, Scope::PublishNamespace, None)?
        }
        Message::SubscribeNamespace(request) => write_prefix(
            writer,
            request,
            Scope::SubscribeNamespace,
            Some(WANTS_NAMESPACES),
        )?,
        Message::SubscribeTracks(request) => {
            write_prefix(writer, request, Scope::SubscribeTracks, Some(WANTS_TRACKS))?
        }
        Message::SubscribeBoth(request) => {
            write_prefix(writer, request, Scope::SubscribeTracks, Some(WANTS_BOTH))?
        }
        Message::Namespace(suffix) | Message::NamespaceDone(suffix) => writer.namespace(suffix),
        Message::PublishBlocked(blocked) => {
            writer.namespace(&blocked.suffix);
            writer.sized("track name", &blocked.name, Namespace::LEN_BYTES_MAX)?;
        }
        Message::RequestUpdate(update) => {
            writer.varint(update.id.0);
            if draft.one_control_stream() {
                let Some(About::Request { id, .. }) = about else {
                    return Err(EncodeError::Value("what the message is about"));
                };
                writer.varint(id.0);
            }
            match layout {
                Layout::Typed | Layout::Pairs => update.params.write(writer, Scope::AnyUpdate)?,
                Layout::Fields => fields::write_update(writer, &update.params)?,
            }
        }
        Message::RequestOk(ok) => write_request_ok(writer, ok, about)?,
        Message::RequestError(error) => write_error(writer, error, about)?,
        Message::PublishNamespaceCancel(error) => {
            let kind = RequestKind::PublishNamespace;
            writer.varint(error.code.to_code_for(draft, kind));
            writer.reason(&error.reason);
        }
        Message::Unsubscribe
        | Message::FetchCancel
        | Message::PublishNamespaceDone
        | Message::UnsubscribeNamespace => {}
    }
    Ok(())
}

fn read_goaway(reader: &mut Reader) -> Result<GoAway, DecodeError> {
    let uri = reader.sized("new session URI", URI_LEN_BYTES_MAX)?;
    if reader.draft.one_control_stream() {
        return Ok(GoAway {
            uri,
            timeout: Duration::ZERO,
            request: None,
        });
    }
    Ok(GoAway {
        uri,
        timeout: reader.milliseconds("timeout")?,
        request: if reader.is_empty() {
            None
        } else {
            Some(RequestId(reader.varint("request id")?))
        },
    })
}

/// Parameters and, to the end, track properties.
fn read_ok(reader: &mut Reader, scope: Scope) -> Result<RequestOk, DecodeError> {
    Ok(RequestOk {
        params: Parameters::read(reader, scope)?,
        properties: reader.properties(),
    })
}

fn write_request_ok(
    writer: &mut Writer<'_>,
    ok: &RequestOk,
    about: Option<&About>,
) -> Result<(), EncodeError> {
    let kind = match about {
        Some(About::Request { kind, .. }) => *kind,
        Some(About::Namespace(_)) | None => None,
    };
    match (writer.draft.table().layout, kind) {
        (Layout::Typed, _) => {
            ok.params.write(writer, Scope::AnyOk)?;
            writer.raw(&ok.properties);
        }
        // Track properties are not in these drafts' answers.
        (Layout::Pairs, Some(RequestKind::Publish)) => ok.params.write(writer, Scope::PublishOk)?,
        (Layout::Pairs, _) => ok.params.write(writer, Scope::AnyOk)?,
        (Layout::Fields, Some(RequestKind::Publish)) => {
            fields::write_publish_ok(writer, &ok.params)?
        }
        (Layout::Fields, Some(RequestKind::TrackStatus)) => {
            writer.varint(0);
            fields::write_ok(writer, &ok.params, &ok.properties)?;
        }
        (Layout::Fields, _) => {}
    }
    Ok(())
}

fn read_publish(reader: &mut Reader) -> Result<Publish, DecodeError> {
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

fn read_fetch(reader: &mut Reader) -> Result<Fetch, DecodeError> {
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

fn write_fetch(writer: &mut Writer<'_>, fetch: &Fetch) -> Result<(), EncodeError> {
    writer.varint(fetch.id.0);
    match writer.draft.table().layout {
        Layout::Typed | Layout::Pairs => {}
        Layout::Fields => fields::write_priority_and_order(writer, &fetch.params),
    }
    write_fetch_range(writer, &fetch.range)?;
    fetch.params.write(writer, Scope::Fetch)
}

fn read_fetch_ok(reader: &mut Reader) -> Result<FetchOk, DecodeError> {
    let order = match reader.draft.table().layout {
        Layout::Typed | Layout::Pairs => None,
        Layout::Fields => Some(fields::read_order(reader)?),
    };
    let end_of_track = match reader.byte("end of track")? {
        0 => false,
        1 => true,
        other => return Err(DecodeError::Forbidden("end of track", other.into())),
    };
    let end = reader.location("end location")?;
    let RequestOk { params, properties } = match order {
        None => read_ok(reader, Scope::FetchOk)?,
        Some(order) => RequestOk {
            params: Parameters::default(),
            ..fields::read_properties(reader, order)?
        },
    };
    Ok(FetchOk {
        end_of_track,
        end,
        params,
        properties,
    })
}

fn write_fetch_ok(writer: &mut Writer<'_>, ok: &FetchOk) -> Result<(), EncodeError> {
    let fixed = match writer.draft.table().layout {
        Layout::Typed | Layout::Pairs => None,
        Layout::Fields => Some(fields::properties(writer.draft, &ok.properties)?),
    };
    if let Some(properties) = &fixed {
        writer.byte(properties.group_order.to_code());
    }
    writer.byte(ok.end_of_track.into());
    writer.location(ok.end);
    match &fixed {
        None => {
            ok.params.write(writer, Scope::FetchOk)?;
            writer.raw(&ok.properties);
        }
        Some(properties) => fields::write_properties(writer, properties, &[]),
    }
    Ok(())
}

/// SUBSCRIBE_NAMESPACE: up to draft 16 it may want tracks, too.
fn read_subscribe_namespace(reader: &mut Reader) -> Result<Message, DecodeError> {
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

/// CLIENT_SETUP and SERVER_SETUP.
fn read_old_setup(reader: &mut Reader, sender: Role) -> Result<Setup, DecodeError> {
    let mut versions = Vec::new();
    if reader.draft.version().is_some() {
        let count = match sender {
            Role::Client => reader.varint("number of versions")?,
            Role::Server => 1,
        };
        if count > Message::VERSIONS_MAX as u64 {
            return Err(DecodeError::Forbidden("number of versions", count));
        }
        for _ in 0..count {
            versions.push(reader.varint("version")?);
        }
    }
    let count = reader.varint("number of parameters")?;
    let rest = reader.rest();
    let found = KeyValues::new(reader.draft, rest.clone()).count() as u64;
    if found != count {
        return Err(DecodeError::Forbidden("number of parameters", count));
    }
    let mut options = Reader::new(reader.draft, rest);
    Ok(Setup {
        sender: Some(sender),
        versions,
        ..read_setup(&mut options)?
    })
}

fn read_setup(reader: &mut Reader) -> Result<Setup, DecodeError> {
    let draft = reader.draft;
    let codes = &draft.table().setup;
    let mut setup = Setup::default();
    for pair in KeyValues::new(draft, reader.rest()) {
        let pair = pair?;
        let before = match pair.value {
            Value::Int(value) if Some(pair.key) == codes.max_request_id => {
                setup.max_request_id.replace(value).is_some()
            }
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
    if let (Some(key), Some(id)) = (codes.max_request_id, setup.max_request_id) {
        options.push((key, Value::Int(id)));
    }
    if let Some(size) = setup.auth_token_cache_bytes_max {
        options.push((codes.auth_token_cache_size_max, Value::Int(size)));
    }
    for token in &setup.authorization {
        options.push((codes.authorization_token, Value::Bytes(token.encode(draft))));
    }
    options.sort_by_key(|(key, _)| *key);
    if draft.version().is_some() {
        if setup.sender == Some(Role::Client) {
            writer.varint(setup.versions.len() as u64);
        }
        setup
            .versions
            .iter()
            .for_each(|version| writer.varint(*version));
    }
    if draft.one_control_stream() {
        writer.varint(options.len() as u64);
    }
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
        params: match reader.draft.table().layout {
            Layout::Typed | Layout::Pairs => Parameters::read(reader, scope)?,
            Layout::Fields => fields::read_subscribe(reader, scope)?,
        },
    })
}

fn write_subscribe(
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

fn read_error(reader: &mut Reader, about: Option<&About>) -> Result<RequestError, DecodeError> {
    let draft = reader.draft;
    let layout = draft.table().layout;
    let number = reader.varint("error code")?;
    let code = match about {
        Some(About::Request {
            kind: Some(kind), ..
        }) => RequestCode::from_code_for(draft, *kind, number),
        Some(About::Request { kind: None, .. } | About::Namespace(_)) | None => {
            RequestCode::from_code(draft, number)
        }
    };
    let retry = match layout {
        // Milliseconds plus one; zero: never (section 10.6.2).
        Layout::Typed | Layout::Pairs => reader
            .varint("retry interval")?
            .checked_sub(1)
            .map(Duration::from_millis),
        Layout::Fields => None,
    };
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

fn write_error(
    writer: &mut Writer<'_>,
    error: &RequestError,
    about: Option<&About>,
) -> Result<(), EncodeError> {
    let layout = writer.draft.table().layout;
    writer.varint(match about {
        Some(About::Request {
            kind: Some(kind), ..
        }) => error.code.to_code_for(writer.draft, *kind),
        Some(About::Request { kind: None, .. } | About::Namespace(_)) | None => {
            error.code.to_code(writer.draft)
        }
    });
    let retry = error
        .retry
        .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    match layout {
        Layout::Typed | Layout::Pairs => {
            writer.varint(retry.map_or(0, |after| after.saturating_add(1)));
        }
        Layout::Fields => {}
    }
    writer.reason(&error.reason);
    if layout != Layout::Typed {
        return Ok(());
    }
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
        Some(track) => writer.track(track)?,
        None => {
            writer.namespace(&Namespace::empty());
            writer.varint(0);
        }
    }
    Ok(())
}
