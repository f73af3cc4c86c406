//! A function has at most 70 lines, from its `fn` to its closing brace, comments included.
//!
//! Measures by matching braces in the code; does not look into what a macro produces.

use super::scan::{line_of, scan, words};
use super::{Finding, Repository};

const MOST_LINES: usize = 70;

/// Looks at every function of every Rust file.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.with_extension(&["rs"]) {
        for function in functions(&file.text) {
            if function.lines > MOST_LINES {
                let what = format!(
                    "the function `{}` has {} lines; at most {MOST_LINES}: give a part of it a name of its own",
                    function.name, function.lines
                );
                findings.push(Finding::at(&file.path, function.line, what));
            }
        }
    }
    findings
}

/// A function with a body.
#[derive(Debug, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Line of its `fn`, counted from 1.
    pub(crate) line: usize,
    /// Lines from there to the closing brace, both included.
    pub(crate) lines: usize,
}

/// The functions of a source that have a body, inner ones too.
pub(crate) fn functions(source: &str) -> Vec<Function> {
    let code = scan(source).code;
    let mut found = Vec::new();
    let mut after_fn = None;
    for (at, word) in words(&code) {
        if let Some(start) = after_fn.take() {
            let between = code.get(start + 2..at).unwrap_or_default();
            // `fn(u8)` is a type and `fn $name` a macro's pattern: no name follows at once.
            if between.chars().all(char::is_whitespace) && !between.is_empty() {
                found.extend(measured(&code, start, at, word));
            }
        }
        if word == "fn" {
            after_fn = Some(at);
        }
    }
    found
}

fn measured(code: &str, start: usize, name_at: usize, name: &str) -> Option<Function> {
    let body = body_start(code, name_at + name.len())?;
    let end = matching(code, body)?;
    let line = line_of(code, start);
    Some(Function { name: name.to_owned(), line, lines: line_of(code, end) - line + 1 })
}

/// Where the body's brace opens; none for a function that is only declared.
fn body_start(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The brace that closes the one at `open`.
pub(crate) fn matching(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Function, Repository, check, functions};

    fn function(name: &str, line: usize, lines: usize) -> Function {
        Function { name: name.to_owned(), line, lines }
    }

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let source = "trait T { fn declared(&self) -> [u8; 3]; }\nfn one() -> &'static str { \"}\" }\n\nasync fn two<F>(f: F)\nwhere\n    F: Fn(u8) -> fn(u8) -> u8,\n{\n    // }\n    fn inner() {}\n    let c = '}';\n}\n";
        assert_eq!(
            functions(source),
            [function("one", 2, 1), function("two", 4, 8), function("inner", 9, 1)]
        );
    }

    #[test]
    fn macros_and_function_types_are_no_functions() {
        assert_eq!(functions("macro_rules! m { ($n:ident) => { fn $n() {} } }\ntype F = fn(u8) -> u8;"), []);
    }

    #[test]
    fn seventy_lines_pass_and_one_more_does_not() {
        let of = |lines: usize| format!("fn f() {{{}}}\n", "\n".repeat(lines - 1));
        assert_eq!(check(&Repository::of(&[("a.rs", &of(70))])), []);
        let findings = check(&Repository::of(&[("a.rs", &of(71))]));
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].to_string().starts_with("a.rs:1: the function `f` has 71 lines"),
            "{}",
            findings[0]
        );
    }
}
