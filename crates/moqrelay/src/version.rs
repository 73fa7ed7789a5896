//! Which Asterisk it is, and what that one can do.

use std::fmt;

/// A version of Asterisk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// What is assumed when nobody says otherwise: the one that is tested most.
    pub(crate) const USUAL: Self = Self {
        major: 22,
        minor: 7,
    };

    /// Reads `22.10.1~dfsg-1`, `Asterisk 22.10.1` or `22`; the first number that is found counts.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let from = text.find(|c: char| c.is_ascii_digit())?;
        let mut numbers = text[from..].split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = match text[from..].split_once('.') {
            Some((before, _)) if before.chars().all(|c| c.is_ascii_digit()) => {
                numbers.next()?.parse().ok()?
            }
            // "20" alone: the newest of its series.
            _ => u32::MAX,
        };
        Some(Self { major, minor })
    }

    fn from(self, releases: &[(u32, u32)]) -> bool {
        let newest = releases.iter().map(|(major, _)| *major).max();
        newest.is_some_and(|newest| self.major > newest)
            || releases
                .iter()
                .any(|(major, minor)| self.major == *major && self.minor >= *minor)
    }

    /// Whether it has AudioSocket at all.
    pub(crate) fn has_audiosocket(self) -> bool {
        self.major >= 18
    }

    /// Whether it tells by AudioSocket which keys are pressed.
    pub(crate) fn tells_digits(self) -> bool {
        self.from(&[(20, 14), (21, 9), (22, 4)])
    }

    /// Whether it has `res_websocket_client.so`, which its ARI then needs.
    pub(crate) fn has_websocket_client(self) -> bool {
        self.from(&[(20, 15), (21, 10), (22, 5)])
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            u32::MAX => write!(f, "Asterisk {}", self.major),
            minor => write!(f, "Asterisk {}.{minor}", self.major),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_asterisk_writes_them() {
        for (text, read) in [
            ("22.10.1~dfsg+~cs6.15.60671435-1", "Asterisk 22.10"),
            ("Asterisk 20.9.3", "Asterisk 20.9"),
            ("18", "Asterisk 18"),
            ("certified/20.7-cert4", "Asterisk 20.7"),
        ] {
            assert_eq!(Version::parse(text).unwrap().to_string(), read);
        }
        assert_eq!(Version::parse("GIT-master"), None);
    }

    #[test]
    fn what_came_in_the_middle_of_a_series_is_told_apart() {
        let told = |text: &str| {
            let version = Version::parse(text).unwrap();
            (
                version.has_audiosocket(),
                version.tells_digits(),
                version.has_websocket_client(),
            )
        };

        assert_eq!(told("16.28.0"), (false, false, false));
        assert_eq!(told("18.20"), (true, false, false));
        assert_eq!(told("20.13"), (true, false, false));
        assert_eq!(told("20.14"), (true, true, false));
        assert_eq!(told("22.3"), (true, false, false));
        assert_eq!(told("22.4"), (true, true, false));
        assert_eq!(told("22.5"), (true, true, true));
        assert_eq!(told("23.0"), (true, true, true));
    }
}
