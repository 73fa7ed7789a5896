//! People who type a name.
//!
//! A guest keeps name and number while the token lives. Who has left and stayed away for a while
//! gives them to the next who asks for that name, or when no number is left; the old token then
//! opens no signaling any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use moqrelay_room::{Number, Service, User, UserId};

use crate::config::Guests;
use crate::directory::Directory;
use crate::token::is_name;

/// How long a name is kept for one who has left: a reload, a change of network, a lift.
const ABSENCE_MAX: Duration = Duration::from_secs(60);

/// The guests of this node.
#[derive(Debug, Default)]
pub(crate) struct GuestBook {
    guests: BTreeMap<UserId, Guest>,
    /// Those who had to make room, with the end of the token that counts no more.
    ousted: BTreeMap<UserId, u64>,
}

/// Beyond so many ousted the first are forgotten; they would meet their successor's number then.
const OUSTED_MAX: usize = 4096;

#[derive(Debug)]
struct Guest {
    user: User,
    /// The end of the one token that counts, in seconds since 1970.
    exp: u64,
    /// When the guest was last known to be here.
    seen: Instant,
}

/// Why a guest is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GuestError {
    #[error("a name has 1 to 64 characters that can be shown")]
    Name,
    #[error("someone else uses this name now")]
    Taken,
    #[error("no number is free")]
    Full,
}

/// What a guest gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) user: User,
    pub(crate) exp: u64,
}

/// What is known around the book.
pub(crate) struct Surroundings<'a> {
    pub(crate) config: &'a Guests,
    pub(crate) directory: &'a Directory,
    /// Whether a user has a session.
    pub(crate) is_here: &'a dyn Fn(&UserId) -> bool,
    pub(crate) now: Instant,
    pub(crate) wall: SystemTime,
}

impl GuestBook {
    /// Lets a guest in.
    pub(crate) fn enter(
        &mut self,
        name: &str,
        around: &Surroundings<'_>,
    ) -> Result<Entry, GuestError> {
        let name = name.trim();
        if !is_name(name) {
            return Err(GuestError::Name);
        }
        self.sweep(around);
        let exp = seconds(around.wall + around.config.token_ttl);
        let slug = slug(name);
        if let Some(id) = &slug {
            self.check_free(id, name, around)?;
        }
        // One who takes over a name takes over its number.
        let old = slug
            .as_ref()
            .and_then(|id| self.guests.remove(id))
            .map(|guest| guest.user.number);
        let number = match old.flatten() {
            Some(number) => number,
            None => self.free_number(around).ok_or(GuestError::Full)?,
        };
        // Names without Latin letters are as good as others; their id comes from the number.
        let id = match slug {
            Some(id) => id,
            None => UserId::new(&format!("guest-{number}")).map_err(|_| GuestError::Name)?,
        };
        let user = User {
            id: id.clone(),
            name: name.to_owned(),
            number: Some(number),
        };
        self.guests.insert(
            id,
            Guest {
                user: user.clone(),
                exp,
                seen: around.now,
            },
        );
        Ok(Entry { user, exp })
    }

    /// Returns whether a user's token that ends then opens signaling: not when a guest has come
    /// after. A guest from before a restart is taken into the book.
    pub(crate) fn admit(&mut self, user: &User, exp: u64, around: &Surroundings<'_>) -> bool {
        if self.ousted.get(&user.id) == Some(&exp) {
            return false;
        }
        if let Some(guest) = self.guests.get(&user.id) {
            return guest.exp == exp;
        }
        let ours = |number: &u32| around.config.numbers.contains(number);
        let Some(number) = user.number.as_ref().filter(|number| {
            number.as_str().parse().is_ok_and(|number| ours(&number))
                && around.directory.by_number(number).is_none()
        }) else {
            return true;
        };
        if self
            .guests
            .values()
            .any(|guest| guest.user.number.as_ref() == Some(number))
        {
            return false;
        }
        self.guests.insert(
            user.id.clone(),
            Guest {
                user: user.clone(),
                exp,
                seen: around.now,
            },
        );
        true
    }

    /// Notes that a user was here until now.
    pub(crate) fn seen(&mut self, user: &UserId, now: Instant) {
        if let Some(guest) = self.guests.get_mut(user) {
            guest.seen = now;
        }
    }

    /// Returns whether a user is a guest.
    pub(crate) fn knows(&self, user: &UserId) -> bool {
        self.guests.contains_key(user)
    }

    pub(crate) fn len(&self) -> usize {
        self.guests.len()
    }

