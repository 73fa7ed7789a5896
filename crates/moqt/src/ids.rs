//! Small numbers with a meaning.

use core::fmt;

/// A request of either side: even ones are the client's, odd ones the server's (section 10.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a publisher calls a track on data streams and datagrams of one session (section 11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackAlias(pub u64);

/// The session machine's own name for a control or request stream; it never appears on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// A place in a track; ordered by group, then object (section 1.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Location {
    /// Group id.
    pub group: u64,
    /// Object id within the group.
    pub object: u64,
}

impl Location {
    /// Names one object.
    pub const fn new(group: u64, object: u64) -> Self {
        Self { group, object }
    }

    /// Returns the last location of a range that ends at `self` as FETCH and FETCH_OK write it: object 0 stands for the
    /// whole group, otherwise it is the last object plus one (section 10.13).
    pub const fn last_before_end(self) -> Self {
        Self {
            group: self.group,
            // Object 0 becomes the largest one there can be.
            object: self.object.wrapping_sub(1),
        }
    }

    /// Returns the end of a range whose last location is `self`, as FETCH and FETCH_OK write it.
    pub const fn end_after(self) -> Self {
        Self {
            group: self.group,
            object: self.object.wrapping_add(1),
        }
    }
}

macro_rules! display_number {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

display_number!(RequestId TrackAlias StreamId);

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.object)
    }
}
