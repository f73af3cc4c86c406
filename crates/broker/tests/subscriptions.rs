//! Subscriptions as publishers see them: a route is there before its SUBACK and gone before its
//! UNSUBACK (law 1), whatever route a publisher still holds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod stage;

use aldis_packet::{QoS, SubscriptionOptions};
use aldis_session::{Limits, Offering, Publication, Route, Router};
use stage::scripted_wire::publication;
use stage::{Client, Stage, asks};
use std::sync::Arc;

fn deliver(stage: &mut Stage, route: &Route, payload: &str) {
    let message = Arc::new(publication("a/b", payload.to_owned(), QoS::AtLeastOnce));
    route.deliver(&Offering::of(&message), &mut stage.bench);
    stage.bench.finish();
}

/// The answer to a SUBSCRIBE of many filters, and to an UNSUBSCRIBE of them, comes when every one of
/// them is done, not with the first step of it.
#[test]
fn law_1_a_subscription_is_visible_before_its_suback_and_gone_before_its_unsuback() {
    let mut stage = Stage::new(Limits::default());
    let mut client = stage.connect(asks("c", 0));
    let mut filters: Vec<String> = (0..500).map(|n| format!("other/{n}")).collect();
    filters.push("a/+".to_owned());
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    let wanted: Vec<_> = filters.iter().map(|filter| (filter.as_str(), options)).collect();
    let before = stage.routes.generation();
    let reply = stage.ask_to_subscribe(&client, &wanted, None);
    let mut steps = 0;
    while stage.answer(reply).is_none() {
        assert!(stage.routes.resolve("a/b").targets.is_empty(), "the last filter is not reached yet");
        assert!(stage.step());
        steps += 1;
    }
    assert!(steps >= 7, "64 filters a step: {steps}");
    assert_ne!(stage.routes.generation(), before, "a publisher that kept its route asks anew");
    let held = stage.routes.resolve("a/b");
    deliver(&mut stage, &held, "subscribed");
    assert_eq!(client.peer.payloads(), ["subscribed"]);

    let gone: Vec<&str> = filters.iter().map(String::as_str).collect();
    assert_eq!(stage.unsubscribe(&client, &gone), vec![0; 501]);
    assert!(stage.routes.resolve("a/b").targets.is_empty());
    deliver(&mut stage, &held, "too late");
    assert!(client.peer.payloads().is_empty(), "a publisher with an old route adds nothing [MQTT-3.10.4-2]");
}

/// QoS and subscription identifiers of the copies that come over a route.
fn copies(stage: &mut Stage, route: &Route, client: &mut Client) -> Vec<(u8, Vec<u32>)> {
    deliver(stage, route, "message");
    let sorted = |mut ids: Vec<u32>| {
        ids.sort_unstable();
        ids
    };
    client.peer.publishes().into_iter().map(|seen| (seen.qos, sorted(seen.ids))).collect()
}

/// What overlapping subscriptions ask for together is worked out once, and is what each of them asks for now:
/// of messages of others and of the client's own, with the options that were replaced meanwhile.
#[test]
fn overlapping_subscriptions_ask_together_for_what_each_of_them_asks() {
    let mut stage = Stage::new(Limits::default());
    let mut client = stage.connect(asks("c", 0));
    let options = |qos, no_local, retain_as_published| SubscriptionOptions {
        no_local,
        retain_as_published,
        ..SubscriptionOptions::new(qos)
    };
    stage.subscribe_with(&client, &[("a/b", options(QoS::AtLeastOnce, true, true))], Some(1));
    stage.subscribe_with(&client, &[("a/+", options(QoS::AtMostOnce, false, false))], Some(2));
    stage.subscribe_with(&client, &[("a/#", options(QoS::AtMostOnce, true, false))], None);
    let publish = |stage: &mut Stage, client: &mut Client, publisher: &str| {
        let message = publication("a/b", "x", QoS::AtLeastOnce);
        let publisher = Some(Arc::from(publisher));
        stage.publish(Publication { publisher, retain: true, ..message });
        let seen = client.peer.publishes();
        seen.into_iter().map(|seen| (seen.qos, seen.retain, seen.ids)).collect::<Vec<_>>()
    };
    assert_eq!(publish(&mut stage, &mut client, "other"), [(1, true, vec![1, 2])]);
    assert_eq!(publish(&mut stage, &mut client, "c"), [(0, false, vec![2])]);
    // Options that are replaced by others make publishers ask anew, the same ones do not.
    let generation = stage.routes.generation();
    stage.subscribe_with(&client, &[("a/+", options(QoS::AtMostOnce, false, false))], Some(2));
    assert_eq!(stage.routes.generation(), generation);
    stage.subscribe_with(&client, &[("a/+", options(QoS::AtLeastOnce, false, true))], Some(3));
    assert_ne!(stage.routes.generation(), generation);
    assert_eq!(publish(&mut stage, &mut client, "c"), [(1, true, vec![3])]);
    stage.unsubscribe(&client, &["a/+"]);
    assert_eq!(publish(&mut stage, &mut client, "c"), []);
    assert_eq!(publish(&mut stage, &mut client, "other"), [(1, true, vec![1])]);
}

#[test]
fn finding_17_an_old_route_over_overlapping_subscriptions_uses_those_that_are_left() {
    let mut stage = Stage::new(Limits::default());
    let mut client = stage.connect(asks("c", 0));
    let [qos_0, qos_1] = [QoS::AtMostOnce, QoS::AtLeastOnce].map(SubscriptionOptions::new);
    stage.subscribe_with(&client, &[("a/+", qos_1)], Some(1));
    stage.subscribe_with(&client, &[("a/#", qos_0)], Some(2));
    let held = stage.routes.resolve("a/b");
    assert_eq!(held.targets.len(), 1, "one target for one session");
    assert_eq!(copies(&mut stage, &held, &mut client), [(1, vec![1, 2])]);
    assert_eq!(stage.unsubscribe(&client, &["a/+"]), [0]);
    assert_eq!(copies(&mut stage, &held, &mut client), [(0, vec![2])]);
    // The same filter again: its options change in place, and the old route knows them.
    stage.subscribe_with(&client, &[("a/#", qos_1)], Some(3));
    assert_eq!(copies(&mut stage, &held, &mut client), [(1, vec![3])]);
    assert_eq!(stage.unsubscribe(&client, &["a/#"]), [0]);
    assert!(copies(&mut stage, &held, &mut client).is_empty());
}
