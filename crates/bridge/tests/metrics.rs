//! What operators can see: the bridge's metrics. One test, since a process has one recorder.

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{Scene, objects, pass};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use moqrelay_bridge::LegId;
use moqrelay_wire::audiosocket::{Message, Rate};

#[tokio::test(start_paused = true)]
async fn refusals_legs_and_frames_are_counted() {
    let numbers = Numbers::default();
    metrics::set_global_recorder(numbers.clone()).expect("the only one");
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);

    let mut stranger = scene.connect().await;
    stranger.identify(uuid::Uuid::from_u128(5)).await;
    stranger.hear_to_the_end().await;
    let mut silent = scene.connect().await;
    silent.hear_to_the_end().await;
    let mut asterisk = scene.call(1).await;
    asterisk.say_tone(Rate::Hz16000, 700.0, 50).await;
    asterisk.send(&Message::Digit('1')).await;
    objects(&mut reader, 50).await;
    pass(Duration::from_millis(100)).await;
    let during = numbers.get("moqrelay_bridge_legs");
    scene.bridge.hang_up(LegId(1)).unwrap_or_default();
    let frames = 51 + asterisk.hear_to_the_end().await as u64;

    assert_eq!(during, 1);
    for (name, expected) in [
        (
            "moqrelay_bridge_connections_refused_total{reason=unknown}",
            1,
        ),
        (
            "moqrelay_bridge_connections_refused_total{reason=timeout}",
            1,
        ),
        ("moqrelay_bridge_legs_attached_total", 1),
        ("moqrelay_bridge_legs_ended_total{reason=hung_up}", 1),
        ("moqrelay_bridge_legs", 0),
        ("moqrelay_bridge_connections_unidentified", 0),
        ("moqrelay_bridge_frames_in_total", 50),
        ("moqrelay_bridge_objects_out_total", 50),
        ("moqrelay_bridge_digits_total", 1),
        ("moqrelay_bridge_messages_malformed_total", 0),
    ] {
        assert_eq!(numbers.get(name), expected, "{name}");
    }
    let out = numbers.get("moqrelay_bridge_frames_out_total");
    assert!((50..=frames).contains(&out), "{out} of {frames}");
}

/// A recorder that remembers numbers by `name{label=value}`.
#[derive(Clone, Default)]
struct Numbers(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Numbers {
    fn get(&self, name: &str) -> u64 {
        let number = self.0.lock().expect("not poisoned").get(name).cloned();
        let number = number.map_or(0, |number| number.load(Ordering::Relaxed));
        // Gauges are stored as the bits of a float, and no count of a test is so large.
        if number > 1 << 32 {
            f64::from_bits(number) as u64
        } else {
            number
        }
    }

    fn number(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        let name = match labels.is_empty() {
            true => key.name().to_owned(),
            false => format!("{}{{{}}}", key.name(), labels.join(",")),
        };
        self.0
            .lock()
            .expect("not poisoned")
            .entry(name)
            .or_default()
            .clone()
    }
}

impl Recorder for Numbers {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.number(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.number(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
