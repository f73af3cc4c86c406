//! Every source file is reached from its crate's root by `mod`: what no module names is not compiled,
//! and rots.
//!
//! Does not ask whether what is in the file is used; the compiler does.

use super::scan::scan;
use super::{Finding, Repository};
use std::collections::HashSet;

/// Looks below `crates/*/src` and `xtask/src`.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let sources: Vec<&str> =
        repository.files.iter().filter(|file| file.is_rust_source()).map(|file| file.path.as_str()).collect();
    let mut reached = HashSet::new();
    let mut open: Vec<String> =
        sources.iter().filter(|path| is_root(path)).map(|path| (*path).to_owned()).collect();
    while let Some(path) = open.pop() {
        let Some(file) = repository.file(&path) else { continue };
        if reached.insert(path.clone()) {
            let named =
                modules(&file.text, &path).into_iter().filter(|found| repository.file(found).is_some());
            open.extend(named);
        }
    }
    let dead = sources.into_iter().filter(|path| !reached.contains(*path));
    let what = "no `mod` leads to this file, so it is never compiled; name it in its parent, or remove it";
    dead.map(|path| Finding::at(path, 1, what)).collect()
}

/// `src/lib.rs`, `src/main.rs`, `src/bin/name.rs`, `src/bin/name/main.rs`.
fn is_root(path: &str) -> bool {
    let inside = path.split_once("src/").map_or(path, |(_, inside)| inside);
    match inside.strip_prefix("bin/") {
        None => inside == "lib.rs" || inside == "main.rs",
        Some(program) => !program.contains('/') || program.ends_with("/main.rs"),
    }
}

/// Where the modules that a file names may be: of each name, both places that Rust looks at.
fn modules(source: &str, path: &str) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let own_folder = match name.strip_suffix(".rs").unwrap_or(name) {
        "lib" | "main" | "mod" => folder.to_owned(),
        _ if is_root(path) => folder.to_owned(),
        stem => format!("{folder}/{stem}"),
    };
    let code = scan(source).code;
    // The names of the inline modules we are in, with the depth of their braces.
    let mut inside: Vec<(String, usize)> = Vec::new();
    let (mut depth, mut found) = (0_usize, Vec::new());
    for piece in code.split_inclusive(['{', '}', ';']) {
        let name = module_name(piece);
        match (piece.chars().last(), name) {
            (Some(';'), Some(name)) => {
                let nested: String = inside.iter().map(|(part, _)| format!("{part}/")).collect();
                let place = format!("{own_folder}/{nested}{name}");
                found.extend([format!("{place}.rs"), format!("{place}/mod.rs")]);
            }
            (Some('{'), name) => {
                depth += 1;
                inside.extend(name.map(|name| (name.to_owned(), depth)));
            }
            (Some('}'), _) => {
                inside.retain(|(_, opened)| *opened != depth);
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
    }
    found.extend(quoted_paths(source).map(|quoted| format!("{folder}/{quoted}")));
    found
}

/// `name` of a piece of code that ends in `mod name;` or `mod name {`.
fn module_name(piece: &str) -> Option<&str> {
    let mut words = piece.trim_end_matches(['{', '}', ';']).split_whitespace().rev();
    let name = words.next()?;
    (words.next()? == "mod").then_some(name)
}

/// What `#[path = "…"]` and `include!("…")` name, below the file's own folder.
fn quoted_paths(source: &str) -> impl Iterator<Item = &str> {
    let after = ["#[path = \"", "include!(\""].into_iter().flat_map(|opening| source.split(opening).skip(1));
    after.filter_map(|rest| rest.split('"').next())
}

#[cfg(test)]
mod tests {
    use super::{Repository, check};

    const LIB: &str = "/// About.\n#[cfg(test)]\npub(crate) mod one;\nmod two { fn f() {} mod three; }\n#[path = \"odd-1.rs\"]\nmod odd;\n// mod dead;\n";

    #[test]
    fn modules_are_followed_through_files_folders_and_paths() {
        let files = [
            ("crates/a/src/lib.rs", LIB),
            ("crates/a/src/one.rs", "mod four;"),
            ("crates/a/src/one/four.rs", "mod five;"),
            ("crates/a/src/one/four/five/mod.rs", "mod six;"),
            ("crates/a/src/one/four/five/six.rs", ""),
            ("crates/a/src/two/three.rs", ""),
            ("crates/a/src/odd-1.rs", ""),
            ("crates/a/src/bin/tool.rs", "mod part;"),
            ("crates/a/src/bin/part/mod.rs", ""),
            ("crates/a/tests/free.rs", ""),
        ];
        assert_eq!(check(&Repository::of(&files)), []);
    }

    #[test]
    fn a_file_that_no_module_names_is_found() {
        let files = [("crates/a/src/lib.rs", LIB), ("crates/a/src/dead.rs", ""), ("xtask/src/three.rs", "")];
        let findings = check(&Repository::of(&files));
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].to_string().starts_with("crates/a/src/dead.rs:1:"), "{}", findings[0]);
    }
}
