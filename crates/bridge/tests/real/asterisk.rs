//! Asterisk in the foreground, from `deploy/asterisk`.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use super::DEADLINE;

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A running Asterisk; it ends with this value.
pub struct Asterisk {
    pub sip: u16,
    pub http: u16,
    audiosocket: u16,
    websocket: u16,
    version: &'static str,
    folder: PathBuf,
    child: Child,
}

impl Asterisk {
    /// Starts one that looks for our AudioSocket at a port of 127.0.0.1.
    pub fn start(audiosocket: u16) -> Self {
        Self::start_with(audiosocket, 0)
    }

    #[allow(dead_code, reason = "not every test has an old Asterisk")]
    /// Starts Asterisk 16, which knows neither AudioSocket nor WebSockets.
    pub fn start_16() -> Self {
        Self::of_version("16", 0, 0)
    }

    /// The same, and it looks for our media WebSockets too.
    pub fn start_with(audiosocket: u16, websocket: u16) -> Self {
        Self::of_version("22", audiosocket, websocket)
    }

    fn of_version(version: &'static str, audiosocket: u16, websocket: u16) -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let (sip, http) = (
            udp.local_addr().unwrap().port(),
            tcp.local_addr().unwrap().port(),
        );
        drop((udp, tcp));
        let folder = folder("asterisk");
        let child = run(version, &folder, sip, http, audiosocket, websocket);
        Self {
            sip,
            http,
            audiosocket,
            websocket,
            version,
            folder,
            child,
        }
    }

    /// Ends it at once, without a good-bye.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same ports.
    pub fn start_again(&mut self) {
        let (sip, http) = (self.sip, self.http);
        let (audiosocket, websocket) = (self.audiosocket, self.websocket);
        self.child = run(
            self.version,
            &self.folder,
            sip,
            http,
            audiosocket,
            websocket,
        );
    }

    /// Returns what a command of its command line prints.
    pub fn cli(&self, command: &str) -> String {
        let output = Command::new(script("cli"))
            .arg(&self.folder)
            .arg(command)
            .env("ASTERISK", self.version)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn run(
    version: &str,
    folder: &Path,
    sip: u16,
    http: u16,
    audiosocket: u16,
    websocket: u16,
) -> Child {
    let mut child = Command::new(script("run"))
        .arg(folder)
        .env("ASTERISK", version)
        .env("PORT_SIP", sip.to_string())
        .env("PORT_HTTP", http.to_string())
        .env("AUDIOSOCKET", format!("127.0.0.1:{audiosocket}"))
        .env("WEBSOCKET", format!("127.0.0.1:{websocket}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("deploy/asterisk/run can be started");
    wait_for_line(&mut child, "Asterisk Ready");
    child
}

/// Waits for a line of the program's output, and goes on reading it.
pub fn wait_for_line(child: &mut Child, wanted: &'static str) {
    let output = child.stdout.take().unwrap();
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = String::new();
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            lines.push_str(&line);
            lines.push('\n');
            if line.contains(wanted) {
                tx.send(Ok(())).ok();
            }
        }
        tx.send(Err(lines)).ok();
    });
    match rx.recv_timeout(DEADLINE) {
        Ok(Ok(())) => {}
        Ok(Err(lines)) => panic!(
            "it ended before {wanted:?} (it needs root and the tree of deploy/asterisk/rootfs):\n{lines}"
        ),
        Err(_) => panic!("{wanted:?} did not come"),
    }
}

pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/asterisk")
        .join(name)
}

pub fn folder(what: &str) -> PathBuf {
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let name = format!("moqrelay-test-{what}-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
