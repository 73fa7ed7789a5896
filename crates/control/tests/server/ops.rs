//! Metrics and health.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moqrelay_control::{
    Backlog, NoLog, Ops, RelayOps, RelaySession, RelaySessions, RelayTracks, Trunk, serve_ops,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::world::{Answer, nobody, patient, raw_http};

#[tokio::test]
async fn metrics_and_health_are_what_the_daemon_says() {
    let ready = Arc::new(AtomicBool::new(true));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let of_daemon = ready.clone();
    let ops = Ops {
        metrics: Arc::new(|| "calls 3\n".into()),
        ready: Arc::new(move || {
            let ready = of_daemon.load(Ordering::Relaxed);
            if ready {
                Ok(())
            } else {
                Err("draining".into())
            }
        }),
        relay: Arc::new(OneSession::default()),
        trunks: Arc::new(Vec::new),
        control: nobody(),
        bearer: None,
    };
    let served = tokio::spawn(serve_ops(listener, ops, async move { _ = stopped.await }));
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        async move { raw_http(address, request.as_bytes()).await }
    };

    let metrics = get("/metrics").await;
    assert_eq!(
        (metrics.status, metrics.text().as_str()),
        (200, "calls 3\n")
    );
    assert_eq!(
        metrics.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(
        (
            get("/health/live").await.status,
            get("/health/ready").await.status
        ),
        (200, 200)
    );
    ready.store(false, Ordering::Relaxed);
    let unready = get("/health/ready").await;
    assert_eq!(
        (unready.status, unready.text().as_str()),
        (503, "draining\n")
    );
    assert_eq!(
        (get("/health/live").await.status, get("/").await.status),
        (200, 404)
    );

    stop.send(()).unwrap();
    patient(served).await.unwrap().unwrap();
}

#[tokio::test]
async fn sessions_are_listed_in_pages() {
    let (api, _) = api(None).await;

    let first = api.get("/api/v1/relay/sessions?limit=1").await;
    let body: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    let second = api.get("/api/v1/relay/sessions?after=7").await;
    let rest: serde_json::Value = serde_json::from_slice(&second.body).unwrap();

    assert_eq!(body["total"], 1);
    assert_eq!(body["sessions"][0]["id"], 7);
    assert_eq!(body["sessions"][0]["transport"], "quic");
    assert_eq!(body["next"], serde_json::Value::Null);
    assert_eq!(rest["sessions"], serde_json::json!([]));
    assert_eq!(api.get("/api/v1/relay/sessions?after=x").await.status, 400);
    assert_eq!(api.get("/api/v1/relay/tracks?after=x").await.status, 400);
    assert_eq!(api.get("/api/v1/relay/tracks").await.status, 200);
}

