//! A Broker with clients made of memory: commands in, answers out, time by hand.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

#[path = "../../../session/tests/scripted_wire/mod.rs"]
pub mod scripted_wire;

use aldis_broker::{Answer, Broker, Command, Connected, Due, Effect, Retained, Routes};
use aldis_packet::{
    Connack, Connect, ConnectProperties, PacketId, ProtocolVersion, QoS, ReasonCode, SubscriptionOptions,
    Will,
};
use aldis_session::{
    Counters, Ending, Journal, Limits, Negotiated, NoObserver, Offering, Publication, Router, Session,
    Subscribing, Unsubscribing, Violation, Wire, Workbench,
};
use aldis_store::{Log, MemoryLog};
use aldis_topic::TopicFilter;
use bytes::Bytes;
use scripted_wire::{Peer, Seen, identity, publication};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Stage {
    pub broker: Broker<u32>,
    pub routes: Arc<Routes>,
    pub retained: Arc<Retained>,
    pub bench: Workbench,
    pub now: Instant,
    answers: BTreeMap<u32, Answer>,
    asks_for_due: Option<u32>,
    replies: u32,
}

/// A client with its connection.
pub struct Client {
    pub session: Arc<Session>,
    pub connection: u32,
    pub session_present: bool,
    pub peer: Peer,
}

/// What a test asks in CONNECT: an MQTT 5 client with this client id, clean start off, and a session
/// that lasts for so many seconds.
pub fn asks(client_id: &str, session_expiry: u32) -> Connect {
    let properties =
        ConnectProperties { session_expiry: Some(session_expiry), ..ConnectProperties::default() };
    Connect {
        version: ProtocolVersion::V5,
        clean_start: false,
        keep_alive: 0,
        client_id: client_id.into(),
        will: None,
        user_name: None,
        password: None,
        properties,
    }
}

pub fn will(topic: &str, delay: u32) -> Will {
    Will {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: topic.into(),
        payload: Bytes::from_static(b"will"),
        delay,
        message_expiry: None,
        forwarded: Bytes::new(),
    }
}

pub fn goodbye() -> Ending {
    Ending::Disconnected { will: false, session_expiry: None, reason: ReasonCode::Success }
}

impl Stage {
    pub fn new(limits: Limits) -> Stage {
        Stage::recording(limits, Arc::new(MemoryLog::default()))
    }

    /// A Broker that records in this log.
    pub fn recording(limits: Limits, log: Arc<dyn Log>) -> Stage {
        let (counters, now) = (Arc::new(Counters::default()), Instant::now());
        let journal = Arc::new(Journal::new(log, 0, now, 0));
        let broker = Broker::new(Arc::new(limits), Arc::clone(&counters), now);
        let broker = broker.recording_in(Arc::clone(&journal));
        Stage {
            routes: broker.routes(),
            retained: broker.retained(),
            bench: Workbench::new(counters, Arc::new(NoObserver), now).recording_in(journal),
            broker,
            now,
            answers: BTreeMap::new(),
            asks_for_due: None,
            replies: 0,
        }
    }

    /// Gives a command and keeps what is answered.
    pub fn give(&mut self, command: impl FnOnce(u32) -> Command<u32>) -> u32 {
        self.replies += 1;
        self.broker.handle(command(self.replies), self.now);
        self.gather();
        self.replies
    }

    fn gather(&mut self) {
        while let Some(Effect::Answer(reply, answer, _)) = self.broker.poll_effect() {
            assert!(self.answers.insert(reply, answer).is_none(), "answered twice");
        }
    }

    /// The answer to an earlier command, if it has come.
    pub fn answer(&mut self, reply: u32) -> Option<Answer> {
        self.answers.remove(&reply)
    }

    /// One step, if the Broker wants one now; false if it does not.
    pub fn step(&mut self) -> bool {
        let wants = self.broker.poll_timeout(self.now).is_some_and(|at| at <= self.now);
        if wants {
            self.broker.step(self.now);
            self.gather();
        }
        wants
    }

