//! 3.15 AUTH and 4.12: enhanced authentication, with SCRAM-SHA-256.

use super::cases;
use crate::offers::Feature;
use crate::outcome::{Fault, Outcome, ensure, failed, same};
use crate::peer::Peer;
use crate::scram;
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Auth, Connack, Connect, Packet, Property, Publish, first, frame, reason};

cases! {
    V5 "MQTT-3.15.1-1" auth_with_other_flags_is_refused;
    V5 "MQTT-3.15.2-1" auth_has_one_of_its_codes;
    V5 "MQTT-4.12.0-1" a_method_that_is_not_supported_is_refused;
    V5 "MQTT-4.12.0-2" auth_that_asks_for_more_says_so;
    V5 "MQTT-4.12.0-4" a_wrong_proof_is_rejected;
    V5 "MQTT-4.12.0-5" every_auth_and_connack_repeat_the_method;
    V5 "MQTT-4.12.0-6" without_a_method_there_is_no_auth;
    V5 "MQTT-4.12.0-7" an_auth_without_a_method_is_refused;
    V5 "MQTT-4.12.1-1" re_authentication_keeps_the_connection;
    V5 "MQTT-4.12.1-1" re_authentication_with_another_method_is_refused;
    V5 "MQTT-4.12.1-2" a_failed_re_authentication_closes_the_connection;
}

fn with(mut properties: Vec<Property>, method: &str, data: impl AsRef<[u8]>) -> Vec<Property> {
    properties.push(Property::text(property::AUTHENTICATION_METHOD, method));
    properties.push(Property::binary(property::AUTHENTICATION_DATA, data));
    properties
}

fn client(stage: &Stage<'_>, password: &str) -> scram::Client {
    scram::Client::new(&stage.doors.user, password, &stage.client_id("nonce"))
}

fn begin(stage: &Stage<'_>, client: &scram::Client) -> Connect {
    let connect = stage.connect("c");
    Connect { properties: with(Vec::new(), scram::METHOD, client.first()), ..connect }
}

/// The broker's AUTH that asks for more, and its data.
fn challenge(peer: &mut Peer) -> Outcome<(Auth, String)> {
    match peer.next("AUTH")? {
        Packet::Auth(auth) => {
            let data = auth.properties.bytes(property::AUTHENTICATION_DATA).unwrap_or_default();
            let data = String::from_utf8_lossy(data).into_owned();
            Ok((auth, data))
        }
        Packet::Connack(connack) if connack.code == reason::BAD_AUTHENTICATION_METHOD => {
            Err(Fault::NotOffered(Feature::EnhancedAuthentication))
        }
        other => failed(format!("{other:?} came where AUTH was due")),
    }
}

/// Answers a challenge, and returns what the broker has to prove itself with.
fn answer(peer: &mut Peer, client: &scram::Client, challenge: &str) -> Outcome<String> {
    let Some((last, expected)) = client.last(challenge) else {
        return failed(format!("{challenge:?} is no first message of a SCRAM server"));
    };
    let properties = with(Vec::new(), scram::METHOD, last);
    peer.send(Auth { code: reason::CONTINUE_AUTHENTICATION, properties })?;
    Ok(expected)
}

/// A client that has come in by SCRAM, with the AUTH and the CONNACK that it got.
fn authenticated(stage: &Stage<'_>) -> Outcome<(Peer, Auth, Connack)> {
    let client = client(stage, &stage.doors.password);
    let mut peer = stage.socket_to(stage.door(Feature::EnhancedAuthentication)?)?;
    peer.send(begin(stage, &client))?;
    let (auth, data) = challenge(&mut peer)?;
    let expected = answer(&mut peer, &client, &data)?;
    let connack = peer.connack()?;
    same("the code of CONNACK", &connack.code, &reason::SUCCESS)?;
    let proof = connack.properties.bytes(property::AUTHENTICATION_DATA).unwrap_or_default();
    same("the broker's own proof", &proof, &expected.as_bytes())?;
    peer.ping()?;
    Ok((peer, auth, connack))
}

