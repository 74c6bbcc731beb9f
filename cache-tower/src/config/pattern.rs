//! The pattern of a route, matched with the route that a framework found, or with a path.

use percent_encoding::percent_decode_str;
use std::{borrow::Cow, cmp::Ordering, fmt};

/// The pattern of a route, as `/users/{id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    segments: Vec<Segment>,
    text: Box<str>,
}

/// What stands between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(Box<str>),
    /// One parameter, and the text around it.
    Parameter {
        before: Box<str>,
        name: Box<str>,
        behind: Box<str>,
    },
    /// All that follows; it may have a name.
    Rest(Box<str>),
}

impl Segment {
    fn parameter(before: &str, name: &str, behind: &str) -> Self {
        Self::Parameter {
            before: before.into(),
            name: name.into(),
            behind: behind.into(),
        }
    }

    /// The lower, the more exact.
    fn rank(&self) -> u8 {
        match self {
            Self::Text(_) => 0,
            Self::Parameter { before, behind, .. } if before.len() + behind.len() > 0 => 1,
            Self::Parameter { .. } => 2,
            Self::Rest(_) => 3,
        }
    }

    /// Whether a segment of a framework's route is the same but for names.
    fn is(&self, route: &Self) -> bool {
        match (self, route) {
            (Self::Text(one), Self::Text(other)) => one == other,
            (
                Self::Parameter { before, behind, .. },
                Self::Parameter {
                    before: other_before,
                    behind: other_behind,
                    ..
                },
            ) => before == other_before && behind == other_behind,
            _ => false,
        }
    }

    /// What a parameter takes of a segment of a path; an empty name where there is none to note.
    fn take<'a>(&self, segment: &'a str) -> Option<(&str, Cow<'a, str>)> {
        match self {
            Self::Text(text) => (decoded(segment) == **text).then_some(("", Cow::Borrowed(""))),
            Self::Parameter {
                before,
                name,
                behind,
            } => {
                let value = segment.strip_prefix(&**before)?.strip_suffix(&**behind)?;
                (!value.is_empty()).then(|| (&**name, decoded(value)))
            }
            Self::Rest(_) => None,
        }
    }
}

/// What is not UTF-8 is no text that a pattern could have, and no parameter.
fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

