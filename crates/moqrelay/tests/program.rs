//! The program as its operator meets it: exit codes, messages, an orderly end.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Only a fault reaches it.
const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn a_good_configuration_is_called_good() {
    let output = moqrelay(&["--config", &shipped("relay.toml"), "--check"]);

    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("is good"));
}

#[test]
fn a_wrong_value_ends_the_program_with_2_and_names_the_key() {
    let file = scratch("[calls]\nring_timeout = \"1s\"\n");

    let output = moqrelay(&["--config", &file, "--check"]);

    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("calls.ring_timeout is 1s: allowed are 5 s to 600 s"));
}

#[test]
fn a_missing_file_ends_the_program_with_2() {
    let output = moqrelay(&["--config", "/nowhere/relay.toml"]);

    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("/nowhere/relay.toml"));
}

#[test]
fn a_certificate_that_cannot_be_read_is_found_by_check() {
    let file = scratch("[tls]\ncertificate = \"/nowhere/c.pem\"\nkey = \"/nowhere/k.pem\"\n");

    let output = moqrelay(&["--config", &file, "--check"]);

    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("/nowhere/"), "{}", text(&output));
}

#[test]
fn two_users_with_one_number_are_found_by_check() {
    let file = scratch(
        "[[users]]\nid = \"a\"\nname = \"A\"\nnumber = \"1\"\n[[users]]\nid = \"b\"\nname = \"B\"\nnumber = \"1\"\n",
    );

    let output = moqrelay(&["--config", &file, "--check"]);

    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("number 1 belongs to two users"),
        "{}",
        text(&output)
    );
}

#[test]
fn an_occupied_tcp_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let output = with_ports(Command::new(BIN))
        .env("MOQRELAY__HTTP__LISTEN", &address)
        .args(["--config", &shipped("relay.toml")])
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains(&format!("TCP {address} (http.listen)")),
        "{}",
        text(&output)
    );
}

#[test]
fn an_occupied_udp_port_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let output = with_ports(Command::new(BIN))
        .env("MOQRELAY__MOQ__LISTEN", &address)
        .args(["--config", &shipped("relay.toml")])
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains(&format!("UDP {address} (moq.listen)")),
        "{}",
        text(&output)
    );
}

#[test]
fn sigterm_ends_the_program_with_0_within_the_drain_time() {
    let mut daemon = Daemon::start();

    daemon.terminate();

    assert_eq!(daemon.wait(), Some(0));
}

#[test]
fn a_token_can_be_made_with_a_key_of_the_configuration() {
    let file = scratch(
        "[[auth.keys]]\nid = \"k\"\nalgorithm = \"HS256\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n",
    );

    let output = moqrelay(&[
        "token", "--config", &file, "--user", "anna", "--put", "room/a",
    ]);

    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let token = String::from_utf8(output.stdout).unwrap();
    assert_eq!(token.trim().split('.').count(), 3);
}

#[test]
fn a_token_of_a_random_key_is_not_made() {
    let output = moqrelay(&[
        "token",
        "--config",
        &shipped("relay.toml"),
        "--user",
        "anna",
    ]);

    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("names no key that can sign"));
}

const BIN: &str = env!("CARGO_BIN_EXE_moqrelay");

fn moqrelay(args: &[&str]) -> Output {
    Command::new(BIN).args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn shipped(name: &str) -> String {
    format!("{}/../../config/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A configuration of its own, below the build's folder for such things.
fn scratch(config: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "{}-{}.toml",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, config).unwrap();
    path.to_str().unwrap().to_owned()
}

fn with_ports(mut command: Command) -> Command {
    for key in [
        "MOQ__LISTEN",
        "HTTP__LISTEN",
        "METRICS__LISTEN",
        "ASTERISK__AUDIOSOCKET",
    ] {
        command.env(format!("MOQRELAY__{key}"), "127.0.0.1:0");
    }
    command
}

struct Daemon {
    child: Child,
    began: Instant,
}

impl Daemon {
    /// Returns when it has said where to find it.
    fn start() -> Self {
        let mut child = with_ports(Command::new(BIN))
            .args(["--config", &shipped("relay.toml")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        if !line.starts_with("moqrelay: open http://localhost:") {
            let mut log = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut log)
                .unwrap();
            panic!("not started: {line} {log}");
        }
        Self {
            child,
            began: Instant::now(),
        }
    }

    fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Returns the exit status.
    fn wait(&mut self) -> Option<i32> {
        // Dropping the pipe would kill a daemon that still logs: it is read to its end.
        let mut log = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        assert!(self.began.elapsed() < DEADLINE, "too late:\n{log}");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = self.child.kill();
        }
    }
}
