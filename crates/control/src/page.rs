//! The web page: files built into the program, or a folder.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::config::Web;

/// Names and contents, sorted by name; see `build.rs`.
static EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// The entity tag of each of them.
static TAGS: LazyLock<Vec<String>> =
    LazyLock::new(|| EMBEDDED.iter().map(|(_, content)| tag(content)).collect());

/// What a path without a file of its own shows.
const INDEX: &str = "index.html";

/// Where the build puts files that carry a hash of their content in their name.
const HASHED: &str = "assets/";

/// The encodings that the build may have prepared, best first, and the ends of their files' names.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// A file.
struct File {
    content: Cow<'static, [u8]>,
    tag: String,
}

/// Answers a request for a file.
pub(crate) async fn serve(web: &Web, method: &Method, path: &str, headers: &HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = path.trim_start_matches('/');
    let name = if path.is_empty() { INDEX } else { path };
    if let Some(response) = send(web, name, headers).await {
        return response;
    }
    // A view of the page, not a file of it: the page itself finds its way.
    if !name
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains('.'))
        && let Some(response) = send(web, INDEX, headers).await
    {
        return response;
    }
    StatusCode::NOT_FOUND.into_response()
}

async fn send(web: &Web, name: &str, headers: &HeaderMap) -> Option<Response> {
    let plain = read(web, name).await?;
    let mut file = plain;
    let mut encoding = None;
    for (coding, end) in ENCODINGS {
        if accepts(headers, coding)
            && let Some(encoded) = read(web, &format!("{name}{end}")).await
        {
            (file, encoding) = (encoded, Some(coding));
            break;
        }
    }
    Some(respond(name, file, encoding, headers))
}

fn respond(
    name: &str,
    file: File,
    encoding: Option<&'static str>,
    request: &HeaderMap,
) -> Response {
    let hashed = name.starts_with(HASHED);
    let caching = if hashed {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let known = request
        .get(IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok());
    let unchanged = known.is_some_and(|tags| {
        tags.split(',')
            .any(|tag| tag.trim().trim_start_matches("W/") == file.tag)
    });
    let mut response = match unchanged {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Body::from(file.content).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&file.tag) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

async fn read(web: &Web, name: &str) -> Option<File> {
    match web {
        Web::Off => None,
        Web::Embedded => {
            let at = EMBEDDED
                .binary_search_by_key(&name, |(name, _)| name)
                .ok()?;
            Some(File {
                content: EMBEDDED[at].1.into(),
                tag: TAGS[at].clone(),
            })
        }
        Web::Folder(folder) => {
            let path = below(folder, name)?;
            let content = tokio::fs::read(path).await.ok()?;
            Some(File {
                tag: tag(&content),
                content: content.into(),
            })
        }
    }
}

/// Returns a path that cannot leave the folder.
fn below(folder: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    let plain = name
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| folder.join(name))
}

fn tag(content: &[u8]) -> String {
    let hash = digest(&SHA256, content);
    let hex: String = hash
        .as_ref()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let codings = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        let refused = |part: &str| {
            part.strip_prefix("q=")
                .is_some_and(|q| q.parse() == Ok(0.0))
        };
        parts.next() == Some(coding) && !parts.any(refused)
    })
}

/// The kinds of file that the build makes.
fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("wav") => "audio/wav",
        Some("mp3") => "audio/mpeg",
        Some("ogg" | "opus") => "audio/ogg",
        Some("txt") => "text/plain; charset=utf-8",
        Some(_) | None => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_folder() {
        let folder = Path::new("/srv/web");
        for name in [
            "../secret",
            "a/../../b",
            "/etc/passwd",
            "..",
            "a/..",
            "./../x",
        ] {
            assert_eq!(below(folder, name), None, "{name}");
        }
        assert_eq!(
            below(folder, "a/b.js"),
            Some(PathBuf::from("/srv/web/a/b.js"))
        );
    }

    #[test]
    fn an_encoding_is_taken_when_offered_and_not_refused() {
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))])
        };

        assert!(accepts(&headers("gzip, deflate, br"), "br"));
        assert!(accepts(&headers("br;q=0.5"), "br"));
        assert!(!accepts(&headers("gzip, br;q=0"), "br"));
        assert!(!accepts(&headers("brotli"), "br"));
        assert!(!accepts(&HeaderMap::new(), "gzip"));
    }

    #[test]
    fn a_page_is_built_in_and_names_are_sorted() {
        assert!(EMBEDDED.iter().any(|(name, _)| *name == INDEX));
        assert!(EMBEDDED.is_sorted_by_key(|(name, _)| name));
    }
}
