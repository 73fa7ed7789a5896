//! The rows of the table: each is a load, a figure and what is wanted of it.

use super::relays::Kind;

/// A load.
#[derive(Debug)]
pub(super) struct Load {
    /// What `--only` takes.
    pub(super) name: &'static str,
    /// For people.
    pub(super) what: &'static str,
    /// The subcommand of this program with its arguments.
    command: &'static [&'static str],
    /// Its command takes `--seconds`.
    lasts: Lasts,
    /// What is shown of it.
    pub(super) figures: &'static [Figure],
    /// Who gets it.
    relays: &'static [Kind],
    /// Workers of ours.
    pub(super) workers: u32,
    /// Where the relay runs.
    pub(super) cores: Cores,
}

/// The cores that a relay has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cores {
    /// One, and the load another.
    Own,
    /// That of the load as well.
    WithLoads,
}

/// How a load is told its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasts {
    Seconds,
    SecondsAndAfter,
    Count,
}

/// One figure of a load's report, and its goal.
#[derive(Debug)]
pub(super) struct Figure {
    /// The field of the report.
    pub(super) field: Field,
    pub(super) unit: &'static str,
    pub(super) goals: &'static [Goal],
}

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// The relay's CPU time for each delivered object, in µs.
    CpuEach,
    /// The 99th percentile of the latency, in ms.
    P99,
    /// Objects a second, all subscribers together.
    Rate,
    /// Objects that did not come, in percent.
    Lost,
    /// What the session that heard least heard of what the one heard that heard most, in percent.
    Alike,
    /// Memory of an idle session, in KB.
    IdleSession,
    /// Memory some time after a load against before, in percent.
    NotGivenBack,
    /// CPU time of a new session, in ms.
    NewSession,
}

/// What ours should be at most.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// So many times the figure of that relay.
    Times(f64, Kind),
    /// So much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
    /// So many times what this load gives.
    TimesLoad(f64, &'static str),
}

const ALL: &[Kind] = &Kind::ALL;
const RELAYS: &[Kind] = &[Kind::Ours, Kind::Ietf, Kind::MoqDev];

const fn cpu(goals: &'static [Goal]) -> Figure {
    Figure {
        field: Field::CpuEach,
        unit: "µs",
        goals,
    }
}

const fn p99(goals: &'static [Goal]) -> Figure {
    Figure {
        field: Field::P99,
        unit: "ms",
        goals,
    }
}

const fn lost(goals: &'static [Goal]) -> Figure {
    Figure {
        field: Field::Lost,
        unit: "% lost",
        goals,
    }
}

