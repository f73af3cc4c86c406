//! 4.8 of MQTT 5: shared subscriptions.

use super::cases;
use crate::outcome::{Fault, Outcome, ensure, failed, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Ack, Packet, Publish, Subscribe, Subscription, first, reason};

cases! {
    V5 "MQTT-4.8.2-1" a_share_has_a_name;
    V5 "MQTT-4.8.2-1" one_member_of_a_share_gets_each_message;
    V5 "MQTT-4.8.2-2" a_share_name_has_no_wildcard_and_a_filter_follows;
    V5 "MQTT-4.8.2-3" each_member_gets_its_own_qos;
    V5 "MQTT-4.8.2-4" a_member_that_comes_back_completes_what_was_begun;
    V5 "MQTT-4.8.2-5" what_was_begun_at_qos_2_goes_to_no_other_member;
    V5 "MQTT-4.8.2-6" a_message_that_a_member_refuses_goes_to_nobody;
}

/// The share's filter for a topic of this test.
fn share(stage: &Stage<'_>, name: &str) -> String {
    format!("$share/{}/{}", stage.client_id("g"), stage.topic(name))
}

/// Ends the test where the broker has no shared subscriptions.
fn are_there(stage: &Stage<'_>) -> Outcome {
    let (_, connack) = stage.accepted(stage.connect("i"))?;
    if connack.properties.number(property::SHARED_AVAILABLE) == Some(0) {
        return Err(Fault::NotShown("the broker has no shared subscriptions".to_owned()));
    }
    Ok(())
}

/// Closed, or answered with a SUBACK that grants nothing.
fn is_refused(stage: &Stage<'_>, filter: &str) -> Outcome {
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(share(stage, "good"), 1)?;
    subscriber.send(Subscribe::new(99, Subscription::new(filter, 1)))?;
    match subscriber.closed_or_next()? {
        None => Ok(()),
        Some(Packet::Suback(suback)) => ensure(suback.codes.iter().all(|code| *code >= 0x80), || {
            format!("{filter} was granted with {:02X?}", suback.codes)
        }),
        Some(other) => failed(format!("{other:?} came for {filter}")),
    }
}

fn a_share_has_a_name(stage: &Stage<'_>) -> Outcome {
    are_there(stage)?;
    is_refused(stage, &format!("$share//{}", stage.topic("a")))
}

fn a_share_name_has_no_wildcard_and_a_filter_follows(stage: &Stage<'_>) -> Outcome {
    are_there(stage)?;
    for filter in ["$share/a+/t", "$share/+/t", "$share/#/t", "$share/a#/t", "$share/name", "$share/name/"] {
        is_refused(stage, filter)?;
    }
    Ok(())
}

/// Two members and an ordinary subscriber: each message comes to one of the members, and to the other one.
fn one_member_of_a_share_gets_each_message(stage: &Stage<'_>) -> Outcome {
    are_there(stage)?;
    let mut members = [stage.client("a")?, stage.client("b")?];
    for member in &mut members {
        member.subscribe(share(stage, "+"), 1)?;
    }
    let mut ordinary = stage.client("o")?;
    ordinary.subscribe(stage.topic("+"), 1)?;
    let mut publisher = stage.client("p")?;
    let expected: Vec<String> = (10..20).map(|number| number.to_string()).collect();
    for payload in &expected {
        publisher.publish(Publish::new(stage.topic("t"), payload).qos(1))?;
    }
    for payload in &expected {
        same("the ordinary subscriber's", &ordinary.receive()?.payload, &payload.clone().into_bytes())?;
    }
    let mut got = Vec::new();
    while got.len() < expected.len() {
        let before = got.len();
        for member in &mut members {
            for message in member.pending()? {
                member.acknowledge(&message)?;
                got.push(String::from_utf8_lossy(&message.payload).into_owned());
            }
        }
        if got.len() == before {
            // Not there yet: waits for one, from whichever member it comes to.
            let [one, other] = &mut members;
            let message = either(one, other)?;
            got.push(String::from_utf8_lossy(&message.payload).into_owned());
        }
    }
    got.sort();
    same("what the members got together", &got, &expected)
}

