//! Every sentence about a configuration that is refused: the place, and the way out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod loading;

use std::fs;
use std::io::ErrorKind;

use aldis::arguments::Arguments;
use aldis::configuration::{ConfigError, Keeping, load_with};
use aldis_server::Syncs;

use crate::loading::{Folder, load, refused, try_load};

/// The sentence about a file with these lines, with the file's path replaced by FILE.
fn refused_file(contents: &str) -> String {
    let folder = Folder::with(contents);
    refused(&["-c", &folder.file()]).replace(&folder.file(), "FILE")
}
#[test]
fn unknown_names_are_refused_with_the_nearest_right_one() {
    assert_eq!(
        refused_file("[limits]\n\nqueue_mesages = 5\n"),
        "unknown setting \"limits.queue_mesages\" in FILE line 3; did you mean \"limits.queue_messages\"?"
    );
    assert_eq!(
        refused_file("# x\n[limit]\nqueue_messages = 5\n"),
        "unknown setting \"limit.queue_messages\" in FILE line 3; did you mean \"limits.queue_messages\"?"
    );
    assert_eq!(
        refused_file("colour = 'red'\n"),
        "unknown setting \"colour\" in FILE line 1; docs/configuration.md lists all settings"
    );
    assert_eq!(
        refused_file("[colours]\n"),
        "unknown setting \"colours\" in FILE line 1; docs/configuration.md lists all settings"
    );
    assert_eq!(refused_file("[limits]\nzzz = 1\nin_flight = 0\n"), refused_file("[limits]\nzzz = 1\n"));
    assert_eq!(
        refused(&["--set", "password_file=x"]),
        "unknown setting \"password_file\" in --set; did you mean \"auth.password_file\"?"
    );
    let variable = |name| try_load(&[], &[(name, "1")]).unwrap_err().to_string();
    assert_eq!(
        variable("ALDIS_LIMITS__QUEUE_MESAGES"),
        "unknown environment variable ALDIS_LIMITS__QUEUE_MESAGES; did you mean ALDIS_LIMITS__QUEUE_MESSAGES?"
    );
    assert_eq!(
        variable("ALDIS_LIMITS_QUEUE_MESSAGES"),
        "unknown environment variable ALDIS_LIMITS_QUEUE_MESSAGES; did you mean ALDIS_LIMITS__QUEUE_MESSAGES?"
    );
    assert_eq!(
        variable("ALDIS_COLOUR"),
        "unknown environment variable ALDIS_COLOUR; unset it: names that begin with ALDIS_ are settings, and none is like it"
    );
}

/// A file may hold anything, and what is wrong with it goes to a terminal and into a log of lines.
#[test]
fn a_control_character_in_a_file_is_shown_and_not_sent_to_the_terminal() {
    assert_eq!(
        refused_file("\"a\\nb\\u001b[2J\" = 1\n"),
        "unknown setting \"a\\nb\\u{1b}[2J\" in FILE line 1; docs/configuration.md lists all settings"
    );
    for contents in ["limits.queue_messages = 1\u{6}0\n", "listen = [\"tcp://\\u0007\"]\n", "a = \u{1b}[2J\n"]
    {
        let sentence = refused_file(contents);
        assert!(!sentence.contains(char::is_control), "{sentence:?}");
    }
}

