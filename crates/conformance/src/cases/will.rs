//! 3.1.2.5 and 3.1.3.2: the will.

use super::cases;
use crate::outcome::{Outcome, ensure, failed, not_shown, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Connect, Disconnect, Packet, Property, Publish, Will, frame, reason};
use std::time::{Duration, Instant};

cases! {
    V311 "MQTT-3.1.2-8" the_will_is_published_when_the_connection_is_lost;
    V5 "MQTT-3.1.2-7" the_will_is_published_when_the_connection_is_lost;
    V5 "MQTT-3.1.2-8" the_will_is_published_when_the_connection_is_lost;
    V5 "MQTT-3.1.2-8" a_delayed_will_is_published_after_its_delay;
    V5 "MQTT-3.1.2-8" a_delayed_will_is_published_when_the_session_ends;
    V5 "MQTT-3.1.2-8" a_disconnect_with_will_publishes_it;
    V5 "MQTT-3.1.2-8" the_delay_counts_after_a_disconnect_with_will_too;
    V311 "MQTT-3.1.2-10" the_will_is_published_once;
    V5 "MQTT-3.1.2-10" the_will_is_published_once;
    V311 "MQTT-3.1.2-12" without_a_will_nothing_is_published;
    V311 "MQTT-3.1.2-9" qos_of_the_will_is_used;
    V311 "MQTT-3.1.2-16" a_will_without_retain_is_not_retained;
    V5 "MQTT-3.1.2-14" a_will_without_retain_is_not_retained;
    V311 "MQTT-3.1.2-17" a_will_with_retain_is_retained;
    V5 "MQTT-3.1.2-15" a_will_with_retain_is_retained;
    V5 "MQTT-3.1.3-9" a_client_that_is_back_in_time_takes_its_will_back;
    V5 "MQTT-3.1.3-10" user_properties_of_the_will_keep_their_order;
    V5 "MQTT-3.1.2-9" the_properties_of_the_will_are_passed_on;
}

/// A client of this name with a will at QoS 1.
fn with_will(stage: &Stage<'_>, suffix: &str, payload: &str) -> Connect {
    Connect { will: Some(Will { qos: 1, ..Will::new(stage.topic("w"), payload) }), ..stage.connect(suffix) }
}

fn witness(stage: &Stage<'_>) -> Outcome<Peer> {
    let mut witness = stage.client("witness")?;
    witness.subscribe(stage.topic("w"), 2)?;
    Ok(witness)
}

/// Lost in each way there is: the client's end, a packet that breaks a rule, a take-over.
fn the_will_is_published_when_the_connection_is_lost(stage: &Stage<'_>) -> Outcome {
    let mut witness = witness(stage)?;
    stage.open(with_will(stage, "c", "vanished"))?.vanish()?;
    same("the will of a client that vanished", &witness.receive()?.payload, &b"vanished".to_vec())?;
    let mut bad = stage.open(with_will(stage, "c", "bad"))?;
    bad.send_bytes(&frame(0x82, [0]))?;
    bad.refused(&[reason::MALFORMED, reason::PROTOCOL_ERROR])?;
    same("the will of a client that broke a rule", &witness.receive()?.payload, &b"bad".to_vec())?;
    let mut old = stage.open(with_will(stage, "c", "taken over"))?;
    let new = stage.open(stage.connect("c"))?;
    old.closed()?;
    same("the will of a client that was taken over", &witness.receive()?.payload, &b"taken over".to_vec())?;
    new.disconnect()?;
    // While the connection lives, it is not published.
    let mut alive = stage.open(with_will(stage, "c", "alive"))?;
    alive.ping()?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(stage.topic("w"), "marker").qos(1))?;
    let got = witness.until("marker")?;
    ensure(got.is_empty(), || format!("{got:?} came while its client is connected"))?;
    alive.disconnect()
}

fn delayed(stage: &Stage<'_>, suffix: &str, delay: u32, expiry: u32) -> Connect {
    let mut connect = Connect { clean: false, ..with_will(stage, suffix, suffix) };
    connect.properties.push(Property::four(property::SESSION_EXPIRY, expiry));
    if let Some(will) = &mut connect.will {
        will.properties.push(Property::four(property::WILL_DELAY, delay));
    }
    connect
}

/// How long after this moment the next message comes.
fn comes_after(witness: &mut Peer, payload: &str, start: Instant) -> Outcome<Duration> {
    let message = witness.receive()?;
    same("the will", &message.payload, &payload.as_bytes().to_vec())?;
    Ok(start.elapsed())
}

