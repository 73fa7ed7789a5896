//! `moqrelay init-asterisk`: what Asterisk needs for a configuration of ours.
//!
//! The snippets are those of `deploy/asterisk/snippets`, with the values of the configuration, without
//! what the mode or the version has no use for.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the snippets are what the program is asked for; what to do with them is said beside"
)]

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args as ClapArgs, ValueEnum};
use moqrelay_bridge::ari::{Method, Probe};

use crate::{
    Failure,
    config::{Ari, Config},
    daemon::ari_config,
    version::Version,
};

/// For what, and where to.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The configuration.
    #[arg(long, short, value_name = "FILE", env = "MOQRELAY_CONFIG")]
    config: PathBuf,

    /// How calls come; as the configuration says unless given.
    #[arg(long, value_enum)]
    mode: Option<Mode>,

    /// Asterisk's version, such as 22.7; asked by ARI or `asterisk -V` unless given.
    #[arg(long, value_name = "VERSION")]
    asterisk: Option<String>,

    /// Writes files into this folder instead of printing.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,

    /// Replaces files that are there.
    #[arg(long, requires = "write")]
    force: bool,
}

/// How calls come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// By ARI: ringing, causes, calls to telephones.
    Ari,
    /// By HTTP tickets, without ARI.
    Ticket,
    /// Both, in different contexts.
    Both,
}

impl Mode {
    fn has_ari(self) -> bool {
        self != Self::Ticket
    }

    fn has_tickets(self) -> bool {
        self != Self::Ari
    }
}

/// A file for Asterisk's folder.
struct Snippet {
    name: &'static str,
    text: String,
}

const GLOBALS: &str = include_str!("../../../deploy/asterisk/snippets/globals-moqrelay.conf");
const DIALPLAN: &str = include_str!("../../../deploy/asterisk/snippets/extensions-moqrelay.conf");
const ARI: &str = include_str!("../../../deploy/asterisk/snippets/ari-moqrelay.conf");
const HTTP: &str = include_str!("../../../deploy/asterisk/snippets/http-moqrelay.conf");
const MODULES: &str = include_str!("../../../deploy/asterisk/snippets/modules-moqrelay.conf");
const PJSIP: &str = include_str!("../../../deploy/asterisk/snippets/pjsip-moqrelay.conf");

/// Prints or writes the snippets.
///
/// # Errors
///
/// When the configuration does not say enough, the version is too old, or a file is there already.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::load(&args.config)
        .with_context(|| args.config.display().to_string())
        .map_err(Failure::Usage)?
        .config;
    let mode = mode(args.mode, &config).map_err(Failure::Usage)?;
    let version = version(args.asterisk.as_deref(), &config).map_err(Failure::Usage)?;
    let snippets = snippets(&config, mode, version).map_err(Failure::Usage)?;
    match &args.write {
        None => print(&snippets),
        Some(folder) => write(&snippets, folder, args.force).map_err(Failure::Run)?,
    }
    Ok(())
}

fn mode(wanted: Option<Mode>, config: &Config) -> Result<Mode> {
    let (ari, secret) = (&config.asterisk.ari, &config.asterisk.secret);
    let mode = match (wanted, ari, secret) {
        (Some(mode), _, _) => mode,
        (None, Some(_), Some(_)) => Mode::Both,
        (None, Some(_), None) => Mode::Ari,
        (None, None, Some(_)) => Mode::Ticket,
        (None, None, None) => bail!(
            "the configuration names no way to Asterisk: set [asterisk.ari] for ARI, or asterisk.secret for tickets"
        ),
    };
    ensure!(
        ari.is_some() || !mode.has_ari(),
        "this mode needs [asterisk.ari] in the configuration"
    );
    ensure!(
        secret.is_some() || !mode.has_tickets(),
        "this mode needs asterisk.secret in the configuration"
    );
    Ok(mode)
}

