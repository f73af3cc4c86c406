//! Whether the grid says what it should: enough cases, the whole table, and no case that contradicts a second
//! reading of the standards.

mod checker;

use super::form::rows;
use super::part::Kind;
use super::{Flaw, Form, GridCase, State, cases};
use crate::statement::statement;
use crate::wire::Version;
use crate::wire::property::{Holder, RULES};
use std::collections::{BTreeMap, BTreeSet};

const NAME: &str = "name00000000";

fn all() -> Vec<GridCase> {
    Version::ALL.into_iter().flat_map(cases).collect()
}

/// The state in which a packet of that form is judged for itself.
fn usual(form: Form) -> State {
    if form == Form::Connect { State::First } else { State::Connected }
}

#[test]
fn there_are_more_than_1500_cases_and_each_has_a_name_of_its_own() {
    let all = all();
    assert!(all.len() > 1500, "{}", all.len());
    let mut names = BTreeSet::new();
    for case in &all {
        assert!(names.insert(case.name.as_str()), "twice: {}", case.name);
    }
    let packets: BTreeSet<_> =
        all.iter().map(|case| (case.version, case.form, case.packet(NAME, 1))).collect();
    assert!(packets.len() > 1500, "{} different packets", packets.len());
}

#[test]
fn every_clause_is_a_statement_of_its_version() {
    for case in all() {
        if let Some(id) = case.clause {
            assert!(statement(case.version, id).is_some(), "{}: {id}", case.name);
        }
    }
}

/// What can be wrong with a field of that kind.
fn flaws(kind: Kind) -> &'static [Flaw] {
    use super::part::Role;
    match kind {
        Kind::Protocol | Kind::Level => &[Flaw::Protocol],
        Kind::ConnectFlags(_) => &[Flaw::ConnectFlags],
        Kind::Id => &[Flaw::PacketId],
        Kind::Text(Role::TopicName | Role::WillTopic, _) => &[Flaw::Utf8, Flaw::TopicName, Flaw::FieldLength],
        Kind::Text(Role::Filter, _) => &[Flaw::Utf8, Flaw::TopicFilter, Flaw::FieldLength],
        Kind::Text(..) => &[Flaw::Utf8, Flaw::FieldLength],
        Kind::Binary => &[Flaw::FieldLength],
        Kind::Properties(_) => {
            &[Flaw::ForbiddenProperty, Flaw::UnknownProperty, Flaw::PropertyLength, Flaw::Utf8]
        }
        Kind::Options => &[Flaw::Options],
        Kind::Code(_) => &[Flaw::ReasonCode],
        Kind::KeepAlive | Kind::Payload | Kind::Zero => &[],
    }
}

#[test]
fn every_packet_has_every_flaw_of_its_fields_in_every_state() {
    let mut states: BTreeMap<(Version, Form, Flaw), BTreeSet<State>> = BTreeMap::new();
    for case in all() {
        states.entry((case.version, case.form, case.flaw)).or_default().insert(case.state);
    }
    for version in Version::ALL {
        for row in rows(version) {
            let mut due = vec![Flaw::Sender];
            if row.form.is_of_clients() {
                due = vec![Flaw::None, Flaw::Flags, Flaw::Length];
                due.extend((row.form != Form::Publish).then_some(Flaw::TooLong));
                for field in row.fields(version).filter(|field| field.own) {
                    due.extend(flaws(field.kind));
                    due.push(Flaw::Cut);
                }
            }
            // The good AUTH is one that has no place in its connection.
            due.retain(|flaw| *flaw != Flaw::None || row.form != Form::Auth);
            for flaw in due {
                let Some(seen) = states.get(&(version, row.form, flaw)) else {
                    panic!("{version} {}: {flaw:?} is missing", row.form.name());
                };
                // What 3.1 leaves open is tried once.
                let enough = if version == Version::V31 { 1 } else { State::ALL.len() };
                let open = matches!(flaw, Flaw::PacketId | Flaw::TopicFilter);
                assert!(
                    seen.len() >= enough || open,
                    "{version} {} {flaw:?}: only {seen:?}",
                    row.form.name()
                );
            }
        }
    }
}

