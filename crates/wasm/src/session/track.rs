//! The tracks of a session: ours that go out, others' that come in.

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::data::{Object, ObjectDatagram, SubgroupEncoder, SubgroupHeader, SubgroupId};
use moqrelay_moqt::{AuthToken, Draft, EncodeError, FullTrackName, RequestId, Token, TrackAlias};
use moqrelay_wire::audio_object::{self, GROUP_OBJECTS};

use super::timeline::Timeline;

/// A track's name and the token that opens it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: FullTrackName,
    pub(super) token: Bytes,
}

impl Named {
    /// The token as a parameter; none when it is empty.
    pub(super) fn authorization(&self) -> Vec<Token> {
        tokens(&self.token)
    }
}

/// A token of type 0, agreed out of band (draft-18 section 10.2.2); none when it is empty.
pub(super) fn tokens(token: &Bytes) -> Vec<Token> {
    if token.is_empty() {
        return Vec::new();
    }
    vec![Token::UseValue(AuthToken {
        token_type: 0,
        value: token.clone(),
    })]
}

/// How objects go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Each in a datagram.
    Datagram,
    /// A subgroup for each group, on a stream.
    Stream,
}

/// What a track of ours holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Opus packets with timestamps (`docs/protocol.md`, section 3).
    Voice,
    /// Anything else: the catalog.
    Other,
}

impl Content {
    pub(super) fn properties(self) -> Bytes {
        match self {
            Self::Voice => audio_object::track_properties(),
            Self::Other => Bytes::new(),
        }
    }
}

/// A track that comes in.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) request: RequestId,
    pub(super) named: Named,
    pub(super) alias: Option<TrackAlias>,
    /// Units of a second of its timestamps, as a property of the track.
    pub(super) timescale: Option<u64>,
    pub(super) line: Timeline,
}

/// A track that goes out.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) request: RequestId,
    pub(super) named: Named,
    pub(super) via: Via,
    /// Whether the relay wants objects now.
    pub(super) forward: bool,
    alias: TrackAlias,
    group: u64,
    object: u64,
    stream: Option<(u32, SubgroupEncoder)>,
    /// Data streams opened, for PUBLISH_DONE.
    pub(super) streams: u64,
}

/// What to do to send an object.
#[derive(Debug)]
pub(super) enum Step {
    Datagram(Bytes),
    Open(u32),
    Write(u32, Bytes),
    Finish(u32),
}

impl Outgoing {
    pub(super) fn new(
        request: RequestId,
        alias: TrackAlias,
        named: Named,
        via: Via,
        group: u64,
    ) -> Self {
        Self {
            request,
            named,
            via,
            forward: true,
            alias,
            group,
            object: 0,
            stream: None,
            streams: 0,
        }
    }

    /// The group of the next object.
    pub(super) fn group(&self) -> u64 {
        self.group
    }

    /// Sends the next object of a second's group. `free` is an unused stream id.
    pub(super) fn voice(
        &mut self,
        draft: Draft,
        properties: Bytes,
        payload: Bytes,
        free: u32,
    ) -> Result<Vec<Step>, EncodeError> {
        let steps = match self.via {
            Via::Datagram => vec![Step::Datagram(
                self.datagram(properties, payload).encode(draft)?,
            )],
            Via::Stream => self.on_stream(draft, properties, payload, free)?,
        };
        self.object += 1;
        if self.object < GROUP_OBJECTS {
            return Ok(steps);
        }
        self.group += 1;
        self.object = 0;
        Ok(steps.into_iter().chain(self.end_stream()).collect())
    }

    /// Sends a group of one object on a stream of its own.
    pub(super) fn single(
        &mut self,
        draft: Draft,
        payload: Bytes,
        stream: u32,
    ) -> Result<Vec<Step>, EncodeError> {
        let mut steps = self.on_stream(draft, Bytes::new(), payload, stream)?;
        self.group += 1;
        steps.extend(self.end_stream());
        Ok(steps)
    }

    /// Ends the stream of the group that is being sent.
    pub(super) fn end_stream(&mut self) -> Option<Step> {
        self.stream.take().map(|(id, _)| Step::Finish(id))
    }

    fn datagram(&self, properties: Bytes, payload: Bytes) -> ObjectDatagram {
        ObjectDatagram {
            alias: self.alias,
            group: self.group,
            id: self.object,
            priority: None,
            end_of_group: self.object + 1 == GROUP_OBJECTS,
            status: Default::default(),
            properties,
            payload,
        }
    }

    fn on_stream(
        &mut self,
        draft: Draft,
        properties: Bytes,
        payload: Bytes,
        free: u32,
    ) -> Result<Vec<Step>, EncodeError> {
        let mut steps = Vec::new();
        let mut out = BytesMut::new();
        if self.stream.is_none() {
            let header = SubgroupHeader {
                alias: self.alias,
                group: self.group,
                subgroup: SubgroupId::Zero,
                priority: None,
                properties: !properties.is_empty(),
                end_of_group: true,
                first_object: self.object == 0,
            };
            let encoder = SubgroupEncoder::new(draft, header);
            encoder.header(&mut out);
            self.stream = Some((free, encoder));
            self.streams += 1;
            steps.push(Step::Open(free));
        }
        let Some((stream, encoder)) = &mut self.stream else {
            return Ok(steps);
        };
        let object = Object {
            id: self.object,
            status: Default::default(),
            properties,
            payload,
        };
        encoder.object(&object, &mut out)?;
        out.extend_from_slice(&object.payload);
        steps.push(Step::Write(*stream, out.freeze()));
        Ok(steps)
    }
}
