//! The reception: from an accepted connection to a Client with a session, or to a refusal that is answered,
//! counted, traced and logged, whatever the reason.

use crate::client::{Client, DetachGuard, LastRead, is_ordinary};
use crate::clock;
use crate::desk::at_desk;
use crate::greeting::{self, Greeting, NoGreeting, Refused, User, Who};
use crate::link::Link;
use crate::notices::Kind;
use crate::places::Place;
use crate::reader::Reader;
use crate::server::Doors;
use crate::transport::{Connection, ReadHalf, WriteHalf};
use aldis_broker::{Answer, Command, Connected};
use aldis_packet::{PacketType, ProtocolVersion, Quoted, ReasonCode};
use aldis_session::{
    Act, Conversation, Identity, Limits, Negotiated, Observer, Refusal, Violation, Wire, refuse,
    refuse_within,
};
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::timeout;

/// How long somebody who was turned away has to read why.
const TURNED_AWAY: Duration = Duration::from_millis(100);
/// Time for the CONNECT of a connection beyond `limits.connections`. Enough for a client that sends it at
/// once, as all do; a slower one holds up others that would be told why.
const TIME_BEYOND: Duration = Duration::from_secs(2);
/// Largest CONNECT of such a connection, in bytes: client id, names and a short will.
const SIZE_BEYOND: usize = 4096;

/// Who is at the other end of a connection, and what it has cost so far.
struct Stranger {
    peer: String,
    /// Bytes of its CONNECT, or of what came instead.
    received: usize,
    /// It has a place beyond `limits.connections`.
    is_beyond: bool,
}

/// Greets a connection and gives it its session; `None` if it is turned away.
pub(crate) async fn receive(
    connection: Connection,
    doors: Arc<Doors>,
    trusted: bool,
    place: &mut Place,
) -> Option<Client> {
    let Connection { read: mut half, write, peer } = connection;
    let mut stranger = Stranger { peer, received: 0, is_beyond: place.is_beyond() };
    let mut limits = doors.broker.limits();
    if stranger.is_beyond {
        let limits = Arc::make_mut(&mut limits);
        limits.first_packet_timeout = limits.first_packet_timeout.min(TIME_BEYOND);
        limits.first_packet_size = limits.first_packet_size.min(SIZE_BEYOND);
    }
    if trusted {
        // Who runs in this process need not prove that it is alive, however long it works on a message.
        Arc::make_mut(&mut limits).keep_alive_max = 0;
    }
    let authenticator = (!trusted).then_some(&*doors.authenticator);
    let Stranger { peer, received, .. } = &mut stranger;
    // A CONNECT that is whole comes before the end: its client is told that the server shuts down.
    let greeting = tokio::select! {
        biased;
        greeting = greeting::greet(&mut half, &limits, &doors.broker.counters, authenticator, received, |connect| {
            let observer = &doors.broker.observer;
            if observer.traces() {
                observer.received(peer, connect);
            }
        }) => greeting,
        () = doors.closing() => return None,
    };
    match greeting {
        Ok(greeting) => {
            let client = begin(greeting, limits, half, write, &stranger, &doors).await;
            if client.is_some() && stranger.is_beyond {
                place.accept();
            }
            client
        }
        Err(NoGreeting::Silence(why)) => {
            send_off(None, why, &stranger, &doors);
            None
        }
        Err(NoGreeting::Timeout) => {
            let why = "no CONNECT within limits.first_packet_timeout";
            send_off(Some(limits.first_packet_timeout), why, &stranger, &doors);
            None
        }
        Err(NoGreeting::Refused(mut refused)) => {
            if stranger.is_beyond && refused.refusal.why.reason == ReasonCode::PacketTooLarge {
                // For want of a place; with one, it might well have been small enough.
                refused.kind = Kind::NoPlace;
                if refused.refusal.connack.is_some() {
                    refused.refusal = refuse(ProtocolVersion::V5, no_place_violation());
                }
            }
            turn_away(*refused, half, &|bytes| write.try_write(bytes), &stranger, &doors).await;
            None
        }
    }
}

