//! Killing, freezing and cutting Redis under load, and a service whose clients leave and whose handlers
//! fail: `cargo xtask chaos [NAME] [--cycles N] [--counts-only]`.
//!
//! Requests come in an open loop, 2,000 a second: they do not wait for each other's answers, and
//! their time counts from when they were meant to begin. Each scenario prints its figures beside
//! their goals; with `--counts-only` those in units of time are shown, not judged. To add one: a function in `scenarios.rs`, and a row in the table below.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock rule is for the caches; here a clock measures"
)]

mod actix;
mod contended;
mod fleet;
mod late;
mod leaks;
mod load;
mod scenarios;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

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
        name: "late-start",
        about: "of a cluster the master with the groups is killed; who starts then uses its replacement",
        cycles: 10,
        run: scenarios::late_start,
    },
    Scenario {
        name: "readonly",
        about: "the server becomes a replica, then a master again",
        cycles: 10,
        run: scenarios::read_only,
    },
    Scenario {
        name: "fleet",
        about: "three processes with a thousand callers each, on a cold key; a leader is killed",
        cycles: 10,
        run: fleet::run,
    },
    Scenario {
        name: "history",
        about: "so many operations in one process, and in three: no invalidated value is seen again",
        cycles: 100_000,
        run: fleet::histories,
    },
    Scenario {
        name: "contended",
        about: "4,000 keys that a foreign client writes while three caches read; a cycle writes all",
        cycles: 10,
        run: contended::run,
    },
    Scenario {
        name: "leaks",
        about: "a cycle is a thousand keys, of which some fail and some callers leave",
        cycles: 1000,
        run: leaks::run,
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
    if let Some((_, settings)) = args.split_first().filter(|(first, _)| *first == "--member") {
        tests::member::serve(settings);
        return ExitCode::SUCCESS;
    }
    match chosen(&args) {
        Ok(None) => {
            list();
            ExitCode::SUCCESS
        }
        Ok(Some(Chosen {
            scenarios,
            cycles,
            judged,
        })) => {
            let is_short = |it: &&&Scenario| !holds(it, cycles, judged);
            let short = scenarios.iter().filter(is_short).count();
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

/// What is to be run, and how.
struct Chosen {
    scenarios: Vec<&'static Scenario>,
    cycles: Option<u32>,
    judged: Judged,
}

/// Which figures have to reach their goals.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judged {
    All,
    /// Times depend on what else a machine does.
    Counts,
}

/// `None` where a list is asked for.
fn chosen(args: &[String]) -> Result<Option<Chosen>, String> {
    let (mut scenarios, mut cycles, mut judged) = (Vec::new(), None, Judged::All);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => return Ok(None),
            "--counts-only" => judged = Judged::Counts,
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
    Ok(Some(Chosen {
        scenarios,
        cycles,
        judged,
    }))
}

fn list() {
    println!("{} scenarios", SCENARIOS.len());
    for Scenario { name, about, .. } in SCENARIOS {
        println!("  {name:<12} {about}");
    }
}

fn holds(scenario: &Scenario, cycles: Option<u32>, judged: Judged) -> bool {
    let cycles = cycles.unwrap_or(scenario.cycles);
    println!("{}, {cycles} cycles: {}", scenario.name, scenario.about);
    let idle = late::Sleeper::start(None);
    let figures = (scenario.run)(cycles);
    show(idle.end());
    for (what, figure) in &figures {
        println!("{} {what}: {figure}", scenario.name);
    }
    figures
        .iter()
        .filter(|(_, figure)| judged == Judged::All || !figure.is_time())
        .all(|(_, figure)| figure.is_enough())
}

/// How busy the machine was with other things.
fn show(idle: Vec<(Instant, Duration)>) {
    let mut late: Vec<Duration> = idle.into_iter().map(|(_, late)| late).collect();
    late.sort();
    let at = |part: f64| {
        let index = ((late.len() as f64 * part) as usize).min(late.len().saturating_sub(1));
        late.get(index).map_or(0.0, |late| late.as_secs_f64() * 1e3)
    };
    println!(
        "  beside it, a thread that only sleeps woke late: p99 {:.2} ms, longest {:.1} ms",
        at(0.99),
        at(1.0)
    );
}
