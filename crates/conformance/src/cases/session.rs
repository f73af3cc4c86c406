//! 3.1.2 and 4.1: sessions begin, go on, and end.

use super::cases;
use crate::outcome::{Outcome, ensure, not_shown, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::{Ack, Connect, Disconnect, Property, Publish, first, property, reason};
use std::time::{Duration, Instant};

cases! {
    V311 "MQTT-3.1.2-4" a_lasting_session_is_made_and_resumed;
    V5 "MQTT-3.1.2-5" a_lasting_session_is_made_and_resumed;
    V311 "MQTT-3.1.2-4" a_session_keeps_all_that_belongs_to_it;
    V5 "MQTT-3.1.2-5" a_session_keeps_all_that_belongs_to_it;
    V311 "MQTT-3.1.2-4" a_take_over_goes_on_with_the_session;
    V5 "MQTT-3.1.2-5" a_take_over_goes_on_with_the_session;
    V5 "MQTT-3.1.2-6" without_a_session_one_is_made;
    V311 "MQTT-3.1.2-5" what_matches_is_stored_while_the_client_is_away;
    V311 "MQTT-3.1.2-6" a_clean_session_begins_and_ends_with_its_connection;
    V5 "MQTT-3.1.2-4" a_clean_start_discards_the_session;
    V5 "MQTT-3.1.4-4" a_clean_start_discards_the_session;
    V311 "MQTT-3.1.2-6" a_clean_start_forgets_what_was_on_its_way;
    V5 "MQTT-3.1.2-4" a_clean_start_forgets_what_was_on_its_way;
    V311 "MQTT-3.1.4-3" a_clean_session_begins_and_ends_with_its_connection;
    V311 "MQTT-3.1.2-7" retained_messages_outlive_sessions;
    V5 "MQTT-3.1.2-23" a_session_with_an_expiry_is_kept;
    V5 "MQTT-3.1.2-23" the_expiry_counts_from_the_end_of_the_connection;
    V311 "MQTT-3.1.3-2" the_client_id_names_the_session;
    V5 "MQTT-3.1.3-2" the_client_id_names_the_session;
    V311 "MQTT-3.1.4-2" a_client_that_is_connected_is_taken_over;
    V5 "MQTT-3.1.4-3" a_client_that_is_connected_is_taken_over;
    V311 "MQTT-4.1.0-1" a_session_keeps_all_that_belongs_to_it;
    V311 "MQTT-4.1.0-2" a_session_lives_as_long_as_its_connection;
    V5 "MQTT-4.1.0-1" a_session_lives_as_long_as_its_connection;
    V5 "MQTT-4.1.0-2" a_session_ends_when_its_expiry_has_passed;
    V5 "MQTT-4.1.0-2" an_expiry_of_zero_ends_with_the_connection;
    V5 "MQTT-4.1.0-2" a_disconnect_changes_the_expiry;
}

/// Whether a new CONNECT that resumes finds a session, and the subscription to this topic in it.
fn is_there(stage: &Stage<'_>, connect: Connect, topic: &str) -> Outcome<(bool, Peer)> {
    let (mut peer, connack) = stage.accepted(connect)?;
    let marker = stage.topic("marker");
    peer.subscribe(&marker, 1)?;
    let mut publisher = stage.client("look")?;
    publisher.publish(Publish::new(topic, "look").qos(1))?;
    publisher.publish(Publish::new(&marker, "marker").qos(1))?;
    publisher.disconnect()?;
    let got = peer.around("marker")?;
    let has = got.iter().any(|one| one.payload == b"look");
    ensure(has == connack.session_present, || {
        format!("session present is {}, and its subscription {has}", connack.session_present)
    })?;
    ensure(has || got.is_empty(), || format!("{got:?} came of a session that is not there"))?;
    Ok((connack.session_present, peer))
}

fn a_lasting_session_is_made_and_resumed(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let (mut first, connack) = stage.accepted(stage.lasting("s"))?;
    same("session present the first time", &connack.session_present, &false)?;
    first.subscribe(&topic, 1)?;
    first.disconnect()?;
    for _ in 0..2 {
        let (present, peer) = is_there(stage, stage.lasting("s"), &topic)?;
        same("session present afterwards", &present, &true)?;
        peer.vanish()?;
    }
    Ok(())
}

fn without_a_session_one_is_made(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let (mut peer, connack) = stage.accepted(Connect { clean: false, ..stage.connect("s") })?;
    same("session present", &connack.session_present, &false)?;
    peer.subscribe(&topic, 1)?;
    peer.publish(Publish::new(&topic, "x").qos(1))?;
    same("what the new session gets", &peer.receive()?.payload, &b"x".to_vec())
}

fn what_matches_is_stored_while_the_client_is_away(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.open(stage.lasting("s"))?;
    subscriber.subscribe(stage.topic("a/+"), 1)?;
    subscriber.subscribe(stage.topic("b"), 2)?;
    subscriber.disconnect()?;
    let mut publisher = stage.client("p")?;
    for (name, qos) in [("a/1", 1), ("a/2", 2), ("b", 2), ("b", 1), ("c", 1)] {
        publisher.publish(Publish::new(stage.topic(name), format!("{name}{qos}")).qos(qos))?;
    }
    publisher.publish(Publish::new(stage.topic("b"), "marker").qos(1))?;
    let mut subscriber = stage.open(stage.lasting("s"))?;
    let mut got = Vec::new();
    for _ in 0..5 {
        let message = subscriber.receive()?;
        got.push((String::from_utf8_lossy(&message.payload).into_owned(), message.qos));
    }
    got.sort();
    let expected = [("a/11", 1), ("a/22", 1), ("b1", 1), ("b2", 2), ("marker", 1)];
    same("what was stored", &got, &expected.map(|(name, qos)| (name.to_owned(), qos)).to_vec())
}

fn a_clean_session_begins_and_ends_with_its_connection(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut lasting = stage.open(stage.lasting("s"))?;
    lasting.subscribe(&topic, 1)?;
    lasting.disconnect()?;
    // A clean one discards what was there...
    let (present, mut clean) = is_there(stage, stage.connect("s"), &topic)?;
    same("session present of a clean session", &present, &false)?;
    clean.subscribe(&topic, 1)?;
    clean.disconnect()?;
    // ...and leaves nothing.
    let (present, _) = is_there(stage, stage.lasting("s"), &topic)?;
    same("session present after a clean session", &present, &false)
}

fn a_clean_start_discards_the_session(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let clean = || Connect { clean: true, ..stage.lasting("s") };
    for connect in [stage.lasting("s"), clean()] {
        let mut lasting = stage.open(connect)?;
        lasting.subscribe(&topic, 1)?;
        lasting.disconnect()?;
        stage.client("p")?.publish(Publish::new(&topic, "old").qos(1))?;
        let (present, peer) = is_there(stage, clean(), &topic)?;
        same("session present of a clean start", &present, &false)?;
        peer.disconnect()?;
    }
    // It began a new one, which lasts.
    let (_, connack) = stage.accepted(stage.lasting("s"))?;
    same("session present of the session that it began", &connack.session_present, &true)
}

/// A message that is not acknowledged, one that waits, and an identifier that is not released: of a client that is
/// gone, and of one that is connected still.
fn a_clean_start_forgets_what_was_on_its_way(stage: &Stage<'_>) -> Outcome {
    let (topic, own) = (stage.topic("t"), stage.topic("own"));
    let mut witness = stage.client("w")?;
    witness.subscribe(&own, 2)?;
    let mut publisher = stage.client("p")?;
    for is_gone in [true, false] {
        let mut old = stage.open(stage.lasting("s"))?;
        old.subscribe(&topic, 1)?;
        publisher.publish(Publish::new(&topic, "in flight").qos(1))?;
        old.message()?;
        old.send(Publish::new(&own, "old").qos(2).id(9))?;
        old.ack(first::PUBREC, 9)?;
        if is_gone {
            old.vanish()?;
            publisher.publish(Publish::new(&topic, "waiting").qos(1))?;
        }
        let (present, mut clean) = is_there(stage, stage.connect("s"), &topic)?;
        same("session present of a clean start", &present, &false)?;
        // The identifier means nothing any more, so this is a new message.
        clean.publish(Publish::new(&own, "new").qos(2).id(9))?;
        publisher.publish(Publish::new(&own, "marker").qos(2))?;
        let got = witness.until("marker")?;
        ensure(got.iter().any(|one| one.payload == b"new"), || {
            "a message was taken for one of the session that was discarded".to_owned()
        })?;
        clean.disconnect()?;
    }
    Ok(())
}

/// The client comes back before its old connection is gone.
fn a_take_over_goes_on_with_the_session(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut old = stage.open(stage.lasting("s"))?;
    old.subscribe(&topic, 1)?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(&topic, "in flight").qos(1))?;
    old.message()?;
    let (mut new, connack) = stage.accepted(stage.lasting("s"))?;
    same("session present", &connack.session_present, &true)?;
    publisher.publish(Publish::new(&topic, "live").qos(1))?;
    for payload in ["in flight", "live"] {
        same("what comes", &new.receive()?.payload, &payload.as_bytes().to_vec())?;
    }
    new.quiet()
}

