//! Asterisk: whether it can be reached, is the right one and has what calls need.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use moqrelay_bridge::ari::{self, Failure, Method, Probe, Reply};
use serde::Deserialize;

use super::{Report, echo};
use crate::{config::Config, daemon::ari_config, version::Version};

/// What ARI's calls need of Asterisk.
const MODULES: [&str; 11] = [
    "res_audiosocket.so",
    "chan_audiosocket.so",
    "codec_resample.so",
    "bridge_simple.so",
    "bridge_softmix.so",
    "res_stasis.so",
    "app_stasis.so",
    "res_ari_channels.so",
    "res_ari_bridges.so",
    "res_ari_events.so",
    "res_ari_applications.so",
];

/// What tickets need besides.
const TICKET_MODULES: [&str; 4] = ["res_curl.so", "func_curl.so", "func_uri.so", "app_dial.so"];

/// Looks at Asterisk, as far as the configuration lets us.
pub(super) async fn look(report: &mut Report, config: &Config, runs: bool, clock_max: Duration) {
    let ari = match ari_config(config) {
        Ok(ari) => ari,
        Err(error) => {
            return report.bad(
                "asterisk.ari.ca",
                format!("{error:#}"),
                "name the PEM file of who signed Asterisk's certificate",
            );
        }
    };
    let Some(ari) = ari else {
        let says = match config.asterisk.secret {
            Some(_) => {
                "there is no [asterisk.ari]: calls come by tickets, and Asterisk cannot be asked"
            }
            None => {
                "there is neither [asterisk.ari] nor asterisk.secret: browsers call each other only"
            }
        };
        return report.skipped("Asterisk", says);
    };
    let probe = match Probe::new(&ari) {
        Ok(probe) => probe,
        Err(error) => {
            return report.bad("asterisk.ari", error.to_string(), "mend that key");
        }
    };
    let Some(version) = login(report, &probe, config, clock_max).await else {
        return;
    };
    judge(report, version);
    let complete = modules(report, &probe, config).await;
    application(report, &probe, &ari.app, runs).await;
    if !complete {
        return report.skipped("AudioSocket", "modules are missing");
    }
    let Some((listen, told)) = meeting_place(config, &ari, runs) else {
        return report.bad(
            "asterisk.ari.audiosocket",
            format!("{} has no port", ari.audiosocket),
            "write HOST:PORT, as Asterisk reaches this machine",
        );
    };
    echo::look(report, &probe, listen, &told, runs).await;
}

/// Asks for what Asterisk is; returns its version when it answers.
async fn login(
    report: &mut Report,
    probe: &Probe,
    config: &Config,
    clock_max: Duration,
) -> Option<Version> {
    let host = probe.host();
    let began = SystemTime::now();
    let reply = match probe.ask(Method::Get, "asterisk/info", &[], &[]).await {
        Ok(reply) => reply,
        Err(failure) => {
            if failure == Failure::Untrusted {
                report.bad(
                    "ARI",
                    format!("{host} does not show a certificate that we trust"),
                    "make asterisk.ari.ca the file of who signed it (a self-signed one, with CA:FALSE, signs itself); it must name the host of asterisk.ari.url as subjectAltName; set tlsenable and tlsbindaddr in http.conf",
                );
                return None;
            }
            let says = match failure {
                Failure::Timeout => format!("{host} does not answer"),
                _ => format!("nobody listens on {host}"),
            };
            report.bad(
                "ARI",
                says,
                "start Asterisk; set enabled, bindaddr and bindport in http.conf and enabled in ari.conf; compare with asterisk.ari.url",
            );
            return None;
        }
    };
    match reply.status {
        200 => {}
        401 => {
            report.bad(
                "ARI",
                format!("{host} refuses the user or the password"),
                format!(
                    "make asterisk.ari.user and asterisk.ari.password those of ari.conf ([{}] with type = user), then `module reload res_ari.so` in Asterisk",
                    user(config)
                ),
            );
            return None;
        }
        404 => {
            report.bad(
                "ARI",
                format!("{host} speaks HTTP, but has no ARI there"),
                "end asterisk.ari.url in /ari (http.conf's prefix before it); load res_ari.so and its parts; set enabled = yes in ari.conf",
            );
            return None;
        }
        status => {
            report.bad(
                "ARI",
                format!("{host} answers {status}"),
                "look into Asterisk's log",
            );
            return None;
        }
    }
    report.good("ARI", format!("{host} lets {} in", user(config)));
    clock(report, &reply, began, clock_max);
    let info: Option<Info> = serde_json::from_slice(&reply.body).ok();
    let version = info.and_then(|info| Version::parse(&info.system.version));
    if version.is_none() {
        report.skipped("Asterisk", "it does not say which version it is");
    }
    version
}

fn user(config: &Config) -> &str {
    config.asterisk.ari.as_ref().map_or("", |ari| &ari.user)
}

#[derive(Deserialize)]
struct Info {
    system: System,
}

#[derive(Deserialize)]
struct System {
    version: String,
}

