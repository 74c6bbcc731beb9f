//! What a bench measured, and whether that is enough.

use std::fmt;

/// A measurement beside the goal it has to reach.
///
/// ```
/// use tests::figure::Figure;
///
/// let hit = Figure::at_most(2.0, "µs", 0.45);
/// assert_eq!(hit.to_string(), "0.45 µs (goal at most 2 µs) ok");
///
/// let throughput = Figure::at_least(50_000.0, "requests/s", 31_207.5);
/// assert_eq!(throughput.to_string(), "31208 requests/s (goal at least 50000 requests/s) short");
/// assert!(!throughput.is_enough());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    goal: f64,
    better: Better,
    unit: &'static str,
    measured: f64,
}

#[derive(Clone, Copy, Debug)]
enum Better {
    More,
    Less,
}

impl Figure {
    /// A figure that has to reach `goal`.
    #[must_use]
    pub fn at_least(goal: f64, unit: &'static str, measured: f64) -> Figure {
        Figure {
            goal,
            better: Better::More,
            unit,
            measured,
        }
    }

    /// A figure that must not exceed `goal`.
    #[must_use]
    pub fn at_most(goal: f64, unit: &'static str, measured: f64) -> Figure {
        Figure {
            goal,
            better: Better::Less,
            unit,
            measured,
        }
    }

    /// Whether it is measured in milliseconds, and so depends on what else the machine does.
    #[must_use]
    pub fn is_time(&self) -> bool {
        self.unit == "ms"
    }

    /// Whether the goal is reached. What is not a number reaches none.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        match self.better {
            Better::More => self.measured >= self.goal,
            Better::Less => self.measured <= self.goal,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figure {
            goal,
            better,
            unit,
            measured,
        } = self;
        let bound = match better {
            Better::More => "at least",
            Better::Less => "at most",
        };
        let verdict = if self.is_enough() { "ok" } else { "short" };
        let measured = three_digits(*measured);
        write!(
            f,
            "{measured} {unit} (goal {bound} {goal} {unit}) {verdict}"
        )
    }
}

/// More digits than three would be noise, but whole numbers are not cut.
fn three_digits(figure: f64) -> String {
    let decimals = match figure.abs() {
        small if small < 10.0 => 2,
        medium if medium < 100.0 => 1,
        _ => 0,
    };
    format!("{figure:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_goal_itself_is_enough() {
        assert!(Figure::at_least(2.0, "s", 2.0).is_enough());
        assert!(Figure::at_most(2.0, "s", 2.0).is_enough());
    }

    #[test]
    fn what_is_not_a_number_is_short() {
        assert!(!Figure::at_least(2.0, "s", f64::NAN).is_enough());
        assert!(!Figure::at_most(2.0, "s", f64::NAN).is_enough());
    }
}
