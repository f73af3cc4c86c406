//! The running process and its data directory: who has it, what is told to the next, what is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod running;

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use aldis::machine;
use rustix::process::Signal;

use crate::running::{ANY_PORT, Broker};

const FSYNC: [&str; 4] = ["--listen", "tcp://127.0.0.1:0", "--durability", "fsync"];

/// The only line of a process that did not start, without the program's name.
fn refused(mut broker: Broker) -> String {
    let (code, log, out) = broker.end();
    assert_eq!((code, out.as_str()), (Some(1), ""), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
    log.trim_end().strip_prefix("aldis: ").expect("the program's name comes first").to_owned()
}

#[test]
fn a_second_broker_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Broker::start_in(folder.path(), &FSYNC, &[]);
    let listening = first.wait_for("listening on tcp://");
    let said = first.wait_for("state is ");
    assert!(said.contains(folder.path().to_str().unwrap()), "{said}");

    let sentence = refused(Broker::start_in(folder.path(), &FSYNC, &[]));
    let expected = format!(
        "another Aldis keeps its state in {} (process {}); stop it, or name another folder with --data-dir",
        folder.path().display(),
        first.child.id()
    );
    assert_eq!(sentence, expected);

    TcpStream::connect(listening.split_once("tcp://").unwrap().1).unwrap();
    first.signal(Signal::TERM);
    assert_eq!(first.end().0, Some(0));
    let mut next = Broker::start_in(folder.path(), &FSYNC, &[]);
    next.wait_for("state is ");
}

#[test]
fn brokers_with_directories_of_their_own_do_not_meet() {
    let mut brokers = [Broker::start(&FSYNC, &[]), Broker::start(&FSYNC, &[])];
    for broker in &mut brokers {
        broker.wait_for("state is ");
    }
}

#[test]
fn the_lock_of_a_broker_that_was_killed_does_not_block() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut broker = Broker::start_in(folder.path(), &FSYNC, &[]);
        broker.wait_for("state is ");
        let lock = fs::read_to_string(folder.path().join("lock")).unwrap();
        assert_eq!(lock.trim(), broker.child.id().to_string());
        broker.signal(Signal::KILL);
        assert_eq!(broker.end().0, None);
        assert!(folder.path().join("lock").exists());
    }
}

/// As root, who may write anywhere, the broker is started as somebody else.
#[test]
fn a_directory_that_may_not_be_written_is_refused_with_both_users() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(folder.path(), 0o755);
    allow(&data, 0o555);
    let binary = folder.path().join("aldis");
    // Nobody else may be able to reach the one that was built. Copied by a child: a file that this process
    // has open for writing cannot be started.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_aldis")).arg(&binary).status().unwrap();
    assert!(copied.success());
    let mut command = Command::new(&binary);
    command.env_clear().args(FSYNC).arg("--data-dir").arg(&data);
    let path = data.display();
    let expected = if machine::is_root() {
        command.uid(4_000_000).gid(4_000_000);
        format!(
            "cannot write in the folder {path}, which belongs to user 0 (root), while aldis runs as user 4000000; give \
             it away (chown -R 4000000), "
        )
    } else {
        format!("cannot write in the folder {path}, which belongs to user ")
    };
    let sentence = refused(Broker::of(&mut command));
    assert!(sentence.starts_with(&expected), "{sentence}");
    assert!(
        sentence
            .ends_with("name another with --data-dir DIR, or keep state in memory with --durability memory")
    );
}

#[test]
fn a_file_in_the_place_of_the_directory_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "precious").unwrap();
    let sentence = refused(Broker::start_in(&file, &FSYNC, &[]));
    assert!(sentence.starts_with(&format!("{} is no folder; ", file.display())));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn a_directory_in_memory_is_warned_of() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut broker = Broker::start_in(folder.path(), &FSYNC, &[]);
    let line = broker.wait_for("is in memory (tmpfs): it is lost when the machine stops");
    assert!(line.contains("WARN") && line.contains(folder.path().to_str().unwrap()), "{line}");
}

#[test]
fn without_an_option_it_is_where_the_environment_says() {
    let folder = tempfile::tempdir().unwrap();
    let service = format!("{}:/nonexistent", folder.path().join("service").display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_aldis"));
    let mut broker = Broker::of(command.env_clear().env("STATE_DIRECTORY", service).args(FSYNC));
    broker.wait_for("state is ");
    assert!(folder.path().join("service/lock").is_file());
}

#[test]
fn in_memory_nothing_is_made_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    let environment = [("HOME", here), ("XDG_DATA_HOME", here), ("STATE_DIRECTORY", here)];
    let named = folder.path().join("named");
    for options in [&[][..], &["--data-dir", named.to_str().unwrap()]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aldis"));
        command.env_clear().envs(environment).current_dir(here);
        command.args(ANY_PORT).args(["--durability", "memory"]).args(options);
        let mut broker = Broker::of(&mut command);
        if !options.is_empty() {
            let line = broker.wait_for(" is not used, because durability is \"memory\"");
            assert!(line.contains("WARN") && line.contains(named.to_str().unwrap()), "{line}");
        }
        broker.wait_for("state is in memory only: ");
        broker.signal(Signal::TERM);
        assert_eq!(broker.end().0, Some(0));
        assert_eq!(fs::read_dir(here).unwrap().count(), 0);
    }
}
