//! How an object stands on the wire, for each draft that someone reads it in.

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::{
    Draft, TrackAlias, TrackProperties,
    data::{self, ObjectDatagram, SubgroupEncoder},
    translate_properties,
};

use super::{Object, log::Subgroup};

/// Drafts there are.
const DRAFTS: usize = Draft::D19 as usize + 1;

/// One object's bytes: those of its publisher's draft, and those of others once someone wanted them.
#[derive(Debug)]
pub(crate) struct Wire {
    draft: Draft,
    own: OnceLock<Option<Bytes>>,
    others: ByDraft,
}

/// Bytes that are made once for each draft that someone wants them in; most are never wanted.
#[derive(Debug, Default)]
pub(crate) struct ByDraft(OnceLock<Box<[OnceLock<Option<Bytes>>; DRAFTS]>>);

impl Wire {
    pub(crate) fn new(draft: Draft, bytes: Bytes) -> Self {
        Self {
            draft,
            own: OnceLock::from(Some(bytes)),
            others: ByDraft::default(),
        }
    }

    /// Has no bytes before someone wants them: most voices are heard within the process, where nobody does.
    pub(crate) fn later(draft: Draft) -> Self {
        Self {
            draft,
            own: OnceLock::new(),
            others: ByDraft::default(),
        }
    }

    /// Returns the length in the publisher's draft, in bytes, as far as it was written.
    pub(crate) fn len(&self) -> usize {
        self.own
            .get()
            .and_then(Option::as_ref)
            .map_or(0, Bytes::len)
    }

    /// Returns the bytes in a draft, which are made once; `None`: the draft has no way to write the object.
    pub(crate) fn of(&self, draft: Draft, make: impl FnOnce() -> Option<Bytes>) -> Option<Bytes> {
        if draft == self.draft {
            return self.own.get_or_init(make).clone();
        }
        self.others.of(draft, make)
    }
}

impl ByDraft {
    /// Returns the bytes in a draft, which are made once; `None`: the draft has no way to write them.
    pub(crate) fn of(&self, draft: Draft, make: impl FnOnce() -> Option<Bytes>) -> Option<Bytes> {
        let drafts = self.0.get_or_init(Box::default);
        drafts.get(draft as usize)?.get_or_init(make).clone()
    }
}

/// Writes a datagram in a draft, from what the log has of it.
///
/// `priority`: the track's, for drafts that write one in each datagram.
pub(crate) fn datagram(
    draft: Draft,
    alias: TrackAlias,
    object: &Object,
    priority: u8,
) -> Option<Bytes> {
    let datagram = ObjectDatagram {
        alias,
        group: object.group,
        id: object.id,
        priority: priority_of(draft, object.priority, priority),
        end_of_group: object.end_of_group,
        status: object.status,
        properties: translate_properties(Draft::D18, draft, &object.properties).ok()?,
        payload: object.payload.clone(),
    };
    datagram.encode(draft).ok()
}

/// Writes an object of a stream on which `previous` was the one before it.
///
/// `whole`: with its payload.
pub(crate) fn object(
    draft: Draft,
    alias: TrackAlias,
    subgroup: &Subgroup,
    object: &data::Object,
    previous: Option<u64>,
    whole: bool,
) -> Option<Bytes> {
    let properties = translate_properties(Draft::D18, draft, &object.properties).ok()?;
    let translated = data::Object {
        properties,
        ..object.clone()
    };
    let header = super::stream_header(alias, subgroup, true);
    let mut encoder = SubgroupEncoder::resume(draft, header, previous);
    let mut bytes = BytesMut::new();
    encoder.object(&translated, &mut bytes).ok()?;
    if whole {
        bytes.extend_from_slice(&object.payload);
    }
    Some(bytes.freeze())
}

/// The priority that a header names; draft 14 always names one.
pub(crate) fn priority_of(draft: Draft, named: Option<u8>, track: u8) -> Option<u8> {
    match draft {
        Draft::D14 => Some(named.unwrap_or(track)),
        Draft::D16 | Draft::D18 | Draft::D19 => named,
    }
}

/// Writes a track's properties, which are kept as draft 18 has them, for a peer of another draft.
pub(crate) fn track_properties(draft: Draft, properties: &Bytes) -> Bytes {
    // They were read when they came, so they can be read.
    TrackProperties::translate(Draft::D18, draft, properties).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_drafts_bytes_are_made_once() {
        let wire = Wire::new(Draft::D18, Bytes::from_static(b"eighteen"));
        let mut made = 0;

        for _ in 0..3 {
            let bytes = wire.of(Draft::D16, || {
                made += 1;
                Some(Bytes::from_static(b"sixteen"))
            });
            assert_eq!(bytes.as_deref(), Some(&b"sixteen"[..]));
            let own = wire.of(Draft::D18, || unreachable!("it is there"));
            assert_eq!(own.as_deref(), Some(&b"eighteen"[..]));
        }

        assert_eq!(made, 1);
    }

    #[test]
    fn what_nobody_wanted_is_made_when_someone_does() {
        let wire = Wire::later(Draft::D18);
        let mut made = 0;
        assert_eq!(wire.len(), 0);

        for _ in 0..2 {
            let bytes = wire.of(Draft::D18, || {
                made += 1;
                Some(Bytes::from_static(b"eighteen"))
            });
            assert_eq!(bytes.as_deref(), Some(&b"eighteen"[..]));
        }

        assert_eq!((made, wire.len()), (1, 8));
    }
}