#[test]
fn every_nibble_of_flags_is_tried_in_every_client_packet() {
    for version in Version::ALL {
        for row in rows(version).filter(|row| row.form.is_of_clients() && row.form != Form::Publish) {
            let nibbles: BTreeSet<u8> = cases(version)
                .iter()
                .filter(|case| case.form == row.form && case.state == usual(row.form))
                .filter_map(|case| case.packet(NAME, 1).first().map(|first| first & 15))
                .collect();
            assert_eq!(nibbles.len(), 16, "{version} {}", row.form.name());
        }
    }
}

#[test]
fn every_property_is_tried_in_every_packet_of_clients() {
    let names: Vec<_> = cases(Version::V5)
        .into_iter()
        .filter(|case| case.state == usual(case.form))
        .map(|case| (case.form, case.flaw, case.name))
        .collect();
    let holders = [
        (Form::Connect, Holder::Connect, ""),
        (Form::Connect, Holder::Will, "will properties"),
        (Form::Publish, Holder::Publish, ""),
        (Form::Puback, Holder::Puback, ""),
        (Form::Pubrec, Holder::Pubrec, ""),
        (Form::Pubrel, Holder::Pubrel, ""),
        (Form::Pubcomp, Holder::Pubcomp, ""),
        (Form::Subscribe, Holder::Subscribe, ""),
        (Form::Unsubscribe, Holder::Unsubscribe, ""),
        (Form::Disconnect, Holder::Disconnect, ""),
    ];
    for (form, holder, place) in holders {
        for rule in &RULES {
            let wanted = format!("0x{:02X} {}", rule.id, rule.name);
            let has = |flaw| {
                names.iter().any(|(of, with, name)| {
                    *of == form
                        && *with == flaw
                        && name.contains(&wanted)
                        && name.contains("will properties") != place.is_empty()
                })
            };
            if rule.may_stand_in(holder) && (rule.id, form) != (0x0B, Form::Publish) {
                assert!(has(Flaw::None), "{wanted} is never good in {holder:?}");
                assert!(
                    has(Flaw::RepeatedProperty) || rule.may_repeat(false),
                    "{wanted} twice in {holder:?}"
                );
                assert!(
                    has(Flaw::PropertyRange) || rule.bounds.is_none(),
                    "{wanted} out of range in {holder:?}"
                );
                assert!(has(Flaw::PropertyLength), "{wanted} cut in {holder:?}");
            } else {
                assert!(has(Flaw::ForbiddenProperty), "{wanted} is not tried in {holder:?}");
            }
        }
    }
}

/// In 3.1 much is open; there only what is allowed is compared.
#[test]
fn a_second_reading_of_the_standards_agrees_with_every_case() {
    let mut compared = [0, 0];
    for case in all().iter().filter(|case| case.state == usual(case.form) && !case.is_open()) {
        let found = checker::check(case.version, &case.packet(NAME, 1));
        if case.is_allowed() {
            assert_eq!(found, Ok(()), "{}", case.name);
            compared[0] += 1;
        } else if case.version != Version::V31 {
            assert!(found.is_err(), "nothing is wrong with {}", case.name);
            compared[1] += 1;
        }
    }
    assert!(compared[0] > 500 && compared[1] > 1500, "{compared:?}");
}

#[test]
fn a_packet_carries_the_name_that_it_is_played_under() {
    let publish = cases(Version::V5)
        .into_iter()
        .find(|case| case.name == "5 PUBLISH QoS 1 connected: a good one")
        .expect("the good one");
    let packet = publish.packet("abcdefghijkl", 7);
    assert!(packet.windows(14).any(|at| at == b"abcdefghijkl/t"));
    let puback = cases(Version::V311)
        .into_iter()
        .find(|case| case.name == "3.1.1 PUBACK connected: a good one")
        .expect("the good one");
    assert_eq!(puback.packet("abcdefghijkl", 7), [0x40, 2, 0, 7]);
}