/// There was no place for this connection.
pub(crate) fn no_place(doors: &Doors, who: fmt::Arguments<'_>) {
    let places = doors.broker.limits().connections;
    let why = format_args!("all {places} places of limits.connections are taken; raise it");
    doors.notices.warn(Kind::NoPlace, format_args!("refused: {who}: {why}"));
}

fn no_place_violation() -> Violation {
    Violation::new(ReasonCode::QuotaExceeded, "", "all places of limits.connections are taken")
}

/// A connection without a CONNECT ends without an answer.
fn send_off(timed_out: Option<Duration>, why: &str, stranger: &Stranger, doors: &Doors) {
    let Stranger { peer, received, is_beyond } = stranger;
    at_desk(&doors.broker, |desk| desk.bench.tally.bytes_received += *received as u64);
    match timed_out {
        // It was short of time because it was short of a place.
        _ if *is_beyond => no_place(doors, format_args!("connection from {peer}")),
        None => tracing::debug!(target: "aldis", "{peer}: {why}"),
        Some(limit) => {
            doors.first_packet_timeouts.fetch_add(1, Relaxed);
            let line = format_args!("refused: connection from {peer}: {why} ({} s)", limit.as_secs_f64());
            doors.notices.warn(Kind::FirstPacketTimeout, line);
        }
    }
}

