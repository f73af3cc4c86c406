//! What is known of a run without asking the broker: who published what, who subscribes to what, and what went
//! over which connection, in one order.
//!
//! It is put together from the packets at the broker's end of every wire and from what the model clients say of
//! themselves. Checkers judge by it; nothing here judges.

use crate::agenda::{SECOND, Time};
use aldis_packet::{Connect, ProtocolVersion, SubscriptionOptions};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A place in the one order of all that was seen.
pub type Moment = u64;

/// A message that some client wants published, or its will.
#[derive(Debug, Clone)]
pub struct Message {
    pub publisher: usize,
    pub topic: String,
    pub qos: u8,
    pub retain: bool,
    pub is_will: bool,
    /// It has a message expiry interval.
    pub expires: bool,
    /// It takes a retained message away.
    pub removes: bool,
    /// When the broker first had all of it.
    pub read_at: Option<Moment>,
    /// How often it had it as a new message, and when it had it last.
    pub reads: usize,
    pub read_last: Moment,
    /// When its PUBACK or PUBREC was written, without an error in it.
    pub answered_at: Option<Moment>,
    /// The broker said that it would not have it.
    pub is_refused: bool,
    /// It came again after a crash: as a repeat, or as a new message.
    pub may_have_come_again: bool,
}

/// A subscription, as far as its client can know.
#[derive(Debug, Clone)]
pub struct Sub {
    /// As it was written, with `$share/name/`.
    pub text: String,
    /// Without it.
    pub filter: String,
    pub is_shared: bool,
    /// The lowest quality of service that it can have at this moment.
    pub qos: u8,
    pub no_local: bool,
    /// Its SUBSCRIBE was read.
    pub asked_at: Moment,
    /// Its SUBACK was written, and says yes.
    pub since: Option<Moment>,
    /// An UNSUBSCRIBE for it was read.
    pub leaving_at: Option<Moment>,
    /// The UNSUBACK for it was written.
    pub left_at: Option<Moment>,
    /// When it was, nothing waited for the client any more: whatever comes first afterwards was added later.
    pub is_done: bool,
}

/// One life of a session: from a connection that got a new one to the next such connection of its client.
#[derive(Debug, Default, Clone)]
pub struct Life {
    pub client: usize,
    pub subs: Vec<Sub>,
    /// Filters that it ever wanted with RETAIN as published: there a live message may look like a retained one.
    pub as_published: Vec<String>,
    pub is_over: bool,
    /// It was to outlive a connection, and so is on disk.
    pub has_lasted: bool,
    /// The connection that has it, or had it last.
    pub conn: usize,
}

/// What is wanted with a packet identifier.
#[derive(Debug, Clone)]
pub enum Wish {
    Subscribe(Vec<(String, SubscriptionOptions)>),
    Unsubscribe(Vec<String>),
}

/// How a client said goodbye.
#[derive(Debug, Clone, Copy)]
pub struct Goodbye {
    pub with_will: bool,
}

/// A connection, as it is seen at the broker's end.
#[derive(Debug, Clone)]
pub struct Conn {
    pub client: usize,
    pub version: ProtocolVersion,
    pub clean: bool,
    /// Session expiry interval in force, in seconds.
    pub expiry: u32,
    pub receive_maximum: u16,
    pub maximum_packet_size: u32,
    pub will: Option<usize>,
    pub will_delay: u32,
    pub has_connect: bool,
    pub connack_at: Option<Moment>,
    pub life: Option<usize>,
    pub session_present: bool,
    pub attached: Option<Time>,
    pub attached_at: Moment,
    pub detached: Option<Time>,
    pub goodbye: Option<Goodbye>,
    /// DISCONNECT of the broker was written.
    pub farewell: bool,
    /// The broker crashed when the end of it was not on disk yet: it may have happened or not.
    pub is_uncertain: bool,
    pub wishes: BTreeMap<u16, Wish>,
    /// Messages without a payload, in the order in which the client sends them.
    pub empties: VecDeque<usize>,
    pub up_aliases: BTreeMap<u16, String>,
    pub down_aliases: BTreeMap<u16, String>,
    pub up: Vec<u8>,
    pub down: Vec<u8>,
    /// Whole packets that the broker has read and not begun to handle.
    pub unhandled: VecDeque<Vec<u8>>,
}