fn a_delayed_will_is_published_after_its_delay(stage: &Stage<'_>) -> Outcome {
    let mut witness = witness(stage)?;
    let client = stage.open(delayed(stage, "d", 2, 600))?;
    // The broker cannot know before this moment that the client is gone.
    let start = Instant::now();
    client.vanish()?;
    let after = comes_after(&mut witness, "d", start)?;
    ensure(after >= Duration::from_secs(2), || format!("a will delayed by 2 s came after {after:?}"))
}

/// The session ends long before the delay has passed.
fn a_delayed_will_is_published_when_the_session_ends(stage: &Stage<'_>) -> Outcome {
    let mut witness = witness(stage)?;
    let client = stage.open(delayed(stage, "e", 600, 1))?;
    let start = Instant::now();
    client.vanish()?;
    let after = comes_after(&mut witness, "e", start)?;
    ensure(after >= Duration::from_secs(1), || {
        format!("the will of a session that lives for 1 s came after {after:?}")
    })?;
    // A session that lives no longer than its connection has its will published at once.
    stage.open(delayed(stage, "f", 600, 0))?.vanish()?;
    comes_after(&mut witness, "f", start)?;
    // And a clean start ends a session, too.
    stage.open(delayed(stage, "g", 600, 600))?.vanish()?;
    let clean = stage.open(stage.connect("g"))?;
    comes_after(&mut witness, "g", start)?;
    clean.disconnect()
}

fn a_disconnect_with_will_publishes_it(stage: &Stage<'_>) -> Outcome {
    let mut witness = witness(stage)?;
    for code in [reason::WITH_WILL, reason::UNSPECIFIED] {
        let mut client = stage.open(with_will(stage, "c", "with will"))?;
        client.send(Disconnect { code, properties: Vec::new() })?;
        client.left()?;
        same("the will", &witness.receive()?.payload, &b"with will".to_vec())?;
    }
    Ok(())
}

fn the_delay_counts_after_a_disconnect_with_will_too(stage: &Stage<'_>) -> Outcome {
    let mut witness = witness(stage)?;
    let mut client = stage.open(delayed(stage, "d", 2, 600))?;
    let start = Instant::now();
    client.send(Disconnect { code: reason::WITH_WILL, properties: Vec::new() })?;
    client.left()?;
    let after = comes_after(&mut witness, "d", start)?;
    ensure(after >= Duration::from_secs(2), || format!("a will delayed by 2 s came after {after:?}"))
}

/// Published, or discarded by DISCONNECT: it does not come again with the same session.
fn the_will_is_published_once(stage: &Stage<'_>) -> Outcome {
    let mut witness = witness(stage)?;
    let will = Will { qos: 1, ..Will::new(stage.topic("w"), "once") };
    let client = stage.open(Connect { will: Some(will.clone()), ..stage.lasting("c") })?;
    client.vanish()?;
    same("the will", &witness.receive()?.payload, &b"once".to_vec())?;
    // The session goes on, without a will.
    stage.open(stage.lasting("c"))?.vanish()?;
    stage.open(Connect { will: Some(will), ..stage.lasting("c") })?.disconnect()?;
    stage.open(stage.lasting("c"))?.vanish()?;
    stage.client("p")?.publish(Publish::new(stage.topic("w"), "marker").qos(1))?;
    let got = witness.until("marker")?;
    ensure(got.is_empty(), || format!("{got:?} came once more"))
}

fn without_a_will_nothing_is_published(stage: &Stage<'_>) -> Outcome {
    let mut witness = stage.client("w")?;
    witness.subscribe(stage.topic("#"), 1)?;
    // A will that its client took back is no will of a later connection.
    stage.open(with_will(stage, "c", "taken back"))?.disconnect()?;
    for _ in 0..3 {
        stage.client("c")?.vanish()?;
    }
    stage.open(with_will(stage, "c", "marker"))?.vanish()?;
    let got = witness.until("marker")?;
    ensure(got.is_empty(), || format!("{got:?} came from a client without a will"))
}

fn qos_of_the_will_is_used(stage: &Stage<'_>) -> Outcome {
    let mut witness = witness(stage)?;
    for qos in 0..3 {
        let will = Will { qos, ..Will::new(stage.topic("w"), format!("{qos}")) };
        stage.open(Connect { will: Some(will), ..stage.connect("c") })?.vanish()?;
        let message = witness.receive()?;
        same("payload and QoS", &(message.payload, message.qos), &(qos.to_string().into_bytes(), qos))?;
    }
    Ok(())
}

/// What a new subscriber gets for the will's topic: one message at least, which a broker may take its time to send.
fn retained(stage: &Stage<'_>, topic: &str) -> Outcome<Vec<Publish>> {
    let mut late = stage.client("late")?;
    late.subscribe(topic, 1)?;
    let mut got = vec![late.message()?];
    got.extend(late.pending()?);
    late.disconnect()?;
    Ok(got)
}