fn retained_messages_outlive_sessions(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    stage.will_retain(&topic);
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(&topic, "kept").qos(1).retained())?;
    publisher.disconnect()?;
    // The same client id, clean once more: its session is gone twice over.
    stage.client("p")?.disconnect()?;
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 1)?;
    same("the retained message", &subscriber.receive()?.payload, &b"kept".to_vec())
}

fn a_session_with_an_expiry_is_kept(stage: &Stage<'_>) -> Outcome {
    for (suffix, seconds) in [("a", 600), ("b", u32::MAX)] {
        let topic = stage.topic(suffix);
        let mut connect = Connect { clean: false, ..stage.connect(suffix) };
        connect.properties.push(Property::four(property::SESSION_EXPIRY, seconds));
        let mut peer = stage.open(connect.clone())?;
        peer.subscribe(&topic, 1)?;
        peer.vanish()?;
        let (present, _) = is_there(stage, connect, &topic)?;
        same("session present", &present, &true)?;
    }
    Ok(())
}

/// Connected for longer than the session may live without a connection, and back a second after.
fn the_expiry_counts_from_the_end_of_the_connection(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let lives = Duration::from_secs(4);
    let mut connect = Connect { clean: false, ..stage.connect("s") };
    connect.properties.push(Property::four(property::SESSION_EXPIRY, lives.as_secs() as u32));
    let opened = Instant::now();
    let mut peer = stage.open(connect.clone())?;
    peer.subscribe(&topic, 1)?;
    stage.until(opened, lives + Duration::from_secs(1));
    peer.ping()?;
    // The broker cannot know before this moment that the client is gone.
    let start = Instant::now();
    peer.vanish()?;
    stage.until(start, Duration::from_secs(1));
    let (present, _) = is_there(stage, connect, &topic)?;
    if start.elapsed() >= lives {
        return not_shown("the machine is so busy that the session could have ended");
    }
    same("session present", &present, &true)
}

