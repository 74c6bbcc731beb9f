//! What holds for the responses of a route.

use crate::config::Change;
use cache_core::{
    Error, Policy as Life,
    policy::{LONGEST, days},
};
use http::HeaderName;
use std::{sync::Arc, time::Duration};

/// The caching of a route: lifetimes, what tells requests apart, groups.
///
/// ```
/// use cache_tower::{Policy, hours, minutes};
///
/// let users = Policy::ttl(hours(1)).stale_if_error(minutes(10)).group("user:{id}");
/// let posts = Policy::ttl(minutes(30)).vary_by_query(["page"]);
/// # assert!(users.validate().is_ok() && posts.validate().is_ok());
/// ```
///
/// # What a policy does not lift
///
/// A lifetime given here applies only to plain requests: to one that carries Cookie or Authorization
/// a stored response is given, and its response is stored, only where the response itself says
/// `public` or `s-maxage`. [`per_credential`](Self::per_credential) keeps such requests apart,
/// [`ignore_credentials`](Self::ignore_credentials) declares that they make no difference. Under
/// every policy a response with `no-store` or `private` is passed on and not stored. One with Set-Cookie is
/// stored only under [`Profile::Standard`].
///
/// # What a policy does not see
///
/// Who a client is, where it says so otherwise: in a field of another name, as `X-Api-Key`, by its
/// certificate or by its address. There the first answer under a lifetime is given to all. A field can be
/// named by [`vary_by_header`](Self::vary_by_header); for all else leave the route [off](Self::off).
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    life: Life,
    profile: Profile,
    source: Source,
    max_stale: Duration,
    key: KeyPolicy,
    groups: Vec<Template>,
    ignore_credentials: bool,
    ignore_client_directives: bool,
    /// What was given as the name of a field and is none, for `validate` to name.
    no_fields: Vec<Box<str>>,
}

/// How closely the rules follow what a service may have meant, or what the standard says.
///
/// | | guarded | standard |
/// |---|---|---|
/// | made for | services that never thought of caching | proxies, and origins that are known |
/// | Set-Cookie | never stored | stored and given out (RFC 9111 §7.3) |
/// | a request with Cookie or Authorization | apart from others, unless the response says `public` or `s-maxage` | with Authorization stored only by `public`, `s-maxage` or `must-revalidate` (§3.5); Cookie is no matter |
/// | fields about one client: `WWW-Authenticate`, `Clear-Site-Data`, a CSP nonce, one allowed CORS origin without `Vary: Origin` | never stored | stored |
/// | `Vary` by Cookie or Authorization | never stored, unless [`per_credential`](Policy::per_credential) | one variant each |
/// | statuses without a lifetime of their own | 200, 203, 204, 206, 300, 301, 308 | those and 404, 405, 410, 414, 501 (RFC 9110 §15.1); any, by `public` |
/// | statuses with one | those and 302, 303, 307, 404, 410 | every final one but 304, 428, 429, 431 and 511; 412 and 416 where the request had no conditions and no Range |
/// | a response to POST with a lifetime and its own URI as Content-Location | passed on | stored for GET (RFC 9110 §9.3.3) |
/// | a Cache-Control that does not parse | nothing is stored | the directive in question is read as the stricter |
/// | an Accept-Language of the same languages and weights in another order | another variant where weights are equal | the same variant (RFC 9110 §12.5.4) |
/// | a stale response when the service cannot be reached | within `stale-if-error` | for [`max_stale`](Policy::max_stale), unless forbidden (RFC 9111 §4.2.4) |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Refuses what the standard allows but a service may not have meant.
    #[default]
    Guarded,
    /// RFC 9111 as a shared cache, to the letter.
    Standard,
}

/// Where lifetimes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The response's fields alone.
    Fields,
    /// The policy, where the fields say nothing.
    Supplied(Duration),
    /// The policy, whatever lifetime the fields name.
    Overridden(Duration),
    /// Nothing is looked up or stored.
    Off,
}

/// What of a request is in its key, beyond scheme, authority and path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPolicy {
    /// How much of the query.
    pub query: QueryKey,
    /// Request fields that every key contains.
    pub fields: Vec<HeaderName>,
    /// Whether requests of different credentials have different keys.
    pub per_credential: bool,
}

