//! How long what is stored may be served.

use crate::support::{
    App, Ask, Policy, Reply, Settings, Site, days, eventually, hours, minutes, pass, seconds,
};
use cache_axum::ManualClock;
use std::time::{Duration, SystemTime};

fn numbered(control: &'static str) -> impl Fn(Ask) -> Reply + Send + Sync + 'static {
    move |ask| Reply::text(ask.call.to_string()).control(control)
}

/// Replies `v1`, `v2`, … until call `from`, where the origin begins to fail, up to call `to`.
fn failing(control: &'static str, from: u64, to: u64) -> impl Fn(Ask) -> Reply + Send + Sync {
    move |ask| {
        let reply = Reply::text(format!("v{}", ask.call)).control(control);
        if (from..=to).contains(&ask.call) {
            reply.status(500)
        } else {
            reply
        }
    }
}

async fn ask(app: &App) -> (String, u16) {
    let answer = app.get("/").send().await;
    (answer.text().to_owned(), answer.status.as_u16())
}

fn ok(body: &str) -> (String, u16) {
    (body.to_owned(), 200)
}

pub(crate) async fn sto_11_a_lifetime_that_is_no_number_is_none() {
    for control in [
        "max-age=-1",
        "max-age=\"60\"",
        "max-age=1.5",
        "max-age=",
        "max-age",
        "max-age=1e30",
        "max-age=0x10",
        "max-age=+60",
        "max-age= 60",
        "s-maxage=-1, max-age=60",
        "max-age=60, max-age=x",
    ] {
        for policy in [Policy::from_headers(), Policy::ttl(minutes(5))] {
            let app = Site::replying(policy, numbered(control)).start();
            for call in ["1", "2"] {
                assert_eq!(ask(&app).await, ok(call), "{control}");
            }
            app.done().await;
        }
    }
}

pub(crate) async fn sto_11_a_lifetime_too_great_is_long_and_ends() {
    for control in [
        "max-age=2147483648",
        "max-age=9223372036854775808",
        "max-age=18446744073709551616",
        "max-age=999999999999999999999999999999999999999999",
        "s-maxage=18446744073709551615",
    ] {
        let app = Site::replying(Policy::from_headers(), numbered(control)).start();
        assert_eq!(ask(&app).await, ok("1"));
        pass(days(300)).await;
        assert_eq!(ask(&app).await, ok("1"), "{control}");
        pass(days(70 * 365)).await;
        assert_eq!(ask(&app).await, ok("2"), "{control}: nothing is immortal");
        app.done().await;
    }
}

pub(crate) async fn sto_12_an_age_that_overflows_counts_as_stale() {
    for age in [
        "18446744073709551615",
        "2147483648",
        "99999999999999999999999",
        "61",
    ] {
        let app = Site::replying(Policy::from_headers(), move |ask| {
            Reply::text(ask.call.to_string())
                .control("max-age=60")
                .header("age", age)
        })
        .start();
        for call in ["1", "2", "3"] {
            assert_eq!(ask(&app).await, ok(call), "{age}");
            pass(Duration::from_millis(1200)).await;
        }
        app.done().await;
    }
}

pub(crate) async fn sto_12_an_age_from_upstream_counts_and_is_added_to() {
    let app = Site::replying(Policy::from_headers(), |ask| {
        Reply::text(ask.call.to_string())
            .control("max-age=60")
            .header("age", "50")
    })
    .start();
    assert_eq!(ask(&app).await, ok("1"));
    pass(seconds(9)).await;
    let hit = app.get("/").send().await;
    assert_eq!(
        (hit.text(), hit.header("age"), hit.all("age").len()),
        ("1", "59", 1)
    );
    pass(seconds(1)).await;
    assert_eq!(ask(&app).await, ok("2"));
    app.done().await;
}

pub(crate) async fn sto_15_a_lifetime_of_zero_is_never_served() {
    for lines in [
        &[("cache-control", "max-age=0")][..],
        &[("cache-control", "s-maxage=0, max-age=60")],
        &[("expires", "0")],
        &[("expires", "Thu, 01 Jan 1970 00:00:00 GMT")],
        &[("expires", "")],
        &[("cache-control", "must-revalidate, max-age=0")],
        &[("cache-control", "no-cache")],
        &[("cache-control", "max-age=0, max-age=60")],
    ] {
        for policy in [Policy::from_headers(), Policy::ttl(minutes(5))] {
            let app = Site::replying(policy, move |ask| {
                Reply::text(ask.call.to_string()).headers(lines)
            })
            .start();
            for call in ["1", "2", "3"] {
                assert_eq!(ask(&app).await, ok(call), "{lines:?}");
            }
            app.done().await;
        }
    }
}

pub(crate) async fn sto_15_a_lifetime_ends_to_the_nanosecond() {
    let app = Site::replying(Policy::ttl(seconds(60)), numbered("public")).start();
    assert_eq!(ask(&app).await, ok("1"));
    pass(Duration::from_nanos(59_999_999_999)).await;
    assert_eq!(ask(&app).await, ok("1"));
    pass(Duration::from_nanos(1)).await;
    assert_eq!(ask(&app).await, ok("2"));
    app.done().await;
}

pub(crate) async fn sto_15_a_wall_clock_that_steps_changes_no_lifetime() {
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH + hours(500_000));
    let settings = Settings {
        clock: Some(clock.clone()),
        ..Settings::default()
    };
    let site = Site::replying(Policy::from_headers(), numbered("max-age=60"));
    let app = site.settings(settings).start();
    assert_eq!(ask(&app).await, ok("1"));
    for wall in [hours(1), hours(900_000)] {
        clock.set_wall(SystemTime::UNIX_EPOCH + wall);
        assert_eq!(ask(&app).await, ok("1"));
    }
    clock.advance(seconds(60));
    assert_eq!(ask(&app).await, ok("2"));
    app.done().await;
}

