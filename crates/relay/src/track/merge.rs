//! Several publishers of one track, heard as one.
//!
//! Objects are told apart by their location: what one publisher sends after another one did is left
//! out, so that a hand-over between two sessions (draft-18 section 9.5.1) loses and doubles nothing.
//! Objects of a subgroup leave on one stream for as long as they follow each other, whoever sends
//! them. Here, too, is noticed when what is sent contradicts what was sent before (section 2.4.2).
//!
//! No I/O and no clock; the track holds it under a lock, which its publishers share.

mod group;
mod runs;

use std::{collections::VecDeque, sync::Arc};

use moqrelay_moqt::{Location, ObjectProperties, data::ObjectStatus};

use self::{
    group::{Group, Out},
    runs::Runs,
};
use super::{SourceId, log::Subgroup};

/// Publishers of a track that are heard at a time; the oldest gives way. A hand-over has two,
/// redundancy two or three.
pub(crate) const PUBLISHERS_MAX: usize = 4;

/// Groups whose objects are remembered: a quarter of a minute of voice, which is longer than any
/// hand-over. What belongs to an older group is passed on as it comes.
const GROUPS_MAX: usize = 16;

/// A track contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed track: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// What an object says, as far as others may contradict it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    pub(crate) location: Location,
    pub(crate) status: ObjectStatus,
    /// A datagram that says so, not a stream.
    pub(crate) end_of_group: bool,
    pub(crate) properties: ObjectProperties,
}

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    New,
    /// It went on before.
    Repeated,
    /// The newest publisher begins anew: it goes on, and older publishers are heard no more.
    Restarted,
    /// Its publisher is heard no more.
    Superseded,
}

/// Where an object stands on its publisher's stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) group: u64,
    pub(crate) subgroup: u64,
    pub(crate) object: u64,
    /// The object before it on the same stream.
    pub(crate) before: Option<u64>,
    pub(crate) has_properties: bool,
}

/// How a publisher's stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    Fin,
    /// Its header said that the group ends with it.
    FinEndOfGroup,
    Reset,
}

/// A stream that goes out, and ends.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) subgroup: Arc<Subgroup>,
    /// Everything that its publishers sent was on it.
    pub(crate) well: bool,
}

/// Where an object goes out.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) subgroup: Arc<Subgroup>,
    /// The object before it there.
    pub(crate) previous: Option<u64>,
    /// The stream that is given up for it.
    pub(crate) left: Option<Ended>,
}

/// What is remembered of a track's publishers.
#[derive(Default)]
pub(crate) struct Merge {
    /// Who is heard, the newest last.
    sources: Vec<SourceId>,
    /// In the order in which they were first heard of.
    groups: VecDeque<Group>,
    /// Groups that an object said will never exist.
    absent: Runs,
    /// The largest object.
    largest: Option<Location>,
    /// From here on there are no objects.
    end: Option<Location>,
}

impl Merge {
    /// Adds a publisher and returns those that give way.
    pub(crate) fn add(&mut self, source: SourceId) -> Vec<SourceId> {
        self.sources.push(source);
        let surplus = self.sources.len().saturating_sub(PUBLISHERS_MAX);
        self.sources.drain(..surplus).collect()
    }

    /// Hears nobody any more, and forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Hears a publisher no more; returns the streams that end with it.
    pub(crate) fn remove(&mut self, source: SourceId) -> Vec<Ended> {
        self.sources.retain(|other| *other != source);
        let mut ended = Vec::new();
        for sub in self
            .groups
            .iter_mut()
            .flat_map(|group| &mut group.subgroups)
        {
            let before = sub.open.len();
            sub.open.retain(|other| *other != source);
            if sub.open.len() < before {
                ended.extend(sub.end_if_last());
            }
        }
        ended
    }

    pub(crate) fn hears(&self, source: SourceId) -> bool {
        self.sources.contains(&source)
    }

