//! The binary as a user meets it: exit codes, and one sentence on standard error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::fs;
use std::process::{Command, Output};

/// None of the options here may lead to a broker that runs: each would use one data directory.
fn aldis(options: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aldis"));
    command
        .env_clear()
        .env("STATE_DIRECTORY", "/var/lib/aldis")
        .envs(environment.iter().copied())
        .args(options)
        .output()
        .unwrap()
}

/// What it prints where the configuration is good, less the line about this machine's open files.
fn good(options: &[&str], environment: &[(&str, &str)]) -> String {
    let output = aldis(&[&["--check-config"], options].concat(), environment);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), errors.as_str()), (Some(0), ""));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_inclusive('\n').filter(|line| !line.starts_with("at most ")).collect()
}

/// The one sentence where it is not, with and without `--check-config`.
fn refused(options: &[&str], environment: &[(&str, &str)]) -> String {
    let checked = aldis(&[&["--check-config"], options].concat(), environment);
    let started = aldis(options, environment);
    assert_eq!(checked.stderr, started.stderr);
    assert_eq!((checked.status.code(), started.status.code()), (Some(1), Some(1)));
    assert!(checked.stdout.is_empty() && started.stdout.is_empty());
    let sentence = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
    sentence.strip_prefix("aldis: ").expect("the program's name comes first").trim_end().to_owned()
}

#[test]
fn check_config_says_what_it_would_do() {
    assert_eq!(
        good(&["--durability", "memory"], &[]),
        "would listen on tcp://127.0.0.1:1883\nwould listen on tcp://[::1]:1883 where IPv6 exists\n\
         anonymous clients would be let in\nstate would be in memory only\nconfiguration is good\n"
    );
    let users = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/tests/fixtures/mosquitto_passwd.txt");
    let environment = [
        ("ALDIS_LISTEN", "tcp://0.0.0.0:1"),
        ("ALDIS_AUTH__PASSWORD_FILE", users),
        ("ALDIS_DURABILITY", "fsync"),
    ];
    assert_eq!(
        good(&["--metrics", "127.0.0.1:9234"], &environment),
        "would listen on tcp://0.0.0.0:1\n6 users would be let in, and nobody else\n\
         would serve metrics on http://127.0.0.1:9234/metrics\nstate would be kept in /var/lib/aldis\nconfiguration is good\n"
    );
    let closed = ["--set", "auth.allow_anonymous=false"];
    assert!(good(&closed, &[]).contains("nobody would be let in: set auth.password_file"));
}

#[test]
fn check_config_says_what_the_limit_of_open_files_allows() {
    let with_limit = |files: u64, options: &str| {
        let script =
            format!("ulimit -n {files} && exec {} --check-config {options}", env!("CARGO_BIN_EXE_aldis"));
        let mut command = Command::new("sh");
        let output = command.args(["-c", &script]).env_clear().env("HOME", "/home/ann").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let line =
        "\nat most 136 connections, because this process may open 200 files (ulimit -Hn, LimitNOFILE=)\n";
    let text = with_limit(200, "");
    assert!(text.contains(line) && text.ends_with("configuration is good\n"), "{text}");
    assert!(!with_limit(200, "--set limits.connections=100").contains("files"));
    let text = with_limit(200, "--set limits.connections=1000");
    assert!(
        text.contains("\nwarning: this process may open 200 files, which is room for 136 connections of"),
        "{text}"
    );
    let text = with_limit(24, "");
    assert!(
        text.contains("\nwarning: this process may open 24 files, too few to serve clients; raise"),
        "{text}"
    );
}

#[test]
fn a_bad_file_is_one_sentence_and_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aldis.toml");
    let file_name = file.to_str().unwrap();
    fs::write(&file, "# a comment\n[limits]\nqueue_mesages = 1\n").unwrap();
    assert_eq!(
        refused(&["-c", file_name], &[]),
        format!(
            "unknown setting \"limits.queue_mesages\" in {file_name} line 3; did you mean \"limits.queue_messages\"?"
        )
    );
    fs::write(&file, "listen = [").unwrap();
    assert!(refused(&["-c", file_name], &[]).starts_with(&format!("{file_name} line 1 is not valid TOML: ")));
    fs::remove_file(&file).unwrap();
    assert!(
        refused(&["-c", file_name], &[])
            .starts_with(&format!("cannot read the configuration file {file_name}: "))
    );
    let folder_name = folder.path().to_str().unwrap();
    assert!(refused(&["-c", folder_name], &[]).contains("Is a directory"));
}

#[test]
fn bad_options_and_variables_are_one_sentence_and_exit_code_1() {
    assert!(refused(&["--set", "limits.in_flight=lots"], &[]).contains("for example 1_000"));
    assert!(refused(&["--set", "nonsense"], &[]).contains("is not of the form KEY=VALUE"));
    assert!(refused(&["--metrics", "nowhere"], &[]).contains("for example \"127.0.0.1:9234\""));
    assert!(refused(&["--listen", "ws://127.0.0.1:8083"], &[]).contains("ws:// listeners are not built yet"));
    assert!(refused(&[], &[("ALDIS_LISTN", "x")]).contains("did you mean ALDIS_LISTEN?"));
}

#[test]
fn a_public_listener_without_authentication_is_refused() {
    let sentence = refused(&["--listen", "tcp://0.0.0.0:1883"], &[]);
    assert!(
        sentence.contains("auth.password_file") && sentence.contains("auth.allow_anonymous"),
        "{sentence}"
    );
}

#[test]
fn help_and_version_are_there_and_wrong_usage_exits_with_2() {
    let help = String::from_utf8(aldis(&["--help"], &[]).stdout).unwrap();
    for expected in [
        "--check-config",
        "--data-dir",
        "--durability",
        "Examples:",
        "mosquitto_passwd",
        "docs/configuration.md",
        "Exit codes:",
        "[default: 1883]",
        "no TLS yet",
        "aldis store inspect",
    ] {
        assert!(help.contains(expected), "{help}");
    }
    let version = String::from_utf8(aldis(&["--version"], &[]).stdout).unwrap();
    assert_eq!(version, format!("aldis {}\n", env!("CARGO_PKG_VERSION")));
    // A value that is wrong is the fault of a setting, and told like every other.
    assert!(refused(&["-p", "abc"], &[]).starts_with("-p \"abc\" is not a port"));
    assert_eq!(aldis(&["--no-such-option"], &[]).status.code(), Some(2));
}
