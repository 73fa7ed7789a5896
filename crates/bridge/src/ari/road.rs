//! By which road a leg's sound goes, and why.

use crate::Codec;

/// By which way Asterisk is asked to exchange a leg's sound with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Road {
    /// Asterisk connects to our AudioSocket.
    #[default]
    AudioSocket,
    /// We connect to a media WebSocket on Asterisk's HTTP server.
    WebSocket,
    /// RTP between Asterisk's port and our one.
    Rtp,
}

impl Road {
    /// Returns its name in logs and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AudioSocket => "audiosocket",
            Self::WebSocket => "websocket",
            Self::Rtp => "rtp",
        }
    }

    /// Returns whether it carries a codec.
    #[must_use]
    pub const fn carries(self, codec: Codec) -> bool {
        match (self, codec) {
            (Self::AudioSocket, Codec::Slin(_)) => true,
            (Self::AudioSocket, _) => false,
            (Self::WebSocket, _) => true,
            (Self::Rtp, Codec::Ulaw | Codec::Alaw | Codec::G722) => true,
            (Self::Rtp, _) => false,
        }
    }
}

/// How roads are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Always this one.
    Fixed(Road, Codec),
    /// The cheapest that loses nothing, of what Asterisk has.
    Cheapest,
}

impl Default for Choice {
    fn default() -> Self {
        Self::Fixed(Road::AudioSocket, Codec::SLIN16)
    }
}

/// From which side calls come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Calls {
    /// Telephones dial the number.
    In,
    /// Browsers dial it.
    Out,
    /// Either.
    #[default]
    Both,
}

/// The roads of some numbers, which go before those of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoadRule {
    /// What the number that is dialled begins with; of several rules that fit the longest counts.
    pub prefix: String,
    /// Which calls to that number.
    pub calls: Calls,
    /// How roads are chosen for them.
    pub choice: Choice,
}

impl RoadRule {
    /// Returns how roads are chosen for a call to `number`, if any of `rules` says it. Of two with the same prefix the
    /// first counts.
    pub(super) fn find(rules: &[Self], from: Calls, number: &str) -> Option<Choice> {
        let fits = |rule: &&Self| {
            (rule.calls == Calls::Both || rule.calls == from) && number.starts_with(&rule.prefix)
        };
        // The last of equals is the maximum.
        let longest = rules.iter().rev().filter(fits);
        let rule = longest.max_by_key(|rule| rule.prefix.len())?;
        Some(rule.choice)
    }
}

/// What was chosen for a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The way.
    pub road: Road,
    /// The sound on it.
    pub codec: Codec,
    /// Why, for people.
    pub why: &'static str,
}

/// What Asterisk has, by its modules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) audiosocket: bool,
    pub(super) websocket: bool,
    /// Any module that codes Opus: a WebSocket channel is not made without, although nothing is coded.
    pub(super) opus: bool,
    pub(super) rtp: bool,
}

impl Abilities {
    /// Notes a module that runs.
    pub(super) fn note(&mut self, module: &str) {
        match module {
            "chan_audiosocket.so" => self.audiosocket = true,
            "chan_websocket.so" => self.websocket = true,
            "chan_rtp.so" => self.rtp = true,
            name if name.starts_with("codec_opus") => self.opus = true,
            _ => {}
        }
    }

