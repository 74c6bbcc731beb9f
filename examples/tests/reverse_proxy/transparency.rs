//! Any requests in any order, and an origin that goes by the standard: every answer is one that the
//! origin itself could have given.

use crate::support::{Answer, Received, Reply, Test};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// So long is every representation.
const LENGTH: usize = 60;

/// So many requests come.
const ROUNDS: usize = 100;

const SEEDS: [u64; 3] = [0x9111, 0x9110, 0x9213];

/// Numbers without an order, the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// What an origin tells its representations apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Validator {
    Strong,
    Weak,
    Date,
    None,
}

/// A representation: one of the versions, in one of two variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edition {
    version: usize,
    variant: usize,
}

impl Edition {
    /// As it is named in a field of every response.
    fn name(self) -> String {
        format!("{}.{}", self.version, self.variant)
    }

    fn named(name: &str) -> Option<Self> {
        let (version, variant) = name.split_once('.')?;
        let (version, variant) = (version.parse().ok()?, variant.parse().ok()?);
        Some(Self { version, variant })
    }

    fn content(self) -> String {
        let letter = char::from(b'a' + u8::try_from(self.version % 26).unwrap());
        let mut content = self.name();
        while content.len() < LENGTH {
            content.push_str(&format!("{letter}{:02}", content.len()));
        }
        content.truncate(LENGTH);
        content
    }

    /// The value of its validator. Each second brought a version.
    fn validator(self, kind: Validator) -> String {
        let minutes = 10 + self.version / 60;
        match kind {
            Validator::Strong => format!("\"{}\"", self.name()),
            Validator::Weak => format!("W/\"{}\"", self.name()),
            Validator::Date => {
                format!("Sun, 06 Nov 1994 08:{minutes}:{:02} GMT", self.version % 60)
            }
            Validator::None => "none".to_owned(),
        }
    }
}

/// How the origin answers.
#[derive(Clone, Copy)]
struct Origin {
    control: &'static str,
    validator: Validator,
    varies: bool,
}

impl Origin {
    /// The third value of the selecting field gets what the first does.
    fn select(self, version: usize, value: &str) -> Edition {
        let number: usize = value.parse().unwrap_or(0);
        let variant = if self.varies { number % 2 } else { 0 };
        Edition { version, variant }
    }

    fn reply(self, status: u16, edition: Edition) -> Reply {
        let reply = Reply::new(status).control(self.control);
        let reply = reply
            .field("x-edition", &edition.name())
            .field("content-type", "text/plain");
        let reply = if self.varies {
            reply.field("vary", "x-a")
        } else {
            reply
        };
        match self.validator {
            Validator::None => reply,
            Validator::Date => reply.field("last-modified", &edition.validator(self.validator)),
            Validator::Strong | Validator::Weak => {
                reply.field("etag", &edition.validator(self.validator))
            }
        }
    }

    /// As RFC 9110 §13.2.2 and §14.2 have it.
    fn answer(self, request: &Received, version: usize) -> Reply {
        let edition = self.select(version, request.field("x-a").unwrap_or_default());
        let own = edition.validator(self.validator);
        let tags = request.fields.all("if-none-match").join(", ");
        let since = request
            .field("if-modified-since")
            .filter(|_| tags.is_empty());
        let is_known = match self.validator {
            Validator::Strong | Validator::Weak => {
                tags.contains(&format!("\"{}\"", edition.name()))
            }
            Validator::Date => since == Some(&own),
            Validator::None => false,
        };
        if is_known {
            return self.reply(304, edition);
        }
        let is_strong = matches!(self.validator, Validator::Strong | Validator::Date);
        let is_same = |condition: &str| is_strong && condition == own;
        let range = request
            .field("range")
            .filter(|_| request.method == "GET" && request.field("if-range").is_none_or(is_same));
        let whole = edition.content();
        match range.and_then(bounds) {
            Some((first, last)) => {
                let range = format!("bytes {first}-{last}/{LENGTH}");
                let reply = self.reply(206, edition).body(&whole[first..=last]);
                reply.field("content-range", &range)
            }
            None => self.reply(200, edition).body(whole),
        }
    }
}

