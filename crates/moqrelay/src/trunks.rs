//! What is known of the trunks, put together from those who know a part of it.

use std::collections::BTreeMap;

use moqrelay_bridge::{
    ami::{Registration, Registrations},
    ari::EndpointState,
};
use moqrelay_control::Trunk as View;
use moqrelay_room::{Input, TrunkName};
use tokio::sync::watch;

use crate::config::Trunk;

/// Every trunk of the configuration.
#[derive(Debug)]
pub(crate) struct Trunks {
    known: BTreeMap<TrunkName, Known>,
    shown: watch::Sender<Vec<View>>,
}

#[derive(Debug)]
struct Known {
    /// Who tells us what of it.
    endpoint_name: Option<String>,
    registration_name: Option<String>,
    endpoint: EndpointState,
    registration: Registration,
    prefixes: Vec<String>,
    emergency: bool,
}

impl Known {
    /// Returns what is wrong, in words; `None`: calls can go by it, as far as anybody knows.
    fn fault(&self) -> Option<&'static str> {
        let registration = match self.registration {
            _ if self.registration_name.is_none() => None,
            Registration::Unknown | Registration::Registered => None,
            Registration::Unregistered => Some("the provider does not answer our registration"),
            Registration::Rejected => {
                Some("the provider rejects our registration: is the password right?")
            }
            Registration::Missing => Some("Asterisk has no registration of that name"),
        };
        registration.or(match self.endpoint {
            EndpointState::Unknown | EndpointState::Online => None,
            EndpointState::Offline => Some("the endpoint does not answer"),
            EndpointState::Missing => Some("Asterisk has no endpoint of that name"),
        })
    }
}

impl Trunks {
    /// Begins with nothing known, which counts as up. `shown` follows.
    pub(crate) fn new(trunks: &[Trunk], shown: watch::Sender<Vec<View>>) -> Self {
        let known = trunks.iter().filter_map(|trunk| {
            let known = Known {
                endpoint_name: trunk.to_ari().endpoint,
                registration_name: trunk.registration.clone(),
                endpoint: EndpointState::default(),
                registration: Registration::default(),
                prefixes: trunk.prefixes.clone(),
                emergency: trunk.emergency,
            };
            Some((TrunkName::new(&trunk.name)?, known))
        });
        let trunks = Self {
            known: known.collect(),
            shown,
        };
        trunks.show();
        trunks
    }

    /// Asterisk has said how an endpoint is. Returns what the switchboard is to be told.
    pub(crate) fn endpoint(&mut self, trunk: &str, state: EndpointState) -> Vec<Input> {
        self.change(|name, known| {
            if name.as_str() == trunk {
                known.endpoint = state;
            }
        })
    }

    /// The same of registrations.
    pub(crate) fn registrations(&mut self, registrations: &Registrations) -> Vec<Input> {
        self.change(|_, known| {
            let name = known.registration_name.as_ref();
            if let Some(registration) = name.and_then(|name| registrations.get(name)) {
                known.registration = *registration;
            }
        })
    }

    fn change(&mut self, mut change: impl FnMut(&TrunkName, &mut Known)) -> Vec<Input> {
        let mut inputs = Vec::new();
        for (name, known) in &mut self.known {
            let before = known.fault();
            change(name, known);
            let now = known.fault();
            if before != now {
                match now {
                    Some(why) => tracing::warn!(trunk = %name, why, "a trunk is down"),
                    None => tracing::info!(trunk = %name, "the trunk is up again"),
                }
                let (name, up) = (name.clone(), now.is_none());
                inputs.push(Input::Trunk { name, up });
            }
        }
        self.show();
        inputs
    }

    fn show(&self) {
        let view = |(name, known): (&TrunkName, &Known)| {
            let up = known.fault().is_none();
            metrics::gauge!("moqrelay_trunk_up", "trunk" => name.to_string())
                .set(f64::from(u8::from(up)));
            View {
                name: name.to_string(),
                up,
                fault: known.fault(),
                endpoint: known.endpoint_name.clone(),
                endpoint_state: known.endpoint.as_str(),
                registration: known.registration_name.clone(),
                registration_state: known.registration.as_str(),
                prefixes: known.prefixes.clone(),
                emergency: known.emergency,
            }
        };
        self.shown
            .send_replace(self.known.iter().map(view).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trunk_is_down_when_any_who_know_it_say_so() {
        let (mut trunks, shown) = carrier();

        assert_eq!(trunks.endpoint("carrier", EndpointState::Online), []);
        let rejected = [("reg".to_owned(), Registration::Rejected)].into();
        assert_eq!(trunks.registrations(&rejected), [told(false)]);
        assert_eq!(trunks.endpoint("carrier", EndpointState::Offline), []);
        let registered = [("reg".to_owned(), Registration::Registered)].into();
        assert_eq!(trunks.registrations(&registered), [told(false)]);
        assert_eq!(
            shown.borrow()[0].fault,
            Some("the endpoint does not answer")
        );
        assert_eq!(
            trunks.endpoint("carrier", EndpointState::Online),
            [told(true)]
        );

        assert!(shown.borrow()[0].up);
    }

    #[test]
    fn what_nobody_knows_counts_as_up() {
        let (mut trunks, shown) = carrier();

        let unknown = [("reg".to_owned(), Registration::Unknown)].into();

        assert_eq!(trunks.registrations(&unknown), []);
        assert!(shown.borrow()[0].up);
    }

    fn carrier() -> (Trunks, watch::Receiver<Vec<View>>) {
        let (shown, showing) = watch::channel(Vec::new());
        let trunk =
            toml_trunk("name = 'carrier'\ndial = 'PJSIP/{number}@carrier'\nregistration = 'reg'");
        (Trunks::new(&[trunk], shown), showing)
    }

    fn toml_trunk(text: &str) -> Trunk {
        let file = config::File::from_str(text, config::FileFormat::Toml);
        let built = config::Config::builder().add_source(file).build().unwrap();
        built.try_deserialize().unwrap()
    }

    fn told(up: bool) -> Input {
        let name = TrunkName::new("carrier").unwrap();
        Input::Trunk { name, up }
    }
}
