//! What a message is about: on the one control stream of draft 16 and earlier it says so itself.

use crate::{
    About, DecodeError, Draft, EncodeError, RequestId, RequestKind,
    draft::{Layout, MessageType},
    wire::{Reader, Writer},
};

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

pub(super) fn read_about(
    reader: &mut Reader,
    message: MessageType,
) -> Result<Option<About>, DecodeError> {
    Ok(match subject(reader.draft, message) {
        Subject::Nothing => None,
        Subject::Request(kind) => Some(About::Request {
            id: RequestId(reader.varint("request id")?),
            kind,
        }),
        Subject::Namespace => Some(About::Namespace(reader.namespace()?)),
    })
}

pub(super) fn write_about(
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
