//! The part of a document that a command writes: between two markers; what people write around them stays.

const END: &str = "<!-- to here -->";

/// The markers of one document.
pub(crate) struct Markers {
    document: &'static str,
    begin: String,
}

impl Markers {
    /// Those of a document that this command writes to.
    pub(crate) fn new(document: &'static str, command: &str) -> Self {
        Self { document, begin: format!("<!-- {command} writes from here -->") }
    }

    /// The text with `part` between its markers; they go to its end where it has none.
    pub(crate) fn placed(&self, text: &str, part: &str) -> Result<String, String> {
        let Self { document, begin } = self;
        let between = format!("{begin}\n{part}{END}");
        match (text.split_once(begin.as_str()), text.split_once(END)) {
            (None, None) => Ok(format!("{}\n\n{between}\n", text.trim_end())),
            (Some((before, rest)), Some(_)) => match rest.split_once(END) {
                Some((_, after)) => Ok(format!("{before}{between}{after}")),
                None => Err(format!("{document}: `{END}` stands before `{begin}`; turn them about")),
            },
            _ => Err(format!(
                "{document} has one of the markers `{begin}` and `{END}` without the other; add it"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{END, Markers};

    #[test]
    fn what_is_written_around_the_markers_stays() {
        let markers = Markers::new("a.md", "make");
        let begin = &markers.begin;
        let first = markers.placed("# Title\n\nText.\n", "one\n").unwrap();
        assert_eq!(first, format!("# Title\n\nText.\n\n{begin}\none\n{END}\n"));
        let second = markers.placed(&first.replace("Text.", "Other."), "two\n").unwrap();
        assert_eq!(second, format!("# Title\n\nOther.\n\n{begin}\ntwo\n{END}\n"));
        assert!(markers.placed(&format!("x {begin}"), "").is_err());
        assert!(markers.placed(&format!("{END} {begin}"), "").is_err());
    }
}