fn version(named: Option<&str>, config: &Config) -> Result<Version> {
    let (version, from) = match named {
        Some(named) => {
            let version = Version::parse(named);
            let version = version
                .with_context(|| format!("--asterisk {named:?}: a version is 22.7, for example"))?;
            (version, "as named")
        }
        None => match asked(config) {
            Some(version) => (version, "says ARI"),
            None => match installed() {
                Some(version) => (version, "says asterisk -V"),
                None => (
                    Version::USUAL,
                    "assumed: none was found, --asterisk names one",
                ),
            },
        },
    };
    eprintln!("moqrelay: for {version} ({from})");
    ensure!(
        version.has_audiosocket(),
        "{version} has no AudioSocket: 18 is the first that has it"
    );
    Ok(version)
}

/// Asks the Asterisk of the configuration.
fn asked(config: &Config) -> Option<Version> {
    let probe = Probe::new(&ari_config(config).ok()??).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let reply = runtime
        .block_on(probe.ask(Method::Get, "asterisk/info", &[], &[]))
        .ok()
        .filter(|reply| reply.status == 200)?;
    let info: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
    Version::parse(info["system"]["version"].as_str()?)
}

/// Asks the Asterisk of this machine.
fn installed() -> Option<Version> {
    let output = Command::new("asterisk").arg("-V").output().ok()?;
    Version::parse(&String::from_utf8_lossy(&output.stdout))
}

fn snippets(config: &Config, mode: Mode, version: Version) -> Result<Vec<Snippet>> {
    let mut snippets = vec![
        Snippet {
            name: "extensions-moqrelay.conf",
            text: dialplan(config, mode),
        },
        Snippet {
            name: "globals-moqrelay.conf",
            text: globals(config, mode)?,
        },
        Snippet {
            name: "modules-moqrelay.conf",
            text: modules(mode, version),
        },
        Snippet {
            name: "pjsip-moqrelay.conf",
            text: PJSIP.to_owned(),
        },
    ];
    if let Some(ari) = config.asterisk.ari.as_ref().filter(|_| mode.has_ari()) {
        snippets.push(Snippet {
            name: "ari-moqrelay.conf",
            text: ari_user(ari)?,
        });
        snippets.push(Snippet {
            name: "http-moqrelay.conf",
            text: http(ari)?,
        });
    }
    Ok(snippets)
}

/// Replaces the values of some keys (`key = value` at the beginning of a line).
fn with_values(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let key = line.split_once('=').map(|(key, _)| key.trim_end());
        match values.iter().find(|(wanted, _)| key == Some(wanted)) {
            Some((key, value)) => writeln!(out, "{key} = {value}"),
            None => writeln!(out, "{line}"),
        }
        .expect("a String takes everything");
    }
    out
}

/// A value must stay in its line: `;` begins a comment there, and brackets a section.
fn plain<'a>(key: &str, value: &'a str) -> Result<&'a str> {
    let fits = |c: char| !c.is_control() && !matches!(c, ';' | '[' | ']');
    ensure!(
        !value.is_empty() && value.trim() == value && value.chars().all(fits),
        "{key} has a character that cannot stand in a file of Asterisk's (; [ ] or white space at an end)"
    );
    Ok(value)
}

fn globals(config: &Config, mode: Mode) -> Result<String> {
    let told = config
        .asterisk
        .ari
        .as_ref()
        .and_then(|ari| ari.audiosocket.clone());
    let audiosocket = told.unwrap_or_else(|| near(config.asterisk.audiosocket).to_string());
    let scheme = if config.http.tls { "https" } else { "http" };
    let api = format!("{scheme}://{}", near(config.http.listen));
    let secret = match &config.asterisk.secret {
        Some(secret) if mode.has_tickets() => {
            let secret = plain("asterisk.secret", secret.expose())?;
            ensure!(
                !secret.contains(['$', '"', '\\', ',']),
                "asterisk.secret has a character that means something to a dialplan ($ \" \\ ,)"
            );
            secret
        }
        _ => "",
    };
    Ok(with_values(
        GLOBALS,
        &[
            ("MOQRELAY_AUDIOSOCKET", &audiosocket),
            ("MOQRELAY_API", &api),
            ("MOQRELAY_SECRET", secret),
        ],
    ))
}

/// Where a listener is reached on the same machine.
fn near(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        ip if ip.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], listen.port())),
        _ => listen,
    }
}

