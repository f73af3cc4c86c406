//! What the broker says when it starts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::net::SocketAddr;
use std::time::Duration;

use aldis::announcement::{open_files, stopped, try_next, who_may_connect};
use aldis::arguments::Arguments;
use aldis::configuration::{Config, load_with};
use clap::Parser;

const FIXTURE: &str = "auth.password_file=../server/tests/fixtures/mosquitto_passwd.txt";

fn config(settings: &[&str]) -> Config {
    let mut arguments = Arguments::parse_from(["aldis"]);
    arguments.set = settings.iter().map(|setting| (*setting).to_owned()).collect();
    load_with(&arguments, [("HOME".into(), "/home/ann".into())]).unwrap()
}

#[test]
fn who_may_connect_is_said_for_every_combination() {
    let public = "listen=tcp://0.0.0.0:1883";
    let (open, closed) = ("auth.allow_anonymous=true", "auth.allow_anonymous=false");
    for (settings, warns, says) in [
        (
            &[][..],
            false,
            "anonymous clients are allowed, because only this machine can connect; to open up, listen",
        ),
        (
            &[FIXTURE],
            false,
            "6 users from ../server/tests/fixtures/mosquitto_passwd.txt may connect, and anonymous",
        ),
        (
            &[open],
            false,
            "anonymous clients are allowed, because auth.allow_anonymous is true; only this machine can connect",
        ),
        (
            &[open, FIXTURE],
            false,
            "may connect, and anonymous clients too, because auth.allow_anonymous is true",
        ),
        (&[public, open], true, "every machine that can reach the listeners may connect"),
        (
            &[public, open, FIXTURE],
            true,
            "may connect, and anonymous clients too: auth.allow_anonymous is true",
        ),
        (&[public, FIXTURE], false, "mosquitto_passwd.txt may connect, and nobody else"),
        (&[closed], true, "nobody may connect: auth.allow_anonymous is false"),
    ] {
        let (warning, line) = who_may_connect(&config(settings));
        assert_eq!(warning, warns, "{line}");
        assert!(line.contains(says), "{line}");
    }
}

#[test]
fn the_commands_to_try_fit_the_listeners() {
    let commands = |addresses: &[&str], settings: &[&str]| {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        try_next(&addresses, &config(settings))
    };
    assert_eq!(
        commands(&["127.0.0.1:1883", "[::1]:1883"], &[]),
        "try next, in two terminals:\n  mosquitto_sub -t 'hello/#' -v\n  mosquitto_pub -t hello/world -m hi\n"
    );
    assert!(commands(&["127.0.0.1:1884"], &[]).contains("mosquitto_pub -p 1884 -t hello/world -m hi"));
    assert!(
        commands(&["192.0.2.1:1883", "0.0.0.0:1884"], &[]).contains("mosquitto_sub -p 1884 -t 'hello/#' -v")
    );
    assert!(commands(&["192.0.2.1:1883"], &[]).contains("mosquitto_sub -h 192.0.2.1 -t 'hello/#' -v"));
    let closed = ["auth.allow_anonymous=false", FIXTURE];
    assert!(commands(&["127.0.0.1:1883"], &closed).contains("mosquitto_sub -u USER -P PASSWORD -t"));
    assert_eq!(commands(&[], &[]), "");
}

#[test]
fn what_the_limit_of_open_files_means_is_said_with_the_way_out() {
    let line = |limit: Option<u64>, settings: &[&str], connections: usize| {
        let mut config = config(settings);
        config.settings.limits.connections = connections;
        open_files(limit, &config)
    };
    let set = ["limits.connections=100_000"];
    assert_eq!(line(None, &set, 100_000), None);
    assert_eq!(line(Some(100_064), &set, 100_000), None);
    let (warning, text) = line(Some(4096), &set, 100_000).unwrap();
    assert!(warning && text.contains("may open 4096 files, which is room for 4032 connections"), "{text}");
    assert!(text.contains("LimitNOFILE="), "{text}");

    assert_eq!(line(None, &[], 100_000), None);
    assert_eq!(line(Some(200_000), &[], 100_000), None);
    let fewer = "at most 136 connections, because this process may open 200 files (ulimit -Hn, LimitNOFILE=)";
    assert_eq!(line(Some(200), &[], 136), Some((false, fewer.to_owned())));

    for (settings, connections) in [(&set[..], 100_000), (&[], 1)] {
        let (warning, text) = line(Some(24), settings, connections).unwrap();
        assert!(warning, "{text}");
        let start = "this process may open 24 files, too few to serve clients; raise the hard limit";
        assert!(text.starts_with(start), "{text}");
    }
}

#[test]
fn who_was_cut_off_at_the_end_is_counted() {
    let stopped = |cut_off| stopped(cut_off, Duration::from_millis(1_500));
    assert_eq!(stopped(0), (false, "stopped".to_owned()));
    let line = "stopped; 1 client was cut off because it did not read in time (shutdown_deadline = 1_500 ms)";
    assert_eq!(stopped(1), (true, line.to_owned()));
    assert!(stopped(20).1.starts_with("stopped; 20 clients were cut off"));
}