/// Says no: the CONNACK if there is one, then the end.
async fn turn_away(
    refused: Refused,
    half: ReadHalf,
    write: &(dyn Fn(&[IoSlice<'_>]) -> io::Result<usize> + Sync),
    stranger: &Stranger,
    doors: &Doors,
) {
    let Refused { refusal, kind, who, words } = refused;
    let Stranger { peer, received, .. } = stranger;
    let reason = refusal.why.reason;
    doors.ended.count(reason);
    // A fresh socket takes a few bytes at once; if it does not, the peer does not listen.
    let sent =
        if refusal.answer.is_empty() { 0 } else { write(&[IoSlice::new(&refusal.answer)]).unwrap_or(0) };
    at_desk(&doors.broker, |desk| {
        let tally = &mut desk.bench.tally;
        tally.bytes_received += *received as u64;
        tally.bytes_sent += sent as u64;
        if who.is_some() {
            tally.received(PacketType::Connect as u8, *received);
        }
        if let Some(connack) = &refusal.connack {
            tally.sent(PacketType::Connack as u8, refusal.answer.len());
            if desk.bench.traces {
                desk.bench.observer.sent(peer, &**connack);
            }
        }
    });
    let who = match who {
        Some(who) => format!("{who}, from {peer}"),
        None => format!("connection from {peer}"),
    };
    let why = words.unwrap_or_else(|| refusal.why.to_string());
    match kind {
        Kind::NoPlace => no_place(doors, format_args!("{who}")),
        _ if is_ordinary(reason) => tracing::debug!(target: "aldis", "refused: {who}: {why}"),
        _ => doors.notices.warn(kind, format_args!("refused: {who}: {why}")),
    }
    if !refusal.answer.is_empty() {
        let mut reader = Reader::new(half, Vec::new(), &doors.broker.counters);
        let _ = timeout(TURNED_AWAY, reader.drain()).await;
    }
}

/// Asks the Broker for the session of an accepted CONNECT, and serves it.
async fn begin(
    greeting: Greeting,
    limits: Arc<Limits>,
    half: ReadHalf,
    write: Box<dyn WriteHalf>,
    stranger: &Stranger,
    doors: &Arc<Doors>,
) -> Option<Client> {
    let Stranger { peer, received, is_beyond } = stranger;
    let Greeting { negotiated, verified, behind } = greeting;
    let broker = &doors.broker;
    let (version, maximum_packet_size) = (negotiated.terms.version, negotiated.terms.maximum_packet_size);
    let identity = Identity {
        client_id: Arc::clone(&negotiated.client_id),
        user_name: negotiated.user_name.clone().filter(|_| verified),
        rights: broker.rights.clone(),
    };
    let who = Who { client_id: Arc::clone(&negotiated.client_id), user_name: negotiated.user_name.clone() };
    if let Some(refused) = forbidden_will(&negotiated, &identity, &who) {
        turn_away(refused, half, &|bytes| write.try_write(bytes), stranger, doors).await;
        return None;
    }
    let link = Arc::new(Link::new(write, doors.clock.millis(clock::now())));
    let mut connack = negotiated.connack(false);
    let (agreed, keep_alive) = (negotiated.agreed(), negotiated.keep_alive);
    let wire = Arc::clone(&link) as Arc<dyn Wire>;
    let (identity_too, take_over_only) = (identity.clone(), *is_beyond);
    let asked = broker
        .ask(|reply| Command::Connect { negotiated, identity: identity_too, wire, take_over_only, reply })
        .await;
    let Connected { session, connection, session_present } = match asked {
        Some(Answer::Connected(connected)) => connected,
        Some(Answer::Refused(why)) => {
            let refused =
                refused_by_broker(refuse_within(version, maximum_packet_size, why), who, *is_beyond);
            turn_away(refused, half, &|bytes| link.try_write(bytes), stranger, doors).await;
            return None;
        }
        _ => return None,
    };
    log_connect(peer, &who, version, keep_alive);
    let detach = DetachGuard::new(broker.clone(), session.number, connection);
    let conversation = Conversation::new(Arc::clone(&session), connection, identity, limits, agreed);
    connack.session_present = session_present;
    let mut encoded = Vec::new();
    connack.encode(version, maximum_packet_size, &mut encoded);
    at_desk(broker, |desk| {
        let connect = received.saturating_sub(behind.len());
        desk.bench.tally.received(PacketType::Connect as u8, connect);
        // What came behind it was read with it, and is handled in the first turn.
        desk.bench.tally.bytes_received += *received as u64;
        conversation.begin(&connack, &encoded, &mut desk.bench);
    });
    // Not from CONNECT on: the Broker may have taken its time.
    doors.keep_alive.watch(&link, keep_alive, doors.clock.millis(clock::now()));
    Some(Client {
        broker: broker.clone(),
        doors: Arc::clone(doors),
        reader: Reader::new(half, behind, &broker.counters),
        link,
        session,
        conversation,
        detach,
        last_read: LastRead::default(),
        releasing: None,
    })
}

/// The line of `-v` for a client that is let in.
fn log_connect(peer: &str, who: &Who, version: ProtocolVersion, keep_alive: u16) {
    let (client_id, user) = (Quoted(&who.client_id), User(who.user_name.as_deref()));
    tracing::debug!(
        target: "aldis",
        "{peer} connects as {client_id}, {user}, MQTT {version}, keep alive {keep_alive} s"
    );
}

fn refused_by_broker(refusal: Refusal, who: Who, is_beyond: bool) -> Refused {
    let reason = refusal.why.reason;
    let for_want_of_a_place = is_beyond && reason == ReasonCode::QuotaExceeded;
    let kind = if for_want_of_a_place { Kind::NoPlace } else { Kind::Refused(reason) };
    Refused::new(refusal, kind, Some(who))
}

/// A will to a topic that its client may not publish to: refused now rather than when it is due.
fn forbidden_will(negotiated: &Negotiated, identity: &Identity, who: &Who) -> Option<Refused> {
    let will = negotiated.will.as_ref()?;
    let denial = identity.judge(Act::Publish, &will.topic).err()?;
    let what = "the client may not publish to its will topic";
    let why = Violation::new(ReasonCode::NotAuthorized, "MQTT-3.1.4-2", what);
    let refusal = refuse_within(negotiated.terms.version, negotiated.terms.maximum_packet_size, why);
    let words = Some(format!("its will to {}: {denial}", Quoted(&will.topic)));
    Some(Refused { words, ..Refused::new(refusal, Kind::ForbiddenWill, Some(who.clone())) })
}