/// The next message to either of two, acknowledged.
fn either(one: &mut Peer, other: &mut Peer) -> Outcome<Publish> {
    for _ in 0..200 {
        for peer in [&mut *one, &mut *other] {
            if let Some(message) = peer.message_within(std::time::Duration::from_millis(25))? {
                peer.acknowledge(&message)?;
                return Ok(message);
            }
        }
    }
    failed("no member got a message that was published")
}

fn each_member_gets_its_own_qos(stage: &Stage<'_>) -> Outcome {
    are_there(stage)?;
    // One member at a time, so that the message has one way to go.
    for granted in 0..3 {
        let mut member = stage.client(&format!("m{granted}"))?;
        member.subscribe(share(stage, "t"), granted)?;
        let mut publisher = stage.client("p")?;
        for qos in 0..3 {
            publisher.publish(Publish::new(stage.topic("t"), "x").qos(qos))?;
            let found = member.receive()?.qos;
            same(&format!("a message at QoS {qos} to a member with {granted}"), &found, &qos.min(granted))?;
        }
        member.disconnect()?;
    }
    Ok(())
}

/// A lasting member that has one QoS 2 message unacknowledged, and a second member that joins afterwards.
fn begun(stage: &Stage<'_>) -> Outcome<(Peer, Publish, Peer)> {
    are_there(stage)?;
    let mut member = stage.open(stage.lasting("m"))?;
    member.subscribe(share(stage, "t"), 2)?;
    stage.client("p")?.publish(Publish::new(stage.topic("t"), "begun").qos(2))?;
    let message = member.message()?;
    let mut other = stage.client("o")?;
    other.subscribe(share(stage, "t"), 2)?;
    Ok((member, message, other))
}

fn a_member_that_comes_back_completes_what_was_begun(stage: &Stage<'_>) -> Outcome {
    let (member, message, mut other) = begun(stage)?;
    member.vanish()?;
    other.quiet()?;
    let mut member = stage.open(stage.lasting("m"))?;
    let again = member.receive()?;
    same("what came again", &(again.payload, again.packet_id), &(message.payload, message.packet_id))?;
    member.ping()?;
    // Nobody else got it meanwhile, or gets it now.
    other.quiet()
}

/// The member's session ends while it holds the message: by a clean start of the same client.
fn what_was_begun_at_qos_2_goes_to_no_other_member(stage: &Stage<'_>) -> Outcome {
    let (member, _, mut other) = begun(stage)?;
    member.vanish()?;
    let clean = stage.client("m")?;
    clean.disconnect()?;
    stage.client("q")?.publish(Publish::new(stage.topic("t"), "marker").qos(2))?;
    let before = other.until("marker")?;
    ensure(before.is_empty(), || format!("{before:?} went to another member"))
}

fn a_message_that_a_member_refuses_goes_to_nobody(stage: &Stage<'_>) -> Outcome {
    for (qos, first) in [(1, first::PUBACK), (2, first::PUBREC)] {
        are_there(stage)?;
        let name = format!("t{qos}");
        let mut member = stage.client(&format!("m{qos}"))?;
        member.subscribe(share(stage, &name), qos)?;
        stage.client("p")?.publish(Publish::new(stage.topic(&name), "refused").qos(qos))?;
        let message = member.message()?;
        let mut other = stage.client(&format!("o{qos}"))?;
        other.subscribe(share(stage, &name), qos)?;
        member.send(Ack::new(first, message.packet_id.unwrap_or_default()).code(reason::UNSPECIFIED))?;
        member.ping()?;
        member.disconnect()?;
        stage.client("q")?.publish(Publish::new(stage.topic(&name), "marker").qos(qos))?;
        let before = other.until("marker")?;
        ensure(before.is_empty(), || format!("{before:?} went to another member"))?;
    }
    Ok(())
}