/// Names that people bring from mosquitto.conf and from other brokers, and what they are told.
const NAMES_FROM_ELSEWHERE: &[(&str, &str)] = &[
    ("port", "did you mean \"listen\"? It takes URLs: listen = [\"tcp://127.0.0.1:1883\"]"),
    ("listener", "did you mean \"listen\"? It takes URLs"),
    ("limits.max_keepalive", "did you mean \"limits.keep_alive_max\"?"),
    ("limits.message_size_limit", "did you mean \"limits.packet_size\"?"),
    ("max_packet_size", "did you mean \"limits.packet_size\"?"),
    ("limits.max_inflight_messages", "did you mean \"limits.in_flight\"?"),
    ("max_queued_messages", "did you mean \"limits.queue_messages\"?"),
    ("max_queued_bytes", "did you mean \"limits.queue_bytes\"?"),
    ("queue_qos0_messages", "did you mean \"limits.queue_qos0\"?"),
    ("max_connections", "did you mean \"limits.connections\"?"),
    ("max_topic_alias", "did you mean \"limits.topic_alias_maximum\"?"),
    ("persistent_client_expiration", "did you mean \"limits.session_expiry_max\"?"),
    ("memory_limit", "did you mean \"limits.memory_watermark\"?"),
    ("persistence", "did you mean \"durability\"? It takes \"fsync\", \"interval\" or \"memory\""),
    ("storage.autosave_interval", "did you mean \"durability_interval\"?"),
    ("persistence_location", "did you mean \"data_dir\"?"),
    ("log.level", "did you mean \"log.verbosity\"?"),
    ("log.verbose", "did you mean \"log.verbosity\"?"),
    ("log_type", "did you mean \"log.verbosity\"?"),
    ("log_dest", "the log goes to standard error"),
    ("auth.passwords", "did you mean \"auth.password_file\"?"),
    ("anonymous", "did you mean \"auth.allow_anonymous\"?"),
    ("acl_file", "ACL files are not there yet"),
    ("certfile", "TLS is not there yet"),
    ("tls.require_certificate", "TLS is not there yet"),
    ("protocol", "WebSocket is not there yet"),
    ("socket_domain", "did you mean \"listen\"? It takes URLs"),
    ("connection", "bridges are not there yet"),
    ("bridge_cafile", "bridges are not there yet"),
    ("remote_username", "bridges are not there yet"),
    ("max_qos", "it is not a setting here: every QoS is served"),
    ("mount_point", "it is not there yet"),
    ("set_tcp_nodelay", "it is not a setting here: TCP_NODELAY is always set"),
    ("include_dir", "a configuration file is named with -c FILE, and there is one file"),
    ("user", "aldis runs as the user who starts it"),
    ("pid_file", "a service manager knows the process"),
    ("Max-Connections", "did you mean \"limits.connections\"?"),
];

#[test]
fn names_from_elsewhere_are_answered_with_the_right_one_or_plainly() {
    for (name, words) in NAMES_FROM_ELSEWHERE {
        let sentence = refused(&["--set", &format!("{name}=1")]);
        let expected = format!("unknown setting \"{name}\" in --set; {words}");
        assert!(sentence.starts_with(&expected), "{sentence}");
    }
    let in_a_table = refused_file("[tls]\ncertfile = \"x\"\n");
    assert!(
        in_a_table.starts_with("unknown setting \"tls.certfile\" in FILE line 2; TLS is"),
        "{in_a_table}"
    );
    // The whole file, as it was.
    let mosquitto = refused_file("# Mosquitto\nlistener 1883\nallow_anonymous true\n");
    assert!(mosquitto.starts_with("FILE line 2 is not valid TOML: "), "{mosquitto}");
    assert!(
        mosquitto.ends_with("; mosquitto.conf is not read: write the settings anew, as NAME = VALUE"),
        "{mosquitto}"
    );
    for (name, words) in [
        ("ALDIS_PORT", "unknown environment variable ALDIS_PORT; did you mean ALDIS_LISTEN? It takes URLs: "),
        (
            "ALDIS_LOG_LEVEL",
            "unknown environment variable ALDIS_LOG_LEVEL; did you mean ALDIS_LOG__VERBOSITY?",
        ),
        (
            "ALDIS_MAX_CONNECTIONS",
            "unknown environment variable ALDIS_MAX_CONNECTIONS; did you mean ALDIS_LIMITS__",
        ),
        ("ALDIS_ACL_FILE", "unknown environment variable ALDIS_ACL_FILE; ACL files are not there yet"),
        (
            "ALDIS_CONFIG",
            "unknown environment variable ALDIS_CONFIG; a configuration file is named with -c FILE",
        ),
        (
            "ALDIS_LIMITS",
            "\"ALDIS_LIMITS\" in the environment is a group of settings and takes no value; set one of them, for \
             example \"ALDIS_LIMITS__CONNECTIONS\"",
        ),
    ] {
        let sentence = try_load(&[], &[(name, "1")]).unwrap_err().to_string();
        assert!(sentence.starts_with(words), "{sentence}");
    }
}