impl Conn {
    /// A connection of which nothing came yet.
    pub fn new(client: usize) -> Conn {
        Conn {
            client,
            version: ProtocolVersion::V311,
            clean: false,
            expiry: 0,
            receive_maximum: u16::MAX,
            maximum_packet_size: u32::MAX,
            will: None,
            will_delay: 0,
            has_connect: false,
            connack_at: None,
            life: None,
            session_present: false,
            attached: None,
            attached_at: 0,
            detached: None,
            goodbye: None,
            farewell: false,
            is_uncertain: false,
            wishes: BTreeMap::new(),
            empties: VecDeque::new(),
            up_aliases: BTreeMap::new(),
            down_aliases: BTreeMap::new(),
            up: Vec::new(),
            down: Vec::new(),
            unhandled: VecDeque::new(),
        }
    }
}

/// A PUBLISH as it went by, with its alias resolved.
#[derive(Debug, Clone)]
pub struct Published {
    /// Which message it is; `None` if its payload does not say.
    pub message: Option<usize>,
    pub topic: String,
    pub qos: u8,
    pub id: u16,
    pub dup: bool,
    pub retain: bool,
    /// Towards the broker at QoS 2: its identifier is not released, so it is no new message.
    pub is_repeat: bool,
    /// It may be a repeat or not: the broker crashed before it had answered.
    pub may_be_repeat: bool,
}

/// Everything that is known.
#[derive(Debug, Default)]
pub struct Ground {
    pub moment: Moment,
    pub now: Time,
    pub messages: Vec<Message>,
    pub conns: Vec<Conn>,
    pub lives: Vec<Life>,
    /// The newest life of each client.
    pub life_of: BTreeMap<usize, usize>,
    /// The number of each client's session.
    pub sessions: BTreeMap<usize, u64>,
    /// The life that each of them had last.
    numbered: BTreeMap<(usize, u64), usize>,
    /// Identifiers of QoS 2 messages of a life that its client has not released.
    pub unreleased: BTreeMap<usize, BTreeMap<u16, usize>>,
    /// Those from before a crash.
    pub unreleased_before: BTreeMap<usize, BTreeMap<u16, usize>>,
    /// The retained store has a limit: what it refuses may be delivered all the same, and not kept.
    pub retained_is_bounded: bool,
    /// The broker keeps its state on a disk.
    pub is_stored: bool,
    /// The client that asks for everything that is retained at the end.
    pub probe: Option<usize>,
}

impl Ground {
    /// A new place in the order.
    pub fn tick(&mut self) -> Moment {
        self.moment += 1;
        self.moment
    }

    /// The message that a payload names.
    pub fn message_in(&self, payload: &[u8]) -> Option<usize> {
        let digits = payload.split(|byte| *byte == b' ').next()?;
        let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (number < self.messages.len()).then_some(number)
    }

    /// What a connection asks for with CONNECT.
    pub fn connect(&mut self, number: usize, connect: &Connect, default_expiry: u32, longest: u32) {
        let will = connect.will.as_ref().and_then(|will| self.message_in(&will.payload));
        let conn = &mut self.conns[number];
        let asked = match connect.version {
            ProtocolVersion::V5 => connect.properties.session_expiry.unwrap_or(0),
            _ if connect.clean_start => 0,
            _ => default_expiry,
        };
        conn.has_connect = true;
        conn.version = connect.version;
        conn.clean = connect.clean_start;
        conn.expiry = asked.min(longest);
        conn.receive_maximum = connect.properties.receive_maximum.unwrap_or(u16::MAX);
        conn.maximum_packet_size = connect.properties.maximum_packet_size.unwrap_or(u32::MAX);
        conn.will = will;
        conn.will_delay = connect.will.as_ref().map_or(0, |will| will.delay);
    }

    /// A connection gets its session, or a new one.
    pub fn attach(&mut self, number: usize, session: u64, session_present: bool) {
        let (moment, now) = (self.tick(), self.now);
        let client = self.conns[number].client;
        if !session_present {
            self.unreleased.remove(&client);
            self.unreleased_before.remove(&client);
            // Numbers of sessions that do not last are used again after a crash.
            self.sessions.remove(&client);
        }
        self.knows(client, session);
        let life = self.life_of.get(&client).copied();
        if let Some(life) = life {
            self.lives[life].conn = number;
            self.lives[life].has_lasted |= self.conns[number].expiry > 0;
        }
        let conn = &mut self.conns[number];
        (conn.attached, conn.attached_at) = (Some(now), moment);
        conn.session_present = session_present;
        conn.life = life;
    }

