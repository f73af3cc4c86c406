//! What is bounded in the Broker: the work of a step, the number of sessions, what waits in queues that
//! nobody looks at; and whose a session is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod stage;

use aldis_broker::{Answer, Command};
use aldis_packet::{QoS, ReasonCode, SubscriptionOptions};
use aldis_session::{Ending, Identity, Limits, Negotiated, Publication, Router, Wire};
use stage::scripted_wire::{Peer, identity, publication};
use stage::{Client, Stage, asks, goodbye};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

fn stage() -> Stage {
    Stage::new(Limits::default())
}

/// `[waiting, in flight, queued bytes, held bytes]`
fn held(stage: &Stage) -> [i64; 4] {
    let counters = stage.bench.counters();
    [&counters.waiting, &counters.in_flight, &counters.queued_bytes, &counters.held_bytes]
        .map(|level| level.load(Relaxed))
}

/// Connects as a user whose name was verified.
fn connect_as(stage: &mut Stage, user: Option<&str>, clean_start: bool) -> Result<Client, ReasonCode> {
    let connect = aldis_packet::Connect { clean_start, ..asks("shared id", 100) };
    let peer = Peer::new(connect.version);
    let negotiated = Box::new(Negotiated::new(connect, &Limits::default(), String::new).unwrap());
    let who = Identity { user_name: user.map(Arc::from), ..identity("shared id") };
    let wire = Arc::clone(&peer.wire) as Arc<dyn Wire>;
    let reply = stage.give(|reply| Command::Connect {
        negotiated,
        identity: who,
        wire,
        take_over_only: false,
        reply,
    });
    stage.connected((reply, peer)).map_err(|why| why.reason)
}

/// THREATS: whoever knows a client id gets neither its session nor its messages, and ends neither.
#[test]
fn a_session_belongs_to_the_user_that_was_verified_for_it() {
    for (intruder, clean_start) in [(Some("bob"), false), (Some("bob"), true), (None, false), (None, true)] {
        for online in [true, false] {
            let mut stage = stage();
            let mut alice = connect_as(&mut stage, Some("alice"), false).unwrap();
            stage.subscribe(&alice, &["a"]);
            if !online {
                stage.detach(&alice, Ending::Lost);
            }
            let refused = connect_as(&mut stage, intruder, clean_start).err();
            assert_eq!(refused, Some(ReasonCode::NotAuthorized), "{intruder:?} {clean_start} {online}");
            stage.publish_text("a", "for alice");
            if online {
                let errands = alice.session.outbox.lock().errands(alice.connection);
                assert!(errands.close.is_none(), "she is not told to go");
            } else {
                alice = connect_as(&mut stage, Some("alice"), false).unwrap();
                assert!(alice.session_present);
                alice.peer.wire.new_frames().remove(0);
                assert_eq!(alice.session.outbox.lock().outbound.in_flight(), 1);
                continue;
            }
            assert_eq!(alice.peer.payloads(), ["for alice"]);
        }
    }
    // Without a verified user there is nothing to tell them apart by.
    let mut stage = stage();
    let first = connect_as(&mut stage, None, false).unwrap();
    stage.detach(&first, Ending::Lost);
    assert!(connect_as(&mut stage, Some("bob"), false).unwrap().session_present);
}

#[test]
fn there_are_so_many_sessions_and_no_more() {
    let mut stage = Stage::new(Limits { sessions: 2, ..Limits::default() });
    let first = stage.connect(asks("a", 100));
    stage.connect(asks("b", 0));
    let asked = stage.ask_to_connect(asks("c", 100));
    assert_eq!(stage.connected(asked).err().unwrap().reason, ReasonCode::QuotaExceeded);
    // Those that are there come back, and what ends makes room.
    stage.detach(&first, Ending::Lost);
    let first = stage.connect(asks("a", 0));
    assert!(first.session_present);
    stage.detach(&first, goodbye());
    stage.connect(asks("c", 100));
}

#[test]
fn a_session_that_ends_with_a_long_queue_is_seen_to_in_steps() {
    const MESSAGES: i64 = 5_000;
    let mut stage = stage();
    let client = stage.connect(asks("c", 100));
    stage.subscribe(&client, &["a"]);
    stage.detach(&client, Ending::Lost);
    for number in 0..MESSAGES {
        stage.publish_text("a", &number.to_string());
    }
    assert_eq!(held(&stage)[0], MESSAGES);
    let mut left = Vec::new();
    stage.now += Duration::from_secs(101);
    while stage.step() {
        left.push(held(&stage)[0]);
    }
    let steps = left.windows(2).all(|two| two[0] - two[1] <= 300);
    assert!(left.len() >= 15 && steps, "{left:?}");
    assert_eq!(held(&stage), [0; 4]);
    assert_eq!(stage.bench.counters().dropped.iter().map(|count| count.load(Relaxed)).sum::<u64>(), 5_000);
}

