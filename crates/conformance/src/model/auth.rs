//! Enhanced authentication (4.12), at the start of a connection and again later. The method is SCRAM-SHA-256; what
//! its messages say is for [`crate::scram`].

use super::broker::Broker;
use super::connection::Phase;
use super::reader::{Read, Violation, protocol_error};
use super::rule::Rule::V5;
use super::{PASSWORD, USER};
use crate::scram::{METHOD, Server};
use crate::wire::property::{AUTHENTICATION_DATA, AUTHENTICATION_METHOD, Properties};
use crate::wire::{Auth, Connect, Property, reason};

const SALT: &[u8] = b"grains of salt";
const ITERATIONS: u32 = 4096;

/// The authentication of one connection.
#[derive(Debug)]
pub(super) struct Login {
    /// The CONNECT that waits for its end; none when it is through.
    waiting: Option<Connect>,
    /// What the client has to answer next.
    asked: Option<Server>,
}

impl Broker {
    /// A CONNECT names a method of authentication.
    pub(super) fn begin_login(&mut self, number: u64, connect: Connect, method: &[u8]) {
        if method != METHOD.as_bytes() {
            let rules = &[V5("MQTT-4.12.0-1")];
            return self.reject(number, reason::BAD_AUTHENTICATION_METHOD, "an unknown method", rules);
        }
        let data = connect.properties.bytes(AUTHENTICATION_DATA).map(<[u8]>::to_vec);
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.login = Some(Login { waiting: Some(connect), asked: None });
        }
        match data {
            Some(data) => self.ask_for_proof(number, &data),
            None => self.send_auth(number, reason::CONTINUE_AUTHENTICATION, None),
        }
    }

    /// AUTH came.
    pub(super) fn auth(&mut self, number: u64, auth: Auth) -> Read<()> {
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
        let connected = connection.phase == Phase::Connected;
        let Some(login) = &mut connection.login else {
            let rules = &[V5("MQTT-4.12.0-7")];
            return if self.keeps(rules) { protocol_error("AUTH, and no method in CONNECT") } else { Ok(()) };
        };
        let asked = login.asked.take();
        if auth.properties.bytes(AUTHENTICATION_METHOD) != Some(METHOD.as_bytes())
            && self.keeps(&[V5("MQTT-4.12.1-1")])
        {
            return protocol_error("AUTH with another method than CONNECT");
        }
        let data = auth.properties.bytes(AUTHENTICATION_DATA).unwrap_or_default();
        match (auth.code, asked) {
            (reason::RE_AUTHENTICATE, None) if connected => self.ask_for_proof(number, data),
            (reason::CONTINUE_AUTHENTICATION, None) if !connected => self.ask_for_proof(number, data),
            (reason::CONTINUE_AUTHENTICATION, Some(server)) => {
                match server.last(&String::from_utf8_lossy(data)) {
                    Some(signature) => self.let_in(number, signature),
                    None => self.turn_away(number),
                }
            }
            _ => return Err(Violation { code: reason::PROTOCOL_ERROR, why: "AUTH where none was due" }),
        }
        Ok(())
    }

    fn ask_for_proof(&mut self, number: u64, client_first: &[u8]) {
        let client_first = String::from_utf8_lossy(client_first);
        let nonce = format!("nonce{number}");
        let known = Server::user(&client_first).as_deref() == Some(USER);
        let server = Server::new(&client_first, PASSWORD, SALT, ITERATIONS, &nonce).filter(|_| known);
        let Some(server) = server else { return self.turn_away(number) };
        let data = server.first().to_owned();
        if let Some(login) = self.connections.get_mut(&number).and_then(|one| one.login.as_mut()) {
            login.asked = Some(server);
        }
        let code = match self.keeps(&[V5("MQTT-4.12.0-2")]) {
            true => reason::CONTINUE_AUTHENTICATION,
            false => reason::SUCCESS,
        };
        self.send_auth(number, code, Some(data));
    }

    fn send_auth(&mut self, number: u64, code: u8, data: Option<String>) {
        let code = if self.keeps(&[V5("MQTT-3.15.2-1")]) { code } else { reason::RE_AUTHENTICATE };
        let mut auth = Auth { code, properties: self.method() };
        auth.properties.extend(data.map(|data| Property::binary(AUTHENTICATION_DATA, data)));
        self.explain(number, auth, "authentication");
    }

    /// The method, which stands in every AUTH and in the CONNACK that ends it.
    fn method(&self) -> Vec<Property> {
        let method = if self.keeps(&[V5("MQTT-4.12.0-5")]) { METHOD } else { "PLAIN" };
        vec![Property::text(AUTHENTICATION_METHOD, method)]
    }

    /// The proof is right: CONNACK lets a new client in, AUTH tells one that was in already.
    fn let_in(&mut self, number: u64, signature: String) {
        let login = self.connections.get_mut(&number).and_then(|one| one.login.as_mut());
        match login.and_then(|login| login.waiting.take()) {
            Some(connect) => {
                let mut properties = match self.keeps(&[V5("MQTT-4.12.0-5: CONNACK")]) {
                    true => self.method(),
                    false => Vec::new(),
                };
                properties.push(Property::binary(AUTHENTICATION_DATA, signature));
                self.accept(number, connect, properties);
            }
            None if self.keeps(&[V5("MQTT-4.12.1-1: closes")]) => {
                self.send_auth(number, reason::SUCCESS, Some(signature));
            }
            None => self.close(number),
        }
    }

    /// The proof is wrong: the connection is closed.
    fn turn_away(&mut self, number: u64) {
        let why = "the proof is wrong";
        let connected = self.connections.get(&number).is_some_and(|one| one.phase == Phase::Connected);
        if !connected {
            self.reject(number, reason::NOT_AUTHORISED, why, &[V5("MQTT-4.12.0-4"), V5("MQTT-3.1.4-2")]);
        } else if self.keeps(&[V5("MQTT-4.12.1-2")]) {
            self.dismiss(number, reason::NOT_AUTHORISED, why);
        }
    }
}
