//! The grid: malformed packets, and those at the borders of what is allowed, each in every state of a
//! connection. No case is written by hand. A table (`form`) says what the standards allow in each packet, and
//! spoiling one thing at a time (`spoil`, `strings`, `properties`, `connect`) gives the flawed ones, taking one
//! to its borders (`edges`) the good ones.
//!
//! A case passes only by what was seen. Before the packet the connection answers a PINGREQ. After a flawed one
//! it is closed, no packet of success came, and a witness that subscribes to the topics of the case got its own
//! marker and nothing before it. A good one has its answer and its effect.
//!
//! The grid demands what the standards demand. What they leave open, or only advise, has to be answered one way
//! or the other; 3.1, which seldom says what follows from a fault, is held to not acting on it. There is no case
//! where nothing definite can be demanded: a Remaining Length beyond what was sent (the rest may come),
//! retained messages and limits of the broker (the tests of the statements have them), an acknowledgement of
//! what was never sent.

mod connect;
mod edges;
mod expect;
mod flaw;
mod form;
mod judge;
mod part;
mod play;
mod properties;
mod spoil;
mod state;
mod strings;
mod summary;
#[cfg(test)]
mod tests;
mod witness;

pub use flaw::Flaw;
pub use form::Form;
pub use play::{Played, play};
pub use state::State;
pub use summary::summary;

use crate::wire::Version;
use expect::{Clause, Expect};
use flaw::Flawed;
use part::{GIVEN_ID, HOLE, Shape};

/// One packet in one state, and what has to follow.
#[derive(Debug, Clone)]
pub struct GridCase {
    /// The version of the connection.
    pub version: Version,
    /// The packet.
    pub form: Form,
    /// What is wrong with it.
    pub flaw: Flaw,
    /// In which state it is sent.
    pub state: State,
    /// Version, packet, state, and what is sent: no two cases have the same.
    pub name: String,
    /// The statement, where one has an identifier.
    pub clause: Option<&'static str>,
    packet: Vec<u8>,
    expect: Expect,
}

impl GridCase {
    /// The bytes of the packet, for a case that is played under that name of twelve letters and digits, when
    /// the broker has chosen that identifier for what is acknowledged.
    #[must_use]
    pub fn packet(&self, name: &str, given_id: u16) -> Vec<u8> {
        let mut packet = self.packet.clone();
        fill(&mut packet, HOLE.as_bytes(), name.as_bytes());
        if self.form.answers_the_broker() {
            fill(&mut packet, &GIVEN_ID.to_be_bytes(), &given_id.to_be_bytes());
        }
        packet
    }

    /// Whether the standards leave it to the broker what to do.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.expect == Expect::Open
    }

    /// Whether it has to be answered, and the connection goes on or ends in good order.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self.expect, Expect::Served(_))
    }
}

/// Puts other bytes of the same length wherever these stand.
fn fill(packet: &mut [u8], hole: &[u8], with: &[u8]) {
    let mut from = 0;
    while let Some(place) =
        packet.get(from..).and_then(|rest| rest.windows(hole.len()).position(|at| at == hole))
    {
        from += place;
        for (byte, value) in packet.iter_mut().skip(from).zip(with.iter().take(hole.len())) {
            *byte = *value;
        }
        from += hole.len();
    }
}

/// All cases of a version, in the order of the table.
#[must_use]
pub fn cases(version: Version) -> Vec<GridCase> {
    let mut cases = Vec::new();
    for row in form::rows(version) {
        for flawed in spoil::spoil(&Shape::new(row, version)) {
            for state in State::ALL {
                if let Some((clause, expect)) = in_state(version, row.form, state, &flawed) {
                    let variant = if row.variant.is_empty() { "" } else { " " };
                    let form = row.form.name();
                    cases.push(GridCase {
                        version,
                        form: row.form,
                        flaw: flawed.flaw,
                        state,
                        name: format!(
                            "{version} {form}{variant}{} {}: {}",
                            row.variant,
                            state.name(row.form),
                            flawed.what
                        ),
                        clause: clause.of(version),
                        packet: flawed.bytes.clone(),
                        expect,
                    });
                }
            }
        }
    }
    cases
}

impl Clause {
    fn of(self, version: Version) -> Option<&'static str> {
        let id = match version {
            Version::V31 => "",
            Version::V311 => self.0,
            Version::V5 => self.1,
        };
        (!id.is_empty()).then_some(id)
    }
}

/// What has to follow in that state; none where the packet need not be tried there.
fn in_state(version: Version, form: Form, state: State, flawed: &Flawed) -> Option<(Clause, Expect)> {
    let plain = flawed.what == "a good one";
    let allowed = flawed.flaw == Flaw::None;
    if form == Form::Connect && !state.is_first(form) {
        // A second CONNECT is wrong whatever is in it. 3.1 does not speak of it.
        let closed = if version == Version::V31 { Expect::Open } else { Expect::Closed(expect::SECOND) };
        let wanted = plain || !allowed && version != Version::V31;
        return wanted.then_some((Clause("MQTT-3.1.0-2", "MQTT-3.1.0-2"), closed));
    }
    if form != Form::Connect && state.is_first(form) {
        let wanted = !allowed || plain;
        return wanted.then_some((Clause("MQTT-3.1.0-1", "MQTT-3.1.0-1"), Expect::Closed(expect::FIRST)));
    }
    // The borders are the same whatever else the connection does; what is open shows little more than once.
    let once = matches!(state, State::First | State::Connected);
    let wanted = match flawed.expect {
        Expect::Open => once,
        _ => plain || !allowed || !matches!(state, State::InExchange | State::Subscribed),
    };
    wanted.then_some((flawed.clause, flawed.expect))
}