/// First and last byte of one range.
fn bounds(range: &str) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let suffix: usize = last.parse().ok()?;
        return Some((LENGTH - suffix.min(LENGTH), LENGTH - 1));
    }
    let last = last.parse().unwrap_or(LENGTH - 1).min(LENGTH - 1);
    Some((first.parse().ok()?, last))
}

/// What a client asks.
#[derive(Clone, Debug, Default)]
struct Question {
    is_head: bool,
    selecting: usize,
    known: Option<Edition>,
    range: Option<String>,
    if_range: Option<Edition>,
    control: Option<&'static str>,
}

impl Question {
    fn any(numbers: &mut Numbers, origin: Origin, version: usize) -> Self {
        let selecting = if origin.varies {
            numbers.below(3) + 1
        } else {
            0
        };
        let near = version - numbers.below(3).min(version);
        let near = Some(origin.select(near, &selecting.to_string()));
        let mut question = Self {
            selecting,
            ..Self::default()
        };
        match numbers.below(8) {
            // Without a validator, what HEAD tells of another representation of the same length would be
            // taken for news of what is stored (RFC 9111 §4.3.5).
            0 => question.is_head = origin.validator != Validator::None,
            1 => question.known = near,
            2 | 3 => question.range = Some(any_range(numbers)),
            4 => {
                question.range = Some(any_range(numbers));
                question.if_range = near;
            }
            5 => {
                question.range = Some(any_range(numbers));
                question.known = near;
            }
            _ => {}
        }
        let controls = [
            "no-cache",
            "max-age=0",
            "max-age=9",
            "min-fresh=9",
            "no-store",
            "foo",
        ];
        question.control = controls.get(numbers.below(4 * controls.len())).copied();
        question
    }

    fn ask(&self, t: &Test, validator: Validator) -> Answer {
        let mut ask = t.ask(if self.is_head { "HEAD" } else { "GET" });
        let condition = match validator {
            Validator::Date => "if-modified-since",
            Validator::Strong | Validator::Weak | Validator::None => "if-none-match",
        };
        let value = |edition: Edition| edition.validator(validator);
        let selecting = Some(self.selecting).filter(|selecting| *selecting > 0);
        for (name, value) in [
            ("x-a", selecting.map(|selecting| selecting.to_string())),
            (condition, self.known.map(value)),
            ("if-range", self.if_range.map(value)),
            ("range", self.range.clone()),
            ("cache-control", self.control.map(str::to_owned)),
        ] {
            if let Some(value) = value {
                ask = ask.field(name, &value);
            }
        }
        ask.send()
    }
}

fn any_range(numbers: &mut Numbers) -> String {
    let first = numbers.below(LENGTH);
    match numbers.below(4) {
        0 => format!("bytes={first}-"),
        1 => format!("bytes=-{}", first + 1),
        2 => format!("bytes={first}-{}", first + numbers.below(20)),
        _ => format!("bytes=0-{first}"),
    }
}

/// Whether the answer fits the question; the version that it is of.
fn check(question: &Question, answer: &Answer, origin: Origin) -> Result<usize, &'static str> {
    let edition = answer.field("x-edition").and_then(Edition::named);
    let edition = edition.ok_or("it is of no edition")?;
    if edition != origin.select(edition.version, &question.selecting.to_string()) {
        return Err("it is another variant");
    }
    let whole = edition.content();
    let body = if question.is_head { "" } else { &whole };
    let is_known = question.known == Some(edition) && origin.validator != Validator::None;
    let range = question
        .range
        .as_deref()
        .and_then(bounds)
        .filter(|_| !question.is_head);
    let found = (answer.status, &*answer.text());
    // Of conditions and ranges, those may be ignored that only save a transfer.
    let fits = match answer.status {
        304 => is_known && found.1.is_empty(),
        206 => {
            let is_same = question.if_range.is_none_or(|known| known == edition);
            let is_strong = question.if_range.is_none() || origin.validator != Validator::Weak;
            let part = range.map(|(first, last)| &whole[first..=last]);
            is_same && is_strong && !is_known && part == Some(found.1)
        }
        _ => found == (200, body),
    };
    if !fits {
        return Err("it does not fit the question");
    }
    let part = range.filter(|_| answer.status == 206);
    let part = part.map(|(first, last)| format!("bytes {first}-{last}/{LENGTH}"));
    if answer.fields.all("content-range") != part.as_deref().into_iter().collect::<Vec<_>>() {
        return Err("its Content-Range is wrong");
    }
    let length = if answer.status == 206 {
        answer.body.len()
    } else {
        LENGTH
    };
    match answer.field("content-length") {
        Some(told) if told != length.to_string() => Err("its Content-Length is wrong"),
        _ => Ok(edition.version),
    }
}