/// Two clients whose ids differ in case, or by a letter, have nothing to do with each other.
fn the_client_id_names_the_session(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut peer = stage.open(stage.lasting("ab"))?;
    peer.subscribe(&topic, 1)?;
    peer.disconnect()?;
    for other in ["aB", "abc", "a"] {
        let (present, peer) = is_there(stage, stage.lasting(other), &topic)?;
        same("session present of another client", &present, &false)?;
        peer.disconnect()?;
    }
    let (present, _) = is_there(stage, stage.lasting("ab"), &topic)?;
    same("session present of the client itself", &present, &true)
}

fn a_client_that_is_connected_is_taken_over(stage: &Stage<'_>) -> Outcome {
    let mut old = stage.client("c")?;
    old.ping()?;
    for connect in [stage.connect("c"), stage.lasting("c"), stage.connect("c")] {
        let mut new = stage.open(connect)?;
        let said = old.closed()?;
        if stage.version.is_5() {
            let code = said.map(|disconnect| disconnect.code);
            same("what the old client is told", &code, &Some(reason::SESSION_TAKEN_OVER))?;
        }
        new.quiet()?;
        old = new;
    }
    old.ping()
}

/// Subscriptions, messages that wait, messages in flight both ways, and identifiers a client has not released.
fn a_session_keeps_all_that_belongs_to_it(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut peer = stage.open(stage.lasting("s"))?;
    peer.subscribe(&topic, 1)?;
    let mut witness = stage.client("w")?;
    witness.subscribe(stage.topic("own"), 2)?;
    peer.send(Publish::new(stage.topic("own"), "own").qos(2).id(9))?;
    peer.ack(first::PUBREC, 9)?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(&topic, "in flight").qos(1))?;
    peer.message()?;
    peer.vanish()?;
    publisher.publish(Publish::new(&topic, "waiting").qos(1))?;
    let mut peer = stage.open(stage.lasting("s"))?;
    for payload in ["in flight", "waiting"] {
        same("what comes", &peer.receive()?.payload, &payload.as_bytes().to_vec())?;
    }
    // The same identifier, not released yet: a repeat, and no second message.
    peer.send(Publish::new(stage.topic("own"), "own").qos(2).id(9).again())?;
    peer.ack(first::PUBREC, 9)?;
    peer.send(Ack::new(first::PUBREL, 9))?;
    peer.ack(first::PUBCOMP, 9)?;
    publisher.publish(Publish::new(stage.topic("own"), "marker").qos(2))?;
    same("how often the witness got it", &witness.until("marker")?.len(), &1)?;
    publisher.publish(Publish::new(&topic, "live").qos(1))?;
    same("what comes for the subscription", &peer.receive()?.payload, &b"live".to_vec())
}