    /// The session of a client has this number; with another one it is another life.
    pub fn knows(&mut self, client: usize, session: u64) {
        if self.sessions.insert(client, session) == Some(session) {
            return;
        }
        if let Some(old) = self.life_of.get(&client) {
            self.lives[*old].is_over = true;
        }
        self.lives.push(Life { client, ..Life::default() });
        self.life_of.insert(client, self.lives.len() - 1);
        self.numbered.insert((client, session), self.lives.len() - 1);
    }

    /// A start has found this session. It may have ended, and the disk may not know that.
    pub fn finds(&mut self, client: usize, session: u64) {
        let known = self.numbered.get(&(client, session)).filter(|life| self.lives[**life].has_lasted);
        if let (Some(life), true) = (known, self.sessions.get(&client) != Some(&session)) {
            self.lives[*life].is_over = false;
            if let Some(other) = self.life_of.insert(client, *life).filter(|other| other != life) {
                self.lives[other].is_over = true;
            }
            self.sessions.insert(client, session);
        }
        self.knows(client, session);
    }

    /// A SUBSCRIBE was read.
    pub fn asks_to_subscribe(&mut self, number: usize, id: u16, filters: &[(String, SubscriptionOptions)]) {
        let moment = self.moment;
        self.conns[number].wishes.insert(id, Wish::Subscribe(filters.to_vec()));
        let Some(life) = self.conns[number].life else { return };
        for (text, options) in filters {
            for old in self.lives[life].subs.iter_mut().filter(|sub| sub.text == *text) {
                // While the options are replaced either may hold.
                old.qos = old.qos.min(options.qos.value());
                old.no_local |= options.no_local;
            }
            let (filter, is_shared) = shared(text);
            if options.retain_as_published {
                self.lives[life].as_published.push(filter.to_owned());
            }
            self.lives[life].subs.push(Sub {
                text: text.clone(),
                filter: filter.to_owned(),
                is_shared,
                qos: options.qos.value(),
                no_local: options.no_local,
                asked_at: moment,
                since: None,
                leaving_at: None,
                left_at: None,
                is_done: false,
            });
        }
    }

    /// A SUBACK was written.
    pub fn subscribed(&mut self, number: usize, id: u16, reasons: &[u8]) {
        let moment = self.moment;
        let Some(Wish::Subscribe(filters)) = self.conns[number].wishes.remove(&id) else { return };
        let Some(life) = self.conns[number].life else { return };
        let subs = &mut self.lives[life].subs;
        for ((text, _), reason) in filters.iter().zip(reasons) {
            let Some(new) = subs.iter().rposition(|sub| sub.text == *text && sub.since.is_none()) else {
                continue;
            };
            if *reason >= 0x80 {
                subs.remove(new);
                continue;
            }
            subs[new].since = Some(moment);
            let asked_at = subs[new].asked_at;
            subs.retain(|sub| {
                sub.text != *text || sub.since.is_none() || sub.asked_at >= asked_at || sub.left_at.is_some()
            });
        }
    }

    /// An UNSUBSCRIBE was read.
    pub fn asks_to_unsubscribe(&mut self, number: usize, id: u16, filters: &[String]) {
        let moment = self.moment;
        self.conns[number].wishes.insert(id, Wish::Unsubscribe(filters.to_vec()));
        let Some(life) = self.conns[number].life else { return };
        for sub in self.lives[life].subs.iter_mut().filter(|sub| filters.contains(&sub.text)) {
            sub.leaving_at.get_or_insert(moment);
        }
    }

    /// An UNSUBACK was written.
    pub fn unsubscribed(&mut self, number: usize, id: u16) {
        let moment = self.moment;
        let Some(Wish::Unsubscribe(filters)) = self.conns[number].wishes.remove(&id) else { return };
        let Some(life) = self.conns[number].life else { return };
        for sub in self.lives[life].subs.iter_mut() {
            if filters.contains(&sub.text) && sub.leaving_at.is_some() {
                sub.left_at.get_or_insert(moment);
            }
        }
    }

    /// Whether the session of this life has neither ended nor expired.
    pub fn lasts(&self, life: usize) -> bool {
        let conn = &self.conns[self.lives[life].conn];
        let expires = |at| at + Time::from(conn.expiry) * SECOND;
        !self.lives[life].is_over && conn.detached.is_none_or(|at| self.now < expires(at))
    }

    /// Whether the client of this life has begun another, which ends it before anybody is told.
    pub fn may_be_over(&self, life: usize) -> bool {
        let mut later = self.conns.iter().skip(self.lives[life].conn + 1);
        later.any(|conn| {
            conn.client == self.lives[life].client
                && conn.has_connect
                && conn.clean
                && conn.attached.is_none()
        })
    }

