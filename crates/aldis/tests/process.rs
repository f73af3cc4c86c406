//! The running process: what it says when it starts, what signals do, and what systemd hears.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod running;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as unix, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::running::{ANY_PORT, Broker};

#[test]
fn it_says_where_it_listens_and_what_to_try_and_stops_on_sigterm() {
    let memory = [&ANY_PORT[..], &["--durability", "memory"]].concat();
    let mut broker = Broker::start(&memory, &[]);
    let listening = broker.wait_for("listening on tcp://127.0.0.1:");
    let address: SocketAddr = listening.split_once("tcp://").unwrap().1.parse().unwrap();
    broker.wait_for("anonymous clients are allowed, because only this machine can connect");
    let warning = broker.wait_for("state is in memory only: sessions, queues and retained messages are lost");
    assert!(warning.contains("WARN"), "{warning}");
    TcpStream::connect(address).unwrap();

    broker.signal(Signal::TERM);
    broker.wait_for("stopping on SIGTERM");
    let (code, log, out) = broker.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("INFO stopped"), "{log}");
    assert!(out.starts_with("try next"), "{out}");
    assert!(out.contains(&format!("mosquitto_pub -p {} -t hello/world -m hi\n", address.port())), "{out}");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn sigint_stops_it_as_well() {
    let mut broker = Broker::start(&ANY_PORT, &[]);
    broker.wait_for("state is ");
    broker.signal(Signal::INT);
    broker.wait_for("stopping on SIGINT");
    assert_eq!(broker.end().0, Some(0));
}

/// Their default action would end it: other brokers write something out on USR1 and USR2, and scripts
/// that were written for those send them.
#[test]
fn signals_of_other_brokers_do_not_end_it() {
    let mut broker = Broker::start(&ANY_PORT, &[]);
    broker.wait_for("state is ");
    broker.signal(Signal::USR1);
    let line = broker.wait_for("SIGUSR1: nothing is buffered that could be written out");
    assert!(line.contains("INFO"), "{line}");
    for (signal, name) in [(Signal::USR2, "SIGUSR2"), (Signal::ALARM, "SIGALRM")] {
        broker.signal(signal);
        broker.wait_for(&format!("{name} is ignored"));
    }
    broker.signal(Signal::TERM);
    broker.wait_for("stopping on SIGTERM");
    assert_eq!(broker.end().0, Some(0));
}

#[test]
fn a_busy_port_is_one_sentence_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (code, log, out) = Broker::start(&["--listen", &format!("tcp://{address}")], &[]).end();
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let sentence = log.lines().last().unwrap();
    assert!(sentence.starts_with(&format!("aldis: cannot listen on {address}: ")), "{log}");
}

#[test]
fn sighup_applies_a_good_file_and_ignores_a_bad_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aldis.toml");
    let listen = "listen = [\"tcp://127.0.0.1:0\"]\n";
    fs::write(&file, listen).unwrap();
    let mut broker = Broker::start(&["-c", file.to_str().unwrap()], &[]);
    broker.wait_for("state is ");

    fs::write(&file, "listn = 1\n").unwrap();
    broker.signal(Signal::HUP);
    let refused = broker.wait_for("configuration not changed: unknown setting \"listn\"");
    assert!(refused.contains("ERROR") && refused.ends_with("did you mean \"listen\"?"), "{refused}");

    fs::write(&file, format!("{listen}metrics = \"127.0.0.1:0\"\nlimits.connections = 5\n")).unwrap();
    broker.signal(Signal::HUP);
    broker.wait_for("configuration read again; changed: limits.connections");
    broker.wait_for("\"metrics\" changed, which needs a restart; until then the old value holds");

    broker.signal(Signal::HUP);
    let line = broker.wait_for("configuration read again");
    assert!(line.ends_with("configuration read again"), "what still waits for a restart: {line}");

    broker.signal(Signal::TERM);
    assert_eq!(broker.end().0, Some(0));
}

/// What the service manager hears next, less the watchdog's pings.
fn heard(socket: &UnixDatagram) -> String {
    loop {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("a message comes in time");
        let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
        if message.trim_end() != "WATCHDOG=1" {
            return message;
        }
    }
}

#[test]
fn the_service_manager_hears_of_start_reload_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = service_manager(&path);
    hears_of_start_reload_and_stop(&socket, path.to_str().unwrap());
}

/// As under systemd in containers, and wherever the manager has no folder to put a socket into.
#[test]
fn a_service_manager_with_an_abstract_address_hears_the_same() {
    let name = format!("aldis-test-{}", std::process::id());
    let address = unix::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    hears_of_start_reload_and_stop(&socket, &format!("@{name}"));
}

#[test]
fn a_service_manager_that_cannot_be_told_is_named_and_no_reason_not_to_run() {
    for address in ["/nonexistent/notify", "vsock:2:1234", "notify", ""] {
        let mut broker = Broker::start(&ANY_PORT, &[("NOTIFY_SOCKET", address)]);
        if address.is_empty() {
            broker.wait_for("state is ");
        } else {
            let warning = broker.wait_for("the service manager cannot be told READY=1");
            assert!(warning.contains("WARN") && warning.contains(address), "{warning}");
        }
        broker.signal(Signal::TERM);
        assert_eq!(broker.end().0, Some(0));
    }
}

fn hears_of_start_reload_and_stop(socket: &UnixDatagram, notify_socket: &str) {
    let environment = [("NOTIFY_SOCKET", notify_socket)];
    let mut broker = Broker::start(&ANY_PORT, &environment);
    assert_eq!(heard(socket).trim_end(), "READY=1");
    broker.wait_for("state is ");

    broker.signal(Signal::HUP);
    let reloading = heard(socket);
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(heard(socket).trim_end(), "READY=1");

    broker.signal(Signal::TERM);
    assert_eq!(heard(socket).trim_end(), "STOPPING=1");
    let (code, _, out) = broker.end();
    assert_eq!((code, out.as_str()), (Some(0), ""), "nobody is there to try things");
}

#[test]
fn the_watchdog_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = service_manager(&path);
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "20000")];
    let _broker = Broker::start(&ANY_PORT, &environment);
    assert_eq!(heard(&socket).trim_end(), "READY=1");
    for _ in 0..3 {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).expect("a ping comes in time");
        assert_eq!(String::from_utf8_lossy(&buffer[..length]).trim_end(), "WATCHDOG=1");
    }
}

fn service_manager(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket
}
