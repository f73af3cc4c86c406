//! The Broker's loop: commands in, effects out, one after the other.
//!
//! Answers pass a gate on their way out: one that stands for records of the log leaves when they are
//! committed. A Client asks one thing at a time, so its answers need no other order. When the log fails, what waits for
//! it is answered by a refusal: never by silence.

use crate::broker_handle::{Reply, ToBroker};
use crate::clock;
use aldis_broker::{Answer, Broker, Command, Effect};
use aldis_packet::ReasonCode;
use aldis_session::{Counters, Ending, Violation};
use aldis_store::{Condition, Gate, Log, Sequence};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval};

/// Commands taken from the channel at once.
const COMMANDS_A_TURN: usize = 64;

/// How often queues are looked through for messages that have expired, if there are any in them.
const SWEEP: Duration = Duration::from_secs(10);

/// Runs until every handle is gone.
pub(crate) async fn broker_task(
    mut broker: Broker<Reply>,
    mut commands: mpsc::Receiver<ToBroker>,
    log: Arc<dyn Log>,
    counters: Arc<Counters>,
) {
    let mut batch = Vec::with_capacity(COMMANDS_A_TURN);
    let mut gate = Gate::default();
    let committed = Arc::new(Notify::new());
    let bell = Arc::clone(&committed);
    log.on_commit(Box::new(move || bell.notify_one()));
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let timeout = broker.poll_timeout(clock::now());
        let due = async {
            match timeout {
                // Not a sleep, which lasts a millisecond at least: a long chore has many steps.
                Some(at) if at <= clock::now() => tokio::task::yield_now().await,
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        // Commands first, so that a long chore never keeps a Client waiting for more than its step.
        tokio::select! {
            biased;
            count = commands.recv_many(&mut batch, COMMANDS_A_TURN) => if count == 0 { return },
            () = committed.notified() => {}
            () = due => {}
            _ = sweep.tick() => if counters.queued_bytes.load(Relaxed) > 0 {
                broker.handle(Command::Sweep, clock::now());
            }
        }
        while let Some((reply, answer)) = gate.release(log.committed()) {
            give(&mut broker, reply, answer);
        }
        carry_out(&mut broker, &mut gate, &*log);
        for command in batch.drain(..) {
            match command {
                ToBroker::Command(command) => broker.handle(command, clock::now()),
                ToBroker::Limits(limits) => broker.set_limits(limits),
            }
            carry_out(&mut broker, &mut gate, &*log);
        }
        if broker.poll_timeout(clock::now()).is_some_and(|at| at <= clock::now()) {
            broker.step(clock::now());
            carry_out(&mut broker, &mut gate, &*log);
        }
        // Last: what this turn has recorded waits for a commit that will not come.
        if log.condition() == Condition::Failed {
            while let Some((reply, answer)) = gate.release(Sequence::MAX) {
                refuse(&mut broker, reply, answer);
            }
            carry_out(&mut broker, &mut gate, &*log);
        }
    }
}

fn carry_out(broker: &mut Broker<Reply>, gate: &mut Gate<(Reply, Answer)>, log: &dyn Log) {
    while let Some(Effect::Answer(reply, answer, after)) = broker.poll_effect() {
        if let Some((reply, answer)) = gate.pass(after, log.committed(), (reply, answer)) {
            give(broker, reply, answer);
        }
    }
}

/// What was done is not durable, and never will be.
fn refuse(broker: &mut Broker<Reply>, reply: Reply, answer: Answer) {
    match answer {
        Answer::Connected(connected) => {
            let what = "the store has failed, and the session would last";
            let why = Violation::new(ReasonCode::ServerUnavailable, "", what);
            // Whoever is gone needs no answer.
            let _ = reply.send(Answer::Refused(why));
            let (session, connection) = (connected.session.number, connected.connection);
            let ending =
                Ending::Disconnected { will: false, session_expiry: None, reason: ReasonCode::Success };
            broker.handle(Command::Detach { session, connection, ending }, clock::now());
        }
        Answer::Reasons(_) => {
            let what = "the store has failed";
            let why = Violation::new(ReasonCode::ImplementationSpecificError, "", what);
            let _ = reply.send(Answer::Refused(why));
        }
        other => give(broker, reply, other),
    }
}

fn give(broker: &mut Broker<Reply>, reply: Reply, answer: Answer) {
    if let Err(Answer::Connected(connected)) = reply.send(answer) {
        // Nobody took the session: the connection is gone before it began, and so has no will.
        let ending = Ending::Disconnected { will: false, session_expiry: None, reason: ReasonCode::Success };
        let (session, connection) = (connected.session.number, connected.connection);
        broker.handle(Command::Detach { session, connection, ending }, clock::now());
    }
}
