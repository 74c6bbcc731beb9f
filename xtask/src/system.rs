//! Programs the tests need from the system, and getting them.

use crate::process::{answer, command, exists, run};

/// A program, and the Debian package that brings it.
struct Program {
    name: &'static str,
    package: &'static str,
}

const NEEDED: &[Program] = &[
    // SQLite is compiled from its bundled source.
    Program {
        name: "cc",
        package: "build-essential",
    },
    // The tests of the remote tier start servers of their own.
    Program {
        name: "redis-server",
        package: "redis-server",
    },
];

/// Installs what is missing, saying so; `Err` tells what a person has to do instead.
pub(crate) fn provide() -> Result<(), String> {
    let packages = packages(NEEDED, exists);
    if packages.is_empty() {
        return Ok(());
    }
    eprintln!(
        "missing for the tests, installing with apt-get: {}",
        packages.join(" ")
    );
    install(&packages).map_err(|reason| by_hand(&packages, &reason))?;
    match missing(NEEDED, exists).as_slice() {
        [] => Ok(()),
        still => Err(format!(
            "installed, but still not on the PATH: {}",
            still.join(" ")
        )),
    }
}

fn missing(needed: &[Program], there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    needed
        .iter()
        .map(|program| program.name)
        .filter(|name| !there(name))
        .collect()
}

fn packages(needed: &[Program], there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let absent = needed.iter().filter(|program| !there(program.name));
    absent.map(|program| program.package).collect()
}

fn install(packages: &[&str]) -> Result<(), String> {
    if !exists("apt-get") {
        return Err("this system has no apt-get".to_owned());
    }
    let root = become_root()?;
    run(&mut as_root(root, &["apt-get", "update"]))?;
    let install = ["apt-get", "install", "--yes", "--no-install-recommends"];
    run(&mut as_root(root, &[install.as_slice(), packages].concat()))
}

/// What to put before a command so that it runs as root.
fn become_root() -> Result<&'static [&'static str], String> {
    match answer("id", &["-u"]).as_deref() {
        Some("0") => Ok(&[]),
        _ if exists("sudo") => Ok(&["sudo"]),
        _ => Err("you are not root, and there is no sudo".to_owned()),
    }
}

/// Through `env`, because sudo does not hand variables on.
fn as_root(root: &[&str], words: &[&str]) -> std::process::Command {
    let line = [root, &["env", "DEBIAN_FRONTEND=noninteractive"], words].concat();
    let (program, args) = line.split_first().expect("the line holds at least `env`");
    command(program, args)
}

fn by_hand(packages: &[&str], reason: &str) -> String {
    let packages = packages.join(" ");
    format!("{reason}; please install what these Debian packages hold: {packages}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[Program] = &[
        Program {
            name: "cc",
            package: "build-essential",
        },
        Program {
            name: "jq",
            package: "jq-package",
        },
    ];

    #[test]
    fn only_what_is_missing_is_installed() {
        assert_eq!(packages(TWO, |name| name == "cc"), ["jq-package"]);
        assert_eq!(missing(TWO, |name| name == "cc"), ["jq"]);
        assert!(packages(TWO, |_| true).is_empty());
    }

    #[test]
    fn a_person_is_told_which_packages_and_why() {
        let told = by_hand(&["build-essential"], "this system has no apt-get");
        assert!(told.starts_with("this system has no apt-get; "), "{told}");
        assert!(told.ends_with(": build-essential"), "{told}");
    }

    #[test]
    fn root_needs_no_sudo() {
        let update = as_root(&["sudo"], &["apt-get", "update"]);
        assert_eq!(update.get_program(), "sudo");
        let update = as_root(&[], &["apt-get", "update"]);
        assert_eq!(update.get_program(), "env");
    }
}
