//! What people say in words, and who reads it.

use std::time::Duration;

use moqrelay_room::ParticipantId;
use moqrelay_room::conference::{Denied, MESSAGES_MAX, Output, TEXT_CHARS_MAX};

use crate::world::{P1, P2, P3, World, device};

#[test]
fn a_message_is_read_by_all_or_by_the_two_it_concerns() {
    let mut world = three();

    say(&mut world, 1, "to all", None).unwrap();
    say(&mut world, 1, "to Bert", Some(P2)).unwrap();

    assert_eq!(read(&world, 1), ["to all", "to Bert"]);
    assert_eq!(read(&world, 2), ["to all", "to Bert"]);
    assert_eq!(read(&world, 3), ["to all"]);
    let said: Vec<_> = world
        .outputs()
        .into_iter()
        .filter_map(|output| match output {
            Output::Said(_, message) => Some((message.n, message.from, message.to, message.name)),
            _ => None,
        })
        .collect();
    assert_eq!(
        said,
        [
            (1, P1, None, "anna".into()),
            (2, P1, Some(P2), "anna".into())
        ]
    );
}

#[test]
fn a_late_joiner_reads_the_last_hundred_and_no_private_ones() {
    let mut world = three();
    for n in 0..150 {
        let to = (n % 10 == 9).then_some(P2);
        say(&mut world, 1, &n.to_string(), to).unwrap();
        world.pass(Duration::from_secs(1));
    }

    world.enter("tea", 4, "dora");

    let late = read(&world, 4);
    assert_eq!(late.len(), MESSAGES_MAX - 10);
    assert_eq!((late[0].as_str(), late[89].as_str()), ("50", "148"));
    assert_eq!(read(&world, 2).len(), MESSAGES_MAX);
}

#[test]
fn long_messages_are_kept_up_to_a_limit_of_bytes() {
    let mut world = three();
    let long = "\u{1f600}".repeat(TEXT_CHARS_MAX + 10);
    for _ in 0..20 {
        say(&mut world, 1, &long, None).unwrap();
        world.pass(Duration::from_secs(1));
    }

    let kept = read(&world, 1);

    assert_eq!(kept.len(), 64 * 1024 / (TEXT_CHARS_MAX * 4));
    assert!(kept.iter().all(|it| it.chars().count() == TEXT_CHARS_MAX));
}

#[test]
fn hostile_text_loses_what_harms_others_and_keeps_what_scripts_need() {
    let mut world = three();
    for (said, kept) in [
        (" <script>\u{202e}x\u{2066}\u{0} ", "<script>x"),
        ("two\nlines\r\u{7}", "two\nlines"),
        ("\u{061c}\u{200e}\u{feff}a\u{e0041}", "a"),
        ("\u{1f468}\u{200d}\u{1f469}", "\u{1f468}\u{200d}\u{1f469}"),
        ("\u{0646}\u{200c}\u{0627}", "\u{0646}\u{200c}\u{0627}"),
    ] {
        say(&mut world, 1, said, None).unwrap();
        assert_eq!(read(&world, 2).pop().as_deref(), Some(kept));
        world.pass(Duration::from_secs(1));
    }
    for nothing in ["", " \n", "\u{202e}\u{200b}", "\u{0}"] {
        let said = say(&mut world, 1, nothing, None);
        assert_eq!(said, Err(Denied::NothingToShow), "{nothing:?}");
    }
}

#[test]
fn a_sign_is_a_sign() {
    let mut world = three();
    for sign in [
        "👍",
        "👍🏽",
        "❤\u{fe0f}",
        "👨\u{200d}👩\u{200d}👧",
        "1\u{fe0f}\u{20e3}",
    ] {
        react(&mut world, 1, sign).unwrap();
        world.pass(Duration::from_secs(1));
    }
    for none in ["", "ok", "1", "ä", "漢", "👍 x", "\u{202e}", "<b>👍"] {
        assert_eq!(
            react(&mut world, 1, none),
            Err(Denied::NothingToShow),
            "{none}"
        );
    }
    let reacted = |it: &Output| matches!(it, Output::Reacted { from: P1, .. });
    assert_eq!(world.outputs().iter().filter(|it| reacted(it)).count(), 5);
}

#[test]
fn nobody_talks_faster_than_others_read() {
    let mut world = three();

    for _ in 0..4 {
        say(&mut world, 1, "!", None).unwrap();
        react(&mut world, 1, "👏").unwrap();
    }

    assert_eq!(say(&mut world, 1, "!", None), Err(Denied::TooFast));
    assert_eq!(react(&mut world, 1, "👏"), Err(Denied::TooFast));
    say(&mut world, 2, "I have not said anything yet", None).unwrap();
    world.pass(Duration::from_secs(1));
    say(&mut world, 1, "!", None).unwrap();
    assert_eq!(say(&mut world, 1, "!", None), Err(Denied::TooFast));
}

#[test]
fn who_is_outside_or_waits_neither_says_nor_reads() {
    let mut world = World::furnished();
    world.enter("hall", 1, "olga");
    say(&mut world, 1, "among ourselves", None).unwrap();
    world.enter("hall", 2, "bert");

    assert_eq!(
        say(&mut world, 2, "let me in", None),
        Err(Denied::WrongState)
    );
    assert_eq!(react(&mut world, 2, "👋"), Err(Denied::WrongState));
    assert_eq!(say(&mut world, 9, "hello", None), Err(Denied::NotIn));
    assert!(read(&world, 2).is_empty() && read(&world, 9).is_empty());
    assert_eq!(
        say(&mut world, 1, "psst", Some(P2)),
        Err(Denied::WrongState)
    );
    assert_eq!(
        say(&mut world, 1, "psst", Some(P3)),
        Err(Denied::NoSuchParticipant)
    );
}

#[test]
fn a_telephone_reads_nothing() {
    let mut world = World::furnished();
    world.enter("hall", 1, "olga");
    world.dial(11, "8300").unwrap();
    world
        .act(1, moqrelay_room::conference::Action::Admit(P2))
        .unwrap();

    assert_eq!(
        say(&mut world, 1, "psst", Some(P2)),
        Err(Denied::WrongState)
    );
}

#[test]
fn what_was_said_ends_with_the_room() {
    let mut world = World::furnished();
    world.enter("hall", 1, "olga");
    say(&mut world, 1, "secret", None).unwrap();

    world
        .act(1, moqrelay_room::conference::Action::Leave)
        .unwrap();
    world.enter("hall", 1, "olga");

    assert!(read(&world, 1).is_empty());
}

fn three() -> World {
    let mut world = World::furnished();
    world.enter("tea", 1, "anna");
    world.enter("tea", 2, "bert");
    world.enter("tea", 3, "carla");
    world.outputs();
    world
}

fn say(world: &mut World, from: u64, text: &str, to: Option<ParticipantId>) -> Result<(), Denied> {
    let now = world.now;
    world.conferences.say(device(from), text, to, None, 7, now)
}

fn react(world: &mut World, from: u64, sign: &str) -> Result<(), Denied> {
    let now = world.now;
    world.conferences.react(device(from), sign, now)
}

fn read(world: &World, by: u64) -> Vec<String> {
    let chat = world.conferences.chat(device(by));
    chat.into_iter().map(|it| it.text).collect()
}