    /// Judges an object. `same`: whether the one that went on before is the same as this; `None`: it
    /// is not kept any more.
    pub(crate) fn judge(
        &mut self,
        source: SourceId,
        said: &Said,
        same: impl FnOnce() -> Option<bool>,
    ) -> Result<Verdict, Malformed> {
        if !self.hears(source) {
            return Ok(Verdict::Superseded);
        }
        let id = said.location.object;
        let group = self.group(said.location.group);
        let heard_from = |(_, ids): &&(SourceId, Runs)| ids.contains(id);
        let mut senders = group.heard.iter().filter(heard_from).peekable();
        if senders.peek().is_none() {
            self.note(source, said)?;
            return Ok(Verdict::New);
        }
        let own = senders.any(|(sender, _)| *sender == source);
        group.ids(source).insert(id, id);
        let may_restart = !own && self.sources.last() == Some(&source);
        match same() {
            Some(true) => Ok(Verdict::Repeated),
            // It lost its memory and counts from the beginning again: what the older ones said does
            // not bind it.
            None | Some(false) if may_restart => {
                self.clear();
                self.sources.push(source);
                self.note(source, said)?;
                Ok(Verdict::Restarted)
            }
            None => Ok(Verdict::Repeated),
            Some(false) => Err(Malformed("an object came twice with different contents")),
        }
    }

    /// A publisher's stream begins.
    pub(crate) fn open(
        &mut self,
        source: SourceId,
        group: u64,
        subgroup: u64,
        priority: Option<u8>,
    ) -> Result<(), Malformed> {
        let sub = self.group(group).sub(subgroup);
        if let (Some(before), Some(now)) = (sub.priority, priority)
            && before != now
        {
            return Err(Malformed("a subgroup has two priorities"));
        }
        sub.priority = sub.priority.or(priority);
        sub.open.push(source);
        Ok(())
    }

    /// Finds the stream on which an object of a subgroup goes out; `begin` makes a new one.
    ///
    /// An object goes on an open stream when its id follows, or when its publisher sent it right
    /// after the last one there (section 11.4.3).
    pub(crate) fn place(
        &mut self,
        source: SourceId,
        place: Place,
        begin: impl FnOnce() -> Arc<Subgroup>,
    ) -> Result<Placed, Malformed> {
        let Place { object, before, .. } = place;
        let sub = self.group(place.group).sub(place.subgroup);
        if sub
            .finished
            .iter()
            .any(|(by, last)| *by == source && *last < object)
        {
            return Err(Malformed("an object beyond the end of its subgroup"));
        }
        let follows = |out: &Out| {
            let next = out.last.is_none_or(|last| {
                last.checked_add(1) == Some(object) || (before == Some(last) && last < object)
            });
            next && (out.subgroup.properties || !place.has_properties)
        };
        let left = sub.out.take_if(|out| !follows(out)).map(|out| Ended {
            subgroup: out.subgroup,
            well: false,
        });
        let out = sub.out.get_or_insert_with(|| Out {
            subgroup: begin(),
            last: None,
        });
        let last = out.last.replace(object);
        Ok(Placed {
            subgroup: out.subgroup.clone(),
            previous: last,
            left,
        })
    }

    /// A publisher's stream ends after the object `last`; returns the stream that goes out when it
    /// ends with it.
    pub(crate) fn close(
        &mut self,
        source: SourceId,
        group: u64,
        subgroup: u64,
        last: Option<u64>,
        end: StreamEnd,
    ) -> Result<Option<Ended>, Malformed> {
        let group = self.group(group);
        let sub = group.sub(subgroup);
        if let Some(index) = sub.open.iter().position(|other| *other == source) {
            sub.open.swap_remove(index);
        }
        let mut contradicted = false;
        if let (Some(last), StreamEnd::Fin | StreamEnd::FinEndOfGroup) = (last, end) {
            let other_end = |(by, before): &(SourceId, u64)| *by == source && *before != last;
            contradicted = sub.finished.iter().any(other_end);
            sub.finished.push((source, last));
        }
        let ended = sub.end_if_last();
        if contradicted {
            return Err(Malformed("a subgroup ends in two places"));
        }
        // When the last object is itself the mark of the end, it has said so already.
        if let (StreamEnd::FinEndOfGroup, Some(last)) = (end, last)
            && group.end != Some(last)
        {
            group.end_at(last.saturating_add(1))?;
        }
        Ok(ended)
    }