impl Pattern {
    /// Reads the pattern of a line of `CACHE_ROUTES`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}`: {why}");
        let path = text
            .strip_prefix('/')
            .ok_or_else(|| wrong("a route begins with `/`"))?;
        let mut segments = Vec::new();
        for piece in path.split('/') {
            if matches!(segments.last(), Some(Segment::Rest(_))) {
                return Err(wrong("nothing can follow the rest"));
            }
            let segment = segment(piece).ok_or_else(|| {
                wrong("a segment is text, or has one parameter as `{id}`, or is `*` or `{*rest}`")
            })?;
            segments.push(segment);
        }
        Ok(Self {
            segments,
            text: text.into(),
        })
    }

    /// Reads a framework's own notation of a route, as far as it says which one it is: of actix-web also
    /// parameters with an expression, `{id:\d+}`.
    pub(crate) fn of_route(route: &str) -> Self {
        let path = route.strip_prefix('/').unwrap_or(route);
        let segments = split_outside_braces(path).into_iter().map(|piece| {
            let plain = without_expression(piece);
            segment(&plain).unwrap_or_else(|| Segment::Text(piece.into()))
        });
        Self {
            segments: segments.collect(),
            text: route.into(),
        }
    }

    /// Whether both are of one route, whatever the parameters are called.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.ranks() == other.ranks() && self.covers(other)
    }

    /// Whether it is the pattern of this route, or of all that lie where it does.
    pub(crate) fn covers(&self, route: &Self) -> bool {
        let mut theirs = route.segments.iter();
        for segment in &self.segments {
            match (segment, theirs.next()) {
                (Segment::Rest(_), Some(_)) => return true,
                (segment, Some(route)) if segment.is(route) => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }

    /// The parameters of a path, where it matches.
    pub(crate) fn take(&self, path: &str) -> Option<Vec<(Box<str>, String)>> {
        let mut rest = Some(path.strip_prefix('/').unwrap_or(path));
        let mut parameters = Vec::new();
        for segment in &self.segments {
            let path = rest?;
            if let Segment::Rest(name) = segment {
                if !name.is_empty() {
                    parameters.push((name.clone(), decoded(path).into_owned()));
                }
                return Some(parameters);
            }
            let (piece, after) = match path.split_once('/') {
                Some((piece, after)) => (piece, Some(after)),
                None => (path, None),
            };
            let (name, value) = segment.take(piece)?;
            if !name.is_empty() {
                parameters.push((name.into(), value.into_owned()));
            }
            rest = after;
        }
        rest.is_none().then_some(parameters)
    }

    /// Whether it is of one path alone.
    pub(crate) fn is_one_path(&self) -> bool {
        let is_text = |segment: &Segment| matches!(segment, Segment::Text(_));
        self.segments.iter().all(is_text)
    }

    /// Whether it is of all that lies somewhere, and the path does.
    pub(crate) fn is_over(&self, path: &str) -> bool {
        matches!(self.segments.last(), Some(Segment::Rest(_))) && self.take(path).is_some()
    }

    /// Whether a path may be of it, as far as its notation is understood.
    pub(crate) fn may_take(&self, path: &str) -> bool {
        let mut pieces = path.strip_prefix('/').unwrap_or(path).split('/');
        for segment in &self.segments {
            let is_taken = match (segment, pieces.next()) {
                (Segment::Rest(_), _) => return true,
                (Segment::Text(text), _) if text.contains(['{', '*']) => return true,
                (segment, piece) => piece.and_then(|piece| segment.take(piece)).is_some(),
            };
            if !is_taken {
                return false;
            }
        }
        pieces.next().is_none()
    }

    /// The more exact from the left comes first.
    pub(crate) fn by_exactness(&self, other: &Self) -> Ordering {
        self.ranks().cmp(&other.ranks())
    }

    fn ranks(&self) -> Vec<u8> {
        self.segments.iter().map(Segment::rank).collect()
    }

    /// The texts of its segments.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Text(text) => Some(&**text),
            _ => None,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What servers are known to take a path for that is not in its plain spelling: with more decoded than
/// RFC 3986 §6.2.2.2 allows, segments of dots resolved, slashes merged, parameters of segments left out. `None`
/// where it is plain.
pub(crate) fn plain_spelling(path: &str) -> Option<String> {
    let is_odd = path.contains(['%', '\\', ';']) || path.contains("//") || path.contains("/.");
    if !is_odd {
        return None;
    }
    // Twice, as where a proxy decodes before a service does.
    let once = decoded(path);
    let text = decoded(&once);
    let mut segments = Vec::new();
    let mut is_open = true;
    for piece in text.split(['/', '\\']) {
        let piece = piece.split(';').next().unwrap_or_default();
        is_open = matches!(piece, "" | "." | "..");
        match piece {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            piece => segments.push(piece),
        }
    }
    let end = if is_open && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    Some(format!("/{}{end}", segments.join("/")))
}

/// `None` for what no segment is.
fn segment(piece: &str) -> Option<Segment> {
    if piece == "*" {
        return Some(Segment::Rest("".into()));
    }
    let Some((before, rest)) = piece.split_once('{').filter(|_| !piece.contains("{{")) else {
        let text = piece.replace("{{", "{").replace("}}", "}");
        let is_text = !piece.contains('*') && (text.len() < piece.len() || !piece.contains('}'));
        return is_text.then(|| Segment::Text(text.into()));
    };
    let (name, behind) = rest.split_once('}')?;
    if let Some(name) = name.strip_prefix('*') {
        let is_alone = before.is_empty() && behind.is_empty() && is_name(name);
        return is_alone.then(|| Segment::Rest(name.into()));
    }
    let is_plain = |text: &str| !text.contains(['{', '}', '*']);
    let fits = is_name(name) && is_plain(before) && is_plain(behind);
    fits.then(|| Segment::parameter(before, name, behind))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// The segments of a route, where an expression within braces may hold slashes.
fn split_outside_braces(path: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    path.split(|char| {
        match char {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        char == '/' && depth == 0
    })
    .collect()
}

/// `{id:\d+}` as `{id}`, and `{tail:.*}` as `{*tail}`.
fn without_expression(piece: &str) -> Cow<'_, str> {
    let parts = || {
        let (before, rest) = piece.split_once('{')?;
        let (name, rest) = rest.split_once(':')?;
        let (expression, behind) = rest.rsplit_once('}')?;
        is_name(name).then_some((before, name, expression, behind))
    };
    match parts() {
        None => piece.into(),
        Some((before, name, ".*" | ".+", behind)) => format!("{before}{{*{name}}}{behind}").into(),
        Some((before, name, _, behind)) => format!("{before}{{{name}}}{behind}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn take(text: &str, path: &str) -> Option<Vec<(String, String)>> {
        let taken = pattern(text).take(path)?;
        Some(
            taken
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_path_gives_its_parameters_where_it_matches() {
        for (text, path, taken) in [
            ("/users/{id}", "/users/42", Some(vec![pair("id", "42")])),
            ("/users/{id}", "/users/a%2Fb", Some(vec![pair("id", "a/b")])),
            ("/users/{id}", "/users/", None),
            ("/users/{id}", "/users", None),
            ("/users/{id}", "/users/42/", None),
            ("/users/{id}", "/users/42/posts", None),
            (
                "/img/{name}.png",
                "/img/cat.png",
                Some(vec![pair("name", "cat")]),
            ),
            ("/img/{name}.png", "/img/.png", None),
            ("/img/{name}.png", "/img/cat.gif", None),
            (
                "/files/{*path}",
                "/files/a/b%20c",
                Some(vec![pair("path", "a/b c")]),
            ),
            ("/admin/*", "/admin/users", Some(vec![])),
            ("/admin/*", "/admin/", Some(vec![])),
            ("/admin/*", "/admin", None),
            ("/admin/*", "/%61dmin/users", Some(vec![])),
            ("/*", "/", Some(vec![])),
            ("/", "/", Some(vec![])),
            ("/", "/a", None),
            ("/posts", "/posts", Some(vec![])),
            ("/{{a}}", "/{a}", Some(vec![])),
        ] {
            assert_eq!(take(text, path), taken, "{text} on {path}");
        }
    }

    #[test]
    fn a_route_is_the_same_whatever_its_parameters_are_called() {
        for (text, route, covers) in [
            ("/users/{id}", "/users/{user_id}", true),
            ("/users/{id}", "/users/{id:\\d{1,3}}", true),
            ("/users/{id}", "/users/me", false),
            ("/users/me", "/users/{id}", false),
            ("/users/{id}", "/users/{id}/posts", false),
            ("/files/{*path}", "/files/{tail:.*}", true),
            ("/files/*", "/files/{*path}", true),
            ("/a/{x}", "/a/{x:[^/]+}", true),
            ("/admin/*", "/admin/users/{id}", true),
            ("/admin/*", "/admin", false),
            ("/img/{n}.png", "/img/{name}.png", true),
            ("/img/{n}.png", "/img/{name}.gif", false),
        ] {
            let found = pattern(text).covers(&Pattern::of_route(route));
            assert_eq!(found, covers, "{text} of {route}");
        }
    }

    #[test]
    fn a_route_may_take_a_path_unless_it_is_known_that_it_does_not() {
        for (route, path, may) in [
            ("/users/{id}", "/users/7", true),
            (r"/users/{id:\d+}", "/users/%37", true),
            ("/users/{id}", "/u/7", false),
            ("/users/{id}", "/users/7/posts", false),
            ("/users/{id}", "/users", false),
            ("/files/{tail:.*}", "/files/", true),
            ("/files/{tail}*", "/files/a/b", true),
            ("/x/{a}-{b}", "/x/1-2", true),
            ("/", "/", true),
        ] {
            assert_eq!(
                Pattern::of_route(route).may_take(path),
                may,
                "{route} {path}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "users",
            "/a/*/b",
            "/{*a}/b",
            "/a*",
            "/{id",
            "/id}",
            "/{}",
            "/{a}{b}",
            "/{a b}",
            "/x{*a}",
            "/{id:\\d+}",
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.starts_with(&format!("`{text}`: ")), "{error}");
        }
    }

    #[test]
    fn the_more_exact_from_the_left_comes_first() {
        let mut all = ["/*", "/a/{x}", "/a/{x}.png", "/a/b", "/a/*", "/{y}/b"].map(pattern);
        all.sort_by(Pattern::by_exactness);
        let order: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(
            order,
            ["/a/b", "/a/{x}.png", "/a/{x}", "/a/*", "/{y}/b", "/*"]
        );
    }
}