/// A member whose session ends gives back thousands of messages: whoever comes next gets them in order.
#[test]
fn what_an_ended_member_gives_back_in_steps_keeps_its_order() {
    const MESSAGES: usize = 700;
    let mut stage = stage();
    let first = stage.connect(asks("first", 100));
    stage.subscribe(&first, &["$share/g/a"]);
    for number in 0..MESSAGES {
        stage.publish_text("a", &number.to_string());
    }
    let mut second = stage.connect(asks("second", 100));
    stage.subscribe(&second, &["$share/g/a"]);
    assert_eq!(first.session.outbox.lock().outbound.in_flight(), MESSAGES);
    let ends = aldis_session::Ending::Disconnected {
        will: false,
        session_expiry: Some(0),
        reason: ReasonCode::Success,
    };
    stage.detach(&first, ends);
    stage.settle();
    stage.pump(&second);
    let expected: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
    assert_eq!(second.peer.payloads(), expected);
}

#[test]
fn a_read_full_of_retained_messages_is_stored_in_steps_and_answered_once() {
    let mut stage = Stage::new(Limits { retained_messages: 900, ..Limits::default() });
    let publications: Vec<_> = (0..1_000)
        .map(|n| {
            (
                n * 2,
                Arc::new(Publication { retain: true, ..publication(&n.to_string(), "x", QoS::AtMostOnce) }),
            )
        })
        .collect();
    let reply = stage.give(|reply| Command::Retain { publications, reply });
    assert!(stage.answer(reply).is_none());
    let mut stored = vec![stage.retained.messages()];
    while stage.step() {
        stored.push(stage.retained.messages());
    }
    assert!(stored.len() >= 14 && stored.windows(2).all(|two| two[1] - two[0] <= 64), "{stored:?}");
    let Some(Answer::Retained(refused)) = stage.answer(reply) else { panic!() };
    let refused: Vec<_> = refused.into_iter().map(|(at, _)| at).collect();
    assert_eq!(refused, (900..1_000).map(|n| n * 2).collect::<Vec<_>>());
}

/// Nobody publishes to these queues any more, and nobody reads them: a sweep takes out what expired.
#[test]
fn mqtt_3_3_2_5_a_sweep_takes_expired_messages_out_of_quiet_queues() {
    let mut stage = stage();
    for number in 0..200 {
        let client = stage.connect(asks(&format!("c{number}"), u32::MAX));
        stage.subscribe(&client, &["a"]);
        stage.detach(&client, Ending::Lost);
    }
    let member = stage.connect(asks("member", u32::MAX));
    stage.subscribe(&member, &["$share/g/a"]);
    stage.detach(&member, Ending::Lost);
    let expires_at = Some(stage.now + Duration::from_secs(10));
    for _ in 0..1_000 {
        let publication = publication("a", "short-lived", QoS::AtLeastOnce);
        stage.publish(Publication { expires_at, ..publication });
    }
    stage.publish_text("a", "lasts");
    let before = held(&stage);
    assert_eq!(before[0], 201 * 1_001);
    stage.give(|_| Command::Sweep);
    stage.settle();
    assert_eq!(held(&stage), before, "nothing has expired yet");
    stage.pass(11);
    stage.give(|_| Command::Sweep);
    stage.give(|_| Command::Sweep);
    let mut steps = 0;
    while stage.step() {
        steps += 1;
    }
    assert!(steps > 200, "so much in steps: {steps}");
    assert_eq!(held(&stage)[..2], [201, 0]);
    assert_eq!(stage.bench.counters().expired.load(Relaxed), 201 * 1_000);
}

/// A long SUBSCRIBE that is under way when its connection is taken over is not overtaken by the UNSUBSCRIBE
/// of the next one.
#[test]
fn packets_of_one_session_take_effect_one_after_the_other() {
    let mut stage = stage();
    let old = stage.connect(asks("c", 100));
    let filters: Vec<String> = (0..500).map(|number| format!("f/{number}")).collect();
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    let wanted: Vec<_> = filters.iter().map(|filter| (filter.as_str(), options)).collect();
    let subscribed = stage.ask_to_subscribe(&old, &wanted, None);
    stage.detach(&old, Ending::Lost);
    let new = stage.connect(asks("c", 100));
    assert!(stage.answer(subscribed).is_none(), "still under way");
    assert_eq!(stage.unsubscribe(&new, &["f/499", "f/0", "none"]), [0, 0, 0x11]);
    assert!(matches!(stage.answer(subscribed), Some(Answer::Reasons(reasons)) if reasons == vec![1; 500]));
    assert!(
        stage.routes.resolve("f/499").targets.is_empty() && stage.routes.resolve("f/0").targets.is_empty()
    );
    assert_eq!(stage.routes.resolve("f/1").targets.len(), 1);
}

/// Tens of thousands of groups and of replays of one session cost no search through them.
#[test]
fn many_groups_and_replays_of_one_session_cost_no_search() {
    let mut stage = Stage::new(Limits { shared_subscriptions: 20_000, ..Limits::default() });
    stage.retain(vec![publication("$SYS/one", "x", QoS::AtMostOnce)]);
    let client = stage.connect(asks("c", 0));
    let filters: Vec<String> =
        (0..20_000).flat_map(|number| [format!("$share/g/{number}"), format!("plain/{number}")]).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    for _ in 0..2 {
        for part in filters.chunks(10_000) {
            stage.subscribe(&client, part);
        }
        stage.pump(&client);
    }
    assert_eq!(client.session.groups().len(), 20_000);
    stage.detach(&client, goodbye());
    stage.settle();
    assert_eq!((client.session.groups().len(), stage.routes.len()), (0, 0));
    // The retained message is what is left.
    let retained = stage.retained.bytes() as i64;
    assert_eq!(held(&stage)[3], retained - stage.retained.get("$SYS/one").unwrap().weight() as i64);
}