fn ari_user(ari: &Ari) -> Result<String> {
    let user = plain("asterisk.ari.user", &ari.user)?;
    let password = plain("asterisk.ari.password", ari.password.expose())?;
    let text = with_values(ARI, &[("password", password)]);
    Ok(text.replace("[moqrelay]", &format!("[{user}]")))
}

fn http(ari: &Ari) -> Result<String> {
    let host = ari.url.host_str().unwrap_or("127.0.0.1");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addr = match bare.parse::<IpAddr>() {
        Ok(ip) => ip.to_string(),
        Err(_) if bare == "localhost" => "127.0.0.1".to_owned(),
        Err(_) => plain("asterisk.ari.url", bare)?.to_owned(),
    };
    let port = ari.url.port_or_known_default().unwrap_or(80).to_string();
    if ari.url.scheme() == "http" {
        return Ok(with_values(
            HTTP,
            &[("bindaddr", &addr), ("bindport", &port)],
        ));
    }
    // What is not encrypted stays on the machine.
    let secure = HTTP.replace(";tls", "tls");
    let addr = match addr.contains(':') {
        true => format!("[{addr}]:{port}"),
        false => format!("{addr}:{port}"),
    };
    Ok(with_values(
        &secure,
        &[("bindaddr", "127.0.0.1"), ("tlsbindaddr", &addr)],
    ))
}

/// Sections of the dialplan, by the first words of their heads, and what they are for.
const WITH_ARI: &str = "; With ARI.";
const WITH_TICKETS: &str = "; Without ARI.";

