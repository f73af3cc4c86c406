//! The text format of Prometheus, version 0.0.4: writing it. Which metrics there are is not known
//! here.

use crate::sys_topics::figures::Kind;
use std::fmt::{Display, Write};

/// Text in the making.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
}

impl Exposition {
    /// A metric with one value.
    pub(crate) fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    /// A metric with a value for each value of one label.
    pub(crate) fn labelled<L: AsRef<str>, V: Display>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) {
        self.head(name, kind, help);
        for (of, value) in values {
            self.line(format_args!("{name}{{{label}=\"{}\"}} {value}", escape_label(of.as_ref())));
        }
    }

    /// All of it.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.line(format_args!("# HELP {name} {}.", escape_help(help)));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

fn escape_help(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn escape_label(text: &str) -> String {
    escape_help(text).replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::{Exposition, Kind};

    #[test]
    fn the_text_is_as_prometheus_reads_it() {
        let mut exposition = Exposition::default();
        exposition.single("a", Kind::Gauge, "What a is", 1.5);
        exposition.labelled("b_total", Kind::Counter, "What b is", "of", [("x", 0_u64), ("y", u64::MAX)]);
        let expected = "# HELP a What a is.\n# TYPE a gauge\na 1.5\n# HELP b_total What b is.\n\
                        # TYPE b_total counter\nb_total{of=\"x\"} 0\nb_total{of=\"y\"} 18446744073709551615\n";
        assert_eq!(exposition.into_text(), expected);
    }

    #[test]
    fn nothing_breaks_out_of_its_line() {
        let mut exposition = Exposition::default();
        exposition.labelled("a", Kind::Gauge, "one\ntwo \\ \"three\"", "of", [("x\"} 1\n\\", 0)]);
        let expected = "# HELP a one\\ntwo \\\\ \"three\".\n# TYPE a gauge\na{of=\"x\\\"} 1\\n\\\\\"} 0\n";
        assert_eq!(exposition.into_text(), expected);
    }
}
