//! A will is published when its connection ends without a DISCONNECT [MQTT-3.1.2-8], after its delay or with the
//! session if that ends first [MQTT-3.1.3-9], once; and not at all if its client says goodbye [MQTT-3.14.4-3] or is
//! back in time.

use super::{Checker, Verdict};
use crate::agenda::{SECOND, Time};
use crate::census::Census;
use crate::ground::{Conn, Ground};
use crate::watch::Fact;
use std::collections::BTreeSet;

#[derive(Default)]
pub(super) struct Wills {
    fired: BTreeSet<usize>,
    /// In lives of the broker before a crash: it may not remember.
    fired_before: BTreeSet<usize>,
}

/// When the will of a connection is due.
fn due(conn: &Conn) -> Option<Time> {
    Some(conn.detached? + Time::from(conn.will_delay.min(conn.expiry)) * SECOND)
}

/// The connection that got the session next after `number` had it, if it is the same session.
fn back(number: usize, ground: &Ground) -> Option<&Conn> {
    let this = &ground.conns[number];
    let after = |conn: &&Conn| conn.client == this.client && conn.attached_at > this.attached_at;
    let next = ground.conns.iter().filter(after).min_by_key(|conn| conn.attached_at);
    next.filter(|conn| conn.session_present)
}

fn is_due(number: usize, ground: &Ground) -> Verdict {
    let conn = &ground.conns[number];
    let name = ground.name(conn.client);
    if conn.is_uncertain {
        return Ok(());
    }
    let Some(due) = due(conn) else {
        return Err(format!("the will of {name} #{number} is due while it is connected"));
    };
    let other = |(at, other): &(usize, &Conn)| {
        let not_before = other.attached.is_none() || other.attached_at > conn.attached_at;
        *at != number && other.client == conn.client && other.has_connect && not_before
    };
    let others = || ground.conns.iter().enumerate().filter(other).map(|(_, other)| other);
    if conn.goodbye.is_some_and(|goodbye| !goodbye.with_will) && others().next().is_none() {
        return Err(format!("{name} #{number} has said goodbye, and its will is published"));
    }
    if back(number, ground).and_then(|back| back.attached).is_some_and(|at| at < due) {
        return Err(format!("{name} #{number} was back in time, and its will is published"));
    }
    // A clean start ends the session, and so the wait.
    if ground.now < due && !others().any(|other| other.clean) {
        let early = due - ground.now;
        return Err(format!("the will of {name} #{number} is published {early} microseconds too early"));
    }
    Ok(())
}

impl Wills {
    fn end(&self, ground: &Ground, census: &mut Census) -> Verdict {
        for (number, conn) in ground.conns.iter().enumerate() {
            let (Some(will), Some(due)) = (conn.will, due(conn)) else { continue };
            if conn.is_uncertain {
                continue;
            }
            let has_fired = self.fired.contains(&will) || self.fired_before.contains(&will);
            if conn.goodbye.is_some_and(|goodbye| !goodbye.with_will) {
                census.count("a will was cancelled by DISCONNECT");
                continue;
            }
            // Whoever comes back when it is due may be in time, or not.
            let back = back(number, ground);
            if has_fired {
                census.count("a will was published");
                if conn.will_delay > 0 {
                    census.count("a delayed will was published");
                }
            } else if back.is_some() && conn.will_delay > 0 {
                if back.and_then(|conn| conn.attached).is_some_and(|at| at < due) {
                    census.count("a delayed will was cancelled by coming back");
                }
            } else {
                return Err(format!(
                    "{} #{number} was lost without a word, and its will (message {will}) never came",
                    ground.name(conn.client)
                ));
            }
        }
        Ok(())
    }
}

impl Checker for Wills {
    fn name(&self) -> &'static str {
        "wills"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        match fact {
            Fact::WillDue { message } => {
                if !self.fired.insert(*message) {
                    return Err(format!("the will in message {message} is published twice"));
                }
                let number = ground.conns.iter().position(|conn| conn.will == Some(*message));
                number.map_or(Ok(()), |number| is_due(number, ground))
            }
            Fact::Crashes(_) => {
                self.fired_before.append(&mut self.fired);
                Ok(())
            }
            Fact::End(_) => self.end(ground, census),
            _ => Ok(()),
        }
    }
}
