//! The small tables: QoS 2 identifiers of a client, topic aliases, rights, filters.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod scripted_wire;

use aldis_packet::{ProtocolVersion, ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe};
use aldis_session::{
    Act, AliasUse, AliasesIn, AliasesOut, Counters, Denial, FilterReason, Identity, Inbound, Limits, Rights,
    Subscribing, SubscriptionIds, Unsubscribing, Verdict,
};
use scripted_wire::{Random, bench, identity, packet_id};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const V5: ProtocolVersion = ProtocolVersion::V5;

#[test]
fn mqtt_4_3_3_10_inbound_is_a_set_of_identifiers() {
    for (seed, ids) in [(1, 20), (2, 66), (3, 300), (4, 65_535)] {
        let (mut random, counters) = (Random::new(seed), Arc::new(Counters::default()));
        let (mut inbound, mut naive) = (Inbound::default(), BTreeSet::new());
        for step in 0..20_000 {
            // Rising and falling, so that both forms of the table come and go.
            let grows = step / 1_500 % 2 == 0;
            let id = match (grows, naive.first()) {
                (false, Some(first)) if random.below(2) == 0 => *first,
                _ => 1 + random.below(ids) as u16,
            };
            if random.below(10) < if grows { 7 } else { 2 } {
                assert_eq!(inbound.holds(packet_id(id)), naive.contains(&id));
                inbound.received(packet_id(id), &counters);
                naive.insert(id);
            } else {
                assert_eq!(inbound.release(packet_id(id)), naive.remove(&id), "seed {seed} step {step}");
            }
            assert_eq!(inbound.unreleased(), naive.len(), "seed {seed} step {step}");
            // A table of bits is counted as held.
            let held = counters.held_bytes.load(Relaxed);
            assert!(held == 0 || (8_192..8_300).contains(&held) && !naive.is_empty(), "{held} bytes");
            assert!(held > 0 || naive.len() <= 64);
        }
        assert!((1..=65_535).all(|id| inbound.holds(packet_id(id)) == naive.contains(&id)));
    }
}

#[test]
fn mqtt_3_3_2_7_aliases_out_always_mean_what_the_client_thinks() {
    for (seed, maximum) in [(1, 1), (2, 3), (3, 16), (4, 65_535)] {
        let mut random = Random::new(seed);
        let mut out = AliasesOut::new(maximum);
        let mut client: HashMap<u16, String> = HashMap::new();
        let mut saved = 0;
        for _ in 0..20_000 {
            let few = 1 + random.below(30);
            let topic = format!("topic/{}", random.below(few));
            let how = out.choose(&topic);
            if random.below(10) == 0 {
                continue; // Found too large and not sent: nothing is remembered.
            }
            match how {
                AliasUse::None => {}
                AliasUse::Introduce(alias) => {
                    assert!((1..=maximum).contains(&alias));
                    client.insert(alias, topic.clone());
                }
                AliasUse::Known(alias) => {
                    assert_eq!(client[&alias], topic);
                    saved += 1;
                }
            }
            out.sent(&topic, how);
        }
        assert!(saved > 1_000, "{saved}");
        assert_eq!(out.choose("abc"), AliasUse::None, "not worth it");
    }
}

#[test]
fn mqtt_3_3_2_9_aliases_in_have_bounds() {
    let counters = Arc::new(Counters::default());
    let mut aliases = AliasesIn::default();
    let reason = |result: Result<_, aldis_session::Violation>| {
        result.map(|_: std::sync::Arc<str>| ()).unwrap_err().reason
    };
    assert_eq!(reason(aliases.resolve(0, "a", 5, false, &counters)), ReasonCode::TopicAliasInvalid);
    assert_eq!(reason(aliases.resolve(6, "a", 5, false, &counters)), ReasonCode::TopicAliasInvalid);
    assert_eq!(reason(aliases.resolve(1, "a", 0, false, &counters)), ReasonCode::TopicAliasInvalid);
    assert_eq!(reason(aliases.resolve(5, "", 5, false, &counters)), ReasonCode::ProtocolError);
    assert_eq!(&*aliases.resolve(5, "a", 5, false, &counters).unwrap(), "a");
    assert_eq!(reason(aliases.resolve(4, "", 5, false, &counters)), ReasonCode::ProtocolError);
    assert_eq!(&*aliases.resolve(5, "b", 5, false, &counters).unwrap(), "b");
    assert_eq!(&*aliases.resolve(5, "", 5, false, &counters).unwrap(), "b");
    // What a client makes the broker remember is counted for as long as it is.
    aliases.resolve(5, "longer", 5, false, &counters).unwrap();
    aliases.resolve(1, "x", 5, false, &counters).unwrap();
    assert_eq!(counters.held_bytes.load(Relaxed), 7);
    // At the watermark there are small ones.
    aliases.resolve(2, &"s".repeat(4_089), 5, true, &counters).unwrap();
    assert_eq!(reason(aliases.resolve(3, "s", 5, true, &counters)), ReasonCode::QuotaExceeded);
    assert_eq!(reason(aliases.resolve(3, "", 5, true, &counters)), ReasonCode::ProtocolError);
    aliases.resolve(3, "s", 5, false, &counters).unwrap();
    aliases.resolve(2, "smaller", 5, true, &counters).unwrap();
    drop(aliases);
    assert_eq!(counters.held_bytes.load(Relaxed), 0);
}

