//! Plays cases side by side, each on a connection of its own, beside a witness that listens.

use super::GridCase;
use super::expect::{Answer, Expect};
use super::form::Form;
use super::judge::{Judge, named_in};
use super::part::OWN_ID;
use super::state::State;
use super::witness::Witness;
use crate::outcome::{Fault, Outcome, ensure, failed};
use crate::peer::Peer;
use crate::stage::Doors;
use crate::wire::property::SESSION_EXPIRY;
use crate::wire::{Ack, Connect, Disconnect, Packet, Property, Publish, Version, Will, first};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many cases run at a time.
const SIDE_BY_SIDE: usize = 16;

/// How one case went.
#[derive(Debug, Clone)]
pub struct Played<'a> {
    /// Which.
    pub case: &'a GridCase,
    /// How: a case of the grid passes or fails.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// Plays all of them; the results come in the order of the cases.
///
/// The names of clients and topics begin with `run`, seven letters and digits that no other run has.
pub fn play<'a>(
    cases: &'a [GridCase],
    doors: &Doors,
    run: &str,
    each: impl Fn(&Played<'_>) + Sync,
) -> Vec<Played<'a>> {
    let next = AtomicUsize::new(0);
    let played = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE.min(cases.len()) {
            scope.spawn(|| {
                let mut witnesses = BTreeMap::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { return };
                    let start = Instant::now();
                    let name = format!("{run:0<7.7}{index:05}");
                    let outcome = play_one(case, doors, &name, &mut witnesses);
                    let one = Played { case, outcome, took: start.elapsed() };
                    each(&one);
                    if let Ok(mut played) = played.lock() {
                        played.push((index, one));
                    }
                }
            });
        }
    });
    let mut played = played.into_inner().unwrap_or_default();
    played.sort_by_key(|(index, _)| *index);
    played.into_iter().map(|(_, one)| one).collect()
}

/// One case, with the witness of its version; one that was part of a failure is not asked again.
fn play_one(
    case: &GridCase,
    doors: &Doors,
    name: &str,
    witnesses: &mut BTreeMap<Version, Witness>,
) -> Outcome {
    let mut witness = match witnesses.remove(&case.version) {
        Some(witness) => witness,
        None => Witness::new(case.version, doors, &format!("{name}w"))?,
    };
    witness.listen(name)?;
    let outcome = exchange(case, doors, name, &mut witness);
    // Of an open case anything may be on its way to it, even what it cannot read.
    if outcome.is_ok() && (!case.is_open() || witness.seen().is_ok()) {
        witnesses.insert(case.version, witness);
    }
    outcome
}

fn exchange(case: &GridCase, doors: &Doors, name: &str, witness: &mut Witness) -> Outcome {
    let (mut peer, given_id) =
        prepare(case, doors, name).map_err(|fault| before_the_packet(fault, "before the packet"))?;
    let packet = case.packet(name, given_id);
    let (topic, packet_id) = named_in(case.form, &packet);
    let (before, behind) = pings(case);
    write(case, &mut peer, &packet, name, witness)?;
    Judge { case, peer: &mut peer, before, behind, packet_id }.judge()?;
    if case.is_allowed() && packet.first().is_some_and(|byte| byte & 0xF6 == first::PUBLISH | 4) {
        // A broker may pass a QoS 2 message on when it comes, or when it is released.
        peer.send(Ack::new(first::PUBREL, packet_id))?;
        peer.ack(first::PUBCOMP, packet_id)?;
    }
    effect(case, name, &topic, witness)?;
    if matches!(case.expect, Expect::Served(_) | Expect::Open) {
        let expiry = Property::four(SESSION_EXPIRY, 0);
        let properties = if case.version.is_5() { vec![expiry] } else { Vec::new() };
        peer.send(Disconnect { code: 0, properties })?;
    }
    Ok(())
}

/// Sends the packet as its state has it, with the PINGREQs around it.
fn write(case: &GridCase, peer: &mut Peer, packet: &[u8], name: &str, witness: &mut Witness) -> Outcome {
    let (before, behind) = pings(case);
    let (before, behind) = (pingreqs(before), pingreqs(behind));
    match case.state {
        State::Halves => {
            let (one, other) = packet.split_at(packet.len() / 2);
            peer.send_bytes(one)?;
            // Time in which a broker reads the first half alone; nothing rests on that it does.
            witness.ping()?;
            peer.send_bytes(&[other, &behind].concat())
        }
        State::Between if case.form == Form::Connect => {
            let message = Publish::new(format!("{name}/behind"), "behind").to_bytes(case.version);
            peer.send_bytes(&[packet, &message, &behind].concat())
        }
        _ => peer.send_bytes(&[&before, packet, &behind].concat()),
    }
}

