//! What a client got, and what a test expects of it.

use super::{
    cache_status::{self, Member},
    head::{Body, Fields, Head},
    text,
};

/// A final response, and the interim ones before it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) start: String,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    /// The end of the body came.
    pub(crate) is_whole: bool,
    pub(crate) interim: Vec<Head>,
}

impl Answer {
    pub(super) fn new(interim: Vec<Head>, head: Head, body: Body) -> Self {
        let status = head
            .start
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.expect("a response has a status"),
            start: head.start,
            fields: head.fields,
            body: body.content,
            is_whole: body.is_whole,
            interim,
        }
    }

    pub(crate) fn text(&self) -> String {
        text(&self.body)
    }

    /// The field's value, where there is one line of it.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.one(name)
    }

    /// The number that is the field's value.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> i64 {
        let number = self.field(name).and_then(|value| value.parse().ok());
        number.unwrap_or_else(|| panic!("no number in {name} of {self}"))
    }

    /// The last member of Cache-Status (RFC 9211): the proxy's.
    #[track_caller]
    pub(crate) fn cache_status(&self) -> Member {
        let members = self.cache_statuses();
        members
            .last()
            .cloned()
            .unwrap_or_else(|| panic!("no Cache-Status in {self}"))
    }

    pub(crate) fn cache_statuses(&self) -> Vec<Member> {
        cache_status::parse(&self.fields.all("cache-status").join(", "))
    }

    /// It came out of the store, or with a response that was still coming in for another; the origin was
    /// not asked for it.
    #[track_caller]
    pub(crate) fn is_hit(self) -> Self {
        let status = self.cache_status();
        let is_hit = status.has("hit") || status.has("collapsed");
        assert!(is_hit, "not a hit: {self}");
        self
    }

    /// The origin was asked for it.
    #[track_caller]
    pub(crate) fn is_forwarded(self) -> Self {
        assert!(self.cache_status().has("fwd"), "not forwarded: {self}");
        self
    }

    /// It is a 200 that says this, all of it.
    #[track_caller]
    pub(crate) fn says(self, body: &str) -> Self {
        self.is(200, body)
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16, body: &str) -> Self {
        let found = (self.status, self.text(), self.is_whole);
        assert_eq!(found, (status, body.to_owned(), true), "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn has_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// It has one line of that field, with this value.
    #[track_caller]
    pub(crate) fn has(self, name: &str, value: &str) -> Self {
        assert_eq!(self.fields.all(name), [value], "{name} of {self}");
        self
    }

    #[track_caller]
    pub(crate) fn has_no(self, name: &str) -> Self {
        assert!(!self.fields.has(name), "{name} in {self}");
        self
    }

    /// The fields that a response has on its whole way, in their order: not those of one hop, and not
    /// those that tell how it came here.
    pub(crate) fn end_to_end(&self) -> Vec<(&str, &str)> {
        let own = [
            "age",
            "cache-status",
            "connection",
            "content-length",
            "transfer-encoding",
        ];
        self.fields
            .iter()
            .filter(|(name, _)| !own.contains(name))
            .collect()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "\n  {}", self.start)?;
        for (name, value) in self.fields.iter() {
            writeln!(f, "  {name}: {value}")?;
        }
        let body = self.text();
        let end = if self.is_whole { "" } else { " (cut off)" };
        write!(f, "  {:?}{end}", body.chars().take(200).collect::<String>())
    }
}
