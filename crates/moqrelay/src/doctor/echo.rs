//! A call of our own: Asterisk connects by AudioSocket, and its `Echo()` sends back what it hears.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use moqrelay_bridge::ari::{Message as Event, Method, Probe};
use moqrelay_wire::audiosocket::{self, HANGUP, Message, Rate};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{MissedTickBehavior, interval, timeout},
};
use uuid::Uuid;

use super::Report;

/// The application of the call, and the dialplan's context with the echo.
const NAME: &str = "moqrelay-doctor";

/// How long Asterisk may take for each step.
const STEP_TIME: Duration = Duration::from_secs(5);

/// 20 ms each: silence until the echo runs, then a click every half second.
const FRAMES: usize = 160;
const FIRST_CLICK: usize = 25;
const CLICK_EVERY: usize = 25;
const CLICK: i16 = 12_000;

/// A click that comes back has about this level at least.
const CLICK_BACK: i16 = 6_000;

/// More is heard as delay in a talk, on top of what the networks take.
const DELAY_MAX: Duration = Duration::from_millis(100);

const CHECK: &str = "AudioSocket";

/// Makes the call and says what came of it.
pub(super) async fn look(
    report: &mut Report,
    probe: &Probe,
    listen: SocketAddr,
    told: &str,
    runs: bool,
) {
    let listener = match TcpListener::bind(listen).await {
        Ok(listener) => listener,
        Err(error) => {
            return report.skipped(CHECK, format!("no port to be called on: {error}"));
        }
    };
    let mut told = told.to_owned();
    if let (Some(host), Ok(addr)) = (told.strip_suffix(":0"), listener.local_addr()) {
        told = format!("{host}:{}", addr.port());
    }
    let id = format!("{NAME}-{}", Uuid::new_v4());
    let outcome = call(report, probe, &listener, &told, &id).await;
    // It may be gone already.
    drop(probe.ask(Method::Delete, "channels", &[&id], &[]).await);
    match outcome {
        Ok(Some(delays)) => judge(report, delays, runs),
        Ok(None) => {}
        Err(error) => report.bad(
            CHECK,
            format!("the call to Echo() has failed: {error:#}"),
            "look into Asterisk's log for lines with AudioSocket",
        ),
    }
}

/// Returns how long each click was on its way; nothing when the reason is in the report.
async fn call(
    report: &mut Report,
    probe: &Probe,
    listener: &TcpListener,
    told: &str,
    id: &str,
) -> Result<Option<Vec<Duration>>> {
    let mut ears = probe.listen(NAME).await.context("events")?;
    let uuid = Uuid::new_v4();
    let endpoint = format!("AudioSocket/{told}/{uuid}/c(slin16)");
    let query = [
        ("endpoint", endpoint.as_str()),
        ("app", NAME),
        ("channelId", id),
        ("timeout", "10"),
    ];
    let (reply, stream) = tokio::join!(
        probe.ask(Method::Post, "channels", &[], &query),
        timeout(STEP_TIME, listener.accept())
    );
    let reply = reply.context("the call was not begun")?;
    if reply.status == 403 {
        report.bad(
            CHECK,
            "the ARI user may only read",
            "set read_only = no for it in ari.conf",
        );
        return Ok(None);
    }
    let Ok(Ok((mut stream, _))) = stream else {
        report.bad(
            CHECK,
            format!("Asterisk cannot connect to {told}"),
            "set asterisk.ari.audiosocket to the address and port by which Asterisk reaches this machine, and let no firewall stop it",
        );
        return Ok(None);
    };
    stream.set_nodelay(true)?;
    let mut inbox = BytesMut::new();
    let said = timeout(STEP_TIME, read(&mut stream, &mut inbox)).await??;
    if said != Message::Id(uuid) {
        bail!("the first message is {said:?} instead of the call's id");
    }
    let started = async {
        loop {
            match ears.next().await? {
                Event::Started { channel, .. } if channel.id == id => return anyhow::Ok(()),
                _ => {}
            }
        }
    };
    timeout(STEP_TIME, started)
        .await
        .context("the call did not come to the application")??;
    if !dialplan(report, probe, id).await {
        return Ok(None);
    }
    let query = [("context", NAME), ("extension", "echo"), ("priority", "1")];
    let sent = probe
        .ask(Method::Post, "channels", &[id, "continue"], &query)
        .await?;
    if sent.status >= 300 {
        bail!("Asterisk answers {} to `continue`", sent.status);
    }
    let delays = exchange(&mut stream, inbox).await?;
    stream.write_all(&HANGUP).await?;
    Ok(Some(delays))
}