/// How much of the query is in the key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum QueryKey {
    /// Every byte of it.
    #[default]
    All,
    /// The parameters of these names.
    Only(Vec<Arc<str>>),
    /// All but the parameters that match.
    Ignoring(Vec<NamePattern>),
}

impl QueryKey {
    /// Only the parameters of these names.
    pub fn only<N: Into<Arc<str>>>(names: impl IntoIterator<Item = N>) -> Self {
        Self::Only(names.into_iter().map(Into::into).collect())
    }

    /// All but the parameters of these names; a `*` at the end stands for any ending.
    pub fn ignoring<N: Into<Arc<str>>>(names: impl IntoIterator<Item = N>) -> Self {
        Self::Ignoring(
            names
                .into_iter()
                .map(|name| NamePattern(name.into()))
                .collect(),
        )
    }
}

/// A name, or the beginning of one and a `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(Arc<str>);

impl NamePattern {
    pub(crate) fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => *self.0 == *name,
        }
    }
}

/// A group's name with the route's parameters in it, as `user:{id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Parameter(Box<str>),
}

impl Template {
    /// Reads a template; `{{` and `}}` stand for braces. `None` where a brace does not close.
    fn parse(text: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '{' | '}' if chars.next_if_eq(&char).is_some() => literal.push(char),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match chars.next()? {
                            '}' => break,
                            '{' => return None,
                            char => name.push(char),
                        }
                    }
                    if name.is_empty() {
                        return None;
                    }
                    pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
                    pieces.push(Piece::Parameter(name.into()));
                }
                '}' => return None,
                char => literal.push(char),
            }
        }
        pieces.push(Piece::Text(literal.into()));
        Some(Self(pieces))
    }

    /// Whether this, if it is a template, names a parameter.
    pub(crate) fn has_parameter(text: &str) -> bool {
        let is_parameter = |piece: &Piece| matches!(piece, Piece::Parameter(_));
        Self::parse(text).is_some_and(|template| template.0.iter().any(is_parameter))
    }

    /// The name with its parameters filled in, or `None` where the route has no such parameter.
    pub(crate) fn fill(&self, mut parameter: impl FnMut(&str) -> Option<String>) -> Option<String> {
        let mut name = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Parameter(of) => name.push_str(&parameter(of)?),
            }
        }
        Some(name)
    }
}

impl Default for Policy {
    /// [`Policy::from_headers`].
    fn default() -> Self {
        Self::from_headers()
    }
}

impl Policy {
    /// Lifetimes come from the response's own fields: what it names, else a tenth of the time since
    /// Last-Modified (RFC 9111 §4.2.2), a week at most. What has neither is stored only where it has a
    /// validator, and validated each time.
    #[must_use]
    pub fn from_headers() -> Self {
        Self::of(Source::Fields, Life::default())
    }

    /// [`from_headers`](Self::from_headers) under [`Profile::Standard`], for proxies and for origins
    /// that are known to mean what they say.
    #[must_use]
    pub fn standard() -> Self {
        Self::from_headers().profile(Profile::Standard)
    }