    /// Whether this life certainly had a subscription of its own that covers the message, all the time from when
    /// the broker read it until now; answers the quality of service that it gets at least.
    pub fn is_certain_for(&self, life: usize, message: &Message) -> Option<u8> {
        let read_at = message.read_at?;
        let certain = |sub: &&Sub| {
            !sub.is_shared
                && sub.since.is_some_and(|since| since < read_at)
                && sub.leaving_at.is_none()
                && !(sub.no_local && message.publisher == self.lives[life].client)
                && matches(&sub.filter, &message.topic)
        };
        let best = self.lives[life].subs.iter().filter(certain).map(|sub| sub.qos.min(message.qos)).max();
        best.filter(|_| self.lasts(life))
    }

    /// Whether this life may have had a subscription that covers the topic at any time since `read_at`.
    pub fn is_possible_for(&self, life: usize, topic: &str, read_at: Moment) -> bool {
        let covers = |sub: &Sub| sub.left_at.is_none_or(|left| left > read_at) && matches(&sub.filter, topic);
        self.lives[life].subs.iter().any(covers)
    }

    /// Whether a message that the broker had at `read_at` may be sent to this life for the first time now.
    pub fn may_be_sent(&self, life: usize, topic: &str, read_at: Moment) -> bool {
        let covers = |sub: &Sub| {
            !sub.is_done && sub.left_at.is_none_or(|left| left > read_at) && matches(&sub.filter, topic)
        };
        self.lives[life].subs.iter().any(covers)
    }

    /// Nothing waits for the client of a connection: what it has left by now is done with.
    pub fn nothing_waits(&mut self, number: usize) {
        let Some(life) = self.conns[number].life else { return };
        for sub in self.lives[life].subs.iter_mut().filter(|sub| sub.left_at.is_some()) {
            sub.is_done = true;
        }
    }

    /// Whether a PUBLISH with RETAIN may be a live message in this life.
    pub fn may_be_live(&self, life: usize, topic: &str) -> bool {
        self.lives[life].as_published.iter().any(|filter| matches(filter, topic))
    }

    /// Whether a client has a connection that has its CONNACK and has not ended.
    pub fn is_here(&self, client: usize) -> bool {
        self.conns
            .iter()
            .rev()
            .any(|conn| conn.client == client && conn.connack_at.is_some() && conn.detached.is_none())
    }

    /// The broker has crashed, and is there again; what is not on disk since `whole_at` may have happened or not.
    pub fn crash(&mut self, whole_at: Time) {
        let now = self.now;
        self.tick();
        for conn in &mut self.conns {
            if conn.attached.is_some() && conn.detached.is_none_or(|at| at >= whole_at) {
                conn.is_uncertain = conn.goodbye.is_some() || conn.detached.is_some();
                conn.detached = Some(now);
            }
            if conn.expiry == 0 {
                // It is not kept, published or not.
                conn.will = None;
            }
            // Its session may be on disk, and its answer not on its way.
            conn.is_uncertain |= conn.has_connect && conn.attached.is_none();
            conn.unhandled.clear();
        }
        // Numbers of sessions that do not last are used again.
        let (lives, life_of) = (&self.lives, &self.life_of);
        self.sessions.retain(|client, _| life_of.get(client).is_some_and(|life| lives[*life].has_lasted));
        // Who came back in vain may have cancelled a will that was waiting.
        let in_vain = self.conns.iter().filter(|conn| conn.has_connect && conn.attached.is_none());
        let in_vain: BTreeSet<usize> = in_vain.map(|conn| conn.client).collect();
        let waiting = self.conns.iter_mut().filter(|conn| in_vain.contains(&conn.client));
        waiting.for_each(|conn| conn.is_uncertain |= conn.will_delay > 0);
        for (client, ids) in std::mem::take(&mut self.unreleased) {
            self.unreleased_before.entry(client).or_default().extend(ids);
        }
        for life in &mut self.lives {
            life.subs.iter_mut().for_each(|sub| sub.is_done = false);
        }
    }

    /// Names a client in words.
    pub fn name(&self, client: usize) -> String {
        format!("client {client}")
    }
}

/// The filter of a subscription without `$share/name/`, and whether it is shared.
pub fn shared(text: &str) -> (&str, bool) {
    match text.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
        Some((_, filter)) => (filter, true),
        None => (text, false),
    }
}

/// Whether a topic filter matches a topic name, level by level as section 4.7 has it.
pub fn matches(filter: &str, topic: &str) -> bool {
    let mut topic = topic.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        match topic.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}