    /// Remembers a new object, unless it contradicts others.
    fn note(&mut self, source: SourceId, said: &Said) -> Result<(), Malformed> {
        let Location { group, object: id } = said.location;
        let normal = said.status == ObjectStatus::Normal;
        if normal && self.end.is_some_and(|end| said.location >= end) {
            return Err(Malformed("an object beyond the end of the track"));
        }
        if self.absent.contains(group) {
            return Err(Malformed("a group that was said not to exist"));
        }
        if let Some(gap) = said.properties.prior_group_gap {
            self.groups_missing(group, gap)?;
        }
        let group = self.group(group);
        if normal && group.end.is_some_and(|end| id >= end) {
            return Err(Malformed("an object beyond the end of its group"));
        }
        if group.absent.contains(id) {
            return Err(Malformed("an object that was said not to exist"));
        }
        if let Some(gap) = said.properties.prior_object_gap {
            group.objects_missing(id, gap)?;
        }
        match said.status {
            ObjectStatus::Normal => {
                group.top = group.top.max(Some(id));
                if said.end_of_group {
                    group.end_at(id.saturating_add(1))?;
                }
            }
            ObjectStatus::EndOfGroup => group.end_at(id)?,
            ObjectStatus::EndOfTrack => {}
        }
        group.ids(source).insert(id, id);
        match said.status {
            ObjectStatus::Normal => self.largest = self.largest.max(Some(said.location)),
            ObjectStatus::EndOfGroup => {}
            ObjectStatus::EndOfTrack => self.end_at(said.location)?,
        }
        Ok(())
    }

    fn end_at(&mut self, end: Location) -> Result<(), Malformed> {
        let elsewhere = self.end.is_some_and(|before| before != end);
        if elsewhere || self.largest.is_some_and(|largest| largest >= end) {
            return Err(Malformed("the track ends before its last object"));
        }
        self.end = Some(end);
        Ok(())
    }

    /// Groups before this one will never exist.
    fn groups_missing(&mut self, group: u64, gap: u64) -> Result<(), Malformed> {
        let first = group
            .checked_sub(gap)
            .ok_or(Malformed("a gap of more groups than there are"))?;
        let now = self.group(group);
        if now.prior_gap.is_some_and(|before| before != gap) {
            return Err(Malformed("a group has two gaps before it"));
        }
        now.prior_gap = Some(gap);
        let missing = first..group;
        let heard = |other: &Group| missing.contains(&other.id) && !other.heard.is_empty();
        if self.groups.iter().any(heard) {
            return Err(Malformed("a gap where a group was"));
        }
        if let Some(last) = group.checked_sub(1).filter(|last| *last >= first) {
            self.absent.insert(first, last);
        }
        Ok(())
    }

    fn group(&mut self, id: u64) -> &mut Group {
        // Mostly the newest.
        let known = self.groups.iter().rposition(|group| group.id == id);
        let index = known.unwrap_or_else(|| {
            // A group in which streams are open is not forgotten: the session's own limit bounds them.
            if self.groups.len() >= GROUPS_MAX
                && let Some(oldest) = self.groups.iter().position(Group::is_quiet)
            {
                self.groups.remove(oldest);
            }
            self.groups.push_back(Group {
                id,
                ..Group::default()
            });
            self.groups.len() - 1
        });
        &mut self.groups[index]
    }
}

#[cfg(test)]
mod tests {
    use super::{group::SUBGROUPS_MAX, runs::RUNS_MAX, *};

    const A: SourceId = SourceId(1);
    const B: SourceId = SourceId(2);

    #[test]
    fn what_one_publisher_sent_is_not_taken_from_another_again() {
        let mut merge = hearing(&[A, B]);

        assert_eq!(merge.judge(A, &object(7, 0), || None), Ok(Verdict::New));
        assert_eq!(
            merge.judge(B, &object(7, 0), || Some(true)),
            Ok(Verdict::Repeated)
        );
        assert_eq!(merge.judge(B, &object(7, 1), || None), Ok(Verdict::New));
        assert_eq!(
            merge.judge(A, &object(7, 1), || Some(true)),
            Ok(Verdict::Repeated)
        );
    }

    #[test]
    fn the_newest_publisher_may_begin_anew_and_older_ones_are_then_superseded() {
        let mut merge = hearing(&[A, B]);
        for id in 0..5 {
            merge.judge(A, &object(0, id), || None).unwrap();
        }

        let other = merge.judge(B, &object(0, 0), || Some(false));

        assert_eq!(other, Ok(Verdict::Restarted));
        assert_eq!(
            merge.judge(A, &object(0, 5), || None),
            Ok(Verdict::Superseded)
        );
        assert_eq!(merge.judge(B, &object(0, 1), || None), Ok(Verdict::New));
    }

    #[test]
    fn an_older_publisher_that_contradicts_the_newest_is_malformed() {
        let mut merge = hearing(&[A, B]);
        merge.judge(B, &object(0, 0), || None).unwrap();

        assert!(merge.judge(A, &object(0, 0), || Some(false)).is_err());
    }

