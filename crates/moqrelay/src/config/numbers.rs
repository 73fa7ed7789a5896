//! Numbers that are dialled, and the trunks that they go by.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use moqrelay_bridge::{ami, ari};
use moqrelay_room::{Number, NumberForm, Prefix, Region, Routing, TrunkName, TrunkPlan};
use serde::Deserialize;

use super::Secret;

/// Trunks at most: each is asked for in Asterisk.
const TRUNKS_MAX: usize = 64;
/// Prefixes of a trunk, and blocked ones: each is looked at for each number.
const PREFIXES_MAX: usize = 1000;

/// How numbers are understood.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Numbers {
    /// The country whose habits of dialling apply, ISO 3166; empty: numbers are dialled as typed.
    pub(crate) region: String,
    /// The most digits of an extension of the house.
    pub(crate) extension_digits_max: usize,
    /// Numbers that call for help.
    pub(crate) emergency: Vec<String>,
    /// Beginnings of numbers that nobody may dial.
    pub(crate) blocked: Vec<String>,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            region: String::new(),
            extension_digits_max: 5,
            emergency: ["112", "911"].map(str::to_owned).to_vec(),
            blocked: Vec::new(),
        }
    }
}

/// A way into the telephone network for some numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trunk {
    pub(crate) name: String,
    /// What is dialled for a number, `{number}` in it.
    pub(crate) dial: String,
    /// Beginnings of the numbers that it takes.
    #[serde(default)]
    pub(crate) prefixes: Vec<String>,
    #[serde(default)]
    pub(crate) form: Form,
    /// Whether emergency numbers go by it.
    #[serde(default)]
    pub(crate) emergency: bool,
    /// The number that the called one sees; absent: the caller's.
    #[serde(default)]
    pub(crate) caller_number: Option<String>,
    /// The endpoint whose state counts; absent: that of `dial`, if it is `PJSIP/…@NAME`.
    #[serde(default)]
    pub(crate) endpoint: Option<String>,
    /// The outbound registration that must hold; absent: none.
    #[serde(default)]
    pub(crate) registration: Option<String>,
}

/// How a trunk wants numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    #[default]
    E164,
    Digits,
    National,
    Dialled,
}

/// Asterisk's manager interface: it knows whether Asterisk is registered at a provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ami {
    pub(crate) address: String,
    pub(crate) user: String,
    pub(crate) password: Secret,
}

impl Trunk {
    /// Returns how it is told to the steering of calls.
    pub(crate) fn to_ari(&self) -> ari::Trunk {
        let named = || {
            let (_, name) = self.dial.strip_prefix("PJSIP/")?.rsplit_once('@')?;
            let plain = !name.is_empty() && !name.contains(['{', '/', ':']);
            plain.then(|| format!("PJSIP/{name}"))
        };
        ari::Trunk {
            name: self.name.clone(),
            dial: self.dial.clone(),
            caller_number: self
                .caller_number
                .clone()
                .unwrap_or_else(|| "{number}".into()),
            endpoint: self.endpoint.clone().or_else(named),
        }
    }

    fn plan(&self) -> Result<TrunkPlan> {
        let key = || format!("asterisk.trunks {:?}", self.name);
        let name = TrunkName::new(&self.name).with_context(|| {
            let most = TrunkName::LEN_MAX;
            format!("{}: a name is 1 to {most} letters, digits, _ and -", key())
        })?;
        Ok(TrunkPlan {
            name,
            prefixes: prefixes(&format!("{}: prefixes", key()), &self.prefixes)?,
            form: match self.form {
                Form::E164 => NumberForm::E164,
                Form::Digits => NumberForm::Digits,
                Form::National => NumberForm::National,
                Form::Dialled => NumberForm::Dialled,
            },
            emergency: self.emergency,
        })
    }
}

