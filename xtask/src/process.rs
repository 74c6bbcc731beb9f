//! Running other programs at the root of the workspace.

use std::io::{self, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use crate::workspace;

/// `program` with `args`, at the root of the workspace wherever `cargo xtask` was called.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(workspace::root());
    command
}

pub(crate) fn cargo(args: &[&str]) -> Command {
    command("cargo", args)
}

/// Runs to the end, with the output going where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    announce(command);
    let status = command
        .status()
        .map_err(|error| not_started(command, &error))?;
    judge(command, status)
}

/// Runs to the end, showing each line of standard output to `each` while passing it on.
pub(crate) fn run_watching(
    command: &mut Command,
    mut each: impl FnMut(&str),
) -> Result<(), String> {
    announce(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| not_started(command, &error))?;
    let stdout = child
        .stdout
        .take()
        .expect("standard output was asked for as a pipe");
    let copied = pass_on(BufReader::new(stdout), &mut io::stdout(), &mut each);
    let status = child.wait().map_err(|error| not_started(command, &error))?;
    copied.map_err(|error| format!("{}: its output was lost: {error}", describe(command)))?;
    judge(command, status)
}

/// Whether `program` can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    let probe = command(program, &["--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !matches!(probe, Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// What a program answers on standard output, if it succeeds.
pub(crate) fn answer(program: &str, args: &[&str]) -> Option<String> {
    let output = command(program, args).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Tests may print any bytes, so lines are passed on as they are and read leniently.
fn pass_on(
    mut from: impl io::BufRead,
    to: &mut impl io::Write,
    each: &mut impl FnMut(&str),
) -> io::Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        each(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    to.flush()
}

fn announce(command: &Command) {
    eprintln!("$ {}", describe(command));
}

fn judge(command: &Command, status: ExitStatus) -> Result<(), String> {
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} ({status})", describe(command)))
    }
}

fn not_started(command: &Command, error: &io::Error) -> String {
    format!("{}: could not be run: {error}", describe(command))
}

/// The command as one would type it, with the variables it sets.
pub(crate) fn describe(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!(
            "{}='{}'",
            name.to_string_lossy(),
            value?.to_string_lossy()
        ))
    });
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned());
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_described_as_one_would_type_it() {
        let mut doc = cargo(&["doc", "--no-deps"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(
            describe(&doc),
            "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps"
        );
    }

    #[test]
    fn a_program_that_is_not_there_does_not_exist() {
        assert!(exists("cargo"));
        assert!(!exists("no-program-has-this-name"));
    }

    #[test]
    fn every_line_is_passed_on_and_shown_even_one_that_is_not_utf8() {
        let output = b"one\n\xff\nlast".as_slice();
        let (mut passed_on, mut shown) = (Vec::new(), Vec::new());
        pass_on(output, &mut passed_on, &mut |line: &str| {
            shown.push(line.to_owned())
        })
        .expect("memory can be written");
        assert_eq!(passed_on, output);
        assert_eq!(shown, ["one", "\u{fffd}", "last"]);
    }
}