#[tokio::test]
async fn a_session_is_asked_to_leave_or_ended() {
    let (api, relay) = api(None).await;

    let asked = api
        .send(
            "POST",
            "/api/v1/relay/sessions/7/goaway",
            "",
            r#"{"uri":"https://b/moq","timeout_ms":500}"#,
        )
        .await;
    let plain = api
        .send("POST", "/api/v1/relay/sessions/7/goaway", "", "")
        .await;
    let ended = api.send("DELETE", "/api/v1/relay/sessions/7", "", "").await;
    let absent = api.send("DELETE", "/api/v1/relay/sessions/8", "", "").await;

    assert_eq!(
        [asked.status, plain.status, ended.status, absent.status],
        [202, 202, 202, 404]
    );
    assert_eq!(
        *relay.0.lock().unwrap(),
        ["goaway https://b/moq 500ms", "goaway  10s", "end"]
    );
    for bad in [
        r#"{"uri":7}"#,
        r#"{"url":""}"#,
        r#"{"timeout_ms":99999999}"#,
    ] {
        let refused = api
            .send("POST", "/api/v1/relay/sessions/7/goaway", "", bad)
            .await;
        assert_eq!(refused.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn pages_of_strangers_cannot_use_the_api() {
    let (api, relay) = api(None).await;

    for header in [
        "origin: https://evil.example\r\n",
        "sec-fetch-site: same-origin\r\n",
    ] {
        let refused = api
            .send("DELETE", "/api/v1/relay/sessions/7", header, "")
            .await;
        assert_eq!(refused.status, 403, "{header}");
    }
    let rebound = raw_http(
        api.0,
        b"GET /api/v1/relay/sessions HTTP/1.1\r\nhost: evil.example:9464\r\nconnection: close\r\n\r\n",
    );

    assert_eq!(rebound.await.status, 403);
    assert!(relay.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn with_a_bearer_only_who_brings_it_may_use_the_api() {
    let (api, _) = api(Some("open sesame")).await;
    let path = "/api/v1/relay/sessions";

    let right = "authorization: Bearer open sesame\r\norigin: https://grafana.example\r\n";

    assert_eq!(api.get(path).await.status, 403);
    let wrong = "authorization: Bearer open sesam\r\n";
    assert_eq!(api.send("GET", path, wrong, "").await.status, 403);
    assert_eq!(api.send("GET", path, right, "").await.status, 200);
    assert_eq!(api.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn a_session_is_logged_when_there_is_a_folder() {
    let (api, _) = api(None).await;

    let logged = api
        .send("POST", "/api/v1/relay/sessions/7/log", "", "")
        .await;
    let off = api
        .send("POST", "/api/v1/relay/sessions/8/log", "", "")
        .await;
    let absent = api
        .send("POST", "/api/v1/relay/sessions/9/log", "", "")
        .await;

    assert_eq!([logged.status, off.status, absent.status], [202, 409, 404]);
    assert_eq!(logged.text(), r#"{"file":"logs/7.mlog"}"#);
}

#[tokio::test]
async fn the_next_connection_from_an_address_is_logged_when_there_is_a_folder() {
    let (api, _) = api(None).await;
    let mut answers = Vec::new();
    for address in ["192.0.2.7", "2001:db8::7", "example.net"] {
        let body = format!(r#"{{"address":"{address}"}}"#);
        answers.push(api.send("POST", "/api/v1/relay/qlog", "", &body).await);
    }

    let status: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(status, [202, 409, 400]);
    assert_eq!(answers[0].text(), r#"{"folder":"logs"}"#);
}

#[tokio::test]
async fn trunks_are_listed_with_what_is_wrong() {
    let (api, _) = api(None).await;

    let answer = api.get("/api/v1/trunks").await;

    let trunks: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    let trunk = &trunks["trunks"][0];
    assert_eq!(
        (&trunk["name"], &trunk["up"], &trunk["fault"]),
        (
            &"carrier".into(),
            &false.into(),
            &"the endpoint does not answer".into()
        )
    );
}

#[tokio::test]
async fn trunks_are_for_operators_only() {
    let (api, _) = api(Some("secret-of-operators")).await;

    assert_eq!(api.get("/api/v1/trunks").await.status, 403);
}

struct Api(SocketAddr);

impl Api {
    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "").await
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}",
            self.0
        );
        raw_http(self.0, request.as_bytes()).await
    }
}

#[tokio::test]
async fn rooms_are_for_those_who_may_and_a_daemon_that_is_gone_is_said_to_be() {
    let (closed, _) = api(Some("let me in")).await;
    let (open, _) = api(None).await;

    assert_eq!(closed.get("/api/v1/rooms").await.status, 403);
    assert_eq!(open.get("/api/v1/rooms").await.status, 503);
}

/// Serves a relay with one session until the test's runtime ends.
async fn api(bearer: Option<&str>) -> (Api, Arc<OneSession>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let relay = Arc::new(OneSession::default());
    let ops = Ops {
        metrics: Arc::new(String::new),
        ready: Arc::new(|| Ok(())),
        relay: relay.clone(),
        trunks: Arc::new(|| vec![carrier()]),
        control: nobody(),
        bearer: bearer.map(Arc::from),
    };
    tokio::spawn(serve_ops(listener, ops, std::future::pending()));
    (Api(address), relay)
}

/// A relay with one session, number 7, that notes what is asked of it.
#[derive(Default)]
struct OneSession(Mutex<Vec<String>>);

impl OneSession {
    fn note(&self, session: u64, what: String) -> bool {
        if session == 7 {
            self.0.lock().unwrap().push(what);
        }
        session == 7
    }
}

impl RelayOps for OneSession {
    fn sessions(&self, after: Option<u64>, _limit: usize) -> RelaySessions {
        let session = RelaySession {
            id: 7,
            peer: "192.0.2.1:4433".into(),
            transport: "quic".into(),
            draft: 18,
            implementation: None,
            since: 1,
            subscriptions: 2,
            publishes: 3,
            rtt_ms: 4.5,
            lost_packets: 6,
            backlog: Backlog {
                control_bytes: 7,
                objects: 3,
                bytes: 240,
            },
        };
        RelaySessions {
            total: 1,
            sessions: [session]
                .into_iter()
                .filter(|session| after.is_none_or(|after| after < session.id))
                .collect(),
            next: None,
        }
    }

    fn tracks(&self, after: Option<&str>, _limit: usize) -> Option<RelayTracks> {
        after.is_none().then_some(RelayTracks {
            total: 0,
            tracks: Vec::new(),
            next: None,
        })
    }

    fn goaway(&self, session: u64, uri: &str, timeout: Duration) -> bool {
        self.note(session, format!("goaway {uri} {timeout:?}"))
    }

    fn log(&self, session: u64) -> Result<String, NoLog> {
        match session {
            7 => Ok("logs/7.mlog".into()),
            8 => Err(NoLog::Off),
            _ => Err(NoLog::NoSession),
        }
    }

    fn log_next(&self, address: std::net::IpAddr) -> Option<String> {
        address.is_ipv4().then(|| "logs".into())
    }

    fn end(&self, session: u64) -> bool {
        self.note(session, "end".into())
    }
}

fn carrier() -> Trunk {
    Trunk {
        name: "carrier".into(),
        up: false,
        fault: Some("the endpoint does not answer"),
        endpoint: Some("PJSIP/carrier".into()),
        endpoint_state: "offline",
        registration: None,
        registration_state: "unknown",
        prefixes: vec!["+".into()],
        emergency: true,
    }
}