    #[test]
    fn more_publishers_than_are_heard_push_the_oldest_out() {
        let mut merge = Merge::default();

        let gone: Vec<_> = (1..=6).flat_map(|id| merge.add(SourceId(id))).collect();

        assert_eq!(gone, [SourceId(1), SourceId(2)]);
        assert!(!merge.hears(SourceId(2)) && merge.hears(SourceId(3)));
    }

    #[test]
    fn two_publishers_of_a_subgroup_share_one_stream() {
        let mut merge = hearing(&[A, B]);
        let mut begun = 0;
        merge.open(A, 0, 0, None).unwrap();
        merge.open(B, 0, 0, None).unwrap();
        let mut place = |source, object, before: Option<u64>| {
            let placed = merge.place(source, at(object, before), || {
                begun += 1;
                subgroup()
            });
            let placed = placed.unwrap();
            (placed.previous, placed.left.is_some())
        };

        assert_eq!(place(A, 0, None), (None, false));
        assert_eq!(place(A, 1, Some(0)), (Some(0), false));
        assert_eq!(place(B, 2, Some(1)), (Some(1), false));
        assert_eq!(place(A, 3, Some(2)), (Some(2), false));
        assert_eq!(
            place(B, 9, Some(3)),
            (Some(3), false),
            "its publisher sent nothing between"
        );
        assert_eq!(
            place(A, 7, Some(3)),
            (None, true),
            "a hole of the other one"
        );
        assert_eq!(begun, 2);
    }

    #[test]
    fn a_subgroup_ends_with_its_last_publisher_and_well_if_anyone_finished_it() {
        let mut merge = hearing(&[A, B]);
        merge.open(A, 0, 0, None).unwrap();
        merge.open(B, 0, 0, None).unwrap();
        merge.place(A, at(4, None), subgroup).unwrap();

        let first = merge.close(A, 0, 0, Some(4), StreamEnd::Fin).unwrap();
        let second = merge.close(B, 0, 0, None, StreamEnd::Reset).unwrap();

        assert!(first.is_none());
        assert!(second.unwrap().well);
    }

    #[test]
    fn a_publisher_that_leaves_ends_the_streams_that_only_it_had() {
        let mut merge = hearing(&[A, B]);
        merge.open(A, 0, 0, None).unwrap();
        merge.open(A, 0, 1, None).unwrap();
        merge.open(B, 0, 1, None).unwrap();
        merge.place(A, at(0, None), subgroup).unwrap();

        let ended = merge.remove(A);

        assert_eq!(ended.len(), 1);
        assert!(ended.iter().all(|ended| !ended.well));
    }

    #[test]
    fn contradictions_of_one_publisher_are_noticed() {
        type Story = fn(&mut Merge) -> Result<(), Malformed>;
        let stories: [(&str, Story); 15] = [
            ("different contents", |m| {
                tell(m, object(0, 0))?;
                m.judge(A, &object(0, 0), || Some(false)).map(drop)
            }),
            ("beyond a group's end, as a status says", |m| {
                tell(m, status(0, 3, ObjectStatus::EndOfGroup))?;
                tell(m, object(0, 3 + 1))
            }),
            ("beyond a group's end, as a datagram says", |m| {
                tell(
                    m,
                    Said {
                        end_of_group: true,
                        ..object(0, 3)
                    },
                )?;
                tell(m, object(0, 4))
            }),
            ("a group's end before its objects", |m| {
                tell(m, object(0, 5))?;
                tell(m, status(0, 3, ObjectStatus::EndOfGroup))
            }),
            ("two ends of a group", |m| {
                tell(m, status(0, 3, ObjectStatus::EndOfGroup))?;
                tell(m, status(0, 4, ObjectStatus::EndOfGroup))
            }),
            ("beyond a group's end, as a stream says", |m| {
                m.open(A, 0, 0, None)?;
                tell(m, object(0, 0))?;
                m.close(A, 0, 0, Some(0), StreamEnd::FinEndOfGroup)?;
                tell(m, object(0, 1))
            }),
            ("beyond the track's end", |m| {
                tell(m, status(4, 0, ObjectStatus::EndOfTrack))?;
                tell(m, object(4, 1))
            }),
            ("the track's end before its objects", |m| {
                tell(m, object(4, 1))?;
                tell(m, status(4, 0, ObjectStatus::EndOfTrack))
            }),
            ("beyond a subgroup's end", |m| {
                m.open(A, 0, 0, None)?;
                m.close(A, 0, 0, Some(3), StreamEnd::Fin)?;
                m.place(A, at(4, None), subgroup).map(drop)
            }),
            ("two ends of a subgroup", |m| {
                m.close(A, 0, 0, Some(3), StreamEnd::Fin)?;
                m.close(A, 0, 0, Some(2), StreamEnd::Fin).map(drop)
            }),
            ("two priorities of a subgroup", |m| {
                m.open(A, 0, 0, Some(1))?;
                m.open(A, 0, 0, Some(2))
            }),
            ("a gap over a group that was", |m| {
                tell(m, object(4, 0))?;
                tell(m, gap(6, 0, Some(2), None))
            }),
            ("a group within a gap", |m| {
                tell(m, gap(6, 0, Some(2), None))?;
                tell(m, object(5, 0))
            }),
            ("a gap over an object that was", |m| {
                tell(m, object(0, 4))?;
                tell(m, gap(0, 6, None, Some(2)))
            }),
            ("an object within a gap", |m| {
                tell(m, gap(0, 6, None, Some(2)))?;
                tell(m, object(0, 5))
            }),
        ];

        for (name, story) in stories {
            assert!(story(&mut hearing(&[A])).is_err(), "{name}");
        }
        for too_wide in [gap(3, 0, Some(4), None), gap(0, 3, None, Some(4))] {
            assert!(tell(&mut hearing(&[A]), too_wide).is_err());
        }
        let mut merge = hearing(&[A]);
        tell(&mut merge, gap(6, 0, Some(2), None)).unwrap();
        assert!(
            tell(&mut merge, gap(6, 1, Some(3), None)).is_err(),
            "two gaps before a group"
        );
    }

