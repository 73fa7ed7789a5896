//! A group and its subgroups, as several publishers sent them.

use std::sync::Arc;

use super::{
    super::{SourceId, log::Subgroup},
    Ended, Malformed, PUBLISHERS_MAX,
    runs::Runs,
};

/// What is remembered of a group.
#[derive(Default)]
pub(super) struct Group {
    pub(super) id: u64,
    /// Which objects each publisher sent, repeated ones too.
    pub(super) heard: Vec<(SourceId, Runs)>,
    /// The largest object.
    pub(super) top: Option<u64>,
    /// Objects that another one said will never exist.
    pub(super) absent: Runs,
    /// From here on there are no objects.
    pub(super) end: Option<u64>,
    pub(super) prior_gap: Option<u64>,
    pub(super) subgroups: Vec<Sub>,
}

/// A subgroup.
pub(super) struct Sub {
    pub(super) id: u64,
    pub(super) priority: Option<u8>,
    /// Publishers whose streams are open.
    pub(super) open: Vec<SourceId>,
    /// Publishers that have finished it, and the last object that each sent.
    pub(super) finished: Vec<(SourceId, u64)>,
    pub(super) out: Option<Out>,
}

/// The stream on which a subgroup goes out.
pub(super) struct Out {
    pub(super) subgroup: Arc<Subgroup>,
    pub(super) last: Option<u64>,
}

impl Group {
    pub(super) fn is_quiet(&self) -> bool {
        self.subgroups.iter().all(Sub::is_quiet)
    }

    pub(super) fn ids(&mut self, source: SourceId) -> &mut Runs {
        let known = self.heard.iter().position(|(other, _)| *other == source);
        let index = known.unwrap_or_else(|| {
            if self.heard.len() > PUBLISHERS_MAX {
                // Its publisher is gone: what it sent counts as sent by the next one.
                let (_, gone) = self.heard.remove(0);
                self.heard[0].1.absorb(gone);
            }
            self.heard.push((source, Runs::default()));
            self.heard.len() - 1
        });
        &mut self.heard[index].1
    }

    pub(super) fn sub(&mut self, id: u64) -> &mut Sub {
        let known = self.subgroups.iter().rposition(|sub| sub.id == id);
        let index = known.unwrap_or_else(|| {
            if self.subgroups.len() >= SUBGROUPS_MAX
                && let Some(quiet) = self.subgroups.iter().position(Sub::is_quiet)
            {
                self.subgroups.remove(quiet);
            }
            self.subgroups.push(Sub {
                id,
                priority: None,
                open: Vec::new(),
                finished: Vec::new(),
                out: None,
            });
            self.subgroups.len() - 1
        });
        &mut self.subgroups[index]
    }

    /// There are no objects from `end` on.
    pub(super) fn end_at(&mut self, end: u64) -> Result<(), Malformed> {
        let elsewhere = self.end.is_some_and(|before| before != end);
        if elsewhere || self.top.is_some_and(|top| top >= end) {
            return Err(Malformed("a group ends before its last object"));
        }
        self.end = Some(end);
        Ok(())
    }

    /// Objects before this one will never exist.
    pub(super) fn objects_missing(&mut self, id: u64, gap: u64) -> Result<(), Malformed> {
        let first = id
            .checked_sub(gap)
            .ok_or(Malformed("a gap of more objects than there are"))?;
        let Some(last) = id.checked_sub(1).filter(|last| *last >= first) else {
            return Ok(());
        };
        if self.heard.iter().any(|(_, ids)| ids.overlaps(first, last)) {
            return Err(Malformed("a gap where an object was"));
        }
        self.absent.insert(first, last);
        Ok(())
    }
}

impl Sub {
    pub(super) fn is_quiet(&self) -> bool {
        self.open.is_empty() && self.out.is_none()
    }

    /// Ends the stream that goes out, unless another publisher's may go on.
    pub(super) fn end_if_last(&mut self) -> Option<Ended> {
        if !self.open.is_empty() {
            return None;
        }
        let out = self.out.take()?;
        let whole = |(_, last): &(SourceId, u64)| out.last == Some(*last);
        Some(Ended {
            well: self.finished.iter().any(whole),
            subgroup: out.subgroup,
        })
    }
}

/// Subgroups that are remembered of a group: a second of voice with a stream for each object.
pub(super) const SUBGROUPS_MAX: usize = 64;
