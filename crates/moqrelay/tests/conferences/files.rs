//! Files in the chat: brought by one, had by those to whom it was said, and by nobody else.

use serde_json::{Value, json};

use crate::{
    config,
    page::{Page, request},
    program::{Daemon, Folder},
    two,
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

#[tokio::test]
async fn a_file_is_brought_said_and_had_by_who_comes_later() {
    let (_folder, daemon, mut anna, mut bert) = two().await;
    let taken = &anna.joined["media"]["files"];
    assert_eq!(taken["bytes"], 8 << 20);
    assert_eq!(taken["types"][0], "image/png");

    let (status, answer) = put(&daemon, &anna, "image/png", "a%20%C3%BC.png", PNG).await;
    assert_eq!(status, 201, "{answer}");
    let file = json!({ "id": "f1", "name": "a ü.png", "type": "image/png", "bytes": PNG.len() });
    assert_eq!(answer, json!({ "file": file }));
    assert_eq!(get(&daemon, &bert, "f1").await.0, 404);
    let say = json!({ "act": "say", "text": "look", "file": "f1" });
    anna.act(say.clone()).await.unwrap();
    let said = bert.event("chat", |_| true).await;
    assert_eq!(said["message"]["file"], file);
    // Nobody gives away what another one brought.
    assert_eq!(bert.act(say).await.unwrap_err(), "not_found");
    let mut carl = Page::guest(&daemon, "Carl").await;
    let joined = carl.join("board").await;
    assert_eq!(joined["chat"][0]["file"], file);

    let (status, head, content) = get(&daemon, &carl, "f1").await;
    assert_eq!((status, content.as_slice()), (200, PNG));
    for header in [
        "content-type: image/png",
        "content-disposition: inline; filename*=UTF-8''a%20%C3%BC.png",
        "content-security-policy: default-src 'none'; sandbox",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(head.lines().any(|line| line == header), "{header}: {head}");
    }
    // The room's name leads there, too.
    let by_name = path("board");
    let token = bearer(&carl);
    let (head, _) = request(daemon.http, "GET", &format!("{by_name}/f1"), &token, b"").await;
    assert_eq!(code(&head), 200);
}

#[tokio::test]
async fn a_private_file_is_for_two_and_nobody_who_was_put_out_has_any() {
    let (_folder, daemon, mut anna, mut bert) = two().await;
    let mut carl = Page::guest(&daemon, "Carl").await;
    carl.join("board").await;
    let hostile = "..%2Fx%3Cscript%3E%0D%0A.txt";
    let (_, answer) = put(&daemon, &anna, "text/plain", hostile, b"<script>1</script>").await;
    assert_eq!(answer["file"]["name"], "x<script>.txt");

    anna.act(json!({ "act": "say", "text": "", "file": "f1", "to": "p2" }))
        .await
        .unwrap();
    bert.event("chat", |it| it["message"]["file"]["id"] == "f1")
        .await;

    let (status, head, _) = get(&daemon, &bert, "f1").await;
    assert_eq!(status, 200);
    let attachment = "content-disposition: attachment; filename*=UTF-8''x%3Cscript%3E.txt";
    assert!(head.contains(attachment), "{head}");
    assert!(head.contains("content-type: text/plain; charset=utf-8"));
    assert_eq!(get(&daemon, &carl, "f1").await.0, 404);
    anna.act(json!({ "act": "remove", "participant": "p2" }))
        .await
        .unwrap();
    assert_eq!(get(&daemon, &bert, "f1").await.0, 401);
    let (status, fault) = put(&daemon, &bert, "image/png", "a.png", PNG).await;
    assert_eq!(
        (status, fault["code"].as_str()),
        (401, Some("unauthorized"))
    );
    // The room is over, and its files with it.
    anna.act(json!({ "act": "end" })).await.unwrap();
    assert_eq!(get(&daemon, &anna, "f1").await.0, 401);
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_words() {
    let folder = Folder::new();
    let daemon = Daemon::start(&limited(&folder), &[], &[]).await;
    let mut anna = Page::guest(&daemon, "Anna").await;
    anna.join("board").await;
    let at = path(anna.joined["room"]["id"].as_str().unwrap());
    let own = bearer(&anna);
    let png = "Content-Type: image/png\r\n";

    for (headers, body, status, code) in [
        (format!("{own}{png}"), &[0; 1001][..], 413, "too_large"),
        (format!("{own}{png}"), b"", 400, "bad_message"),
        (format!("{own}{png}"), b"MZ\x90\0", 415, "unsupported_type"),
        (format!("{own}{png}"), b"only text", 415, "unsupported_type"),
        (
            format!("{own}Content-Type: text/html\r\n"),
            b"<p>",
            415,
            "unsupported_type",
        ),
        (own.clone(), PNG, 415, "unsupported_type"),
        (
            format!("{own}{png}X-File-Name: %zz\r\n"),
            PNG,
            400,
            "bad_message",
        ),
        (png.to_owned(), PNG, 401, "unauthorized"),
        (
            format!("{png}Authorization: Bearer x\r\n"),
            PNG,
            401,
            "unauthorized",
        ),
        (
            format!("{own}{png}Origin: https://evil.example\r\n"),
            PNG,
            403,
            "forbidden",
        ),
    ] {
        let (head, answer) = request(daemon.http, "POST", &at, &headers, body).await;
        let fault: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            (self::code(&head), fault["code"].as_str()),
            (status, Some(code))
        );
        assert!(!fault["reason"].as_str().unwrap().is_empty());
    }
    let (head, _) = request(
        daemon.http,
        "POST",
        &path("other"),
        &format!("{own}{png}"),
        PNG,
    )
    .await;
    assert_eq!(code(&head), 404);
    // A length is wanted: a body in chunks has none.
    let chunked = format!("{own}{png}Transfer-Encoding: chunked\r\n");
    assert_eq!(code(&unmeasured(&daemon, &at, &chunked).await), 411);
}

#[tokio::test]
async fn files_come_so_many_in_a_minute_and_the_oldest_go() {
    let folder = Folder::new();
    let daemon = Daemon::start(&limited(&folder), &[], &[]).await;
    let mut anna = Page::guest(&daemon, "Anna").await;
    anna.join("board").await;

    let mut statuses = Vec::new();
    for _ in 0..5 {
        let file = vec![b'a'; 600];
        statuses.push(put(&daemon, &anna, "text/plain", "a.txt", &file).await.0);
    }

    assert_eq!(statuses, [201, 201, 201, 201, 429]);
    let mut had = Vec::new();
    for file in ["f1", "f2", "f3", "f4"] {
        had.push(get(&daemon, &anna, file).await.0);
    }
    assert_eq!(had, [404, 200, 200, 200]);
    let (_, metrics) = request(daemon.metrics, "GET", "/metrics", "", b"").await;
    let metrics = String::from_utf8(metrics).unwrap();
    for line in [
        "moqrelay_room_files_total{result=\"taken\"} 4",
        "moqrelay_room_files_total{result=\"rate_limited\"} 1",
        "moqrelay_room_file_reads_total{result=\"not_found\"} 1",
        "moqrelay_room_file_bytes 1800",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

fn limited(folder: &Folder) -> String {
    let path = config(folder);
    let text = std::fs::read_to_string(&path).unwrap();
    let limits =
        "[rooms]\nfile_bytes = 1000\nfile_total = 2000\nfiles_per_minute = 4\n[[rooms.room]]";
    folder.write("limited.toml", &text.replacen("[[rooms.room]]", limits, 1))
}

fn path(room: &str) -> String {
    format!("/api/v1/rooms/{room}/files")
}

fn bearer(page: &Page) -> String {
    let token = page.joined["media"]["token"].as_str().unwrap();
    format!("Authorization: Bearer {token}\r\n")
}

fn code(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn put(
    daemon: &Daemon,
    page: &Page,
    media_type: &str,
    name: &str,
    file: &[u8],
) -> (u16, Value) {
    let at = path(page.joined["room"]["id"].as_str().unwrap());
    let headers = format!(
        "{}Content-Type: {media_type}\r\nX-File-Name: {name}\r\n",
        bearer(page)
    );
    let (head, answer) = request(daemon.http, "POST", &at, &headers, file).await;
    (code(&head), serde_json::from_slice(&answer).unwrap())
}

async fn get(daemon: &Daemon, page: &Page, file: &str) -> (u16, String, Vec<u8>) {
    let at = path(page.joined["room"]["id"].as_str().unwrap());
    let at = format!("{at}/{file}");
    let (head, content) = request(daemon.http, "GET", &at, &bearer(page), b"").await;
    (code(&head), head, content)
}

/// Sends a file without saying how long it is.
async fn unmeasured(daemon: &Daemon, at: &str, headers: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(daemon.http).await.unwrap();
    let head =
        format!("POST {at} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"1\r\na\r\n0\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    crate::common::soon(stream.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8(answer).unwrap()
}
