//! Legs by WebSocket with what stands in for Asterisk's `chan_websocket`: flow control, keys, the answer, and calls
//! that announce themselves.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{Scene, objects, pass, place, within};
use futures_util::{SinkExt as _, StreamExt as _};
use moqrelay_bridge::{
    Credentials, Event, Knock, LegId, Site, Way,
    ari::Secret,
    leg::{OutRate, Reason, Spec},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        handshake::server::{Request, Response},
        http::header,
    },
};
use uuid::Uuid;

/// Both ways of writing control messages: what Asterisk says, and what it is told.
const FORMS: [Form; 2] = [
    Form {
        start: "MEDIA_START connection_id:x channel_id:1.2 format:slin16 optimal_frame_size:640 ptime:20",
        xoff: "MEDIA_XOFF channel_id:1.2",
        xon: "MEDIA_XON channel_id:1.2",
        digit: "DTMF_END channel_id:1.2 digit:#",
        status: "STATUS channel_id:1.2 queue_length:{} xon_level:800 xoff_level:900 queue_full:false",
        answer: "ANSWER",
        flush: "FLUSH_MEDIA",
        ask: "GET_STATUS",
        hang_up: "HANGUP",
    },
    Form {
        start: r#"{"event":"MEDIA_START","channel_id":"1.2","format":"slin16","optimal_frame_size":640,"ptime":20}"#,
        xoff: r#"{"event":"MEDIA_XOFF","channel_id":"1.2"}"#,
        xon: r#"{"event":"MEDIA_XON","channel_id":"1.2"}"#,
        digit: r##"{"event":"DTMF_END","channel_id":"1.2","digit":"#"}"##,
        status: r#"{"event":"STATUS","channel_id":"1.2","queue_length":{},"queue_full":false}"#,
        answer: r#"{"command":"ANSWER"}"#,
        flush: r#"{"command":"FLUSH_MEDIA"}"#,
        ask: r#"{"command":"GET_STATUS"}"#,
        hang_up: r#"{"command":"HANGUP"}"#,
    },
];

