//! Taking a data directory: made if it is missing, locked, and refused with one sentence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use aldis::data_directory::DataDirectory;

fn refused(path: &Path) -> String {
    DataDirectory::open(path).unwrap_err().to_string()
}

#[test]
fn a_missing_directory_is_made_for_its_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("var/lib/aldis");
    let directory = DataDirectory::open(&path).unwrap();
    assert_eq!(directory.folder(), path);
    for made in [&path, path.parent().unwrap()] {
        assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o7777, 0o700);
    }
    let lock = fs::read_to_string(path.join("lock")).unwrap();
    assert_eq!(lock, format!("{}\n", std::process::id()));
}

#[test]
fn only_one_has_it_until_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let first = DataDirectory::open(path).unwrap();
    let sentence = format!(
        "another Aldis keeps its state in {} (process {}); stop it, or name another folder with --data-dir",
        path.display(),
        std::process::id()
    );
    assert_eq!(refused(path), sentence);
    drop(first);
    DataDirectory::open(path).unwrap();
}

/// Whatever is in the file, it is the lock that counts.
#[test]
fn a_file_that_is_left_behind_does_not_block() {
    let folder = tempfile::tempdir().unwrap();
    for left in ["1\n", "4294967295999\n and more than a process id would need", "", "\u{e9}"] {
        fs::write(folder.path().join("lock"), left).unwrap();
        let _directory = DataDirectory::open(folder.path()).unwrap();
        let lock = fs::read_to_string(folder.path().join("lock")).unwrap();
        assert_eq!(lock, format!("{}\n", std::process::id()));
    }
}

#[test]
fn what_is_no_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "precious").unwrap();
    let sentence = refused(&file);
    let start = format!("{} is no folder; remove what is there, name another", file.display());
    assert!(sentence.starts_with(&start), "{sentence}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");

    let below = file.join("below");
    let sentence = refused(&below);
    let start = format!("cannot use the folder {}: Not a directory", below.display());
    assert!(sentence.starts_with(&start), "{sentence}");
}

/// Even root makes no directory there.
#[test]
fn one_that_cannot_be_made_is_refused() {
    let sentence = refused(Path::new("/proc/self/aldis"));
    assert!(sentence.starts_with("cannot make the folder /proc/self/aldis: "), "{sentence}");
    assert!(sentence.contains("; make it for user "), "{sentence}");
}

#[test]
fn a_directory_in_memory_is_told_from_one_on_disk() {
    for parent in ["/dev/shm", env!("CARGO_TARGET_TMPDIR")] {
        let folder = tempfile::tempdir_in(parent).unwrap();
        let told = Command::new("stat").args(["-f", "-c", "%T"]).arg(folder.path()).output().unwrap();
        let is_in_memory = String::from_utf8(told.stdout).unwrap().trim() == "tmpfs";
        assert_eq!(DataDirectory::open(folder.path()).unwrap().is_in_memory(), is_in_memory, "{parent}");
    }
}
