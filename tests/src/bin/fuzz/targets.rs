//! The table of fuzz targets. To add one: write its function below, or in a file beside this
//! one, and give it a row.

mod conditions;
mod config;
mod dates;
mod freshen;
mod http;
mod range;
mod references;
mod shared;
mod structured_fields;
mod text;
mod vary;

use cache_tower::Profile;

const PROFILES: [Profile; 2] = [Profile::Guarded, Profile::Standard];

/// Something that takes bytes from strangers.
pub(crate) struct Target {
    /// Also the name of its folder of kept inputs.
    pub(crate) name: &'static str,
    /// Inputs to start from: valid ones, and each kind of nearly valid.
    pub(crate) seeds: &'static [&'static [u8]],
    /// Words that mean something to the target, which chance would not find.
    pub(crate) dictionary: &'static [&'static [u8]],
    /// Panics when an expectation does not hold.
    pub(crate) check: fn(&[u8]),
}

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "cache_control",
        seeds: http::CACHE_CONTROL,
        dictionary: http::DIRECTIVES,
        check: http::cache_control,
    },
    Target {
        name: "admit",
        seeds: http::EXCHANGES,
        dictionary: http::EXCHANGE_WORDS,
        check: http::exchange,
    },
    Target {
        name: "freshen",
        seeds: freshen::SEEDS,
        dictionary: freshen::WORDS,
        check: freshen::check,
    },
    Target {
        name: "conditions",
        seeds: conditions::SEEDS,
        dictionary: conditions::WORDS,
        check: conditions::check,
    },
    Target {
        name: "config",
        seeds: config::SEEDS,
        dictionary: config::WORDS,
        check: config::check,
    },
    Target {
        name: "range",
        seeds: range::SEEDS,
        dictionary: range::WORDS,
        check: range::check,
    },
    Target {
        name: "vary",
        seeds: vary::SEEDS,
        dictionary: vary::WORDS,
        check: vary::check,
    },
    Target {
        name: "references",
        seeds: references::SEEDS,
        dictionary: references::WORDS,
        check: references::check,
    },
    Target {
        name: "dates",
        seeds: dates::SEEDS,
        dictionary: dates::WORDS,
        check: dates::check,
    },
    Target {
        name: "structured_fields",
        seeds: structured_fields::SEEDS,
        dictionary: structured_fields::WORDS,
        check: structured_fields::check,
    },
    Target {
        name: "remote_entry",
        seeds: shared::ENTRIES,
        dictionary: shared::ENTRY_WORDS,
        check: shared::entry,
    },
    Target {
        name: "remote_frame",
        seeds: shared::FRAMES,
        dictionary: shared::FRAME_WORDS,
        check: shared::frame,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::regressions::Regressions;

    #[test]
    fn targets_have_names_of_their_own_that_suit_a_folder() {
        let names: HashSet<_> = TARGETS.iter().map(|target| target.name).collect();
        assert_eq!(names.len(), TARGETS.len());
        for name in names {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
        }
    }

    #[test]
    fn every_seed_and_every_kept_input_passes() {
        for target in TARGETS {
            target.seeds.iter().for_each(|seed| (target.check)(seed));
            Regressions::of(target.name)
                .load()
                .iter()
                .for_each(|input| (target.check)(input));
        }
    }
}
