//! Whether the grid can fail: brokers of a few lines that are wrong in a simple way, and what it says of them.
//!
//! Of the cases those are played that differ in version, packet, flaw or state, one of each.

mod simple_broker;

use aldis_conformance::grid::{Flaw, Form, GridCase, State, cases, play};
use aldis_conformance::wire::Version;
use aldis_conformance::{Doors, Outcome};
use simple_broker::Way;
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn a_broker_that_closes_at_once_fails_every_case() {
    for (case, outcome) in run(Way::Closes, Duration::from_secs(2), |_| true) {
        assert!(outcome.is_err(), "{} passed", case.name);
    }
}

#[test]
fn a_broker_that_never_answers_fails_every_case() {
    for (case, outcome) in run(Way::Silent, Duration::from_millis(50), |_| true) {
        assert!(outcome.is_err(), "{} passed", case.name);
    }
}

#[test]
fn a_broker_that_tires_after_the_first_answer_fails_every_case() {
    for (case, outcome) in run(Way::Tires, Duration::from_millis(80), |_| true) {
        // Silence, and no will, is what a good DISCONNECT asks for.
        let right = case.form == Form::Disconnect && case.is_allowed();
        assert!(outcome.is_err() || right, "{} passed", case.name);
    }
}

/// A DISCONNECT is tried in one state alone: that a bad one was taken for good shows in a will that does not
/// come, for which each case has to wait. As the first packet it ends the connection either way.
#[test]
fn a_broker_that_accepts_everything_fails_every_flawed_case_and_no_other() {
    let wanted = |case: &GridCase| case.form != Form::Disconnect || case.state == State::Connected;
    for (case, outcome) in run(Way::Accepts, Duration::from_secs(3), wanted) {
        if case.is_allowed() {
            // It knows no reason codes of DISCONNECT.
            let known = case.form != Form::Disconnect || !case.name.contains("reason code");
            assert!(outcome.is_ok() || !known, "{}: {outcome:?}", case.name);
        } else if !case.is_open() && case.version != Version::V31 {
            assert!(outcome.is_err(), "{} passed", case.name);
        }
    }
}

#[test]
fn a_broker_that_refuses_everything_fails_every_good_case_and_no_other() {
    for (case, outcome) in run(Way::Refuses, Duration::from_secs(5), |_| true) {
        // It says nothing where 3.1.1 demands a CONNACK.
        let connack = case.version == Version::V311
            && case.form == Form::Connect
            && matches!(case.flaw, Flaw::Protocol | Flaw::ConnectFlags);
        if case.is_allowed() {
            // After a DISCONNECT that leaves the will it does what is right.
            let right = case.form == Form::Disconnect && case.name.contains("reason code");
            assert!(outcome.is_err() || right, "{} passed", case.name);
        } else if !connack {
            assert!(outcome.is_ok(), "{}: {outcome:?}", case.name);
        }
    }
}

fn run(way: Way, patience: Duration, wanted: impl Fn(&GridCase) -> bool) -> Vec<(GridCase, Outcome)> {
    let doors = Doors { patience, ..Doors::plain(simple_broker::start(way)) };
    let mut seen = BTreeSet::new();
    let mut some: Vec<_> = Version::ALL.into_iter().flat_map(cases).collect();
    some.retain(|case| {
        let kind = (case.version, case.form, case.flaw, case.state, case.is_open(), case.is_allowed());
        wanted(case) && seen.insert(kind)
    });
    assert!(some.len() > 500, "{}", some.len());
    let played = play(&some, &doors, "grid", |_| {});
    assert_eq!(played.len(), some.len());
    played.into_iter().map(|one| (one.case.clone(), one.outcome)).collect()
}
