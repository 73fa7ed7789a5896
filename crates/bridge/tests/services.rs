//! The built-in parties.

mod common;

use std::time::Duration;

use common::{
    FRAME, Publisher, Scene, decode, ended, level, object, objects, pass, place, purity, timestamp,
};
use moqrelay_audio::SampleRate;
use moqrelay_bridge::{LegId, Service, leg::Reason};
use moqrelay_relay::track::{Info, Object};
use moqrelay_wire::{audiosocket::Rate, catalog::Catalog};

#[tokio::test(start_paused = true)]
async fn the_echo_sends_the_very_objects_back() {
    let scene = Scene::new();
    let mut reader = scene.reader(2);
    let source = place(1).audio().clone();
    scene
        .bridge
        .start_service(LegId(2), Service::Echo, place(2), Some(source.clone()))
        .unwrap();
    pass(FRAME).await;

    let mut publisher = Publisher::new(&scene.relay, &source, 700.0);
    for _ in 0..60 {
        let sent = publisher.send();
        assert_eq!(object(&mut reader).await, sent);
    }
}

#[tokio::test(start_paused = true)]
async fn the_echo_carries_whatever_the_source_publishes() {
    let scene = Scene::new();
    let mut reader = scene.reader(2);
    let source = place(1).audio().clone();
    scene
        .bridge
        .start_service(LegId(2), Service::Echo, place(2), None)
        .unwrap();
    scene.bridge.listen(LegId(2), source.clone()).unwrap();
    let info = Info {
        properties: bytes::Bytes::from_static(&[0x08, 0x32]),
    };
    let mut writer = scene.relay.publish(&source, info.clone()).unwrap();
    let began = common::within(reader.next()).await;

    let on_streams: Vec<_> = (0..4)
        .map(|id| Object {
            group: 7 + id / 2,
            subgroup: Some(3),
            id: id % 2,
            payload: common::noise(2_000, id),
            ..Object::default()
        })
        .collect();
    for object in &on_streams {
        writer.write(object.clone()).unwrap();
    }

    assert_eq!(began, Some(moqrelay_relay::track::Event::Began(info)));
    assert_eq!(objects(&mut reader, 4).await, on_streams);
    drop(writer);
    ended(&mut reader).await;
}

#[tokio::test(start_paused = true)]
async fn a_telephone_hears_itself_by_the_echo() {
    let mut scene = Scene::new();
    let mut asterisk = scene.call(1).await;
    let own = place(1).audio().clone();
    scene
        .bridge
        .start_service(LegId(2), Service::Echo, place(2), Some(own))
        .unwrap();
    scene
        .bridge
        .listen(LegId(1), place(2).audio().clone())
        .unwrap();

    asterisk.say_tone(Rate::Hz16000, 850.0, 100).await;
    asterisk.hear_frames(48).await;

    let heard = asterisk.hear_frames(40).await;
    assert!(heard.purity(850.0) > 0.95, "{}", heard.purity(850.0));
}

#[tokio::test(start_paused = true)]
async fn the_milliwatt_is_1004_hz_at_minus_16_dbov() {
    let scene = Scene::new();
    let mut reader = scene.reader(2);
    scene
        .bridge
        .start_service(LegId(2), Service::Milliwatt, place(2), None)
        .unwrap();

    let objects = objects(&mut reader, 100).await;

    let heard = decode(&objects);
    assert!(purity(SampleRate::Hz48000, &heard, 1004.0) > 0.99);
    assert_eq!(level(&objects[50]).below_overload_db, 16);
    for pair in objects.windows(2) {
        assert_eq!(timestamp(&pair[1]), timestamp(&pair[0]) + 960);
    }
}

#[tokio::test(start_paused = true)]
async fn the_milliwatt_is_coded_once_for_everyone() {
    let mut scene = Scene::new();
    let mut readers = [scene.reader(2), scene.reader(3)];
    scene
        .bridge
        .start_service(LegId(2), Service::Milliwatt, place(2), None)
        .unwrap();
    objects(&mut readers[0], 10).await;
    scene
        .bridge
        .start_service(LegId(3), Service::Milliwatt, place(3), None)
        .unwrap();

    let late = objects(&mut readers[1], 10).await;
    let early = objects(&mut readers[0], 20).await;

    let shared = early
        .iter()
        .position(|object| timestamp(object) == timestamp(&late[0]))
        .unwrap();
    for (one, other) in early[shared..].iter().zip(&late) {
        assert_eq!(one.payload, other.payload);
    }
    scene.bridge.hang_up(LegId(2)).unwrap();
    assert_eq!(scene.detached().await.1, Reason::HungUp);
    ended(&mut readers[0]).await;
    objects(&mut readers[1], 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_has_a_catalog() {
    let scene = Scene::new();
    let mut reader = scene.relay.subscribe(place(2).catalog().clone());
    scene
        .bridge
        .start_service(LegId(2), Service::Milliwatt, place(2), None)
        .unwrap();

    for _ in 0..3 {
        let catalog = Catalog::decode(&object(&mut reader).await.payload).unwrap();
        assert_eq!(catalog.opus().unwrap().name, "audio");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_hung_up_ends_its_track() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(2);
    let source = place(1).audio().clone();
    let mut publisher = Publisher::new(&scene.relay, &source, 700.0);
    scene
        .bridge
        .start_service(LegId(2), Service::Echo, place(2), Some(source))
        .unwrap();
    pass(FRAME).await;
    publisher.send();
    object(&mut reader).await;

    scene.bridge.hang_up(LegId(2)).unwrap();

    let (leg, reason, _) = scene.detached().await;
    assert_eq!((leg, reason), (LegId(2), Reason::HungUp));
    ended(&mut reader).await;
    assert!(publisher_goes_on(&mut publisher));
}

#[tokio::test(start_paused = true)]
async fn services_end_with_the_bridge() {
    let mut scene = Scene::new();
    scene
        .bridge
        .start_service(LegId(2), Service::Echo, place(2), None)
        .unwrap();
    scene
        .bridge
        .start_service(LegId(3), Service::Milliwatt, place(3), None)
        .unwrap();
    pass(Duration::from_millis(100)).await;

    scene.bridge.shut_down().unwrap();

    for _ in 0..2 {
        assert_eq!(scene.detached().await.1, Reason::HungUp);
    }
    common::within(scene.task).await.unwrap();
    assert_eq!(scene.relay.stats().tracks, 0);
}

fn publisher_goes_on(publisher: &mut Publisher) -> bool {
    publisher.send().group >= 100
}