    /// Chooses for a telephone that speaks `far`, by Asterisk's name; `None` when that is not known yet.
    pub(super) fn choose(self, far: Option<&str>) -> Plan {
        let plan = |road, codec, why| Plan { road, codec, why };
        let narrow = matches!(
            far,
            Some("ulaw" | "alaw" | "gsm" | "g729" | "ilbc" | "g726" | "slin")
        );
        if far == Some("opus") && self.websocket && self.opus {
            return plan(
                Road::WebSocket,
                Codec::Opus,
                "the telephone speaks Opus, and its packets pass untouched",
            );
        }
        let pcm = match (self.audiosocket, self.websocket) {
            (true, _) => Some(Road::AudioSocket),
            (false, true) => Some(Road::WebSocket),
            (false, false) => None,
        };
        match (pcm, far) {
            (Some(road), _) if narrow => plan(
                road,
                Codec::SLIN,
                "the telephone has 8 kHz: nothing is resampled",
            ),
            (Some(road), Some(_)) => plan(road, Codec::SLIN16, "the telephone has wide band"),
            (Some(road), None) => plan(
                road,
                Codec::SLIN16,
                "the telephone's codec is not known yet: wide band, in case it has it",
            ),
            (None, Some("ulaw")) if self.rtp => plan(
                Road::Rtp,
                Codec::Ulaw,
                "no AudioSocket in Asterisk: RTP in the telephone's own codec",
            ),
            (None, Some("alaw")) if self.rtp => plan(
                Road::Rtp,
                Codec::Alaw,
                "no AudioSocket in Asterisk: RTP in the telephone's own codec",
            ),
            (None, _) if self.rtp => plan(
                Road::Rtp,
                Codec::G722,
                "no AudioSocket in Asterisk: RTP, in the best codec that it takes there",
            ),
            (None, _) => plan(
                Road::AudioSocket,
                Codec::SLIN16,
                "Asterisk shows no module for sound: AudioSocket is tried",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Abilities = Abilities {
        audiosocket: true,
        websocket: true,
        opus: true,
        rtp: true,
    };

    #[test]
    fn the_cheapest_road_that_loses_nothing_is_chosen() {
        let old = Abilities {
            rtp: true,
            ..Abilities::default()
        };
        let without_opus = Abilities { opus: false, ..ALL };
        let only_websocket = Abilities {
            audiosocket: false,
            ..ALL
        };
        for (abilities, far, road, codec) in [
            (ALL, Some("opus"), Road::WebSocket, Codec::Opus),
            (ALL, Some("ulaw"), Road::AudioSocket, Codec::SLIN),
            (ALL, Some("g722"), Road::AudioSocket, Codec::SLIN16),
            (ALL, None, Road::AudioSocket, Codec::SLIN16),
            (without_opus, Some("opus"), Road::AudioSocket, Codec::SLIN16),
            (only_websocket, Some("alaw"), Road::WebSocket, Codec::SLIN),
            (old, Some("ulaw"), Road::Rtp, Codec::Ulaw),
            (old, Some("alaw"), Road::Rtp, Codec::Alaw),
            (old, Some("opus"), Road::Rtp, Codec::G722),
            (old, None, Road::Rtp, Codec::G722),
            (Abilities::default(), None, Road::AudioSocket, Codec::SLIN16),
        ] {
            let plan = abilities.choose(far);

            assert_eq!(
                (plan.road, plan.codec),
                (road, codec),
                "{abilities:?}, {far:?}"
            );
            assert!(plan.road.carries(plan.codec) && !plan.why.is_empty());
        }
    }

    #[test]
    fn the_longest_prefix_of_a_number_decides_its_road() {
        let rule = |prefix: &str, calls, choice| RoadRule {
            prefix: prefix.into(),
            calls,
            choice,
        };
        let opus = Choice::Fixed(Road::WebSocket, Codec::Opus);
        let narrow = Choice::Fixed(Road::AudioSocket, Codec::SLIN);
        let rules = [
            rule("0", Calls::Out, narrow),
            rule("0049", Calls::Both, opus),
            rule("0049", Calls::Both, narrow),
            rule("7", Calls::In, Choice::Cheapest),
        ];

        for (from, number, found) in [
            (Calls::Out, "0033", Some(narrow)),
            (Calls::In, "0033", None),
            (Calls::Out, "004930", Some(opus)),
            (Calls::In, "004930", Some(opus)),
            (Calls::In, "7001", Some(Choice::Cheapest)),
            (Calls::Out, "7001", None),
            (Calls::In, "", None),
        ] {
            let choice = RoadRule::find(&rules, from, number);

            assert_eq!(choice, found, "{from:?} {number:?}");
        }
    }

    #[test]
    fn modules_tell_what_there_is() {
        let mut abilities = Abilities::default();

        for module in [
            "chan_audiosocket.so",
            "chan_websocket.so",
            "chan_rtp.so",
            "codec_opus_open_source.so",
            "chan_pjsip.so",
        ] {
            abilities.note(module);
        }

        assert_eq!(abilities, ALL);
    }
}
