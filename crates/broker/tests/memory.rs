//! The memory watermark: whoever is small is served at it, nothing large comes in, and beyond it nothing that
//! lasts. What sessions bring along is counted as held.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod stage;

use aldis_packet::{Connect, ReasonCode, SubscriptionOptions};
use aldis_session::Limits;
use bytes::Bytes;
use stage::{Stage, asks, goodbye, will};
use std::sync::atomic::Ordering::Relaxed;

const WATERMARK: i64 = 100_000;

/// A Broker at whose watermark so many bytes are missing.
fn stage_below(missing: i64) -> Stage {
    let stage = Stage::new(Limits { memory_watermark: WATERMARK as usize, ..Limits::default() });
    stage.bench.counters().held_bytes.store(WATERMARK - missing, Relaxed);
    stage
}

fn held(stage: &Stage) -> i64 {
    stage.bench.counters().held_bytes.load(Relaxed)
}

fn with_will(connect: Connect, bytes: usize) -> Connect {
    let mut will = will("w", 0);
    will.payload = Bytes::from(vec![0; bytes]);
    Connect { will: Some(will), ..connect }
}

fn refused(stage: &mut Stage, connect: Connect) -> Option<(ReasonCode, &'static str)> {
    let asked = stage.ask_to_connect(connect);
    stage.connected(asked).err().map(|why| (why.reason, why.what))
}

#[test]
fn client_ids_are_held_for_as_long_as_their_session() {
    let mut stage = stage_below(WATERMARK);
    let long = "i".repeat(60_000);
    let client = stage.connect(asks(&long, 10));
    assert_eq!(held(&stage), 60_000);
    stage.detach(&client, goodbye());
    assert_eq!(held(&stage), 60_000);
    stage.pass(10);
    assert_eq!(held(&stage), 0);
}

#[test]
fn at_the_watermark_the_small_are_let_in_and_the_large_are_not() {
    let large = "limits.memory_watermark is reached, and the client id and the will are large";
    let large = Some((ReasonCode::QuotaExceeded, large));
    let mut stage = stage_below(0);
    let known = stage.connect(asks("known", 10));
    stage.detach(&known, goodbye());
    assert!(held(&stage) > WATERMARK);
    assert_eq!(refused(&mut stage, asks(&"i".repeat(4_097), 0)), large);
    assert_eq!(
        refused(&mut stage, with_will(asks("a", 0), 4_096)),
        large,
        "with its topic it is a byte more"
    );
    assert_eq!(refused(&mut stage, with_will(asks("known", 10), 4_096)), large);
    assert_eq!(refused(&mut stage, with_will(asks("a", 10), 4_094)), None);
    assert_eq!(
        refused(&mut stage, with_will(asks("known", 10), 4_095)),
        None,
        "its client id is held already"
    );
    assert_eq!(stage.broker.population().sessions.load(Relaxed), 2);
}

/// Their number would be the only bound.
#[test]
fn a_quarter_beyond_the_watermark_no_session_begins_that_lasts() {
    let mut stage = stage_below(-WATERMARK / 4);
    let known = stage.connect(asks("known", 0));
    stage.detach(&known, goodbye());
    let last = "limits.memory_watermark is exceeded by a quarter, and the session would last";
    stage.bench.counters().held_bytes.fetch_sub(1, Relaxed);
    let known = stage.connect(asks("known", 10));
    stage.detach(&known, goodbye());
    assert!(held(&stage) > WATERMARK / 4 * 5);
    assert_eq!(refused(&mut stage, asks("new", 10)), Some((ReasonCode::QuotaExceeded, last)));
    assert_eq!(refused(&mut stage, asks("known", 10)), None, "it is there already");
    assert_eq!(refused(&mut stage, asks("new", 0)), None);
}

#[test]
fn at_the_watermark_a_session_gets_a_few_short_filters() {
    let (ok, quota) = (1, 0x97);
    let mut stage = stage_below(0);
    let client = stage.connect(asks("me", 10));
    assert_eq!(stage.subscribe(&client, &[&"f".repeat(257), &"g".repeat(256)]), [quota, ok]);
    let more: Vec<String> = (1..17).map(|number| format!("f/{number}")).collect();
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    assert_eq!(stage.subscribe(&client, &more), [vec![ok; 15], vec![quota]].concat());
    assert_eq!(stage.subscribe(&client, &[&"g".repeat(256)]), [ok], "it is there already");
}

#[test]
fn shared_subscriptions_of_a_session_have_a_limit_of_their_own_and_are_held() {
    let mut stage = Stage::new(Limits { shared_subscriptions: 2, ..Limits::default() });
    let client = stage.connect(asks("me", 10));
    let before = held(&stage);
    let filters = ["$share/g/a", "$share/g/b", "$share/g/c", "a", "$share/g/a"];
    assert_eq!(stage.subscribe(&client, &filters), [1, 1, 0x97, 1, 1]);
    let plain = {
        let now = held(&stage);
        assert_eq!(stage.unsubscribe(&client, &["a"]), [0]);
        stage.settle();
        now - held(&stage)
    };
    let shared = (held(&stage) - before) / 2;
    assert!(shared > plain + 400, "a group of one takes {shared} bytes, a subscription {plain}");
    assert_eq!(stage.unsubscribe(&client, &["$share/g/a"]), [0]);
    assert_eq!(stage.subscribe(&client, &["$share/g/c", "$share/g/a"]), [1, 0x97]);
    // What a client has beyond a limit that is lowered stays.
    stage.broker.set_limits(Limits { shared_subscriptions: 1, ..Limits::default() }.into());
    let options = SubscriptionOptions::new(aldis_packet::QoS::AtMostOnce);
    assert_eq!(stage.subscribe_with(&client, &[("$share/g/b", options)], None), [0]);
    stage.detach(&client, goodbye());
    stage.pass(10);
    assert_eq!(held(&stage), 0);
}
