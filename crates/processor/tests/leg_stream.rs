//! A leg's stream to a service, against a real gRPC server, on a clock that jumps.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{FRAME, Leg, Network, invert, inverted, service, start, start_with};
use metrics_exporter_prometheus::PrometheusBuilder;
use moqrelay_processor::{
    Config, Output, Processor,
    breaker::State,
    v1::{Answer, Event, Question, Text},
};
use tonic::{
    Status,
    transport::{Identity, ServerTlsConfig},
};

const DEADLINE: Duration = Duration::from_millis(40);

#[tokio::test(start_paused = true)]
async fn each_frame_comes_back_as_the_service_made_it() {
    let mut leg = Leg::at(start(invert).await);

    leg.say(100).await;

    assert_eq!(leg.frames.len(), 100);
    // Until the first answer nobody waits.
    assert!(leg.answered(0..5) < 5);
    assert_eq!(leg.answered(5..100), 95);
    assert!(leg.frames.iter().all(|(_, late, _)| *late < FRAME));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_killed_in_mid_call_costs_no_frame_and_is_found_again() {
    let mut network = Network::before(start(invert).await).await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let config = Config::new("test", format!("http://{}", network.addr));
    let processor = metrics::with_local_recorder(&recorder, || Processor::new(config)).unwrap();
    let mut leg = Leg::new(&processor);
    leg.say(100).await;
    assert_eq!(leg.session.breaker(), State::Closed);

    network.cut().await;
    // The stream and four connections.
    leg.say(75).await;
    assert_eq!(leg.session.breaker(), State::Open);
    let opened = leg.said;
    leg.say(490).await;
    assert_eq!(leg.session.breaker(), State::Open);
    // Half-open within these: it is tried once, in vain.
    leg.say(100).await;
    assert_eq!(leg.session.breaker(), State::Open);
    assert_eq!(leg.answered(opened..leg.said), 0);

    network.mend().await;
    leg.say(520).await;
    assert_eq!(leg.session.breaker(), State::Closed);
    let back = leg.said;
    leg.say(50).await;

    assert_eq!(leg.answered(back..leg.said), 50);
    assert_eq!(leg.frames.len() as u64, leg.said);
    assert!(leg.frames.iter().all(|(_, late, _)| *late <= DEADLINE));
    let text = metrics.render();
    for line in [
        "moqrelay_processor_breaker_changes_total{processor=\"test\",to=\"open\"} 2",
        "moqrelay_processor_breaker_changes_total{processor=\"test\",to=\"half_open\"} 2",
        "moqrelay_processor_breaker_changes_total{processor=\"test\",to=\"closed\"} 1",
        "moqrelay_processor_legs{processor=\"test\",breaker=\"closed\"} 1",
        "moqrelay_processor_legs{processor=\"test\",breaker=\"open\"} 0",
        "moqrelay_processor_streams_failed_total{processor=\"test\"} 6",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_delays_five_frames_and_is_left_alone() {
    let mut leg = Leg::at(
        start(|question| match question {
            Question::Audio(audio) if audio.sequence < 50 => vec![inverted(&audio)],
            Question::Audio(_) | Question::Start(_) => Vec::new(),
        })
        .await,
    );

    leg.say(100).await;

    assert_eq!(leg.session.breaker(), State::Open);
    let late: Vec<u64> = leg
        .frames
        .iter()
        .filter(|(_, late, _)| *late >= FRAME)
        .map(|(number, ..)| *number)
        .collect();
    assert_eq!(late, [50, 51, 52, 53, 54, 55]);
    assert!(leg.frames.iter().all(|(_, late, _)| *late <= DEADLINE));
    assert_eq!(leg.frames.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_answers_is_never_waited_for() {
    let mut leg = Leg::at(start(|_| Vec::new()).await);

    leg.say(600).await;

    assert_eq!(leg.session.breaker(), State::Open);
    assert!(leg.frames.iter().all(|(_, late, _)| *late < FRAME));
    assert_eq!(leg.answered(0..600), 0);
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_fit_are_not_heard() {
    let mut leg = Leg::at(
        start(|question| {
            let mut answers = invert(question);
            if let Some(Answer::Audio(audio)) = answers.first_mut()
                && audio.sequence >= 50
            {
                audio.pcm.truncate(7);
            }
            answers
        })
        .await,
    );

    leg.say(100).await;

    assert_eq!(leg.session.breaker(), State::Open);
    assert_eq!((leg.answered(10..50), leg.answered(50..100)), (40, 0));
}

#[tokio::test(start_paused = true)]
async fn an_odd_miss_leaves_the_breaker_closed() {
    let mut leg = Leg::at(
        start(|question| match question {
            Question::Audio(audio) if audio.sequence % 4 == 3 => Vec::new(),
            question => invert(question),
        })
        .await,
    );

    leg.say(400).await;

    assert_eq!(leg.session.breaker(), State::Closed);
    assert_eq!(leg.answered(100..400), 225);
}

#[tokio::test(start_paused = true)]
async fn a_listening_service_holds_nothing_up_and_its_texts_come() {
    let mut leg = Leg::with(
        start(|question| match question {
            Question::Start(start) => vec![event(&format!(
                "{}/{} {}",
                start.call, start.participant, start.wants_audio
            ))],
            Question::Audio(audio) if audio.sequence % 50 == 49 => {
                vec![inverted(&audio), text(audio.sequence)]
            }
            Question::Audio(_) => Vec::new(),
        })
        .await,
        |config| config.audio = false,
    );

    leg.say(500).await;

    assert_eq!(leg.session.breaker(), State::Closed);
    assert!(leg.frames.iter().all(|(_, late, _)| *late < FRAME));
    assert_eq!(leg.answered(0..500), 0);
    let Some(Output::Event(first)) = leg.others.first() else {
        panic!("{:?}", leg.others.first());
    };
    assert_eq!(first.data, "c1/p1 false");
    assert_eq!(leg.others.len(), 1 + 10);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_texts_is_cut_and_long_ones_are_dropped() {
    let mut leg = Leg::at(
        start(|question| match question {
            Question::Start(_) => Vec::new(),
            Question::Audio(audio) => {
                let mut answers = vec![inverted(&audio)];
                answers.extend((0..20).map(text));
                let mut long = text(20);
                if let Answer::Text(long) = &mut long {
                    long.text = "x".repeat(3_000);
                }
                answers.push(long);
                answers
            }
        })
        .await,
    );

    leg.say(250).await;

    assert_eq!(leg.session.breaker(), State::Closed);
    assert!(leg.answered(100..250) > 140);
    // 25 a second, of 1,000.
    assert!(
        (100..=150).contains(&leg.others.len()),
        "{}",
        leg.others.len()
    );
    assert!(
        leg.others
            .iter()
            .all(|other| matches!(other, Output::Text(text) if text.text.len() < 10))
    );
}

#[tokio::test(start_paused = true)]
async fn the_token_is_shown_and_a_refusal_is_a_failure() {
    let begin = |metadata: &tonic::metadata::MetadataMap| {
        let shown = metadata.get("authorization").map(|value| value.as_bytes());
        match shown == Some(b"Bearer secret") {
            true => Ok(Box::new(invert) as service::Answers),
            false => Err(Status::unauthenticated("no")),
        }
    };
    let addr = start_with(None, Arc::new(begin)).await;

    let mut known = Leg::with(addr, |config| config.token = Some("secret".into()));
    let mut unknown = Leg::at(addr);
    known.say(100).await;
    unknown.say(100).await;

    assert_eq!(known.answered(10..100), 90);
    assert_eq!(unknown.answered(0..100), 0);
    assert_eq!(unknown.session.breaker(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn tls_is_spoken_with_whom_the_authority_has_signed() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let identity = Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
    let tls = ServerTlsConfig::new().identity(identity);
    let begin = |_: &_| Ok(Box::new(invert) as service::Answers);
    let addr = start_with(Some(tls), Arc::new(begin)).await;
    let leg = |ca: String| {
        let mut config = Config::new("test", format!("https://localhost:{}", addr.port()));
        config.ca = Some(ca.into_bytes());
        Leg::new(&Processor::new(config).unwrap())
    };
    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();

    let mut good = leg(made.cert.pem());
    let mut bad = leg(other.cert.pem());
    good.say(150).await;
    bad.say(150).await;

    assert_eq!(good.answered(100..150), 50);
    assert_eq!(bad.answered(0..150), 0);
    assert_eq!(bad.session.breaker(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_is_silent_connects_to_nothing_and_the_stream_ends_with_the_leg() {
    let open = Arc::new(AtomicU64::new(0));
    let counted = open.clone();
    let begin = move |_: &_| {
        let guard = Guard::new(&counted);
        Ok(Box::new(move |question| {
            let _alive = &guard;
            invert(question)
        }) as service::Answers)
    };
    let mut leg = Leg::at(start_with(None, Arc::new(begin)).await);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(open.load(Ordering::SeqCst), 0);

    leg.say(50).await;
    assert_eq!(open.load(Ordering::SeqCst), 1);
    drop(leg);
    for _ in 0..100 {
        tokio::time::sleep(FRAME).await;
    }

    assert_eq!(open.load(Ordering::SeqCst), 0);
}

#[test]
fn a_wrong_configuration_is_named() {
    let fault = |url: &str| {
        Processor::new(Config::new("x", url))
            .unwrap_err()
            .to_string()
    };

    for url in ["", "host:1", "ftp://host:1", "http://"] {
        assert!(
            fault(url).contains("is no http:// or https:// URL"),
            "{url}"
        );
    }
    let mut config = Config::new("x", "http://127.0.0.1:1");
    config.token = Some("two\nlines".into());
    let shown = format!("{config:?}");
    let error = Processor::new(config).unwrap_err().to_string();
    assert_eq!(error, "the token has characters that a header cannot have");
    assert!(!shown.contains("lines"), "{shown}");
}

/// Counts itself.
struct Guard(Arc<AtomicU64>);

impl Guard {
    fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn text(id: u64) -> Answer {
    Answer::Text(Text {
        id,
        text: format!("text {id}"),
        ..Text::default()
    })
}

fn event(data: &str) -> Answer {
    Answer::Event(Event {
        name: "started".into(),
        data: data.into(),
        timestamp: 0,
    })
}
