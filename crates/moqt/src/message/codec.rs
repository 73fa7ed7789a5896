//! Writing and reading control messages.

use bytes::BytesMut;

mod answer;
mod fields;
mod request;
mod setup;
mod subject;

use super::{
    About, Envelope, Message, PublishBlocked, PublishDone, RequestError, RequestKind, RequestOk,
    RequestUpdate, SubscribeOk,
};

use crate::{
    DecodeError, Draft, EncodeError, Namespace, Parameters, PublishDoneCode, RequestCode,
    RequestId, Role, Scope, TrackAlias, VarInt,
    draft::{Layout, MessageType},
    wire::{Reader, URI_LEN_BYTES_MAX, Writer},
};
use answer::{
    read_error, read_fetch_ok, read_goaway, read_ok, write_error, write_fetch_ok, write_request_ok,
};
use request::{
    WANTS_BOTH, WANTS_NAMESPACES, WANTS_TRACKS, read_fetch, read_prefix, read_publish,
    read_subscribe, read_subscribe_namespace, write_fetch, write_prefix, write_subscribe,
};
use setup::{read_old_setup, read_setup, write_setup};
use subject::{read_about, write_about};

/// Stream Count when the publisher does not know it (section 10.12).
const STREAMS_UNKNOWN: u64 = (1 << 62) - 1;

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
                if let (Some(RequestId(id)), true) =
                    (goaway.request, draft.table().goaway_names_request)
                {
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
