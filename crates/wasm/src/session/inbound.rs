//! Unidirectional streams that the relay opened.

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::data::{
    self, FetchDecoder, FetchHeader, FetchItem, Limits, StreamKind, SubgroupDecoder,
    SubgroupHeader, SubgroupItem,
};
use moqrelay_moqt::{DecodeError, Draft, GroupOrder, StreamId};

use crate::map::Map;

/// Streams open at a time: a few for each of 31 other participants.
pub(super) const STREAMS_MAX: usize = 256;

/// Bytes kept of a stream whose track is not known yet: a large picture.
const EARLY_BYTES_MAX: usize = 256 * 1024;

/// Bytes of objects that have not arrived whole, all streams together: the first pictures of a room of
/// 25 tiles. What goes beyond is stopped.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A stream that holds less is not worth looking at the others.
const LARGE_BYTES: usize = 16 * 1024;

/// Largest picture that we send or take: a screen of 4K in one piece. Streams of larger objects are stopped.
pub(super) const OBJECT_BYTES_MAX: usize = 1000 * 1024;

const LIMITS: Limits = Limits {
    payload_bytes_max: OBJECT_BYTES_MAX,
    properties_bytes_max: 4 * 1024,
};

/// What one stream is.
#[derive(Debug)]
pub(super) enum Stream {
    /// Its type is not complete yet.
    New(BytesMut),
    /// The relay's control stream.
    Control(StreamId),
    /// Objects.
    Subgroup(Box<Subgroup>),
    /// Objects of the past.
    Fetch(Box<FetchStream>),
}

/// A stream of objects.
#[derive(Debug)]
pub(super) struct Subgroup {
    decoder: SubgroupDecoder,
    header: Option<SubgroupHeader>,
    /// Bytes that arrived and could not be delivered yet.
    early_bytes: usize,
    fin: bool,
}

/// A stream that answers a FETCH.
#[derive(Debug)]
pub(super) struct FetchStream {
    decoder: FetchDecoder,
    fin: bool,
}

/// What happened to a stream.
#[derive(Debug)]
pub(super) enum Step {
    /// More bytes are needed.
    Wait,
    /// It is the control stream: these are its first bytes.
    Control(Bytes),
    /// It has objects, perhaps.
    Objects,
    /// It has objects of the past, perhaps.
    Past,
    /// Nobody will want it: stop it.
    Stop,
}

/// The relay's unidirectional streams, by our own number.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    pub(super) streams: Map<u32, Stream>,
}

impl Inbound {
    /// Takes bytes of stream `id`.
    pub(super) fn feed(
        &mut self,
        draft: Draft,
        id: u32,
        bytes: Bytes,
        fin: bool,
    ) -> Result<Step, DecodeError> {
        match self.streams.get_mut(&id) {
            // Nobody wants it: whatever comes is dropped.
            None => Ok(Step::Wait),
            Some(Stream::Control(_)) => Ok(Step::Control(bytes)),
            Some(Stream::Subgroup(subgroup)) => subgroup.feed(bytes, fin),
            Some(Stream::Fetch(fetch)) => Ok(fetch.feed(bytes, fin)),
            Some(Stream::New(head)) => {
                head.extend_from_slice(&bytes);
                let Some(kind) = data::classify(draft, head)? else {
                    return Ok(Step::Wait);
                };
                let head = core::mem::take(head).freeze();
                self.begin(draft, id, kind, head, fin)
            }
        }
    }

    /// What stream `id` is about, if it is one of objects.
    pub(super) fn header(&self, id: u32) -> Option<SubgroupHeader> {
        match self.streams.get(&id)? {
            Stream::Subgroup(subgroup) => subgroup.header(),
            Stream::New(_) | Stream::Control(_) | Stream::Fetch(_) => None,
        }
    }

    /// Whether the streams hold as much as they may.
    pub(super) fn is_full(&self) -> bool {
        let held = |stream: &Stream| match stream {
            Stream::Subgroup(subgroup) => subgroup.decoder.buffered_bytes(),
            Stream::New(_) | Stream::Control(_) | Stream::Fetch(_) => 0,
        };
        let sum: usize = self.streams.iter().map(|(_, stream)| held(stream)).sum();
        sum > HELD_BYTES_MAX
    }

    fn begin(
        &mut self,
        draft: Draft,
        id: u32,
        kind: StreamKind,
        head: Bytes,
        fin: bool,
    ) -> Result<Step, DecodeError> {
        match kind {
            StreamKind::Control => Ok(Step::Control(head)),
            StreamKind::Fetch => {
                let mut fetch = Box::new(FetchStream {
                    decoder: FetchDecoder::new(draft, GroupOrder::Ascending, LIMITS),
                    fin: false,
                });
                let step = fetch.feed(head, fin);
                self.streams.insert(id, Stream::Fetch(fetch));
                Ok(step)
            }
            StreamKind::Padding => Ok(Step::Stop),
            StreamKind::Subgroup => {
                let mut subgroup = Box::new(Subgroup {
                    decoder: SubgroupDecoder::new(draft, LIMITS),
                    header: None,
                    early_bytes: 0,
                    fin: false,
                });
                let step = subgroup.feed(head, fin);
                self.streams.insert(id, Stream::Subgroup(subgroup));
                step
            }
        }
    }
}

impl Subgroup {
    fn feed(&mut self, bytes: Bytes, fin: bool) -> Result<Step, DecodeError> {
        self.early_bytes += bytes.len();
        self.fin |= fin;
        self.decoder.push(bytes);
        if self.header.is_none()
            && let Some(SubgroupItem::Header(header)) = self.decoder.poll()?
        {
            self.header = Some(header);
        }
        Ok(Step::Objects)
    }

    /// What the stream is about, once its header is complete.
    pub(super) fn header(&self) -> Option<SubgroupHeader> {
        self.header
    }

    /// The next object; asked only once the track is known.
    pub(super) fn object(&mut self) -> Result<Option<data::Object>, DecodeError> {
        self.early_bytes = 0;
        loop {
            match self.decoder.poll()? {
                Some(SubgroupItem::Object(object)) => return Ok(Some(object)),
                Some(SubgroupItem::Header(_)) => {}
                None => break,
            }
        }
        if self.fin {
            self.decoder.finish()?;
        }
        Ok(None)
    }

    /// Whether its end arrived.
    pub(super) fn is_finished(&self) -> bool {
        self.fin
    }

    /// Whether it holds much of an object that has not arrived whole.
    pub(super) fn is_large(&self) -> bool {
        self.decoder.buffered_bytes() > LARGE_BYTES
    }

    /// Whether it holds more than an unknown track may.
    pub(super) fn is_too_early(&self) -> bool {
        self.early_bytes > EARLY_BYTES_MAX
    }
}

impl FetchStream {
    fn feed(&mut self, bytes: Bytes, fin: bool) -> Step {
        self.fin |= fin;
        self.decoder.push(bytes);
        Step::Past
    }

    /// The FETCH that it answers, once that is known.
    pub(super) fn header(&self) -> Option<FetchHeader> {
        self.decoder.header()
    }

    /// The next item.
    pub(super) fn item(&mut self) -> Result<Option<FetchItem>, DecodeError> {
        let item = self.decoder.poll()?;
        if item.is_none() && self.fin {
            self.decoder.finish()?;
        }
        Ok(item)
    }

    /// Whether its end arrived.
    pub(super) fn is_finished(&self) -> bool {
        self.fin
    }
}
