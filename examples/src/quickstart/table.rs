//! How it is printed.

use crate::{client::Answer, lines::MARGIN};
use cache_axum::Stats;
use std::{collections::BTreeMap, fmt, time::Duration};

/// Answers to the same request, as a line: what was asked, and what came back.
pub(crate) struct Line<'a> {
    pub(crate) request: &'a str,
    pub(crate) answers: &'a [Answer],
    pub(crate) time: Duration,
    pub(crate) queries: usize,
}

/// So wide is what stands before Cache-Status.
const BEFORE_FIELD: usize = 61;

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = match self.answers.len() {
            1 => String::new(),
            many => format!("{many} x"),
        };
        let time = Time(self.time).to_string();
        let statuses = tally(self.answers.iter().map(|answer| answer.status.as_str()));
        let statuses = Vec::from_iter(statuses.into_keys()).join(",");
        let queries = match self.queries {
            1 => "1 query".to_owned(),
            many => format!("{many} queries"),
        };
        let request = self.request;
        let before = format!("{times:>5} {request:<27} {time:>9}  {statuses:<4} {queries}");
        let fields = tally(self.answers.iter().map(|answer| &*answer.cache_status));
        if fields.keys().all(|field| field.is_empty()) {
            return f.write_str(&before);
        }
        write!(f, "{before:BEFORE_FIELD$}")?;
        let is_one = fields.len() == 1;
        for (at, (field, count)) in fields.into_iter().enumerate() {
            if at > 0 {
                write!(f, "\n{:1$}", "", MARGIN + BEFORE_FIELD)?;
            }
            match is_one {
                true => f.write_str(field)?,
                false => write!(f, "{field} ({count})")?,
            }
        }
        Ok(())
    }
}

fn tally<'a>(values: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
}

/// A time in the unit that suits it.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs_f64() {
            seconds if seconds < 0.001 => write!(f, "{:.0} µs", seconds * 1e6),
            seconds if seconds < 1.0 => write!(f, "{:.1} ms", seconds * 1e3),
            seconds => write!(f, "{seconds:.2} s"),
        }
    }
}

/// How much faster the second is, below its line.
pub(crate) struct TimesAsFast(pub(crate) Duration, pub(crate) Duration);

impl fmt::Display for TimesAsFast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let factor = self.0.as_secs_f64() / self.1.as_secs_f64();
        let factor = format!("{factor:.0} x as fast");
        write!(f, "{factor:>width$}", width = MARGIN + 43)
    }
}

/// What a cache counted.
#[derive(Clone, Copy, Debug)]
pub struct Counts(pub Stats);

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats {
            hits,
            stale,
            misses,
            bypasses,
            collapsed,
            loads,
            load_failures,
            stored,
            refused,
            invalidations,
            evictions,
            entries,
            bytes,
            flights,
            ..
        } = self.0;
        for (count, name, meaning) in [
            (hits, "hits", "answered from a fresh entry"),
            (stale, "stale", "answered from a stale one"),
            (misses, "misses", "found nothing usable"),
            (
                collapsed,
                "  collapsed",
                "of these, answered by the load of another",
            ),
            (bypasses, "bypasses", "went past the cache: here, updates"),
            (loads, "loads", "asked of the service"),
            (load_failures, "  failed", "of these"),
            (stored, "stored", "entries stored"),
            (
                refused,
                "refused",
                "not stored, overtaken by an invalidation",
            ),
            (invalidations, "invalidations", "of a group or a URI"),
            (evictions, "evictions", "for want of space"),
            (entries, "entries", "held now"),
            (bytes, "bytes", "of memory they take"),
            (flights, "flights", "loads under way now"),
        ] {
            writeln!(f, "  {name:<14}{count:>8}  {meaning}")?;
        }
        Ok(())
    }
}
