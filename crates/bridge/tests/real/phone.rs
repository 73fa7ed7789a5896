//! A telephone: baresip, told what to do over TCP.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::asterisk::{folder, script, wait_for_line};
use super::{Asterisk, soon};

/// A registered telephone; it ends with this value.
pub struct Phone {
    sip: u16,
    folder: PathBuf,
    child: Child,
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Phone {
    /// Starts `alice` (1001) or `bob` (1002), who says a tone of `hz`.
    pub async fn start(asterisk: &Asterisk, name: &str, hz: u32) -> Self {
        Self::speaking(asterisk, name, hz, "opus/48000/2,G722/16000/1,PCMU/8000/1").await
    }

    /// The same, with these codecs in order of preference.
    pub async fn speaking(asterisk: &Asterisk, name: &str, hz: u32, codecs: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = folder(name);
        let mut child = Command::new(script("phone"))
            .arg("run")
            .arg(&folder)
            .arg(name)
            .env("PORT_SIP", asterisk.sip.to_string())
            .env("PORT_PHONE", port.to_string())
            .env("HZ", hz.to_string())
            .env("CODECS", codecs)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("deploy/asterisk/phone can be started");
        wait_for_line(&mut child, "200 OK");
        let (reader, writer) = TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap()
            .into_split();
        Self {
            sip: asterisk.sip,
            folder,
            child,
            reader: BufReader::new(reader),
            writer,
        }
    }

    /// Dials a number.
    pub async fn dial(&mut self, number: &str) {
        self.tell("dial", &format!("sip:{number}@127.0.0.1:{}", self.sip))
            .await;
    }

    /// Gives a command.
    pub async fn tell(&mut self, command: &str, params: &str) {
        let text = serde_json::json!({"command": command, "params": params}).to_string();
        self.writer
            .write_all(format!("{}:{text},", text.len()).as_bytes())
            .await
            .unwrap();
    }

    /// Waits for the next event of a type and returns it.
    pub async fn expect(&mut self, kind: &str) -> Value {
        soon(kind, async {
            loop {
                let event = self.next().await;
                if event["type"] == kind {
                    return event;
                }
            }
        })
        .await
    }

    /// Returns what it has heard so far, 48 kHz mono; complete when the call is over.
    pub fn heard(&self) -> Vec<u8> {
        std::fs::read(self.folder.join("heard.wav")).unwrap()
    }

    async fn next(&mut self) -> Value {
        let mut length = Vec::new();
        self.reader.read_until(b':', &mut length).await.unwrap();
        length.pop();
        let length: usize = String::from_utf8(length).unwrap().parse().unwrap();
        let mut text = vec![0; length + 1];
        self.reader.read_exact(&mut text).await.unwrap();
        text.pop();
        serde_json::from_slice(&text).unwrap()
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
