//! The layers of the configuration, and what depends on several settings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod loading;

use std::fs;
use std::path::Path;
use std::time::Duration;

use aldis::configuration::{Config, ConfigError, Keeping};
use aldis_server::Syncs;

use crate::loading::{Folder, load, refused, try_load};

fn addresses(config: &Config) -> Vec<String> {
    config.settings.listeners.iter().map(|listener| listener.address.to_string()).collect()
}

#[test]
fn without_configuration_it_is_for_this_machine_only() {
    let config = load(&[]);
    assert_eq!(addresses(&config), ["127.0.0.1:1883", "[::1]:1883"]);
    assert_eq!(config.settings.listeners.iter().map(|l| l.optional).collect::<Vec<_>>(), [false, true]);
    assert!(config.settings.authentication.allow_anonymous);
    assert!(config.settings.authentication.passwords.is_none());
    assert_eq!(config.settings.metrics, None);
    assert_eq!(config.settings.sys_interval, Duration::from_secs(10));
    assert_eq!(config.settings.shutdown_deadline, Duration::from_secs(10));
    assert_eq!((config.verbosity, config.data_dir), (0, None));
    let mut limits = config.settings.limits;
    assert!(limits.memory_watermark >= 64 << 20);
    let defaults = aldis_session::Limits::default();
    assert!((1..=defaults.connections).contains(&limits.connections));
    limits.memory_watermark = defaults.memory_watermark;
    limits.connections = defaults.connections;
    assert_eq!(limits, defaults);
}

#[test]
fn each_layer_wins_over_the_one_before() {
    let folder = Folder::with("[limits]\nqueue_messages = 1\n[log]\nverbosity = 2\n");
    let queue = |options: &[&str], environment: &[(&str, &str)]| {
        let file = folder.file();
        let options = [&["-c", file.as_str()], options].concat();
        try_load(&options, environment).unwrap().settings.limits.queue_messages
    };
    let variable = [("ALDIS_LIMITS__QUEUE_MESSAGES", "2")];
    assert_eq!(load(&[]).settings.limits.queue_messages, 100_000);
    assert_eq!(queue(&[], &[]), 1);
    assert_eq!(queue(&[], &variable), 2);
    assert_eq!(queue(&["--set", "limits.queue_messages=3"], &variable), 3);
    assert_eq!(
        queue(&["--set", "limits.queue_messages=3", "--set", "limits.queue_messages=4"], &variable),
        4
    );

    let file = folder.file();
    let options = ["-c", &file, "--set", "log.verbosity=0", "-v"];
    assert_eq!(load(&options).verbosity, 1);
    assert_eq!(load(&options[..4]).verbosity, 0);
    assert_eq!(load(&options[..2]).verbosity, 2);
    assert_eq!(load(&["-vvvv"]).verbosity, 2);
    let options = ["--set", "metrics=127.0.0.1:1", "--metrics", "127.0.0.1:2"];
    assert_eq!(load(&options).settings.metrics.unwrap().port(), 2);
    let options = ["--set", "data_dir=/a", "--data-dir", "/b"];
    assert_eq!(load(&options).data_dir.as_deref(), Some(Path::new("/b")));
    let options = [
        "--set",
        "listen=tcp://127.0.0.1:1",
        "--listen",
        "tcp://127.0.0.1:2",
        "--listen",
        "tcp://127.0.0.1:3",
    ];
    assert_eq!(addresses(&load(&options)), ["127.0.0.1:2", "127.0.0.1:3"]);
}