/// A client that repeats a large SUBSCRIBE while its retained messages wait for an acknowledgement has each
/// replay once.
#[test]
fn replays_that_wait_do_not_pile_up() {
    let mut stage = Stage::new(Limits { in_flight: 1, ..Limits::default() });
    stage.retain(vec![publication("a/1", "x", QoS::AtLeastOnce), publication("a/2", "x", QoS::AtLeastOnce)]);
    let client = stage.connect(asks("c", 0));
    stage.subscribe(&client, &["a/#"]);
    stage.pump(&client);
    let filters: Vec<String> = (0..1_000).map(|number| format!("a/{number}")).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    for _ in 0..50 {
        stage.subscribe(&client, &filters);
    }
    let waiting = client.session.outbox.lock().waiting_replays();
    assert!(waiting <= 3 * 1_000, "{waiting}");
    for _ in 0..50 {
        stage.unsubscribe(&client, &filters);
        stage.subscribe(&client, &filters);
    }
    let waiting = client.session.outbox.lock().waiting_replays();
    assert!(waiting <= 3 * 1_000, "{waiting}");
}

/// A long queue of which nothing can be sent is gone through in parts, and what follows it is sent.
#[test]
fn a_queue_of_expired_messages_is_left_in_parts() {
    let mut stage = stage();
    let client = stage.connect(asks("c", 100));
    stage.subscribe(&client, &["a"]);
    stage.detach(&client, Ending::Lost);
    let expires_at = Some(stage.now + Duration::from_secs(10));
    for _ in 0..20_000 {
        stage.publish(Publication { expires_at, ..publication("a", "short-lived", QoS::AtLeastOnce) });
    }
    stage.publish_text("a", "lasts");
    stage.pass(11);
    let client = stage.connect(asks("c", 100));
    assert!(stage.bench.counters().expired.load(Relaxed) < 20_000, "not all at once");
    stage.pump(&client);
    assert_eq!(client.session.outbox.lock().outbound.in_flight(), 1);
    assert_eq!(stage.bench.counters().expired.load(Relaxed), 20_000);
}

/// A publisher that is idle keeps its route, and what the route led to is over: nothing of it is counted.
#[test]
fn what_ended_subscriptions_held_is_given_back_although_a_route_still_leads_to_them() {
    let mut stage = stage();
    let client = stage.connect(asks("c", 0));
    let filters: Vec<String> = (0..500).map(|number| format!("a/{number}")).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    stage.subscribe(&client, &filters);
    stage.subscribe(&client, &["a/+", "a/#"]);
    let old = stage.routes.resolve("a/7");
    let before = held(&stage)[3];
    assert_eq!(stage.unsubscribe(&client, &["a/+"]), [0]);
    assert!(held(&stage)[3] < before);
    stage.detach(&client, goodbye());
    stage.settle();
    assert_eq!(held(&stage), [0; 4]);
    drop(old);
    assert_eq!(held(&stage), [0; 4]);
}

/// Filters that share their first levels share the nodes of them, and these are counted once.
#[test]
fn levels_that_filters_share_are_counted_once() {
    let mut stage = stage();
    let client = stage.connect(asks("c", 0));
    let deep = ["level"; 100].join("/");
    let filters: Vec<String> = (0..1_000).map(|number| format!("{deep}/{number}")).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    stage.subscribe(&client, &filters);
    let text: usize = filters.iter().map(|filter| 2 * filter.len()).sum();
    let each = (held(&stage)[3] as usize - text) / filters.len();
    assert!(
        (200..400).contains(&each),
        "{each} bytes beside its text for a subscription with one level of its own"
    );
    // Others in the same places add no nodes, and the last takes them out.
    let before = held(&stage)[3];
    let other = stage.connect(asks("d", 0));
    stage.subscribe(&other, &filters);
    assert!(held(&stage)[3] - before < before);
    stage.detach(&client, goodbye());
    stage.settle();
    assert_eq!(held(&stage)[3], before);
    stage.detach(&other, goodbye());
    stage.settle();
    assert_eq!(held(&stage), [0; 4]);
}

/// Whoever resolves a topic with many shared subscriptions has worked for each of them.
#[test]
fn each_shared_subscription_on_the_way_is_a_step() {
    let mut stage = stage();
    let client = stage.connect(asks("c", 0));
    let filters: Vec<String> = (0..300).map(|number| format!("$share/{number}/a")).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    stage.subscribe(&client, &filters);
    let route = stage.routes.resolve("a");
    assert_eq!(route.targets.len(), 300);
    assert!(route.steps >= 300, "{}", route.steps);
}