/// An unknown name is refused even where it would have no value, and so is one that only looks like
/// a variable of the tests.
#[test]
fn no_variable_is_ignored_by_its_beginning() {
    for name in ["ALDIS_TEST_ANYTHING", "ALDIS_LONGER", "ALDIS_LISTN", "ALDIS_"] {
        for value in ["1", ""] {
            let sentence = try_load(&[], &[(name, value)]).unwrap_err().to_string();
            assert!(sentence.starts_with(&format!("unknown environment variable {name}; ")), "{sentence}");
        }
    }
}

#[test]
fn variables_of_tests_and_of_kubernetes_are_left_alone() {
    let environment = [
        ("ALDIS_TEST_PORT", "1"),
        ("ALDIS_TEST_WRITE_DOCUMENTATION", "1"),
        ("ALDIS_LONG", "1"),
        ("ALDIS_SERVICE_HOST", "10.0.0.1"),
        ("ALDIS_SERVICE_PORT", "1883"),
        ("ALDIS_SERVICE_PORT_MQTT", "1883"),
        ("ALDIS_PORT", "tcp://10.0.0.1:1883"),
        ("ALDIS_PORT_1883_TCP", "tcp://10.0.0.1:1883"),
        ("ALDIS_PORT_1883_TCP_PROTO", "tcp"),
        ("ALDIS_PORT_1883_TCP_PORT", "1883"),
        ("ALDIS_PORT_1883_TCP_ADDR", "10.0.0.1"),
        ("ALDIS_METRICS_PORT_9234_TCP_ADDR", "10.0.0.1"),
    ];
    assert!(try_load(&[], &environment).is_ok());
    let sentence = try_load(&[], &[("ALDIS_PORT", "1884")]).unwrap_err().to_string();
    assert!(sentence.starts_with("unknown environment variable ALDIS_PORT;"), "{sentence}");
}

