//! Files that people in a room give each other.

use moqrelay_room::ParticipantId;
use moqrelay_room::conference::{Action, Config, Denied, File, FileId, Limits, Output, RoomId};
use std::time::Duration;

use crate::world::{P1, P2, P3, World, device, telephone};

#[test]
fn a_file_is_for_those_to_whom_it_was_said() {
    let (mut world, room) = three(Limits::default());

    let file = offer(&mut world, room, P1, "plan.pdf", 10).unwrap();
    assert_eq!(world.conferences.file(room, P1, file.id), Ok(file.clone()));
    assert_eq!(
        world.conferences.file(room, P2, file.id),
        Err(Denied::NoSuchFile)
    );
    say(&mut world, 1, Some(P2), file.id).unwrap();
    assert_eq!(world.conferences.file(room, P2, file.id), Ok(file.clone()));
    assert_eq!(
        world.conferences.file(room, P3, file.id),
        Err(Denied::NoSuchFile)
    );
    say(&mut world, 1, None, file.id).unwrap();
    assert_eq!(world.conferences.file(room, P3, file.id), Ok(file.clone()));
    let read = world.conferences.chat(device(3)).pop().unwrap();
    assert_eq!((read.text.as_str(), read.file), ("", Some(file)));
}

#[test]
fn nobody_says_a_file_of_somebody_else_or_one_that_is_not_there() {
    let (mut world, room) = three(Limits::default());
    let file = offer(&mut world, room, P1, "plan.pdf", 10).unwrap();

    assert_eq!(say(&mut world, 2, None, file.id), Err(Denied::NoSuchFile));
    assert_eq!(say(&mut world, 1, None, FileId(9)), Err(Denied::NoSuchFile));
    assert!(world.conferences.chat(device(1)).is_empty());
}

#[test]
fn the_oldest_go_when_a_room_or_all_of_them_have_too_much() {
    let (mut world, room) = three(Limits {
        file_bytes: 40,
        file_total: 100,
        files_total: 150,
        files: 4,
        ..Limits::default()
    });
    let other = world.enter("other", 7, "gina").room;

    assert_eq!(
        offer(&mut world, room, P1, "long", 41),
        Err(Denied::FileTooLong)
    );
    for _ in 0..3 {
        offer(&mut world, room, P1, "a", 40).unwrap();
    }
    assert_eq!(gone(&mut world), [(room, FileId(1))]);
    for _ in 0..3 {
        offer(&mut world, other, P1, "b", 30).unwrap();
    }
    assert_eq!(gone(&mut world), [(room, FileId(2))]);
    for _ in 0..4 {
        offer(&mut world, room, P1, "c", 1).unwrap();
    }
    assert_eq!(gone(&mut world), [(room, FileId(3))]);
    assert_eq!(
        world.conferences.file(room, P1, FileId(3)),
        Err(Denied::NoSuchFile)
    );
    assert!(world.conferences.file(room, P1, FileId(4)).is_ok());
}

#[test]
fn who_is_not_in_the_room_brings_and_has_nothing() {
    let (mut world, room) = three(Limits::default());
    let file = offer(&mut world, room, P1, "plan.pdf", 10).unwrap();
    say(&mut world, 1, None, file.id).unwrap();
    world.act(1, Action::Remove(P3)).unwrap();
    world.act(1, Action::Lobby(true)).unwrap();
    let waiting = world.enter("tea", 4, "dora").participant;

    for (who, expected) in [(P3, Denied::NotIn), (waiting, Denied::WrongState)] {
        assert_eq!(may(&mut world, room, who), Err(expected));
        assert_eq!(offer(&mut world, room, who, "x", 1), Err(expected));
        assert_eq!(world.conferences.file(room, who, file.id), Err(expected));
    }
    assert_eq!(may(&mut world, RoomId(99), P1), Err(Denied::NotIn));
}

#[test]
fn files_are_brought_so_many_in_a_minute_or_not_at_all() {
    let (mut world, room) = three(Limits {
        files_per_minute: 3,
        ..Limits::default()
    });

    let asked: Vec<_> = (0..4).map(|_| may(&mut world, room, P1)).collect();
    world.pass(Duration::from_secs(20));

    assert_eq!(asked, [Ok(()), Ok(()), Ok(()), Err(Denied::TooFast)]);
    assert_eq!(may(&mut world, room, P2), Ok(()));
    assert_eq!(may(&mut world, room, P1), Ok(()));
    assert_eq!(may(&mut world, room, P1), Err(Denied::TooFast));
    let (mut none, room) = three(Limits {
        file_bytes: 0,
        ..Limits::default()
    });
    assert_eq!(may(&mut none, room, P1), Err(Denied::NoFiles));
}

#[test]
fn a_hostile_name_becomes_one_line_without_path() {
    let (mut world, room) = three(Limits::default());
    for (name, shown) in [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a b.txt", "a b.txt"),
        ("x\u{202e}gpj.exe\r\nset-cookie: y", "xgpj.exeset-cookie: y"),
        ("<img src=x>", "<img src=x>"),
    ] {
        let file = offer(&mut world, room, P1, name, 1).unwrap();
        assert_eq!(file.name, shown);
    }
    for name in ["", "..", "a/", "\u{0}\u{7}"] {
        let file = offer(&mut world, room, P1, name, 1).unwrap();
        assert_eq!(file.name, file.id.to_string(), "{name:?}");
    }
    let long = offer(&mut world, room, P1, &"\u{1f600}".repeat(300), 1).unwrap();
    assert_eq!(long.name.chars().count(), 100);
}

#[test]
fn a_telephone_brings_no_files() {
    let (mut world, _) = three(Limits::default());
    let number = world.roster("tea").number.unwrap();
    world.dial(9, &number).unwrap();
    let of = telephone(9).who;
    let place = world.conferences.place_of(of).unwrap();

    let asked = may(&mut world, place.room, place.participant);

    assert_eq!(asked, Err(Denied::WrongState));
}

fn three(limits: Limits) -> (World, RoomId) {
    let mut world = World::new(Config {
        limits,
        ..Config::default()
    });
    let room = world.enter("tea", 1, "anna").room;
    world.enter("tea", 2, "bert");
    world.enter("tea", 3, "carl");
    world.outputs();
    (world, room)
}

fn may(world: &mut World, room: RoomId, by: ParticipantId) -> Result<(), Denied> {
    world.conferences.may_offer(room, by, world.now)
}

fn offer(
    world: &mut World,
    room: RoomId,
    by: ParticipantId,
    name: &str,
    len: u64,
) -> Result<File, Denied> {
    world
        .conferences
        .offer(room, by, name, "application/pdf", len)
}

fn say(
    world: &mut World,
    from: u64,
    to: Option<ParticipantId>,
    file: FileId,
) -> Result<(), Denied> {
    let now = world.now;
    world
        .conferences
        .say(device(from), "", to, Some(file), 7, now)
}

fn gone(world: &mut World) -> Vec<(RoomId, FileId)> {
    let gone = |output| match output {
        Output::FileGone(room, file) => Some((room, file)),
        _ => None,
    };
    world.outputs().into_iter().filter_map(gone).collect()
}