    #[test]
    fn ends_that_agree_are_no_contradiction() {
        let mut merge = hearing(&[A]);
        merge.open(A, 0, 0, Some(1)).unwrap();
        tell(&mut merge, object(0, 0)).unwrap();
        tell(&mut merge, status(0, 1, ObjectStatus::EndOfGroup)).unwrap();

        merge
            .close(A, 0, 0, Some(1), StreamEnd::FinEndOfGroup)
            .unwrap();
        tell(&mut merge, status(1, 0, ObjectStatus::EndOfTrack)).unwrap();

        assert_eq!(
            merge.judge(A, &object(0, 0), || Some(true)),
            Ok(Verdict::Repeated)
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut merge = hearing(&[A]);

        for group in 0..1000 {
            for id in 0..200 {
                tell(&mut merge, object(group, id * 2)).unwrap();
            }
            for subgroup in 0..200 {
                merge.open(A, group, subgroup, None).unwrap();
                merge
                    .close(A, group, subgroup, None, StreamEnd::Fin)
                    .unwrap();
            }
        }

        assert_eq!(merge.groups.len(), GROUPS_MAX);
        assert!(
            merge
                .groups
                .iter()
                .all(|group| group.subgroups.len() <= SUBGROUPS_MAX)
        );
        let runs = |group: &Group| group.heard.iter().all(|(_, ids)| ids.0.len() <= RUNS_MAX);
        assert!(merge.groups.iter().all(runs));
    }

    fn hearing(sources: &[SourceId]) -> Merge {
        let mut merge = Merge::default();
        for source in sources {
            merge.add(*source);
        }
        merge
    }

    fn tell(merge: &mut Merge, said: Said) -> Result<(), Malformed> {
        merge.judge(A, &said, || None).map(drop)
    }

    fn object(group: u64, id: u64) -> Said {
        status(group, id, ObjectStatus::Normal)
    }

    fn status(group: u64, id: u64, status: ObjectStatus) -> Said {
        Said {
            location: Location::new(group, id),
            status,
            end_of_group: false,
            properties: ObjectProperties::default(),
        }
    }

    fn gap(group: u64, id: u64, groups: Option<u64>, objects: Option<u64>) -> Said {
        let mut said = object(group, id);
        said.properties.prior_group_gap = groups;
        said.properties.prior_object_gap = objects;
        said
    }

    fn at(object: u64, before: Option<u64>) -> Place {
        Place {
            group: 0,
            subgroup: 0,
            object,
            before,
            has_properties: false,
        }
    }

    fn subgroup() -> Arc<Subgroup> {
        Arc::new(Subgroup {
            serial: 0,
            group: 0,
            id: 0,
            mode: moqrelay_moqt::data::SubgroupId::Zero,
            priority: None,
            properties: false,
            end_of_group: false,
            first_object: true,
            timeouts: (None, None),
        })
    }
}
