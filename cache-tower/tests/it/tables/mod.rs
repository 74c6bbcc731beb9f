//! Decisions as data: each row of `testdata/*.toml` is what one section says of one case.
//!
//! A row has a `name`, the `section` it comes from, what is given, and the decision in words: as `expect`
//! under both profiles, or as `guarded` and `standard` where they differ. All that is not said is as
//! in the table's `Default`. It happens at `{now}`; `{now-60}` is a minute before, as an HTTP-date.

mod admission;
mod conditions;
mod dates;
mod fields;
mod invalidation;
mod languages;
mod lookup;
mod ranges;
mod row;
mod selection;
mod shapes;
mod text;

use row::{Outcome, run};

/// So many rows there are at least, in all tables.
const FEWEST: usize = 1_000;

macro_rules! table {
    ($name:literal, $decide:path) => {
        run(
            $name,
            include_str!(concat!("../../../testdata/", $name, ".toml")),
            $decide,
        )
    };
}

#[test]
fn every_row_is_decided_as_its_section_says() {
    let all = [
        table!("storing", admission::stored),
        table!("statuses", admission::stored),
        table!("parts", admission::stored),
        table!("targeted", admission::lifetime),
        table!("lifetimes", admission::lifetime),
        table!("windows", admission::windows),
        table!("ages", admission::age),
        table!("terms", admission::term),
        table!("lookup", lookup::decided),
        table!("stand-in", lookup::stand_in),
        table!("conditions", conditions::verdict),
        table!("if-range", conditions::if_range),
        table!("validation", conditions::question),
        table!("not-modified", conditions::not_modified),
        table!("ranges", ranges::selection),
        table!("content-range", ranges::content_range),
        table!("shapes", shapes::fit),
        table!("selection", selection::same),
        table!("languages", languages::found),
        table!("storable", fields::storable),
        table!("freshened", fields::freshened),
        table!("freshening", fields::freshening),
        table!("head", fields::head),
        table!("invalidates", invalidation::invalidates),
        table!("also-invalidated", invalidation::also),
        table!("content-location", invalidation::content_location),
        table!("groups", invalidation::groups),
        table!("dates", dates::parsed),
    ];
    let rows: usize = all.iter().map(|table| table.rows).sum();
    let failures: Vec<String> = all.into_iter().flat_map(Outcome::failures).collect();
    let failed = failures.len();
    assert!(
        failures.is_empty(),
        "{failed} of {rows} rows:\n\n{}",
        failures.join("\n\n")
    );
    assert!(rows >= FEWEST, "there are only {rows} rows");
}
