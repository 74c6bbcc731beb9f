//! What every table of variables has to pass, whichever crate it is of.

use super::{Config, Form, Value, Variable, redact};
use crate::Error;

/// Reads variables, by the tables that are checked.
pub type Reader<'a> = &'a dyn Fn(Vec<(&'static str, String)>) -> Result<Config, Error>;

/// Checks each variable of a table: its default, a value that is accepted, values that are not, and the
/// unit of a bare number.
///
/// # Panics
///
/// Where one of them is otherwise than its row says.
pub fn every_variable(table: &'static [Variable], read: Reader<'_>) {
    for variable in table {
        let check = Check { variable, read };
        check.default();
        check.valid();
        check.invalid();
        check.unit();
    }
}

struct Check<'a> {
    variable: &'static Variable,
    read: Reader<'a>,
}

impl Check<'_> {
    /// The name of the variable; of those of classes that of one.
    fn name(&self) -> &'static str {
        if self.variable.name.ends_with("<CLASS>") {
            "CACHE_TTL_SESSION"
        } else {
            self.variable.name
        }
    }

    fn example(&self) -> &'static str {
        self.variable.example.trim_matches('\'')
    }

    fn read(&self, text: &str) -> Result<Config, Error> {
        let beside: &[(&str, &str)] = match self.variable.name {
            "CACHE_TYPE" => &[("CACHE_URL", "redis://localhost")],
            "REDIS_URL" => &[("CACHE_TYPE", "tiered")],
            _ => &[],
        };
        let mut vars: Vec<_> = beside
            .iter()
            .map(|(name, text)| (*name, (*text).to_owned()))
            .collect();
        vars.push((self.name(), text.to_owned()));
        (self.read)(vars)
    }

    fn read_well(&self, text: &str) -> Config {
        let name = self.name();
        self.read(text)
            .unwrap_or_else(|error| panic_with(&format!("{name}={text}: {error}")))
    }

    fn row(&self, config: &Config) -> (String, bool) {
        let rows = config.rows();
        let named = |name: &str| rows.iter().find(|row| row.name == name);
        let row = named(self.name()).or_else(|| named(self.variable.name));
        let row = row.unwrap_or_else(|| panic_with(&format!("{} is not printed", self.name())));
        (row.value.clone(), row.is_set)
    }

    fn default(&self) {
        let config = (self.read)(Vec::new()).expect("nothing is set, nothing is wrong");
        assert_eq!(self.row(&config), (self.variable.default.to_owned(), false));
        assert_eq!(config.value(self.variable), None);
        // Empty is as not set.
        let empty: Vec<_> = vec![(self.name(), " ".to_owned())];
        assert_eq!((self.read)(empty).expect("an empty value is none"), config);
    }

    fn valid(&self) {
        let config = self.read_well(&format!(" {} ", self.example()));
        let (printed, is_set) = self.row(&config);
        assert!(is_set, "{}", self.name());
        assert_eq!(
            self.read_well(&printed),
            config,
            "{} reads back",
            self.name()
        );
    }

    fn invalid(&self) {
        for text in wrong(&self.variable.form) {
            let (name, accepted) = (self.name(), self.variable.form.accepted());
            let Err(error) = self.read(text) else {
                panic_with(&format!("{name}={text} is accepted"));
            };
            let shown = match self.variable.form {
                Form::Url => redact::url(text),
                _ => redact::value(text),
            };
            let error = error.to_string();
            let example = format!("for example {name}={}", self.variable.example);
            for said in [&format!("{name} is `{shown}`"), &*accepted, &example] {
                assert!(error.contains(said), "{said} is not in {error}");
            }
        }
    }

    fn unit(&self) {
        let (unit, bare, with) = match &self.variable.form {
            Form::Time { .. } if self.variable.form.unit() == "seconds" => ("seconds", "7", "7s"),
            Form::Time { .. } => ("milliseconds", "700", "700ms"),
            Form::Size { .. } => ("bytes", "8192", "8KiB"),
            Form::Share => ("share", "0.25", "25%"),
            _ => return assert_eq!(self.variable.form.unit(), ""),
        };
        assert_eq!(self.variable.form.unit(), unit, "{}", self.name());
        assert_eq!(
            self.read_well(bare),
            self.read_well(with),
            "{}",
            self.name()
        );
    }
}

#[allow(clippy::panic, reason = "a check fails so")]
fn panic_with(why: &str) -> ! {
    panic!("{why}")
}

/// Values that are not of a form.
fn wrong(form: &Form) -> Vec<&'static str> {
    let mut texts = match form {
        Form::Switch => vec!["banana", "2", "truee"],
        Form::Time { .. } => vec!["banana", "-1", "1.5s", "5 m", "5M", "1y", "ms"],
        Form::Size { .. } => vec!["banana", "-1", "64M", "1.5MiB", "1 MiB"],
        Form::Count { .. } => vec!["banana", "0", "-1", "2.0", "1e2", "99999999999999999999"],
        Form::Share => vec!["banana", "1.01", "-0.1", "101%", "nan", "1e-1"],
        Form::Factor(_) => vec!["banana", "100.1", "-1", "inf", "NaN"],
        Form::Word(_) => vec!["banana", "memory,redis"],
        Form::Url => vec!["banana", "http://localhost", "redis://:canary@"],
        Form::Text { .. } => vec!["ba na/na", "{"],
    };
    if let Form::Time { least, .. } = form
        && !least.is_zero()
    {
        texts.push("0");
    }
    texts
}

/// The value of a variable that is printed as this reads back as itself.
///
/// # Panics
///
/// Where it does not.
pub fn reads_back(variable: &Variable, value: &Value) {
    let printed = value.to_string();
    let read = variable.form.read(&printed);
    assert_eq!(
        read.as_ref(),
        Ok(value),
        "{} is printed as {printed}",
        variable.name
    );
}
