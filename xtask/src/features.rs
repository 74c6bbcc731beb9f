//! Every feature has to work alone: cargo unifies features, so a user's build may lack what
//! ours happens to switch on.

use crate::process::{cargo, run};
use crate::report::Report;
use crate::workspace::{self, PUBLISHED};

/// Checks each published crate; with `pairs`, also under every two features together.
pub(crate) fn check(pairs: bool) -> Report {
    let mut report = Report::default();
    for package in PUBLISHED {
        match workspace::manifest(package) {
            Ok(manifest) => check_one(package, &features(&manifest), pairs, &mut report),
            Err(unreadable) => report.note(Err(unreadable)),
        }
    }
    report
}

fn check_one(package: &str, features: &[&str], pairs: bool, report: &mut Report) {
    // Clippy rather than check, to refuse the warnings that only a lean build has; unlike
    // RUSTFLAGS, its `-D warnings` does not rebuild the dependencies.
    for selection in selections(features, pairs) {
        let mut clippy = cargo(&["clippy", "--locked", "--package", package]);
        clippy.args(&selection).args(["--", "-D", "warnings"]);
        report.note(run(&mut clippy));
    }
}

/// The arguments that select each set of features to check: the default, none, each alone.
fn selections(features: &[&str], pairs: bool) -> Vec<Vec<String>> {
    let alone = features.iter().map(|feature| (*feature).to_owned());
    let together = if pairs { two_of(features) } else { Vec::new() };
    let mut selections = vec![Vec::new()];
    if !features.is_empty() {
        selections.push(vec!["--no-default-features".to_owned()]);
    }
    selections.extend(alone.chain(together).map(only));
    selections
}

fn only(features: String) -> Vec<String> {
    vec![
        "--no-default-features".to_owned(),
        "--features".to_owned(),
        features,
    ]
}

fn two_of(features: &[&str]) -> Vec<String> {
    let pairs = features.iter().enumerate().flat_map(|(index, first)| {
        features
            .iter()
            .skip(index + 1)
            .map(move |second| format!("{first},{second}"))
    });
    pairs.collect()
}

/// The names in the `[features]` table of a manifest, without `default`.
///
/// A scan by line is enough for manifests of this repository, which keep one feature to a line
/// or to a list that ends with a line of its own.
fn features(manifest: &str) -> Vec<&str> {
    manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[features]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().trim_matches('"'))
        .filter(|name| *name != "default")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
[package]
name = "cache-core"

[features]
default = ["json"]
# Commented = ["out"]
json = ["dep:serde_json"]

redis = [
    "dep:redis",
    "json",
]
test-util=[]

[dependencies]
bytes = "1"
"#;

    #[test]
    fn the_scan_finds_the_features_and_nothing_else() {
        assert_eq!(features(MANIFEST), ["json", "redis", "test-util"]);
    }

    #[test]
    fn a_manifest_may_have_no_features() {
        assert!(features("[package]\nname = \"cache-actix\"\n").is_empty());
        assert!(features("[features]\ndefault = []\n").is_empty());
    }

    #[test]
    fn each_feature_is_checked_alone_beside_none_and_the_default() {
        let lines: Vec<_> = selections(&["a", "b"], false)
            .iter()
            .map(|set| set.join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "",
                "--no-default-features",
                "--no-default-features --features a",
                "--no-default-features --features b",
            ]
        );
        assert_eq!(selections(&[], false).len(), 1);
    }

    #[test]
    fn pairs_are_unordered_and_never_of_one() {
        assert_eq!(two_of(&["a", "b", "c"]), ["a,b", "a,c", "b,c"]);
        assert_eq!(selections(&["a", "b", "c"], true).len(), 8);
    }
}
