//! The browser's half of QMux against the relay's.
#![allow(clippy::unwrap_used, clippy::panic)]

use core::time::Duration;

use bytes::Bytes;
use moqrelay_moqt::qmux::{Config, Mux, Received, Version};
use moqrelay_moqt::{Direction, Role};
use moqrelay_wasm::fallback::Fallback;
use moqrelay_wasm::session::{Kind, Record};

const NOW: Duration = Duration::from_secs(1);

#[test]
fn what_is_written_before_the_relay_says_a_word_arrives_in_order() {
    let mut browser = Fallback::new(Version::V02, NOW);
    browser.open(2, Direction::Uni);
    browser.write(2, Bytes::from_static(b"one "));
    browser.write(2, Bytes::from_static(b"two"));
    browser.finish(2);
    let mut relay = relay();

    exchange(&mut browser, &mut relay);

    let key = relay.accept(Direction::Uni).unwrap();
    assert_eq!(read(&mut relay, key), (b"one two".to_vec(), true));
}

#[test]
fn more_than_the_relay_lets_in_at_once_arrives_in_the_end() {
    let mut browser = Fallback::new(Version::V02, NOW);
    let mut relay = relay();
    exchange(&mut browser, &mut relay);
    let long: Vec<u8> = (0..2_000_000).map(|i| (i % 251) as u8).collect();

    browser.open(4, Direction::Bi);
    browser.write(4, long.clone().into());
    browser.finish(4);
    let mut arrived = Vec::new();
    let mut finished = false;
    exchange(&mut browser, &mut relay);
    let key = relay.accept(Direction::Bi).unwrap();
    for _ in 0..100 {
        let (bytes, fin) = read(&mut relay, key);
        arrived.extend(bytes);
        finished |= fin;
        exchange(&mut browser, &mut relay);
    }

    assert_eq!(browser.waiting_bytes_max(), 0);
    assert!(finished);
    assert!(arrived == long);
}

#[test]
fn whatever_else_is_sent_passes_pictures() {
    let mut browser = Fallback::new(Version::V02, NOW);
    let mut relay = relay();
    browser.open_bulk(2);
    browser.write(2, vec![1; 100_000].into());
    assert_eq!(browser.bulk_waiting_bytes(), 100_000);
    assert_eq!(browser.waiting_bytes_max(), 0);
    exchange(&mut browser, &mut relay);
    browser.open_bulk(4);
    browser.write(4, vec![1; 100_000].into());
    browser.open(6, Direction::Uni);
    browser.write(6, Bytes::from_static(b"voice"));

    let message = browser.poll_transmit(NOW).unwrap();
    relay.handle_message(message, NOW);

    let mut voice = false;
    while let Some(key) = relay.accept(Direction::Uni) {
        voice |= read(&mut relay, key).0 == b"voice";
    }
    assert!(voice);
}

#[test]
fn streams_of_the_relay_are_named_and_read() {
    let mut browser = Fallback::new(Version::V01, NOW);
    let mut relay = relay();
    exchange(&mut browser, &mut relay);

    let uni = relay.open(Direction::Uni).unwrap();
    let bi = relay.open(Direction::Bi).unwrap();
    relay
        .write(uni, &mut [Bytes::from_static(b"objects")])
        .unwrap();
    relay.finish(uni);
    relay
        .write(bi, &mut [Bytes::from_static(b"request")])
        .unwrap();
    exchange(&mut browser, &mut relay);

    let told = told(&mut browser);
    let names: Vec<_> = told
        .iter()
        .filter(|record| record.kind == Kind::Incoming)
        .map(|record| (record.code, record.id))
        .collect();
    let [(_, id)] = names
        .iter()
        .filter(|(both, _)| *both == 1)
        .collect::<Vec<_>>()[..]
    else {
        panic!("{names:?}");
    };
    assert!(
        told.iter()
            .any(|r| r.kind == Kind::Arrived && r.bytes == "objects")
    );
    let ends = told
        .iter()
        .filter(|r| r.kind == Kind::Arrived && r.code == 1);
    assert_eq!(ends.count(), 1);

    browser.write(*id, Bytes::from_static(b"answer"));
    exchange(&mut browser, &mut relay);
    assert_eq!(read(&mut relay, bi), (b"answer".to_vec(), false));
}