    /// How closely the rules follow the standard. Default: [`Profile::Guarded`].
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Responses that name no lifetime of their own live for `ttl` (RFC 9111 §4.2.2 calls that
    /// heuristic): those of status 200, 203, 204, 206, 300, 301 and 308, and under [`Profile::Standard`]
    /// also 404, 405, 410, 414 and 501. With zero, or once `ttl` is over, what has a validator is
    /// validated.
    #[must_use]
    pub fn ttl(ttl: Duration) -> Self {
        Self::of(Source::Supplied(ttl.min(LONGEST)), Life::ttl(ttl))
    }

    /// Every response of those statuses lives for `ttl`, whatever lifetime it names. `no-store`,
    /// `private`, `no-cache` and Set-Cookie still hold.
    #[must_use]
    pub fn override_ttl(ttl: Duration) -> Self {
        Self::of(Source::Overridden(ttl.min(LONGEST)), Life::ttl(ttl))
    }

    /// Nothing is looked up or stored. Unsafe methods still invalidate.
    #[must_use]
    pub fn off() -> Self {
        Self::of(Source::Off, Life::default())
    }

    fn of(source: Source, life: Life) -> Self {
        Self {
            life,
            profile: Profile::default(),
            source,
            max_stale: days(1),
            key: KeyPolicy::default(),
            groups: Vec::new(),
            ignore_credentials: false,
            ignore_client_directives: false,
            no_fields: Vec::new(),
        }
    }

    /// Names the kind of these responses, as `session`, so that an operator can set the lifetime of all
    /// policies of that kind: `CACHE_TTL_SESSION` goes before what is said here, in caches that are built
    /// [from the environment](crate::config). See [`cache_core::Policy::class`]. Default: none.
    #[must_use]
    pub fn class(mut self, name: impl Into<Arc<str>>) -> Self {
        self.life = self.life.class(name);
        self
    }

    /// For `window` after its lifetime a response is still served while one request refreshes it
    /// (RFC 5861 §3), unless the response names a window itself or forbids it. Default: zero.
    #[must_use]
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.life = self.life.stale_while_revalidate(window);
        self
    }

