//! What sends the objects of one track.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use bytes::{BufMut, Bytes, BytesMut};
use moqrelay_moqt::{
    TrackAlias,
    data::{Object, ObjectDatagram, ObjectStatus, SubgroupEncoder, SubgroupHeader, SubgroupId},
};
use moqrelay_wire::audio_object::{Level, Properties};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at},
};
use web_transport_quinn as wt;

use super::log::Log;
use crate::client::DRAFT;

/// What a track carries, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stuff {
    pub(crate) mode: Mode,
    /// Objects a second.
    pub(crate) rate: u32,
    /// Bytes of an object's payload.
    pub(crate) size: usize,
    /// Bytes of the payload of a group's first object.
    pub(crate) first_size: usize,
    /// Each object says how loud it is and when it was, as those of pages do, and datagrams are in groups of a second.
    pub(crate) levels: bool,
}

/// How objects travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Each object is a datagram and a group.
    Datagrams,
    /// Each group is a stream of so many objects; `None`: one group without end.
    Groups(Option<u64>),
}

/// Sends objects, evenly; each by every one of its publishers.
pub(crate) struct Source {
    publishers: Vec<Publisher>,
    stuff: Stuff,
    log: Arc<Log>,
    /// Objects sent so far; others may look.
    next: Arc<AtomicU64>,
    /// Those of them that count.
    counted: u64,
}

/// A session that publishes the track.
struct Publisher {
    transport: wt::Session,
    alias: TrackAlias,
    stream: Option<(SubgroupEncoder, wt::SendStream)>,
}

impl Source {
    /// `publishers`: sessions that publish the same track, and under which alias.
    pub(crate) fn new(
        publishers: impl IntoIterator<Item = (wt::Session, TrackAlias)>,
        stuff: Stuff,
        log: Arc<Log>,
    ) -> Self {
        let publishers = publishers.into_iter().map(|(transport, alias)| Publisher {
            transport,
            alias,
            stream: None,
        });
        Self {
            publishers: publishers.collect(),
            stuff,
            log,
            next: Arc::default(),
            counted: 0,
        }
    }

    /// Returns what counts the objects that were sent.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        self.next.clone()
    }

    /// Sends until it is told to stop, first after `phase`; returns how many objects were sent that count.
    pub(crate) async fn run(
        mut self,
        phase: Duration,
        mut stop: watch::Receiver<bool>,
    ) -> Result<u64> {
        let period = Duration::from_secs(1) / self.stuff.rate;
        let mut ticks = interval_at(Instant::now() + phase, period);
        // A generator that is late catches up: what is offered is what was asked for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                biased;
                sent = self.send() => sent?,
                // A relay that takes no more must not keep the load from its end.
                _ = stop.changed() => break,
            }
        }
        Ok(self.counted)
    }

    async fn send(&mut self) -> Result<()> {
        let stamp = self.log.stamp();
        if self.log.counts(stamp) {
            self.counted += 1;
        }
        let number = self.next.fetch_add(1, Relaxed);
        let stuff = self.stuff;
        let properties = stuff.properties(number);
        for publisher in &mut self.publishers {
            let properties = properties.clone();
            match stuff.mode {
                Mode::Datagrams => {
                    let each_group = if stuff.levels { stuff.rate.into() } else { 1 };
                    let place = (number / each_group, number % each_group);
                    publisher.send_datagram(place, properties, payload(stamp, stuff.size))?;
                }
                Mode::Groups(objects) => {
                    let (group, id) = objects.map_or((0, number), |n| (number / n, number % n));
                    let size = if id == 0 {
                        stuff.first_size
                    } else {
                        stuff.size
                    };
                    let ends = objects == Some(id + 1);
                    let object = Object {
                        id,
                        properties,
                        payload: payload(stamp, size),
                        ..Object::default()
                    };
                    publisher.send_on_stream(group, object, ends).await?;
                }
            }
        }
        Ok(())
    }
}

impl Stuff {
    /// What the n-th object says of itself.
    fn properties(&self, number: u64) -> Bytes {
        if !self.levels {
            return Bytes::new();
        }
        let level = Level {
            // Not steady: that would be taken for noise.
            below_overload_db: 30 + (number % 12) as u8,
            voice: true,
        };
        Properties::of_object(48_000 / u64::from(self.rate) * number, level).to_bytes()
    }
}

impl Publisher {
    fn send_datagram(
        &self,
        (group, id): (u64, u64),
        properties: Bytes,
        payload: Bytes,
    ) -> Result<()> {
        let object = ObjectDatagram {
            alias: self.alias,
            group,
            id,
            priority: None,
            end_of_group: false,
            status: ObjectStatus::Normal,
            properties,
            payload,
        };
        Ok(self.transport.send_datagram(object.encode(DRAFT)?)?)
    }

    async fn send_on_stream(&mut self, group: u64, object: Object, ends: bool) -> Result<()> {
        let mut bytes = BytesMut::new();
        let (mut encoder, mut stream) = match self.stream.take() {
            Some(open) => open,
            None => {
                let properties = !object.properties.is_empty();
                let header = header(self.alias, group, properties);
                let encoder = SubgroupEncoder::new(DRAFT, header);
                encoder.header(&mut bytes);
                (encoder, self.transport.open_uni().await?)
            }
        };
        encoder.object(&object, &mut bytes)?;
        bytes.extend_from_slice(&object.payload);
        stream.write_all(&bytes).await?;
        if ends {
            stream.finish()?;
        } else {
            self.stream = Some((encoder, stream));
        }
        Ok(())
    }
}

fn payload(stamp: u64, size: usize) -> Bytes {
    let mut payload = BytesMut::with_capacity(size);
    payload.put_slice(&Log::head(stamp));
    payload.resize(size, 0);
    payload.freeze()
}

fn header(alias: TrackAlias, group: u64, properties: bool) -> SubgroupHeader {
    SubgroupHeader {
        alias,
        group,
        subgroup: SubgroupId::Zero,
        priority: None,
        properties,
        end_of_group: false,
        first_object: true,
    }
}
