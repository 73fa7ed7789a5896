//! Which way a dialled number goes, and in which form.
//!
//! Numbers are told apart by the plan of the house's country (E.164 and what people dial there);
//! what is no number of any plan, an extension of the house for example, stays as it was typed.

use std::collections::BTreeSet;
use std::fmt;

use phonelib::{Country, PhoneFormat, PhoneNumber};

use crate::{Caller, Number};

/// How numbers are understood, and by which trunk they go.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    /// The country whose habits of dialling apply; without one numbers are dialled as typed.
    pub region: Option<Region>,
    /// The most digits of an extension of the house, which is dialled as typed.
    pub extension_digits: usize,
    /// Dialled as typed, by the trunks for emergencies, and never refused for what else is
    /// configured.
    pub emergency: BTreeSet<Number>,
    /// Numbers that nobody may dial.
    pub blocked: Vec<Prefix>,
    /// The trunks, the preferred one first.
    pub trunks: Vec<TrunkPlan>,
}

/// What goes by a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkPlan {
    /// Its name.
    pub name: TrunkName,
    /// The numbers that it takes.
    pub prefixes: Vec<Prefix>,
    /// How it wants them.
    pub form: NumberForm,
    /// Whether emergency numbers go by it.
    pub emergency: bool,
}

/// A trunk's name, for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrunkName(String);

impl TrunkName {
    /// The longest name in bytes.
    pub const LEN_MAX: usize = 32;

    /// Takes a name; `None` unless it is `[A-Za-z0-9_-]{1,32}`.
    pub fn new(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let fits = (1..=Self::LEN_MAX).contains(&text.len()) && text.bytes().all(plain);
        fits.then(|| Self(text.to_owned()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a trunk wants a number that was understood; others it gets as they were typed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NumberForm {
    /// `+493012345`.
    #[default]
    E164,
    /// `493012345`.
    Digits,
    /// `03012345` at home; others as [`E164`](Self::E164).
    National,
    /// As typed.
    Dialled,
}

/// The beginning of numbers. With `+` it is compared with E.164, otherwise with what was typed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(String);

impl Prefix {
    /// Takes a prefix; `None` unless it is `[+]?[0-9*#]*` of at most 32 bytes. The empty one fits
    /// every number.
    pub fn new(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'*' | b'#');
        (text.len() <= Number::LEN_MAX && digits.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// Returns the prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn fits(&self, dialled: &Number, understood: Option<&Understood>) -> bool {
        match (self.0.starts_with('+'), understood) {
            (true, Some(number)) => number.e164.as_str().starts_with(&self.0),
            (_, _) => dialled.as_str().starts_with(&self.0),
        }
    }
}

/// A country of a numbering plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region(&'static Country);

impl Region {
    /// Takes a country's code of ISO 3166, for example `DE`; `None` when no plan is known for it.
    pub fn new(code: &str) -> Option<Self> {
        let country = phonelib::country_by_code(code)?;
        // Beyond countries there are codes of services, which nobody lives in.
        (country.code.len() == 2).then_some(Self(country))
    }

    /// Returns the code.
    pub fn code(self) -> &'static str {
        self.0.code
    }

    /// Reads a number as people in this country dial it.
    fn understand(self, dialled: &Number) -> Option<Understood> {
        let text = dialled.as_str();
        if text.contains(['*', '#']) || text.rfind('+').is_some_and(|at| at > 0) {
            return None;
        }
        let number = PhoneNumber::parse_with_country(text, self.code())?;
        let national = digits(&number.format(PhoneFormat::National));
        // Without the digits that people put before an area code it is a number of one's own town,
        // or a mistake: which one nobody can say.
        let significant = number.national_number();
        if text == significant && national != significant {
            return None;
        }
        let at_home = number.country_code() == self.calling_code();
        let e164 = Number::new(number.e164()).ok()?;
        let national = Number::new(&national).ok().filter(|_| at_home);
        Some(Understood { e164, national })
    }

    /// The first digit stands for all of North America, whose countries share it.
    fn calling_code(self) -> u32 {
        let code = self.0.prefix;
        if code.to_string().starts_with('1') {
            1
        } else {
            code
        }
    }
}

/// A number of a numbering plan.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Understood {
    e164: Number,
    /// As it is dialled at home; `None`: it is abroad.
    national: Option<Number>,
}

/// Where a number goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// For people: E.164 where the number was understood.
    pub shown: Number,
    /// What is dialled.
    pub number: Number,
    /// By which trunk; `None`: by the way for all that no trunk takes.
    pub trunk: Option<TrunkName>,
}

/// Why a number goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// Nobody may dial it.
    Blocked(Prefix),
    /// The trunk for it, and whatever could take its place, is down.
    TrunkDown(TrunkName),
}

impl Routing {
    /// Returns whether a number calls for help.
    pub fn is_emergency(&self, dialled: &str) -> bool {
        Number::new(dialled).is_ok_and(|number| self.emergency.contains(&number))
    }

