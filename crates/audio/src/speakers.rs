//! Who of many is heard: a few seats for those who speak.

use std::collections::BTreeMap;

use crate::level::AudioLevel;

/// How seats are given out. Times are in ticks of 20 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Seats. Default 5: more voices at once cannot be told apart.
    pub seats: usize,
    /// How long one must speak for a seat. Default 2: a click is shorter, a word longer.
    pub enter_ticks: u32,
    /// How long one must be louder than who has a seat and speaks. Default 8.
    pub oust_ticks: u32,
    /// How much louder, in dB. Default 6.
    pub oust_db: u8,
    /// How long a seat is kept at least. Default 15: changes faster than that sound broken.
    pub keep_ticks: u32,
    /// How long one who is silent keeps a seat that nobody wants. Default 150.
    pub idle_ticks: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seats: 5,
            enter_ticks: 2,
            oust_ticks: 8,
            oust_db: 6,
            keep_ticks: 15,
            idle_ticks: 150,
        }
    }
}

/// Gives out the seats of one room.
///
/// In each tick call [`hear`](Self::hear) for everyone who sent something, then
/// [`tick`](Self::tick). Who was not heard in a tick is silent in it.
#[derive(Clone, Debug)]
pub struct Selector<K> {
    config: Config,
    speakers: BTreeMap<K, Speaker>,
    loudest: Option<K>,
    seated: usize,
}

/// What is known of one.
#[derive(Clone, Copy, Debug)]
struct Speaker {
    /// This tick's level.
    heard: AudioLevel,
    /// Loudness of the voice over the last tenths of a second, in 1/64 dB above -127 dBov.
    loudness: u32,
    /// Ticks with voice without a break, or without.
    voiced: u32,
    silent: u32,
    /// Ticks for which it has been clearly louder than the softest in a seat.
    louder: u32,
    /// Ticks in its seat.
    seat: Option<u32>,
}

/// Parts of a dB, so that loudness moves smoothly.
const FINE: u32 = 64;

/// A louder voice counts half at once, a softer one a sixteenth: pauses within words do not count.
const RISE: u32 = 2;
const FALL: u32 = 16;

/// The one in front must be louder by this, in dB, than who was.
const FRONT_DB: u32 = 3;

