//! `CACHE_ROUTES`: what an operator says of single routes.

use super::{
    pattern::{Pattern, plain_spelling},
    table,
};
use crate::policy::{Policy, Profile, QueryKey, Template};
use cache_core::config::{Unit, Warning, form::time};
use http::{HeaderName, Uri};
use std::{fmt, sync::Arc, time::Duration};

/// The lines, the more exact routes first.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Routes(Vec<Rule>);

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    route: Pattern,
    change: Change,
    words: String,
}

/// What a line changes about a policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Change {
    pub(crate) off: bool,
    pub(crate) ttl: Option<Duration>,
    /// The lifetime goes before what responses name.
    pub(crate) overrides: bool,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) groups: Vec<String>,
    pub(crate) query: Option<QueryKey>,
    pub(crate) vary: Vec<HeaderName>,
    pub(crate) per_credential: bool,
    pub(crate) profile: Option<Profile>,
    pub(crate) class: Option<Arc<str>>,
}

impl Routes {
    /// Reads all lines, or says what is wrong with the first that is.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case(table::NONE) {
            return Ok(Self::default());
        }
        let mut rules: Vec<Rule> = Vec::new();
        let lines = text.split([';', '\n']).map(str::trim);
        for line in lines.filter(|line| !line.is_empty()) {
            let rule = Rule::parse(line)?;
            if let Some(known) = rules.iter().find(|known| known.route.is_as(&rule.route)) {
                let (one, other) = (&known.route, &rule.route);
                return Err(format!("`{one}` and `{other}` are one route"));
            }
            rules.push(rule);
        }
        rules.sort_by(|one, other| one.route.by_exactness(&other.route));
        Ok(Self(rules))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, rule: usize) -> Option<&Rule> {
        self.0.get(rule)
    }

    /// The classes that lines name.
    pub(super) fn classes(&self) -> impl Iterator<Item = &str> {
        let rules = self.0.iter();
        rules.filter_map(|rule| rule.change.class.as_deref())
    }

    /// The line of a request: of its matched route where that is known, else of its path. What a line keeps from
    /// being shared it keeps so whichever route takes what lies under it, and in other spellings of its path.
    pub(crate) fn find(&self, route: Option<&str>, uri: &Uri) -> Option<usize> {
        let path = uri.path();
        let meant = plain_spelling(path).and_then(|path| self.of_path(&path));
        let restricts = |line: &usize| self.get(*line).is_some_and(Rule::restricts);
        if let Some(line) = meant.filter(restricts) {
            return Some(line);
        }
        let over = |rule: &Rule| rule.restricts() && rule.route.is_over(path);
        let lines = [self.line(route, path), self.0.iter().position(over)];
        // Of the two the more exact.
        lines.into_iter().flatten().min()
    }

    fn line(&self, route: Option<&str>, path: &str) -> Option<usize> {
        match route.map(Pattern::of_route) {
            Some(route) => self.0.iter().position(|rule| rule.route.covers(&route)),
            None => self.of_path(path),
        }
    }

    fn of_path(&self, path: &str) -> Option<usize> {
        let takes = |rule: &Rule| rule.route.take(path).is_some();
        self.0.iter().position(takes)
    }

    /// A warning for routes that look like one user's own.
    pub(super) fn private(&self, config: &cache_core::Config) -> Option<Warning> {
        let named = self
            .0
            .iter()
            .filter(|rule| rule.looks_private() && rule.shares(config));
        warning("W101", named, |routes| {
            format!(
                "CACHE_ROUTES gives a shared lifetime to what looks like one user's own: {routes}; per_credential keeps users apart"
            )
        })
    }

    /// A warning for windows that nothing comes to.
    pub(super) fn stale_without_lifetime(&self) -> Option<Warning> {
        let dead = |rule: &&Rule| {
            let change = &rule.change;
            let windows = [change.stale_while_revalidate, change.stale_if_error];
            change.ttl.is_some_and(|ttl| ttl.is_zero())
                && windows
                    .into_iter()
                    .flatten()
                    .any(|window| !window.is_zero())
        };
        warning("W104", self.0.iter().filter(dead), |routes| {
            format!(
                "CACHE_ROUTES has a stale window and a lifetime of 0, with which nothing is stored: {routes}"
            )
        })
    }
}

