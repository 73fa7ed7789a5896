//! Control messages in the words of the schema, without what is secret.

use std::time::Duration;

use moqrelay_moqt::{
    Draft, FetchRange, Filter, FullTrackName, GroupOrder, Location, Message, Namespace, Parameters,
    RequestError, RequestId, Setup, Token,
};

use super::json::{Json, List};

/// Describes a message.
pub(super) fn describe(draft: Draft, message: &Message, out: &mut Json) {
    match message {
        Message::Setup(setup) => {
            out.text("type", "setup");
            out.list("setup_parameters", |list| options(setup, list));
        }
        Message::GoAway(goaway) => {
            out.text("type", "goaway");
            length_only(out, "new_session_uri", goaway.uri.len());
            out.int("timeout", millis(goaway.timeout));
            out.maybe("request_id", goaway.request.map(|id| id.0));
        }
        Message::Subscribe(subscribe) => {
            begin(out, "subscribe", subscribe.id);
            track(out, &subscribe.track);
            parameters(out, &subscribe.params);
        }
        Message::TrackStatus(status) => {
            begin(out, "track_status", status.id);
            track(out, &status.track);
            parameters(out, &status.params);
        }
        Message::SubscribeOk(ok) => {
            out.text("type", "subscribe_ok");
            out.int("track_alias", ok.alias.0);
            parameters(out, &ok.params);
            out.int("track_properties_length", ok.properties.len() as u64);
        }
        Message::Publish(publish) => {
            begin(out, "publish", publish.id);
            track(out, &publish.track);
            out.int("track_alias", publish.alias.0);
            parameters(out, &publish.params);
            out.int("track_properties_length", publish.properties.len() as u64);
        }
        Message::PublishDone(done) => {
            out.text("type", "publish_done");
            out.int("status_code", done.status.to_code(draft));
            out.maybe("stream_count", done.streams);
            out.text("reason", &done.reason);
        }
        Message::Fetch(fetch) => {
            begin(out, "fetch", fetch.id);
            range(out, &fetch.range);
            parameters(out, &fetch.params);
        }
        Message::FetchOk(ok) => {
            out.text("type", "fetch_ok");
            out.int("end_of_track", ok.end_of_track.into());
            location(out, "end_location", ok.end);
            parameters(out, &ok.params);
        }
        Message::PublishNamespace(request) => {
            begin(out, "publish_namespace", request.id);
            namespace(out, "track_namespace", &request.prefix);
            parameters(out, &request.params);
        }
        Message::SubscribeNamespace(request) => {
            begin(out, "subscribe_namespace", request.id);
            namespace(out, "track_namespace_prefix", &request.prefix);
            parameters(out, &request.params);
        }
        Message::SubscribeBoth(request) => {
            begin(out, "subscribe_namespace", request.id);
            namespace(out, "track_namespace_prefix", &request.prefix);
            out.text("subscribe_options", "both");
            parameters(out, &request.params);
        }
        Message::SubscribeTracks(request) => {
            begin(out, "subscribe_tracks", request.id);
            namespace(out, "track_namespace_prefix", &request.prefix);
            parameters(out, &request.params);
        }
        Message::Namespace(suffix) => {
            out.text("type", "namespace");
            namespace(out, "track_namespace_suffix", suffix);
        }
        Message::NamespaceDone(suffix) => {
            out.text("type", "namespace_done");
            namespace(out, "track_namespace_suffix", suffix);
        }
        Message::PublishBlocked(blocked) => {
            out.text("type", "publish_blocked");
            namespace(out, "track_namespace_suffix", &blocked.suffix);
            out.object("track_name", |name| bytes(name, &blocked.name));
        }
        Message::RequestUpdate(update) => {
            begin(out, "request_update", update.id);
            parameters(out, &update.params);
        }
        Message::RequestOk(ok) => {
            out.text("type", "request_ok");
            parameters(out, &ok.params);
        }
        Message::RequestError(error) => refusal(draft, "request_error", error, out),
        Message::PublishNamespaceCancel(error) => {
            refusal(draft, "publish_namespace_cancel", error, out);
        }
        Message::MaxRequestId(id) => {
            out.text("type", "max_request_id");
            out.int("request_id", *id);
        }
        Message::RequestsBlocked(most) => {
            out.text("type", "requests_blocked");
            out.int("maximum_request_id", *most);
        }
        Message::Unsubscribe => out.text("type", "unsubscribe"),
        Message::FetchCancel => out.text("type", "fetch_cancel"),
        Message::PublishNamespaceDone => out.text("type", "publish_namespace_done"),
        Message::UnsubscribeNamespace => out.text("type", "unsubscribe_namespace"),
    }
}

fn refusal(draft: Draft, kind: &str, error: &RequestError, out: &mut Json) {
    out.text("type", kind);
    out.int("error_code", error.code.to_code(draft));
    let retry = error
        .retry
        .map_or(0, |retry| millis(retry).saturating_add(1));
    out.int("retry_interval", retry);
    out.text("reason", &error.reason);
}

fn begin(out: &mut Json, kind: &str, id: RequestId) {
    out.text("type", kind);
    out.int("request_id", id.0);
}