    fn check_free(
        &self,
        id: &UserId,
        name: &str,
        around: &Surroundings<'_>,
    ) -> Result<(), GuestError> {
        let service = Service::ALL
            .iter()
            .any(|service| service.name() == id.as_str());
        let configured = around.directory.user(id).is_some()
            || around.directory.users().any(|user| user.name == name);
        let used = match self.guests.get(id) {
            Some(guest) => !guest.is_gone(around),
            // Someone with a token from elsewhere.
            None => (around.is_here)(id),
        };
        if service || configured || used {
            Err(GuestError::Taken)
        } else {
            Ok(())
        }
    }

    /// Returns the lowest number that nobody has, or else that of who has been away the longest.
    fn free_number(&mut self, around: &Surroundings<'_>) -> Option<Number> {
        let used: BTreeSet<&Number> = self
            .guests
            .values()
            .filter_map(|guest| guest.user.number.as_ref())
            .collect();
        let numbers = around.config.numbers.clone();
        let free = numbers
            .filter_map(|number| Number::new(&number.to_string()).ok())
            .find(|number| !used.contains(number) && around.directory.by_number(number).is_none());
        if free.is_some() {
            return free;
        }
        let gone = self
            .guests
            .iter()
            .filter(|(_, guest)| guest.is_gone(around));
        let id = gone
            .min_by_key(|(_, guest)| guest.seen)
            .map(|(id, _)| id.clone())?;
        let guest = self.guests.remove(&id)?;
        if self.ousted.len() >= OUSTED_MAX {
            self.ousted.pop_first();
        }
        self.ousted.insert(id, guest.exp);
        guest.user.number
    }

    /// Forgets those whose token has ended.
    fn sweep(&mut self, around: &Surroundings<'_>) {
        let now = seconds(around.wall);
        self.guests
            .retain(|id, guest| guest.exp > now || (around.is_here)(id));
        self.ousted.retain(|_, exp| *exp > now);
    }
}

