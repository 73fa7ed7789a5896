//! The web page and what every answer carries.

use std::fs;
use std::path::PathBuf;

use moqrelay_control::Web;
use serde_json::json;

use crate::world::Server;

#[tokio::test]
async fn the_page_is_there_and_its_views_are_the_page() {
    let server = Server::start().await;

    let (page, view) = (server.get("/").await, server.get("/some/view").await);

    assert_eq!((page.status, view.status), (200, 200));
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.body, view.body);
    assert!(page.text().to_lowercase().starts_with("<!doctype html>"));
}

#[tokio::test]
async fn the_page_is_isolated_and_may_do_no_more_than_it_needs() {
    let server = Server::start().await;

    let page = server.get("/").await;

    assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
    assert_eq!(page.header("cross-origin-embedder-policy"), "require-corp");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'self'; ",
        "script-src 'self' 'wasm-unsafe-eval'; ",
        "worker-src 'self'; ",
        "object-src 'none'; ",
        "frame-ancestors 'none'",
        &format!(
            "connect-src 'self' ws://{0} wss://{0} https://127.0.0.1:4443; ",
            server.address
        ),
    ] {
        assert!(policy.contains(part), "{part} is not in {policy}");
    }
    assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"));
}

#[tokio::test]
async fn an_unchanged_file_is_not_sent_again() {
    let server = Server::start().await;
    let page = server.get("/").await;
    let tag = page.header("etag").to_owned();
    assert_eq!(page.header("cache-control"), "no-cache");

    let same = server
        .http("GET", "/", &[("if-none-match", &tag)], "")
        .await;
    let other = server
        .http("GET", "/", &[("if-none-match", "\"other\"")], "")
        .await;

    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!((other.status, other.body), (200, page.body));
}

#[tokio::test]
async fn hashed_files_are_kept_for_ever_and_sent_compressed_where_prepared() {
    let folder = folder("compressed");
    let server = Server::with(|config, _| config.web = Web::Folder(folder.0.clone())).await;

    let plain = server.get("/assets/app-1234.js").await;
    let asks = [("accept-encoding", "gzip, br")];
    let small = server.http("GET", "/assets/app-1234.js", &asks, "").await;
    let gzip = [("accept-encoding", "gzip")];
    let unprepared = server.http("GET", "/assets/app-1234.js", &gzip, "").await;

    assert_eq!(
        plain.header("cache-control"),
        "public, max-age=31536000, immutable"
    );
    assert_eq!(
        plain.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    assert_eq!(
        (plain.text().as_str(), plain.header("content-encoding")),
        ("plain", "")
    );
    assert_eq!(
        (small.text().as_str(), small.header("content-encoding")),
        ("small", "br")
    );
    assert_eq!(
        small.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    assert_eq!(small.header("vary"), "accept-encoding");
    assert_ne!(small.header("etag"), plain.header("etag"));
    assert_eq!(unprepared.text(), "plain");
}

#[tokio::test]
async fn wasm_has_its_type() {
    let folder = folder("wasm");
    let server = Server::with(|config, _| config.web = Web::Folder(folder.0.clone())).await;

    let wasm = server.get("/core.wasm").await;

    assert_eq!(wasm.header("content-type"), "application/wasm");
    assert_eq!(wasm.header("cache-control"), "no-cache");
}

#[tokio::test]
async fn nothing_outside_the_folder_is_served() {
    let folder = folder("outside");
    let inside = folder.0.join("inside");
    fs::create_dir_all(&inside).unwrap();
    fs::write(inside.join("index.html"), "page").unwrap();
    let server = Server::with(|config, _| config.web = Web::Folder(inside.clone())).await;

    for path in [
        "/../core.wasm",
        "/%2e%2e/core.wasm",
        "/..%2fcore.wasm",
        "//core.wasm",
        "/x.js",
    ] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_head_has_no_body_and_a_post_no_page() {
    let server = Server::start().await;

    let head = server.http("HEAD", "/", &[], "").await;
    let post = server.http("POST", "/", &[], "").await;

    assert_eq!((head.status, head.body.len(), post.status), (200, 0, 405));
}

#[tokio::test]
async fn without_a_page_the_api_is_still_there() {
    let server = Server::with(|config, _| config.web = Web::Off).await;

    assert_eq!(server.get("/").await.status, 404);
    assert_eq!(server.get("/api/v1/transport").await.status, 200);
}

#[tokio::test]
async fn transport_tells_where_moq_is_by_the_host_that_was_asked() {
    let server = Server::start().await;

    let answer = server.get("/api/v1/transport").await;

    let expected = json!({
        "url": "https://127.0.0.1:4443/moq",
        "fallback_url": "/moq",
        "others": ["https://other.example:4443/moq"],
        "drafts": ["moqt-18"],
        "certificate_hashes": [{"algorithm": "sha-256", "value": "ab".repeat(32)}],
        "renewed_before": "2026-12-01T10:00:00Z",
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn an_unknown_path_of_the_api_is_no_page() {
    let server = Server::start().await;

    let answer = server.get("/api/v1/nothing").await;

    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (404, &json!("not_found"))
    );
    assert_eq!(server.get("/api/v1/guest").await.status, 405);
}

/// A folder with a page, gone at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn folder(name: &str) -> Folder {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(folder.join("assets")).unwrap();
    fs::write(folder.join("index.html"), "<!doctype html>").unwrap();
    fs::write(folder.join("core.wasm"), b"\0asm").unwrap();
    fs::write(folder.join("assets/app-1234.js"), "plain").unwrap();
    fs::write(folder.join("assets/app-1234.js.br"), "small").unwrap();
    Folder(folder)
}