/// Compares the clocks. Asterisk tells whole seconds.
fn clock(report: &mut Report, reply: &Reply, began: SystemTime, most: Duration) {
    const CHECK: &str = "clock";
    let Some(there) = reply.date else {
        return report.skipped(CHECK, "Asterisk does not say what time it is");
    };
    let here = SystemTime::now();
    // What its time may have been while we asked.
    let (first, last) = (there, there + Duration::from_secs(1));
    let behind = began.duration_since(last).unwrap_or_default();
    let ahead = first.duration_since(here).unwrap_or_default();
    let (apart, word) = match behind > ahead {
        true => (behind, "behind"),
        false => (ahead, "ahead of"),
    };
    match apart > most {
        false => report.good(CHECK, format!("Asterisk's and ours agree within {most:?}")),
        true => report.bad(
            CHECK,
            format!(
                "Asterisk's is {} s {word} ours: records of calls cannot be put together, and tokens end too early or too late",
                apart.as_secs()
            ),
            "let both machines follow a time server (systemd-timesyncd, chrony)",
        ),
    }
}

fn judge(report: &mut Report, version: Version) {
    const CHECK: &str = "Asterisk";
    let says = version.to_string();
    if !version.has_audiosocket() {
        report.bad(
            CHECK,
            format!("{says} has no AudioSocket"),
            "install Asterisk 22, or 20.14 at least",
        );
    } else if !version.tells_digits() {
        report.warning(
            CHECK,
            format!("{says} does not tell by AudioSocket which keys are pressed: calls by tickets have no digits"),
            "install Asterisk 22.7 or newer",
        );
    } else {
        report.good(CHECK, format!("{says} has what is needed"));
    }
}

/// Looks which modules run; returns whether those for calls do.
async fn modules(report: &mut Report, probe: &Probe, config: &Config) -> bool {
    const CHECK: &str = "modules";
    #[derive(Deserialize)]
    struct Module {
        name: String,
        status: String,
    }
    let reply = probe.ask(Method::Get, "asterisk/modules", &[], &[]).await;
    let list: Option<Vec<Module>> = reply
        .ok()
        .filter(|reply| reply.status == 200)
        .and_then(|reply| serde_json::from_slice(&reply.body).ok());
    let Some(list) = list else {
        report.skipped(CHECK, "Asterisk does not list them");
        return true;
    };
    let runs = |name: &&str| {
        list.iter()
            .any(|module| module.name == *name && module.status == "Running")
    };
    let missing = |names: &[&'static str]| -> Vec<&'static str> {
        names.iter().copied().filter(|name| !runs(name)).collect()
    };
    let for_calls = missing(&MODULES);
    let for_tickets = match config.asterisk.secret {
        Some(_) => missing(&TICKET_MODULES),
        None => Vec::new(),
    };
    if for_calls.is_empty() && for_tickets.is_empty() {
        report.good(CHECK, "all that are needed run");
    }
    if !for_calls.is_empty() {
        report.bad(
            CHECK,
            format!(
                "{} not loaded: there will be no calls by ARI",
                are(&for_calls)
            ),
            load(&for_calls),
        );
    }
    if !for_tickets.is_empty() {
        report.bad(
            CHECK,
            format!(
                "{} not loaded: there will be no calls by tickets",
                are(&for_tickets)
            ),
            load(&for_tickets),
        );
    }
    for_calls.is_empty()
}

fn are(names: &[&str]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(", "))
}

fn load(names: &[&str]) -> String {
    let lines: Vec<_> = names
        .iter()
        .map(|name| format!("`load = {name}`"))
        .collect();
    format!(
        "{} in modules.conf, and `module load` in Asterisk (install the package that has them if there is no such file)",
        lines.join(", ")
    )
}

/// Looks whether the running daemon has its application.
async fn application(report: &mut Report, probe: &Probe, app: &str, runs: bool) {
    const CHECK: &str = "ARI application";
    if !runs {
        return report.skipped(CHECK, "the daemon does not run");
    }
    let reply = probe.ask(Method::Get, "applications", &[app], &[]).await;
    match reply.map(|reply| reply.status) {
        Ok(200) => report.good(CHECK, format!("the running daemon is connected as {app}")),
        Ok(404) => report.bad(
            CHECK,
            format!("the running daemon is not connected as {app}: telephones reach nobody"),
            "look into the daemon's log for ARI; was its configuration changed without a restart?",
        ),
        Ok(status) => report.skipped(CHECK, format!("Asterisk answers {status}")),
        Err(failure) => report.skipped(CHECK, failure.to_string()),
    }
}

/// Returns where to wait for Asterisk's connection, and where Asterisk is told to go. The running
/// daemon's own port cannot be had: then it is another one of the same machine.
fn meeting_place(config: &Config, ari: &ari::Config, runs: bool) -> Option<(SocketAddr, String)> {
    let listen = config.asterisk.audiosocket;
    if !runs {
        return Some((listen, ari.audiosocket.clone()));
    }
    let (host, _) = ari.audiosocket.rsplit_once(':')?;
    Some((SocketAddr::new(listen.ip(), 0), format!("{host}:0")))
}