impl Guest {
    fn is_gone(&self, around: &Surroundings<'_>) -> bool {
        let absent = around.now.saturating_duration_since(self.seen);
        absent > ABSENCE_MAX && !(around.is_here)(&self.user.id)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Returns the id that a name makes: its Latin letters and digits; none when there is no letter, so
/// that nobody gets an id that could be dialled.
fn slug(name: &str) -> Option<UserId> {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            text.push(c.to_ascii_lowercase());
        } else if !text.is_empty() && !text.ends_with('-') {
            text.push('-');
        }
    }
    let text = text.trim_end_matches('-');
    let has_letter = text.bytes().any(|byte| byte.is_ascii_lowercase());
    // A guest must not pass for one whose id is made from a number.
    if !has_letter || text.starts_with("guest-") {
        return None;
    }
    UserId::new(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory;

    struct World {
        book: GuestBook,
        config: Guests,
        directory: Directory,
        here: BTreeSet<UserId>,
        now: Instant,
        wall: SystemTime,
    }

    #[test]
    fn a_name_becomes_an_id_and_gets_the_first_number() {
        let mut world = World::new(7001..=7003);

        let entry = world.enter("  Anna Müller ").unwrap();

        assert_eq!(entry.user.id.as_str(), "anna-m-ller");
        assert_eq!(entry.user.name, "Anna Müller");
        assert_eq!(number(&entry), "7001");
        assert_eq!(entry.exp, seconds(world.wall) + 12 * 3600);
    }

    #[test]
    fn a_name_without_latin_letters_has_an_id_from_its_number() {
        let mut world = World::new(7001..=7003);

        for (name, id) in [
            ("Анна", "guest-7001"),
            ("112", "guest-7002"),
            ("guest-7001", "guest-7003"),
        ] {
            assert_eq!(world.enter(name).unwrap().user.id.as_str(), id);
        }
    }

    #[test]
    fn a_name_that_is_used_now_is_taken() {
        let mut world = World::new(7001..=7003);
        world.enter("Anna").unwrap();

        assert_eq!(world.enter("anna"), Err(GuestError::Taken));
        world.now += ABSENCE_MAX * 10;
        world.here.insert(UserId::new("anna").unwrap());
        assert_eq!(world.enter("ANNA!"), Err(GuestError::Taken));
    }

    #[test]
    fn the_name_of_one_who_has_left_goes_to_the_next_and_the_old_token_ends() {
        let mut world = World::new(7001..=7003);
        let old = world.enter("Anna").unwrap();
        world.pass(ABSENCE_MAX + Duration::from_secs(1));

        let new = world.enter("Anna").unwrap();

        assert_eq!(number(&new), number(&old));
        assert!(world.admit(&new.user, new.exp));
        assert!(!world.admit(&old.user, old.exp));
    }

    #[test]
    fn one_who_was_just_seen_keeps_the_name() {
        let mut world = World::new(7001..=7003);
        let anna = world.enter("Anna").unwrap();
        world.pass(ABSENCE_MAX * 2);
        world.book.seen(&anna.user.id, world.now);

        assert_eq!(world.enter("Anna"), Err(GuestError::Taken));
    }

    #[test]
    fn numbers_are_given_once_and_those_of_the_directory_never() {
        let mut world = World::new(7001..=7003);
        let user = User {
            id: UserId::new("carla").unwrap(),
            name: "Carla".into(),
            number: Some(Number::new("7002").unwrap()),
        };
        world.directory = Directory::new([directory::Entry {
            user,
            audiosocket: None,
        }])
        .unwrap();

        assert_eq!(number(&world.enter("Anna").unwrap()), "7001");
        assert_eq!(number(&world.enter("Bert").unwrap()), "7003");
        assert_eq!(world.enter("Dora"), Err(GuestError::Full));
        assert_eq!(world.enter("carla"), Err(GuestError::Taken));
        assert_eq!(world.enter("Carla"), Err(GuestError::Taken));
    }

    #[test]
    fn who_has_been_away_the_longest_makes_room() {
        let mut world = World::new(7001..=7002);
        let anna = world.enter("Anna").unwrap();
        world.pass(Duration::from_secs(1));
        world.enter("Bert").unwrap();
        world.pass(ABSENCE_MAX * 2);

        let dora = world.enter("Dora").unwrap();

        assert_eq!(number(&dora), number(&anna));
        assert_eq!(world.book.len(), 2);
        assert!(!world.admit(&anna.user, anna.exp));
        assert!(world.admit(&dora.user, dora.exp));
    }

    #[test]
    fn an_ended_token_frees_name_and_number() {
        let mut world = World::new(7001..=7001);
        world.enter("Anna").unwrap();
        world.wall += Duration::from_secs(13 * 3600);

        assert!(world.enter("Bert").is_ok());
        assert_eq!(world.book.len(), 1);
    }

    #[test]
    fn services_and_empty_names_are_not_for_guests() {
        let mut world = World::new(7001..=7003);

        assert_eq!(world.enter("echo"), Err(GuestError::Taken));
        assert_eq!(world.enter("Echo"), Err(GuestError::Taken));
        for name in ["", "  ", "\u{7}", &"x".repeat(65)] {
            assert_eq!(world.enter(name), Err(GuestError::Name));
        }
        assert_eq!(world.book.len(), 0);
    }

    #[test]
    fn a_token_from_elsewhere_is_not_the_book_s_business() {
        let mut world = World::new(7001..=7003);
        let mut user = world.enter("Anna").unwrap().user;
        user.id = UserId::new("carla").unwrap();
        user.number = Some(Number::new("8001").unwrap());

        assert!(world.admit(&user, 5));
        user.number = None;
        assert!(world.admit(&user, 5));
        assert_eq!(world.book.len(), 1);
    }

    #[test]
    fn a_guest_from_before_a_restart_keeps_the_number_unless_it_is_given_again() {
        let mut world = World::new(7001..=7003);
        let anna = world.enter("Anna").unwrap();
        world.book = GuestBook::default();
        assert!(world.admit(&anna.user, anna.exp));
        assert_eq!(number(&world.enter("Bert").unwrap()), "7002");

        world.book = GuestBook::default();
        world.enter("Dora").unwrap();
        assert!(!world.admit(&anna.user, anna.exp));
    }

    #[test]
    fn one_with_a_token_from_elsewhere_who_is_here_keeps_the_name() {
        let mut world = World::new(7001..=7003);
        world.here.insert(UserId::new("anna").unwrap());

        assert_eq!(world.enter("Anna"), Err(GuestError::Taken));
    }

    impl World {
        fn new(numbers: std::ops::RangeInclusive<u32>) -> Self {
            Self {
                book: GuestBook::default(),
                config: Guests {
                    numbers,
                    ..Guests::default()
                },
                directory: Directory::default(),
                here: BTreeSet::new(),
                now: Instant::now(),
                wall: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            }
        }

        fn enter(&mut self, name: &str) -> Result<Entry, GuestError> {
            let here = self.here.clone();
            let is_here = |user: &UserId| here.contains(user);
            let around = Surroundings {
                config: &self.config,
                directory: &self.directory,
                is_here: &is_here,
                now: self.now,
                wall: self.wall,
            };
            self.book.enter(name, &around)
        }

        fn admit(&mut self, user: &User, exp: u64) -> bool {
            let around = Surroundings {
                config: &self.config,
                directory: &self.directory,
                is_here: &|_| false,
                now: self.now,
                wall: self.wall,
            };
            self.book.admit(user, exp, &around)
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
            self.wall += time;
        }
    }

    fn number(entry: &Entry) -> &str {
        entry.user.number.as_ref().unwrap().as_str()
    }
}
