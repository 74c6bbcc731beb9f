//! Tables of rows that are alike.

use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Checks each row, and names all that do not hold.
#[track_caller]
pub(crate) fn each<R: Debug>(rows: impl IntoIterator<Item = R>, check: impl Fn(&R)) {
    let mut count = 0;
    let mut wrong = Vec::new();
    for row in rows {
        count += 1;
        if catch_unwind(AssertUnwindSafe(|| check(&row))).is_err() {
            wrong.push(format!("  {row:?}"));
        }
    }
    assert!(count > 0, "a table has rows");
    let failed = wrong.len();
    assert!(
        wrong.is_empty(),
        "{failed} of {count} rows failed:\n{}",
        wrong.join("\n")
    );
}