fn auth_with_other_flags_is_refused(stage: &Stage<'_>) -> Outcome {
    let (mut good, ..) = authenticated(stage)?;
    good.ping()?;
    for flags in [0x01, 0x02, 0x08, 0x0F] {
        let client = client(stage, &stage.doors.password);
        let mut peer = stage.socket_to(stage.door(Feature::EnhancedAuthentication)?)?;
        peer.send(begin(stage, &client))?;
        let (_, data) = challenge(&mut peer)?;
        let Some((last, _)) = client.last(&data) else { return failed("no SCRAM message came") };
        let auth =
            Auth { code: reason::CONTINUE_AUTHENTICATION, properties: with(Vec::new(), scram::METHOD, last) };
        let mut bytes = Packet::from(auth).to_bytes(stage.version);
        if let Some(first) = bytes.first_mut() {
            *first |= flags;
        }
        peer.send_bytes(&bytes)?;
        closed_or_refused(&mut peer, &[reason::MALFORMED, reason::PROTOCOL_ERROR])?;
    }
    Ok(())
}

/// Closed, after a CONNACK or a DISCONNECT with one of these codes or without.
fn closed_or_refused(peer: &mut Peer, codes: &[u8]) -> Outcome {
    let code = match peer.closed_or_packet()? {
        None => return Ok(()),
        Some(Packet::Connack(connack)) => connack.code,
        Some(Packet::Disconnect(disconnect)) => disconnect.code,
        Some(other) => return failed(format!("{other:?} came where the connection was to be closed")),
    };
    ensure(codes.contains(&code), || format!("code 0x{code:02X} where one of {codes:02X?} fits"))?;
    peer.closed_without_a_word()
}

/// The broker's codes are 0x18 and 0x00; a client's other code is refused.
fn auth_has_one_of_its_codes(stage: &Stage<'_>) -> Outcome {
    let (mut peer, auth, _) = authenticated(stage)?;
    same("the code of the broker's AUTH", &auth.code, &reason::CONTINUE_AUTHENTICATION)?;
    // Nothing is wrong but the code.
    let first = client(stage, &stage.doors.password).first();
    peer.send(Auth { code: 0x77, properties: with(Vec::new(), scram::METHOD, first) })?;
    peer.refused(&[reason::MALFORMED, reason::PROTOCOL_ERROR])
}

fn a_method_that_is_not_supported_is_refused(stage: &Stage<'_>) -> Outcome {
    stage.client("c")?.disconnect()?;
    for (method, data) in [("NO-SUCH-METHOD", "x"), ("", "")] {
        let properties = with(Vec::new(), method, data);
        let mut peer = stage.socket()?;
        peer.send(Connect { properties, ..stage.connect("c") })?;
        closed_or_refused(&mut peer, &[reason::BAD_AUTHENTICATION_METHOD, reason::NOT_AUTHORISED])?;
    }
    Ok(())
}

fn auth_that_asks_for_more_says_so(stage: &Stage<'_>) -> Outcome {
    let (_, auth, _) = authenticated(stage)?;
    same("the code of an AUTH that asks for more", &auth.code, &reason::CONTINUE_AUTHENTICATION)
}

fn a_wrong_proof_is_rejected(stage: &Stage<'_>) -> Outcome {
    authenticated(stage)?.0.disconnect()?;
    let client = client(stage, "not the password");
    let mut peer = stage.socket_to(stage.door(Feature::EnhancedAuthentication)?)?;
    peer.send(begin(stage, &client))?;
    let (_, data) = challenge(&mut peer)?;
    answer(&mut peer, &client, &data)?;
    let codes =
        [reason::NOT_AUTHORISED, reason::BAD_USER_NAME_OR_PASSWORD, reason::BAD_AUTHENTICATION_METHOD];
    closed_or_refused(&mut peer, &codes)
}

fn method(properties: &[Property]) -> Option<&[u8]> {
    properties.bytes(property::AUTHENTICATION_METHOD)
}

fn every_auth_and_connack_repeat_the_method(stage: &Stage<'_>) -> Outcome {
    let (mut peer, auth, connack) = authenticated(stage)?;
    let expected = Some(scram::METHOD.as_bytes());
    same("the method in AUTH", &method(&auth.properties), &expected)?;
    same("the method in CONNACK", &method(&connack.properties), &expected)?;
    let (asked, done) = re_authenticate(stage, &mut peer, &stage.doors.password)?;
    same("the method in the AUTH of a re-authentication", &method(&asked.properties), &expected)?;
    same("the method in the AUTH that ends it", &method(&done.properties), &expected)?;
    // A client's AUTH with another method is refused.
    let client = client(stage, &stage.doors.password);
    let mut peer = stage.socket_to(stage.door(Feature::EnhancedAuthentication)?)?;
    peer.send(begin(stage, &client))?;
    let (_, data) = challenge(&mut peer)?;
    let Some((last, _)) = client.last(&data) else { return failed("no SCRAM message came") };
    peer.send(Auth { code: reason::CONTINUE_AUTHENTICATION, properties: with(Vec::new(), "OTHER", last) })?;
    let codes = [reason::PROTOCOL_ERROR, reason::BAD_AUTHENTICATION_METHOD, reason::NOT_AUTHORISED];
    closed_or_refused(&mut peer, &codes)
}