#[test]
fn either_side_may_give_a_stream_up() {
    let mut browser = Fallback::new(Version::V02, NOW);
    let mut relay = relay();
    exchange(&mut browser, &mut relay);
    browser.open(2, Direction::Uni);
    browser.write(2, Bytes::from_static(b"x"));
    exchange(&mut browser, &mut relay);
    let key = relay.accept(Direction::Uni).unwrap();
    relay.stop(key, 7);
    let theirs = relay.open(Direction::Uni).unwrap();
    relay
        .write(theirs, &mut [Bytes::from_static(b"y")])
        .unwrap();
    exchange(&mut browser, &mut relay);
    relay.reset(theirs, 9);
    exchange(&mut browser, &mut relay);

    let told = told(&mut browser);
    let stopped = told.iter().find(|r| r.kind == Kind::WasStopped).unwrap();
    assert_eq!((stopped.id, stopped.code), (2, 7));
    let reset = told.iter().find(|r| r.kind == Kind::WasReset).unwrap();
    assert_eq!(reset.code, 9);
    // Nothing is left to write to.
    browser.write(2, Bytes::from_static(b"z"));
    browser.finish(2);
    assert_eq!(browser.waiting_bytes_max(), 0);
}

#[test]
fn datagrams_go_both_ways_and_old_ones_do_not() {
    let mut browser = Fallback::new(Version::V02, NOW);
    assert_eq!(browser.datagram_bytes_max(), 0);
    assert!(!browser.datagram(Bytes::from_static(b"early"), NOW));
    let mut relay = relay();
    exchange(&mut browser, &mut relay);
    assert!(browser.datagram_bytes_max() > 1_000);

    assert!(browser.datagram(Bytes::from_static(b"old"), NOW));
    let later = NOW + Duration::from_millis(400);
    assert!(browser.datagram(Bytes::from_static(b"new"), later));
    while let Some(message) = browser.poll_transmit(later) {
        relay.handle_message(message, later);
    }
    assert_eq!(relay.receive_datagram().unwrap(), "new");
    assert_eq!(relay.receive_datagram(), None);

    relay.send_datagram(Bytes::from_static(b"back"), NOW);
    exchange(&mut browser, &mut relay);
    let told = told(&mut browser);
    assert!(
        told.iter()
            .any(|r| r.kind == Kind::DatagramArrived && r.bytes == "back")
    );
}

#[test]
fn the_end_is_told_once_with_the_sessions_code() {
    let mut browser = Fallback::new(Version::V02, NOW);
    let mut relay = relay();
    exchange(&mut browser, &mut relay);
    relay.close(0x10, "go");
    exchange(&mut browser, &mut relay);
    browser.handle_lost();

    let over: Vec<_> = told(&mut browser)
        .into_iter()
        .filter(|record| record.kind == Kind::Over)
        .collect();
    assert_eq!(over.len(), 1);
    assert_eq!((over[0].at, &over[0].bytes[..]), (16.0, &b"go"[..]));

    let mut cut = Fallback::new(Version::V02, NOW);
    cut.handle_lost();
    let over = told(&mut cut);
    assert_eq!((over[0].kind, over[0].at), (Kind::Over, -1.0));
}

#[test]
fn what_we_end_is_not_told_and_the_relay_hears_of_it() {
    let mut browser = Fallback::new(Version::V02, NOW);
    let mut relay = relay();
    exchange(&mut browser, &mut relay);

    browser.close(3, "enough");
    exchange(&mut browser, &mut relay);

    assert!(told(&mut browser).is_empty());
    assert!(format!("{:?}", relay.closed().unwrap()).contains("enough"));
}

#[test]
fn nonsense_ends_the_connection_and_nothing_else() {
    for bytes in [&b"\xff"[..], b"\x40", &[0; 20_000]] {
        let mut browser = Fallback::new(Version::V02, NOW);
        browser.handle_message(Bytes::copy_from_slice(bytes), NOW);
        assert_eq!(told(&mut browser)[0].kind, Kind::Over);
        browser.open(2, Direction::Uni);
        browser.write(2, Bytes::from_static(b"x"));
        browser.stop(2, 0);
        browser.reset(2, 0);
        browser.write(99, Bytes::from_static(b"x"));
        assert!(!browser.datagram(Bytes::from_static(b"x"), NOW));
    }
}

fn relay() -> Mux {
    Mux::new(Role::Server, Version::V02, Config::default(), NOW)
}

/// Carries messages until both are silent.
fn exchange(browser: &mut Fallback, relay: &mut Mux) {
    loop {
        if let Some(message) = browser.poll_transmit(NOW) {
            relay.handle_message(message, NOW);
        } else if let Some(message) = relay.poll_transmit(NOW) {
            browser.handle_message(message, NOW);
        } else {
            return;
        }
    }
}

fn told(browser: &mut Fallback) -> Vec<Record> {
    core::iter::from_fn(|| browser.poll()).collect()
}

fn read(relay: &mut Mux, key: moqrelay_moqt::qmux::StreamKey) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    loop {
        match relay.read(key).unwrap() {
            Received::Bytes(bytes) => all.extend_from_slice(&bytes),
            Received::Blocked => return (all, false),
            Received::Finished => return (all, true),
        }
    }
}