    /// Returns a number in E.164, if it is one of a numbering plan and no extension.
    pub fn e164(&self, dialled: &Number) -> Option<Number> {
        self.understand(dialled).map(|number| number.e164)
    }

    /// Writes a caller's number in E.164, so that it can be called back.
    pub(crate) fn caller(&self, caller: Caller) -> Caller {
        let number = caller.number.as_deref();
        let understood = number.and_then(|number| self.e164(&Number::new(number).ok()?));
        let number = understood.map(|number| number.as_str().to_owned());
        Caller {
            number: number.or(caller.number),
            ..caller
        }
    }

    /// Chooses the way of a number. Of the trunks whose prefixes fit, the one with the longest
    /// prefix that is not `down` takes it; the order decides between equals.
    pub(crate) fn route(
        &self,
        dialled: &Number,
        down: &BTreeSet<TrunkName>,
    ) -> Result<Route, NoWay> {
        if self.emergency.contains(dialled) {
            return Ok(self.emergency_route(dialled, down));
        }
        let understood = self.understand(dialled);
        if let Some(prefix) = self.blocks(dialled, understood.as_ref()) {
            return Err(NoWay::Blocked(prefix.clone()));
        }
        let fits = |prefix: &&Prefix| prefix.fits(dialled, understood.as_ref());
        let mut trunks: Vec<_> = self
            .trunks
            .iter()
            .filter_map(|trunk| {
                let fitting = trunk.prefixes.iter().filter(fits);
                Some((fitting.map(|prefix| prefix.0.len()).max()?, trunk))
            })
            .collect();
        trunks.sort_by_key(|(len, _)| std::cmp::Reverse(*len));
        let trunk = trunks.iter().find(|(_, trunk)| !down.contains(&trunk.name));
        let trunk = match (trunk, trunks.first()) {
            (Some((_, trunk)), _) => Some(*trunk),
            (None, Some((_, trunk))) => return Err(NoWay::TrunkDown(trunk.name.clone())),
            (None, None) => None,
        };
        let form = trunk.map_or(NumberForm::Dialled, |trunk| trunk.form);
        let number = match &understood {
            Some(number) => number.in_form(form, dialled),
            None => dialled.clone(),
        };
        Ok(Route {
            shown: understood.map_or_else(|| dialled.clone(), |number| number.e164),
            number,
            trunk: trunk.map(|trunk| trunk.name.clone()),
        })
    }

    /// Tries a trunk that is down, too: what we know of it may be wrong.
    fn emergency_route(&self, dialled: &Number, down: &BTreeSet<TrunkName>) -> Route {
        let trunks = || self.trunks.iter().filter(|trunk| trunk.emergency);
        let up = trunks().find(|trunk| !down.contains(&trunk.name));
        Route {
            shown: dialled.clone(),
            number: dialled.clone(),
            trunk: up
                .or_else(|| trunks().next())
                .map(|trunk| trunk.name.clone()),
        }
    }

    /// Returns the prefix that blocks a number. Networks ignore digits too many, so that a number
    /// which is too long counts as the longest of its beginnings that is one.
    fn blocks(&self, dialled: &Number, understood: Option<&Understood>) -> Option<&Prefix> {
        let text = dialled.as_str();
        let mut shorter = (1..text.len()).rev().filter_map(|len| {
            let number = Number::new(text.get(..len)?).ok()?;
            self.understand(&number)
        });
        let shorter = match understood {
            Some(_) => None,
            None => shorter.next(),
        };
        let understood = understood.or(shorter.as_ref());
        let mut blocked = self.blocked.iter();
        blocked.find(|prefix| prefix.fits(dialled, understood))
    }

    fn understand(&self, dialled: &Number) -> Option<Understood> {
        let text = dialled.as_str();
        if !text.starts_with('+') && text.len() <= self.extension_digits {
            return None;
        }
        self.region?.understand(dialled)
    }
}

