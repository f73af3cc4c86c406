//! Tells code from strings and comments in a Rust source, without parsing it.
//!
//! Knows line and nested block comments, strings, byte and C strings, raw strings with any number of
//! `#`, characters and lifetimes. Knows no macros: what is inside one counts as code.

/// A source split in two texts of the same length and the same line breaks: every byte that does not
/// belong to the part is a space.
pub(crate) struct Scan {
    /// Code alone: no comments, and nothing between the quotes of a string or a character.
    pub(crate) code: String,
    /// Comments alone.
    pub(crate) comments: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Comment,
    Literal,
}

/// Splits a source.
pub(crate) fn scan(source: &str) -> Scan {
    let bytes = source.as_bytes();
    let mut parts = vec![Part::Code; bytes.len()];
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let after_word =
            at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(|byte| is_word(*byte));
        let (part, length) = token(rest, after_word);
        for slot in parts.iter_mut().skip(at).take(length) {
            *slot = part;
        }
        at += length;
    }
    Scan { code: only(source, &parts, Part::Code), comments: only(source, &parts, Part::Comment) }
}

/// What begins at the start of `rest`, and how many bytes of it there are (at least one).
fn token(rest: &[u8], after_word: bool) -> (Part, usize) {
    if rest.starts_with(b"//") {
        return (Part::Comment, rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return (Part::Comment, block_comment(rest));
    }
    if rest.starts_with(b"'") {
        return character(rest);
    }
    if rest.starts_with(b"\"") {
        return (Part::Literal, string(rest, 0));
    }
    if !after_word {
        for prefix in ["r", "br", "cr", "b", "c"] {
            if let Some(length) = prefixed(rest, prefix) {
                return (Part::Literal, length);
            }
        }
    }
    (Part::Code, 1)
}

/// The length of a string or byte that begins with `prefix`.
fn prefixed(rest: &[u8], prefix: &str) -> Option<usize> {
    let quoted = rest.strip_prefix(prefix.as_bytes())?;
    if prefix.ends_with('r') {
        let hashes = quoted.iter().take_while(|byte| **byte == b'#').count();
        // `r#name` is a raw identifier.
        if quoted.get(hashes) != Some(&b'"') {
            return None;
        }
        return Some(raw_string(rest, prefix.len() + hashes + 1, hashes));
    }
    match quoted.first()? {
        b'"' => Some(string(rest, prefix.len())),
        b'\'' if prefix == "b" => Some(prefix.len() + character(quoted).1),
        _ => None,
    }
}

/// The length of a string whose opening quote is at `open`.
fn string(rest: &[u8], open: usize) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.iter().enumerate().skip(open + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a raw string whose text begins at `text` and ends with a quote and `hashes` hashes.
fn raw_string(rest: &[u8], text: usize, hashes: usize) -> usize {
    let mut end = vec![b'"'];
    end.resize(hashes + 1, b'#');
    let inside = rest.get(text..).unwrap_or_default();
    inside
        .windows(end.len())
        .position(|window| window == end)
        .map_or(rest.len(), |found| text + found + end.len())
}

/// The length of a block comment; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = rest.get(at..).unwrap_or_default();
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// A character literal, or a lifetime, whose quote is code.
fn character(rest: &[u8]) -> (Part, usize) {
    if rest.get(1) == Some(&b'\\') {
        // The escaped byte itself may be a quote.
        let end = rest.iter().skip(3).position(|byte| *byte == b'\'');
        return (Part::Literal, end.map_or(rest.len(), |found| found + 4));
    }
    let width = match rest.get(1) {
        Some(0xF0..) => 4,
        Some(0xE0..) => 3,
        Some(0xC0..) => 2,
        _ => 1,
    };
    if rest.get(1 + width) == Some(&b'\'') { (Part::Literal, width + 2) } else { (Part::Code, 1) }
}

fn only(source: &str, parts: &[Part], wanted: Part) -> String {
    let keep = |(at, character): (usize, char)| {
        let is_wanted = parts.get(at).is_some_and(|part| *part == wanted);
        if is_wanted || character == '\n' {
            return character.to_string();
        }
        " ".repeat(character.len_utf8())
    };
    source.char_indices().map(keep).collect()
}

/// True for a byte of an identifier.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The words of a text with the offset of each: identifiers and numbers.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let start = at + rest.bytes().position(is_word)?;
        let tail = text.get(start..)?;
        let length = tail.bytes().position(|byte| !is_word(byte)).unwrap_or(tail.len());
        at = start + length;
        Some((start, tail.get(..length)?))
    })
}

/// The line, counted from 1, of an offset in a text.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::{line_of, scan, words};

    fn code(source: &str) -> String {
        scan(source).code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_strings_and_characters_are_no_code() {
        assert_eq!(code("a // {\nb /* { /* } */ { */ c"), "a b c");
        assert_eq!(code(r#"f("{ \" {") ; g"#), "f( ) ; g");
        assert_eq!(code("f(r#\"{ \" \\\"# , br\"{\\\" , c\"{\", b\"{\") g"), "f( , , , ) g");
        assert_eq!(code("m('{', '\\'', b'{', '\\u{7b}', 'é', '}') g"), "m( , , , , , ) g");
    }

    #[test]
    fn lifetimes_labels_and_raw_identifiers_are_code() {
        assert_eq!(
            code("fn f<'a>(x: &'a str) { 'outer: loop {} }"),
            "fn f<'a>(x: &'a str) { 'outer: loop {} }"
        );
        assert_eq!(code("r#fn bar\"{\" x"), "r#fn bar x");
    }

    #[test]
    fn offsets_and_lines_stay_where_they_were() {
        let source = "é /* ö\n */ x\n\"ü\n\" // y";
        let found = scan(source);
        assert_eq!(found.code.len(), source.len());
        assert_eq!(found.comments.len(), source.len());
        assert_eq!(line_of(&found.comments, found.comments.find('y').unwrap()), 4);
    }

    #[test]
    fn words_are_identifiers_with_their_place() {
        assert_eq!(words("a::b_1, -c").collect::<Vec<_>>(), [(0, "a"), (3, "b_1"), (9, "c")]);
    }
}
