//! Publishing from within the process.

use std::{
    collections::BTreeMap,
    task::{Context, Poll},
};

use moqrelay_moqt::{
    EncodeError, ObjectProperties, ResetCode, TrackAlias,
    data::{self, SubgroupHeader, SubgroupId},
};

use super::{Inlet, InletError, Lane, Object, SubgroupEnd};
use crate::table::Shared;

/// Subgroups that a writer may have open; the oldest one is reset beyond. Engines need one or two.
const OPEN_SUBGROUPS: usize = 64;

/// Publishes one track. Dropping it ends the track.
pub struct Writer {
    shared: Shared,
    inlet: Inlet,
    /// By group and subgroup.
    lanes: BTreeMap<(u64, u64), Lane>,
}

/// Why an object was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Another publisher of the same track has come; this writer is of no more use.
    #[error("another publisher has taken the track over")]
    Superseded,
    /// The object contradicts itself, or its id does not ascend within its subgroup.
    #[error(transparent)]
    Invalid(#[from] EncodeError),
    /// The object contradicts another one of this track: its contents, or its place after an end.
    #[error("{0}")]
    Malformed(&'static str),
}

impl Writer {
    pub(crate) fn new(shared: Shared, inlet: Inlet) -> Self {
        Self {
            shared,
            inlet,
            lanes: BTreeMap::new(),
        }
    }

    /// Sends an object to every reader. Never waits.
    ///
    /// The first object of a subgroup opens its stream. The stream ends after an object with
    /// `end_of_group`, at [`finish_group`](Self::finish_group), or when the writer is dropped.
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub fn write(&mut self, object: Object) -> Result<(), WriteError> {
        let accepted = match object.subgroup {
            None => self.inlet.datagram(
                object.into_datagram(TrackAlias(0)),
                ObjectProperties::default(),
            )?,
            Some(subgroup) => self.write_subgroup(subgroup, object)?,
        };
        if accepted {
            Ok(())
        } else {
            Err(WriteError::Superseded)
        }
    }

    /// Ends the streams of a group: nothing will be added to its subgroups.
    pub fn finish_group(&mut self, group: u64) {
        let keys: Vec<_> = self
            .lanes
            .range((group, 0)..=(group, u64::MAX))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            self.close(key, SubgroupEnd::Fin);
        }
    }

    /// Returns whether anyone reads the track now, a session or a reader in the process.
    pub fn is_read(&self) -> bool {
        self.inlet.track.readers() > 0
    }

    /// Waits until [`is_read`](Self::is_read) is another than `known`, and returns it.
    ///
    /// Only the last task that polled is woken.
    pub fn poll_read(&self, known: bool, cx: &mut Context<'_>) -> Poll<bool> {
        self.inlet.track.audience().register(cx.waker());
        match self.is_read() {
            now if now == known => Poll::Pending,
            now => Poll::Ready(now),
        }
    }

    /// Returns what the slowest connection to a subscriber carried since the last call, bits per second; `None`: nobody
    /// knows. Asked and told once for each group of datagrams.
    pub fn take_bandwidth(&self) -> Option<u32> {
        self.inlet.track.narrowest().take()
    }

    /// Waits until a subscriber wants a new group (NEW_GROUP_REQUEST) and returns what it asked for:
    /// a group above all it knows, or 0. Only tracks whose properties say DYNAMIC_GROUPS are asked.
    ///
    /// Cancel safe. Wishes that come before the last one was heard are one wish.
    pub async fn new_group_wanted(&self) -> u64 {
        std::future::poll_fn(|cx| self.inlet.track.wishes().poll(cx)).await
    }

    /// Returns a wish for a new group that is there already; see
    /// [`new_group_wanted`](Self::new_group_wanted).
    pub fn take_new_group_wish(&self) -> Option<u64> {
        self.inlet.track.wishes().take()
    }

    fn write_subgroup(&mut self, subgroup: u64, object: Object) -> Result<bool, WriteError> {
        let key = (object.group, subgroup);
        if !self.lanes.contains_key(&key) {
            self.make_room();
            let header = SubgroupHeader {
                alias: TrackAlias(0),
                group: object.group,
                subgroup: if subgroup == 0 {
                    SubgroupId::Zero
                } else {
                    SubgroupId::Explicit(subgroup)
                },
                priority: object.priority,
                // Later objects may have properties although the first one has none.
                properties: true,
                end_of_group: false,
                first_object: true,
            };
            self.lanes.insert(key, self.inlet.lane(header));
        }
        let Some(lane) = self.lanes.get_mut(&key) else {
            return Ok(false);
        };
        let last = object.end_of_group;
        let object = data::Object {
            id: object.id,
            status: object.status,
            properties: object.properties,
            payload: object.payload,
        };
        let accepted = self
            .inlet
            .object(lane, object, ObjectProperties::default())?;
        if last {
            self.close(key, SubgroupEnd::Fin);
        }
        Ok(accepted)
    }

    fn make_room(&mut self) {
        if self.lanes.len() < OPEN_SUBGROUPS {
            return;
        }
        if let Some(oldest) = self.lanes.keys().next().copied() {
            self.close(oldest, SubgroupEnd::Reset(ResetCode::Cancelled));
        }
    }

    fn close(&mut self, key: (u64, u64), end: SubgroupEnd) {
        if let Some(lane) = self.lanes.remove(&key) {
            // Ids ascend within a lane: only a writer that wrote beyond its own end contradicts itself.
            if let Err(error) = self.inlet.close(lane, end) {
                tracing::debug!(%error, track = %self.inlet.track.name, "a subgroup's end");
            }
        }
    }
}

impl From<InletError> for WriteError {
    fn from(error: InletError) -> Self {
        match error {
            InletError::Encode(error) => Self::Invalid(error),
            InletError::Malformed(malformed) => Self::Malformed(malformed.0),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        while let Some((key, _)) = self.lanes.first_key_value() {
            self.close(*key, SubgroupEnd::Fin);
        }
        self.shared.writer_gone(self.inlet.source);
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Writer")
            .field(&self.inlet.track.name)
            .finish()
    }
}
