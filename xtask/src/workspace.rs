//! What the workspace holds.

use std::path::Path;

/// The crates that go to the registry; the other members serve only this repository.
pub(crate) const PUBLISHED: &[&str] = &["cache-core", "cache-tower", "cache-axum", "cache-actix"];

pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The text of a member's `Cargo.toml`.
pub(crate) fn manifest(member: &str) -> Result<String, String> {
    let path = root().join(member).join("Cargo.toml");
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_members_without_publish_false_are_published() {
        let mut found = Vec::new();
        for entry in root().read_dir().expect("the root can be listed") {
            let name = entry.expect("an entry can be read").file_name();
            let name = name.to_str().expect("members have plain names").to_owned();
            if manifest(&name).is_ok_and(|text| !text.contains("publish = false")) {
                found.push(name);
            }
        }
        found.sort();
        let mut published = PUBLISHED.to_vec();
        published.sort_unstable();
        assert_eq!(found, published);
    }
}
