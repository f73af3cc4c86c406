//! The reception: from an accepted connection to a Client with a session.

use crate::client::{Client, DetachGuard, LastRead};
use crate::clock;
use crate::desk::at_desk;
use crate::greeting::{self, Greeting, NoGreeting};
use crate::link::Link;
use crate::reader::Reader;
use crate::server::Doors;
use crate::transport::{Connection, ReadHalf, WriteHalf};
use aldis_broker::{Answer, Command, Connected};
use aldis_packet::{PacketType, ReasonCode};
use aldis_session::{
    Act, Conversation, Identity, Limits, Negotiated, Observer, Refusal, Violation, Wire, refuse_within,
};
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long somebody who was turned away has to read why.
const TURNED_AWAY: Duration = Duration::from_millis(100);

/// Greets a connection and gives it its session; `None` if it is turned away.
pub(crate) async fn receive(connection: Connection, doors: Arc<Doors>, trusted: bool) -> Option<Client> {
    let Connection { read: mut half, write, peer } = connection;
    let mut limits = doors.broker.limits();
    if trusted {
        // Who runs in this process need not prove that it is alive, however long it works on a message.
        Arc::make_mut(&mut limits).keep_alive_max = 0;
    }
    let authenticator = (!trusted).then_some(&*doors.authenticator);
    let greeting = tokio::select! {
        biased;
        greeting = greeting::greet(&mut half, &limits, authenticator, |connect| {
            let observer = &doors.broker.observer;
            if observer.traces() {
                observer.received(&peer, connect);
            }
        }) => greeting,
        () = doors.closing() => return None,
    };
    match greeting {
        Ok(greeting) => begin(greeting, limits, half, write, peer, &doors).await,
        Err(NoGreeting::Silence(why)) => {
            tracing::debug!(target: "aldis", "{peer}: {why}");
            None
        }
        Err(NoGreeting::Refused(refusal)) => {
            turn_away(&refusal, half, &*write, &peer, &doors).await;
            None
        }
    }
}

/// Says no: the CONNACK if there is one, then the end.
async fn turn_away(refusal: &Refusal, half: ReadHalf, write: &dyn WriteHalf, peer: &str, doors: &Doors) {
    doors.ended.count(refusal.why.reason);
    if let Some(more) = doors.refusals.allow() {
        tracing::info!(target: "aldis", "refused: connection from {peer}: {}{more}", refusal.why);
    }
    if !refusal.answer.is_empty() {
        // A fresh socket takes a few bytes at once; if it does not, the peer does not listen.
        let _ = write.try_write(&[IoSlice::new(&refusal.answer)]);
        let mut reader = Reader::new(half, Vec::new());
        let _ = timeout(TURNED_AWAY, reader.drain()).await;
    }
}

/// Asks the Broker for the session of an accepted CONNECT, and serves it.
async fn begin(
    greeting: Greeting,
    limits: Arc<Limits>,
    half: ReadHalf,
    write: Box<dyn WriteHalf>,
    peer: String,
    doors: &Arc<Doors>,
) -> Option<Client> {
    let Greeting { negotiated, verified, behind, received } = greeting;
    let broker = &doors.broker;
    let (version, maximum_packet_size) = (negotiated.terms.version, negotiated.terms.maximum_packet_size);
    let identity = Identity {
        client_id: Arc::clone(&negotiated.client_id),
        user_name: negotiated.user_name.clone().filter(|_| verified),
        rights: broker.rights.clone(),
    };
    if let Some(why) = forbidden_will(&negotiated, &identity) {
        turn_away(&refuse_within(version, maximum_packet_size, why), half, &*write, &peer, doors).await;
        return None;
    }
    let link = Arc::new(Link::new(write, doors.clock.millis(clock::now())));
    let mut connack = negotiated.connack(false);
    let (agreed, keep_alive) = (negotiated.agreed(), negotiated.keep_alive);
    tracing::debug!(
        target: "aldis",
        "{peer} connects as {:?}, user {:?}, MQTT {version}, keep alive {keep_alive} s",
        negotiated.client_id,
        negotiated.user_name
    );
    let wire = Arc::clone(&link) as Arc<dyn Wire>;
    let who = identity.clone();
    let asked = broker.ask(|reply| Command::Connect { negotiated, identity: who, wire, reply }).await;
    let Connected { session, connection, session_present } = match asked {
        Some(Answer::Connected(connected)) => connected,
        Some(Answer::Refused(why)) => {
            let answer = refuse_within(version, maximum_packet_size, why).answer;
            let _ = link.try_write(&[IoSlice::new(&answer)]);
            return None;
        }
        _ => return None,
    };
    let detach = DetachGuard::new(broker.clone(), session.number, connection);
    let conversation = Conversation::new(Arc::clone(&session), connection, identity, limits, agreed);
    connack.session_present = session_present;
    let mut encoded = Vec::new();
    connack.encode(version, maximum_packet_size, &mut encoded);
    at_desk(broker, |desk| {
        desk.bench.tally.received(PacketType::Connect as u8);
        desk.bench.tally.bytes_received += received.saturating_sub(behind.len()) as u64;
        conversation.begin(&connack, &encoded, &mut desk.bench);
    });
    doors.keep_alive.watch(&link, keep_alive);
    Some(Client {
        broker: broker.clone(),
        doors: Arc::clone(doors),
        reader: Reader::new(half, behind),
        link,
        session,
        conversation,
        detach,
        last_read: LastRead::default(),
    })
}

/// A will to a topic that its client may not publish to: refused now rather than when it is due.
fn forbidden_will(negotiated: &Negotiated, identity: &Identity) -> Option<Violation> {
    let will = negotiated.will.as_ref()?;
    if identity.may(Act::Publish, &will.topic) {
        return None;
    }
    let what = "the client may not publish to its will topic";
    Some(Violation::new(ReasonCode::NotAuthorized, "MQTT-3.1.4-2", what))
}
