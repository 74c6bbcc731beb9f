//! Variants that are validated, and variants that something other than the handler makes.

use crate::support::{
    Answer, App, Ask, Gate, Origin, Policy, Reply, Sending, Site, eventually, minutes, others_run,
    pass, seconds,
};
use futures_util::future::join_all;

const FRESH: &str = "public, max-age=60";

fn fields() -> Policy {
    Policy::from_headers()
}

/// Where the tags of other variants are offered. A guarded layer does not: fields that depend on what
/// selects, and that a 304 does not repeat, would be another variant's.
fn by_the_letter() -> Policy {
    Policy::standard()
}

fn told(answer: &Answer) -> (u16, &str, &str) {
    (answer.status.as_u16(), answer.text(), answer.header("etag"))
}

fn speaks(app: &App, language: &str) -> Sending {
    app.get("/").header("accept-language", language)
}

/// Has a page in German and one in English, each with its tag; to all others it gives the English one.
fn multilingual(weak: bool) -> impl Fn(Ask) -> Reply + Send + Sync {
    let etag = move |language: &str| format!("{}\"{language}\"", if weak { "W/" } else { "" });
    move |ask| {
        let language = match &*ask.header("accept-language") {
            "de" => "de",
            _ => "en",
        };
        Origin::of(&etag(language), format!("page in {language}"))
            .reply(&ask)
            .control(FRESH)
            .header("vary", "accept-language")
    }
}

pub(crate) async fn var_01_the_tags_of_the_variants_are_offered_and_a_304_selects_one_of_them() {
    for weak in [false, true] {
        let app = Site::replying(by_the_letter(), multilingual(weak)).start();
        for language in ["de", "en"] {
            let answer = speaks(&app, language).send().await;
            assert_eq!(answer.text(), format!("page in {language}"));
        }
        let french = speaks(&app, "fr").send().await;
        assert_eq!((french.status.as_u16(), french.text()), (200, "page in en"));
        assert_eq!(app.calls(), 3);
        let offered = app.saw(3).header("if-none-match");
        for tag in ["\"de\"", "\"en\""] {
            assert!(offered.contains(tag), "{offered}");
        }
        assert_eq!(
            app.saw(3).header("accept-language"),
            "fr",
            "it chooses by that"
        );
        for (language, body) in [
            ("de", "page in de"),
            ("en", "page in en"),
            ("fr", "page in en"),
        ] {
            assert_eq!(speaks(&app, language).send().await.text(), body);
        }
        assert!(app.calls() <= 4, "{}", app.calls());
        app.done().await;
    }
}

pub(crate) async fn var_01_a_guarded_layer_asks_for_another_variant_without_a_question_of_its_own()
{
    let app = Site::replying(fields(), multilingual(false)).start();
    for language in ["de", "en", "fr"] {
        speaks(&app, language).send().await;
    }
    for call in 1..=3 {
        assert_eq!(app.saw(call).header("if-none-match"), "");
    }
    app.done().await;
}

pub(crate) async fn var_01_a_304_that_selects_renews_the_one_it_names_alone() {
    let app = Site::replying(by_the_letter(), multilingual(false)).start();
    for language in ["de", "en"] {
        speaks(&app, language).send().await;
    }
    pass(seconds(50)).await;
    let french = speaks(&app, "fr").send().await;
    assert_eq!((french.text(), french.header("age")), ("page in en", "0"));
    pass(seconds(30)).await;
    let german = speaks(&app, "de").send().await;
    assert_eq!(
        (german.text(), app.calls()),
        ("page in de", 4),
        "it is 80 seconds old"
    );
    assert_eq!(app.saw(4).header("if-none-match"), "\"de\"");
    assert_eq!(speaks(&app, "fr").send().await.text(), "page in en");
    assert_eq!(app.calls(), 4);
    app.done().await;
}

