//! The tracks of a session: ours that go out, others' that come in.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use moqrelay_moqt::data::{
    FetchCheck, Object, ObjectDatagram, SubgroupEncoder, SubgroupHeader, SubgroupId,
};
use moqrelay_moqt::{
    AuthToken, Draft, EncodeError, FullTrackName, Location, RequestId, Token, TrackAlias,
    TrackProperties,
};
use moqrelay_wire::audio_object::{self, GROUP_OBJECTS};
use moqrelay_wire::video_object;

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
    /// Pictures, a group for each that needs none before it; with their publisher priority.
    Pictures(u8),
    /// Anything else: the catalog.
    Other,
}

/// What is expected of a track that comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Opus packets.
    Voice,
    /// Pictures from the next group on, which is asked for at once.
    Pictures(Urgency),
    /// Objects of any kind, from the newest on: the publisher is asked to say it again.
    Objects,
}

/// How a subscriber wants pictures to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Urgency {
    /// Subscriber priority: lower goes first.
    pub priority: u8,
    /// Older pictures need not be sent any more.
    pub timeout: Duration,
}

impl Content {
    pub(super) fn properties(self) -> Bytes {
        match self {
            Self::Voice => audio_object::track_properties(),
            Self::Pictures(priority) => video_object::track_properties(priority),
            Self::Other => TrackProperties {
                dynamic_groups: true,
                ..TrackProperties::default()
            }
            .write(Draft::D18),
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
    pub(super) wish: Wish,
    /// The newest group of pictures of which something came.
    pub(super) newest: Option<u64>,
}

/// Objects of the past of a track that comes in, on their way.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) request: RequestId,
    pub(super) named: Named,
    /// That of the track.
    pub(super) timescale: Option<u64>,
    pub(super) check: FetchCheck,
    /// The relay accepted the request.
    pub(super) accepted: bool,
    /// The stream that answers it, and once that has ended nothing.
    pub(super) stream: PastStream,
}

/// What became of the stream that answers a FETCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PastStream {
    Awaited,
    Open(u32),
    Ended,
}

/// A track that goes out. Its owner numbers the objects, for they may go out on two sessions.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) request: RequestId,
    pub(super) named: Named,
    pub(super) via: Via,
    /// Whether the relay wants objects now.
    pub(super) forward: bool,
    alias: TrackAlias,
    stream: Option<Group>,
    /// The group whose stream broke: nothing more of it is sent.
    broken: Option<u64>,
    /// Data streams opened, for PUBLISH_DONE.
    pub(super) streams: u64,
}

/// The group that is being sent on a stream.
#[derive(Debug)]
struct Group {
    group: u64,
    stream: u32,
    encoder: SubgroupEncoder,
}

/// What to do to send an object.
#[derive(Debug)]
pub(super) enum Step {
    Datagram(Bytes),
    Open(u32),
    /// For pictures.
    OpenBulk(u32),
    Write(u32, Bytes),
    Finish(u32),
    Reset(u32),
}

impl Outgoing {
    pub(super) fn new(request: RequestId, alias: TrackAlias, named: Named, via: Via) -> Self {
        Self {
            request,
            named,
            via,
            forward: true,
            alias,
            stream: None,
            broken: None,
            streams: 0,
        }
    }

    /// Sends an object of a second's group. `free` is an unused stream id.
    pub(super) fn voice(
        &mut self,
        draft: Draft,
        place: Location,
        properties: Bytes,
        payload: Bytes,
        free: u32,
    ) -> Result<Vec<Step>, EncodeError> {
        match self.via {
            Via::Datagram => {
                let datagram = self.datagram(place, properties, payload);
                Ok(vec![Step::Datagram(datagram.encode(draft)?)])
            }
            Via::Stream => {
                let mut steps =
                    self.on_stream(draft, place, properties, payload, Step::Open(free))?;
                if is_last(place) {
                    steps.extend(self.end_stream());
                }
                Ok(steps)
            }
        }
    }

    /// Sends a group of one object on a stream of its own.
    pub(super) fn single(
        &mut self,
        draft: Draft,
        group: u64,
        payload: Bytes,
        stream: u32,
    ) -> Result<Vec<Step>, EncodeError> {
        let place = Location::new(group, 0);
        let mut steps = self.on_stream(draft, place, Bytes::new(), payload, Step::Open(stream))?;
        steps.extend(self.end_stream());
        Ok(steps)
    }

    /// Sends a picture on its group's stream; `None`: the group is given up.
    pub(super) fn picture(
        &mut self,
        draft: Draft,
        place: Location,
        properties: Bytes,
        payload: Bytes,
        free: u32,
    ) -> Result<Option<Vec<Step>>, EncodeError> {
        if self.broken.is_some_and(|broken| place.group <= broken) {
            return Ok(None);
        }
        let open = Step::OpenBulk(free);
        self.on_stream(draft, place, properties, payload, open)
            .map(Some)
    }

    /// Gives up the group that is being sent: what is on its way is worth less than what is new.
    pub(super) fn give_up(&mut self) -> Option<Step> {
        let group = self.stream.take()?;
        self.broken = Some(group.group);
        Some(Step::Reset(group.stream))
    }

    /// The relay wants no more of a stream; returns the group if it is the one that is being sent.
    pub(super) fn stopped(&mut self, stream: u32) -> Option<u64> {
        let group = self.stream.take_if(|group| group.stream == stream)?;
        self.broken = Some(group.group);
        Some(group.group)
    }

    /// Ends the stream of the group that is being sent.
    pub(super) fn end_stream(&mut self) -> Option<Step> {
        self.stream.take().map(|group| Step::Finish(group.stream))
    }

    fn datagram(&self, place: Location, properties: Bytes, payload: Bytes) -> ObjectDatagram {
        ObjectDatagram {
            alias: self.alias,
            group: place.group,
            id: place.object,
            priority: None,
            end_of_group: is_last(place),
            status: Default::default(),
            properties,
            payload,
        }
    }

    fn on_stream(
        &mut self,
        draft: Draft,
        place: Location,
        properties: Bytes,
        payload: Bytes,
        open: Step,
    ) -> Result<Vec<Step>, EncodeError> {
        let mut steps = Vec::new();
        let mut out = BytesMut::new();
        if self
            .stream
            .as_ref()
            .is_some_and(|now| now.group != place.group)
        {
            steps.extend(self.end_stream());
        }
        if self.stream.is_none()
            && let Step::Open(free) | Step::OpenBulk(free) = open
        {
            let header = SubgroupHeader {
                alias: self.alias,
                group: place.group,
                subgroup: SubgroupId::Zero,
                priority: None,
                properties: !properties.is_empty(),
                end_of_group: true,
                first_object: place.object == 0,
            };
            let encoder = SubgroupEncoder::new(draft, header);
            encoder.header(&mut out);
            self.stream = Some(Group {
                group: place.group,
                stream: free,
                encoder,
            });
            self.streams += 1;
            steps.push(open);
        }
        let Some(Group {
            stream, encoder, ..
        }) = &mut self.stream
        else {
            return Ok(steps);
        };
        let object = Object {
            id: place.object,
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

/// Whether a place is the last one of a second's group.
fn is_last(place: Location) -> bool {
    place.object + 1 == GROUP_OBJECTS
}