/// The table's rows, in its order.
pub(super) const LOADS: &[Load] = &[
    Load {
        name: "datagrams",
        what: "voice 1 → 500, datagrams",
        command: &["fanout", "--subscribers", "500"],
        lasts: Lasts::Seconds,
        figures: &[
            cpu(&[Goal::Times(1.2, Kind::Bare), Goal::Times(0.75, Kind::Ietf)]),
            p99(&[]),
            lost(&[]),
        ],
        relays: ALL,
        workers: 1,
        cores: Cores::Own,
    },
    Load {
        name: "subgroup",
        what: "voice 1 → 500, long subgroup",
        command: &["fanout", "--subscribers", "500", "--mode", "subgroup"],
        lasts: Lasts::Seconds,
        figures: &[cpu(&[Goal::Times(1.25, Kind::Bare)]), p99(&[]), lost(&[])],
        relays: ALL,
        workers: 1,
        cores: Cores::Own,
    },
    Load {
        name: "object",
        what: "voice 1 → 100, stream per object",
        command: &["fanout", "--subscribers", "100", "--mode", "object"],
        lasts: Lasts::Seconds,
        figures: &[cpu(&[Goal::Times(1.3, Kind::Bare)]), p99(&[]), lost(&[])],
        relays: ALL,
        workers: 1,
        cores: Cores::Own,
    },
    Load {
        name: "thousand",
        what: "voice 1 → 1000, long subgroup",
        command: &["fanout", "--subscribers", "1000", "--mode", "subgroup"],
        lasts: Lasts::Seconds,
        figures: &[
            p99(&[Goal::AtMost(15.0)]),
            lost(&[Goal::AtMost(0.0)]),
            cpu(&[]),
        ],
        relays: ALL,
        workers: 1,
        cores: Cores::Own,
    },
    Load {
        name: "rooms",
        what: "100 rooms x 4, long subgroups",
        command: &["rooms", "--mode", "subgroup"],
        lasts: Lasts::Seconds,
        figures: &[
            cpu(&[Goal::AtMost(9.0)]),
            p99(&[Goal::AtMost(10.0)]),
            lost(&[]),
        ],
        relays: ALL,
        workers: 1,
        cores: Cores::Own,
    },
    Load {
        name: "rooms-datagrams",
        what: "100 rooms x 4, datagrams",
        command: &["rooms"],
        lasts: Lasts::Seconds,
        figures: &[
            cpu(&[Goal::AtMost(9.0)]),
            p99(&[Goal::AtMost(10.0)]),
            lost(&[]),
        ],
        relays: ALL,
        workers: 1,
        cores: Cores::Own,
    },
    Load {
        name: "listeners",
        what: "5 speakers → 1,000 listeners, datagrams",
        command: &["listeners"],
        lasts: Lasts::Seconds,
        figures: &[
            Figure {
                field: Field::Rate,
                unit: "objects/s",
                goals: &[Goal::AtLeast(200_000.0)],
            },
            lost(&[Goal::AtMost(0.0)]),
            p99(&[]),
            cpu(&[]),
        ],
        relays: ALL,
        workers: 1,
        cores: Cores::Own,
    },
    Load {
        name: "video",
        what: "video → 200",
        command: &["video"],
        lasts: Lasts::Seconds,
        figures: &[cpu(&[Goal::Times(0.75, Kind::Ietf)]), p99(&[]), lost(&[])],
        relays: ALL,
        workers: 1,
        cores: Cores::Own,
    },
    Load {
        name: "overload",
        what: "overload: 1 → 500 at 400/s, long subgroup",
        command: &[
            "overload",
            "--subscribers",
            "500",
            "--rate",
            "400",
            "--mode",
            "subgroup",
        ],
        lasts: Lasts::Seconds,
        figures: &[
            p99(&[Goal::AtMost(250.0)]),
            lost(&[]),
            Figure {
                field: Field::Alike,
                unit: "% least/most",
                goals: &[Goal::AtLeast(95.0)],
            },
        ],
        relays: ALL,
        workers: 1,
        cores: Cores::Own,
    },
    Load {
        name: "memory",
        what: "memory: idle session; left after load",
        command: &["memory"],
        lasts: Lasts::SecondsAndAfter,
        figures: &[
            Figure {
                field: Field::IdleSession,
                unit: "KB",
                goals: &[Goal::AtMost(60.0)],
            },
            Figure {
                field: Field::NotGivenBack,
                unit: "% over idle",
                goals: &[Goal::AtMost(10.0)],
            },
        ],
        relays: RELAYS,
        workers: 1,
        cores: Cores::Own,
    },
    Load {
        name: "connections",
        what: "new session",
        command: &["connections", "--count", "1000"],
        lasts: Lasts::Count,
        figures: &[Figure {
            field: Field::NewSession,
            unit: "ms CPU",
            goals: &[Goal::AtMost(0.40)],
        }],
        relays: ALL,
        workers: 1,
        cores: Cores::Own,
    },
    Load {
        name: "two-workers",
        what: "voice 1 → 500, datagrams, two workers (load beside the second)",
        command: &["fanout", "--subscribers", "500"],
        lasts: Lasts::Seconds,
        figures: &[cpu(&[Goal::TimesLoad(1.15, "datagrams")])],
        relays: &[Kind::Ours],
        workers: 2,
        cores: Cores::WithLoads,
    },
    Load {
        name: "two-workers-one-core",
        what: "voice 1 → 500, datagrams, two workers on one core",
        command: &["fanout", "--subscribers", "500"],
        lasts: Lasts::Seconds,
        figures: &[cpu(&[Goal::TimesLoad(1.15, "datagrams")])],
        relays: &[Kind::Ours],
        workers: 2,
        cores: Cores::Own,
    },
];

impl Load {
    /// Finds one by its name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        LOADS.iter().find(|load| load.name == name)
    }

    /// Tells whether a relay gets it.
    pub(super) fn is_for(&self, kind: Kind) -> bool {
        self.relays.contains(&kind)
    }

    /// Returns the command line of the load.
    pub(super) fn arguments(&self, seconds: u32, after: u32) -> Vec<String> {
        let mut all: Vec<String> = self.command.iter().map(|&word| word.to_owned()).collect();
        if self.lasts != Lasts::Count {
            all.extend(["--seconds".to_owned(), seconds.to_string()]);
        }
        if self.lasts == Lasts::SecondsAndAfter {
            all.extend(["--after".to_owned(), after.to_string()]);
        }
        all
    }
}
