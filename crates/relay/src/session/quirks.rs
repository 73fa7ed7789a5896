//! Mistakes of peers that can be got along with: the table for people is in docs/interop.md.
//!
//! A peer is known by the name that it gives itself in SETUP, and only for the drafts at which it
//! errs. Nobody else sees another behaviour.

use moqrelay_moqt::{Draft, Location};

/// What is done for a peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Quirks {
    /// It misreads LARGEST_OBJECT, and could not join a track that has objects.
    misreads_largest: bool,
    /// It refuses to be told FORWARD in an update: once paused, a track of it would never go on.
    forwards_always: bool,
}

impl Quirks {
    /// Looks a peer up by its MOQT_IMPLEMENTATION, if it has one.
    pub(super) fn of(implementation: Option<&str>, draft: Draft) -> Self {
        Self {
            // @moq/net, as of 0.3.4; at drafts before 17 it reads what the drafts say.
            misreads_largest: implementation == Some("moq-lite-js") && draft.number() >= 17,
            // moq-transport, as of 0.16.5 (draft 16) and 0.17.0, and the programs made of it: they give no name.
            forwards_always: implementation.is_none() && draft.number() >= 16,
        }
    }

    /// Returns the LARGEST_OBJECT to tell; an optional parameter in every message that has it.
    pub(super) fn largest(self, largest: Option<Location>) -> Option<Location> {
        largest.filter(|_| !self.misreads_largest)
    }

    /// Tells whether the peer's tracks can be paused and set going again.
    pub(super) fn can_pause(self) -> bool {
        !self.forwards_always
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_peer_that_misreads_the_largest_object_is_not_told() {
        let largest = Some(Location::new(7, 1));

        let told = |name| Quirks::of(Some(name), Draft::D18).largest(largest);

        assert_eq!(told("moq-lite-js"), None);
        assert_eq!(told("moq-lite"), largest);
        assert_eq!(Quirks::default().largest(largest), largest);
    }

    #[test]
    fn only_the_tracks_of_peers_without_a_name_cannot_be_paused() {
        assert!(!Quirks::of(None, Draft::D18).can_pause());
        assert!(!Quirks::of(None, Draft::D16).can_pause());
        assert!(Quirks::of(None, Draft::D14).can_pause());
        assert!(Quirks::of(Some("moq-lite-js"), Draft::D18).can_pause());
    }
}