pub(crate) async fn var_01_a_304_that_names_none_of_several_selects_none() {
    for etag in ["", "\"it\"", "W/\"it\"", "de", "*", "\"de\", \"en\""] {
        let app = Site::replying(by_the_letter(), move |ask| match ask.call {
            3 => {
                let reply = Reply::text("").status(304).control(FRESH);
                match etag {
                    "" => reply,
                    etag => reply.header("etag", etag),
                }
            }
            _ => multilingual(false)(ask),
        })
        .start();
        for language in ["de", "en"] {
            speaks(&app, language).send().await;
        }
        let french = speaks(&app, "fr").send().await;
        let got = (french.status.as_u16(), french.text());
        assert_eq!(got, (502, ""), "{etag}: nobody knows which is meant");
        let again = speaks(&app, "fr").send().await;
        assert_eq!((again.status.as_u16(), again.text()), (200, "page in en"));
        for language in ["de", "en"] {
            let answer = speaks(&app, language).send().await;
            assert_eq!(answer.text(), format!("page in {language}"));
        }
        app.done().await;
    }
}

pub(crate) async fn var_01_a_new_variant_comes_in_full_and_is_one_more() {
    let app = Site::replying(fields(), |ask| {
        let language = ask.header("accept-language");
        Origin::of(&format!("\"{language}\""), format!("page in {language}"))
            .reply(&ask)
            .control(FRESH)
            .header("vary", "accept-language")
    })
    .start();
    for _ in 0..2 {
        for language in ["de", "en", "fr", "it"] {
            let answer = speaks(&app, language).send().await;
            assert_eq!(told(&answer).1, format!("page in {language}"));
        }
    }
    assert_eq!(app.calls(), 4);
    app.done().await;
}

pub(crate) async fn var_05_no_more_tags_are_offered_than_an_origin_reads() {
    for length in [1, 100, 4000] {
        let app = Site::replying(by_the_letter(), move |ask| {
            let agent = ask.header("user-agent");
            Reply::text(agent.clone())
                .control(FRESH)
                .header("etag", format!("\"{agent}{}\"", "x".repeat(length)))
                .header("vary", "user-agent")
        })
        .start();
        for n in 0..80_u64 {
            let agent = format!("agent {n}").replace(' ', "-");
            let answer = app.get("/").header("user-agent", &agent).send().await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, &*agent));
            let offered = app.saw(n + 1).header("if-none-match");
            assert!(offered.len() <= 8192, "{} bytes", offered.len());
            assert!(offered.matches('"').count() <= 2 * 32, "{offered}");
        }
        assert!(app.stats().entries <= 33);
        app.done().await;
    }
}

pub(crate) async fn var_01_what_is_no_tag_is_not_offered_among_others() {
    for etag in ["*", "\"a\", *", "unquoted", "\"open", "", "\"a\"b\"", "W/*"] {
        let app = Site::replying(by_the_letter(), move |ask| {
            let language = ask.header("accept-language");
            let reply = Reply::text(language.clone()).control(FRESH);
            let reply = reply.header("vary", "accept-language");
            match &*language {
                "de" => reply.header("etag", etag),
                _ => reply.header("etag", "\"en\""),
            }
        })
        .start();
        for language in ["de", "en", "fr"] {
            assert_eq!(speaks(&app, language).send().await.text(), language);
        }
        assert_eq!(app.saw(3).header("if-none-match"), "\"en\"", "{etag}");
        app.done().await;
    }
}

pub(crate) async fn var_04_no_users_tags_are_offered_for_another() {
    let policy = Policy::ttl(minutes(5)).per_credential();
    for vary in ["accept", "cookie", "cookie, accept"] {
        let app = Site::replying(policy.clone(), move |ask| {
            let (user, accept) = (ask.header("cookie"), ask.header("accept"));
            // It would say yes to whatever it is offered.
            if !ask.header("if-none-match").is_empty() {
                return Reply::text("").status(304);
            }
            Reply::text(format!("{user} {accept}"))
                .header("etag", format!("\"{user} of {accept}\"").replace(' ', "-"))
                .header("vary", vary)
        })
        .start();
        for user in ["alice", "bob"] {
            let request = app.get("/").header("cookie", user).header("accept", "a");
            assert_eq!(request.send().await.text(), format!("{user} a"), "{vary}");
        }
        assert!(app.saw(2).is_plain(), "{vary}: {:?}", app.saw(2));
        let carol = app.get("/").header("cookie", "carol").header("accept", "b");
        assert_eq!(carol.send().await.text(), "carol b");
        assert!(app.saw(3).is_plain());
        app.done().await;
    }
}

