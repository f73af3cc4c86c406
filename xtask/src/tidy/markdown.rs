//! What a Markdown document cites: code spans, links, and the headings that links can name.
//!
//! Fenced blocks and HTML comments are left out. This is no Markdown parser: a code span that goes over
//! the end of a line is not seen.

use std::collections::HashMap;

/// A document taken apart. Lines count from 1.
#[derive(Default)]
pub(crate) struct Document<'a> {
    /// What is between backticks.
    pub(crate) spans: Vec<(usize, &'a str)>,
    /// Targets of links and images.
    pub(crate) links: Vec<(usize, &'a str)>,
    /// What `#…` may name here.
    pub(crate) anchors: Vec<String>,
    /// Rows of tables, without the lines that separate heads from bodies.
    pub(crate) rows: Vec<Row<'a>>,
}

/// A row of a table; the first of a table is its head.
#[derive(Debug, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) line: usize,
    pub(crate) is_head: bool,
    pub(crate) cells: Vec<&'a str>,
}

/// Takes a document apart.
pub(crate) fn read(text: &str) -> Document<'_> {
    let mut document = Document::default();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut fence: Option<&str> = None;
    let mut was_row = false;
    for (line, text) in (1..).zip(text.lines()) {
        let start = text.trim_start();
        if let Some(open) = fence {
            if start.starts_with(open) {
                fence = None;
            }
            continue;
        }
        if let Some(open) = ["```", "~~~"].into_iter().find(|open| start.starts_with(open)) {
            fence = Some(open);
            continue;
        }
        if let Some(title) = heading(start) {
            let slug = slug(title);
            let count = seen.entry(slug.clone()).or_default();
            document.anchors.push(if *count == 0 { slug } else { format!("{slug}-{count}") });
            *count += 1;
        }
        document.anchors.extend(quoted_after(start, &["id=\"", "name=\""]).map(str::to_owned));
        let prose = code_spans(text, |span| document.spans.push((line, span)));
        document.links.extend(prose.into_iter().flat_map(links).map(|link| (line, link)));
        let is_row = start.starts_with('|');
        if is_row && !start.bytes().all(|byte| b"|-: ".contains(&byte)) {
            let cells = start.trim_end().trim_matches('|').split('|').map(str::trim).collect();
            document.rows.push(Row { line, is_head: !was_row, cells });
        }
        was_row = is_row;
    }
    document
}

/// The code spans of one line or cell.
pub(crate) fn spans_of(text: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    code_spans(text, |span| spans.push(span));
    spans
}

/// The targets of the links in one line or cell.
pub(crate) fn links_of(text: &str) -> Vec<&str> {
    code_spans(text, |_| ()).into_iter().flat_map(links).collect()
}

fn heading(line: &str) -> Option<&str> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    ((1..=6).contains(&level) && title.starts_with(' ')).then(|| title.trim().trim_end_matches('#').trim())
}

/// The anchor that GitHub gives a heading: lower case, blanks as hyphens, no other punctuation.
fn slug(title: &str) -> String {
    // Of a link in a heading only the text counts.
    let shown: String = title
        .split("](")
        .enumerate()
        .map(|(at, part)| if at == 0 { part } else { part.split_once(')').map_or(part, |(_, rest)| rest) })
        .collect();
    let lower = shown.to_lowercase();
    let kept = lower.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.map(|character| if character == ' ' { '-' } else { character }).collect()
}

fn quoted_after<'a>(text: &'a str, openings: &'static [&'static str]) -> impl Iterator<Item = &'a str> {
    let after = openings.iter().flat_map(|opening| text.split(opening).skip(1));
    after.filter_map(|rest| rest.split('"').next())
}

/// Gives each code span to `take` and returns the text between them.
fn code_spans<'a>(text: &'a str, mut take: impl FnMut(&'a str)) -> Vec<&'a str> {
    let mut between = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('`') {
        let (before, from) = rest.split_at(open);
        let inside = from.trim_start_matches('`');
        let (ticks, _) = from.split_at(from.len() - inside.len());
        let Some((span, after)) = inside.split_once(ticks) else { break };
        between.push(before);
        take(span.trim());
        rest = after;
    }
    between.push(rest);
    between
}

/// Targets of `](target)`, `](target "title")` and `[name]: target`. A link whose text is a code span
/// comes in two pieces; its target is in the second. Footnotes, `[^name]: text`, are no links.
fn links(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    if let Some((name, target)) = text.trim_start().split_once("]: ")
        && name.starts_with('[')
        && !name.starts_with("[^")
    {
        found.push(target);
    }
    let without_title = found.into_iter().filter_map(|target| target.split_whitespace().next());
    without_title.map(|target| target.trim_matches(['<', '>'])).collect()
}

#[cfg(test)]
mod tests {
    use super::{Row, read};

    const SAMPLE: &str = "# The `Broker`, and [more](x.md)!\n\n## Again\n## Again\n<a id=\"odd\"></a>\nSee `a` and ``b ` c``, [d](e.md#f \"title\"), [`g`](h.rs).\n```\n`not` [this](no.md)\n# nor\n```\n[i]: j.md\n[^k]: l\n\n| k | `l` |\n|---|:--:|\n| m | n |\n";

    #[test]
    fn spans_and_links_are_found_outside_of_fences() {
        let document = read(SAMPLE);
        assert_eq!(document.spans, [(1, "Broker"), (6, "a"), (6, "b ` c"), (6, "g"), (14, "l")]);
        assert_eq!(document.links, [(1, "x.md"), (6, "e.md#f"), (6, "h.rs"), (11, "j.md")]);
    }

    #[test]
    fn headings_become_anchors_as_on_github() {
        assert_eq!(read(SAMPLE).anchors, ["the-broker-and-more", "again", "again-1", "odd"]);
    }

    #[test]
    fn rows_of_tables_are_cells() {
        let head = Row { line: 14, is_head: true, cells: vec!["k", "`l`"] };
        assert_eq!(read(SAMPLE).rows, [head, Row { line: 16, is_head: false, cells: vec!["m", "n"] }]);
    }
}
