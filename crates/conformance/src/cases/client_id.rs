//! 3.1.3.1: client identifiers.

use super::cases;
use crate::outcome::{Outcome, ensure, failed, not_shown, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Connack, Connect, Packet, Publish, reason};
use std::collections::BTreeSet;

cases! {
    V311 "MQTT-3.1.3-3" a_connect_without_a_client_id_is_none;
    V5 "MQTT-3.1.3-3" a_connect_without_a_client_id_is_none;
    V311 "MQTT-3.1.3-4" a_client_id_that_is_not_utf_8_is_refused;
    V5 "MQTT-3.1.3-4" a_client_id_that_is_not_utf_8_is_refused;
    V311 "MQTT-3.1.3-5" short_ids_of_letters_and_digits_are_accepted;
    V5 "MQTT-3.1.3-5" short_ids_of_letters_and_digits_are_accepted;
    V311 "MQTT-3.1.3-6" an_empty_id_gets_one_of_its_own;
    V5 "MQTT-3.1.3-6" an_empty_id_gets_one_of_its_own;
    V5 "MQTT-3.1.3-7" the_assigned_id_is_told_and_used;
    V5 "MQTT-3.2.2-16" the_assigned_id_is_nobody_else_s;
    V311 "MQTT-3.1.3-7" an_empty_id_needs_a_clean_session;
    V311 "MQTT-3.1.3-8" an_empty_id_needs_a_clean_session;
    V311 "MQTT-3.1.3-9" a_rejected_id_gets_connack_2;
    V5 "MQTT-3.1.3-8" a_rejected_id_gets_connack_0x85;
}

/// The payload ends where the client id would begin, and inside of it.
fn a_connect_without_a_client_id_is_none(stage: &Stage<'_>) -> Outcome {
    let good = stage.connect("c");
    stage.open(good.clone())?.disconnect()?;
    let whole = good.to_bytes(stage.version);
    for missing in [good.client_id.len() + 2, good.client_id.len() + 1, 1] {
        let mut bytes = whole.clone();
        bytes.truncate(whole.len() - missing);
        if let Some(length) = bytes.get_mut(1) {
            *length -= missing as u8;
        }
        super::connect::is_refused(stage, &bytes, &[reason::MALFORMED, reason::PROTOCOL_ERROR])?;
    }
    Ok(())
}

fn a_client_id_that_is_not_utf_8_is_refused(stage: &Stage<'_>) -> Outcome {
    stage.client("g")?.disconnect()?;
    for ending in [&[0xC3, 0x28][..], &[0xED, 0xA0, 0x80], &[0xC0, 0x80], &[0]] {
        let client_id = [stage.client_id("c").as_bytes(), ending].concat();
        let bad = Connect::new(stage.version, client_id).to_bytes(stage.version);
        let codes = [reason::MALFORMED, reason::PROTOCOL_ERROR, reason::CLIENT_ID_NOT_VALID];
        super::connect::is_refused(stage, &bad, &codes)?;
    }
    Ok(())
}

fn short_ids_of_letters_and_digits_are_accepted(stage: &Stage<'_>) -> Outcome {
    let name = stage.client_id("");
    let filler = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut ids: Vec<String> = (name.len()..=23)
        .map(|length| format!("{name}{}", filler.get(..length - name.len()).unwrap_or_default()))
        .collect();
    // Every character there is, behind a name that is this test's own.
    ids.extend(filler.chars().map(|letter| format!("{name}{letter}")));
    for id in ids {
        let mut peer = stage.open(Connect::new(stage.version, &id))?;
        peer.ping()?;
        peer.disconnect()?;
    }
    Ok(())
}

/// A client without an id, which a broker may refuse.
fn anonymous(stage: &Stage<'_>, connect: Connect) -> Outcome<(Peer, Connack)> {
    match stage.answered_at(stage.doors.plain, connect)? {
        Some((peer, connack)) if connack.code == 0 => Ok((peer, connack)),
        Some((_, connack)) => not_shown(format!("an empty client id is not allowed: 0x{:02X}", connack.code)),
        None => not_shown("an empty client id is not allowed"),
    }
}