pub(crate) async fn var_01_who_waits_for_a_selection_gets_what_was_selected_for_their_own_fields() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let app = Site::of(fields(), move |ask: Ask| {
        let gate = opened.clone();
        async move {
            if ask.call > 2 {
                gate.opened().await;
            }
            multilingual(false)(ask)
        }
    })
    .start();
    for language in ["de", "en"] {
        speaks(&app, language).send().await;
    }
    pass(seconds(61)).await;
    let asking: Vec<_> = (0..30)
        .map(|n| {
            let language = ["de", "en", "fr"][n % 3];
            (language, tokio::spawn(speaks(&app, language).send()))
        })
        .collect();
    eventually("all are here", || app.stats().misses == 32).await;
    others_run().await;
    gate.open();
    let (languages, asking): (Vec<_>, Vec<_>) = asking.into_iter().unzip();
    for (language, answer) in languages.into_iter().zip(join_all(asking).await) {
        let body = if language == "de" {
            "page in de"
        } else {
            "page in en"
        };
        assert_eq!((answer.unwrap().text(), language), (body, language));
    }
    assert!(app.calls() <= 5, "{}", app.calls());
    app.done().await;
}

pub(crate) async fn var_01_a_client_with_the_tag_of_another_variant_is_not_told_that_it_has_its_own()
 {
    let app = Site::replying(fields(), multilingual(false)).start();
    for language in ["de", "en"] {
        speaks(&app, language).send().await;
    }
    for (language, condition, status, body) in [
        ("de", "\"en\"", 200, "page in de"),
        ("de", "\"de\"", 304, ""),
        ("en", "\"de\"", 200, "page in en"),
        ("en", "\"de\", \"en\"", 304, ""),
    ] {
        for age in [0, 61] {
            pass(seconds(age)).await;
            let request = speaks(&app, language).header("if-none-match", condition);
            let answer = request.send().await;
            let got = (answer.status.as_u16(), answer.text());
            assert_eq!(got, (status, body), "{language} {condition} {age}");
        }
    }
    app.done().await;
}

pub(crate) async fn var_01_a_renewal_that_varies_by_more_is_given_to_nobody_else() {
    let app = Site::replying(fields(), |ask| {
        let reply = Origin::of("\"v1\"", "one").reply(&ask).control(FRESH);
        match ask.call {
            1 => reply,
            _ => reply.header("vary", "accept"),
        }
    })
    .start();
    let accepts = |accept: &str| app.get("/").header("accept", accept);
    assert_eq!(accepts("a").send().await.text(), "one");
    pass(seconds(61)).await;
    assert_eq!(accepts("a").send().await.text(), "one");
    assert_eq!(app.calls(), 2);
    assert_eq!(accepts("b").send().await.text(), "one");
    assert_eq!(app.calls(), 3, "it varies now, and b was never asked for");
    for accept in ["a", "b"] {
        assert_eq!(accepts(accept).send().await.text(), "one");
    }
    assert_eq!(app.calls(), 3);
    app.done().await;
}

fn page() -> String {
    "A page that is long enough to be worth compressing. ".repeat(20)
}

/// The page, compressed or not by a layer that stands before the handler.
fn compressing(policy: Policy, etag: &'static str, control: &'static str) -> Site {
    let origin = Origin::of(etag, page());
    Site::new()
        .inner("/", move |ask: Ask| {
            let reply = origin.reply(&ask).control(control);
            std::future::ready(reply.header("content-type", "text/plain"))
        })
        .compressed()
        .around(policy)
}