#[test]
fn a_whole_file_is_read() {
    let folder = Folder::with(
        "listen = [\"tcp://0.0.0.0:1884\", \"tcp://localhost\"]\ndata_dir = \"data\"\nmetrics = \"127.0.0.1:9234\"\n\
         sys_interval = \"1 min\"\nshutdown_deadline = 5\n\
         [auth]\nallow_anonymous = false\npassword_file = \"users\"\n\
         [limits]\npacket_size = \"256KiB\"\nqueue_bytes = 1_000_000\nfirst_packet_timeout = \"2500 ms\"\nqueue_qos0 = true\n\
         session_expiry_max = \"30d\"\nsession_expiry_default = \"never\"\nkeep_alive_max = \"unlimited\"\n\
         retained_messages = \"unlimited\"\nretained_bytes = \"1 GiB\"\nmemory_watermark = \"100 MiB\"\nin_flight = 20\n",
    );
    let config = load(&["-c", &folder.file()]);
    assert_eq!(addresses(&config), ["0.0.0.0:1884", "127.0.0.1:1883", "[::1]:1883"]);
    assert_eq!(config.data_dir, Some(folder.0.path().join("data")), "relative to the file's folder");
    assert_eq!(config.settings.sys_interval, Duration::from_secs(60));
    assert_eq!(config.settings.shutdown_deadline, Duration::from_secs(5));
    assert!(!config.settings.authentication.allow_anonymous);
    assert!(config.settings.authentication.passwords.unwrap().verify("alice", b"correct horse"));
    let limits = config.settings.limits;
    assert_eq!((limits.packet_size, limits.queue_bytes), (256 << 10, 1_000_000));
    assert_eq!(limits.first_packet_timeout, Duration::from_millis(2500));
    assert!(limits.queue_qos0);
    assert_eq!((limits.session_expiry_max, limits.session_expiry_default), (30 * 86_400, u32::MAX));
    assert_eq!((limits.keep_alive_max, limits.in_flight), (0, 20));
    assert_eq!((limits.retained_messages, limits.retained_bytes), (usize::MAX, 1 << 30));
    assert_eq!(limits.memory_watermark, 100 << 20);
}

#[test]
fn words_on_the_command_line_and_in_the_environment_need_no_quotes() {
    let config = load(&[
        "--set",
        "limits.packet_size=64 KiB",
        "--set",
        " sys_interval = 0 ",
        "--set",
        "data_dir=2024",
    ]);
    assert_eq!(config.settings.limits.packet_size, 64 << 10);
    assert_eq!(config.settings.sys_interval, Duration::ZERO);
    assert_eq!(config.data_dir.as_deref(), Some(Path::new("2024")));
    let config = load(&["--set", "limits.packet_size=\"64 KiB\"", "--set", "listen=[\"tcp://127.0.0.1:7\"]"]);
    assert_eq!(config.settings.limits.packet_size, 64 << 10);
    assert_eq!(addresses(&config), ["127.0.0.1:7"]);
    let environment = [
        ("ALDIS_LISTEN", "tcp://127.0.0.1:1,tcp://127.0.0.1:2"),
        ("ALDIS_AUTH__ALLOW_ANONYMOUS", "false"),
        ("ALDIS_SYS_INTERVAL", "off"),
        ("ALDIS_DATA_DIR", ""),
    ];
    let config = try_load(&[], &environment).unwrap();
    assert_eq!(addresses(&config), ["127.0.0.1:1", "127.0.0.1:2"]);
    assert!(!config.settings.authentication.allow_anonymous);
    assert_eq!((config.settings.sys_interval, config.data_dir), (Duration::ZERO, None));
}

#[test]
fn where_state_is_kept_and_how_safely() {
    let surroundings = [("STATE_DIRECTORY", "/state")];
    let keeping = |options: &[&str]| try_load(options, &surroundings).unwrap().keeping;
    let kept = |folder: &str, syncs| Keeping::Folder(folder.into(), syncs);
    assert_eq!(keeping(&["--durability", "fsync"]), kept("/state", Syncs::Always));
    let second = Syncs::Every(Duration::from_secs(1));
    assert_eq!(keeping(&["--set", "durability=interval"]), kept("/state", second));
    let shortest = ["--set", "durability=interval", "--set", "durability_interval=10 ms"];
    assert_eq!(keeping(&shortest), kept("/state", Syncs::Every(Duration::from_millis(10))));
    let both = ["--durability", "fsync", "--set", "durability_interval=10 ms"];
    assert_eq!(keeping(&both), kept("/state", Syncs::Always), "an interval alone changes nothing");

    assert_eq!(keeping(&["--data-dir", "/b"]), kept("/b", Syncs::Always));
    let named = ["--set", "durability=memory", "--durability", "fsync", "--data-dir", "/b"];
    assert_eq!(keeping(&named), kept("/b", Syncs::Always));
    assert_eq!(keeping(&["--data-dir", "/b", "--durability", "memory"]), Keeping::Memory);

    let here = std::env::current_dir().unwrap().join("data");
    assert_eq!(keeping(&["--data-dir", "data"]), Keeping::Folder(here, Syncs::Always));
}

