//! Checks the floor plan: arrows between crates, owners of outside libraries, a ground floor without I/O.
//!
//! ARCHITECTURE.md shows the plan to people; this is what holds it. A new arrow needs a record in `docs/adr`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Which crate may use which, dev-dependencies excepted.
const ARROWS: &[(&str, &[&str])] = &[
    ("moqrelay-moqt", &[]),
    ("moqrelay-wire", &[]),
    ("moqrelay-audio", &[]),
    ("moqrelay-room", &[]),
    ("moqrelay-relay", &["moqrelay-moqt", "moqrelay-wire"]),
    ("moqrelay-processor", &["moqrelay-audio"]),
    (
        "moqrelay-bridge",
        &[
            "moqrelay-wire",
            "moqrelay-audio",
            "moqrelay-relay",
            "moqrelay-processor",
        ],
    ),
    ("moqrelay-control", &["moqrelay-wire", "moqrelay-room"]),
    (
        "moqrelay-wasm",
        &["moqrelay-moqt", "moqrelay-wire", "moqrelay-audio"],
    ),
    (
        "moqrelay",
        &[
            "moqrelay-moqt",
            "moqrelay-wire",
            "moqrelay-audio",
            "moqrelay-room",
            "moqrelay-relay",
            "moqrelay-processor",
            "moqrelay-bridge",
            "moqrelay-control",
        ],
    ),
    (
        "moqrelay-benches",
        &[
            "moqrelay-moqt",
            "moqrelay-wire",
            "moqrelay-audio",
            "moqrelay-room",
            "moqrelay-relay",
            "moqrelay-bridge",
            "moqrelay-control",
            "moqrelay-testkit",
        ],
    ),
    ("moqrelay-testkit", &[]),
    ("xtask", &["moqrelay-wire"]),
];

/// Outside libraries with one owner: nobody else names them, but for tests and benches.
const OWNERS: &[(&str, &str)] = &[
    ("quinn", "moqrelay-relay"),
    ("rustix", "moqrelay"),
    ("quinn-proto", "moqrelay-relay"),
    ("web-transport-quinn", "moqrelay-relay"),
    ("rcgen", "moqrelay-relay"),
    ("opus", "moqrelay-audio"),
    ("sonora-ns", "moqrelay-audio"),
    ("tonic", "moqrelay-processor"),
    ("tonic-prost", "moqrelay-processor"),
    ("prost", "moqrelay-processor"),
    ("rtp", "moqrelay-bridge"),
    ("webrtc-util", "moqrelay-bridge"),
    ("hyper", "moqrelay-bridge"),
    ("hyper-util", "moqrelay-bridge"),
    ("tokio-tungstenite", "moqrelay-bridge"),
    ("phonelib", "moqrelay-room"),
    ("axum", "moqrelay-control"),
    ("tokio-rustls", "moqrelay-control"),
    ("jsonwebtoken", "moqrelay-control"),
    ("config", "moqrelay"),
    ("clap", "moqrelay"),
    ("metrics-exporter-prometheus", "moqrelay"),
    ("tracing-subscriber", "moqrelay"),
];

/// May use what others own: programs that measure or test the whole.
const FREE: &[&str] = &["moqrelay-benches"];

/// In no product crate at all: the independent peer.
const PEERS: &[&str] = &["moq-transport", "moq-native-ietf"];

/// Without sockets, files, threads and clocks, directly or through others.
const GROUND: &[&str] = &[
    "moqrelay-moqt",
    "moqrelay-wire",
    "moqrelay-audio",
    "moqrelay-room",
];

/// What would bring a runtime or a socket to the ground floor.
const RUNTIMES: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "async-std",
    "smol",
    "nix",
    "quinn",
    "hyper",
];

/// Prints what is wrong, or one line when all is well.
///
/// # Errors
///
/// When the plan is broken, or `cargo metadata` fails.
pub(crate) fn check() -> Result<()> {
    let graph = Graph::load()?;
    let faults: Vec<String> = [arrows(&graph), owners(&graph), ground(&graph)].concat();
    for fault in &faults {
        println!("floorplan: {fault}");
    }
    ensure!(
        faults.is_empty(),
        "{} fault(s) against the floor plan",
        faults.len()
    );
    println!("floorplan: {} crates, no fault", graph.members.len());
    Ok(())
}

fn arrows(graph: &Graph) -> Vec<String> {
    let plan: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut faults = Vec::new();
    for (name, uses) in &graph.members {
        let Some(allowed) = plan.get(name.as_str()) else {
            faults.push(format!("{name} is not in the plan"));
            continue;
        };
        for used in uses.iter().filter(|used| graph.members.contains_key(*used)) {
            if !allowed.contains(&used.as_str()) {
                faults.push(format!("{name} may not use {used}"));
            }
        }
    }
    faults
}