/// Each of these under both profiles: only the standard one offers the tags of other variants.
fn in_both_profiles<T: Clone, const N: usize>(cases: [T; N]) -> Vec<(Policy, T)> {
    [fields(), Policy::standard()]
        .into_iter()
        .flat_map(|policy| cases.clone().map(|case| (policy.clone(), case)))
        .collect()
}

/// What the compressing layer makes of the page, without a cache.
async fn zipped() -> Vec<u8> {
    let app = compressing(fields(), "", "no-store").start();
    let answer = app.get("/").header("accept-encoding", "gzip").send().await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    app.done().await;
    answer.body
}

/// Whether an answer is, by all of its fields, what its coding says, and one that its client takes.
fn is_consistent(answer: &Answer, takes_gzip: bool, zipped: &[u8]) {
    match answer.header("content-encoding") {
        "gzip" => assert!(takes_gzip && answer.body == zipped, "{answer:?}"),
        coding => assert_eq!((coding, answer.text()), ("", &*page())),
    }
    let length = answer.header("content-length");
    assert!(
        length.is_empty() || length == answer.body.len().to_string(),
        "{length}"
    );
}

/// The same, for one that was chosen by what its client accepts.
fn is_chosen(answer: &Answer, takes_gzip: bool, zipped: &[u8]) {
    is_consistent(answer, takes_gzip, zipped);
    let varies = answer.all("vary").join(",").to_ascii_lowercase();
    assert!(varies.contains("accept-encoding"), "{varies}");
}

/// What clients accept, and whether that is gzip.
const CODINGS: [(&str, bool); 6] = [
    ("gzip", true),
    ("", false),
    ("gzip;q=0, *;q=0.1", false),
    ("identity", false),
    ("gzip;q=0.5, br", true),
    ("br", false),
];

fn accepting(app: &App, codings: &str) -> Sending {
    match codings {
        "" => app.get("/"),
        codings => app.get("/").header("accept-encoding", codings),
    }
}

pub(crate) async fn sto_47_a_layer_that_compresses_within_the_cache_is_stored_as_what_it_made() {
    let zipped = zipped().await;
    for (policy, etag) in in_both_profiles(["", "\"v1\"", "W/\"v1\""]) {
        for first in 0..CODINGS.len() {
            let app = compressing(policy.clone(), etag, FRESH).start();
            for _ in 0..3 {
                for n in 0..CODINGS.len() {
                    let (accepted, takes_gzip) = CODINGS[(first + n) % CODINGS.len()];
                    let answer = accepting(&app, accepted).send().await;
                    assert_eq!(answer.status.as_u16(), 200, "{accepted:?} {etag}");
                    is_chosen(&answer, takes_gzip, &zipped);
                }
            }
            assert!(app.calls() <= CODINGS.len() as u64, "{}", app.calls());
            app.done().await;
        }
    }
}

pub(crate) async fn sto_47_who_takes_no_coding_gets_none_also_once_it_is_validated() {
    let zipped = zipped().await;
    for (policy, etag) in in_both_profiles(["", "\"v1\"", "W/\"v1\""]) {
        let app = compressing(policy, etag, FRESH).start();
        for _ in 0..4 {
            for (accepted, takes_gzip) in CODINGS {
                let answer = accepting(&app, accepted).send().await;
                assert_eq!(answer.status.as_u16(), 200, "{accepted:?} {etag}");
                is_chosen(&answer, takes_gzip, &zipped);
            }
            pass(seconds(61)).await;
        }
        app.done().await;
    }
}