impl Understood {
    fn in_form(&self, form: NumberForm, dialled: &Number) -> Number {
        let digits = || Number::new(self.e164.as_str().trim_start_matches('+')).ok();
        let wanted = match form {
            NumberForm::E164 => None,
            NumberForm::Digits => digits(),
            NumberForm::National => self.national.clone(),
            NumberForm::Dialled => Some(dialled.clone()),
        };
        wanted.unwrap_or_else(|| self.e164.clone())
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_dial_becomes_e164() {
        for (region, dialled, e164) in [
            ("DE", "03012345678", Some("+493012345678")),
            ("DE", "00442079460958", Some("+442079460958")),
            ("DE", "+442079460958", Some("+442079460958")),
            ("GB", "02079460958", Some("+442079460958")),
            ("US", "2025550173", Some("+12025550173")),
            ("US", "12025550173", Some("+12025550173")),
            ("US", "011442079460958", Some("+442079460958")),
            // In Italy the zero belongs to the number.
            ("IT", "0669821234", Some("+390669821234")),
            ("JP", "010442079460958", Some("+442079460958")),
            ("HU", "0612345678", Some("+3612345678")),
            // Spain has no digit before area codes.
            ("ES", "912345678", Some("+34912345678")),
            // A number of one's own town.
            ("DE", "3012345678", None),
            // An extension, and a code.
            ("DE", "1001", None),
            ("DE", "*72030123456", None),
        ] {
            let routing = at(region);

            let understood = routing.e164(&number(dialled));

            let understood = understood.as_ref().map(Number::as_str);
            assert_eq!(understood, e164, "{dialled} from {region}");
        }
    }

    #[test]
    fn the_longest_prefix_has_the_trunk() {
        let routing = Routing {
            trunks: vec![
                trunk("world", &["+"]),
                trunk("home", &["+49"]),
                trunk("special", &["0800"]),
            ],
            ..at("DE")
        };

        for (dialled, name) in [
            ("00442079460958", Some("world")),
            ("03012345678", Some("home")),
            ("08001234567", Some("special")),
            ("1001", None),
        ] {
            assert_eq!(way(&routing, dialled, &[]), Ok(name.map(str::to_owned)));
        }
    }

    #[test]
    fn a_trunk_that_is_down_is_stood_in_for_by_the_next_that_fits() {
        let routing = Routing {
            trunks: vec![trunk("world", &["+"]), trunk("home", &["+49"])],
            ..at("DE")
        };

        let stand_in = way(&routing, "03012345678", &["home"]);
        let none = way(&routing, "03012345678", &["home", "world"]);

        assert_eq!(stand_in, Ok(Some("world".into())));
        assert_eq!(none, Err(NoWay::TrunkDown(name("home"))));
    }

    #[test]
    fn a_trunk_gets_numbers_in_its_form() {
        for (form, home, abroad) in [
            (NumberForm::E164, "+493012345678", "+442079460958"),
            (NumberForm::Digits, "493012345678", "442079460958"),
            (NumberForm::National, "03012345678", "+442079460958"),
            (NumberForm::Dialled, "03012345678", "00442079460958"),
        ] {
            let any = TrunkPlan {
                form,
                ..trunk("any", &["+"])
            };
            let routing = Routing {
                trunks: vec![any],
                ..at("DE")
            };

            for (dialled, wanted) in [("03012345678", home), ("00442079460958", abroad)] {
                let route = routing.route(&number(dialled), &BTreeSet::new()).unwrap();
                assert_eq!(route.number.as_str(), wanted, "{form:?}");
            }
        }
    }

    #[test]
    fn a_blocked_number_is_refused_however_it_is_dialled() {
        let routing = Routing {
            blocked: vec![prefix("+49900"), prefix("010")],
            ..at("DE")
        };

        let too_long = "0900123456789012345";
        for dialled in [
            "0900123456",
            "+49900123456",
            "0049900123456",
            too_long,
            "01013030",
        ] {
            let refused = way(&routing, dialled, &[]);
            assert!(matches!(refused, Err(NoWay::Blocked(_))), "{dialled}");
        }
        assert_eq!(way(&routing, "030900123", &[]), Ok(None));
    }

    #[test]
    fn a_call_for_help_is_never_refused_and_never_changed() {
        let routing = Routing {
            emergency: BTreeSet::from([number("112")]),
            blocked: vec![prefix("")],
            trunks: vec![
                trunk("home", &["+49", "1"]),
                TrunkPlan {
                    emergency: true,
                    ..trunk("line", &[])
                },
            ],
            ..at("DE")
        };

        let down = BTreeSet::from([name("home"), name("line")]);
        let route = routing.route(&number("112"), &down).unwrap();

        assert_eq!(
            (route.number.as_str(), route.trunk),
            ("112", Some(name("line")))
        );
    }

    #[test]
    fn without_a_country_numbers_are_dialled_as_typed() {
        let routing = Routing {
            trunks: vec![trunk("any", &["0", "+"])],
            ..Routing::default()
        };

        let route = routing
            .route(&number("03012345678"), &BTreeSet::new())
            .unwrap();

        assert_eq!(route.number.as_str(), "03012345678");
        assert_eq!(route.trunk, Some(name("any")));
    }

    fn at(region: &str) -> Routing {
        Routing {
            region: Some(Region::new(region).unwrap()),
            extension_digits: 5,
            ..Routing::default()
        }
    }

    fn way(routing: &Routing, dialled: &str, down: &[&str]) -> Result<Option<String>, NoWay> {
        let down = down.iter().map(|trunk| name(trunk)).collect();
        let route = routing.route(&number(dialled), &down)?;
        Ok(route.trunk.map(|trunk| trunk.to_string()))
    }

    fn trunk(text: &str, prefixes: &[&str]) -> TrunkPlan {
        TrunkPlan {
            name: name(text),
            prefixes: prefixes.iter().map(|text| prefix(text)).collect(),
            form: NumberForm::default(),
            emergency: false,
        }
    }

    fn name(text: &str) -> TrunkName {
        TrunkName::new(text).unwrap()
    }

    fn prefix(text: &str) -> Prefix {
        Prefix::new(text).unwrap()
    }

    fn number(text: &str) -> Number {
        Number::new(text).unwrap()
    }
}