    /// Lets so many seconds pass, with all that is due meanwhile.
    pub fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.settle();
    }

    /// Steps until nothing is due.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                self.bench.now = self.now;
                return;
            }
        }
        panic!("something is due for ever");
    }

    /// When the Broker wants to be called, in seconds from now.
    pub fn timeout(&self) -> Option<u64> {
        self.broker.poll_timeout(self.now).map(|at| at.saturating_duration_since(self.now).as_secs())
    }

    pub fn ask_to_connect(&mut self, connect: Connect) -> (u32, Peer) {
        let peer = Peer::new(connect.version);
        let negotiated =
            Box::new(Negotiated::new(connect, &Limits::default(), || "assigned".into()).unwrap());
        let identity = identity(&negotiated.client_id);
        let wire = Arc::clone(&peer.wire) as Arc<dyn Wire>;
        let reply =
            self.give(|reply| Command::Connect { negotiated, identity, wire, take_over_only: false, reply });
        (reply, peer)
    }

    /// The client whose CONNECT was answered, with its CONNACK read; or the refusal.
    pub fn connected(&mut self, (reply, mut peer): (u32, Peer)) -> Result<Client, Violation> {
        let (session, connection, session_present) = match self.answer(reply) {
            Some(Answer::Connected(Connected { session, connection, session_present })) => {
                (session, connection, session_present)
            }
            Some(Answer::Refused(why)) => return Err(why),
            other => panic!("{other:?}"),
        };
        let mut connack = Vec::new();
        Connack::new(session_present, ReasonCode::Success).encode(peer.version, u32::MAX, &mut connack);
        session.begin(connection, &connack, &mut self.bench);
        self.bench.finish();
        // What follows CONNACK is left for the test to read.
        let first = peer.wire.bytes();
        assert_eq!(first[0], 0x20, "[MQTT-3.2.0-1]");
        if first.len() == connack.len() {
            assert!(matches!(peer.read()[..], [Seen::Connack(..)]));
        }
        Ok(Client { session, connection, session_present, peer })
    }

    pub fn connect(&mut self, connect: Connect) -> Client {
        let asked = self.ask_to_connect(connect);
        self.connected(asked).unwrap()
    }

    pub fn detach(&mut self, client: &Client, ending: Ending) {
        let (session, connection) = (client.session.number, client.connection);
        self.give(|_| Command::Detach { session, connection, ending });
    }

    pub fn ask_to_subscribe(
        &mut self,
        client: &Client,
        filters: &[(&str, SubscriptionOptions)],
        id: Option<u32>,
    ) -> u32 {
        let parsed =
            |filter: &str| TopicFilter::parse(filter, 128).map_err(|_| ReasonCode::TopicFilterInvalid);
        let subscribing = Subscribing {
            packet_id: PacketId::FIRST,
            filters: filters.iter().map(|(filter, options)| (parsed(filter), *options)).collect(),
            subscription_id: id,
            refusal: None,
        };
        let session = client.session.number;
        self.give(|reply| Command::Subscribe { session, subscribing, reply })
    }

    /// Subscribes at QoS 1, and answers the codes of SUBACK.
    pub fn subscribe(&mut self, client: &Client, filters: &[&str]) -> Vec<u8> {
        let options = SubscriptionOptions::new(QoS::AtLeastOnce);
        let filters: Vec<_> = filters.iter().map(|filter| (*filter, options)).collect();
        self.subscribe_with(client, &filters, None)
    }

    pub fn subscribe_with(
        &mut self,
        client: &Client,
        filters: &[(&str, SubscriptionOptions)],
        id: Option<u32>,
    ) -> Vec<u8> {
        let reply = self.ask_to_subscribe(client, filters, id);
        self.reasons(reply)
    }

    pub fn unsubscribe(&mut self, client: &Client, filters: &[&str]) -> Vec<u8> {
        let parsed =
            |filter: &&str| TopicFilter::parse(filter, 128).map_err(|_| ReasonCode::TopicFilterInvalid);
        let unsubscribing = Unsubscribing {
            packet_id: PacketId::FIRST,
            filters: filters.iter().map(parsed).collect(),
            refusal: None,
        };
        let session = client.session.number;
        let reply = self.give(|reply| Command::Unsubscribe { session, unsubscribing, reply });
        self.reasons(reply)
    }

    fn reasons(&mut self, reply: u32) -> Vec<u8> {
        for _ in 0..10_000 {
            match self.answer(reply) {
                Some(Answer::Reasons(reasons)) => return reasons,
                Some(other) => panic!("{other:?}"),
                None => assert!(self.step(), "no answer, and nothing to do"),
            }
        }
        panic!("no answer");
    }

    /// Publishes along the routes, as a Client does.
    pub fn publish(&mut self, publication: Publication) {
        let publication = Arc::new(publication);
        let route = self.routes.resolve(&publication.topic);
        route.deliver(&Offering::of(&publication), &mut self.bench);
        self.bench.finish();
    }

    pub fn publish_text(&mut self, topic: &str, payload: &str) {
        self.publish(publication(topic, payload.to_owned(), QoS::AtLeastOnce));
    }

    /// Stores retained messages; answers the positions that were refused.
    pub fn retain(&mut self, publications: Vec<Publication>) -> Vec<usize> {
        let retained = |publication| Arc::new(Publication { retain: true, ..publication });
        let publications = publications.into_iter().map(retained).enumerate().collect();
        let reply = self.give(|reply| Command::Retain { publications, reply });
        match self.answer(reply) {
            Some(Answer::Retained(refused)) => refused.into_iter().map(|(position, _)| position).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// What a Client does until it has no errand any more: it goes on with replays and groups.
    pub fn pump(&mut self, client: &Client) {
        for _ in 0..100_000 {
            let errands = client.session.outbox.lock().errands(client.connection);
            if errands.flush
                || errands.blocked
                    && client.session.outbox.lock().unblocked(client.connection, &mut self.bench)
            {
                self.bench.owe(&client.session);
            } else if errands.pump {
                self.retained.replay(&client.session, &mut self.bench);
                client.session.pull_from_groups(&mut self.bench);
            } else {
                return;
            }
            self.bench.finish();
        }
        panic!("an errand that never ends");
    }

    /// Topics of the wills that are due by now.
    pub fn wills(&mut self) -> Vec<String> {
        // One question is open at a time, as the in-process publisher has it.
        let reply = match self.asks_for_due.take() {
            Some(reply) => reply,
            None => self.give(|reply| Command::TakeDue { reply }),
        };
        match self.answer(reply) {
            None => {
                self.asks_for_due = Some(reply);
                Vec::new()
            }
            Some(Answer::Due(due)) => {
                due.into_iter().map(|Due { publication, .. }| publication.topic.to_string()).collect()
            }
            Some(other) => panic!("{other:?}"),
        }
    }
}