#[test]
fn the_port_option_is_for_the_default_listeners() {
    assert_eq!(addresses(&load(&["-p", "1884"])), ["127.0.0.1:1884", "[::1]:1884"]);
    assert_eq!(
        refused(&["-p", "1884", "--listen", "tcp://127.0.0.1:1"]),
        "-p changes the port of the default listeners, but \"listen\" is given in --listen; change the port there, or \
         use --listen instead of -p"
    );
}

#[test]
fn a_listener_for_others_wants_to_know_who_may_connect() {
    let folder = Folder::with("");
    let users = format!("auth.password_file={}", folder.0.path().join("users").display());
    let public = ["--listen", "tcp://127.0.0.1:1883", "--listen", "tcp://0.0.0.0:1884"];
    assert_eq!(
        refused(&public),
        "other machines can reach the listener tcp://0.0.0.0:1884, and nothing says who may connect; set \
         auth.password_file to a file made with mosquitto_passwd, or auth.allow_anonymous = true to let everybody in"
    );
    let authentication = |options: &[&str]| {
        let settings = load(&[&public, options].concat()).settings;
        (settings.authentication.allow_anonymous, settings.authentication.passwords.is_some())
    };
    assert_eq!(authentication(&["--set", &users]), (false, true));
    assert_eq!(authentication(&["--set", "auth.allow_anonymous=true"]), (true, false));
    assert_eq!(authentication(&["--set", &users, "--set", "auth.allow_anonymous=true"]), (true, true));
    assert_eq!(authentication(&["--set", "auth.allow_anonymous=false"]), (false, false));
    let local = load(&["--set", &users]).settings.authentication;
    assert!(local.allow_anonymous && local.passwords.is_some());
    for loopback in ["tcp://127.5.0.1:1", "tcp://[::1]:1", "tcp://[::ffff:127.0.0.1]:1"] {
        assert!(load(&["--listen", loopback]).settings.authentication.allow_anonymous, "{loopback}");
    }
}

#[test]
fn a_bad_password_file_is_refused_at_once() {
    let folder = Folder::with("auth.password_file = \"users\"\n");
    let users = folder.0.path().join("users");
    fs::write(&users, "alice:secret\n").unwrap();
    assert_eq!(
        refused(&["-c", &folder.file()]),
        format!(
            "\"auth.password_file\" in {1} line 1: password file {0} line 1: user \"alice\" has a password in plain text; convert the file with: \
             mosquitto_passwd -U {0}",
            users.display(),
            folder.file()
        )
    );
}

#[test]
fn a_reload_applies_what_it_can_and_names_what_needs_a_restart() {
    let folder = Folder::with("");
    let file = folder.file();
    let running = load(&["-c", &file]);
    folder.write("metrics = \"127.0.0.1:9\"\ndata_dir = \"d\"\nlimits.in_flight = 5\nlog.verbosity = 1\n");
    let reload = load(&["-c", &file]).replacing(&running).unwrap();
    assert_eq!(reload.needs_restart, ["metrics", "data_dir"]);
    assert_eq!((reload.config.settings.limits.in_flight, reload.config.verbosity), (5, 1));
    assert_eq!((reload.config.settings.metrics, reload.config.data_dir), (None, None));
}