/// With the shortest life there is, over a second in which much else happens.
fn a_session_lives_as_long_as_its_connection(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut connect = stage.connect("s");
    if stage.version.is_5() {
        connect.properties.push(Property::four(property::SESSION_EXPIRY, 1));
    }
    let mut peer = stage.open(connect)?;
    peer.subscribe(&topic, 2)?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(&topic, "open").qos(2))?;
    let open = peer.message()?;
    let start = Instant::now();
    stage.until(start, Duration::from_millis(2_500));
    publisher.publish(Publish::new(&topic, "later").qos(1))?;
    same("what comes later", &peer.receive()?.payload, &b"later".to_vec())?;
    peer.acknowledge(&open)?;
    peer.quiet()
}

/// A session that may live for two seconds: there after one, and gone after some more.
fn a_session_ends_when_its_expiry_has_passed(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let connect = |suffix: &str, seconds| {
        let mut connect = Connect { clean: false, ..stage.connect(suffix) };
        connect.properties.push(Property::four(property::SESSION_EXPIRY, seconds));
        connect
    };
    let mut early = stage.open(connect("e", 30))?;
    let mut late = stage.open(connect("l", 2))?;
    for peer in [&mut early, &mut late] {
        peer.subscribe(&topic, 1)?;
    }
    early.vanish()?;
    late.vanish()?;
    let start = Instant::now();
    stage.until(start, Duration::from_secs(5));
    let (present, _) = is_there(stage, connect("e", 30), &topic)?;
    same("session present of one that may live for 30 s, after 5", &present, &true)?;
    let (present, _) = is_there(stage, connect("l", 2), &topic)?;
    same("session present of one that may live for 2 s, after 5", &present, &false)
}

fn an_expiry_of_zero_ends_with_the_connection(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    for properties in [Vec::new(), vec![Property::four(property::SESSION_EXPIRY, 0)]] {
        let connect = Connect { clean: false, properties, ..stage.connect("s") };
        let mut peer = stage.open(connect)?;
        peer.subscribe(&topic, 1)?;
        peer.vanish()?;
        let (present, peer) = is_there(stage, Connect { clean: false, ..stage.connect("s") }, &topic)?;
        same("session present", &present, &false)?;
        peer.disconnect()?;
    }
    Ok(())
}

/// From ten minutes to nothing, and from one minute to ten.
fn a_disconnect_changes_the_expiry(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    for (suffix, seconds, expected) in [("a", 0, false), ("b", 1_200, true)] {
        let mut peer = stage.open(stage.lasting(suffix))?;
        peer.subscribe(&topic, 1)?;
        let properties = vec![Property::four(property::SESSION_EXPIRY, seconds)];
        peer.send(Disconnect { code: reason::SUCCESS, properties })?;
        peer.left()?;
        let (present, _) = is_there(stage, stage.lasting(suffix), &topic)?;
        same("session present after a DISCONNECT with another expiry", &present, &expected)?;
    }
    Ok(())
}
