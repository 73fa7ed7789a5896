//! What web pages are told about where MoQ is.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use moqrelay_control::{Transport, TransportSource};
use moqrelay_relay::tls;
use tokio::sync::watch;

use crate::config::{Config, Moq};

/// Where MoQ is, as seen by who reached the page under a host's name.
/// What can change while the daemon runs is read from `newest`.
pub(crate) fn source(
    moq: &Moq,
    identity: tls::Identity,
    port: u16,
    newest: watch::Receiver<Arc<Config>>,
) -> Result<TransportSource> {
    let (url, fallback, drafts) = (moq.url.clone(), moq.fallback, moq.drafts()?);
    Ok(TransportSource(Arc::new(move |host| {
        let url = url.as_ref().map_or_else(
            // Chromium tries ::1 for `localhost` without falling back.
            || match host {
                None | Some("localhost") => format!("https://127.0.0.1:{port}/moq"),
                Some(host) => format!("https://{host}:{port}/moq"),
            },
            ToString::to_string,
        );
        let goaway_uri = newest.borrow().moq.goaway_uri.clone();
        Transport {
            url,
            // The page knows best under which name, port and scheme it was reached.
            fallback_url: fallback.then(|| "/moq".to_owned()),
            others: goaway_uri.iter().map(ToString::to_string).collect(),
            drafts: drafts.iter().map(|draft| draft.alpn().to_owned()).collect(),
            certificate_hashes: identity.hashes().iter().map(|hash| hex(hash)).collect(),
            renewed_before: identity.renewed_before().map(rfc3339),
        }
    })))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// UTC, to the second (RFC 3339).
fn rfc3339(at: SystemTime) -> String {
    let seconds = at
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    humantime_serde::re::humantime::format_rfc3339_seconds(
        UNIX_EPOCH + Duration::from_secs(seconds),
    )
    .to_string()
}
