//! ARI's REST side: a few kept-alive connections, driven by whoever polls [`Rest`].

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;

use super::{Failure, Method, Request, RequestId, Response};
use crate::dial::{Site, Stream};

/// Connections at once. Asterisk serves each by a thread; requests take a few milliseconds.
const LINES_MAX: usize = 8;
/// Requests that wait for a connection; a call needs about ten.
const QUEUE_MAX: usize = 2048;
/// From the connection's beginning to the response's end.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Asterisk closes a connection after 15 s without a request (`session_keep_alive`): not used
/// again from well before that.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// The longest response: a list of some ten thousand channels.
const BODY_MAX: usize = 8 << 20;

type Body = Full<Bytes>;
type Answer = (hyper::http::response::Parts, Vec<u8>);
type Outcome = (RequestId, Result<Response, Failure>, Option<Line>);
type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The REST side of one Asterisk.
pub(super) struct Rest {
    site: Site,
    path: String,
    authorization: String,
    idle: Vec<Line>,
    queue: VecDeque<Request>,
    work: FuturesUnordered<Work>,
    refused: VecDeque<RequestId>,
}

/// A connection.
struct Line {
    sender: SendRequest<Body>,
    connection: Connection<TokioIo<Stream>, Body>,
    used: Instant,
}

impl Rest {
    pub(super) fn new(site: Site, path: String, authorization: String) -> Self {
        Self {
            site,
            path,
            authorization,
            idle: Vec::new(),
            queue: VecDeque::new(),
            work: FuturesUnordered::new(),
            refused: VecDeque::new(),
        }
    }

    /// Takes a request; [`next`](Self::next) gives its outcome.
    pub(super) fn send(&mut self, request: Request) {
        if self.queue.len() >= QUEUE_MAX {
            self.refused.push_back(request.id);
            return;
        }
        self.queue.push_back(request);
        self.start();
    }

    /// Closes the connections that are not in use: they may lead to an Asterisk that is gone.
    pub(super) fn forget_lines(&mut self) {
        self.idle.clear();
    }

    /// Waits for the next outcome; for ever when nothing was sent. Can be dropped at any time.
    pub(super) async fn next(&mut self) -> (RequestId, Result<Response, Failure>) {
        if let Some(id) = self.refused.pop_front() {
            return (id, Err(Failure::Full));
        }
        let Some((id, result, line)) = self.work.next().await else {
            return std::future::pending().await;
        };
        if let Some(line) = line {
            self.idle.push(line);
        }
        self.start();
        (id, result)
    }

    fn start(&mut self) {
        while self.work.len() < LINES_MAX {
            let Some(request) = self.queue.pop_front() else {
                return;
            };
            self.idle.retain(Line::is_usable);
            let line = self.idle.pop();
            let site = self.site.clone();
            let id = request.id;
            let http = self.http(&request);
            self.work.push(Box::pin(async move {
                match tokio::time::timeout(TIMEOUT, exchange(line, &site, http)).await {
                    Ok(Ok(((head, body), line))) => {
                        let status = head.status.as_u16();
                        (id, Ok(Response { status, body }), line)
                    }
                    Ok(Err(failure)) => (id, Err(failure), None),
                    Err(_) => (id, Err(Failure::Timeout), None),
                }
            }));
        }
    }

    pub(super) fn http(&self, request: &Request) -> Result<hyper::Request<Body>, Failure> {
        let method = match request.method {
            Method::Get => hyper::Method::GET,
            Method::Post => hyper::Method::POST,
            Method::Delete => hyper::Method::DELETE,
        };
        let mut builder = hyper::Request::builder()
            .method(method)
            .uri(format!("{}{}", self.path, request.target))
            .header(HOST, &self.site.host)
            .header(AUTHORIZATION, &self.authorization);
        if request.body.is_some() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(request.body.clone().unwrap_or_default()));
        builder.body(body).map_err(|_| Failure::Unusable)
    }
}

impl Line {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && self.used.elapsed() < IDLE_MAX
    }

    async fn open(site: &Site) -> Result<Self, Failure> {
        let stream = site.connect().await.map_err(|error| match error.kind() {
            // So does TLS say it.
            io::ErrorKind::InvalidData => Failure::Untrusted,
            _ => Failure::Unreachable,
        })?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Failure::Unreachable)?;
        Ok(Self {
            sender,
            connection,
            used: Instant::now(),
        })
    }

    /// Sends one request and reads the whole response, driving the connection meanwhile.
    async fn exchange(self, http: hyper::Request<Body>) -> Result<(Answer, Option<Self>), Lost> {
        let Self {
            mut sender,
            mut connection,
            ..
        } = self;
        let response = async {
            let unreachable = |unsent| Lost {
                unsent,
                failure: Failure::Unreachable,
            };
            sender.ready().await.map_err(|_| unreachable(true))?;
            let response = sender.send_request(http).await;
            let response = response.map_err(|error| unreachable(error.is_canceled()))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, BODY_MAX);
            let body = body
                .collect()
                .await
                .map_err(|_| Lost::after(Failure::Unusable))?;
            Ok((head, body.to_bytes().to_vec()))
        };
        let mut response = Box::pin(response);
        let mut open = true;
        let result = loop {
            tokio::select! {
                biased;
                result = &mut response => break result?,
                _closed = &mut connection, if open => open = false,
            }
        };
        drop(response);
        let line = Self {
            sender,
            connection,
            used: Instant::now(),
        };
        Ok((result, open.then_some(line)))
    }
}

/// An exchange that failed.
struct Lost {
    /// Asterisk has seen nothing of the request.
    unsent: bool,
    failure: Failure,
}

impl Lost {
    fn after(failure: Failure) -> Self {
        Self {
            unsent: false,
            failure,
        }
    }
}

/// Sends one request by a connection of its own and reads the whole response.
pub(super) async fn exchange_once(
    site: &Site,
    http: Result<hyper::Request<Body>, Failure>,
) -> Result<Answer, Failure> {
    exchange(None, site, http).await.map(|(answer, _)| answer)
}

async fn exchange(
    line: Option<Line>,
    site: &Site,
    http: Result<hyper::Request<Body>, Failure>,
) -> Result<(Answer, Option<Line>), Failure> {
    let http = http?;
    if let Some(line) = line {
        match line.exchange(http.clone()).await {
            Ok(done) => return Ok(done),
            // The kept connection was closed just now.
            Err(Lost { unsent: true, .. }) => {}
            Err(Lost { failure, .. }) => return Err(failure),
        }
    }
    let line = Line::open(site).await?;
    line.exchange(http).await.map_err(|lost| lost.failure)
}
