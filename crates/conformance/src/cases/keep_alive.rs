//! 3.1.2.10: keep alive.

use super::cases;
use crate::offers::Feature;
use crate::outcome::{Fault, Outcome, ensure, failed};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Connect, Packet, Publish, Will, reason};
use std::time::{Duration, Instant};

cases! {
    V311 "MQTT-3.1.2-24" a_silent_client_is_closed_after_one_and_a_half_times_its_keep_alive;
    V5 "MQTT-3.1.2-22" a_silent_client_is_closed_after_one_and_a_half_times_its_keep_alive;
    V311 "MQTT-3.1.2-24" a_client_that_sends_anything_is_not_silent;
    V5 "MQTT-3.1.2-22" a_client_that_sends_anything_is_not_silent;
    V311 "MQTT-3.1.2-24" what_a_client_is_sent_does_not_keep_it_alive;
    V5 "MQTT-3.1.2-22" what_a_client_is_sent_does_not_keep_it_alive;
    V5 "MQTT-3.2.2-22" without_a_server_keep_alive_the_client_s_counts;
    V5 "MQTT-3.2.2-22" a_server_keep_alive_counts_instead;
}

/// Beyond the time that is due: a broker may look at its clients now and then, and a machine may be busy.
const LATE: Duration = Duration::from_secs(8);

/// Waits for the end of a connection on which nothing was sent since `start`; it comes after `due`, not before.
fn ends_after(peer: &mut Peer, start: Instant, due: Duration) -> Outcome {
    let said = peer.closed_within(due + LATE)?;
    let after = start.elapsed();
    ensure(after >= due, || format!("closed after {after:?}, and {due:?} are allowed"))?;
    ensure(said.as_ref().is_none_or(|one| one.code == reason::KEEP_ALIVE_TIMEOUT), || {
        format!("{said:?} came where 0x8D fits")
    })
}

/// As if the network had failed: the will is published.
fn a_silent_client_is_closed_after_one_and_a_half_times_its_keep_alive(stage: &Stage<'_>) -> Outcome {
    let mut witness = stage.client("w")?;
    witness.subscribe(stage.topic("will"), 1)?;
    let will = Will { qos: 1, ..Will::new(stage.topic("will"), "silent") };
    let connect = Connect { keep_alive: 2, will: Some(will), ..stage.connect("c") };
    let start = Instant::now();
    let mut peer = stage.open(connect)?;
    ends_after(&mut peer, start, Duration::from_secs(3))?;
    let got = witness.receive()?.payload;
    ensure(got == b"silent", || format!("{got:?} came where the will was due"))
}

/// PINGREQ, messages at QoS 0, and nothing at all where keep alive is off.
fn a_client_that_sends_anything_is_not_silent(stage: &Stage<'_>) -> Outcome {
    let mut off = stage.open(Connect { keep_alive: 0, ..stage.connect("o") })?;
    let mut pings = stage.open(Connect { keep_alive: 2, ..stage.connect("p") })?;
    let mut talks = stage.open(Connect { keep_alive: 2, ..stage.connect("t") })?;
    let start = Instant::now();
    for second in 1..=6 {
        stage.until(start, Duration::from_secs(second));
        pings.ping()?;
        talks.send(Publish::new(stage.topic("t"), "x"))?;
    }
    talks.ping()?;
    off.ping()
}

/// Messages come all the time to a client that says nothing.
fn what_a_client_is_sent_does_not_keep_it_alive(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let due = Duration::from_secs(3);
    let mut publisher = stage.client("p")?;
    let mut silent = stage.open(Connect { keep_alive: 2, ..stage.connect("c") })?;
    let start = Instant::now();
    silent.subscribe(&topic, 0)?;
    for number in 1.. {
        stage.until(start, Duration::from_millis(300) * number);
        publisher.publish(Publish::new(&topic, "x"))?;
        match silent.closed_or_packet()? {
            Some(Packet::Publish(_)) if start.elapsed() < due + LATE => {}
            Some(Packet::Disconnect(disconnect)) => {
                let code = disconnect.code;
                ensure(code == reason::KEEP_ALIVE_TIMEOUT, || format!("0x{code:02X} came where 0x8D fits"))?;
                silent.closed_without_a_word()?;
                break;
            }
            Some(other) => return failed(format!("{other:?} came, and the client was silent all the while")),
            None => break,
        }
    }
    let after = start.elapsed();
    ensure(after >= due, || format!("closed after {after:?}, and {due:?} are allowed"))
}

fn without_a_server_keep_alive_the_client_s_counts(stage: &Stage<'_>) -> Outcome {
    let start = Instant::now();
    let (mut peer, connack) = stage.accepted(Connect { keep_alive: 1, ..stage.connect("c") })?;
    let due = match connack.properties.number(property::SERVER_KEEP_ALIVE) {
        Some(seconds) => {
            return Err(Fault::NotShown(format!("the broker gives a Server Keep Alive of {seconds} s")));
        }
        None => Duration::from_millis(1_500),
    };
    ends_after(&mut peer, start, due)
}

fn a_server_keep_alive_counts_instead(stage: &Stage<'_>) -> Outcome {
    let door = stage.door(Feature::ServerKeepAlive)?;
    let mut peer = stage.socket_to(door)?;
    let start = Instant::now();
    peer.send(Connect { keep_alive: 3_600, ..stage.connect("c") })?;
    let connack = peer.connack()?;
    let Some(seconds) = connack.properties.number(property::SERVER_KEEP_ALIVE) else {
        return Err(Fault::NotOffered(Feature::ServerKeepAlive));
    };
    if seconds > 10 {
        return Err(Fault::NotShown(format!("the Server Keep Alive of {seconds} s is too long to wait for")));
    }
    ends_after(&mut peer, start, Duration::from_millis(u64::from(seconds) * 1_500))
}