pub(crate) async fn sto_16_huge_stale_windows_are_cut_to_the_longest() {
    for (control, longest) in [
        (
            "max-age=1, stale-while-revalidate=18446744073709551615",
            days(1),
        ),
        ("max-age=1, stale-if-error=18446744073709551615", days(1)),
        (
            "max-age=1, stale-if-error=99999999999999999999999999",
            minutes(7),
        ),
    ] {
        let policy = Policy::from_headers().max_stale(longest);
        let app = Site::replying(policy, failing(control, 2, u64::MAX)).start();
        assert_eq!(ask(&app).await, ok("v1"));
        pass(longest).await;
        assert_eq!(ask(&app).await, ok("v1"), "{control}: within the window");
        app.settled().await;
        pass(seconds(2)).await;
        let (body, status) = ask(&app).await;
        assert_eq!(status, 500, "{control}: past it: {body}");
        app.done().await;
    }
}

pub(crate) async fn sto_16_a_window_that_is_no_number_is_none() {
    for control in [
        "max-age=1, stale-while-revalidate=-1, stale-if-error=x",
        "max-age=1, stale-while-revalidate=1e30, stale-if-error=1e30",
        "max-age=1, stale-while-revalidate, stale-if-error=\"60\"",
    ] {
        let app = Site::replying(Policy::from_headers(), failing(control, 2, 2)).start();
        assert_eq!(ask(&app).await, ok("v1"));
        pass(seconds(2)).await;
        assert_eq!(ask(&app).await, ("v2".to_owned(), 500), "{control}");
        app.done().await;
    }
}

pub(crate) async fn sto_17_where_stale_is_forbidden_the_error_is_told() {
    for directive in ["must-revalidate", "proxy-revalidate", "s-maxage=9"] {
        let control =
            format!("max-age=9, stale-if-error=900, stale-while-revalidate=900, {directive}");
        let policy = Policy::ttl(minutes(1))
            .stale_if_error(hours(1))
            .stale_while_revalidate(hours(1));
        let app = Site::replying(policy, failing(control.leak(), 2, 2)).start();
        assert_eq!(ask(&app).await, ok("v1"));
        pass(seconds(10)).await;
        assert_eq!(ask(&app).await, ("v2".to_owned(), 500), "{directive}");
        pass(seconds(1)).await;
        assert_eq!(ask(&app).await, ok("v3"), "{directive}");
        app.done().await;
    }
}

pub(crate) async fn sto_26_an_error_does_not_displace_a_good_response() {
    let app = Site::replying(
        Policy::from_headers(),
        failing("max-age=10, stale-if-error=60", 2, 3),
    )
    .start();
    assert_eq!(ask(&app).await, ok("v1"));
    pass(seconds(11)).await;
    let stale = app.get("/").send().await;
    assert_eq!(
        (stale.text(), stale.status.as_u16(), stale.header("age")),
        ("v1", 200, "11")
    );
    assert_eq!(app.calls(), 2);
    for _ in 0..10 {
        assert_eq!(
            ask(&app).await,
            ok("v1"),
            "during the pause after a failure nobody asks"
        );
    }
    assert_eq!(app.calls(), 2);
    pass(seconds(6)).await;
    assert_eq!(ask(&app).await, ok("v1"));
    assert_eq!(app.calls(), 3);
    pass(seconds(6)).await;
    assert_eq!(ask(&app).await, ok("v4"), "it recovered");
    assert_eq!(ask(&app).await, ok("v4"));
    app.done().await;
}