/// Returns what the switchboard goes by.
///
/// # Errors
///
/// Names the key, its value and what is allowed.
pub(crate) fn routing(numbers: &Numbers, trunks: &[Trunk]) -> Result<Routing> {
    let region = match numbers.region.as_str() {
        "" => None,
        code => Some(Region::new(code).with_context(|| {
            format!("asterisk.numbers.region is {code:?}: it must be a country by ISO 3166, for example DE")
        })?),
    };
    let emergency = numbers.emergency.iter().map(|text| {
        Number::new(text).with_context(|| format!("asterisk.numbers.emergency has {text:?}"))
    });
    ensure!(
        trunks.len() <= TRUNKS_MAX,
        "asterisk.trunks has {}: at most {TRUNKS_MAX} are allowed",
        trunks.len()
    );
    let trunks = trunks.iter().map(Trunk::plan).collect::<Result<Vec<_>>>()?;
    let mut names = BTreeSet::new();
    for trunk in &trunks {
        ensure!(
            names.insert(&trunk.name),
            "asterisk.trunks {:?} stands twice",
            trunk.name.as_str()
        );
    }
    Ok(Routing {
        region,
        extension_digits: numbers.extension_digits_max,
        emergency: emergency.collect::<Result<_>>()?,
        blocked: prefixes("asterisk.numbers.blocked", &numbers.blocked)?,
        trunks,
    })
}

/// Returns what AMI is asked for; `None`: no trunk has a registration.
///
/// # Errors
///
/// When a trunk has one and AMI is not named.
pub(crate) fn registrations(ami: Option<&Ami>, trunks: &[Trunk]) -> Result<Option<ami::Config>> {
    let names = trunks.iter().filter_map(|trunk| trunk.registration.clone());
    let registrations: BTreeSet<String> = names.collect();
    if registrations.is_empty() {
        return Ok(None);
    }
    let ours = ami.context("a trunk has a registration: [asterisk.ami] must say who knows it")?;
    Ok(Some(ami::Config {
        address: ours.address.clone(),
        user: ours.user.clone(),
        password: ari::Secret::new(ours.password.expose()),
        registrations,
    }))
}

fn prefixes(key: &str, texts: &[String]) -> Result<Vec<Prefix>> {
    ensure!(
        texts.len() <= PREFIXES_MAX,
        "{key} has {}: at most {PREFIXES_MAX} are allowed",
        texts.len()
    );
    let prefix = |text: &String| {
        Prefix::new(text).with_context(|| {
            format!("{key} has {text:?}: allowed are 0-9, *, # and a + before them")
        })
    };
    texts.iter().map(prefix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_of_a_trunk_is_the_one_it_dials_by() {
        for (dial, endpoint) in [
            ("PJSIP/{number}@carrier", Some("PJSIP/carrier")),
            ("PJSIP/carrier/sip:{number}@10.0.0.1:5060", None),
            ("Local/{number}@out/n", None),
        ] {
            assert_eq!(trunk(dial).to_ari().endpoint.as_deref(), endpoint, "{dial}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let numbers = |region: &str, blocked: &str| Numbers {
            region: region.into(),
            blocked: vec![blocked.into()],
            ..Numbers::default()
        };
        let twice = [trunk("PJSIP/{number}@a"), trunk("PJSIP/{number}@b")];
        for (numbers, trunks, wanted) in [
            (
                numbers("Germany", ""),
                &twice[..1],
                "asterisk.numbers.region is \"Germany\"",
            ),
            (
                numbers("DE", "call"),
                &twice[..1],
                "asterisk.numbers.blocked has \"call\"",
            ),
            (
                numbers("DE", ""),
                &twice[..],
                "asterisk.trunks \"carrier\" stands twice",
            ),
        ] {
            let error = routing(&numbers, trunks).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }

    #[test]
    fn a_registration_needs_somebody_who_knows_it() {
        let registered = Trunk {
            registration: Some("carrier".into()),
            ..trunk("PJSIP/{number}@carrier")
        };

        assert!(registrations(None, &[registered]).is_err());
        assert!(
            registrations(None, &[trunk("PJSIP/{number}@carrier")])
                .unwrap()
                .is_none()
        );
    }

    fn trunk(dial: &str) -> Trunk {
        Trunk {
            name: "carrier".into(),
            dial: dial.into(),
            prefixes: Vec::new(),
            form: Form::default(),
            emergency: false,
            caller_number: None,
            endpoint: None,
            registration: None,
        }
    }
}
