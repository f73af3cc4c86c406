//! Chapter 5: the Broker. A pure state machine owns sessions, subscriptions and retained messages; a
//! small shell around it moves commands, bytes and time. See docs/chapters/5-broker.md.
//! ```sh
//! cargo run -p aldis-server --example chapter_5_broker
//! mosquitto_sub -i me -c -q 2 -t 'home/#' -v &
//! mosquitto_pub -q 2 -r -t home/kitchen -m warm
//! ```
#![allow(clippy::print_stdout, reason = "the terminal is where this program reports")]
#![allow(clippy::disallowed_methods, reason = "a task for each connection, which ends with it")]

mod socket;

use aldis_broker::{Answer, Broker, Command, Connected, Effect, Retained, Routes};
use aldis_packet::{Packet, Suback, Unsuback};
use aldis_session::{Conversation, Ending, Held, Identity, Input, Limits, Next, Request, Workbench};
use socket::Socket;
use std::{io, sync::Arc};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

type Reply = oneshot::Sender<Answer>;

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:1883").await?;
    println!("listening on {}; try: mosquitto_sub -i me -c -q 2 -t '#' -v", listener.local_addr()?);
    serve(listener).await
}

pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    let broker = Broker::new(Arc::default(), Arc::default(), Instant::now().into_std());
    let (routes, retained, (commands, received)) = (broker.routes(), broker.retained(), mpsc::channel(1024));
    tokio::spawn(broker_task(broker, received));
    let hall = Arc::new(Hall { commands, routes, retained });
    for number in 1.. {
        tokio::spawn(serve_one(number, listener.accept().await?.0, Arc::clone(&hall)));
    }
    Ok(())
}

/// The shell of the Broker: time and commands in, answers out.
async fn broker_task(mut broker: Broker<Reply>, mut commands: mpsc::Receiver<Command<Reply>>) {
    loop {
        let now = || Instant::now().into_std();
        let due = broker.poll_timeout(now()).map(Instant::from_std);
        // What is due first: a flood of commands must not keep sessions from expiring.
        tokio::select! {
            biased;
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => broker.step(now()),
            Some(command) = commands.recv() => broker.handle(command, now()),
            else => return,
        }
        while let Some(Effect::Answer(reply, answer, ..)) = broker.poll_effect() {
            let _ = reply.send(answer);
        }
    }
}

/// What everybody holds: the way to the Broker, and what may be read without asking it.
struct Hall {
    commands: mpsc::Sender<Command<Reply>>,
    routes: Arc<Routes>,
    retained: Arc<Retained>,
}

impl Hall {
    async fn ask(&self, command: impl FnOnce(Reply) -> Command<Reply>) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// From the CONNECT to the end of the connection. The session may go on.
async fn serve_one(number: u64, stream: TcpStream, hall: Arc<Hall>) -> Option<()> {
    let limits = Arc::<Limits>::default();
    let (mut socket, negotiated) = Socket::greet(stream, &limits, number).await?;
    let identity = Identity { client_id: negotiated.client_id.clone(), user_name: None, rights: None };
    let (agreed, mut connack, mut encoded) = (negotiated.agreed(), negotiated.connack(false), Vec::new());
    let (negotiated, who, wire) = (Box::new(negotiated), identity.clone(), Arc::clone(&socket.link) as _);
    let ask = |reply| Command::Connect { negotiated, identity: who, wire, take_over_only: false, reply };
    let asked = hall.ask(ask).await?;
    let Answer::Connected(Connected { session, connection, session_present }) = asked else { return None };
    connack.session_present = session_present;
    connack.encode(agreed.version, agreed.maximum_packet_size, &mut encoded);
    let mut talk = Conversation::new(session, connection, identity, limits, agreed);
    let mut bench = socket::workbench();
    talk.begin(&connack, &encoded, &mut bench);
    let ending = converse(&hall, &mut socket, &mut talk, &mut bench).await.unwrap_or(Ending::Lost);
    hall.commands.send(Command::Detach { session: talk.session.number, connection, ending }).await.ok()
}

/// The shell of one connection: it reads, lets the [`Conversation`] decide, and asks the Broker.
async fn converse(
    hall: &Hall,
    socket: &mut Socket,
    talk: &mut Conversation,
    bench: &mut Workbench,
) -> Option<Ending> {
    loop {
        bench.begin(Instant::now().into_std(), false);
        let turned = talk.turn(Input::Borrowed(&socket.bytes), &*hall.routes, bench);
        socket.bytes.drain(..turned.consumed);
        match turned.next {
            Next::End(ending) => return Some(ending),
            Next::Ask(request) => ask(hall, talk, bench, request).await?,
            Next::Yield => bench.finish(),
            Next::Read => match socket.wait(&talk.session, talk.connection, bench).await {
                Err(ending) => return Some(ending),
                Ok(false) => {}
                Ok(true) => {
                    hall.retained.replay(&talk.session, bench);
                    talk.session.pull_from_groups(bench);
                }
            },
        }
    }
}

/// What only the Broker can do. Before anything is awaited, what was appended is written.
async fn ask(hall: &Hall, talk: &mut Conversation, bench: &mut Workbench, request: Request) -> Option<()> {
    bench.finish();
    let session = talk.session.number;
    let reasons = |answer| if let Answer::Reasons(reasons) = answer { Some(reasons) } else { None };
    let answer = match request {
        Request::Subscribe(subscribing) => {
            let id = subscribing.packet_id;
            let asked = hall.ask(|reply| Command::Subscribe { session, subscribing, reply }).await?;
            Packet::Suback(Suback::new(id, reasons(asked)?))
        }
        Request::Unsubscribe(unsubscribing) => {
            let id = unsubscribing.packet_id;
            let asked = hall.ask(|reply| Command::Unsubscribe { session, unsubscribing, reply }).await?;
            Packet::Unsuback(Unsuback::new(id, reasons(asked)?))
        }
        Request::Retain(held) => {
            let of = |held: &Held| held.publication.clone().filter(|publication| publication.retain);
            let each = held.iter().enumerate();
            let publications = each.filter_map(|(at, held)| Some((at, of(held)?))).collect();
            let asked = hall.ask(|reply| Command::Retain { publications, reply }).await?;
            let Answer::Retained(refused) = asked else { return None };
            let held = &mut held.into_iter().enumerate();
            while !talk.release(held, &refused, &*hall.routes, bench) {}
            return talk.ends_after_release().is_none().then_some(());
        }
    };
    talk.append(&answer, bench);
    Some(())
}