/// Each works as a client of its own: a message to both comes to both.
fn an_empty_id_gets_one_of_its_own(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut peers = Vec::new();
    for _ in 0..3 {
        let (mut peer, _) = anonymous(stage, Connect::new(stage.version, ""))?;
        peer.subscribe(&topic, 1)?;
        peers.push(peer);
    }
    stage.client("p")?.publish(Publish::new(&topic, "all").qos(1))?;
    for peer in &mut peers {
        same("what each of them gets", &peer.receive()?.payload, &b"all".to_vec())?;
        peer.quiet()?;
    }
    Ok(())
}

/// Connecting with the assigned id takes its owner over, and finds its session.
fn the_assigned_id_is_told_and_used(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let (mut first, connack) = anonymous(stage, Connect { client_id: Vec::new(), ..stage.lasting("") })?;
    let Some(id) = connack.properties.bytes(property::ASSIGNED_CLIENT_ID).map(<[u8]>::to_vec) else {
        return failed("CONNACK does not tell the id that was assigned");
    };
    ensure(!id.is_empty(), || "the assigned id is empty".to_owned())?;
    first.subscribe(&topic, 1)?;
    let (mut second, connack) = stage.accepted(Connect { client_id: id, ..stage.lasting("") })?;
    same("session present with the assigned id", &connack.session_present, &true)?;
    same(
        "the id assigned to a client that has one",
        &connack.properties.find(property::ASSIGNED_CLIENT_ID),
        &None,
    )?;
    first.refused(&[reason::SESSION_TAKEN_OVER])?;
    stage.client("p")?.publish(Publish::new(&topic, "x").qos(1))?;
    same("what comes for the subscription", &second.receive()?.payload, &b"x".to_vec())?;
    // Nothing stays behind: the next one without a name gets another.
    second.disconnect()
}

fn the_assigned_id_is_nobody_else_s(stage: &Stage<'_>) -> Outcome {
    let mut ids = BTreeSet::new();
    let mut peers = Vec::new();
    for _ in 0..20 {
        let (peer, connack) = anonymous(stage, Connect::new(stage.version, ""))?;
        let id = connack.properties.bytes(property::ASSIGNED_CLIENT_ID).map(<[u8]>::to_vec);
        ensure(id.is_some(), || "CONNACK does not tell the id that was assigned".to_owned())?;
        ensure(ids.insert(id.clone()), || format!("{id:?} was assigned twice"))?;
        peers.push(peer);
    }
    peers.iter_mut().try_for_each(crate::peer::Peer::ping)
}

fn an_empty_id_needs_a_clean_session(stage: &Stage<'_>) -> Outcome {
    stage.client("g")?.disconnect()?;
    let (mut peer, connack) = stage.attempt(Connect { clean: false, ..Connect::new(stage.version, "") })?;
    same("code and session present", &(connack.code, connack.session_present), &(2, false))?;
    peer.closed_without_a_word()
}

/// Ids that a broker may not like; the empty one without a clean session is one that it must not.
fn rejected(stage: &Stage<'_>) -> Outcome<Option<u8>> {
    let long = "x".repeat(65_535 - stage.client_id("").len());
    let odd = ["+", "#", "a/b", "\u{1}", " ", "%u", "$SYS", long.as_str()];
    let mut connects: Vec<Connect> =
        odd.iter().map(|id| Connect::new(stage.version, format!("{}{id}", stage.client_id("")))).collect();
    if stage.version == crate::wire::Version::V311 {
        connects.push(Connect { clean: false, ..Connect::new(stage.version, "") });
    }
    let mut code = None;
    for connect in connects {
        let mut peer = stage.socket()?;
        peer.send(connect)?;
        match peer.closed_or_packet()? {
            Some(Packet::Connack(connack)) if connack.code == 0 => peer.disconnect()?,
            Some(Packet::Connack(connack)) => {
                code = code.or(Some(connack.code));
                peer.closed_without_a_word()?;
            }
            Some(other) => return failed(format!("{other:?} came where CONNACK was due")),
            None => {}
        }
    }
    Ok(code)
}

fn a_rejected_id_gets_connack_2(stage: &Stage<'_>) -> Outcome {
    match rejected(stage)? {
        Some(code) => same("the code of CONNACK", &code, &2),
        None => failed("no CONNACK came for an empty id without a clean session"),
    }
}

fn a_rejected_id_gets_connack_0x85(stage: &Stage<'_>) -> Outcome {
    match rejected(stage)? {
        Some(code) => same("the code of CONNACK", &code, &reason::CLIENT_ID_NOT_VALID),
        None => not_shown("every client id was accepted, or closed without a CONNACK"),
    }
}
