//! A steering without Asterisk: the test says what Asterisk does.

use std::time::Instant;

use moqrelay_bridge::Codec;
use moqrelay_bridge::ari::{
    Caller, Choice, Command, Config, Event, Failure, IncomingId, LegId, Message, Method, Output,
    Plan, RequestId, Response, Road, RoadRule, Secret, Steering,
};
use moqrelay_wire::signal::Cause;
use uuid::Uuid;

pub const LEG: LegId = LegId(1);
pub const UUID: Uuid = Uuid::from_u128(0x4032_5ec2_5efd_4bd3_805f_5357_6e58_1d13);
pub const FAR: &str = "moqrelay-leg-00000007-1-far";
pub const AUDIO: &str = "moqrelay-leg-00000007-1-audio";
pub const MIX: &str = "moqrelay-leg-00000007-1-mix";
pub const LEGS_MAX: usize = 4;
pub const NOTHING: [String; 0] = [];
pub const NO_EVENTS: [Event; 0] = [];

/// A steering, and what it wants.
pub struct Desk {
    pub steering: Steering,
    pub start: Instant,
    pub now: Instant,
    /// Requests that were sent and not answered.
    open: Vec<(RequestId, String, Option<String>)>,
    fresh: Vec<String>,
    events: Vec<Event>,
    pub reconnect: bool,
    /// What another run must leave alone.
    pub callers: Vec<String>,
    pub chosen: Option<Plan>,
}

impl Desk {
    pub fn new() -> Self {
        Self::after(&[], &[])
    }

    /// Connected; sound goes by media WebSockets.
    pub fn by_websocket() -> Self {
        Self::choosing(Choice::Fixed(Road::WebSocket, Codec::Opus))
    }

    /// Connected; the way of sound is chosen so.
    pub fn choosing(choice: Choice) -> Self {
        Self::ruled(choice, &[])
    }

    /// Connected; the way of sound is chosen so, and otherwise for some numbers.
    pub fn ruled(choice: Choice, rules: &[RoadRule]) -> Self {
        let mut desk = Self::with(|config| {
            config.choice = choice;
            config.road_rules = rules.to_vec();
            config.rtp = Some("127.0.0.1:9094".into());
        });
        desk.connects(&[], &[]);
        desk.events();
        desk
    }

    /// Not connected; these earlier runs still have calls.
    pub fn after(elders: &[u32], callers: &[&str]) -> Self {
        Self::with(|config| {
            config.elders = elders.to_vec();
            config.elders_callers = callers.iter().map(|&caller| caller.to_owned()).collect();
        })
    }

