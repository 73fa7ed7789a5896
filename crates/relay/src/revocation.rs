//! What was taken back from those whose tokens still hold.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
    time::SystemTime,
};

use bytes::Bytes;
use moqrelay_moqt::Namespace;

/// What is left to the bearers of a participant's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// Nothing at all: it has left, or was removed.
    Nothing,
    /// To hear: it has lost the right to speak.
    Subscribe,
    /// Whatever its tokens say.
    Everything,
}

/// Participants that may do less than their tokens say.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    list: RwLock<BTreeMap<Namespace, Revocation>>,
}

#[derive(Debug, Clone, Copy)]
struct Revocation {
    left: Rights,
    /// The last of the participant's tokens has ended by then.
    until: SystemTime,
}

/// Participants remembered: ten calls a second that are left early, for their tokens' four hours.
/// Some 200 bytes each.
pub(crate) const REVOCATIONS_MAX: usize = 150_000;

impl Revocations {
    /// Says what is left to everyone below a namespace until then; false: no room, the one whose tokens end first was
    /// forgotten for it.
    pub(crate) fn set(&self, below: Namespace, left: Rights, until: SystemTime) -> bool {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        if left == Rights::Everything {
            list.remove(&below);
            return true;
        }
        let mut had_room = true;
        if list.len() >= REVOCATIONS_MAX && !list.contains_key(&below) {
            let now = SystemTime::now();
            list.retain(|_, revocation| revocation.until > now);
            let first = list.iter().min_by_key(|(_, revocation)| revocation.until);
            if list.len() >= REVOCATIONS_MAX
                && let Some(first) = first.map(|(namespace, _)| namespace.clone())
            {
                list.remove(&first);
                had_room = false;
            }
        }
        list.insert(below, Revocation { left, until });
        had_room
    }

    /// Returns what is left to a participant: the least that is said of it or of a namespace above.
    pub(crate) fn left_to(&self, participant: &Namespace) -> Rights {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        if list.is_empty() {
            return Rights::Everything;
        }
        let fields: &[Bytes] = participant.fields();
        (1..=fields.len())
            .filter_map(|len| Namespace::new(fields.iter().take(len).cloned()).ok())
            .filter_map(|above| list.get(&above).map(|revocation| revocation.left))
            .min()
            .unwrap_or(Rights::Everything)
    }

    /// Forgets what is said of tokens that have ended by themselves.
    pub(crate) fn trim(&self, now: SystemTime) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.retain(|_, revocation| revocation.until > now);
    }

    pub(crate) fn len(&self) -> usize {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_least_that_is_said_holds() {
        let revocations = Revocations::default();
        let until = SystemTime::now() + Duration::from_secs(60);

        revocations.set(namespace("room/a/p1"), Rights::Subscribe, until);

        assert_eq!(
            revocations.left_to(&namespace("room/a/p1")),
            Rights::Subscribe
        );
        assert_eq!(
            revocations.left_to(&namespace("room/a/p11")),
            Rights::Everything
        );
        revocations.set(namespace("room/a"), Rights::Nothing, until);
        assert_eq!(
            revocations.left_to(&namespace("room/a/p1")),
            Rights::Nothing
        );
        revocations.set(namespace("room/a"), Rights::Everything, until);
        revocations.set(namespace("room/a/p1"), Rights::Everything, until);
        assert_eq!(
            revocations.left_to(&namespace("room/a/p1")),
            Rights::Everything
        );
        assert_eq!(revocations.len(), 0);
    }

    #[test]
    fn what_is_said_is_forgotten_with_the_tokens() {
        let revocations = Revocations::default();
        let now = SystemTime::now();
        let minute = Duration::from_secs(60);
        revocations.set(namespace("room/a/p1"), Rights::Nothing, now + minute);
        revocations.set(namespace("room/a/p2"), Rights::Nothing, now + 3 * minute);

        revocations.trim(now + 2 * minute);

        assert_eq!(
            revocations.left_to(&namespace("room/a/p2")),
            Rights::Nothing
        );
        assert_eq!(revocations.len(), 1);
    }

    #[test]
    fn a_full_list_forgets_what_ends_first() {
        let revocations = Revocations::default();
        let now = SystemTime::now();
        let at = |n: usize| now + Duration::from_secs(1_000 + n as u64);
        for n in 0..REVOCATIONS_MAX {
            assert!(revocations.set(namespace(&format!("room/a/p{n}")), Rights::Nothing, at(n)));
        }

        let had_room = revocations.set(namespace("room/b/p1"), Rights::Nothing, now);

        assert!(!had_room);
        assert_eq!(revocations.len(), REVOCATIONS_MAX);
        assert_eq!(
            revocations.left_to(&namespace("room/a/p0")),
            Rights::Everything
        );
        assert_eq!(
            revocations.left_to(&namespace("room/b/p1")),
            Rights::Nothing
        );
    }

    fn namespace(path: &str) -> Namespace {
        let fields = path.split('/').map(|field| Bytes::from(field.to_owned()));
        Namespace::new(fields).unwrap()
    }
}
