//! A MoQ client of other makers (the `moq-transport` crate) listens to one participant of a room.
//!
//!     foreign_listener https://127.0.0.1:4443/moq?token=… room/<room>/<participant> HZ
//!     foreign_listener https://127.0.0.1:4443/moq?token=… room/<room> TRACK
//!
//! Subscribes to the track `audio`, decodes two seconds of it and prints one line of JSON: how many
//! objects came and what share of the sound is a tone of HZ. Or prints the next object of another
//! track, such as a room's `roster`. For tests: certificates are not checked.
#![allow(clippy::print_stdout, reason = "a program that talks to tests")]

use std::time::Duration;

use anyhow::{Context, Result, bail};
use moq_transport::{
    coding::{KeyValuePairs, TrackNamespace},
    serve::{Track, TrackReaderMode},
    session::{Session, Transport, transport},
};
use moqrelay_audio::{SampleRate, opus::Decoder, tone::Detector};
use web_transport_quinn_0_11 as wt;

/// Two seconds of voice.
const OBJECTS: usize = 100;

/// The first objects of a call may still be silent.
const SKIPPED: usize = 50;

/// Only a fault reaches it.
const DEADLINE: Duration = Duration::from_secs(15);

const RENDEZVOUS_MS: u64 = 5_000;

/// How long a request may take to learn why it was refused, when the session is over already.
const REFUSED: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, namespace, what] = args.as_slice() else {
        bail!("usage: foreign_listener URL NAMESPACE HZ|TRACK");
    };
    let hz = what.parse();
    let track = if hz.is_ok() { "audio" } else { what };
    let objects = tokio::time::timeout(DEADLINE, listen(url.parse()?, namespace, track))
        .await
        .context("nothing was heard in time")??;
    match hz {
        Ok(hz) => {
            let purity = purity(&objects, hz)?;
            println!("{{\"objects\":{},\"purity\":{purity:.3}}}", objects.len());
        }
        Err(_) => {
            for object in objects {
                println!("{}", String::from_utf8(object)?);
            }
        }
    }
    Ok(())
}

async fn listen(url: url::Url, namespace: &str, track: &str) -> Result<Vec<Vec<u8>>> {
    let client = wt::ClientBuilder::new()
        .dangerous()
        .with_no_certificate_verification()
        .context("a client without certificates")?;
    let request = wt::proto::ConnectRequest::new(url.clone()).with_protocol("moqt-18");
    let session = client.connect(request).await.context("no session")?;
    let session = transport::Session::new(session, url);
    let (session, _, mut subscriber) =
        Session::connect(session, None, Transport::WebTransport).await?;
    let (writer, reader) = Track::new(TrackNamespace::from_utf8_path(namespace), track).produce();
    let mut params = KeyValuePairs::default();
    params.set_rendezvous_timeout(RENDEZVOUS_MS);
    let work = async {
        let subscription = subscriber
            .subscribe_open_with_params(writer, params)
            .await?;
        let mut datagrams = match reader.mode().await? {
            TrackReaderMode::Datagrams(datagrams) => datagrams,
            TrackReaderMode::Subgroups(mut groups) => {
                let mut group = groups.next().await?.context("the track has ended")?;
                let object = group.read_next().await?.context("an empty group")?;
                return Ok(vec![object.to_vec()]);
            }
            _ => bail!("neither datagrams nor subgroups"),
        };
        let mut packets = Vec::new();
        while packets.len() < SKIPPED + OBJECTS {
            let datagram = datagrams.read().await?.context("the track has ended")?;
            packets.push(datagram.payload.to_vec());
        }
        drop(subscription);
        Ok(packets.split_off(SKIPPED))
    };
    tokio::pin!(work);
    let ended = tokio::select! {
        biased;
        packets = work.as_mut() => return packets,
        ended = session.run() => ended,
    };
    // The library ends its session when a request is refused; why, the request knows.
    match tokio::time::timeout(REFUSED, work).await {
        Ok(Err(refused)) => Err(refused),
        Ok(Ok(_)) | Err(_) => bail!("the session ended: {ended:?}"),
    }
}

fn purity(packets: &[Vec<u8>], hz: f32) -> Result<f32> {
    let mut decoder = Decoder::new(SampleRate::Hz8000)?;
    let mut sound = Vec::new();
    for packet in packets {
        decoder.decode(packet, &mut sound)?;
    }
    let detector = Detector::new(SampleRate::Hz8000, hz);
    Ok(detector.purity(&sound[sound.len() / 2..]))
}
