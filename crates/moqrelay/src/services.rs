//! What the configuration says of parking, picking up, voice mail and telephones that are shown, for the
//! parts that go by it; and what telephones may set.

use std::collections::BTreeMap;

use moqrelay_bridge::ari;
use moqrelay_room::{DivertReason, Diverted, Forward, Line, LineState, Number, Parking, Setting};
use moqrelay_wire::signal::Services;

use crate::config::{Asterisk, Calls, Config};

/// Returns where calls are parked.
pub(crate) fn parking(calls: &Calls) -> Option<Parking> {
    Some(Parking {
        lot: Number::new(&calls.park).ok()?,
        first: calls.park_first,
        slots: calls.park_slots,
        timeout: calls.park_timeout,
    })
}

/// Returns the telephones that are shown.
pub(crate) fn lines(asterisk: &Asterisk) -> Vec<Line> {
    let line = |line: &crate::config::Line| {
        Some(Line {
            number: Number::new(&line.number).ok()?,
            name: line.name.clone(),
        })
    };
    asterisk.lines.iter().filter_map(line).collect()
}

/// Returns the numbers of the devices whose states Asterisk tells.
pub(crate) fn devices(asterisk: &Asterisk) -> BTreeMap<String, Number> {
    let lines = asterisk.lines.iter();
    let device =
        |line: &crate::config::Line| Some((line.device.clone(), Number::new(&line.number).ok()?));
    lines.filter_map(device).collect()
}

/// Returns what clients are told.
pub(crate) fn told(config: &Config) -> Services {
    let named = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let ari = config.asterisk.ari.as_ref();
    Services {
        voicemail: ari.and_then(|ari| ari.voicemail.clone()),
        park: named(&config.calls.park),
        pick_up: named(&config.calls.pick_up),
    }
}

/// Reads what a telephone wants to set: `what` to `value`. None: that is nothing we know.
pub(crate) fn setting(what: &str, value: &str) -> Option<Setting> {
    let target = || match value {
        "" | "off" => Some(None),
        to => Forward::new(to).map(Some),
    };
    Some(match (what, value) {
        ("undisturbed", "on") => Setting::Undisturbed(true),
        ("undisturbed", "off") => Setting::Undisturbed(false),
        ("always", _) => Setting::Always(target()?),
        ("busy", _) => Setting::Busy(target()?),
        ("no_answer", _) => Setting::NoAnswer(target()?),
        _ => return None,
    })
}

pub(crate) fn line_state(state: ari::DeviceState) -> LineState {
    match state {
        ari::DeviceState::Idle => LineState::Available,
        ari::DeviceState::Ringing => LineState::Ringing,
        ari::DeviceState::Busy => LineState::Busy,
        ari::DeviceState::Unavailable => LineState::Offline,
    }
}

pub(crate) fn sent_on(diverted: Diverted) -> ari::SentOn {
    ari::SentOn {
        name: diverted.by.name,
        number: diverted.by.number.map(|number| number.as_str().to_owned()),
        reason: match diverted.reason {
            DivertReason::Always => ari::SentOnReason::Always,
            DivertReason::Busy => ari::SentOnReason::Busy,
            DivertReason::NoAnswer => ari::SentOnReason::NoAnswer,
            DivertReason::Unreachable => ari::SentOnReason::Unreachable,
        },
        times: diverted.times,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_telephone_sets_is_read_or_refused() {
        let to = Forward::new("1002");

        assert_eq!(setting("always", "1002"), Some(Setting::Always(to)));
        assert_eq!(setting("busy", ""), Some(Setting::Busy(None)));
        assert_eq!(setting("no_answer", "off"), Some(Setting::NoAnswer(None)));
        assert_eq!(
            setting("undisturbed", "on"),
            Some(Setting::Undisturbed(true))
        );
        assert_eq!(setting("undisturbed", "perhaps"), None);
        assert_eq!(setting("always", &"9".repeat(65)), None);
        assert_eq!(setting("ringtone", "loud"), None);
    }
}