fn dialplan(config: &Config, mode: Mode) -> String {
    const RULE: &str = "; ----------------------------------------------------------------";
    let mut sections = vec![String::new()];
    for line in DIALPLAN.lines() {
        if line.starts_with(RULE) {
            sections.push(String::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push_str(line);
            section.push('\n');
        }
    }
    let wanted = |section: &&String| {
        let head = section.lines().nth(1).unwrap_or_default();
        (mode.has_ari() || !head.starts_with(WITH_ARI))
            && (mode.has_tickets() || !head.starts_with(WITH_TICKETS))
    };
    let text: String = sections.iter().filter(wanted).map(String::as_str).collect();
    let app = match &config.asterisk.ari {
        Some(ari) => ari.app.as_str(),
        None => "moqrelay",
    };
    text.replace("Stasis(moqrelay,", &format!("Stasis({app},"))
}

fn modules(mode: Mode, version: Version) -> String {
    let (mut part, mut before) = ("", "");
    let mut out = String::new();
    for line in MODULES.lines() {
        // A part has its name behind an empty line.
        if line.starts_with(';') && before.is_empty() {
            part = line;
        }
        before = line;
        let unused = match part {
            "; ARI" => !mode.has_ari(),
            "; the dialplan without ARI" => !mode.has_tickets() && is_for_tickets(line),
            _ => false,
        };
        let unknown = line.contains("res_websocket_client") && !version.has_websocket_client();
        let hint = line.starts_with("; Asterisk before");
        if !(unused || unknown || hint) {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn is_for_tickets(line: &str) -> bool {
    ["res_curl", "func_curl", "func_uri"]
        .iter()
        .any(|module| line.contains(module))
}

fn print(snippets: &[Snippet]) {
    for Snippet { name, text } in snippets {
        println!("; ===== {name} =====\n{text}");
    }
}

fn write(snippets: &[Snippet], folder: &Path, force: bool) -> Result<()> {
    let paths = || snippets.iter().map(|snippet| folder.join(snippet.name));
    if !force {
        // Before anything is written: all or nothing.
        for path in paths() {
            ensure!(
                !path.exists(),
                "{} is there already: --force replaces it",
                path.display()
            );
        }
    }
    for (Snippet { text, .. }, path) in snippets.iter().zip(paths()) {
        let told = || path.display().to_string();
        // There are secrets in it; Asterisk runs as another user, who has the group.
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .create_new(!force)
            .truncate(true)
            .mode(0o640)
            .open(&path)
            .with_context(told)?;
        file.write_all(text.as_bytes()).with_context(told)?;
        eprintln!(
            "moqrelay: {} written; its head says where it goes",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        [http]
        listen = "0.0.0.0:8081"
        [asterisk]
        audiosocket = "0.0.0.0:9093"
        secret = "a secret of eight"
        [asterisk.ari]
        url = "http://10.0.0.5:8089/ari"
        user = "relay"
        password = "p4ss"
        app = "phones"
        dial = "PJSIP/{number}@trunk"
        audiosocket = "10.0.0.6:9093"
    "#;

    #[test]
    fn the_values_of_the_configuration_are_in_the_snippets() {
        let all = all(CONFIG, Mode::Both, "22.7");

        for line in [
            "MOQRELAY_AUDIOSOCKET = 10.0.0.6:9093",
            "MOQRELAY_API = http://127.0.0.1:8081",
            "MOQRELAY_SECRET = a secret of eight",
            "[relay]",
            "password = p4ss",
            "bindaddr = 10.0.0.5",
            "bindport = 8089",
            " same => n,Stasis(phones,${EXTEN},${REDIRECTING(from-num)})",
            "load = res_websocket_client.so",
            "load = func_curl.so",
            "[moqrelay-doctor]",
        ] {
            assert!(all.lines().any(|each| each == line), "{line} in {all}");
        }
        assert!(!all.contains("change-this"), "{all}");
    }

    #[test]
    fn with_https_asterisk_serves_tls_there_and_the_rest_on_its_machine() {
        let secure = CONFIG.replace("http://10.0.0.5:8089", "https://10.0.0.5:8089");
        let (plain, secure) = (
            all(CONFIG, Mode::Both, "22.7"),
            all(&secure, Mode::Both, "22.7"),
        );

        for line in [
            "bindaddr = 127.0.0.1",
            "tlsenable = yes",
            "tlsbindaddr = 10.0.0.5:8089",
            "tlscertfile = /etc/asterisk/keys/asterisk.crt",
        ] {
            assert!(secure.lines().any(|each| each == line), "{line}: {secure}");
        }
        assert!(!plain.lines().any(|line| line.starts_with("tls")));
    }

    #[test]
    fn what_the_mode_has_no_use_for_is_left_out() {
        let ari = all(CONFIG, Mode::Ari, "22.7");
        let tickets = all(CONFIG, Mode::Ticket, "22.7");

        assert!(
            !ari.contains("CURL(") && !ari.contains("res_curl.so"),
            "{ari}"
        );
        assert!(ari.contains("[moqrelay-nobody]") && ari.contains("app_playback.so"));
        assert!(
            !tickets.contains("Stasis(") && !tickets.contains("res_ari.so"),
            "{tickets}"
        );
        assert!(tickets.contains("[moqrelay-nobody]") && tickets.contains("CURL("));
    }

    #[test]
    fn what_an_older_version_does_not_know_is_left_out() {
        let all = all(CONFIG, Mode::Ari, "20.14");

        assert!(!all.contains("res_websocket_client"), "{all}");
    }

    #[test]
    fn a_value_that_would_break_its_file_is_refused() {
        for (good, bad) in [
            ("\"p4ss\"", "\"p4;ss\""),
            ("\"relay\"", "\"re]lay\""),
            ("\"a secret of eight\"", "\"a secret of ${EXTEN}\""),
        ] {
            let config = parse(&CONFIG.replace(good, bad));

            assert!(
                snippets(&config, Mode::Both, Version::USUAL).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_mode_is_what_the_configuration_has() {
        let config = parse(CONFIG);
        assert_eq!(mode(None, &config).unwrap(), Mode::Both);

        let config = parse("[asterisk]\nsecret = \"a secret of eight\"");
        assert_eq!(mode(None, &config).unwrap(), Mode::Ticket);
        assert!(mode(Some(Mode::Ari), &config).is_err());

        assert!(mode(None, &parse("")).is_err());
    }

    fn all(config: &str, mode: Mode, version: &str) -> String {
        let version = Version::parse(version).unwrap();
        let snippets = snippets(&parse(config), mode, version).unwrap();
        snippets.into_iter().map(|snippet| snippet.text).collect()
    }

    fn parse(text: &str) -> Config {
        Config::from_sources(
            config::Config::builder()
                .add_source(config::File::from_str(text, config::FileFormat::Toml)),
        )
        .unwrap()
        .config
    }
}
