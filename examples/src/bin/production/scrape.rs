//! Reading `/metrics` as Prometheus would.

/// What one scrape found.
pub(crate) struct Scrape(Vec<Sample>);

struct Sample {
    name: String,
    labels: String,
    value: f64,
}

impl Scrape {
    /// # Errors
    ///
    /// Names the line that is none.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let lines = text.lines();
        let samples = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples: Result<_, _> = samples
            .map(|line| sample(line).ok_or_else(|| format!("/metrics has the line `{line}`")))
            .collect();
        Ok(Self(samples?))
    }

    /// The sum over all of this name that are of this cache.
    pub(crate) fn sum(&self, name: &str, cache: &str) -> f64 {
        let of_cache = format!("cache=\"{cache}\"");
        let samples = self.0.iter();
        samples
            .filter(|it| it.name == name && it.labels.split(',').any(|label| label == of_cache))
            .fold(0.0, |sum, it| sum + it.value)
    }

    /// Whether there is a metric of this name; of a histogram, its count.
    pub(crate) fn has(&self, name: &str) -> bool {
        let count = format!("{name}_count");
        self.0.iter().any(|it| it.name == name || it.name == count)
    }
}

/// Without labels that hold a blank, which these have not.
fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    Some(Sample {
        name: name.to_owned(),
        labels: labels.strip_suffix('}')?.to_owned(),
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_cache_are_added_up() {
        let text = "# TYPE hits counter\nhits{cache=\"a\",route=\"/{id}\"} 2\nhits{cache=\"a\"} 1\n\
                    hits{cache=\"b\"} 4\n\ntime_count{cache=\"a\"} 3\n";
        let scrape = Scrape::read(text).unwrap();
        assert_eq!(scrape.sum("hits", "a"), 3.0);
        assert_eq!(scrape.sum("hits", "c"), 0.0);
        assert!(scrape.has("time") && !scrape.has("tim"));
    }

    #[test]
    fn what_is_no_sample_is_refused() {
        assert!(Scrape::read("hits{cache=\"a\" 2").is_err());
        assert!(Scrape::read("hits two").is_err());
    }
}
