//! Options of the command line: `--name value` and `--name`, nothing more.
//!
//! There are no positional arguments and no short options.

/// What was given after the command's name, taken out piece by piece.
pub(crate) struct Arguments(Vec<String>);

impl Arguments {
    /// Wraps the arguments after the command.
    pub(crate) fn new(given: Vec<String>) -> Self {
        Self(given)
    }

    /// True when `name` was given; takes it out.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|given| given != name);
        self.0.len() != before
    }

    /// Takes out every `name VALUE` and `name=VALUE` and returns the values in order.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut kept = Vec::new();
        let mut given = std::mem::take(&mut self.0).into_iter();
        while let Some(argument) = given.next() {
            if argument == name {
                found.push(given.next().ok_or_else(|| format!("{name} needs a value"))?);
            } else if let Some(value) = argument.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
                found.push(value.to_owned());
            } else {
                kept.push(argument);
            }
        }
        self.0 = kept;
        Ok(found)
    }

    /// Takes out `name VALUE`; the last one counts when it is given twice.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        Ok(self.values(name)?.pop())
    }

    /// Refuses whatever is left over.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some(unknown) => Err(format!("`{unknown}` is no option here; --help lists them")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn arguments(given: &[&str]) -> Arguments {
        Arguments::new(given.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn options_are_taken_in_any_order() {
        let mut given = arguments(&["--only", "a", "--long", "--only=b"]);
        assert!(given.flag("--long"));
        assert!(!given.flag("--long"));
        assert_eq!(given.values("--only").unwrap(), ["a", "b"]);
        assert_eq!(given.finish(), Ok(()));
    }

    #[test]
    fn what_is_left_over_or_lacks_its_value_is_refused_by_name() {
        assert!(arguments(&["--lnog"]).finish().unwrap_err().contains("--lnog"));
        assert!(arguments(&["--only"]).value("--only").unwrap_err().contains("--only needs a value"));
    }
}