/// Looks whether the dialplan has what it needs; false when there is no echo.
async fn dialplan(report: &mut Report, probe: &Probe, channel: &str) -> bool {
    const CHECK: &str = "dialplan";
    const CHANGE: &str = "include extensions-moqrelay.conf in extensions.conf (`moqrelay init-asterisk` prints it), then `dialplan reload` in Asterisk";
    let rings = exists(probe, channel, "moqrelay-ring,7001,1").await;
    let echoes = exists(probe, channel, "moqrelay-doctor,echo,1").await;
    match (rings, echoes) {
        (_, Some(false)) => {
            report.bad(
                CHECK,
                "there is no context moqrelay-doctor: moqrelay's part of the dialplan is missing or old",
                CHANGE,
            );
            return false;
        }
        (Some(false), _) => report.warning(
            CHECK,
            "there is no context moqrelay-ring: telephones reach browsers only if a dialplan of your own has Stasis()",
            CHANGE,
        ),
        (Some(true), Some(true)) => report.good(CHECK, "moqrelay's part of it is there"),
        (None, _) | (_, None) => {
            report.skipped(CHECK, "Asterisk does not say what it has (func_dialplan.so)");
        }
    }
    true
}

async fn exists(probe: &Probe, channel: &str, place: &str) -> Option<bool> {
    #[derive(Deserialize)]
    struct Value {
        value: String,
    }
    let variable = format!("DIALPLAN_EXISTS({place})");
    let query = [("variable", variable.as_str())];
    let reply = probe
        .ask(Method::Get, "channels", &[channel, "variable"], &query)
        .await
        .ok()
        .filter(|reply| reply.status == 200)?;
    let value: Value = serde_json::from_slice(&reply.body).ok()?;
    Some(value.value == "1")
}

async fn read(stream: &mut TcpStream, inbox: &mut BytesMut) -> Result<Message> {
    loop {
        if let Some(message) = Message::decode(inbox)? {
            return Ok(message);
        }
        if stream.read_buf(inbox).await? == 0 {
            bail!("Asterisk has closed the connection");
        }
    }
}

/// Talks in real time; returns how long each click that came back was on its way.
async fn exchange(stream: &mut TcpStream, mut inbox: BytesMut) -> Result<Vec<Duration>> {
    let (mut reading, mut writing) = stream.split();
    let mut ticks = interval(Duration::from_millis(20));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut out = BytesMut::new();
    let mut clicked: Option<Instant> = None;
    let (mut delays, mut sent) = (Vec::new(), 0);
    while sent < FRAMES {
        tokio::select! {
            _ = ticks.tick() => {
                let clicks = sent >= FIRST_CLICK && sent.is_multiple_of(CLICK_EVERY);
                let sample = if clicks { CLICK } else { 0 };
                let pcm = [sample; Rate::Hz16000.frame_samples()];
                out.clear();
                if clicks {
                    clicked = Some(Instant::now());
                }
                audiosocket::encode_audio(Rate::Hz16000, &pcm, &mut out)?;
                writing.write_all(&out).await?;
                sent += 1;
            }
            read = reading.read_buf(&mut inbox) => {
                if read? == 0 {
                    bail!("Asterisk has closed the connection");
                }
                while let Some(message) = Message::decode(&mut inbox)? {
                    let Message::Audio(audio) = message else { continue };
                    if let Some(at) = clicked
                        && audio.samples().any(|sample| sample >= CLICK_BACK)
                    {
                        delays.push(at.elapsed());
                        clicked = None;
                    }
                }
            }
        }
    }
    Ok(delays)
}

fn judge(report: &mut Report, mut delays: Vec<Duration>, runs: bool) {
    delays.sort();
    let Some(median) = delays.get(delays.len() / 2) else {
        return report.bad(
            CHECK,
            "Asterisk connects, but Echo() sends nothing back",
            "look into Asterisk's log; is the context moqrelay-doctor the one of the snippet?",
        );
    };
    let took = format!("{:.1} ms", median.as_secs_f64() * 1000.0);
    let beside = match runs {
        true => " (by another port than the running daemon's)",
        false => "",
    };
    if *median > DELAY_MAX {
        report.warning(
            CHECK,
            format!("sound goes to Asterisk and back in {took}{beside}: people hear that"),
            "give the machine more time, or put moqrelay nearer to Asterisk",
        );
    } else {
        report.good(
            CHECK,
            format!("sound goes to Asterisk and back in {took}{beside}"),
        );
    }
}
