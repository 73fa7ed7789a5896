//! Answers to requests, and GOAWAY.

use core::time::Duration;

use crate::{
    About, DecodeError, EncodeError, FetchOk, GoAway, GroupOrder, Namespace, Parameters, Redirect,
    RequestCode, RequestError, RequestId, RequestKind, RequestOk, Scope,
    draft::Layout,
    wire::{Reader, URI_LEN_BYTES_MAX, Writer},
};

use super::fields;

pub(super) fn read_goaway(reader: &mut Reader) -> Result<GoAway, DecodeError> {
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
        request: if reader.is_empty() || !reader.draft.table().goaway_names_request {
            None
        } else {
            Some(RequestId(reader.varint("request id")?))
        },
    })
}

/// Parameters and, to the end, track properties.
pub(super) fn read_ok(reader: &mut Reader, scope: Scope) -> Result<RequestOk, DecodeError> {
    Ok(RequestOk {
        params: Parameters::read(reader, scope)?,
        properties: reader.properties(),
    })
}

pub(super) fn write_request_ok(
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

pub(super) fn read_fetch_ok(reader: &mut Reader) -> Result<FetchOk, DecodeError> {
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
            // How this answer comes, not what the track prefers.
            params: Parameters {
                group_order: Some(order),
                ..Parameters::default()
            },
            ..fields::read_properties(reader, GroupOrder::default())?
        },
    };
    Ok(FetchOk {
        end_of_track,
        end,
        params,
        properties,
    })
}

pub(super) fn write_fetch_ok(writer: &mut Writer<'_>, ok: &FetchOk) -> Result<(), EncodeError> {
    let fixed = match writer.draft.table().layout {
        Layout::Typed | Layout::Pairs => None,
        Layout::Fields => Some(fields::properties(writer.draft, &ok.properties)?),
    };
    if fixed.is_some() {
        writer.byte(ok.params.group_order.unwrap_or_default().to_code());
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

pub(super) fn read_error(
    reader: &mut Reader,
    about: Option<&About>,
) -> Result<RequestError, DecodeError> {
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

pub(super) fn write_error(
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
