//! The smallest AudioSocket server: says 1500 Hz at 16 kHz, keeps what it hears.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use uuid::Uuid;

use super::soon;
use super::tone::sine;

/// A server on a port of 127.0.0.1.
pub struct Stub {
    pub port: u16,
    lines: Lines,
    changes: watch::Receiver<u64>,
}

type Lines = Arc<Mutex<BTreeMap<Uuid, Sound>>>;

/// One connection, as far as it has come.
#[derive(Default, Clone)]
pub struct Sound {
    /// 16 kHz.
    pub heard: Vec<i16>,
    /// Digits that came by AudioSocket.
    pub digits: String,
    pub closed: bool,
}

impl Stub {
    /// What it says.
    pub const HZ: f64 = 1500.0;

    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let lines = Lines::default();
        let (change, changes) = watch::channel(0);
        let kept = lines.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, kept.clone(), change.clone()));
            }
        });
        Self {
            port,
            lines,
            changes,
        }
    }

    /// Waits until a connection is as wanted and returns it.
    pub async fn wait(&self, uuid: Uuid, wanted: impl Fn(&Sound) -> bool) -> Sound {
        let mut changes = self.changes.clone();
        soon("sound", async {
            loop {
                let sound = self.lines.lock().unwrap().get(&uuid).cloned();
                if let Some(sound) = sound.filter(|sound| wanted(sound)) {
                    return sound;
                }
                changes.changed().await.unwrap();
            }
        })
        .await
    }

    /// Waits for one more second of sound and returns that.
    pub async fn second(&self, uuid: Uuid) -> Vec<i16> {
        let before = self.wait(uuid, |_| true).await.heard.len();
        let sound = self
            .wait(uuid, |sound| sound.heard.len() >= before + 16_000)
            .await;
        sound.heard[sound.heard.len() - 8000..].to_vec()
    }
}

async fn serve(stream: TcpStream, lines: Lines, change: watch::Sender<u64>) {
    stream.set_nodelay(true).unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let mut head = [0; 3];
    let mut uuid = [0; 16];
    reader.read_exact(&mut head).await.unwrap();
    reader.read_exact(&mut uuid).await.unwrap();
    let uuid = Uuid::from_bytes(uuid);
    let update = |act: &dyn Fn(&mut Sound)| {
        act(lines.lock().unwrap().entry(uuid).or_default());
        change.send_modify(|count| *count += 1);
    };
    update(&|_| {});
    let speak = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        for frame in 0.. {
            tick.tick().await;
            let mut message = vec![0x12, 2, 128];
            message.extend(sine(Stub::HZ, 16_000, frame * 320, 320));
            if writer.write_all(&message).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let listen = async {
        let mut head = [0; 3];
        while reader.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
            if reader.read_exact(&mut payload).await.is_err() {
                break;
            }
            match head[0] {
                0x03 => update(&|sound| sound.digits.push(char::from(payload[0]))),
                0x12 => update(&|sound| {
                    let samples = payload.chunks_exact(2);
                    sound
                        .heard
                        .extend(samples.map(|s| i16::from_le_bytes([s[0], s[1]])));
                }),
                kind => panic!("type {kind:#x} instead of 16 kHz"),
            }
        }
    };
    tokio::select! {
        () = speak => {}
        () = listen => {}
    }
    update(&|sound| sound.closed = true);
}
