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
use aldis_packet::ReasonCode;
use aldis_session::{Act, Conversation, Identity, Refusal, Violation, Wire, refuse};
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long somebody who was turned away has to read why.
const TURNED_AWAY: Duration = Duration::from_millis(100);

/// Greets a connection and gives it its session; `None` if it is turned away.
pub(crate) async fn receive(connection: Connection, doors: Arc<Doors>, trusted: bool) -> Option<Client> {
    let Connection { read: mut half, write, peer } = connection;
    let limits = doors.broker.limits();
    let authenticator = (!trusted).then_some(&*doors.authenticator);
    let greeting = tokio::select! {
        biased;
        greeting = greeting::greet(&mut half, &limits, authenticator) => greeting,
        () = doors.closing() => return None,
    };
    match greeting {
        Ok(greeting) => begin(greeting, half, write, peer, &doors).await,
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
    half: ReadHalf,
    write: Box<dyn WriteHalf>,
    peer: String,
    doors: &Arc<Doors>,
) -> Option<Client> {
    let Greeting { negotiated, verified, behind, received } = greeting;
    let broker = &doors.broker;
    let version = negotiated.terms.version;
    let identity = Identity {
        client_id: Arc::clone(&negotiated.client_id),
        user_name: negotiated.user_name.clone().filter(|_| verified),
        rights: broker.rights.clone(),
    };
    if let Some(will) = &negotiated.will
        && !identity.may(Act::Publish, &will.topic)
    {
        let what = "the client may not publish to its will topic";
        let why = Violation::new(ReasonCode::NotAuthorized, "MQTT-3.1.4-2", what);
        turn_away(&refuse(version, why), half, &*write, &peer, doors).await;
        return None;
    }
    let link = Arc::new(Link::new(write, doors.clock.millis(clock::now())));
    let mut connack = negotiated.connack(false);
    let maximum_packet_size = negotiated.terms.maximum_packet_size;
    let (session_expiry, keep_alive) = (negotiated.session_expiry, negotiated.keep_alive);
    let line = format!(
        "{peer} connected as {:?}, user {:?}, MQTT {version}, keep alive {keep_alive} s",
        identity.client_id, negotiated.user_name
    );
    let wire = Arc::clone(&link) as Arc<dyn Wire>;
    let asked = {
        let identity = identity.clone();
        broker.ask(|reply| Command::Connect { negotiated, identity, wire, reply }).await
    };
    let Connected { session, connection, session_present } = match asked {
        Some(Answer::Connected(connected)) => connected,
        Some(Answer::Refused(why)) => {
            let _ = link.try_write(&[IoSlice::new(&refuse(version, why).answer)]);
            return None;
        }
        _ => return None,
    };
    tracing::debug!(target: "aldis", "{line}");
    let conversation = Conversation::new(
        Arc::clone(&session),
        connection,
        version,
        identity,
        broker.limits(),
        session_expiry,
    );
    let detach = DetachGuard::new(broker.clone(), session.number, connection);
    connack.session_present = session_present;
    let mut encoded = Vec::new();
    connack.encode(version, maximum_packet_size, &mut encoded);
    at_desk(broker, |desk| {
        desk.bench.tally.received(1);
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
        maximum_packet_size,
        detach,
        last_read: LastRead::default(),
    })
}
