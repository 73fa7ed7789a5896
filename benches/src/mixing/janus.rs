//! Janus with its AudioBridge, started for one run on loopback: told what to do by its Unix socket, spoken to by RTP.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use moqrelay_audio::{Frame, SampleRate, opus};
use moqrelay_wire::rtp;
use serde_json::{Value, json};
use tokio::{
    net::{UdpSocket, UnixDatagram},
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval_at, sleep, timeout},
};

use super::Args;
use crate::{proc::Cpu, voice};

/// What one run took.
#[derive(Debug)]
pub(super) struct Taken {
    /// The part of a core.
    pub(super) used: f64,
    /// The packets of the mix that came, as a part of those that should.
    pub(super) heard: f64,
    /// As Janus says it.
    pub(super) version: String,
}

const FRAME: Duration = Duration::from_millis(20);

/// RTP's clock for Opus, in 20 ms.
const TICKS: u32 = 960;

/// A payload type that nobody else has.
const PAYLOAD_TYPE: u8 = 100;

/// The only room.
const ROOM: u32 = 1;

/// From the start to the first answer, and from a request to its own.
const START_MAX: Duration = Duration::from_secs(20);
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Before what counts, as with our own legs.
const WARM_UP: Duration = Duration::from_secs(5);

/// What is not needed; some of it ends the process when it finds no configuration.
const PLUGINS: [&str; 11] = [
    "duktape",
    "lua",
    "echotest",
    "recordplay",
    "sip",
    "nosip",
    "streaming",
    "textroom",
    "videocall",
    "videoroom",
    "voicemail",
];
const TRANSPORTS: [&str; 5] = ["http", "websockets", "rabbitmq", "mqtt", "nanomsg"];

/// The longest answer: a room's list of participants.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Runs Janus with a room of participants that all speak.
pub(super) fn take(program: &Path, args: &Args) -> Result<Taken> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(program, args))
}

async fn run(program: &Path, args: &Args) -> Result<Taken> {
    let mut gateway = Gateway::start(program, args.core).await?;
    let version = gateway.version().await?;
    let packets = packets(args.bitrate)?;
    gateway.open_room(args.bitrate).await?;
    let (count_tx, count) = watch::channel(Phase::WarmUp);
    let mut talking = JoinSet::new();
    for one in 0..args.count {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let to = gateway.join(socket.local_addr()?, args.bitrate).await?;
        socket.connect(to).await?;
        let offset = one as usize * 7 % packets.len();
        talking.spawn(talk(socket, one, packets.clone(), offset, count.clone()));
        sleep(Duration::from_micros(400)).await;
    }
    sleep(WARM_UP).await;
    count_tx.send_replace(Phase::Count);
    let (pid, began) = (gateway.child.id(), Instant::now());
    let before = Cpu::of(pid)?;
    sleep(Duration::from_secs(args.seconds)).await;
    let used = Cpu::of(pid)?.since(before).used;
    let took = began.elapsed();
    count_tx.send_replace(Phase::Stop);
    let mut came = 0;
    while let Some(one) = talking.join_next().await {
        came += one??;
    }
    let due = took.as_secs_f64() * 50.0 * f64::from(args.count);
    Ok(Taken {
        used: used.as_secs_f64() / took.as_secs_f64(),
        heard: came as f64 / due,
        version,
    })
}

/// What is to be done with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Count,
    Stop,
}

/// What our own legs say, too.
fn packets(bitrate_bps: u32) -> Result<Arc<Vec<Bytes>>> {
    let rate = SampleRate::Hz16000;
    let mut encoder = opus::Encoder::new(opus::Config {
        bitrate_bps,
        ..opus::Config::new(rate)
    })?;
    let voice = voice::samples(rate.hz());
    let frames = voice.chunks_exact(rate.frame_samples());
    let packet = |samples: &[i16]| Ok(encoder.encode(&Frame::new(rate, samples)?)?);
    Ok(Arc::new(frames.map(packet).collect::<Result<_>>()?))
}

/// Speaks and hears until the phase says stop; returns how many packets came while it said count.
async fn talk(
    socket: UdpSocket,
    ssrc: u32,
    packets: Arc<Vec<Bytes>>,
    offset: usize,
    mut phase: watch::Receiver<Phase>,
) -> Result<u64> {
    let mut ticks = interval_at(tokio::time::Instant::now() + FRAME, FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut speech = packets.iter().cycle().skip(offset);
    let mut packet = rtp::Packet {
        payload_type: PAYLOAD_TYPE,
        ssrc: ssrc + 1,
        ..rtp::Packet::default()
    };
    let (mut out, mut inbox, mut came) = (BytesMut::new(), [0; 1500], 0);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                packet.payload = speech.next().cloned().unwrap_or_default();
                packet.sequence = packet.sequence.wrapping_add(1);
                packet.timestamp = packet.timestamp.wrapping_add(TICKS);
                out.clear();
                packet.encode(&mut out);
                socket.send(&out).await?;
            }
            read = socket.recv(&mut inbox) => {
                let len = read?;
                if *phase.borrow() == Phase::Count && !rtp::is_rtcp(&inbox[..len]) {
                    came += 1;
                }
            }
            changed = phase.changed() => {
                changed?;
                if *phase.borrow() == Phase::Stop {
                    return Ok(came);
                }
            }
        }
    }
}

/// The process, and the way to it.
struct Gateway {
    child: Child,
    folder: PathBuf,
    socket: UnixDatagram,
    session: u64,
    transactions: u64,
}

