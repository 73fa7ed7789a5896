//! Each way to break draft-18 ends the session that does it, with the draft's code, and no other.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bytes::BytesMut;
use common::{
    Running, open_relay,
    peer::{Peer, Via, connect},
    soon, track,
};
use moqrelay_moqt::{Parameters, SessionCode, VarInt, VarIntFlavour};
use moqrelay_relay::track::{self, Info, Writer};
use web_transport_quinn as wt;

/// A violation: its name, the draft's code, and what does it.
type Case = (&'static str, SessionCode, Attack);

/// What is sent in a session that has said SETUP.
enum Attack {
    /// After SETUP on the control stream.
    Control(Vec<u8>),
    /// Instead of SETUP.
    Setup(Via, Vec<u8>),
    /// On bidirectional streams, one after the other.
    Requests(Vec<Vec<u8>>),
    /// On a bidirectional stream that then ends.
    Finished(Vec<u8>),
    /// On a unidirectional stream.
    Uni(Vec<u8>),
    /// On a unidirectional stream that then ends.
    FinishedUni(Vec<u8>),
    /// In a datagram.
    Datagram(Vec<u8>),
    /// The control stream ends.
    FinishControl,
    /// The control stream is reset.
    ResetControl,
}

use Attack::{
    Control, Datagram, FinishControl, Finished, FinishedUni, Requests, ResetControl, Setup, Uni,
};
use SessionCode::{
    AuthTokenCacheOverflow, DuplicateAuthTokenAlias, DuplicateTrackAlias, InvalidAuthority,
    InvalidPath, InvalidRequestId, KeyValueFormattingError, MalformedAuthority, MalformedPath,
    ProtocolViolation as Violation,
};

#[tokio::test]
async fn what_must_not_be_on_a_control_stream_ends_the_session() {
    ends_only_its_session(vec![
        (
            "GOAWAY twice",
            Violation,
            Control([goaway(b"", 1), goaway(b"", 1)].concat()),
        ),
        (
            "a client's GOAWAY with a URI",
            Violation,
            Control(goaway(b"x", 1)),
        ),
        (
            "GOAWAY about its sender's own requests",
            InvalidRequestId,
            Control(goaway(b"", 0)),
        ),
        (
            "GOAWAY with a URI of 8,193 bytes",
            Violation,
            Control(goaway(&[b'x'; 8193], 1)),
        ),
        ("SETUP twice", Violation, Control(message(SETUP, &[]))),
        (
            "a request on the control stream",
            Violation,
            Control(subscribe(0, &[0])),
        ),
        (
            "an unknown message",
            Violation,
            Control(message(0x3f, &[0])),
        ),
        (
            "a message of draft 16",
            Violation,
            Control(message(0x15, &[0])),
        ),
        (
            "a message longer than its fields",
            Violation,
            Control(message(GOAWAY, &[0, 0, 1, 9])),
        ),
        (
            "a message shorter than its fields",
            Violation,
            Control(message(GOAWAY, &[9, 0])),
        ),
        ("the end of the control stream", Violation, FinishControl),
        ("a reset of the control stream", Violation, ResetControl),
        (
            "a second control stream",
            Violation,
            Uni(message(SETUP, &[])),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_bad_setup_ends_the_session() {
    use Via::{Quic, WebTransport};
    ends_only_its_session(vec![
        (
            "PATH over WebTransport",
            InvalidPath,
            setup(WebTransport, &[1, 1, b'/']),
        ),
        (
            "AUTHORITY over WebTransport",
            InvalidAuthority,
            setup(WebTransport, &[5, 1, b'a']),
        ),
        (
            "a PATH that is none",
            MalformedPath,
            setup(Quic, &[1, 2, b'/', b' ']),
        ),
        (
            "an AUTHORITY that is none",
            MalformedAuthority,
            setup(Quic, &[5, 1, b'/']),
        ),
        (
            "a token by its alias",
            Violation,
            setup(Quic, &[3, 2, 2, 9]),
        ),
        (
            "the end of a token's alias",
            Violation,
            setup(Quic, &[3, 2, 0, 9]),
        ),
        (
            "a token cut short",
            KeyValueFormattingError,
            setup(Quic, &[3, 1, 3]),
        ),
        ("an option cut short", Violation, setup(Quic, &[1, 9, b'/'])),
        (
            "an option beyond 64 bits",
            Violation,
            setup(Quic, &[&MOST[..], &[0, 1, 0]].concat()),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_bad_request_ends_the_session() {
    let again = vec![subscribe(0, &[0]), subscribe(0, &[0])];
    let two_tracks = vec![publish(0, 7, b"t", &[]), publish(2, 7, b"u", &[])];
    let named = |namespace: &[u8], name: &[u8]| {
        let name = [&varint(name.len() as u64), name].concat();
        Requests(vec![message(
            SUBSCRIBE,
            &[&[0], namespace, &name[..], &[0]].concat(),
        )])
    };
    let deep = [&[33][..], &[1, b'a'].repeat(33)].concat();
    let prefix = |kind| Requests(vec![message(kind, &[&[0], &deep[..], &[0]].concat())]);
    ends_only_its_session(vec![
        (
            "a stream that begins with an answer",
            Violation,
            Requests(vec![message(0x7, &[0])]),
        ),
        (
            "a stream that begins with an unknown message",
            Violation,
            Requests(vec![message(0x3f, &[0])]),
        ),
        ("a request id twice", InvalidRequestId, Requests(again)),
        (
            "a request id of the other side",
            InvalidRequestId,
            Requests(vec![subscribe(1, &[0])]),
        ),
        (
            "a stream that ends within a message",
            Violation,
            Finished(subscribe(0, &[0])[..5].to_vec()),
        ),
        (
            "an answer from who asked",
            Violation,
            Requests(vec![[subscribe(0, &[0]), message(0x4, &[1, 0])].concat()]),
        ),
        (
            "a second request on a stream",
            Violation,
            Requests(vec![[subscribe(0, &[0]), subscribe(2, &[0])].concat()]),
        ),
        (
            "an update of a TRACK_STATUS",
            Violation,
            Requests(vec![[track_status(0), message(0x2, &[2, 0])].concat()]),
        ),
        (
            "NAMESPACE from who asked",
            Violation,
            Requests(vec![[namespaces(0), message(0x8, &[0])].concat()]),
        ),
        (
            "PUBLISH_DONE of a subscriber",
            Violation,
            Requests(vec![
                [subscribe(0, &[0]), message(0xb, &[2, 0, 0])].concat(),
            ]),
        ),
        (
            "an alias for two tracks",
            DuplicateTrackAlias,
            Requests(two_tracks),
        ),
        ("a namespace of 33 fields", Violation, named(&deep, b"t")),
        ("an empty field", Violation, named(&[1, 0], b"t")),
        (
            "a name of 4,097 bytes",
            Violation,
            named(&[1, 1, b'a'], &[b'x'; 4096]),
        ),
        ("a namespace prefix of 33 fields", Violation, prefix(0x50)),
        ("a track prefix of 33 fields", Violation, prefix(0x51)),
        (
            "an unknown type of FETCH",
            Violation,
            Requests(vec![message(0x16, &[0, 4, 0, 0, 0])]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_bad_parameter_ends_the_session() {
    let with = |params: &[u8]| Requests(vec![subscribe(0, params)]);
    let range = [&[1, 0x21, 12, 4, 1, 0][..], &MOST].concat();
    ends_only_its_session(vec![
        ("an unknown parameter", Violation, with(&[1, 0x3d, 0])),
        ("a parameter twice", Violation, with(&[2, 0x10, 1, 0, 1])),
        (
            "a parameter in the wrong message",
            Violation,
            with(&[1, 0x8, 1]),
        ),
        ("FORWARD of 2", Violation, with(&[1, 0x10, 2])),
        ("GROUP_ORDER of 3", Violation, with(&[1, 0x22, 3])),
        ("an unknown filter", Violation, with(&[1, 0x21, 1, 9])),
        (
            "a filter whose range goes beyond 64 bits",
            Violation,
            with(&range),
        ),
        (
            "a parameter beyond 64 bits",
            Violation,
            with(&[&[2, 0x10, 1][..], &MOST, &[0]].concat()),
        ),
        ("a parameter cut short", Violation, with(&[1, 0x21, 9, 1])),
        (
            "a prefix in SUBSCRIBE",
            Violation,
            with(&[1, 0x34, 1, 1, b'a']),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_bad_token_ends_the_session() {
    let with = |tokens: &[&[u8]]| {
        let mut params = vec![u8::try_from(tokens.len()).unwrap()];
        for (index, token) in tokens.iter().enumerate() {
            params.push(if index == 0 { 3 } else { 0 });
            params.extend(varint(token.len() as u64));
            params.extend_from_slice(token);
        }
        Requests(vec![subscribe(0, &params)])
    };
    let large = |id: u8, alias: u8| {
        let token = [&[1, alias, 0][..], &[b'x'; 9000]].concat();
        let params = [&[1, 3], &varint(token.len() as u64)[..], &token].concat();
        subscribe(id, &params)
    };
    ends_only_its_session(vec![
        (
            "an alias registered twice",
            DuplicateAuthTokenAlias,
            with(&[&[1, 1, 0, b'a'], &[1, 1, 0, b'b']]),
        ),
        (
            "more tokens than the cache holds",
            AuthTokenCacheOverflow,
            Requests(vec![large(0, 1), large(2, 2)]),
        ),
        (
            "a token of an unknown kind",
            KeyValueFormattingError,
            with(&[&[9, 1]]),
        ),
        ("a token cut short", KeyValueFormattingError, with(&[&[1]])),
    ])
    .await;
}

#[tokio::test]
async fn bad_track_properties_end_the_session() {
    let with = |properties: &[u8]| Requests(vec![publish(0, 7, b"t", properties)]);
    ends_only_its_session(vec![
        ("DYNAMIC_GROUPS of 2", Violation, with(&[0x30, 2])),
        (
            "DEFAULT_PUBLISHER_GROUP_ORDER of 3",
            Violation,
            with(&[0x22, 3]),
        ),
        (
            "DEFAULT_PUBLISHER_PRIORITY of 256",
            Violation,
            with(&[0x0e, 0x81, 0x00]),
        ),
        ("a property cut short", Violation, with(&[0x3d, 9, 1])),
    ])
    .await;
}

#[tokio::test]
async fn a_bad_stream_of_objects_ends_the_session() {
    let objects = |objects: &[u8]| [&[0x15, 7, 1, 0, 128][..], objects].concat();
    ends_only_its_session(vec![
        ("an unknown stream", Violation, Uni(vec![0x7f, 1, 2])),
        (
            "a reserved way to name a subgroup",
            Violation,
            Uni(vec![0x16, 7, 1, 0]),
        ),
        (
            "an object id beyond 64 bits",
            Violation,
            Uni(objects(
                &[&[0, 0, 1, b'x'][..], &MOST, &[0, 1, b'x']].concat(),
            )),
        ),
        ("an unknown status", Violation, Uni(objects(&[0, 0, 0, 1]))),
        (
            "properties of an end",
            Violation,
            Uni(objects(&[0, 2, 0x3a, 1, 0, 3])),
        ),
        (
            "a stream that ends within an object",
            Violation,
            FinishedUni(objects(&[0, 0, 5, b'x'])),
        ),
        (
            "a stream that ends within its header",
            Violation,
            FinishedUni(vec![0x15, 7]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_bad_datagram_ends_the_session() {
    ends_only_its_session(vec![
        (
            "an unknown datagram",
            Violation,
            Datagram(vec![0x10, 7, 1, 0]),
        ),
        (
            "a status that ends a group",
            Violation,
            Datagram(vec![0x22, 7, 1, 0, 128, 3]),
        ),
        (
            "properties of no length",
            Violation,
            Datagram(vec![0x01, 7, 1, 0, 128, 0, b'x']),
        ),
        (
            "properties of an end",
            Violation,
            Datagram(vec![0x21, 7, 1, 0, 128, 2, 0x3a, 1, 3]),
        ),
        (
            "an unknown status",
            Violation,
            Datagram(vec![0x20, 7, 1, 0, 128, 1]),
        ),
        ("a datagram cut short", Violation, Datagram(vec![0x00, 7])),
    ])
    .await;
}

/// Runs each case in a session of its own; another session hears on.
async fn ends_only_its_session(cases: Vec<Case>) {
    let relay = open_relay();
    let (mut writer, mut witness) = witness(&relay).await;
    for (index, (name, code, attack)) in cases.into_iter().enumerate() {
        let ended = end_of(&relay, attack).await;

        assert_eq!(ended, Some(code), "{name}");
        let group = index as u64;
        let object = track::Object {
            group,
            payload: "still here".into(),
            ..track::Object::default()
        };
        writer.write(object).unwrap();
        assert_eq!(witness.object().await.0, group, "{name}");
    }
    assert_eq!(relay.relay.stats().sessions, 1);
}

/// Attacks, and returns the code with which the relay ends the session.
async fn end_of(relay: &Running, attack: Attack) -> Option<SessionCode> {
    let via = match &attack {
        Setup(via, _) => *via,
        _ => Via::Quic,
    };
    let session = soon(connect(relay.addr(), via)).await;
    let mut control = session.open_uni().await.unwrap();
    let first = match &attack {
        Setup(_, options) => message(SETUP, options),
        _ => message(SETUP, &[]),
    };
    control.write_all(&first).await.unwrap();
    // What is not over when the attack is made is kept until the relay has answered.
    let mut bidirectional = Vec::new();
    let mut unidirectional = Vec::new();
    match attack {
        Setup(..) => {}
        Control(bytes) => control.write_all(&bytes).await.unwrap(),
        FinishControl => control.finish().unwrap(),
        ResetControl => {
            // Not before the relay knows that it is the control stream.
            until_set_up(&session).await;
            control.reset(1).unwrap();
        }
        Requests(requests) => {
            for request in requests {
                bidirectional.push(send(&session, &request).await);
            }
        }
        Finished(request) => {
            let (mut send, recv) = send(&session, &request).await;
            send.finish().unwrap();
            bidirectional.push((send, recv));
        }
        Uni(bytes) | FinishedUni(bytes) if bytes[0] == 0xaf => {
            unidirectional.push(send_uni(&session, &bytes).await);
        }
        Uni(bytes) => {
            bidirectional.push(send(&session, &publish(0, 7, b"t", &[])).await);
            unidirectional.push(send_uni(&session, &bytes).await);
        }
        FinishedUni(bytes) => {
            bidirectional.push(send(&session, &publish(0, 7, b"t", &[])).await);
            let mut stream = send_uni(&session, &bytes).await;
            stream.finish().unwrap();
            unidirectional.push(stream);
        }
        Datagram(bytes) => session.send_datagram(bytes.into()).unwrap(),
    }
    match soon(session.closed()).await {
        wt::SessionError::WebTransportError(wt::WebTransportError::Closed(code, _)) => {
            Some(SessionCode::from_code(common::peer::D18, code.into()))
        }
        _ => None,
    }
}

/// Waits for the relay's SETUP, which it sends whatever we do, and until it has read ours: it
/// answers a request.
async fn until_set_up(session: &wt::Session) {
    let (_send, mut recv) = send(session, &subscribe(0, &[0])).await;
    soon(recv.read_chunk(1, true)).await.unwrap();
}

async fn send(session: &wt::Session, bytes: &[u8]) -> (wt::SendStream, wt::RecvStream) {
    let (mut send, recv) = session.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    (send, recv)
}

async fn send_uni(session: &wt::Session, bytes: &[u8]) -> wt::SendStream {
    let mut stream = session.open_uni().await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

async fn witness(relay: &Running) -> (Writer, Peer) {
    let name = track("witness", "voice");
    let writer = relay.relay.publish(&name, Info::default()).unwrap();
    let mut witness = Peer::connect(relay.addr(), Via::WebTransport).await;
    witness.subscribed(&name, Parameters::default()).await;
    (writer, witness)
}

const SETUP: u64 = 0x2f00;
const GOAWAY: u64 = 0x10;
const SUBSCRIBE: u64 = 0x3;

/// 2^64 - 1.
const MOST: [u8; 9] = [0xff; 9];

fn message(kind: u64, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&varint(kind), &length[..], payload].concat()
}

fn varint(value: u64) -> Vec<u8> {
    let mut out = BytesMut::new();
    VarInt::encode(VarIntFlavour::LeadingOnes, value, &mut out);
    out.to_vec()
}

fn setup(via: Via, options: &[u8]) -> Attack {
    Setup(via, options.to_vec())
}

fn goaway(uri: &[u8], request: u8) -> Vec<u8> {
    message(
        GOAWAY,
        &[&varint(uri.len() as u64), uri, &[0, request]].concat(),
    )
}

fn subscribe(id: u8, params: &[u8]) -> Vec<u8> {
    message(SUBSCRIBE, &[&[id, 1, 1, b'a', 1, b't'], params].concat())
}

fn track_status(id: u8) -> Vec<u8> {
    message(0xd, &[id, 1, 1, b'a', 1, b't', 0])
}

fn namespaces(id: u8) -> Vec<u8> {
    message(0x50, &[id, 1, 1, b'a', 0])
}

fn publish(id: u8, alias: u8, name: &[u8; 1], properties: &[u8]) -> Vec<u8> {
    let head = [id, 1, 1, b'p', 1, name[0], alias, 0];
    message(0x1d, &[&head[..], properties].concat())
}