#[test]
fn the_broker_alone_publishes_under_sys() {
    let anyone = identity("c");
    for (topic, may) in
        [("$SYS", false), ("$SYS/a", false), ("$SYSTEM/a", true), ("a/$SYS", true), ("$share", true)]
    {
        assert_eq!(anyone.may(Act::Publish, topic), may, "{topic}");
        assert!(anyone.may(Act::Subscribe, topic) && anyone.may(Act::Receive, topic));
    }
}

/// Nobody may do anything; who may not publish is told a rule.
struct Closed;

impl Rights for Closed {
    fn allows(&self, _: &str, _: Option<&str>, act: Act, _: &str) -> Verdict {
        if act == Act::Publish { Verdict::denied_by("line 7: topic deny #") } else { Verdict::from(false) }
    }
}

#[test]
fn a_denial_names_its_rule() {
    let identity = Identity { rights: Some(Arc::new(Closed)), ..identity("c") };
    let words = |act, topic| identity.judge(act, topic).unwrap_err().to_string();
    assert_eq!(words(Act::Publish, "a"), "line 7: topic deny #");
    assert_eq!(words(Act::Publish, "$SYS/broker/uptime"), "only the broker publishes under $SYS");
    assert_eq!(identity.judge(Act::Subscribe, "a"), Err(Denial::Policy));
    assert!(!identity.may(Act::Publish, "a") && !identity.may(Act::Receive, "a"));
}

#[test]
fn a_bridge_may_tell_its_own_state_under_sys_and_no_other() {
    let own = "$SYS/broker/connection/edge.main/state";
    let bridge = identity("edge.main");
    assert_eq!(bridge.judge(Act::Publish, own), Ok(()));
    for other in [
        "$SYS/broker/connection/another/state",
        "$SYS/broker/connection/edge.main",
        "$SYS/broker/connection/edge.main/state/x",
        "$SYS/broker/connection/x/edge.main/state",
        "$SYS/broker/uptime",
    ] {
        assert_eq!(bridge.judge(Act::Publish, other), Err(Denial::Sys), "{other}");
    }
    // The policy still has its say.
    let closed = Identity { rights: Some(Arc::new(Closed)), ..bridge };
    assert!(matches!(closed.judge(Act::Publish, own), Err(Denial::Rule(_))));
}

#[test]
fn filters_are_refused_one_by_one_and_malformed_packets_as_a_whole() {
    let limits = Limits { topic_levels: 3, topic_bytes: 15, ..Limits::default() };
    let subscribe = |filters: &[&str]| Subscribe {
        packet_id: packet_id(1),
        filters: filters
            .iter()
            .map(|filter| ((*filter).to_owned(), SubscriptionOptions::default()))
            .collect(),
        subscription_id: Some(7),
        user_properties: vec![],
    };
    let mut counting = bench();
    let check = |filters: &[&str], bench: &mut _| {
        Subscribing::check(subscribe(filters), V5, &identity("c"), &limits, bench)
    };
    let checked = check(&["a/#", "a/b/c/d", "0123456789abcdef", "$share/g/a/b/c"], &mut counting).unwrap();
    let results: Vec<_> =
        checked.filters.iter().map(|(filter, _)| filter.as_ref().map(|ok| ok.filter())).collect();
    let invalid = Err(&ReasonCode::TopicFilterInvalid);
    assert_eq!(results, [Ok("a/#"), invalid, invalid, Ok("a/b/c")]);
    assert_eq!(checked.subscription_id, Some(7));
    let unsubscribe = Unsubscribe {
        packet_id: packet_id(1),
        filters: ["a/b/c/d", "a/#"].map(str::to_owned).to_vec(),
        user_properties: vec![],
    };
    let checked = Unsubscribing::check(unsubscribe, V5, "c", &limits, &mut counting).unwrap();
    assert_eq!(checked.filters[0], Err(ReasonCode::TopicFilterInvalid));
    assert!(checked.filters[1].is_ok());
    counting.finish();
    let refused = |reason: FilterReason| counting.counters().filters_refused[reason as usize].load(Relaxed);
    assert_eq!(FilterReason::ALL.map(refused), [0, 0, 0, 2, 1, 0, 0]);
    for malformed in ["", "a#", "a/#/b", "+a", "$share//a", "$share/g", "$share/g/", "$share/+/a"] {
        assert!(check(&["fine", malformed], &mut bench()).is_err(), "{malformed:?}");
        let filters = vec!["fine".to_owned(), malformed.to_owned()];
        let unsubscribe = Unsubscribe { packet_id: packet_id(1), filters, user_properties: vec![] };
        assert!(Unsubscribing::check(unsubscribe, V5, "c", &limits, &mut bench()).is_err(), "{malformed:?}");
    }
    // In 3.x what is wrong about a share name is no rule of the standard's: refused, and the connection stays.
    for (text, closes) in [("$share//a", false), ("$share/g", false), ("$share/+/a", false), ("a/#/b", true)]
    {
        let version = ProtocolVersion::V311;
        let checked = Subscribing::check(subscribe(&[text]), version, &identity("c"), &limits, &mut bench());
        assert_eq!(checked.is_err(), closes, "{text}");
        let refused = checked.map(|checked| checked.filters[0].0.clone().unwrap_err());
        assert!(closes || refused.unwrap() == ReasonCode::TopicFilterInvalid);
    }
}

#[test]
fn subscription_identifiers_add_up() {
    let mut ids = SubscriptionIds::default();
    for count in 0..5_u32 {
        assert_eq!(ids.as_slice(), (0..count).collect::<Vec<_>>());
        ids.add(count);
    }
}