impl Gateway {
    async fn start(program: &Path, core: Option<u32>) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("moqrelay-janus-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let theirs = folder.join("janus");
        let config = |name: &str, text: String| fs::write(folder.join(name), text);
        config(
            "janus.jcfg",
            format!(
                "general: {{ debug_level = 2, session_timeout = 0, server_name = \"bench\" }}\n\
                 media: {{ rtp_port_range = \"20000-29999\" }}\n\
                 plugins: {{ disable = \"{}\" }}\ntransports: {{ disable = \"{}\" }}\n",
                libraries(&PLUGINS),
                libraries(&TRANSPORTS)
            ),
        )?;
        config(
            "janus.transport.pfunix.jcfg",
            format!(
                "general: {{ enabled = true, json = \"compact\", path = \"{}\", type = \"SOCK_DGRAM\" }}\n",
                theirs.display()
            ),
        )?;
        config(
            "janus.plugin.audiobridge.jcfg",
            "general: { local_ip = \"127.0.0.1\", rtp_port_range = \"30000-39999\" }\n".into(),
        )?;
        let mut command = match core {
            None => Command::new(program),
            Some(core) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["--cpu-list", &core.to_string()]).arg(program);
                pinned
            }
        };
        let log = fs::File::create(folder.join("log"))?;
        let child = command
            .arg("--configs-folder")
            .arg(&folder)
            .arg("--disable-colors")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let ours = folder.join("bench");
        drop(fs::remove_file(&ours));
        let mut gateway = Self {
            child,
            socket: UnixDatagram::bind(ours)?,
            folder,
            session: 0,
            transactions: 0,
        };
        let deadline = Instant::now() + START_MAX;
        while gateway.socket.connect(&theirs).is_err() {
            ensure!(Instant::now() < deadline, "Janus does not start");
            ensure!(gateway.child.try_wait()?.is_none(), "Janus ended");
            sleep(Duration::from_millis(50)).await;
        }
        let session = gateway.ask(json!({ "janus": "create" })).await?;
        gateway.session = id(&session)?;
        Ok(gateway)
    }

    async fn version(&mut self) -> Result<String> {
        let info = self.ask(json!({ "janus": "info" })).await?;
        let version = info["version_string"].as_str();
        Ok(version.unwrap_or("of unknown version").to_owned())
    }

    async fn open_room(&mut self, bitrate_bps: u32) -> Result<()> {
        let handle = self.attach().await?;
        let answer = self
            .tell(
                handle,
                json!({
                    "request": "create", "room": ROOM, "sampling_rate": 16_000, "default_bitrate": bitrate_bps,
                    "allow_rtp_participants": true,
                }),
            )
            .await?;
        let created = answer["plugindata"]["data"]["audiobridge"] == "created";
        ensure!(created, "no room: {answer}");
        Ok(())
    }

    /// Brings one participant in, who is to be found at `from`; returns where it may speak to.
    async fn join(&mut self, from: SocketAddr, bitrate_bps: u32) -> Result<SocketAddr> {
        let handle = self.attach().await?;
        let answer = self
            .tell(
                handle,
                json!({
                    "request": "join", "room": ROOM, "quality": 5, "bitrate": bitrate_bps,
                    "rtp": { "ip": from.ip().to_string(), "port": from.port(), "payload_type": PAYLOAD_TYPE },
                }),
            )
            .await?;
        let rtp = &answer["plugindata"]["data"]["rtp"];
        let port = rtp["port"].as_u64().and_then(|port| port.try_into().ok());
        let port: u16 = port.with_context(|| format!("not joined: {answer}"))?;
        Ok((Ipv4Addr::LOCALHOST, port).into())
    }

    async fn attach(&mut self) -> Result<u64> {
        let session = self.session;
        let attach = json!({ "janus": "attach", "session_id": session, "plugin": "janus.plugin.audiobridge" });
        id(&self.ask(attach).await?)
    }

    async fn tell(&mut self, handle: u64, body: Value) -> Result<Value> {
        let session = self.session;
        self.ask(
            json!({ "janus": "message", "session_id": session, "handle_id": handle, "body": body }),
        )
        .await
    }

    /// Sends a request and waits for what answers it; an acknowledgement is no answer.
    async fn ask(&mut self, mut request: Value) -> Result<Value> {
        self.transactions += 1;
        let transaction = self.transactions.to_string();
        request["transaction"] = transaction.clone().into();
        self.socket.send(request.to_string().as_bytes()).await?;
        let mut inbox = vec![0; ANSWER_BYTES_MAX];
        let answered = async {
            loop {
                let len = self.socket.recv(&mut inbox).await?;
                let answer: Value = serde_json::from_slice(&inbox[..len])?;
                if answer["transaction"] != transaction.as_str() || answer["janus"] == "ack" {
                    continue;
                }
                if answer["janus"] == "error" {
                    bail!("Janus refuses: {answer}");
                }
                return Ok(answer);
            }
        };
        timeout(ANSWER_MAX, answered)
            .await
            .context("Janus does not answer")?
    }
}

fn libraries(names: &[&str]) -> String {
    let names = names.iter().map(|name| format!("libjanus_{name}.so"));
    names.collect::<Vec<_>>().join(",")
}

fn id(answer: &Value) -> Result<u64> {
    let id = answer["data"]["id"].as_u64();
    id.with_context(|| format!("no id in {answer}"))
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}