/// A resource that changes.
struct Resource {
    test: Test,
    origin: Origin,
    version: Arc<AtomicUsize>,
    /// The least version that the proxy must know of.
    known: AtomicUsize,
    changes_by_itself: bool,
}

impl Resource {
    fn new(origin: Origin, changes_by_itself: bool) -> Self {
        let test = Test::new();
        let version = Arc::new(AtomicUsize::new(0));
        let own = Arc::clone(&version);
        test.origin_says(move |request, _| {
            if request.method == "PUT" {
                let version = own.fetch_add(1, Ordering::SeqCst) + 1;
                return Reply::new(204).field("x-version", &version.to_string());
            }
            origin.answer(request, own.load(Ordering::SeqCst))
        });
        let known = AtomicUsize::new(0);
        Self {
            test,
            origin,
            version,
            known,
            changes_by_itself,
        }
    }

    fn version(&self) -> usize {
        self.version.load(Ordering::SeqCst)
    }

    /// Changes it through the proxy, which then knows.
    fn change(&self) {
        let answer = self.test.ask("PUT").send().has_status(204);
        let version = usize::try_from(answer.number("x-version")).unwrap();
        self.known.fetch_max(version, Ordering::SeqCst);
    }

    fn change_by_itself(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Asks something, and checks that the answer is of what was current between question and answer.
    fn ask(&self, numbers: &mut Numbers) {
        let before = if self.changes_by_itself {
            self.version()
        } else {
            self.known.load(Ordering::SeqCst)
        };
        let question = Question::any(numbers, self.origin, before);
        let answer = question.ask(&self.test, self.origin.validator);
        let after = self.version();
        match check(&question, &answer, self.origin) {
            Ok(version) if (before..=after).contains(&version) => {}
            Ok(version) => {
                panic!("of {version}, not {before} to {after}: {question:?} {answer}")
            }
            Err(wrong) => panic!("{wrong}: {question:?} {answer}"),
        }
    }

    /// Asks at random while it changes: through the proxy, or also by itself.
    fn run(&self, seed: u64) {
        let mut numbers = Numbers(seed);
        for _ in 0..ROUNDS {
            match numbers.below(20) {
                0 => self.change(),
                1 if self.changes_by_itself => self.change_by_itself(),
                _ => self.ask(&mut numbers),
            }
        }
    }
}

/// Every kind of origin with these directives.
fn each_kind(control: &'static str, run: impl Fn(Origin)) {
    for validator in [
        Validator::Strong,
        Validator::Weak,
        Validator::Date,
        Validator::None,
    ] {
        for varies in [false, true] {
            run(Origin {
                control,
                validator,
                varies,
            });
        }
    }
}

fn run(control: &'static str, changes_by_itself: bool) {
    each_kind(control, |origin| {
        for seed in SEEDS {
            Resource::new(origin, changes_by_itself).run(seed);
        }
    });
}

/// The same from several clients at once.
fn run_at_once(control: &'static str, changes_by_itself: bool) {
    each_kind(control, |origin| {
        let resource = Resource::new(origin, changes_by_itself);
        thread::scope(|scope| {
            for seed in SEEDS {
                let resource = &resource;
                scope.spawn(move || resource.run(seed));
            }
        });
    });
}

#[test]
fn what_is_validated_each_time_is_never_old() {
    // RFC 9111 §5.2.2.4, §4.3: whatever is asked in whichever order.
    run("no-cache", true);
    run("s-maxage=0", true);
}

#[test]
fn what_is_changed_through_the_cache_is_never_old() {
    // RFC 9111 §4.4: each change goes through the proxy, which forgets what was.
    run("max-age=600", false);
}

#[test]
fn what_is_not_stored_is_never_old() {
    // RFC 9111 §5.2.2.5.
    run("no-store", true);
}

#[test]
fn nothing_is_old_for_those_who_ask_at_once() {
    // RFC 9111 §4, §4.4: of what was current between question and answer.
    run_at_once("no-cache", true);
    run_at_once("max-age=600", false);
}