fn a_will_without_retain_is_not_retained(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("w");
    stage.retain(Publish::new(&topic, "kept"))?;
    let mut witness = stage.client("s")?;
    witness.subscribe(&topic, 1)?;
    same("what is retained", &witness.receive()?.payload, &b"kept".to_vec())?;
    stage.open(with_will(stage, "c", "will"))?.vanish()?;
    let will = witness.receive()?;
    same("payload and RETAIN of the will", &(will.payload, will.retain), &(b"will".to_vec(), false))?;
    let got: Vec<_> = retained(stage, &topic)?.into_iter().map(|one| one.payload).collect();
    same("what is retained afterwards", &got, &vec![b"kept".to_vec()])
}

fn a_will_with_retain_is_retained(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("w");
    stage.will_retain(&topic);
    let mut witness = witness(stage)?;
    let will = Will { retain: true, qos: 1, ..Will::new(&topic, "will") };
    stage.open(Connect { will: Some(will), ..stage.connect("c") })?.vanish()?;
    same("the will", &witness.receive()?.payload, &b"will".to_vec())?;
    let got: Vec<_> = retained(stage, &topic)?.into_iter().map(|one| (one.payload, one.retain)).collect();
    same("what is retained afterwards", &got, &vec![(b"will".to_vec(), true)])
}

/// Back before the delay has passed, once after a loss and once by a take-over, and there for longer than the delay.
fn a_client_that_is_back_in_time_takes_its_will_back(stage: &Stage<'_>) -> Outcome {
    let mut witness = witness(stage)?;
    let lost = stage.open(delayed(stage, "d", 2, 600))?;
    let _taken_over = stage.open(delayed(stage, "t", 2, 600))?;
    // The broker cannot know before this moment that a client is gone.
    let start = Instant::now();
    lost.vanish()?;
    let mut back = [stage.open(stage.lasting("d"))?, stage.open(stage.lasting("t"))?];
    if start.elapsed() >= Duration::from_secs(2) {
        return not_shown("the machine is so busy that the delay could have passed");
    }
    stage.until(start, Duration::from_millis(4_500));
    back.iter_mut().try_for_each(Peer::ping)?;
    stage.client("p")?.publish(Publish::new(stage.topic("w"), "marker").qos(1))?;
    let got = witness.until("marker")?;
    ensure(got.is_empty(), || format!("{got:?} came although its client was back in time"))
}

fn user_properties_of_the_will_keep_their_order(stage: &Stage<'_>) -> Outcome {
    let mut witness = witness(stage)?;
    let pairs = [("z", "1"), ("a", "2"), ("z", "0"), ("m", ""), ("a", "2")];
    let mut connect = with_will(stage, "c", "will");
    if let Some(will) = &mut connect.will {
        will.properties = pairs.iter().map(|(name, value)| Property::user(name, value)).collect();
    }
    stage.open(connect)?.vanish()?;
    let expected: Vec<_> =
        pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    same("the user properties", &witness.receive()?.properties.user(), &expected)
}

/// The properties stand before the topic; each arrives with the message.
fn the_properties_of_the_will_are_passed_on(stage: &Stage<'_>) -> Outcome {
    let mut witness = witness(stage)?;
    let properties = vec![
        Property::byte(property::PAYLOAD_FORMAT, 1),
        Property::text(property::CONTENT_TYPE, "text/plain"),
        Property::text(property::RESPONSE_TOPIC, "answer"),
        Property::binary(property::CORRELATION_DATA, [0, 255]),
        Property::four(property::WILL_DELAY, 0),
    ];
    let mut connect = with_will(stage, "c", "will");
    if let Some(will) = &mut connect.will {
        will.properties.clone_from(&properties);
    }
    stage.open(connect.clone())?.vanish()?;
    let message = witness.receive()?;
    same("the payload", &message.payload, &b"will".to_vec())?;
    for property in properties.iter().filter(|property| property.id != property::WILL_DELAY) {
        same("a property of the will", &message.properties.find(property.id), &Some(property))?;
    }
    ensure(message.properties.find(property::WILL_DELAY).is_none(), || {
        "the Will Delay Interval came with the message".to_owned()
    })?;
    // The same bytes without the properties' place are no CONNECT.
    let mut bytes = Vec::new();
    let plain = Connect { properties: Vec::new(), ..connect }.to_bytes(crate::wire::Version::V311);
    bytes.extend(plain);
    let mut bad = stage.socket()?;
    if let Some(level) = bytes.get_mut(8) {
        *level = 5;
    }
    bad.send_bytes(&bytes)?;
    match bad.closed_or_packet()? {
        None => Ok(()),
        Some(Packet::Connack(connack)) if connack.code >= 0x80 => bad.closed_without_a_word(),
        Some(other) => failed(format!("{other:?} came for a CONNECT without properties")),
    }
}
