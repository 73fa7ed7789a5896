//! Whatever is asked in whatever order: what must hold, holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use moqrelay_room::conference::{Action, Applicant, Input, Output, Role, Who};
use moqrelay_room::{Cause, DeviceId, LegId, ParticipantId};
use proptest::prelude::*;

use crate::world::{World, browser};

#[derive(Debug, Clone)]
enum Step {
    Join {
        device: u64,
        room: usize,
        pin: bool,
        key: bool,
    },
    Dial {
        leg: u64,
        number: usize,
    },
    Press {
        leg: u64,
        key: char,
    },
    Act {
        device: u64,
        action: Action,
    },
    Lost(u64),
    Back(u64),
    Gone(u64),
    Ended(u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let device = 1u64..6;
    let leg = 11u64..14;
    let place = (1u32..8).prop_map(ParticipantId);
    let role = prop_oneof![
        Just(Role::Host),
        Just(Role::Speaker),
        Just(Role::Listener),
        Just(Role::Recorder)
    ];
    let action = prop_oneof![
        (place.clone(), any::<bool>()).prop_map(|(p, on)| Action::Mute(p, on)),
        (place.clone(), any::<bool>()).prop_map(|(p, on)| Action::Hand(p, on)),
        Just(Action::MuteAll),
        any::<bool>().prop_map(Action::Lock),
        any::<bool>().prop_map(Action::Lobby),
        (place.clone(), any::<i8>()).prop_map(|(p, db)| Action::Level(p, db)),
        any::<bool>().prop_map(Action::Hold),
        place.clone().prop_map(Action::Admit),
        (place.clone(), role).prop_map(|(p, role)| Action::Role(p, role)),
        place.clone().prop_map(Action::Remove),
        place.prop_map(Action::Ban),
        Just(Action::Leave),
        Just(Action::End),
    ];
    prop_oneof![
        4 => (device.clone(), 0usize..3, any::<bool>(), any::<bool>())
            .prop_map(|(device, room, pin, key)| Step::Join { device, room, pin, key }),
        2 => (leg.clone(), 0usize..4).prop_map(|(leg, number)| Step::Dial { leg, number }),
        6 => (leg.clone(), prop::sample::select(vec!['*', '#', '4', '7', '1', '5', '6', '8']))
            .prop_map(|(leg, key)| Step::Press { leg, key }),
        6 => (device.clone(), action).prop_map(|(device, action)| Step::Act { device, action }),
        1 => device.clone().prop_map(Step::Lost),
        1 => device.clone().prop_map(Step::Back),
        1 => device.prop_map(Step::Gone),
        1 => leg.prop_map(Step::Ended),
        2 => (0u64..15_000).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_books_are_right(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::furnished();
        let mut inside: BTreeMap<Who, (u128, ParticipantId)> = BTreeMap::new();
        let mut open = BTreeSet::new();
        let mut keys = BTreeMap::new();

        for step in steps {
            take(&mut world, step, &mut keys);
            for output in world.outputs() {
                follow(&output, &mut inside, &mut open)?;
            }
            world.check();
            // Whoever was let in and has not left has a place, and the other way round.
            for (who, (room, participant)) in &inside {
                let place = world.conferences.place_of(*who);
                prop_assert_eq!(place.map(|it| (it.room.0, it.participant)), Some((*room, *participant)));
            }
            prop_assert_eq!(world.conferences.counts().rooms, open.len());
        }

        world.handle(Input::Drain);
        for output in world.outputs() {
            follow(&output, &mut inside, &mut open)?;
        }
        prop_assert!(inside.is_empty() && open.is_empty());
        prop_assert_eq!(world.conferences.poll_timeout(), None);
    }
}

fn take(world: &mut World, step: Step, keys: &mut BTreeMap<u64, moqrelay_room::conference::Key>) {
    const ROOMS: [&str; 3] = ["den", "hall", "tea"];
    const NUMBERS: [&str; 4] = ["8000", "8200", "8300", "7801"];
    match step {
        Step::Join {
            device,
            room,
            pin,
            key,
        } => {
            let who = ["olga", "anna", "bert", "carla", "dora"][device as usize - 1];
            let applicant = Applicant {
                pin: pin.then(|| "4711".to_owned()),
                key: key.then(|| keys.get(&(device % 3)).copied()).flatten(),
                ..browser(device, who)
            };
            if let Ok(place) = world.join(ROOMS[room], applicant) {
                keys.insert(device % 3, place.key);
            }
        }
        // A leg is dialled once.
        Step::Dial { leg, number } => {
            if !world.conferences.has_leg(LegId(leg)) {
                world.dial(leg, NUMBERS[number]).unwrap_or_default();
            }
        }
        Step::Press { leg, key } => world.press(leg, &key.to_string()),
        Step::Act { device, action } => world.act(device, action).unwrap_or_default(),
        Step::Lost(device) => world.handle(Input::DeviceLost(DeviceId(device))),
        Step::Back(device) => world.handle(Input::DeviceBack(DeviceId(device))),
        Step::Gone(device) => world.handle(Input::DeviceGone(DeviceId(device))),
        Step::Ended(leg) => world.handle(Input::LegEnded(LegId(leg), Cause::Normal)),
        Step::Pass(ms) => world.pass(Duration::from_millis(ms)),
    }
}

fn follow(
    output: &Output,
    inside: &mut BTreeMap<Who, (u128, ParticipantId)>,
    open: &mut BTreeSet<u128>,
) -> Result<(), TestCaseError> {
    match output {
        Output::Opened(room, _) => prop_assert!(open.insert(room.0), "opened twice"),
        Output::Closed(room, _) => prop_assert!(open.remove(&room.0), "closed without being open"),
        Output::Enter {
            room,
            participant,
            who,
            ..
        } => {
            prop_assert!(open.contains(&room.0), "somebody enters a closed room");
            inside.insert(*who, (room.0, *participant));
        }
        Output::Leave { who, .. } => {
            inside.remove(who);
        }
        Output::Admitted {
            room,
            participant,
            who,
        } => {
            let place = inside.get(who);
            prop_assert_eq!(
                place,
                Some(&(room.0, *participant)),
                "admitted before it entered"
            );
        }
        Output::Happened(room, _)
        | Output::Roster(room)
        | Output::Activity(room)
        | Output::Said(room, _)
        | Output::FileGone(room, _)
        | Output::Reacted { room, .. }
        | Output::Level { room, .. } => {
            prop_assert!(open.contains(&room.0), "a closed room has news");
        }
        Output::Mute { room, .. } | Output::Role { room, .. } => {
            prop_assert!(open.contains(&room.0));
        }
        Output::Calling { room, .. } | Output::Chime(room, _) => {
            prop_assert!(open.contains(&room.0));
        }
        Output::Announce { room, legs, news } => {
            prop_assert!(!legs.is_empty() && !news.is_empty());
            prop_assert!(news.iter().all(|it| it.people > 0));
            for leg in legs {
                let place = inside.get(&Who::Leg(*leg));
                prop_assert!(place.is_some_and(|(own, _)| *own == room.0));
            }
        }
        Output::Answer(_)
        | Output::Prompt(..)
        | Output::Hush(_)
        | Output::Alone(..)
        | Output::HangUp(..) => {}
    }
    Ok(())
}