impl<K: Copy + Ord> Selector<K> {
    /// Makes a selector of a room without anybody.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            speakers: BTreeMap::new(),
            loudest: None,
            seated: 0,
        }
    }

    /// Takes how loud somebody is in this tick.
    pub fn hear(&mut self, who: K, level: AudioLevel) {
        self.speakers.entry(who).or_insert(Speaker::NEW).heard = level;
    }

    /// Forgets somebody who left.
    pub fn remove(&mut self, who: K) {
        if let Some(speaker) = self.speakers.remove(&who)
            && speaker.seat.is_some()
        {
            self.seated -= 1;
        }
        self.loudest = self.loudest.filter(|loudest| *loudest != who);
    }

    /// Ends the tick: seats are given out anew.
    pub fn tick(&mut self) {
        for speaker in self.speakers.values_mut() {
            speaker.listen();
            if speaker.silent >= self.config.idle_ticks && speaker.seat.take().is_some() {
                self.seated -= 1;
            }
        }
        while self.seat_next() {}
        self.look_to_the_front();
    }

    /// Tells whether somebody has a seat.
    #[must_use]
    pub fn is_seated(&self, who: K) -> bool {
        let speaker = self.speakers.get(&who);
        speaker.is_some_and(|speaker| speaker.seat.is_some())
    }

    /// Returns who has a seat, in order of their names.
    pub fn seated(&self) -> impl Iterator<Item = K> + '_ {
        let seated = self.speakers.iter().filter(|(_, it)| it.seat.is_some());
        seated.map(|(who, _)| *who)
    }

    /// Returns who has a seat and has spoken within so many ticks, in order of their names.
    pub fn speaking(&self, ticks: u32) -> impl Iterator<Item = K> + '_ {
        let speaks = move |it: &Speaker| it.seat.is_some() && it.silent < ticks;
        let speaking = self.speakers.iter().filter(move |(_, it)| speaks(it));
        speaking.map(|(who, _)| *who)
    }

    /// Tells whether nobody has a seat or speaks: then further ticks of silence change nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let rests = |it: &Speaker| it.seat.is_none() && it.voiced == 0;
        self.speakers.values().all(rests)
    }

    /// Returns the one in front: the loudest who speaks, or who spoke last.
    #[must_use]
    pub fn loudest(&self) -> Option<K> {
        self.loudest
    }

    /// Gives one seat to who needs it most; false when nobody does, or nobody makes room.
    fn seat_next(&mut self) -> bool {
        let Some(next) = self.wanting() else {
            return false;
        };
        if self.seated >= self.config.seats {
            let Some(leaves) = self.leaving(next) else {
                return false;
            };
            self.seat(leaves, None);
            self.seated -= 1;
        }
        self.seat(next, Some(0));
        self.seated += 1;
        true
    }

    /// Returns the loudest of those without a seat who speak for long enough.
    fn wanting(&self) -> Option<K> {
        let wants = |it: &&Speaker| it.seat.is_none() && it.voiced >= self.config.enter_ticks;
        let wanting = self.speakers.iter().filter(|(_, it)| wants(it));
        let loudest = wanting.max_by_key(|(_, it)| it.loudness);
        loudest.map(|(who, _)| *who)
    }

    /// Returns who makes room for `next`: the longest silent, once the memory of its voice is softer than `next`, or
    /// else the softest, if it is clearly softer.
    fn leaving(&mut self, next: K) -> Option<K> {
        let config = self.config;
        let kept = |it: &Speaker| it.seat.is_none_or(|ticks| ticks < config.keep_ticks);
        let free = self.speakers.iter().filter(|(_, it)| !kept(it));
        let loudness = self.speakers.get(&next)?.loudness;
        let silent = free.clone().filter(|(_, it)| it.silent > 0);
        let silent = silent.filter(|(_, it)| it.loudness < loudness);
        if let Some((who, _)) = silent.max_by_key(|(_, it)| it.silent) {
            return Some(*who);
        }
        let softest = free.min_by_key(|(_, it)| it.loudness);
        let (softest, limit) = softest.map(|(who, it)| (*who, it.loudness))?;
        let limit = limit + u32::from(config.oust_db) * FINE;
        let next = self.speakers.get_mut(&next)?;
        next.louder = if next.loudness > limit {
            next.louder + 1
        } else {
            0
        };
        (next.louder >= config.oust_ticks).then_some(softest)
    }

    fn seat(&mut self, who: K, seat: Option<u32>) {
        if let Some(speaker) = self.speakers.get_mut(&who) {
            speaker.seat = seat;
            speaker.louder = 0;
        }
    }

    fn look_to_the_front(&mut self) {
        let seated = self.speakers.iter().filter(|(_, it)| it.seat.is_some());
        let speaking = seated.filter(|(_, it)| it.voiced > 0);
        let Some((first, it)) = speaking.max_by_key(|(_, it)| it.loudness) else {
            return;
        };
        let now = self.loudest.and_then(|who| self.speakers.get(&who));
        let stays = now.is_some_and(|now| {
            now.voiced > 0 && now.seat.is_some() && it.loudness <= now.loudness + FRONT_DB * FINE
        });
        if !stays {
            self.loudest = Some(*first);
        }
    }
}

impl Speaker {
    const NEW: Self = Self {
        heard: AudioLevel::SILENCE,
        loudness: 0,
        voiced: 0,
        silent: 0,
        louder: 0,
        seat: None,
    };

    /// Takes this tick's level and expects the next one.
    fn listen(&mut self) {
        let heard = core::mem::replace(&mut self.heard, AudioLevel::SILENCE);
        let now = if heard.voice {
            u32::from(127 - heard.level.minus_dbov()) * FINE
        } else {
            0
        };
        self.loudness = if now > self.loudness {
            self.loudness + (now - self.loudness).div_ceil(RISE)
        } else {
            self.loudness - (self.loudness - now) / FALL
        };
        if heard.voice {
            (self.voiced, self.silent) = (self.voiced.saturating_add(1), 0);
        } else {
            (self.voiced, self.silent) = (0, self.silent.saturating_add(1));
        }
        self.seat = self.seat.map(|ticks| ticks.saturating_add(1));
    }
}