fn without_a_method_there_is_no_auth(stage: &Stage<'_>) -> Outcome {
    let (mut peer, connack) = stage.accepted(stage.connect("c"))?;
    same("the method in CONNACK", &method(&connack.properties), &None)?;
    let data = connack.properties.find(property::AUTHENTICATION_DATA);
    same("authentication data in CONNACK", &data, &None)?;
    // Everything that comes on a busy connection is what was asked for.
    peer.subscribe(stage.topic("t"), 1)?;
    peer.publish(Publish::new(stage.topic("t"), "x").qos(1))?;
    peer.receive()?;
    peer.quiet()?;
    let mut login = match stage.doors.login {
        Some(door) => stage.socket_to(door)?,
        None => return Ok(()),
    };
    login.send(stage.connect("l"))?;
    match login.closed_or_packet()? {
        None => Ok(()),
        Some(Packet::Connack(connack)) => {
            same("the method in a refusal", &method(&connack.properties), &None)
        }
        Some(other) => failed(format!("{other:?} came for a client without a method")),
    }
}

fn an_auth_without_a_method_is_refused(stage: &Stage<'_>) -> Outcome {
    for code in [reason::RE_AUTHENTICATE, reason::CONTINUE_AUTHENTICATION, reason::SUCCESS] {
        let mut peer = stage.client("c")?;
        peer.ping()?;
        peer.send(Auth { code, properties: with(Vec::new(), scram::METHOD, "x") })?;
        peer.refused(&[reason::PROTOCOL_ERROR, reason::MALFORMED])?;
    }
    let mut peer = stage.client("c")?;
    peer.ping()?;
    peer.send_bytes(&frame(first::AUTH, []))?;
    peer.refused(&[reason::PROTOCOL_ERROR, reason::MALFORMED])
}

/// A whole exchange on a connection that is open: the AUTH that asks, and the AUTH that ends it.
fn re_authenticate(stage: &Stage<'_>, peer: &mut Peer, password: &str) -> Outcome<(Auth, Auth)> {
    let client = client(stage, password);
    let properties = with(Vec::new(), scram::METHOD, client.first());
    peer.send(Auth { code: reason::RE_AUTHENTICATE, properties })?;
    let (asked, data) = challenge(peer)?;
    answer(peer, &client, &data)?;
    match peer.next("AUTH")? {
        Packet::Auth(auth) => Ok((asked, auth)),
        other => failed(format!("{other:?} came where an AUTH was to end the re-authentication")),
    }
}

fn re_authentication_keeps_the_connection(stage: &Stage<'_>) -> Outcome {
    let (mut peer, ..) = authenticated(stage)?;
    peer.subscribe(stage.topic("t"), 1)?;
    for _ in 0..2 {
        let (_, done) = re_authenticate(stage, &mut peer, &stage.doors.password)?;
        same("the code of the AUTH that ends it", &done.code, &reason::SUCCESS)?;
        peer.publish(Publish::new(stage.topic("t"), "x").qos(1))?;
        same("what goes on", &peer.receive()?.payload, &b"x".to_vec())?;
    }
    Ok(())
}

fn re_authentication_with_another_method_is_refused(stage: &Stage<'_>) -> Outcome {
    let (mut peer, ..) = authenticated(stage)?;
    // Nothing is wrong but the method.
    let first = client(stage, &stage.doors.password).first();
    peer.send(Auth { code: reason::RE_AUTHENTICATE, properties: with(Vec::new(), "OTHER", first) })?;
    peer.refused(&[reason::PROTOCOL_ERROR, reason::BAD_AUTHENTICATION_METHOD, reason::NOT_AUTHORISED])
}

fn a_failed_re_authentication_closes_the_connection(stage: &Stage<'_>) -> Outcome {
    let (mut peer, ..) = authenticated(stage)?;
    let client = client(stage, "not the password");
    let properties = with(Vec::new(), scram::METHOD, client.first());
    peer.send(Auth { code: reason::RE_AUTHENTICATE, properties })?;
    let (_, data) = challenge(&mut peer)?;
    answer(&mut peer, &client, &data)?;
    peer.refused(&[reason::NOT_AUTHORISED, reason::BAD_USER_NAME_OR_PASSWORD])
}