    /// For `window` after its lifetime a response is served in place of an error of the origin (RFC
    /// 5861 §4): status 500, 502, 503 or 504, or an error of the service. Unless the response names a
    /// window itself or forbids it. Default: zero.
    #[must_use]
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.life = self.life.stale_if_error(window);
        self
    }

    /// Stale windows that responses name themselves are cut to this; under [`Profile::Standard`] it is
    /// also how long a stale response stands in for a service that cannot be reached. Default: one day.
    #[must_use]
    pub fn max_stale(mut self, longest: Duration) -> Self {
        self.max_stale = longest.min(LONGEST);
        self
    }

    /// Shortens each lifetime by a random share of up to `fraction`. Accepted: 0 to 1. Default: 0.
    #[must_use]
    pub fn jitter(mut self, fraction: f64) -> Self {
        self.life = self.life.jitter(fraction);
        self
    }

    /// Refreshes a response before it expires, the likelier the nearer and the longer it took; see
    /// [`cache_core::Policy::early_refresh`]. Accepted: 0 (off) to 100. Default: 0.
    #[must_use]
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.life = self.life.early_refresh(beta);
        self
    }

    /// A request that leads has this long for its response's head, and its body as long again; then
    /// another takes its turn, while its own client is still served. Accepted: above zero. Default: 30 seconds.
    #[must_use]
    pub fn work_deadline(mut self, limit: Duration) -> Self {
        self.life = self.life.work_deadline(limit);
        self
    }

    /// A request waits this long for the response to another; then it is answered from a stale copy,
    /// goes to the service by itself (a few at a time do), or gets a 503. Accepted: above zero.
    /// Default: 10 seconds.
    #[must_use]
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.life = self.life.wait_limit(limit);
        self
    }

    /// After a failed refresh the stale copy is served without a new attempt for `first`; see
    /// [`cache_core::Policy::failure_pause`]. Default: 100 ms, growing to 5 s.
    #[must_use]
    pub fn failure_pause(mut self, first: Duration, longest: Duration) -> Self {
        self.life = self.life.failure_pause(first, longest);
        self
    }

    /// Only these query parameters tell requests apart; all others make no difference to the
    /// response. Names are compared decoded; values and the order of repetitions count as they came.
    /// Default: the whole query counts, to the byte.
    #[must_use]
    pub fn vary_by_query<N: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.key.query = QueryKey::only(names);
        self
    }

    /// These query parameters make no difference to the response; `utm_*` names all that begin so.
    /// Default: the whole query counts, to the byte.
    #[must_use]
    pub fn ignore_query<N: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.key.query = QueryKey::ignoring(names);
        self
    }

    /// Requests that differ in this field never share a response, whatever its Vary says. May be
    /// given several times; upper and lower case are the same. Default: none.
    ///
    /// It is what keeps clients apart who prove who they are otherwise than by Cookie or Authorization:
    ///
    /// ```
    /// use cache_tower::{Policy, minutes};
    ///
    /// let policy = Policy::ttl(minutes(5)).vary_by_header("x-api-key");
    /// assert!(policy.validate().is_ok());
    /// ```
    #[must_use]
    pub fn vary_by_header(mut self, name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => self.key.fields.push(name),
            Err(_) => self.no_fields.push(name.into()),
        }
        self
    }

    /// Requests of different Cookie or Authorization never share a response, so lifetimes of the
    /// policy apply to them too. Only a digest of the credentials is kept. Default: off.
    #[must_use]
    pub fn per_credential(mut self) -> Self {
        self.key.per_credential = true;
        self
    }

    /// Declares that responses of this route do not depend on Cookie or Authorization: they are
    /// stored and shared as if the request carried neither. Wrongly declared, one user sees what was
    /// made for another. Default: off.
    #[must_use]
    pub fn ignore_credentials(mut self) -> Self {
        self.ignore_credentials = true;
        self
    }

    /// Clients cannot ask for a fresh response by `no-cache`, `max-age`, `min-fresh` or `Pragma`. Default: they can;
    /// many who do so at once share one.
    #[must_use]
    pub fn ignore_client_directives(mut self) -> Self {
        self.ignore_client_directives = true;
        self
    }

    /// Puts responses into a group that can be purged as one, in addition to earlier ones. `{id}`
    /// stands for the route's parameter `id`, decoded; where the route has none, nothing is stored.
    /// Default: none.
    #[doc(alias = "tag")]
    #[must_use]
    pub fn group(mut self, template: impl AsRef<str>) -> Self {
        let text = template.as_ref();
        // What is malformed is kept as it is, for `validate` to name.
        self.groups.push(
            Template::parse(text).unwrap_or_else(|| Template(vec![Piece::Parameter(text.into())])),
        );
        self
    }

    /// Checks that the policy can work.
    ///
    /// # Errors
    ///
    /// Names every setting that cannot, what was found, and what is accepted.
    pub fn validate(&self) -> Result<(), Error> {
        let mut problems: Vec<String> = self
            .life
            .validate()
            .err()
            .map(|error| error.to_string())
            .into_iter()
            .collect();
        for piece in self.groups.iter().flat_map(|template| &template.0) {
            if let Piece::Parameter(name) = piece
                && name.contains(['{', '}'])
            {
                problems.push(format!(
                    "group is `{name}`; accepted is text with parameters as `user:{{id}}`, and `{{{{` for a brace"
                ));
            }
        }
        for name in &self.no_fields {
            problems.push(format!(
                "vary_by_header is `{name}`; accepted is the name of a field as `accept-language`"
            ));
        }
        if self.key.per_credential && self.ignore_credentials {
            problems.push(
                "per_credential and ignore_credentials are both set; accepted is one of them"
                    .to_owned(),
            );
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::config(problems.join("; ")))
        }
    }

    /// This policy with the lifetimes, windows and groups of one response's own. What tells requests
    /// apart was decided before the handler ran: an own policy that says otherwise, or is impossible,
    /// stores nothing.
    pub(crate) fn for_response(&self, own: Self) -> Self {
        let says_otherwise = (own.key != KeyPolicy::default() && own.key != self.key)
            || (own.ignore_credentials && !self.ignore_credentials);
        if says_otherwise || own.validate().is_err() {
            return Self::off();
        }
        Self {
            profile: self.profile,
            key: self.key.clone(),
            ignore_credentials: self.ignore_credentials,
            ignore_client_directives: self.ignore_client_directives,
            ..own
        }
    }

    /// As the environment has it. What is off stays off.
    pub(crate) fn under(mut self, config: &cache_core::Config) -> Self {
        self.life = config.policy(self.life);
        self.source = match (self.source, self.life.own_ttl()) {
            (Source::Fields | Source::Supplied(_), Some(ttl)) => Source::Supplied(ttl),
            (Source::Overridden(_), Some(ttl)) => Source::Overridden(ttl),
            (source, _) => source,
        };
        self
    }

    /// As a line of `CACHE_ROUTES` has it. A possible policy stays possible.
    pub(crate) fn changed(mut self, change: Change) -> Self {
        if let Some(ttl) = change.ttl {
            let ttl = ttl.min(LONGEST);
            self.life = self.life.with_ttl(ttl);
            let overrides = change.overrides || matches!(self.source, Source::Overridden(_));
            self.source = if overrides {
                Source::Overridden(ttl)
            } else {
                Source::Supplied(ttl)
            };
        }
        if change.off {
            self.source = Source::Off;
        }
        if let Some(window) = change.stale_while_revalidate {
            self = self.stale_while_revalidate(window);
        }
        if let Some(window) = change.stale_if_error {
            self = self.stale_if_error(window);
        }
        if change.ttl.is_some() {
            self.life = self.life.possible();
        }
        if change.per_credential {
            self.key.per_credential = true;
            self.ignore_credentials = false;
        }
        self.key.query = change.query.unwrap_or(self.key.query);
        self.key.fields.extend(change.vary);
        self.profile = change.profile.unwrap_or(self.profile);
        change.groups.iter().fold(self, Self::group)
    }

    pub(crate) fn life(&self) -> &Life {
        &self.life
    }

    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// The profile set by [`profile`](Self::profile).
    pub(crate) fn follows(&self) -> Profile {
        self.profile
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.profile == Profile::Guarded
    }

    /// The windows the policy supplies: while revalidating, and if the origin fails.
    pub(crate) fn windows(&self) -> (Duration, Duration) {
        self.life.stale_windows()
    }

    pub(crate) fn longest_stale(&self) -> Duration {
        self.max_stale
    }

    pub(crate) fn key(&self) -> &KeyPolicy {
        &self.key
    }

    pub(crate) fn groups(&self) -> &[Template] {
        &self.groups
    }

    /// Whether requests with credentials are kept apart from those without (guarded).
    pub(crate) fn separates_credentials(&self) -> bool {
        self.is_guarded() && self.minds_credentials()
    }

    /// Whether it matters what credentials a request carries.
    pub(crate) fn minds_credentials(&self) -> bool {
        !self.key.per_credential && !self.ignore_credentials
    }

    pub(crate) fn heeds_client(&self) -> bool {
        !self.ignore_client_directives
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cache_core::policy::{hours, seconds};

    fn fill(template: &str) -> Option<String> {
        Template::parse(template)?.fill(|name| (name == "id").then(|| "42".to_owned()))
    }

    #[test]
    fn a_template_takes_the_routes_parameters() {
        assert_eq!(fill("user:{id}").as_deref(), Some("user:42"));
        assert_eq!(fill("{id}-{id}").as_deref(), Some("42-42"));
        assert_eq!(fill("plain").as_deref(), Some("plain"));
        assert_eq!(fill("{{id}}").as_deref(), Some("{id}"));
        assert_eq!(fill("user:{name}"), None, "the route has no such parameter");
    }

    #[test]
    fn impossible_policies_are_refused_by_name() {
        for (policy, names) in [
            (
                Policy::ttl(Duration::ZERO).stale_if_error(seconds(1)),
                "stale window",
            ),
            (Policy::ttl(hours(1)).jitter(1.1), "jitter is 1.1"),
            (
                Policy::ttl(hours(1)).group("user:{id"),
                "group is `user:{id`",
            ),
            (Policy::ttl(hours(1)).group("user:}"), "group is"),
            (Policy::ttl(hours(1)).group("{}"), "group is"),
            (
                Policy::ttl(hours(1)).per_credential().ignore_credentials(),
                "per_credential",
            ),
            (
                Policy::ttl(hours(1)).vary_by_header("x tenant"),
                "vary_by_header is `x tenant`",
            ),
            (
                Policy::ttl(hours(1)).wait_limit(Duration::ZERO),
                "wait_limit",
            ),
        ] {
            let error = policy.validate().unwrap_err().to_string();
            assert!(
                error.contains(names) && error.contains("accepted is"),
                "{error}"
            );
        }
        assert!(
            Policy::from_headers()
                .stale_if_error(hours(1))
                .validate()
                .is_ok()
        );
        assert!(Policy::off().validate().is_ok());
    }
}