fn warning<'a>(
    code: &'static str,
    rules: impl Iterator<Item = &'a Rule>,
    text: impl FnOnce(&str) -> String,
) -> Option<Warning> {
    let routes: Vec<String> = rules.map(|rule| rule.route.to_string()).collect();
    (!routes.is_empty()).then(|| Warning::new(code, table::ROUTES.name, text(&routes.join(", "))))
}

impl Rule {
    fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let route = Pattern::parse(words.next().unwrap_or_default())?;
        let words: Vec<&str> = words.collect();
        if words.is_empty() {
            return Err(format!("`{route}`: nothing is said of it"));
        }
        let mut change = Change::default();
        for word in &words {
            change
                .read(word)
                .map_err(|why| format!("`{route} {word}`: {why}"))?;
        }
        change.check().map_err(|why| format!("`{route}`: {why}"))?;
        let mut groups = change.groups.iter();
        if route.is_one_path() && groups.any(|group| Template::has_parameter(group)) {
            return Err(format!(
                "`{route}`: a group names a parameter, and the route has none: nothing would be stored"
            ));
        }
        Ok(Self {
            route,
            change,
            words: words.join(" "),
        })
    }

    pub(crate) fn change(&self) -> &Change {
        &self.change
    }

    /// The parameters that its own route finds in a path.
    pub(crate) fn parameters(&self, uri: &Uri) -> Vec<(Box<str>, String)> {
        self.route.take(uri.path()).unwrap_or_default()
    }

    /// Whether it keeps what it is about from others.
    fn restricts(&self) -> bool {
        self.change.off || self.change.per_credential
    }

    fn shares(&self, config: &cache_core::Config) -> bool {
        let of_class = self.change.class.as_deref();
        let ttl = self.change.ttl.or_else(|| config.ttl(of_class?));
        ttl.is_some_and(|ttl| !ttl.is_zero()) && !self.restricts()
    }

    fn looks_private(&self) -> bool {
        const WORDS: [&str; 20] = [
            "account",
            "admin",
            "basket",
            "billing",
            "cart",
            "checkout",
            "dashboard",
            "inbox",
            "login",
            "logout",
            "me",
            "messages",
            "notifications",
            "orders",
            "private",
            "profile",
            "self",
            "session",
            "settings",
            "wallet",
        ];
        let known = |word: &str| WORDS.iter().any(|known| known.eq_ignore_ascii_case(word));
        self.route.words().any(known)
    }
}

impl Change {
    fn read(&mut self, word: &str) -> Result<(), String> {
        let (name, value) = match word.split_once('=') {
            None => (word, None),
            Some((name, value)) => (name, Some(value)),
        };
        match (name, value) {
            ("off", None) => self.off = true,
            ("per_credential", None) => self.per_credential = true,
            ("ttl", Some(value)) => once(&mut self.ttl, lifetime(value)?)?,
            ("override_ttl", Some(value)) => {
                once(&mut self.ttl, lifetime(value)?)?;
                self.overrides = true;
            }
            ("stale_while_revalidate", Some(value)) => {
                once(&mut self.stale_while_revalidate, lifetime(value)?)?;
            }
            ("stale_if_error", Some(value)) => once(&mut self.stale_if_error, lifetime(value)?)?,
            ("group", Some(value)) if !value.is_empty() => self.groups.push(value.to_owned()),
            ("query", Some(value)) => once(&mut self.query, QueryKey::only(names(value)?))?,
            ("ignore_query", Some(value)) => {
                once(&mut self.query, QueryKey::ignoring(names(value)?))?;
            }
            ("vary", Some(value)) => self.vary.extend(table::fields(value)?),
            ("profile", Some("guarded")) => once(&mut self.profile, Profile::Guarded)?,
            ("profile", Some("standard")) => once(&mut self.profile, Profile::Standard)?,
            ("class", Some(value)) => once(&mut self.class, value.into())?,
            _ => return Err("there is no such word".to_owned()),
        }
        Ok(())
    }

