//! What it is told by its environment, and what it tells of that.

use super::process::{Directory, command, run};

const SECRET: &str = "hunter2";

#[test]
fn all_wrong_variables_are_named_at_start() {
    let wrong = [
        ("CACHE_TTL_DEFAULT", "banana"),
        ("CACHE_ENABELD", "1"),
        ("LISTEN", "here"),
    ];
    let output = run(&["--once"], &wrong);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty());
    for words in [
        "CACHE_TTL_DEFAULT is `banana`; accepted is a time",
        "for example CACHE_TTL_DEFAULT=30m",
        "CACHE_ENABELD is not known; did you mean CACHE_ENABLED?",
        "LISTEN is `here`; accepted is an address and a port",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn no_secret_is_printed() {
    let url = format!("redis://cache:{SECRET}@cache.internal/1");
    for vars in [
        vec![("CACHE_URL", url.as_str())],
        vec![("CACHE_TYPE", "redis"), ("REDIS_URL", &url)],
        // Where it does not start, either.
        vec![("CACHE_URL", &url), ("CACHE_TYPE", &url)],
        vec![("LISTEN", &url)],
        vec![("RUST_LOG", &url)],
        vec![("CACHE_URL", SECRET)],
    ] {
        let mut output = run(&["--print-config"], &vars);
        output.stdout.append(&mut output.stderr);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(!said.is_empty() && !said.contains(SECRET), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_not_unicode_is_named_and_not_shown() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let url = [b"redis://:", SECRET.as_bytes(), b"\xff@host"].concat();
    let output = command(&Directory::new("bytes"), &["--print-config"], &[])
        .env(OsStr::from_bytes(b"CACHE_SIZ\xff"), "1")
        .env("CACHE_URL", OsStr::from_bytes(&url))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for words in [
        "CACHE_SIZ\u{fffd} is not known",
        "CACHE_URL is `(hidden)`: it is not Unicode",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn what_is_printed_can_be_read_back() {
    let vars = [
        ("CACHE_URL", "rediss://cache.internal"),
        ("CACHE_TTL_SESSION", "86400"),
        ("CACHE_TTL_CONFIG", "300"),
        ("CACHE_MEMORY_SIZE", "134217728"),
        (
            "CACHE_ROUTES",
            "/users/{id} ttl=5m group=user:{id}; /reports/* off",
        ),
    ];
    let first = table(&vars);
    let set: Vec<(&str, &str)> = first.lines().filter_map(set_row).collect();
    let names: Vec<&str> = set.iter().map(|(name, _)| *name).collect();
    for (name, _) in vars {
        assert!(names.contains(&name), "{name} is not set: {first}");
    }
    assert_eq!(set.len(), vars.len());
    assert_eq!(table(&set), first);
    assert!(
        !first.contains("W005"),
        "both classes have a policy: {first}"
    );
}

fn table(vars: &[(&str, &str)]) -> String {
    let output = run(&["--print-config"], vars);
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Name and value, where the row is of a variable that is set.
fn set_row(row: &str) -> Option<(&str, &str)> {
    let (name, rest) = row.split_once("  ")?;
    let (value, _) = rest.rsplit_once("  set")?;
    Some((name, value.trim()))
}

#[test]
fn a_file_sets_what_the_environment_does_not() {
    let directory = Directory::new("file");
    directory.write(".env", "CACHE_TTL_SESSION=7m\nCACHE_TTL_CONFIG=7m\n");
    let vars = [("CACHE_TTL_CONFIG", "3m")];
    let output = command(&directory, &["--print-config"], &vars)
        .output()
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let set: Vec<_> = table.lines().filter_map(set_row).collect();
    assert_eq!(
        set,
        [("CACHE_TTL_CONFIG", "3m"), ("CACHE_TTL_SESSION", "7m")]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_not_repeated() {
    let directory = Directory::new("broken");
    directory.write(".env", &format!("CACHE_URL='redis://cache:{SECRET}@host\n"));
    let output = command(&directory, &["--print-config"], &[])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains(".env") && !said.contains(SECRET), "{said}");
}
