//! The paths, links and headings that documents cite exist.
//!
//! Links to other machines are not followed.

use super::markdown::{self, Document};
use super::{Finding, Repository};

/// What makes a word with a `/` a path of ours and not a topic or a ratio.
const EXTENSIONS: [&str; 13] =
    ["rs", "py", "js", "mjs", "sh", "md", "toml", "tsv", "json", "yml", "yaml", "txt", "lock"];

/// Folders that hold what is built, not what is written.
const BUILT: [&str; 2] = ["target/", "data/"];

/// Looks at every document.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.with_extension(&["md"]) {
        let document = markdown::read(&file.text);
        for (line, span) in &document.spans {
            if let Some(what) = missing_path(repository, &file.path, span) {
                findings.push(Finding::at(&file.path, *line, what));
            }
        }
        for (line, link) in &document.links {
            if let Some(what) = broken_link(repository, &file.path, &document, link) {
                findings.push(Finding::at(&file.path, *line, what));
            }
        }
    }
    findings
}

/// What is wrong with a code span, if it is a path that does not exist.
fn missing_path(repository: &Repository, document: &str, span: &str) -> Option<String> {
    let path = cited_path(span)?;
    let path = path.as_str();
    let extension =
        path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    let is_file = extension.is_some_and(|extension| EXTENSIONS.contains(&extension));
    if !path.contains('/') {
        // A name alone is enough where only one kind of thing can be meant.
        let is_known =
            repository.paths.iter().any(|known| known == path || known.ends_with(&format!("/{path}")));
        let what = format!("there is no file called `{path}`; cite one that exists");
        return (extension == Some("rs") && !is_known).then_some(what);
    }
    let top = path.split('/').next().unwrap_or_default();
    let is_ours = is_file || (repository.has(top) && !top.is_empty());
    let exists = repository.has(path) || repository.has(&below(document, path)?);
    (is_ours && !exists).then(|| format!("`{path}` does not exist; {}", nearest(repository, path)))
}

/// The path in a code span: without a line number, an item after `::`, or a command's other words.
fn cited_path(span: &str) -> Option<String> {
    let path = span.split("::").next()?.split('#').next()?;
    let path = match path.rsplit_once(':') {
        Some((before, line)) if line.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => before,
        _ => path,
    };
    let path = path.strip_prefix("./").unwrap_or(path);
    let is_plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
    let is_elsewhere = path.starts_with(['/', '-']) || BUILT.iter().any(|built| path.starts_with(built));
    (is_plain && !is_elsewhere && !path.is_empty()).then(|| path.to_owned())
}

fn nearest(repository: &Repository, path: &str) -> String {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    let same_name = |known: &&String| known.rsplit('/').next() == Some(name);
    match repository.paths.iter().find(same_name) {
        Some(found) => format!("there is `{found}`"),
        None => "cite a path from the root of the repository or from the document's folder".to_owned(),
    }
}

/// `path` seen from the folder of `document`, as a path from the root; none when it leads out of it.
fn below(document: &str, path: &str) -> Option<String> {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn broken_link(repository: &Repository, path: &str, document: &Document<'_>, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (target, anchor) =
        link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
    let found = if target.is_empty() { Some(path.to_owned()) } else { below(path, target) };
    let Some(found) = found.filter(|found| repository.has(found)) else {
        return Some(format!("the link `{link}` leads nowhere; {}", nearest(repository, target)));
    };
    let anchor = anchor?;
    if target.is_empty() {
        return missing_anchor(document, path, anchor);
    }
    let other = repository.file(&found).filter(|file| file.is(&["md"]))?;
    missing_anchor(&markdown::read(&other.text), &found, anchor)
}

fn missing_anchor(document: &Document<'_>, path: &str, anchor: &str) -> Option<String> {
    let exists = document.anchors.iter().any(|known| known == anchor);
    let known = document.anchors.iter().map(|known| format!("#{known}")).collect::<Vec<_>>().join(" ");
    (!exists).then(|| format!("{path} has no heading `#{anchor}`; it has {known}"))
}

#[cfg(test)]
mod tests {
    use super::{Repository, check};

    fn findings(document: &str) -> Vec<String> {
        let other = ("docs/other.md", "# One thing\n");
        let code = ("crates/a/src/lib.rs", "");
        let repository = Repository::of(&[("docs/tour.md", document), other, code]);
        check(&repository).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn paths_and_links_that_exist_pass() {
        let good = "# A\n`crates/a/src/lib.rs:12` `crates/a` `crates/a/` `lib.rs` `other.md` `../crates/a/src/lib.rs`\n[a](#a) [o](other.md#one-thing) [c](../crates/a/src/lib.rs#L3) [w](https://example.org/x.md)\n";
        assert_eq!(findings(good), [""; 0]);
    }

    #[test]
    fn what_is_no_path_of_ours_passes() {
        assert_eq!(
            findings(
                "`sensors/+/t` `a/b` `/etc/aldis/aldis.toml` `target/x/y.rs` `crates/*/src` `-c x/y.toml`"
            ),
            [""; 0]
        );
    }

    #[test]
    fn a_path_that_does_not_exist_is_found_with_one_that_does() {
        let found = findings("\n`a/lib.rs` `crates/b` `gone.rs`");
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "docs/tour.md:2: `a/lib.rs` does not exist; there is `crates/a/src/lib.rs`");
    }

    #[test]
    fn a_link_or_heading_that_does_not_exist_is_found() {
        let found = findings("# A\n[a](#b)\n[o](other.md#two)\n[g](gone.md)\n[up](../../up.md)\n");
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("has no heading `#b`; it has #a"), "{found:?}");
    }
}