/// Lines of a file with a value that cannot be meant, and the sentence about it.
const WRONG_VALUES: &[(&str, &str)] = &[
    (
        "limits.queue_messages = \"many\"",
        "\"limits.queue_messages\" in FILE line 1 is \"many\", but it takes a whole number from 0 to \
         1_000_000_000, for example 100_000",
    ),
    (
        "limits.connections = 0",
        "\"limits.connections\" in FILE line 1 is 0, but it takes a whole number from 1 to 10_000_000 \
         or \"auto\", for example 100_000",
    ),
    (
        "limits.in_flight = -1",
        "\"limits.in_flight\" in FILE line 1 is -1, but it takes a whole number from 1 to 65_535, for example 1_000",
    ),
    (
        "limits.in_flight = 1.5",
        "\"limits.in_flight\" in FILE line 1 is the fraction 1.5, but it takes a whole number from 1 to 65_535, \
         for example 1_000",
    ),
    (
        "limits.packet_size = \"1 M\"",
        "\"limits.packet_size\" in FILE line 1 is \"1 M\", but it takes a size from 1 KiB to 268_435_460 bytes, for \
         example \"1 MiB\"",
    ),
    (
        "sys_interval = \"500 ms\"",
        "\"sys_interval\" in FILE line 1 is \"500 ms\", but it takes a time from 1 s to 1 d or \"off\" (0), for example \"10 s\"",
    ),
    (
        "limits.keep_alive_max = \"1500 ms\"",
        "\"limits.keep_alive_max\" in FILE line 1 is \"1500 ms\", but it takes a time from 1 s to 65_535 s in whole \
         seconds or \"unlimited\" (0), for example \"30 min\"",
    ),
    (
        "auth.allow_anonymous = \"yes\"",
        "\"auth.allow_anonymous\" in FILE line 1 is \"yes\", but it takes true or false (without quotes)",
    ),
    (
        "auth.password_file = 5",
        "\"auth.password_file\" in FILE line 1 is 5, but it takes a path, for example \"/etc/aldis/users\"",
    ),
    (
        "listen = 1883",
        "\"listen\" in FILE line 1 is 1883, but it takes a list of URLs; did you mean \"tcp://127.0.0.1:1883\"?",
    ),
    (
        "listen = true",
        "\"listen\" in FILE line 1 is true, but it takes a list of URLs, for example [\"tcp://0.0.0.0:1883\"]",
    ),
    (
        "listen = \"22883\"",
        "\"listen\" in FILE line 1 has \"22883\", which is not a URL; did you mean tcp://127.0.0.1:22883?",
    ),
    (
        "listen = [\"tcp://127.0.0.1:22883/x\"]",
        "\"listen\" in FILE line 1 has \"tcp://127.0.0.1:22883/x\", which has a path \"/x\"; a tcp:// URL ends after \
         the port",
    ),
    (
        "durability = \"always\"",
        "\"durability\" in FILE line 1 is \"always\", but it takes \"fsync\", \"interval\" or \"memory\"",
    ),
    (
        "durability = false",
        "\"durability\" in FILE line 1 is false, but it takes \"fsync\", \"interval\" or \"memory\"",
    ),
    (
        "durability_interval = \"9 ms\"",
        "\"durability_interval\" in FILE line 1 is \"9 ms\", but it takes a time from 10 ms to 1 h, for example \"10 s\"",
    ),
    (
        "metrics = 9234",
        "\"metrics\" in FILE line 1 is 9234, but it takes an IP address with a port, or \"off\"; did you mean \"127.0.0.1:9234\"?",
    ),
    (
        "metrics = true",
        "\"metrics\" in FILE line 1 is true, but it takes an IP address with a port, for example \"127.0.0.1:9234\", or \"off\"",
    ),
    (
        "[listen]\nx = 1",
        "\"listen\" in FILE line 1 is a table, but it takes a list of URLs, for example [\"tcp://0.0.0.0:1883\"]",
    ),
    (
        "limits = 5",
        "\"limits\" in FILE line 1 is a group of settings and takes no value; set one of them, for example \
         \"limits.connections\"",
    ),
    (
        "listen = [\"tls://0.0.0.0:8883\"]",
        "\"listen\" in FILE line 1 has \"tls://0.0.0.0:8883\", but tls:// listeners are not built yet; tcp:// is \
         what this version speaks",
    ),
];

#[test]
fn values_of_the_wrong_kind_are_refused_with_what_would_be_right() {
    for (line, sentence) in WRONG_VALUES {
        assert_eq!(refused_file(line), *sentence);
    }
    let variable = try_load(&[], &[("ALDIS_LIMITS__IN_FLIGHT", "x")]).unwrap_err().to_string();
    assert_eq!(
        variable,
        "\"limits.in_flight\" in the environment variable ALDIS_LIMITS__IN_FLIGHT is \"x\", but it takes a whole \
         number from 1 to 65_535, for example 1_000"
    );
}