    /// By what it makes of a policy that is possible.
    fn check(&self) -> Result<(), String> {
        let off = Self {
            off: true,
            ..Self::default()
        };
        if self.off && *self != off {
            return Err("with `off` nothing else is of use".to_owned());
        }
        let policy = match &self.class {
            Some(class) => Policy::from_headers().class(Arc::clone(class)),
            None => Policy::from_headers(),
        };
        let changed = policy.changed(self.clone());
        changed.validate().map_err(|error| error.to_string())
    }
}

/// Which of two would hold nobody could tell by looking.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("something else is said of it before".to_owned()),
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    time(text, Unit::Seconds)
        .ok_or_else(|| "it is no time as 30s, 5m, 1h, or a number of seconds".to_owned())
}

fn names(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split(',').map(str::to_owned).collect();
    if names.iter().any(String::is_empty) {
        return Err("a name is missing".to_owned());
    }
    Ok(names)
}

/// As it reads back.
impl fmt::Display for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str(table::NONE);
        }
        for (n, rule) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{} {}", rule.route, rule.words)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(routes: &str, route: Option<&str>, path: &str) -> Option<String> {
        let routes = Routes::parse(routes).unwrap();
        let rule = routes.find(route, &path.parse().unwrap())?;
        Some(routes.get(rule).unwrap().route.to_string())
    }

    #[test]
    fn the_example_is_read_and_printed_so_that_it_reads_back() {
        let text =
            " /users/{id}  ttl=1h group=user:{id};; /posts ttl=1800 query=page ;\n/admin/* off\n";
        let routes = Routes::parse(text).unwrap();
        let printed = routes.to_string();
        assert_eq!(
            printed,
            "/posts ttl=1800 query=page; /users/{id} ttl=1h group=user:{id}; /admin/* off"
        );
        assert_eq!(Routes::parse(&printed).unwrap(), routes);
    }

    #[test]
    fn no_lines_read_back_as_no_lines() {
        for text in ["", ";", " ;\n; ", "none", " None "] {
            let routes = Routes::parse(text).unwrap();
            assert!(routes.is_empty(), "{text:?}");
            assert_eq!(Routes::parse(&routes.to_string()), Ok(routes), "{text:?}");
        }
    }

    #[test]
    fn the_most_exact_line_is_that_of_a_path_in_whatever_order() {
        let routes = "/* ttl=1m; /users/{id} ttl=2m; /users/me off";
        for (path, line) in [
            ("/users/me", "/users/me"),
            ("/users/42", "/users/{id}"),
            ("/users/42/posts", "/*"),
        ] {
            assert_eq!(find(routes, None, path).as_deref(), Some(line), "{path}");
        }
        assert_eq!(find("/posts off", None, "/users"), None);
    }

    #[test]
    fn a_matched_route_is_not_the_path_that_a_pattern_would_match() {
        let routes = "/users/{id} ttl=2m";
        let of_route = |route| find(routes, Some(route), "/users/me");
        assert_eq!(of_route("/users/me"), None);
        assert_eq!(of_route("/users/{user}").as_deref(), Some("/users/{id}"));
    }

    #[test]
    fn another_spelling_is_no_way_round_a_line_that_keeps_something_apart() {
        let routes = "/admin/* off; /me/{x} per_credential; /x/* ttl=1h; /* ttl=1m";
        let of = |path| find(routes, None, path);
        for path in [
            "//admin/a",
            "/admin//a",
            "/admin%2Fa",
            "/admin%5ca",
            "/%61dmin/a",
            "/%2561dmin/a",
            "/%2e/admin/a",
            "/admin/../admin/a",
            "/x/../admin/a",
            "/x/%2E%2e%2fadmin/a",
            "/../admin/a",
            "/x/..;/admin/a",
            "/admin;v=1/a",
            "//admin/",
            "//admin/.",
        ] {
            assert_eq!(of(path).as_deref(), Some("/admin/*"), "{path}");
        }
        assert_eq!(of("/me//a").as_deref(), Some("/me/{x}"));
        for (path, line) in [
            ("/x/a%2Fb", "/x/*"),
            ("/admin/../x/a", "/admin/*"),
            ("//x/a", "/*"),
            ("/Admin/a", "/*"),
        ] {
            assert_eq!(of(path).as_deref(), Some(line), "{path}");
        }
        // A framework that knows only the route of the rest may clean the path after this layer.
        let behind = find(routes, Some("/{*rest}"), "//admin/a");
        assert_eq!(behind.as_deref(), Some("/admin/*"));
    }

    #[test]
    fn what_lies_under_a_line_that_keeps_it_apart_does_so_whichever_route_takes_it() {
        let routes = "/admin/* off; /admin/open/{x} ttl=1h; /{*rest} ttl=1m; /users/{id} off";
        for (route, path, line) in [
            ("/{*path}", "/admin/a", "/admin/*"),
            ("/{section}/{page}", "/admin/a", "/admin/*"),
            ("/{section}/{page}", "/other/a", "/{*rest}"),
            ("/admin/open/{y}", "/admin/open/a", "/admin/open/{x}"),
            ("/users/me", "/users/me", "/{*rest}"),
        ] {
            let found = find(routes, Some(route), path);
            assert_eq!(found.as_deref(), Some(line), "{route} {path}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_with_its_words() {
        for (text, said) in [
            ("users ttl=1h", "a route begins with `/`"),
            ("/users", "`/users`: nothing is said of it"),
            ("/users ttl=banana", "`/users ttl=banana`: it is no time"),
            ("/users ttl", "`/users ttl`: there is no such word"),
            ("/users of", "`/users of`: there is no such word"),
            ("/users off=1", "there is no such word"),
            ("/users off ttl=1h", "`/users`: with `off` nothing else"),
            ("/users group=g off", "`/users`: with `off` nothing else"),
            ("/users group=user:{id", "group is"),
            ("/users group=user:{id}", "the route has none"),
            (
                "/users query=a ignore_query=b",
                "`/users ignore_query=b`: something else is said of it before",
            ),
            ("/users ttl=1h override_ttl=2h", "is said of it before"),
            ("/users vary=a:b", "`a:b` is no name of a field"),
            ("/users query=", "a name is missing"),
            ("/users class=a/b", "class is `a/b`"),
            ("/users profile=loose", "there is no such word"),
            (
                "/u/{a} off; /u/{b} ttl=1h",
                "`/u/{a}` and `/u/{b}` are one route",
            ),
        ] {
            let error = Routes::parse(text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_route_or_path_makes_it_panic(
            text in "(/[-/a-c{}*%]{0,9} off;){1,3}|\\PC{0,20}",
            route in "/?[-/a-c{}*:.%\\\\]{0,12}",
            path in "/[-/a-c%A-F0-9.]{0,12}",
        ) {
            let _ = Pattern::of_route(&route);
            if let (Ok(routes), Ok(uri)) = (Routes::parse(&text), path.parse::<Uri>()) {
                let again = Routes::parse(&routes.to_string());
                proptest::prop_assert_eq!(again.as_ref(), Ok(&routes));
                let by_path = routes.line(None, uri.path());
                let _ = routes.find(None, &uri);
                for (n, rule) in routes.0.iter().enumerate() {
                    // The first line that takes the path is the one that is found.
                    let takes = rule.route.take(uri.path()).is_some();
                    proptest::prop_assert!(!takes || by_path.is_some_and(|found| found <= n));
                }
                let _ = routes.find(Some(&route), &uri);
            }
        }
    }
}
