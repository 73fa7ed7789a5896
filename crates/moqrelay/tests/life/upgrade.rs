//! A new process takes over: calls go on in the old one, everything new begins in the new one.

use std::time::Instant;

use moqrelay_moqt::Event;

use crate::{
    common::voice::{Talk, connect},
    common::{peer::quic, soon},
    program::{Daemon, Folder, get},
};

#[tokio::test]
async fn a_call_loses_nothing_while_a_new_process_takes_over() {
    let folder = Folder::new();
    let config = upgradable(&folder);
    let mut old = Daemon::start(&config, &[], &[]).await;
    let mut talk = Talk::begin(old.moq, "room/a").await;
    let (mut idle, _) = connect(old.moq).await;

    let (heard, mut new) = talk
        .during(async {
            let began = Instant::now();
            let new = Daemon::start(&config, &["--take-over"], &[]).await;
            old.says("another process has taken over").await;
            Talk::begin(new.moq, "room/b").await.exchange().await;
            println!(
                "upgrade: the new process serves after {:?}",
                began.elapsed()
            );
            new
        })
        .await;

    println!("upgrade under a call: {heard:?}");
    assert_eq!(heard.lost, 0);
    assert_eq!((new.moq, new.http), (old.moq, old.http));
    // Who has no call is asked to come to the new process.
    let told = idle.event_of(|event| match event {
        Event::GoAway { uri, .. } => Some(uri),
        _ => None,
    });
    assert_eq!(soon(told).await, "");
    let (status, _) = get(new.http, "/").await;
    assert!(status.contains("200"), "{status}");
    let (status, _) = new.ops("/health/ready").await;
    assert!(status.contains("200"), "{status}");
    // The call goes on for as long as it likes, and then the old process has nothing left to do.
    let (heard, ()) = talk.during(async {}).await;
    assert_eq!(heard.lost, 0);
    idle.session.close(0, b"");
    drop(talk);
    assert_eq!(old.end().await, Some(0));
    Talk::begin(new.moq, "room/c").await.exchange().await;
    new.signal("TERM");
    assert_eq!(new.end().await, Some(0));
}

#[tokio::test]
async fn an_upgrade_may_follow_another_while_the_first_call_goes_on() {
    let folder = Folder::new();
    let config = upgradable(&folder);
    let mut first = Daemon::start(&config, &[], &[]).await;
    let mut oldest = Talk::begin(first.moq, "room/a").await;
    let mut second = Daemon::start(&config, &["--take-over"], &[]).await;
    first.says("another process has taken over").await;
    let mut older = Talk::begin(second.moq, "room/b").await;

    let (heard, third) = oldest
        .during(Daemon::start(&config, &["--take-over"], &[]))
        .await;

    second.says("another process has taken over").await;
    assert_eq!(heard.lost, 0);
    older.exchange().await;
    oldest.exchange().await;
    Talk::begin(third.moq, "room/c").await.exchange().await;
}

#[tokio::test]
async fn when_the_new_process_dies_the_calls_of_the_old_one_go_on() {
    let folder = Folder::new();
    let config = upgradable(&folder);
    let mut old = Daemon::start(&config, &[], &[]).await;
    let mut talk = Talk::begin(old.moq, "room/a").await;
    let new = Daemon::start(&config, &["--take-over"], &[]).await;
    old.says("another process has taken over").await;
    talk.exchange().await;

    drop(new);
    old.says("the process that took over is gone").await;

    talk.exchange().await;
}

#[tokio::test]
async fn without_a_running_process_there_is_nothing_to_take_over() {
    let folder = Folder::new();

    let daemon = Daemon::start(&upgradable(&folder), &["--take-over"], &[]).await;

    assert!(quic(daemon.moq, "moqt-18").await.is_ok());
}

fn upgradable(folder: &Folder) -> String {
    folder.write(
        "relay.toml",
        &format!(
            "[auth]\nguests = true\nanonymous_publish = [\"\"]\nanonymous_subscribe = [\"\"]\n\
             [moq]\nworkers = 2\n[upgrade]\nsocket = {:?}\n",
            folder.path("upgrade.sock")
        ),
    )
}
