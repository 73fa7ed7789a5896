//! Who may come in: how many sessions there are, from where, and how many are still arriving.
//!
//! A connection takes a [`Ticket`] before its handshake and keeps it to its end.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::limits::Limits;

/// Counts what is there.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sessions: usize,
    handshakes: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// What is answered to a connection that begins.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It may come in.
    Welcome(Ticket),
    /// It must show first that its address is its own.
    Prove,
    /// It may not.
    Refused(Refusal),
}

/// Which limit a connection met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// [`Limits::sessions`].
    Sessions,
    /// [`Limits::sessions_per_address`].
    Address,
    /// [`Limits::handshakes`].
    Handshakes,
}

impl Refusal {
    /// Returns its label in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Address => "sessions_per_address",
            Self::Handshakes => "handshakes",
        }
    }
}

/// A place among the sessions; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Ticket {
    admission: Arc<Admission>,
    address: IpAddr,
    arriving: bool,
}

impl Admission {
    /// Decides on a connection. `proven`: its address is known to be its own.
    pub(crate) fn admit(
        self: &Arc<Self>,
        limits: &Limits,
        address: SocketAddr,
        proven: bool,
    ) -> Verdict {
        let address = household(address.ip());
        let mut counts = self.counts();
        let here = counts.by_address.get(&address).copied().unwrap_or_default();
        if counts.sessions >= limits.sessions {
            return Verdict::Refused(Refusal::Sessions);
        }
        if here >= limits.sessions_per_address {
            return Verdict::Refused(Refusal::Address);
        }
        if counts.handshakes >= limits.handshakes {
            return Verdict::Refused(Refusal::Handshakes);
        }
        // Nobody may use up another one's places by sending under its address.
        let crowded = here * 2 >= limits.sessions_per_address;
        if !proven && (crowded || counts.handshakes >= limits.handshakes_before_retry) {
            return Verdict::Prove;
        }
        counts.sessions += 1;
        counts.handshakes += 1;
        *counts.by_address.entry(address).or_default() += 1;
        Verdict::Welcome(Ticket {
            admission: self.clone(),
            address,
            arriving: true,
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Ticket {
    /// The handshake is over, well or not.
    pub(crate) fn arrived(&mut self) {
        if std::mem::replace(&mut self.arriving, false) {
            self.admission.counts().handshakes -= 1;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.arrived();
        let mut counts = self.admission.counts();
        counts.sessions -= 1;
        if let Some(here) = counts.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// One customer of a provider has a /64 at least, so that its addresses count as one.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            sessions: 6,
            sessions_per_address: 4,
            handshakes: 5,
            handshakes_before_retry: 3,
            ..Limits::default()
        }
    }

    fn at(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 4)
    }

    fn welcome(admission: &Arc<Admission>, address: &str) -> Ticket {
        match admission.admit(&limits(), at(address), true) {
            Verdict::Welcome(mut ticket) => {
                ticket.arrived();
                ticket
            }
            other => panic!("not welcome: {other:?}"),
        }
    }

    fn refusal(admission: &Arc<Admission>, address: &str) -> Refusal {
        match admission.admit(&limits(), at(address), true) {
            Verdict::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn an_address_that_has_its_share_takes_nothing_from_another() {
        let admission = Arc::new(Admission::default());
        let _four: Vec<_> = (0..4).map(|_| welcome(&admission, "192.0.2.1")).collect();

        assert_eq!(refusal(&admission, "192.0.2.1"), Refusal::Address);
        drop(welcome(&admission, "192.0.2.2"));
    }

    #[test]
    fn one_household_is_one_address() {
        let admission = Arc::new(Admission::default());
        let _four: Vec<_> = (1..5)
            .map(|n| welcome(&admission, &format!("2001:db8::{n}")))
            .collect();

        assert_eq!(refusal(&admission, "2001:db8::99"), Refusal::Address);
        drop(welcome(&admission, "2001:db8:0:1::1"));
    }

    #[test]
    fn a_place_is_given_back() {
        let admission = Arc::new(Admission::default());
        let mut all: Vec<_> = (0..6)
            .map(|n| welcome(&admission, &format!("192.0.2.{n}")))
            .collect();
        assert_eq!(refusal(&admission, "192.0.2.9"), Refusal::Sessions);

        all.pop();

        all.push(welcome(&admission, "192.0.2.9"));
        drop(all);
        assert!(admission.counts().by_address.is_empty());
        assert_eq!(admission.counts().handshakes, 0);
    }

    #[test]
    fn under_load_an_address_must_be_proven_and_then_there_is_an_end() {
        let admission = Arc::new(Admission::default());
        let admit = |n: u8, proven| admission.admit(&limits(), at(&format!("192.0.2.{n}")), proven);
        let three: Vec<_> = (0..3).map(|n| admit(n, false)).collect();
        assert!(three.iter().all(|v| matches!(v, Verdict::Welcome(_))));

        assert!(matches!(admit(3, false), Verdict::Prove));
        let two: Vec<_> = (3..5).map(|n| admit(n, true)).collect();
        assert!(two.iter().all(|v| matches!(v, Verdict::Welcome(_))));
        let last = admit(5, true);
        assert!(matches!(last, Verdict::Refused(Refusal::Handshakes)));
    }

    #[test]
    fn half_of_an_address_share_is_kept_for_those_who_prove_it() {
        let admission = Arc::new(Admission::default());
        let _two: Vec<_> = (0..2).map(|_| welcome(&admission, "192.0.2.1")).collect();

        let unproven = admission.admit(&limits(), at("192.0.2.1"), false);

        assert!(matches!(unproven, Verdict::Prove));
    }
}
