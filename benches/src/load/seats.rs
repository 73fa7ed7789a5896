//! A room of a daemon, heard by its seats as pages hear it.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use moqrelay_moqt::{FullTrackName, Namespace, TrackAlias};
use moqrelay_wire::signal::RoomMedia;
use tokio::sync::Semaphore;
use web_transport_quinn as wt;

use super::{
    engine::{self, AT_ONCE, Link, Member, Plan, Ready},
    house::House,
    log::Log,
    report::Report,
    room::Room,
};

/// Places of listeners in the room, which the listening sessions share: a daemon lets ten guests of one address in within a
/// minute. A session costs the relay the same, whoever else has its token.
const PLACES_MAX: u32 = 4;

/// Runs a load some times in one room: those of the plan who talk are its speakers, all others its listeners.
pub(crate) async fn run(plan: &Plan, house: &House, runs: u32) -> Result<Vec<Report>> {
    let http = house.http.context("a daemon of our own is needed")?;
    let listeners = plan.members - plan.talkers;
    let room = Room::open(http, plan.talkers, listeners.min(PLACES_MAX)).await?;
    let seats = room.speakers[0].seats;
    ensure!(
        plan.talkers <= seats,
        "{} speakers have {seats} seats: not all of them would be heard",
        plan.talkers
    );
    let mut reports = Vec::new();
    for _ in 0..runs {
        reports.push(once(plan, house, &room).await?);
    }
    Ok(reports)
}

async fn once(plan: &Plan, house: &House, room: &Room) -> Result<Report> {
    let log = Arc::<Log>::default();
    let began = Instant::now();
    let places = room.speakers.iter().chain(room.listeners.iter().cycle());
    let targets: Vec<_> = places
        .take(plan.members as usize)
        .map(|place| house.target.with_token(&place.token))
        .collect();
    let mut members = engine::enter(plan, &targets, &log).await?;
    for (member, place) in members.iter_mut().zip(&room.speakers) {
        let namespace = Namespace::new(place.namespace.clone())?;
        let announced = member.client()?.announce(namespace).await;
        announced.context("PUBLISH_NAMESPACE")?;
    }
    sit_down(&members, &room.speakers[0]).await?;
    let mut aliases = Vec::new();
    for member in &mut members[..room.speakers.len()] {
        aliases.push(voice_wanted(member).await?);
    }
    let ready = Ready {
        members,
        aliases,
        took: began.elapsed(),
    };
    // Who speaks has the own voice in a seat, too.
    engine::send(plan, house, &log, ready, plan.members).await
}

/// Subscribes every session to every seat.
async fn sit_down(members: &[Member], room: &RoomMedia) -> Result<()> {
    let seats = (1..=room.seats).map(|seat| {
        let fields = ["room".to_owned(), room.room.to_string(), format!("s{seat}")];
        Ok(FullTrackName::new(Namespace::new(fields)?, "audio")?)
    });
    let seats: Vec<FullTrackName> = seats.collect::<Result<_>>()?;
    let turns = Semaphore::new(AT_ONCE);
    let subscribing = members.iter().map(|member| async {
        let Link::Moq(client) = &member.link else {
            return Ok(());
        };
        let _turn = turns.acquire().await?;
        for seat in &seats {
            client.subscribe(seat.clone()).await.context("a seat")?;
        }
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(subscribing).await?;
    Ok(())
}

/// Waits until the room wants to hear a speaker.
async fn voice_wanted(member: &mut Member) -> Result<(wt::Session, TrackAlias)> {
    let client = member.client()?;
    loop {
        let (track, alias) = client.wanted().await?;
        if track.name() == "audio" {
            return Ok((client.transport().clone(), alias));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use clap::Parser as _;

    use super::*;
    use crate::{
        daemon::Doors,
        load::{
            engine::Times,
            house, one_thread,
            source::{Mode, Stuff},
        },
    };

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        house: house::Args,
    }

    #[test]
    fn three_listeners_hear_all_that_five_say() {
        // Two levels above the test's own program; `cargo nextest run --workspace` builds it.
        let own = std::env::current_exe().unwrap();
        let daemon = own.ancestors().nth(2).unwrap().join("moqrelay");
        assert!(
            daemon.exists(),
            "cargo build --package moqrelay comes first"
        );
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/relay.toml");
        let args = [
            Path::new("load"),
            Path::new("--daemon"),
            &daemon,
            Path::new("--config"),
            &config,
        ];
        let house = House::daemon(&Cli::parse_from(args).house, Doors::Tokens).unwrap();
        let plan = Plan {
            what: "seats".into(),
            rooms: 1,
            members: 5 + 3,
            talkers: 5,
            publishers: 1,
            slow: 0,
            stuff: Stuff {
                mode: Mode::Datagrams,
                rate: 50,
                size: 80,
                first_size: 80,
                levels: true,
            },
            times: Times {
                // Everyone has a seat after 40 ms.
                warm_up: Duration::from_millis(200),
                counted: Duration::from_millis(200),
            },
        };

        let runtime = one_thread().unwrap();

        runtime.block_on(async {
            let room = Room::open(house.http.unwrap(), 5, 3).await.unwrap();
            assert!(is_turned_away(&plan, &house, &room).await);
            let mut seen = Vec::new();
            // A machine that stands still for a while may cost objects, but not each time.
            for _ in 0..5 {
                let report = once(&plan, &house, &room).await;
                if report.as_ref().is_ok_and(is_whole) {
                    return;
                }
                seen.push(report);
            }
            panic!("{seen:#?}");
        });
    }

    /// Tells whether all sessions heard all that was said: half of what five say in 200 ms, or more.
    fn is_whole(report: &Report) -> bool {
        report.sent >= 5 * 5
            && report.heard == 8 * report.sent
            && report.least_heard == report.sent
            && report.lost_sessions == 0
    }

    /// Tells whether a session without a token of the room hears nothing of it.
    async fn is_turned_away(plan: &Plan, house: &House, room: &Room) -> bool {
        let alone = Plan {
            members: 1,
            ..plan.clone()
        };
        let entered = engine::enter(&alone, house.targets(), &Arc::default()).await;
        let Ok(members) = entered else {
            return true;
        };
        sit_down(&members, &room.speakers[0]).await.is_err()
    }
}
