//! The real program, its log read line by line.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::spawn_blocking,
};

use crate::common::soon;

/// A folder for one test's files.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "life-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file in one step, as an operator's tools do.
    pub fn write(&self, name: &str, text: &str) -> String {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A running daemon; killed when it is dropped.
pub struct Daemon {
    child: Option<Child>,
    lines: mpsc::UnboundedReceiver<String>,
    pub moq: SocketAddr,
    pub http: SocketAddr,
    pub metrics: SocketAddr,
}

impl Daemon {
    /// Returns when it has said where to find it. Ports are chosen by the system unless the
    /// configuration says otherwise.
    pub async fn start(config: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_moqrelay"));
        for key in [
            "MOQ__LISTEN",
            "HTTP__LISTEN",
            "METRICS__LISTEN",
            "ASTERISK__AUDIOSOCKET",
        ] {
            command.env(format!("MOQRELAY__{key}"), "127.0.0.1:0");
        }
        let mut child = command
            .envs(env.iter().copied())
            .args(["--config", config])
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tx, lines) = mpsc::unbounded_channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        // Ends with the daemon, whose log it is.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                drop(tx.send(line));
            }
        });
        let nowhere = "127.0.0.1:0".parse().unwrap();
        let mut daemon = Self {
            child: Some(child),
            lines,
            moq: nowhere,
            http: nowhere,
            metrics: nowhere,
        };
        let line = daemon.says(" listens").await;
        let field = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=")).unwrap();
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        (daemon.moq, daemon.http, daemon.metrics) = (field("moq"), field("http"), field("metrics"));
        daemon
    }

    /// Waits for a line of the log that has these words in it.
    pub async fn says(&mut self, words: &str) -> String {
        let mut all = Vec::new();
        let found = tokio::time::timeout(crate::common::DEADLINE, async {
            while let Some(line) = self.lines.recv().await {
                all.push(line.clone());
                if line.contains(words) {
                    return Some(line);
                }
            }
            None
        })
        .await;
        match found {
            Ok(Some(line)) => line,
            _ => panic!("never said {words:?}:\n{}", all.join("\n")),
        }
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end and returns the exit status.
    pub async fn end(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        let ended = spawn_blocking(move || child.wait());
        soon(ended).await.unwrap().unwrap().code()
    }

    /// Asks the ops listener; returns the status line and the whole answer.
    pub async fn ops(&self, path: &str) -> (String, String) {
        get(self.metrics, path).await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

pub async fn get(at: SocketAddr, path: &str) -> (String, String) {
    let mut stream = soon(TcpStream::connect(at)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    (answer.lines().next().unwrap().to_owned(), answer)
}