pub(crate) async fn sto_47_parts_of_a_coded_page_are_parts_of_what_is_coded() {
    let zipped = zipped().await;
    let orders = [["gzip", "identity"], ["identity", "gzip"]];
    for (policy, order) in in_both_profiles(orders) {
        let app = compressing(policy, "\"v1\"", FRESH).start();
        for accepted in order {
            let answer = accepting(&app, accepted).send().await;
            is_chosen(&answer, accepted == "gzip", &zipped);
            let part = accepting(&app, accepted).header("range", "bytes=10-19");
            let part = part.send().await;
            assert_eq!(
                (part.status.as_u16(), &*part.body),
                (206, &answer.body[10..20])
            );
            assert_eq!(
                part.header("content-encoding"),
                answer.header("content-encoding")
            );
            let range = format!("bytes 10-19/{}", answer.body.len());
            assert_eq!(part.header("content-range"), range);
        }
        app.done().await;
    }
}

pub(crate) async fn sto_47_parts_that_came_uncoded_are_not_joined_with_what_is_coded() {
    // Parts are not compressed, nor said to vary; and the coded page has the tag of the plain one.
    let zipped = zipped().await;
    for (policy, order) in in_both_profiles([["gzip", "identity"], ["identity", "gzip"]]) {
        let app = compressing(policy, "\"v1\"", FRESH).start();
        let part = accepting(&app, order[0]).header("range", "bytes=0-99");
        let part = part.send().await;
        assert_eq!(part.body, &page().as_bytes()[..100]);
        for accepted in order.into_iter().chain(order) {
            let answer = accepting(&app, accepted).send().await;
            assert_eq!(answer.status.as_u16(), 200);
            is_consistent(&answer, accepted == "gzip", &zipped);
            let rest = accepting(&app, accepted).header("range", "bytes=100-199");
            let rest = rest.send().await;
            if rest.status == 206 && rest.header("content-encoding").is_empty() {
                assert_eq!(rest.body, &page().as_bytes()[100..200], "{accepted}");
            }
        }
        app.done().await;
    }
}

pub(crate) async fn sto_47_a_head_tells_of_the_coding_that_a_get_gets() {
    let zipped = zipped().await;
    let orders = [["gzip", "identity"], ["identity", "gzip"]];
    for (policy, order) in in_both_profiles(orders) {
        let app = compressing(policy, "\"v1\"", FRESH).start();
        for accepted in order {
            let answer = accepting(&app, accepted).send().await;
            is_chosen(&answer, accepted == "gzip", &zipped);
            let calls = app.calls();
            let head = app.head("/").header("accept-encoding", accepted);
            let head = head.send().await;
            assert_eq!((head.status.as_u16(), head.text()), (200, ""));
            assert_eq!(
                head.header("content-encoding"),
                answer.header("content-encoding")
            );
            assert_eq!(head.header("content-length"), answer.body.len().to_string());
            assert_eq!(app.calls(), calls);
        }
        app.done().await;
    }
}

pub(crate) async fn sto_47_a_layer_that_compresses_around_the_cache_leaves_one_stored_page() {
    let zipped = zipped().await;
    let app = Site::replying(fields(), |_| {
        Reply::text(page())
            .control(FRESH)
            .header("etag", "\"v1\"")
            .header("content-type", "text/plain")
    })
    .compressed_outside()
    .start();
    for _ in 0..2 {
        for (accepted, takes_gzip) in CODINGS {
            let answer = accepting(&app, accepted).send().await;
            let coding = if takes_gzip { "gzip" } else { "" };
            assert_eq!(answer.header("content-encoding"), coding, "{accepted:?}");
            is_chosen(&answer, takes_gzip, &zipped);
        }
    }
    let part = accepting(&app, "gzip").header("range", "bytes=0-99");
    let part = part.send().await;
    assert_eq!(
        (part.status.as_u16(), part.header("content-encoding")),
        (206, "")
    );
    assert_eq!(part.body, &page().as_bytes()[..100]);
    let known = accepting(&app, "gzip").header("if-none-match", "\"v1\"");
    let known = known.send().await;
    assert_eq!((known.status.as_u16(), known.text()), (304, ""));
    assert_eq!((app.calls(), app.stats().entries), (1, 1));
    app.done().await;
}
