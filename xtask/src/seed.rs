//! Which inputs CI gives to tests that choose at random.

use crate::process::answer;

/// The tree's own: a change is tried with other inputs than the one before it, and the same change always with
/// the same, so that it is judged by what it says and not by luck. `None` outside of a clone, where they are
/// chosen anew each time. New inputs for the same tree are for `cargo xtask fuzz`, which runs every night.
pub(crate) fn of_tree() -> Option<u64> {
    from_digits(&answer("git", &["rev-parse", "HEAD^{tree}"])?)
}

fn from_digits(digest: &str) -> Option<u64> {
    u64::from_str_radix(digest.get(..16)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_beginning_of_the_digest() {
        let tree = "00000000000000ff4b825dc642cb6eb9a060e54b";
        assert_eq!(from_digits(tree), Some(255));
        assert_eq!(from_digits("fatal: not a git repository"), None);
        assert_eq!(from_digits("ff"), None);
    }
}
