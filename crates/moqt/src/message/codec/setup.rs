//! SETUP, and CLIENT_SETUP and SERVER_SETUP before it.

use crate::{
    DecodeError, EncodeError, KeyValueEncoder, KeyValues, Message, Role, Setup, Token, Value,
    wire::{Reader, Writer},
};

/// CLIENT_SETUP and SERVER_SETUP.
pub(super) fn read_old_setup(reader: &mut Reader, sender: Role) -> Result<Setup, DecodeError> {
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

pub(super) fn read_setup(reader: &mut Reader) -> Result<Setup, DecodeError> {
    let draft = reader.draft;
    let codes = &draft.table().setup;
    let mut setup = Setup::default();
    for pair in KeyValues::new(draft, reader.rest()) {
        let pair = pair?;
        let before = match pair.value {
            Value::Int(value) if Some(pair.key) == codes.max_request_id => {
                setup.max_request_id.replace(value).is_some()
            }
            Value::Int(value) if Some(pair.key) == codes.filter_ranges_max => {
                setup.filter_ranges_max.replace(value).is_some()
            }
            Value::Int(value) if Some(pair.key) == codes.request_updates_max => {
                setup.request_updates_max.replace(value).is_some()
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

pub(super) fn write_setup(writer: &mut Writer<'_>, setup: &Setup) -> Result<(), EncodeError> {
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
    for (key, value) in [
        (codes.max_request_id, setup.max_request_id),
        (codes.filter_ranges_max, setup.filter_ranges_max),
        (codes.request_updates_max, setup.request_updates_max),
    ] {
        if let (Some(key), Some(value)) = (key, value) {
            options.push((key, Value::Int(value)));
        }
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
