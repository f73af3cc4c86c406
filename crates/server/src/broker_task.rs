//! The Broker's loop: commands in, effects out, one after the other.

use crate::broker_handle::{Reply, ToBroker};
use crate::clock;
use aldis_broker::{Answer, Broker, Command, Effect};
use aldis_packet::ReasonCode;
use aldis_session::Ending;
use tokio::sync::mpsc;

/// Commands taken from the channel at once.
const COMMANDS_A_TURN: usize = 64;

/// Runs until every handle is gone.
pub(crate) async fn broker_task(mut broker: Broker<Reply>, mut commands: mpsc::Receiver<ToBroker>) {
    let mut batch = Vec::with_capacity(COMMANDS_A_TURN);
    loop {
        let timeout = broker.poll_timeout(clock::now());
        let due = async {
            match timeout {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        // Commands first, so that a long chore never keeps a Client waiting for more than its step.
        tokio::select! {
            biased;
            count = commands.recv_many(&mut batch, COMMANDS_A_TURN) => if count == 0 { return },
            () = due => {}
        }
        for command in batch.drain(..) {
            match command {
                ToBroker::Command(command) => broker.handle(command, clock::now()),
                ToBroker::Limits(limits) => broker.set_limits(limits),
            }
            carry_out(&mut broker);
        }
        if broker.poll_timeout(clock::now()).is_some_and(|at| at <= clock::now()) {
            broker.step(clock::now());
            carry_out(&mut broker);
        }
    }
}

fn carry_out(broker: &mut Broker<Reply>) {
    while let Some(Effect::Answer(reply, answer)) = broker.poll_effect() {
        if let Err(Answer::Connected(connected)) = reply.send(answer) {
            // Nobody took the session: the connection is gone before it began, and so has no will.
            let ending =
                Ending::Disconnected { will: false, session_expiry: None, reason: ReasonCode::Success };
            let detach = Command::Detach {
                session: connected.session.number,
                connection: connected.connection,
                ending,
            };
            broker.handle(detach, clock::now());
        }
    }
}
