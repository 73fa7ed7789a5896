//! Requests to ARI's REST side.

use std::fmt::Write;

/// Tells a request's response from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What is done with the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads it.
    Get,
    /// Makes it, or tells it to do something.
    Post,
    /// Removes it, or undoes something.
    Delete,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// For [`Steering::handle_response`](super::Steering::handle_response).
    pub id: RequestId,
    /// What.
    pub method: Method,
    /// Path and query below ARI's base, for example `/channels/x/ring`.
    pub target: String,
    /// JSON, or nothing.
    pub body: Option<String>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// JSON, or nothing.
    pub body: Vec<u8>,
}

/// Nothing came back: it is not known whether the request was obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No connection.
    #[error("asterisk could not be reached")]
    Unreachable,
    /// No TLS there, or a certificate of somebody who is not trusted.
    #[error("asterisk's certificate is not trusted")]
    Untrusted,
    /// No response in time.
    #[error("asterisk did not answer in time")]
    Timeout,
    /// A response beyond the limit, or no HTTP.
    #[error("asterisk's answer could not be used")]
    Unusable,
    /// Too many requests wait already.
    #[error("too many requests to asterisk wait already")]
    Full,
}

/// A path and query under construction; every value is percent-encoded.
pub(crate) struct Target {
    text: String,
    queried: bool,
}

impl Target {
    pub(crate) fn new(collection: &str) -> Self {
        Self {
            text: format!("/{collection}"),
            queried: false,
        }
    }

    pub(crate) fn segment(mut self, value: &str) -> Self {
        self.text.push('/');
        self.encode(value);
        self
    }

    pub(crate) fn query(mut self, key: &str, value: &str) -> Self {
        self.text.push(if self.queried { '&' } else { '?' });
        self.queried = true;
        self.text.push_str(key);
        self.text.push('=');
        self.encode(value);
        self
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn encode(&mut self, value: &str) {
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                self.text.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _written = write!(self.text, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_network_sends_cannot_leave_its_place_in_the_url() {
        let target = Target::new("channels")
            .segment("a/../b?c")
            .query("dtmf", "5#*&x=1")
            .query("name", "é %")
            .finish();

        assert_eq!(
            target,
            "/channels/a%2F..%2Fb%3Fc?dtmf=5%23%2A%26x%3D1&name=%C3%A9%20%25"
        );
    }
}
