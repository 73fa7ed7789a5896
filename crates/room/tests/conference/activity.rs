//! Who speaks and how well each is heard: what changes all the time.

use std::collections::BTreeSet;

use moqrelay_room::ParticipantId;
use moqrelay_room::conference::{Denied, Output, Quality, RoomId};

use crate::world::{P1, P2, World, device};

#[test]
fn who_speaks_is_in_the_roster_and_said_only_when_it_is_another() {
    let (mut world, room) = two();

    speak(&mut world, room, &[P2]);
    let first = world.outputs();
    speak(&mut world, room, &[P2]);
    let same = world.outputs();
    let speaking = speaking(&world);
    speak(&mut world, room, &[]);
    let silent = world.outputs();

    assert_eq!(first, [Output::Activity(room)]);
    assert_eq!(same, []);
    assert_eq!(speaking, [P2]);
    assert_eq!(silent, [Output::Activity(room)]);
    assert_eq!(self::speaking(&world), []);
    // Of a room that is over, or people who are gone, nobody wants to know.
    speak(&mut world, RoomId(99), &[P1]);
    speak(&mut world, room, &[ParticipantId(9)]);
    assert_eq!(world.outputs(), []);
}

#[test]
fn what_changes_with_it_is_said_once() {
    let (mut world, room) = two();

    speak(&mut world, room, &[P1]);
    world.enter("tea", 3, "carl");

    let rosters = |it: &Output| matches!(it, Output::Roster(_) | Output::Activity(_));
    let said: Vec<_> = world.outputs().into_iter().filter(rosters).collect();
    assert_eq!(said, [Output::Roster(room)]);
}

#[test]
fn a_quality_between_two_halves_does_not_flicker() {
    let (mut world, room) = two();
    let mut shown = Vec::new();

    for mos in [4.1, 4.2, 4.3, 4.24, 4.3, 3.7, 3.6, 3.0, 9.0, f64::NAN] {
        world.conferences.rate(device(2), mos).unwrap();
        let said = world.outputs() == [Output::Activity(room)];
        let quality = world.roster("tea").people[1].quality.unwrap();
        shown.push((quality.mos(), said));
    }

    assert_eq!(
        shown,
        [
            (4.0, true),
            (4.0, false),
            (4.0, false),
            (4.0, false),
            (4.0, false),
            (4.0, false),
            (3.5, true),
            (3.0, true),
            (5.0, true),
            (1.0, true),
        ]
    );
    assert_eq!(world.roster("tea").people[0].quality, None);
    let nobody = world.conferences.rate(device(9), 4.0);
    assert_eq!(nobody, Err(Denied::NotIn));
    assert_eq!(Quality::of(3.26).mos(), 3.5);
}

fn two() -> (World, RoomId) {
    let mut world = World::furnished();
    let room = world.enter("tea", 1, "anna").room;
    world.enter("tea", 2, "bert");
    world.outputs();
    (world, room)
}

fn speak(world: &mut World, room: RoomId, who: &[ParticipantId]) {
    let who: BTreeSet<_> = who.iter().copied().collect();
    world.conferences.speak(room, &who);
}

fn speaking(world: &World) -> Vec<ParticipantId> {
    let people = world.roster("tea").people.into_iter();
    let speaking = people.filter(|it| it.speaking);
    speaking.map(|it| it.participant).collect()
}