/// The running broker goes on with what it has open.
#[test]
fn a_reload_that_changes_the_durability_needs_a_restart() {
    let folder = Folder::with("");
    let file = folder.file();
    let contents = |durability: &str| format!("data_dir = \"d\"\n{durability}\n");
    for (old, fresh, needed) in [
        ("durability = \"fsync\"", "durability = \"fsync\"\ndurability_interval = 5", &[][..]),
        ("durability = \"fsync\"", "durability = \"memory\"", &["durability"]),
        ("durability = \"memory\"", "durability = \"interval\"", &["durability"]),
        (
            "durability = \"interval\"",
            "durability = \"interval\"\ndurability_interval = 5",
            &["durability_interval"],
        ),
    ] {
        folder.write(&contents(old));
        let running = load(&["-c", &file]);
        folder.write(&contents(fresh));
        let reload = load(&["-c", &file]).replacing(&running).unwrap();
        assert_eq!(reload.needs_restart, needed, "{fresh}");
        assert!(reload.changed.is_empty(), "{:?}", reload.changed);
        assert_eq!(reload.config.keeping, running.keeping);
    }
}

#[test]
fn a_reload_names_what_changed_and_whom_it_holds_for() {
    let folder = Folder::with("");
    let file = folder.file();
    let mut running = load(&["-c", &file]);
    for (contents, changed) in [
        ("", &[][..]),
        (
            "limits.packet_size = 2048\nlog.verbosity = 1\n",
            &["log.verbosity", "limits.packet_size (new connections)"],
        ),
        (
            "limits.packet_size = \"2 KiB\"\nlog.verbosity = 0\nlimits.queue_messages = 5\nmetrics = \"127.0.0.1:9\"\n",
            &["log.verbosity", "limits.queue_messages (new sessions)"],
        ),
        (
            "auth.password_file = \"users\"\nauth.allow_anonymous = false\nlimits.connections = 9\n",
            &[
                "auth.allow_anonymous (new connections)",
                "auth.password_file (1 user; new connections)",
                "limits.connections",
                "limits.packet_size (new connections)",
                "limits.queue_messages (new sessions)",
            ],
        ),
    ] {
        folder.write(contents);
        let reload = load(&["-c", &file]).replacing(&running).unwrap();
        assert_eq!(reload.changed, changed, "{contents}");
        running = reload.config;
    }
    // The same setting, another file behind it.
    let users = folder.0.path().join("users");
    fs::write(&users, fs::read_to_string(&users).unwrap().replace("alice", "bob")).unwrap();
    let reload = load(&["-c", &file]).replacing(&running).unwrap();
    assert_eq!(reload.changed, ["auth.password_file (1 user; new connections)"]);
    let reload = load(&["-c", &file]).replacing(&reload.config).unwrap();
    assert!(reload.changed.is_empty() && reload.needs_restart.is_empty());
}

#[test]
fn a_reload_decides_who_may_connect_by_the_listeners_that_are_open() {
    let folder = Folder::with("listen = [\"tcp://0.0.0.0:1\"]\nauth.password_file = \"users\"\n");
    let file = folder.file();
    let running = load(&["-c", &file]);
    assert!(!running.settings.authentication.allow_anonymous);

    // On its own this file allows anonymous clients; the public listener is still open.
    folder.write("auth.password_file = \"users\"\n");
    let fresh = load(&["-c", &file]);
    assert!(fresh.settings.authentication.allow_anonymous);
    let reload = fresh.replacing(&running).unwrap();
    assert_eq!(reload.needs_restart, ["listen"]);
    assert_eq!(addresses(&reload.config), ["0.0.0.0:1"]);
    assert!(!reload.config.settings.authentication.allow_anonymous);

    // And without the password file it would open the broker.
    folder.write("");
    let error = load(&["-c", &file]).replacing(&running).unwrap_err();
    assert_eq!(error, ConfigError::Exposed("tcp://0.0.0.0:1".to_owned()));
}
