use axum::extract::{MatchedPath, OriginalUri};
use cache_tower::adapter::{Framework, HttpCache, Routing};
use http::{Extensions, Uri};
use percent_encoding::percent_decode_str;

/// How axum tells the URI that the client sent, and the parameters of the matched route.
///
/// Within `nest` a request has a shortened URI; [`OriginalUri`] keeps the client's. The parameters
/// are read off [`MatchedPath`] and the client's path, decoded as axum's `Path` decodes them.
#[derive(Debug, Clone, Copy, Default)]
pub struct AxumRouting;

impl Framework for AxumRouting {
    type Cache = HttpCache<Self>;
}

impl Routing for AxumRouting {
    fn uri<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
        extensions
            .get::<OriginalUri>()
            .map_or(uri, |original| &original.0)
    }

    fn parameters(uri: &Uri, extensions: &Extensions) -> Vec<(Box<str>, String)> {
        extensions
            .get::<MatchedPath>()
            .map_or_else(Vec::new, |route| parameters(route.as_str(), uri.path()))
    }

    fn route(extensions: &Extensions) -> Option<&str> {
        extensions.get::<MatchedPath>().map(MatchedPath::as_str)
    }
}

/// The parameters of `route` in `path`; those whose value is not UTF-8 are left out.
fn parameters(route: &str, path: &str) -> Vec<(Box<str>, String)> {
    let mut parameters = Vec::new();
    let mut rest = path;
    for piece in route.strip_prefix('/').unwrap_or(route).split('/') {
        rest = rest.strip_prefix('/').unwrap_or(rest);
        let (segment, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let Some((before, name, behind)) = parameter(piece) else {
            rest = after;
            continue;
        };
        if let Some(name) = name.strip_prefix('*') {
            parameters.extend(decoded(name, rest));
            return parameters;
        }
        let value = segment
            .strip_prefix(before)
            .and_then(|segment| segment.strip_suffix(behind));
        parameters.extend(value.and_then(|value| decoded(name, value)));
        rest = after;
    }
    parameters
}

/// A piece of a route that has a parameter in it: what is before, its name, what is behind.
fn parameter(piece: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = piece.split_once('{')?;
    let (name, behind) = rest.split_once('}')?;
    // `{{` is a brace, not a parameter.
    (!name.starts_with('{')).then_some((before, name, behind))
}

fn decoded(name: &str, value: &str) -> Option<(Box<str>, String)> {
    let value = percent_decode_str(value).decode_utf8().ok()?;
    Some((name.into(), value.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::parameters;

    fn of(route: &str, path: &str) -> Vec<(String, String)> {
        parameters(route, path)
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn parameters_are_read_off_the_route() {
        assert_eq!(of("/users/{id}", "/users/42"), [pair("id", "42")]);
        assert_eq!(
            of("/a/{x}/b/{y}", "/a/1/b/2"),
            [pair("x", "1"), pair("y", "2")]
        );
        assert_eq!(
            of("/files/{*path}", "/files/a/b%20c"),
            [pair("path", "a/b c")]
        );
        assert_eq!(of("/users/{id}", "/users/a%2Fb"), [pair("id", "a/b")]);
        assert_eq!(of("/img/{name}.png", "/img/cat.png"), [pair("name", "cat")]);
        assert_eq!(of("/{{id}}", "/{id}"), []);
        assert_eq!(of("/users", "/users"), []);
        assert_eq!(of("/users/{id}", "/users/%FF"), [], "not UTF-8");
    }
}