fn before_the_packet(fault: Fault, when: &str) -> Fault {
    match fault {
        Fault::Failed(why) => Fault::Failed(format!("{when}: {why}")),
        other => other,
    }
}

/// How many PINGREQs go before the packet and behind it, in the same write. Where the connection has to be
/// closed there is none behind it, unless that is the state: the close shows by itself.
fn pings(case: &GridCase) -> (usize, usize) {
    let between = case.state == State::Between;
    let before = usize::from(between && case.form != Form::Connect);
    let ends = case.form == Form::Disconnect && matches!(case.expect, Expect::Served(_) | Expect::Open);
    let closes = matches!(case.expect, Expect::Closed(_) | Expect::Rejected(_));
    (before * usize::from(!ends), usize::from(!ends && (between || !closes)))
}

fn pingreqs(count: usize) -> Vec<u8> {
    Packet::Pingreq.to_bytes(Version::V5).repeat(count)
}

/// A connection in the state of the case, which works: it has answered a PINGREQ. And the identifier that the
/// broker chose for what the packet acknowledges.
fn prepare(case: &GridCase, doors: &Doors, name: &str) -> Outcome<(Peer, u16)> {
    let mut peer = Peer::open(doors.plain, case.version, doors.patience)?;
    if case.state.is_first(case.form) {
        return Ok((peer, 0));
    }
    let mut connect = Connect::new(case.version, format!("{name}a"));
    if case.form == Form::Disconnect {
        connect.will = Some(Will::new(format!("{name}/will"), "will"));
    }
    peer.send(connect)?;
    let connack = peer.connack()?;
    ensure(connack.code == 0, || format!("a good CONNECT was refused with 0x{:02X}", connack.code))?;
    let given_id = acknowledgeable(case.form, &mut peer, name)?;
    match case.state {
        State::InExchange => begin_exchange(&mut peer, name, OWN_ID + 1)?,
        State::Subscribed => peer.subscribe(format!("{name}s/other"), 1)?,
        _ => {}
    }
    peer.quiet()?;
    Ok((peer, given_id))
}

fn begin_exchange(peer: &mut Peer, name: &str, packet_id: u16) -> Outcome {
    peer.send(Publish::new(format!("{name}s/exchange"), "").qos(2).id(packet_id))?;
    peer.ack(first::PUBREC, packet_id).map(drop)
}

/// Something that the packet can acknowledge.
fn acknowledgeable(form: Form, peer: &mut Peer, name: &str) -> Outcome<u16> {
    if form == Form::Pubrel {
        begin_exchange(peer, name, OWN_ID)?;
    }
    if !form.answers_the_broker() {
        return Ok(0);
    }
    let qos = if form == Form::Puback { 1 } else { 2 };
    let topic = format!("{name}s/own");
    peer.subscribe(&topic, qos)?;
    peer.publish(Publish::new(&topic, "own").qos(qos))?;
    let Some(packet_id) = peer.message()?.packet_id else {
        return failed(format!("a message came at QoS 0 where QoS {qos} was granted"));
    };
    if form == Form::Pubcomp {
        peer.send(Ack::new(first::PUBREC, packet_id))?;
        peer.ack(first::PUBREL, packet_id)?;
    }
    Ok(packet_id)
}

/// What others see of the packet: of a flawed one nothing, but for the will of a client whose DISCONNECT was
/// none [MQTT-3.1.2-8]; of a PUBLISH its message.
fn effect(case: &GridCase, name: &str, topic: &[u8], witness: &mut Witness) -> Outcome {
    let first = case.state.is_first(case.form);
    let will = case.form == Form::Disconnect
        && !first
        && matches!(case.expect, Expect::Closed(_) | Expect::Served(Answer::End { will: true }));
    let served = matches!(case.expect, Expect::Served(_));
    let due = if will {
        Some((format!("{name}/will").into_bytes(), "will"))
    } else if served && case.form == Form::Publish {
        Some((topic.to_vec(), "payload"))
    } else if served && case.form == Form::Connect && case.state == State::Between {
        Some((format!("{name}/behind").into_bytes(), "behind"))
    } else {
        None
    };
    if let Some((topic, payload)) = due {
        let message = witness.message(&format!("message `{payload}` for the witness"))?;
        return ensure(message.topic == topic && message.payload == payload.as_bytes(), || {
            format!("the witness got {message:?}, and should have got `{payload}`")
        });
    }
    // In 3.1 a bad DISCONNECT may be none, or the end: both are right, with the will and without.
    if case.is_open() || case.form == Form::Disconnect && case.expect == Expect::NotTaken {
        return Ok(());
    }
    let seen = witness.seen()?;
    ensure(seen.is_empty(), || format!("the packet had an effect: the witness got {seen:?}"))
}