/// Numbers as people group them are not read, for `1.000` and `1,000` mean different things in
/// different countries; the sentence says how it is written here.
#[test]
fn numbers_that_are_grouped_in_another_way_are_answered_with_the_way_to_write_them() {
    for (setting, right) in [
        ("limits.queue_messages=100,000", "write 100_000"),
        ("limits.queue_messages=100.000.000", "write 100_000_000"),
        ("limits.queue_messages=100 000", "write 100_000"),
        ("limits.queue_messages=100'000", "write 100_000"),
        ("limits.queue_messages=\"2000\"", "write 2_000"),
        ("limits.packet_size=1,000,000", "write 1_000_000"),
        ("limits.keep_alive_max=3,600", "write 3_600"),
    ] {
        let sentence = refused(&["--set", setting]);
        assert!(sentence.ends_with(&format!("; {right}")), "{setting}: {sentence}");
    }
    let in_a_file = refused_file("[limits]\nqueue_messages = 100,000\n");
    assert!(in_a_file.starts_with("FILE line 2 is not valid TOML: "), "{in_a_file}");
    assert!(in_a_file.ends_with("; write 100_000"), "{in_a_file}");
    for no_number in [
        "limits.queue_messages=a,b",
        "limits.queue_messages=1,5",
        "limits.queue_messages=,",
        "limits.queue_messages=9,000,000,000",
    ] {
        let sentence = refused(&["--set", no_number]);
        assert!(sentence.ends_with("for example 100_000"), "{sentence}");
    }
}

#[test]
fn every_number_in_a_sentence_can_be_written_as_it_is_shown() {
    for (setting, least, most) in [
        ("limits.queue_messages", "0", "1_000_000_000"),
        ("limits.packet_size", "1 KiB", "268_435_460 bytes"),
        ("limits.session_expiry_max", "0 s", "4_294_967_295 s"),
        ("limits.retained_messages", "0", "1_000_000_000_000"),
        ("sys_interval", "1 s", "1 d"),
    ] {
        let sentence = refused(&["--set", &format!("{setting}=x")]);
        assert!(sentence.contains(&format!(" from {least} to {most}")), "{sentence}");
        load(&["--set", &format!("{setting}={least}"), "--set", &format!("{setting}={most}")]);
    }
}

