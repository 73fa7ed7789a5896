//! Sends a track's objects back as a track of its own, untouched.

use moqrelay_relay::{
    FullTrackName, Relay,
    track::{Event, Reader, WriteError},
};
use moqrelay_wire::catalog::Catalog;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{Place, leg::Command, publication::Publication};

/// Echoes `source`, and whatever track it is told to listen to later, until nobody can tell it anything more.
///
/// The own track begins when the source does and has the source's properties, since its objects are the source's.
pub(crate) async fn echo(
    relay: Relay,
    place: Place,
    catalog: Catalog,
    source: Option<FullTrackName>,
    mut commands: mpsc::Receiver<Command>,
) {
    let mut reader = source.map(|name| relay.subscribe(name));
    let mut publication: Option<Publication> = None;
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Listen(name)) => reader = Some(relay.subscribe(name)),
                Some(Command::Unlisten(name)) => {
                    if reader.as_ref().is_some_and(|reader| *reader.name() == name) {
                        reader = None;
                    }
                }
                // It has no telephone to play tones to and nothing of its own to say.
                Some(
                    Command::Join(_)
                    | Command::Play(_)
                    | Command::StopTone
                    | Command::Digits(_)
                    | Command::HearRoom(..)
                    | Command::LeaveRoom
                    | Command::Beep(_)
                    | Command::Say(_)
                    | Command::Mute(_)
                    | Command::Answer
                    | Command::DetectDigits(_)
                    | Command::Process(_)
                    | Command::Explain(_),
                ) => {}
            },
            event = next(&mut reader) => match event {
                Some(Event::Began(info)) => {
                    tracing::debug!("the source is there");
                    let opened = Publication::open_as(&relay, &place, &catalog, info, Instant::now());
                    publication = opened
                        .inspect_err(|error| tracing::warn!(%error, "nothing is echoed"))
                        .ok();
                }
                Some(Event::Object(object)) => {
                    if let Some(echoed) = &mut publication
                        && let Err(error) = echoed.pass(object)
                    {
                        tracing::debug!(%error, "an object was not echoed");
                        if error == WriteError::Superseded {
                            publication = None;
                        }
                    }
                }
                Some(Event::Ended(_)) => publication = None,
                Some(_) => {}
                None => reader = None,
            },
            () = catalog_due(publication.as_ref()) => {
                if let Some(publication) = &mut publication {
                    publication.tick(Instant::now());
                }
            }
        }
    }
}

async fn next(reader: &mut Option<Reader>) -> Option<Event> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

async fn catalog_due(publication: Option<&Publication>) {
    match publication {
        Some(publication) => sleep_until(publication.due()).await,
        None => std::future::pending().await,
    }
}