fn owners(graph: &Graph) -> Vec<String> {
    let owners: BTreeMap<_, _> = OWNERS.iter().copied().collect();
    let mut faults = Vec::new();
    for (name, uses) in &graph.members {
        if FREE.contains(&name.as_str()) {
            continue;
        }
        for used in uses {
            if PEERS.contains(&used.as_str()) {
                faults.push(format!(
                    "{name} uses {used}, which is for tests and benches"
                ));
            }
            if let Some(owner) = owners.get(used.as_str())
                && owner != name
            {
                faults.push(format!("{name} uses {used}, which belongs to {owner}"));
            }
        }
    }
    faults
}

fn ground(graph: &Graph) -> Vec<String> {
    let mut faults = Vec::new();
    for name in GROUND {
        let Some(uses) = graph.members.get(*name) else {
            faults.push(format!("{name} is missing"));
            continue;
        };
        let mut seen = BTreeSet::new();
        let mut open: Vec<&String> = uses.iter().collect();
        while let Some(used) = open.pop() {
            if !seen.insert(used) {
                continue;
            }
            if RUNTIMES.contains(&used.as_str()) {
                faults.push(format!(
                    "{name} reaches {used}: no runtime on the ground floor"
                ));
            }
            open.extend(graph.others.get(used).into_iter().flatten());
        }
    }
    faults
}

/// Who depends on whom: names only, normal dependencies only.
struct Graph {
    members: BTreeMap<String, BTreeSet<String>>,
    others: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn load() -> Result<Self> {
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        // Filtered by this machine's platform: what only other systems use does not count.
        let output = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--locked"])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
            .output()
            .context("cargo metadata does not start")?;
        if !output.status.success() {
            bail!(
                "cargo metadata: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Self::parse(&serde_json::from_slice(&output.stdout)?)
    }

    fn parse(metadata: &Value) -> Result<Self> {
        let mut names = BTreeMap::new();
        for package in array(&metadata["packages"])? {
            names.insert(text(&package["id"])?, text(&package["name"])?);
        }
        let mut members = BTreeMap::new();
        let mut others: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let member_ids: BTreeSet<String> = array(&metadata["workspace_members"])?
            .iter()
            .map(text)
            .collect::<Result<_>>()?;
        for node in array(&metadata["resolve"]["nodes"])? {
            let id = text(&node["id"])?;
            let mut uses = BTreeSet::new();
            for dependency in array(&node["deps"])? {
                let normal = array(&dependency["dep_kinds"])?
                    .iter()
                    .any(|k| k["kind"].is_null());
                if normal && let Some(name) = names.get(&text(&dependency["pkg"])?) {
                    uses.insert(name.clone());
                }
            }
            let name = names.get(&id).cloned().unwrap_or_default();
            if member_ids.contains(&id) {
                members.insert(name, uses);
            } else {
                others.entry(name).or_default().extend(uses);
            }
        }
        Ok(Self { members, others })
    }
}

fn array(value: &Value) -> Result<&Vec<Value>> {
    value
        .as_array()
        .context("cargo metadata has an unknown shape")
}

fn text(value: &Value) -> Result<String> {
    Ok(value
        .as_str()
        .context("cargo metadata has an unknown shape")?
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_that_points_up_is_a_fault() {
        let graph = graph(&[
            ("moqrelay-wire", &["moqrelay-room"]),
            ("moqrelay-room", &[]),
        ]);

        assert_eq!(arrows(&graph), ["moqrelay-wire may not use moqrelay-room"]);
    }

    #[test]
    fn a_library_used_beside_its_owner_is_a_fault() {
        let graph = graph(&[
            ("moqrelay-control", &["quinn"]),
            ("moqrelay-relay", &["quinn"]),
        ]);

        assert_eq!(
            owners(&graph),
            ["moqrelay-control uses quinn, which belongs to moqrelay-relay"]
        );
    }

    #[test]
    fn a_runtime_below_a_library_of_the_ground_floor_is_a_fault() {
        let mut graph = graph(&[
            ("moqrelay-moqt", &["innocent"]),
            ("moqrelay-wire", &[]),
            ("moqrelay-audio", &[]),
            ("moqrelay-room", &[]),
        ]);
        graph
            .others
            .insert("innocent".into(), ["tokio".into()].into());

        assert_eq!(
            ground(&graph),
            ["moqrelay-moqt reaches tokio: no runtime on the ground floor"]
        );
    }

    fn graph(members: &[(&str, &[&str])]) -> Graph {
        let members = members
            .iter()
            .map(|(name, uses)| ((*name).into(), uses.iter().map(|u| (*u).into()).collect()))
            .collect();
        Graph {
            members,
            others: BTreeMap::new(),
        }
    }
}