fn options(setup: &Setup, list: &mut List<'_>) {
    if let Some(path) = &setup.path {
        // A query may hold a token.
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        named(list, "path", |out| {
            out.text("value", &String::from_utf8_lossy(path));
        });
    }
    if let Some(authority) = &setup.authority {
        // So may what stands before the host.
        let host = authority
            .rsplit(|byte| *byte == b'@')
            .next()
            .unwrap_or_default();
        named(list, "authority", |out| {
            out.text("value", &String::from_utf8_lossy(host));
        });
    }
    for token in &setup.authorization {
        named(list, "authorization_token", |out| redacted(out, token));
    }
    if let Some(size) = setup.auth_token_cache_bytes_max {
        named(list, "max_auth_token_cache_size", |out| {
            out.int("value", size)
        });
    }
    if let Some(implementation) = &setup.implementation {
        named(list, "implementation", |out| {
            out.text("value", &String::from_utf8_lossy(implementation));
        });
    }
}

fn parameters(out: &mut Json, params: &Parameters) {
    out.list("parameters", |list| {
        for token in &params.authorization {
            named(list, "authorization_token", |out| redacted(out, token));
        }
        let times = [
            ("object_delivery_timeout", params.object_delivery_timeout),
            ("rendezvous_timeout", params.rendezvous_timeout),
            (
                "subgroup_delivery_timeout",
                params.subgroup_delivery_timeout,
            ),
            ("expires", params.expires),
            ("fill_timeout", params.fill_timeout),
        ];
        for (name, time) in times {
            if let Some(time) = time {
                named(list, name, |out| out.int("value", millis(time)));
            }
        }
        let order = params.group_order.map(|order| match order {
            GroupOrder::Ascending => 1,
            GroupOrder::Descending => 2,
        });
        let numbers = [
            ("forward", params.forward.map(u64::from)),
            (
                "subscriber_priority",
                params.subscriber_priority.map(u64::from),
            ),
            ("group_order", order),
            ("new_group_request", params.new_group_request),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                named(list, name, |out| out.int("value", number));
            }
        }
        if let Some(largest) = params.largest_object {
            named(list, "largest_object", |out| {
                location(out, "value", largest)
            });
        }
        if let Some(wanted) = params.filter {
            named(list, "subscription_filter", |out| {
                out.object("value", |out| filter(out, wanted));
            });
        }
        if let Some(prefix) = &params.prefix {
            named(list, "track_namespace_prefix", |out| {
                namespace(out, "value", prefix);
            });
        }
    });
}

fn named(list: &mut List<'_>, name: &str, fill: impl FnOnce(&mut Json)) {
    list.object(|out| {
        out.text("name", name);
        fill(out);
    });
}

/// A token without its value.
fn redacted(out: &mut Json, token: &Token) {
    let (kind, alias, value) = match token {
        Token::Delete { alias } => ("delete", Some(*alias), None),
        Token::Register { alias, token } => ("register", Some(*alias), Some(token)),
        Token::UseAlias { alias } => ("use_alias", Some(*alias), None),
        Token::UseValue(token) => ("use_value", None, Some(token)),
    };
    out.text("alias_type", kind);
    out.maybe("token_alias", alias);
    if let Some(token) = value {
        out.int("token_type", token.token_type);
        length_only(out, "token_value", token.value.len());
    }
}

fn length_only(out: &mut Json, key: &str, len: usize) {
    out.object(key, |raw| raw.int("length", len as u64));
}

fn range(out: &mut Json, range: &FetchRange) {
    match range {
        FetchRange::Standalone {
            track: name,
            start,
            end,
        } => {
            out.text("fetch_type", "standalone");
            out.object("standalone_fetch", |out| {
                track(out, name);
                location(out, "start_location", *start);
                location(out, "end_location", *end);
            });
        }
        FetchRange::RelativeJoining {
            subscription,
            groups,
        } => joining(out, "relative_joining", *subscription, *groups),
        FetchRange::AbsoluteJoining {
            subscription,
            group,
        } => joining(out, "absolute_joining", *subscription, *group),
    }
}

fn joining(out: &mut Json, kind: &str, subscription: RequestId, start: u64) {
    out.text("fetch_type", kind);
    out.object("joining_fetch", |out| {
        out.int("joining_request_id", subscription.0);
        out.int("joining_start", start);
    });
}

fn filter(out: &mut Json, filter: Filter) {
    let (kind, start, end) = match filter {
        Filter::NextGroupStart => (1, None, None),
        Filter::LargestObject => (2, None, None),
        Filter::AbsoluteStart(start) => (3, Some(start), None),
        Filter::AbsoluteRange { start, end_group } => (4, Some(start), Some(end_group)),
    };
    out.int("filter_type", kind);
    if let Some(start) = start {
        location(out, "start_location", start);
    }
    out.maybe("end_group", end);
}

fn location(out: &mut Json, key: &str, location: Location) {
    out.object(key, |out| {
        out.int("group", location.group);
        out.int("object", location.object);
    });
}

fn track(out: &mut Json, track: &FullTrackName) {
    namespace(out, "track_namespace", track.namespace());
    out.object("track_name", |name| bytes(name, track.name()));
}

fn namespace(out: &mut Json, key: &str, namespace: &Namespace) {
    out.list(key, |list| {
        for field in namespace.fields() {
            list.object(|out| bytes(out, field));
        }
    });
}

/// Text when it is text, hexadecimal otherwise.
fn bytes(out: &mut Json, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => out.text("value", text),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            out.text("value_bytes", &hex);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
