//! Killing, freezing and cutting Redis under load, and a service whose clients leave and whose handlers
//! fail: `cargo xtask chaos [NAME] [--cycles N]`.
//!
//! Requests come in an open loop, 2,000 a second: they do not wait for each other's answers, and
//! their time counts from when they were meant to begin. Each scenario prints its figures beside
//! their goals. To add one: a function in `scenarios.rs`, and a row in the table below.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock rule is for the caches; here a clock measures"
)]

mod actix;
mod load;
mod scenarios;

use std::{process::ExitCode, time::Duration};

use tests::figure::Figure;

/// What is counted or measured, and how it has to be.
type Counts = Vec<(&'static str, Figure)>;

/// One kind of trouble.
struct Scenario {
    name: &'static str,
    about: &'static str,
    cycles: u32,
    run: fn(u32) -> Counts,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "actix",
        about: "four workers of actix-web, stale refreshed, middleware that awaits; a cycle is a second",
        cycles: 600,
        run: |seconds| actix::run(Duration::from_secs(seconds.into())),
    },
    Scenario {
        name: "kill",
        about: "killed, half a second away, half a second back",
        cycles: 100,
        run: scenarios::kill,
    },
    Scenario {
        name: "freeze",
        about: "frozen for half a second, thawed for half a second",
        cycles: 100,
        run: scenarios::freeze,
    },
    Scenario {
        name: "long-freeze",
        about: "frozen for 30 seconds, once",
        cycles: 30,
        run: scenarios::long_freeze,
    },
    Scenario {
        name: "cluster",
        about: "of three masters with replicas one is killed, replaced, and back as a replica",
        cycles: 30,
        run: scenarios::cluster,
    },
    Scenario {
        name: "half-open",
        about: "the connections there are go silent, new ones work",
        cycles: 20,
        run: scenarios::half_open,
    },
    Scenario {
        name: "start",
        about: "started without Redis, which then appears",
        cycles: 20,
        run: scenarios::start,
    },
    Scenario {
        name: "readonly",
        about: "the server becomes a replica, then a master again",
        cycles: 10,
        run: scenarios::read_only,
    },
    Scenario {
        name: "fleet",
        about: "three processes with a thousand callers each, on a cold key",
        cycles: 10,
        run: scenarios::fleet,
    },
    Scenario {
        name: "notices",
        about: "how soon another process's memory hears of an invalidation",
        cycles: 1000,
        run: scenarios::notices,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match chosen(&args) {
        Ok(None) => {
            list();
            ExitCode::SUCCESS
        }
        Ok(Some((scenarios, cycles))) => {
            let short = scenarios.iter().filter(|it| !holds(it, cycles)).count();
            if short == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(problem) => {
            eprintln!("error: {problem}");
            list();
            ExitCode::from(2)
        }
    }
}

type Chosen = Option<(Vec<&'static Scenario>, Option<u32>)>;

fn chosen(args: &[String]) -> Result<Chosen, String> {
    let (mut scenarios, mut cycles) = (Vec::new(), None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => return Ok(None),
            "--cycles" => {
                let number = args.next().and_then(|number| number.parse().ok());
                cycles = Some(number.ok_or("--cycles takes a number")?);
            }
            name => {
                let found = SCENARIOS.iter().find(|it| it.name == name);
                scenarios.push(found.ok_or_else(|| format!("no scenario is called `{name}`"))?);
            }
        }
    }
    if scenarios.is_empty() {
        scenarios = SCENARIOS.iter().collect();
    }
    Ok(Some((scenarios, cycles)))
}

fn list() {
    println!("{} scenarios", SCENARIOS.len());
    for Scenario { name, about, .. } in SCENARIOS {
        println!("  {name:<12} {about}");
    }
}

fn holds(scenario: &Scenario, cycles: Option<u32>) -> bool {
    let cycles = cycles.unwrap_or(scenario.cycles);
    println!("{}, {cycles} cycles: {}", scenario.name, scenario.about);
    let figures = (scenario.run)(cycles);
    for (what, figure) in &figures {
        println!("{} {what}: {figure}", scenario.name);
    }
    figures.iter().all(|(_, figure)| figure.is_enough())
}
