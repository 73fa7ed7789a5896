//! Joins, leaves and deaths against a daemon: memory must stay, and every table must end empty.
//!
//! `make churn` runs it. Each second a few sessions of a house of [`PEOPLE`] come, go in order, or die
//! without a word; who is there talks, listens to a few others, and asks for tracks that are not
//! there. Memory is compared between the end of the first minute and the end; then everybody goes,
//! and the gauges must fall to zero. Status 1 when one of both does not hold.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program that measures, with what the tests share"
)]

#[path = "../../relay/tests/common/mod.rs"]
mod common;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Parser;
use common::{
    peer::{D18, Peer},
    track,
    voice::connect,
};
use moqrelay_moqt::{
    Parameters, PublishOptions, TrackAlias,
    data::{ObjectDatagram, ObjectStatus},
};
use moqrelay_testkit::{Impairment, Proxy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sessions at a time.
const PEOPLE: usize = 60;

/// Comings and goings in a second.
const CHANGES: u32 = 4;

/// How long the relay may take to notice that a peer is dead: its idle timeout, and some more.
const SILENCE: Duration = Duration::from_secs(45);

/// What memory may differ by, in per cent.
const DRIFT_MAX: f64 = 5.0;

/// Gauges of the relay that must be zero when nobody is there.
const GAUGES: [&str; 3] = [
    "moqrelay_relay_sessions",
    "moqrelay_relay_tracks",
    "moqrelay_relay_subscriptions",
];

#[derive(Debug, Parser)]
struct Args {
    /// The daemon.
    #[arg(long, default_value = "target/release/moqrelay")]
    daemon: PathBuf,
    /// Its configuration; the ports are chosen by the system.
    #[arg(long, default_value = "config/open.toml")]
    config: PathBuf,
    /// How long, two at least: the first is for warming up.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..))]
    minutes: u64,
}

struct Daemon {
    child: Child,
    moq: SocketAddr,
    metrics: SocketAddr,
}

struct Person {
    peer: Peer,
    alias: TrackAlias,
    said: u64,
    /// Between it and the relay; without it the peer is dead.
    network: Proxy,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let daemon = Daemon::start(&args);
    let mut house = House {
        people: Vec::new(),
        dead: Vec::new(),
        random: 0x5eed,
        came: 0,
        died: 0,
    };
    // The house is full from the first minute on: memory is compared for the same crowd.
    while house.people.len() < PEOPLE {
        house.come(daemon.moq).await;
    }
    let (began, end) = (Instant::now(), Duration::from_secs(60 * args.minutes));
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let mut ticks = 0_u32;
    while began.elapsed() < end {
        tick.tick().await;
        ticks += 1;
        house.talk();
        if ticks.is_multiple_of(50 / CHANGES) {
            house.change(daemon.moq).await;
        }
        if ticks.is_multiple_of(50) {
            let second = began.elapsed().as_secs();
            if (60..80).contains(&second) {
                first.push(daemon.memory());
            } else if second + 20 >= end.as_secs() {
                last.push(daemon.memory());
            }
            if second.is_multiple_of(60) {
                let text = daemon.metrics().await;
                println!(
                    "{:>3} min: {:>7} KB, {:.0} KB of it cached objects, {} came, {} died",
                    second / 60,
                    daemon.memory(),
                    value(&text, "moqrelay_relay_cache_bytes") / 1024.0,
                    house.came,
                    house.died
                );
            }
        }
    }
    let (first, last) = (median(first), median(last));
    let drift = (last as f64 - first as f64) * 100.0 / first as f64;
    println!("memory: {first} KB after the first minute, {last} KB at the end ({drift:+.1} %)");
    drop(house);
    let left = daemon.left().await;
    println!("left behind: {left:?}");
    let good = drift.abs() <= DRIFT_MAX && left.iter().all(|(_, value)| *value == 0.0);
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

struct House {
    people: Vec<Person>,
    /// Kept so that their connections are not closed: nobody hears that they are dead.
    dead: Vec<(Instant, Peer)>,
    random: u64,
    came: u64,
    died: u64,
}

impl House {
    fn talk(&mut self) {
        for person in &mut self.people {
            person.said += 1;
            let object = ObjectDatagram {
                alias: person.alias,
                group: person.said,
                id: 0,
                priority: None,
                end_of_group: false,
                status: ObjectStatus::Normal,
                properties: Bytes::new(),
                payload: Bytes::from_static(&[7; 80]),
            };
            let bytes = object.encode(D18).unwrap();
            drop(person.peer.session.send_datagram(bytes));
            while person.peer.try_arrived().is_some() {}
        }
    }

    async fn change(&mut self, relay: SocketAddr) {
        self.dead.retain(|(at, _)| at.elapsed() < SILENCE);
        if self.people.len() < PEOPLE {
            return self.come(relay).await;
        }
        let Person { peer, network, .. } = self.anyone();
        match self.below(2) {
            0 => peer.session.close(0, b""),
            _ => {
                drop(network);
                self.died += 1;
                self.dead.push((Instant::now(), peer));
            }
        }
    }

    async fn come(&mut self, relay: SocketAddr) {
        let network = Proxy::start(relay, Impairment::default(), 1).await.unwrap();
        let (mut peer, _) = connect(network.addr()).await;
        self.came += 1;
        let name = |n: u64| track(&format!("churn/{}", n % 16), "audio");
        let options = PublishOptions::default();
        // Some say what another one says already: the newest wins.
        let (_, alias) = peer.publish(&name(self.below(16)), options).await;
        let first = self.below(16);
        for step in 0..3 {
            let wanted = name(first + 5 * step);
            peer.subscribe(&wanted, Parameters::default()).await;
        }
        // Nobody publishes that.
        let nowhere = track(&format!("nowhere/{}", self.came), "audio");
        peer.subscribe(&nowhere, Parameters::default()).await;
        self.people.push(Person {
            peer,
            alias,
            said: 0,
            network,
        });
    }

    fn anyone(&mut self) -> Person {
        let index = self.below(self.people.len() as u64);
        self.people.swap_remove(usize::try_from(index).unwrap())
    }

    /// The same numbers in every run (xorshift64).
    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 8) % end
    }
}

impl Daemon {
    fn start(args: &Args) -> Self {
        let mut command = Command::new(&args.daemon);
        for key in [
            "MOQ__LISTEN",
            "HTTP__LISTEN",
            "METRICS__LISTEN",
            "ASTERISK__AUDIOSOCKET",
        ] {
            command.env(format!("MOQRELAY__{key}"), "127.0.0.1:0");
        }
        let mut child = command
            .arg("--config")
            .arg(&args.config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = log
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains(" listens"))
            .expect("the daemon starts");
        // Nobody reads the rest, but it must go somewhere.
        std::thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        let field = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=")).unwrap();
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        let (moq, metrics) = (field("moq"), field("metrics"));
        Self {
            child,
            moq,
            metrics,
        }
    }

    /// Resident memory, in KB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.unwrap().trim().split(' ').next().unwrap();
        number.parse().unwrap()
    }

    /// Waits until the tables are empty, and returns what is left in them.
    async fn left(&self) -> Vec<(&'static str, f64)> {
        let deadline = Instant::now() + SILENCE;
        loop {
            let text = self.metrics().await;
            let left: Vec<_> = GAUGES.map(|name| (name, value(&text, name))).into();
            if left.iter().all(|(_, value)| *value == 0.0) || Instant::now() > deadline {
                return left;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads one gauge; what was never counted is zero.
fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