    /// Not connected, with a configuration that is changed.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(
            "http://127.0.0.1:8088/ari",
            "moqrelay",
            Secret::new("x"),
            "Local/{number}@internal/n",
            "127.0.0.1:9092",
        );
        config.legs_max = LEGS_MAX;
        change(&mut config);
        config.check().unwrap();
        let now = Instant::now();
        Self {
            steering: Steering::new(config, 7),
            start: now,
            now,
            open: Vec::new(),
            fresh: Vec::new(),
            events: Vec::new(),
            reconnect: false,
            callers: Vec::new(),
            chosen: None,
        }
    }

    pub fn up() -> Self {
        let mut desk = Self::new();
        desk.connects(&[], &[]);
        assert_eq!(desk.events(), [Event::Up]);
        desk
    }

    /// An adopted call from channel `a1`.
    pub fn with_incoming() -> Self {
        let mut desk = Self::up();
        desk.calls("a1");
        let call = call("a1");
        desk.tells(Command::Adopt { call, leg: LEG });
        desk.events();
        desk
    }

    /// A number was dialled; nothing came back yet.
    pub fn dialling() -> Self {
        let mut desk = Self::up();
        desk.dials("600");
        desk.makes_far();
        desk.answers(&mix_request(), 200);
        desk.answers(&audio_request(), 200);
        desk.starts(FAR);
        desk.starts(AUDIO);
        desk.answers(&join_request(FAR), 204);
        desk.answers(&dial_request(), 204);
        desk.sent();
        desk
    }

    pub fn talking() -> Self {
        let mut desk = Self::dialling();
        desk.dial_event("ANSWER");
        assert_eq!(desk.events(), [Event::Answered(LEG)]);
        desk
    }

    pub fn connects(&mut self, channels: &[(&str, &str, &str)], bridges: &[&str]) {
        self.steering.handle_connected();
        self.lists(channels, bridges);
    }

    /// Another run has taken over.
    pub fn is_replaced(&mut self) {
        self.hears(r#"{"type":"ApplicationReplaced","application":"moqrelay"}"#);
    }

    pub fn lists(&mut self, channels: &[(&str, &str, &str)], bridges: &[&str]) {
        self.drain();
        let channels: Vec<_> = channels
            .iter()
            .map(|(id, state, data)| {
                serde_json::json!({"id": id, "state": state,
                    "dialplan": {"app_name": "Stasis", "app_data": data}})
            })
            .collect();
        let bridges: Vec<_> = bridges
            .iter()
            .map(|id| serde_json::json!({"id": id}))
            .collect();
        self.gives(
            "GET /channels",
            200,
            &serde_json::Value::from(channels).to_string(),
        );
        self.gives(
            "GET /bridges",
            200,
            &serde_json::Value::from(bridges).to_string(),
        );
        self.fresh.retain(|request| !request.starts_with("GET"));
    }

    pub fn calls(&mut self, channel: &str) {
        self.hears(&format!(
            r#"{{"type":"StasisStart","args":["7001"],"channel":{{"id":"{channel}"}}}}"#
        ));
    }

    pub fn dials(&mut self, number: &str) {
        let caller = caller("Anna", "7001");
        self.tells(Command::Dial {
            leg: LEG,
            number: number.into(),
            trunk: None,
            caller,
            uuid: UUID,
        });
    }

    /// Asterisk makes the channel to the number that was dialled.
    pub fn makes_far(&mut self) {
        let far = |sent: &str| sent.starts_with("POST /channels/create?");
        let mut open = self.open.iter().map(|(_, sent, _)| sent);
        let request = open.find(|sent| far(sent)).unwrap().clone();
        self.answers(&request, 200);
    }

    pub fn tells(&mut self, command: Command) {
        self.steering.handle_command(command, self.now);
        self.drain();
    }

    pub fn hears(&mut self, text: &str) {
        let message = Message::parse(text.as_bytes()).unwrap();
        self.steering.handle_message(message, self.now);
        self.drain();
    }

    pub fn starts(&mut self, channel: &str) {
        self.calls(channel);
    }

    pub fn leaves(&mut self, channel: &str) {
        self.hears(&format!(
            r#"{{"type":"StasisEnd","channel":{{"id":"{channel}"}}}}"#
        ));
    }

    pub fn is_destroyed(&mut self, channel: &str, q850: u16) {
        self.hears(&format!(
            r#"{{"type":"ChannelDestroyed","cause":{q850},"channel":{{"id":"{channel}"}}}}"#
        ));
    }

    pub fn dial_event(&mut self, status: &str) {
        self.hears(&format!(
            r#"{{"type":"Dial","dialstatus":"{status}","peer":{{"id":"{FAR}"}}}}"#
        ));
    }

    pub fn waits(&mut self) {
        self.now = self.steering.poll_timeout().expect("something is due");
        self.steering.handle_timeout(self.now);
        self.drain();
    }

    pub fn answers(&mut self, request: &str, status: u16) {
        self.gives(request, status, "");
    }

    pub fn gives(&mut self, request: &str, status: u16, body: &str) {
        let id = self.take(request);
        let response = Response {
            status,
            body: body.into(),
        };
        self.steering.handle_response(id, Ok(response), self.now);
        self.drain();
    }

    pub fn fails(&mut self, request: &str, failure: Failure) {
        let id = self.take(request);
        self.steering.handle_response(id, Err(failure), self.now);
        self.drain();
    }

    pub fn take(&mut self, request: &str) -> RequestId {
        let at = self.open.iter().position(|(_, sent, _)| sent == request);
        let at = at.unwrap_or_else(|| panic!("{request} is not among {:?}", self.open));
        self.open.remove(at).0
    }

    pub fn body_of(&self, request: &str) -> serde_json::Value {
        let sent = self.open.iter().find(|(_, sent, _)| sent == request);
        serde_json::from_str(sent.unwrap().2.as_deref().unwrap()).unwrap()
    }

    /// What was sent since the last time.
    pub fn sent(&mut self) -> Vec<String> {
        std::mem::take(&mut self.fresh)
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.steering.poll_output() {
            match output {
                Output::Request(request) => {
                    let method = match request.method {
                        Method::Get => "GET",
                        Method::Post => "POST",
                        Method::Delete => "DELETE",
                    };
                    let line = format!("{method} {}", request.target);
                    // A question that nothing depends on.
                    if !line.ends_with("/variable?variable=CHANNEL%28linkedid%29") {
                        self.fresh.push(line.clone());
                    }
                    self.open.push((request.id, line, request.body));
                }
                Output::Event(Event::Chosen { plan, .. }) => self.chosen = Some(plan),
                Output::Event(event) => self.events.push(event),
                Output::StepAside(callers) => self.callers = callers.into_iter().collect(),
                Output::Reconnect | Output::GiveWay => self.reconnect = true,
            }
        }
    }
}

/// The call of that channel, as it was offered.
pub fn call(channel: &str) -> IncomingId {
    let mut desk = Desk::up();
    desk.calls(channel);
    let Some(Event::Incoming(incoming)) = desk.events().pop() else {
        panic!("no call")
    };
    incoming.call
}

pub fn caller(name: &str, number: &str) -> Caller {
    Caller {
        name: Some(name.into()),
        number: Some(number.into()),
        sent_on: None,
    }
}

pub fn ended(cause: Cause) -> Event {
    Event::Ended { leg: LEG, cause }
}

pub fn mix_request() -> String {
    format!("POST /bridges/{MIX}?type=mixing")
}

pub fn audio_request() -> String {
    format!(
        "POST /channels/externalMedia?app=moqrelay-00000007&channelId={AUDIO}\
         &external_host=127.0.0.1%3A9092&encapsulation=audiosocket&transport=tcp&format=slin16\
         &data=40325ec2-5efd-4bd3-805f-53576e581d13"
    )
}

pub fn websocket_request() -> String {
    format!(
        "POST /channels/externalMedia?app=moqrelay-00000007&channelId={AUDIO}\
         &external_host=INCOMING&encapsulation=none&transport=websocket&connection_type=server\
         &format=opus"
    )
}

pub fn far_request(number: &str) -> String {
    format!(
        "POST /channels/create?endpoint=Local%2F{number}%40internal%2Fn&app=moqrelay-00000007\
         &channelId={FAR}&formats=slin16"
    )
}

pub fn join_request(far: &str) -> String {
    format!(
        "POST /bridges/{MIX}/addChannel?channel={far}%2C{AUDIO}&inhibitConnectedLineUpdates=true"
    )
}

pub fn dial_request() -> String {
    format!("POST /channels/{FAR}/dial?timeout=60")
}

pub fn removal(channel: &str, q850: u16) -> String {
    format!("DELETE /channels/{channel}?reason_code={q850}")
}

pub fn removal_of_mix() -> String {
    format!("DELETE /bridges/{MIX}")
}