pub(crate) async fn sto_26_past_the_window_the_error_is_told_and_not_stored() {
    let app = Site::replying(
        Policy::from_headers(),
        failing("public, max-age=10, stale-if-error=60", 2, 3),
    )
    .start();
    assert_eq!(ask(&app).await, ok("v1"));
    pass(seconds(71)).await;
    assert_eq!(ask(&app).await, ("v2".to_owned(), 500));
    assert_eq!(ask(&app).await, ("v3".to_owned(), 500));
    assert_eq!(ask(&app).await, ok("v4"));
    app.done().await;
}

pub(crate) async fn sto_26_a_body_that_breaks_off_does_not_displace_a_good_response() {
    use crate::support::Piece;
    let app = Site::replying(Policy::from_headers(), |ask| {
        match ask.call {
            2 => Reply::pieces(vec![Piece::data("v"), Piece::Pause, Piece::Fail]),
            call => Reply::text(format!("v{call}")),
        }
        .control("max-age=10, stale-while-revalidate=60")
    })
    .start();
    assert_eq!(ask(&app).await, ok("v1"));
    pass(seconds(11)).await;
    assert_eq!(ask(&app).await, ok("v1"));
    eventually("the refresh", || app.calls() == 2).await;
    app.settled().await;
    assert_eq!(ask(&app).await, ok("v1"));
    pass(seconds(10)).await;
    assert_eq!(ask(&app).await, ok("v1"));
    eventually("the next refresh", || app.calls() == 3).await;
    app.settled().await;
    assert_eq!(ask(&app).await, ok("v3"));
    app.done().await;
}

pub(crate) async fn sto_56_a_client_that_wants_it_fresh_gets_it_and_the_next_gets_that() {
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=0"),
        ("pragma", "no-cache"),
    ] {
        let app = Site::replying(Policy::ttl(minutes(5)), numbered("public")).start();
        assert_eq!(ask(&app).await, ok("1"));
        assert_eq!(
            app.get("/").header(name, value).send().await.text(),
            "2",
            "{value}"
        );
        assert_eq!(ask(&app).await, ok("2"));
        app.done().await;
    }
    let app = Site::replying(Policy::ttl(minutes(5)), numbered("public")).start();
    assert_eq!(ask(&app).await, ok("1"));
    pass(seconds(30)).await;
    let limited = |limit| app.get("/").header("cache-control", limit);
    assert_eq!(limited("max-age=30").send().await.text(), "1");
    assert_eq!(limited("min-fresh=270").send().await.text(), "1");
    assert_eq!(limited("max-age=29").send().await.text(), "2");
    assert_eq!(limited("min-fresh=301").send().await.text(), "3");
    assert_eq!(
        limited("no-store").send().await.text(),
        "3",
        "it forbids to store, not to answer from what is stored"
    );
    let unkept = || app.get("/?unkept").header("cache-control", "no-store");
    assert_eq!(unkept().send().await.text(), "4");
    assert_eq!(
        app.get("/?unkept").send().await.text(),
        "5",
        "what is made for no-store is stored for nobody"
    );
    assert_eq!(unkept().send().await.text(), "5");
    app.done().await;
}

pub(crate) async fn sto_56_a_policy_may_ignore_what_clients_want() {
    let policy = Policy::ttl(minutes(5)).ignore_client_directives();
    let app = Site::replying(policy, numbered("public")).start();
    assert_eq!(ask(&app).await, ok("1"));
    for directive in ["no-cache", "max-age=0", "min-fresh=9999"] {
        let answer = app.get("/").header("cache-control", directive).send().await;
        assert_eq!(answer.text(), "1", "{directive}");
    }
    assert_eq!(
        app.get("/")
            .header("pragma", "no-cache")
            .send()
            .await
            .text(),
        "1"
    );
    app.done().await;
}

pub(crate) async fn sto_17_what_the_origin_withdraws_is_not_served_stale_any_more() {
    for (status, control, is_varied) in [
        (410, "", false),
        (410, "", true),
        (404, "", false),
        (200, "no-store", false),
        (200, "no-store", true),
        (200, "private", false),
        (200, "no-cache", true),
    ] {
        let policy = Policy::ttl(minutes(1)).stale_while_revalidate(hours(1));
        let app = Site::replying(policy.stale_if_error(hours(1)), move |ask| {
            let reply = Reply::text(format!("v{}", ask.call));
            let reply = if is_varied {
                reply.header("vary", "accept")
            } else {
                reply
            };
            if ask.call == 1 {
                reply
            } else {
                reply.status(status).control(control)
            }
        })
        .start();
        assert_eq!(ask(&app).await, ok("v1"));
        pass(seconds(90)).await;
        assert_eq!(ask(&app).await, ok("v1"), "stale, for the last time");
        eventually("the refresh", || app.calls() == 2).await;
        app.settled().await;
        for call in [3, 4] {
            let told = (format!("v{call}"), status);
            assert_eq!(ask(&app).await, told, "{status} {control}");
        }
        assert_eq!((app.stats().stored, app.calls()), (1, 4));
        app.done().await;
    }
}