#[test]
fn files_that_cannot_be_read_are_named_with_the_way_out() {
    assert_eq!(
        refused(&["-c", "/nonexistent/aldis.toml"]),
        "cannot read the configuration file /nonexistent/aldis.toml: No such file or directory (os error 2); correct the \
         path after -c, or leave -c out: no file is needed"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    assert_eq!(
        refused(&["-c", &path.to_string()]),
        format!(
            "cannot read the configuration file {path}: Is a directory (os error 21); name a file in it, for example \
             -c {path}/aldis.toml"
        )
    );
    let here = std::env::current_dir().unwrap();
    assert!(refused(&["-c", "nowhere.toml"]).contains(&format!("file {}/nowhere.toml: ", here.display())));
    let sentence = refused_file("a = 1\nb = = 2\n");
    assert!(sentence.starts_with("FILE line 2 is not valid TOML: "), "{sentence}");
    let sentence = refused_file("[limits]\nin_flight = 1\nin_flight = 2\n");
    assert!(sentence.starts_with("FILE line 3 is not valid TOML: duplicate key"), "{sentence}");
    assert_eq!(sentence.lines().count(), 1);
    let sentence = refused_file(&"#".repeat((1 << 20) + 1));
    assert!(sentence.contains("it is larger than 1 MiB"), "{sentence}");
}

/// The system would say "the port is taken", and it is: by this very broker.
#[test]
fn listeners_that_collide_with_each_other_are_named() {
    let listen =
        |urls: &str| refused(&["--set", "auth.allow_anonymous=true", "--set", &format!("listen={urls}")]);
    assert_eq!(
        listen("tcp://127.0.0.1:1884,tcp://0.0.0.0:1884"),
        "\"listen\" in --set has tcp://127.0.0.1:1884 and tcp://0.0.0.0:1884, which is every IPv4 address; remove \
         tcp://127.0.0.1:1884, or give it another port"
    );
    assert_eq!(
        listen("tcp://[::]:7,tcp://[::1]:7"),
        "\"listen\" in --set has tcp://[::1]:7 and tcp://[::]:7, which is every IPv6 address; remove tcp://[::1]:7, or \
         give it another port"
    );
    assert!(
        listen("tcp://*:7,tcp://localhost:7").contains("has tcp://127.0.0.1:7 and tcp://0.0.0.0:7, which is")
    );
    for fine in [
        "tcp://0.0.0.0:7,tcp://[::]:7",
        "tcp://0.0.0.0:7,tcp://127.0.0.1:8",
        "tcp://0.0.0.0:7,tcp://[::1]:7",
        "tcp://127.0.0.1:7,tcp://127.0.0.2:7",
        "tcp://127.0.0.1:0,tcp://0.0.0.0:0",
    ] {
        load(&["--set", "auth.allow_anonymous=true", "--set", &format!("listen={fine}")]);
    }
}

#[test]
fn a_port_that_is_none_is_answered_with_one_that_is() {
    for port in ["70000", "abc", "-1", "1884x", "+5", ""] {
        assert_eq!(
            refused(&["-p", port]),
            format!("-p \"{port}\" is not a port; write a number from 0 to 65535, for example -p 1884")
        );
    }
    load(&["-p", "0"]);
    load(&["--port", "65535"]);
}

#[test]
fn metrics_on_the_port_of_a_listener_are_refused_with_both_names() {
    assert_eq!(
        refused(&["-p", "1884", "--metrics", "127.0.0.1:1884"]),
        "\"metrics\" in --metrics is 127.0.0.1:1884, where MQTT is served (tcp://127.0.0.1:1884 in -p); give one of \
         the two another port, for example --metrics 127.0.0.1:9234"
    );
    assert_eq!(
        refused(&["--set", "metrics=0.0.0.0:1883"]),
        "\"metrics\" in --set is 0.0.0.0:1883, where MQTT is served (tcp://127.0.0.1:1883, a default listener); give \
         one of the two another port, for example --metrics 127.0.0.1:9234"
    );
    let public = ["--set", "auth.allow_anonymous=true", "--listen", "tcp://0.0.0.0:9234"];
    let sentence = refused(&[&public[..], &["--metrics", "127.0.0.1:9234"]].concat());
    assert!(sentence.contains("where MQTT is served (tcp://0.0.0.0:9234 in --listen)"), "{sentence}");
    assert!(sentence.ends_with("for example --metrics 127.0.0.1:9235"), "{sentence}");
    load(&["--metrics", "127.0.0.1:1884"]);
    load(&["-p", "0", "--metrics", "127.0.0.1:0"]);
}

/// Whoever may read everything (root) cannot see this from the file system.
#[test]
fn a_file_that_may_not_be_read_is_answered_with_who_must_be_let_in() {
    let error = ConfigError::Unreadable {
        path: "/etc/aldis/aldis.toml".into(),
        kind: ErrorKind::PermissionDenied,
        what: "Permission denied (os error 13)".to_owned(),
    };
    assert_eq!(
        error.to_string(),
        "cannot read the configuration file /etc/aldis/aldis.toml: Permission denied (os error 13); let the user that \
         aldis runs as read it and enter its folder"
    );
}

#[test]
fn a_password_file_that_cannot_be_read_is_named_with_its_setting_and_how_to_make_it() {
    let folder = Folder::with("# users\n\n[auth]\npassword_file = \"nobody\"\n");
    let path = folder.0.path().join("nobody").display().to_string();
    let rest = format!(
        "cannot read the password file {path}: No such file or directory (os error 2); make it with: \
         mosquitto_passwd -c {path} USER"
    );
    let file = folder.file();
    assert_eq!(refused(&["-c", &file]), format!("\"auth.password_file\" in {file} line 4: {rest}"));
    let set = format!("auth.password_file={path}");
    assert_eq!(refused(&["--set", &set]), format!("\"auth.password_file\" in --set: {rest}"));
    let sentence = try_load(&[], &[("ALDIS_AUTH__PASSWORD_FILE", "nobody")]).unwrap_err().to_string();
    let here = std::env::current_dir().unwrap();
    let start = format!(
        "\"auth.password_file\" in the environment variable ALDIS_AUTH__PASSWORD_FILE: cannot read the password file \
         {}/nobody: ",
        here.display()
    );
    assert!(sentence.starts_with(&start), "{sentence}");
    let set = format!("auth.password_file={}", folder.0.path().display());
    assert!(refused(&["--set", &set]).ends_with("Is a directory (os error 21); name a file in it"));
}

/// Hashes of other programs are not plain text, and `mosquitto_passwd -U` would hash them once more.
#[test]
fn a_hash_of_another_kind_is_not_called_plain_text() {
    let folder = Folder::with("auth.password_file = \"users\"\n");
    let users = folder.0.path().join("users");
    let sentence = |hash: &str| {
        fs::write(&users, format!("alice:{hash}\n")).unwrap();
        refused(&["-c", &folder.file()])
    };
    let path = users.display();
    for (hash, kind) in [
        ("$5$saltsalt$hash", "$5$"),
        ("$2y$10$abcdefghijklmnopqrstuv", "$2y$"),
        ("$y$j9T$salt$hash", "$y$"),
        ("$apr1$salt$hash", "$apr1$"),
        ("PBKDF2$sha512$100000$salt$hash", "PBKDF2$"),
    ] {
        let sentence = sentence(hash);
        let expected = format!(
            "user \"alice\" has a hash of kind {kind}, which is not Mosquitto's; write the line anew with: \
             mosquitto_passwd {path} 'alice'"
        );
        assert!(sentence.ends_with(&expected), "{sentence}");
    }
    for plain in ["$ecret", "$my$secret", "$", "pa$$word"] {
        let sentence = sentence(plain);
        assert!(sentence.contains("has a password in plain text"), "{sentence}");
        assert!(!sentence.contains("my$") && !sentence.contains("ecret;"), "{sentence}");
    }
}

/// Root has a place on every machine.
#[test]
fn a_durability_without_a_place_is_refused_with_both_ways_out() {
    let sentence = "there is no folder to keep state in: \"data_dir\" is not set, and neither are $STATE_DIRECTORY, \
                    $XDG_DATA_HOME and $HOME; name one with --data-dir DIR, or keep state in memory with \
                    durability = \"memory\"";
    assert_eq!(ConfigError::NoFolder.to_string(), sentence);
    let arguments = Arguments { durability: Some("fsync".to_owned()), ..Arguments::default() };
    let nowhere = load_with(&arguments, []);
    match aldis::machine::is_root() {
        true => assert_eq!(nowhere.unwrap().keeping, Keeping::Folder("/var/lib/aldis".into(), Syncs::Always)),
        false => assert_eq!(nowhere.unwrap_err(), ConfigError::NoFolder),
    }
    load(&["--durability", "fsync", "--data-dir", "d"]);
    load(&["--durability", "memory"]);
}

#[test]
fn malformed_options_are_refused() {
    let expected = "is not of the form KEY=VALUE; write for example --set limits.queue_messages=1000";
    assert_eq!(refused(&["--set", "limits.in_flight"]), format!("--set \"limits.in_flight\" {expected}"));
    assert_eq!(refused(&["--set", "=1"]), format!("--set \"=1\" {expected}"));
    assert_eq!(
        refused(&["--metrics", "9234"]),
        "\"metrics\" in --metrics is \"9234\", but it takes an IP address with a port, or \"off\"; did you mean \"127.0.0.1:9234\"?"
    );
    assert_eq!(
        refused(&["--listen", "0.0.0.0:1883"]),
        "\"listen\" in --listen has \"0.0.0.0:1883\", which is not a URL; did you mean tcp://0.0.0.0:1883?"
    );
}
