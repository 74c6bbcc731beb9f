//! The examples, each of which stops after its demonstration when given `--once`, and fails
//! when a line of it did not hold.

use crate::process::{cargo, run};
use crate::report::Report;

/// Their names, and what they are told beside it.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("actix", &[]),
    ("production", &[]),
    ("quickstart", &[]),
    ("reverse_proxy", &[]),
    ("reverse_proxy", &["--actix-web"]),
    ("shared_redis", &[]),
];

pub(crate) fn run_all() -> Report {
    let mut report = Report::default();
    for (example, arguments) in EXAMPLES {
        let line = [
            "run",
            "--locked",
            "--package",
            "examples",
            "--bin",
            example,
            "--",
            "--once",
        ];
        // Any free port: another service may have the usual one.
        report.note(run(cargo(&line).args(*arguments).env("PORT", "0")));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn no_example_is_forgotten() {
        let Ok(files) = workspace::root().join("examples/src/bin").read_dir() else {
            return; // A missing example fails when it is run.
        };
        for file in files {
            let path = file.expect("an entry can be read").path();
            let name = path
                .file_stem()
                .and_then(|name| name.to_str())
                .expect("a plain name");
            assert!(
                EXAMPLES.iter().any(|(example, _)| *example == name),
                "{name} is not in the table of examples"
            );
        }
    }
}
