//! `docs/configuration.md` says what the table of settings says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::fs;
use std::path::Path;

use aldis::arguments::Arguments;
use aldis::configuration::load_with;
use aldis::documentation::{BEGIN, END, settings_reference};

/// Set to write the generated part instead of comparing it.
const WRITE: &str = "ALDIS_TEST_WRITE_DOCUMENTATION";

fn document() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md")
}

#[test]
fn the_reference_is_that_of_the_table() {
    let text = fs::read_to_string(document()).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the document has the first marker");
    let (found, after) = rest.split_once(END).expect("the document has the last marker");
    let expected = format!("\n\n{}", settings_reference());
    if std::env::var_os(WRITE).is_some() {
        fs::write(document(), format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    let hint = format!(
        "docs/configuration.md is not up to date; run: {WRITE}=1 cargo test -p aldis --test documentation"
    );
    assert!(found == expected, "{hint}");
}

/// The examples are files: each is read with the real loader.
#[test]
fn every_example_in_the_document_is_a_good_configuration() {
    let text = fs::read_to_string(document()).unwrap();
    let examples: Vec<&str> = text
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("the block is closed").0)
        .collect();
    assert!(examples.len() >= 2);
    let users = include_str!("../../server/tests/fixtures/mosquitto_passwd.txt");
    for example in examples {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("users"), users).unwrap();
        let file = folder.path().join("aldis.toml");
        // The password file of the example is where the reader will have it, not here.
        fs::write(&file, example.replace("/etc/aldis/users", "users")).unwrap();
        let arguments = Arguments { config: Some(file), ..Arguments::default() };
        let home = [("HOME".into(), "/home/ann".into())];
        load_with(&arguments, home).unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}