#[tokio::test(start_paused = true)]
async fn xoff_holds_the_sound_and_xon_lets_the_newest_go() {
    for form in &FORMS {
        let mut scene = Scene::new();
        let mut line = called(&mut scene, form).await;
        line.sound(5).await;

        line.say(form.xoff).await;
        line.silence().await;
        pass(Duration::from_millis(500)).await;
        line.say(form.xon).await;

        line.sound(50).await;
        let stats = hung_up(&mut scene, &mut line, form).await;
        assert!(stats.frames_unsent >= 30, "{stats:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_asterisk_that_never_says_xon_is_given_up() {
    let mut scene = Scene::new();
    let mut line = called(&mut scene, &FORMS[1]).await;

    line.say(FORMS[1].xoff).await;

    let (_, reason, _) = scene.detached().await;
    assert_eq!(reason, Reason::Stalled);
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_asterisk_is_left_out_or_thrown_away() {
    for form in &FORMS {
        let mut scene = Scene::new();
        let mut line = called(&mut scene, form).await;

        for _ in 0..2 {
            line.hear(form.ask).await;
            line.say(&form.status.replace("{}", "5")).await;
        }
        line.hear(form.ask).await;
        line.say(&form.status.replace("{}", "60")).await;

        line.hear(form.flush).await;
        let stats = hung_up(&mut scene, &mut line, form).await;
        assert_eq!(stats.frames_unsent, 3, "what is beyond two frames");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_come_and_the_answer_goes_once() {
    for form in &FORMS {
        let mut scene = Scene::new();
        let mut line = called(&mut scene, form).await;

        line.say(form.digit).await;
        scene.bridge.answer(LegId(1)).unwrap();
        scene.bridge.answer(LegId(1)).unwrap();

        let (leg, digit) = (LegId(1), '#');
        assert_eq!(scene.event().await, Event::Digit { leg, digit });
        line.hear(form.answer).await;
        // The next word is the question of the fifth second.
        assert_eq!(line.word().await, form.ask);
        hung_up(&mut scene, &mut line, form).await;
    }
}

// By the real clock: a paused one leaps over the opening, where nothing ticks.
#[tokio::test]
async fn sound_before_the_beginning_is_passed_over_and_later_is_published() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);
    let id = scene.expect(1, OutRate::Follow);
    let mut line = Line::open(&scene, &format!("id={id}")).await.unwrap();

    line.voice().await;
    line.say(FORMS[1].start).await;
    attached(&mut scene).await;
    for _ in 0..10 {
        line.voice().await;
        tokio::time::sleep(common::FRAME).await;
    }

    assert_eq!(objects(&mut reader, 10).await.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_address_says_who_calls_whom_knocks_and_is_let_in() {
    let mut scene = Scene::new();
    let address = "to=7001&from=%2B49301&name=Anna%20B.&x=y";
    let line = tokio::spawn(Line::opening(&scene, address));
    let call = Knock {
        to: "7001".into(),
        from: Some("+49301".into()),
        name: Some("Anna B.".into()),
    };
    let Event::Knocked { id, call: knock } = scene.event().await else {
        panic!("no knock")
    };
    assert_eq!(knock, call);

    let spec = Spec {
        leg: LegId(1),
        place: Some(place(1)),
        rate: OutRate::Follow,
    };
    scene
        .bridge
        .expect(id, spec, Duration::from_secs(30))
        .unwrap();

    let mut line = within(line).await.unwrap().unwrap();
    line.say(FORMS[0].start).await;
    attached(&mut scene).await;
    line.sound(5).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_knocks_in_vain_hears_404() {
    let mut scene = Scene::new();
    let refused = tokio::spawn(Line::opening(&scene, "to=7001"));
    let Event::Knocked { id, .. } = scene.event().await else {
        panic!("no knock")
    };
    scene.bridge.turn_away(id).unwrap();
    assert_eq!(within(refused).await.unwrap().unwrap_err(), 404);

    // Nobody says a word.
    assert_eq!(Line::open(&scene, "to=7001").await.unwrap_err(), 404);
    // What comes too late is for nobody.
    let Event::Knocked { id, .. } = scene.event().await else {
        panic!("no knock")
    };
    scene.bridge.turn_away(id).unwrap();
    assert_eq!(Line::open(&scene, "from=555").await.unwrap_err(), 400);
    let nobody = format!("id={}", Uuid::from_u128(77));
    assert_eq!(Line::open(&scene, &nobody).await.unwrap_err(), 404);
    assert!(scene.no_event());
}

#[tokio::test(start_paused = true)]
async fn who_shows_another_password_does_not_get_in() {
    let mut scene = Scene::with(|config| {
        config.media_credentials = Some(Credentials {
            user: "moqrelay".into(),
            password: Secret::new("right"),
        });
    });
    for authorization in [None, Some("moqrelay:wrong"), Some("moqrelay:right!")] {
        let refused = Line::with_password(&scene, "to=7001", authorization).await;
        assert_eq!(refused.unwrap_err(), 401, "{authorization:?}");
    }
    let id = scene.expect(1, OutRate::Follow);
    let address = format!("id={id}");

    let line = Line::with_password(&scene, &address, Some("moqrelay:right")).await;

    line.unwrap().say(FORMS[0].start).await;
    attached(&mut scene).await;
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_and_a_close_is_the_end() {
    let mut scene = Scene::new();
    let mut line = called(&mut scene, &FORMS[1]).await;

    let ping = Message::Ping("still there?".into());
    line.0.send(ping).await.unwrap();
    while line.next().await != Message::Pong("still there?".into()) {}
    line.0.close(None).await.unwrap();

    let (_, reason, _) = scene.detached().await;
    assert_eq!(reason, Reason::Closed);
    while let Some(Ok(message)) = within(line.0.next()).await {
        assert!(!message.is_text(), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_frame_ends_that_leg() {
    let mut scene = Scene::new();
    let mut line = called(&mut scene, &FORMS[0]).await;

    // Not masked, as a client must do it.
    let frame = [0x82, 1, 0];
    line.0.get_mut().write_all(&frame).await.unwrap();

    let (_, reason, _) = scene.detached().await;
    assert_eq!(reason, Reason::Broken);
}

// By the real clock: a paused one leaps over the opening, where nothing ticks.
#[tokio::test]
async fn we_go_to_asterisk_and_sound_goes_both_ways() {
    let mut scene = Scene::new();
    let mut reader = scene.reader(1);

    let asterisk = reached(&mut scene).await;
    let mut line = Line::taken(&asterisk, "/media/relay").await;
    line.say(FORMS[0].start).await;
    attached(&mut scene).await;
    for _ in 0..10 {
        line.voice().await;
        line.sound(1).await;
    }

    assert_eq!(objects(&mut reader, 10).await.len(), 10);
    hung_up(&mut scene, &mut line, &FORMS[0]).await;
}

#[tokio::test]
async fn an_asterisk_that_refuses_or_answers_amiss_is_no_way() {
    let answers = [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Protocol: media\r\nSec-WebSocket-Accept: of+another+key=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "SIP/2.0 200 OK\r\n\r\n",
    ];
    for answer in answers {
        let mut scene = Scene::new();
        let asterisk = reached(&mut scene).await;

        let (mut stream, _) = within(asterisk.accept()).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();

        let (_, reason, _) = scene.detached().await;
        assert_eq!(reason, Reason::Unreached, "{answer}");
    }
}

/// Lets a leg go to an Asterisk, which listens here.
async fn reached(scene: &mut Scene) -> TcpListener {
    let asterisk = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let id = scene.expect(1, OutRate::Follow);
    let host = asterisk.local_addr().unwrap().to_string();
    let way = Way::WebSocket {
        site: Site { host, tls: None },
        connection: "relay".into(),
    };
    scene.bridge.reach(id, way).unwrap();
    asterisk
}

/// One way of writing.
struct Form {
    start: &'static str,
    xoff: &'static str,
    xon: &'static str,
    digit: &'static str,
    status: &'static str,
    answer: &'static str,
    flush: &'static str,
    ask: &'static str,
    hang_up: &'static str,
}

/// Asterisk's end of a media WebSocket.
#[derive(Debug)]
struct Line(WebSocketStream<TcpStream>);

impl Line {
    /// Asks for `/asterisk/media?…`; the status of a refusal is the error.
    async fn open(scene: &Scene, query: &str) -> Result<Self, u16> {
        Self::opening(scene, query).await
    }

    fn opening(scene: &Scene, query: &str) -> impl Future<Output = Result<Self, u16>> + use<> {
        Self::with_password(scene, query, None)
    }

    fn with_password(
        scene: &Scene,
        query: &str,
        password: Option<&str>,
    ) -> impl Future<Output = Result<Self, u16>> + use<> {
        use base64::Engine as _;
        let addr = scene.bridge.websocket_addr().unwrap();
        let uri = format!("ws://{addr}/asterisk/media?{query}");
        let mut request = uri.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, "media".parse().unwrap());
        if let Some(password) = password {
            let text = base64::engine::general_purpose::STANDARD.encode(password);
            let basic = format!("Basic {text}").parse().unwrap();
            headers.insert(header::AUTHORIZATION, basic);
        }
        async move {
            let stream = TcpStream::connect(addr).await.unwrap();
            match within(client_async(request, stream)).await {
                Ok((line, _)) => Ok(Self(line)),
                Err(Error::Http(response)) => Err(response.status().as_u16()),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Takes a connection of the bridge's.
    async fn taken(asterisk: &TcpListener, path: &str) -> Self {
        let (stream, _) = within(asterisk.accept()).await.unwrap();
        #[expect(clippy::result_large_err, reason = "so the library wants it")]
        let grant = |request: &Request, mut response: Response| {
            assert_eq!(request.uri().path(), path);
            let protocol = "media".parse().unwrap();
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
            Ok(response)
        };
        Self(within(accept_hdr_async(stream, grant)).await.unwrap())
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Says 20 ms of silence.
    async fn voice(&mut self) {
        self.0.send(Message::binary(vec![0; 640])).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        within(self.0.next()).await.unwrap().unwrap()
    }

    /// Hears so many frames; words between are not looked at.
    async fn sound(&mut self, frames: usize) {
        let mut heard = 0;
        while heard < frames {
            match self.next().await {
                Message::Binary(sound) if sound.len() == 640 => heard += 1,
                Message::Text(_) => {}
                other => panic!("{other:?} after {heard} frames"),
            }
        }
    }

    /// Hears sound until nothing comes for 200 ms.
    async fn silence(&mut self) {
        while tokio::time::timeout(Duration::from_millis(200), self.0.next())
            .await
            .is_ok()
        {}
    }

    /// Hears sound until a text message comes.
    async fn word(&mut self) -> String {
        loop {
            if let Message::Text(text) = self.next().await {
                return text.to_string();
            }
        }
    }

    /// Hears sound until this is said.
    async fn hear(&mut self, word: &str) {
        while self.word().await != word {}
    }
}

/// A leg is up.
async fn called(scene: &mut Scene, form: &Form) -> Line {
    let id = scene.expect(1, OutRate::Follow);
    let mut line = Line::open(scene, &format!("id={id}")).await.unwrap();
    line.say(form.start).await;
    attached(scene).await;
    line
}

async fn attached(scene: &mut Scene) {
    let event = scene.event().await;
    let leg = LegId(1);
    assert!(
        matches!(event, Event::Attached { leg: attached, .. } if attached == leg),
        "{event:?}"
    );
}

async fn hung_up(scene: &mut Scene, line: &mut Line, form: &Form) -> moqrelay_bridge::leg::Stats {
    scene.bridge.hang_up(LegId(1)).unwrap();
    line.hear(form.hang_up).await;
    let (_, reason, stats) = scene.detached().await;
    assert_eq!(reason, Reason::HungUp);
    stats
}
