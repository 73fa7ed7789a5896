//! One seat: a track that carries its holder's objects.

use bytes::Bytes;
use moqrelay_relay::track::{Object, WriteError, Writer};
use moqrelay_wire::audio_object::GROUP_OBJECTS;

use crate::publication::unix_seconds;

pub(super) struct Seat {
    writer: Writer,
    /// Whose objects go there now.
    pub(super) holder: Option<u64>,
    /// When it got empty, in ticks of the room.
    pub(super) empty_since: u64,
    /// Whose objects were the last.
    last: Option<u64>,
    group: u64,
    next: u64,
    /// The group whose stream is open, where a stream carries the voice.
    open_group: Option<u64>,
}

impl Seat {
    pub(super) fn new(writer: Writer) -> Self {
        Self {
            writer,
            holder: None,
            empty_since: 0,
            last: None,
            group: unix_seconds(),
            next: 0,
            open_group: None,
        }
    }

    pub(super) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Tells who had the seat last, whether or not it is empty now.
    pub(super) fn last(&self) -> Option<u64> {
        self.last
    }

    /// Hands an object of `from` on. `anew`: its publisher is another one than before.
    pub(super) fn pass(
        &mut self,
        from: u64,
        object: &Object,
        properties: Bytes,
        anew: bool,
    ) -> Result<(), WriteError> {
        let changes = self.last.replace(from) != Some(from);
        if self.next >= GROUP_OBJECTS || (self.next > 0 && (changes || anew)) {
            self.group += 1;
            self.next = 0;
        }
        if let Some(ended) = self.open_group.take_if(|open| *open != self.group) {
            self.writer.finish_group(ended);
        }
        if object.subgroup.is_some() {
            self.open_group = Some(self.group);
        }
        let id = self.next;
        self.next += 1;
        self.writer.write(Object {
            group: self.group,
            subgroup: object.subgroup.map(|_| 0),
            id,
            priority: None,
            properties,
            payload: object.payload.clone(),
            ..Object::default()
        })
    }
}
