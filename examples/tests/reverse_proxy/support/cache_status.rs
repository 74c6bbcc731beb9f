//! Cache-Status (RFC 9211), as far as the tests read it.

/// What one cache says of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    parameters: Vec<(String, String)>,
}

impl Member {
    /// The parameter's value; `?1` where it stands alone (RFC 9651 §3.1.2).
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// It is there, and not false.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| value != "?0")
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.parameter(name)?.parse().ok()
    }
}

pub(crate) fn parse(list: &str) -> Vec<Member> {
    split(list, ',')
        .iter()
        .map(|member| parse_member(member))
        .collect()
}

fn parse_member(member: &str) -> Member {
    let mut parts = split(member, ';').into_iter();
    let name = parts.next().unwrap_or_default();
    let parameters = parts.map(|part| match part.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (part, "?1".to_owned()),
    });
    Member {
        name,
        parameters: parameters.collect(),
    }
}

/// The parts between separators that are in no string.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    let mut parts = vec![String::new()];
    for char in text.chars() {
        if char == separator && !is_quoted {
            parts.push(String::new());
            continue;
        }
        is_quoted ^= char == '"' && !is_escaped;
        is_escaped = is_quoted && char == '\\' && !is_escaped;
        parts.last_mut().expect("there is a first").push(char);
    }
    let parts = parts.iter().map(|part| part.trim().to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

#[test]
fn a_list_has_members_with_parameters() {
    let members = parse("Origin;hit;ttl=1100, \"A, B\"; fwd=stale;stored=?0");
    let [first, second] = &members[..] else {
        panic!("{members:?}");
    };
    assert!(first.has("hit") && first.number("ttl") == Some(1100));
    assert_eq!(second.name, "\"A, B\"");
    assert_eq!(second.parameter("fwd"), Some("stale"));
    assert!(!second.has("stored") && !second.has("hit"));
}
