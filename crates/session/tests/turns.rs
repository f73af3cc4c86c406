//! Turns of a conversation as a whole: what ends one, what comes first and what does not come at all, and
//! how much is done in one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod talk;

use aldis_packet::{AckKind, Packet, Publish, QoS, ReasonCode, Suback, Subscribe, SubscriptionOptions};
use aldis_session::{
    Agreed, Conversation, DropReason, Ending, Group, Input, Limits, Next, Offered, RefuseReason, Request,
    RetainedLimit, Route, Router, Session, Subscription, Target,
};
use aldis_topic::TopicFilter;
use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use talk::scripted_wire::{Peer, Seen, connected, identity, packet_id, publish, subscription, terms};

use talk::*;

#[test]
fn finding_16_from_the_first_retained_publication_on_a_batch_waits_in_order() {
    let mut stage = Stage::new(V5, Limits::default());
    let passes = [
        pub5("sub/a", "1", 1, 1),
        retained5("sub/a", "2", 1, 2),
        pub5("sub/a", "3", 2, 3),
        pub5("sub/a", "4", 2, 3),
        pub5("sub/b", "5", 0, 0),
    ];
    let stops = [ack(AckKind::Pubrel, 3), ping()].concat();
    let (held, consumed) = stage.holds(&[passes.concat(), stops.clone()].concat());
    assert_eq!(consumed, passes.concat().len());
    assert_eq!(held.iter().filter(|held| held.publication.as_ref().is_some_and(|one| one.retain)).count(), 1);
    assert_eq!(stage.peer.read(), [puback(1, OK)]);
    assert_eq!(stage.subscriber.payloads(), ["1"]);
    assert_eq!(stage.release(held, &[]), [puback(2, OK), pubrec(3, OK), pubrec(3, OK)]);
    let seen = stage.subscriber.publishes();
    let text: Vec<_> = seen.iter().map(|seen| String::from_utf8_lossy(&seen.payload)).collect();
    assert_eq!(text, ["2", "3", "5"]);
    assert!(seen.iter().all(|seen| !seen.retain));
    assert_eq!(stage.reads(&stops), [Seen::Ack(AckKind::Pubcomp, 3, OK), Seen::Pingresp]);
}

/// A client that was answered a PINGREQ may rely on it that what it sent before is with the subscribers: a retained
/// message that is still held would otherwise reach, as new, somebody who subscribes after the answer.
#[test]
fn a_pingreq_is_answered_behind_publications_that_are_held() {
    let mut stage = Stage::new(V5, Limits::default());
    let published = retained5("sub/a", "1", 0, 0);
    let (held, consumed) = stage.holds(&[published.clone(), ping()].concat());
    assert_eq!(consumed, published.len());
    assert!(stage.peer.read().is_empty());
    assert_eq!(stage.release(held, &[]), []);
    assert_eq!(stage.subscriber.payloads(), ["1"]);
    assert_eq!(stage.reads(&ping()), [Seen::Pingresp]);
}

#[test]
fn finding_19_a_refused_publication_is_not_answered_before_those_that_wait() {
    let mut stage = Stage::new(V5, Limits::default());
    let batch = [
        retained5("sub/a", "1", 1, 1),
        pub5("no/a", "2", 1, 2),
        retained5("no/a", "3", 2, 3),
        pub5("sub/a", "4", 1, 4),
    ];
    let (held, _) = stage.holds(&batch.concat());
    assert!(stage.peer.read().is_empty());
    let no = ReasonCode::NotAuthorized;
    assert_eq!(stage.release(held, &[]), [puback(1, OK), puback(2, no), pubrec(3, no), puback(4, OK)]);
    assert_eq!(stage.subscriber.payloads(), ["1", "4"]);
    // As before: 0x87 ended the exchange.
    assert_eq!(stage.reads(&pub5("sub/a", "m", 2, 3)), [pubrec(3, OK)]);
}

#[test]
fn a_retained_publication_beyond_the_limits_is_refused_where_it_can_be_told() {
    let full = ReasonCode::QuotaExceeded;
    let mut stage = Stage::new(V5, Limits::default());
    let batch = [retained5("sub/a", "1", 1, 1), retained5("sub/a", "2", 2, 2), retained5("sub/a", "3", 0, 0)];
    let (held, _) = stage.holds(&batch.concat());
    assert_eq!(stage.release(held, &[0, 1, 2]), [puback(1, full), pubrec(2, full)]);
    assert_eq!(stage.subscriber.payloads(), ["3"]);
    // Who cannot be told has its message delivered: routed, and not refused.
    assert_eq!(stage.refused(RefuseReason::RetainedFull), 2);
    assert_eq!(stage.bench.counters().not_retained.load(Relaxed), 1);
    // Another exchange with the same identifier is not touched.
    stage.reads(&pub5("sub/a", "m", 2, 8));
    let (held, _) = stage.holds(&retained5("sub/a", "4", 1, 8));
    assert_eq!(stage.release(held, &[0]), [puback(8, full)]);
    assert_eq!(stage.reads(&ack(AckKind::Pubrel, 8)), [Seen::Ack(AckKind::Pubcomp, 8, OK)]);
    let mut stage = Stage::new(V311, Limits::default());
    let message = Publish { retain: true, ..a_publish("sub/a", "1", 2, 1) };
    let (held, _) = stage.holds(&encoded(&message, V311));
    assert_eq!(stage.release(held, &[0]), [pubrec(1, OK)]);
    assert_eq!(stage.reads(&ack(AckKind::Pubrel, 1)), [Seen::Ack(AckKind::Pubcomp, 1, OK)]);
}

/// A client of 3.x is ended where its message could not be kept, and sends again what was not acknowledged, with DUP. What
/// was not taken the first time must not be known by its identifier then.
#[test]
fn what_a_full_disk_refused_is_taken_when_it_comes_again() {
    let mut stage = Stage::new(V311, Limits::default());
    let retained = encoded(&Publish { retain: true, ..a_publish("sub/a", "1", 2, 1) }, V311);
    let behind = encoded(&a_publish("sub/b", "2", 2, 2), V311);
    let (held, _) = stage.holds(&[retained.clone(), behind.clone()].concat());
    let mut held = held.into_iter().enumerate();
    let refused = [(0, RetainedLimit::Store)];
    assert!(stage.conversation.release(&mut held, &refused, &stage.routes, &mut stage.bench));
    stage.bench.finish();
    assert!(stage.peer.read().is_empty());
    assert!(matches!(stage.conversation.ends_after_release(), Some(Ending::Closed(_))));
    assert!(!stage.conversation.session.inbound.lock().holds(packet_id(1)));
    assert!(!stage.conversation.session.inbound.lock().holds(packet_id(2)));
}

/// What the client may not send ends its connection, and what it sent before is done first: a valid
/// retained message is neither lost nor left unanswered because of what stands behind it.
#[test]
fn an_offence_behind_held_publications_comes_after_them() {
    let auth = vec![0xf0, 0];
    for offence in [auth, ack(AckKind::Puback, 1), ack(AckKind::Pubcomp, 1)] {
        let mut stage = Stage::new(V5, Limits::default());
        publish(&stage.conversation.session, "to p", QoS::ExactlyOnce, &mut stage.bench);
        stage.peer.read();
        let behind = pub5("sub/b", "behind", 1, 9);
        let (held, _) = stage.holds(&[retained5("sub/a", "m", 2, 7), offence.clone(), behind].concat());
        assert_eq!(stage.release(held, &[]), [pubrec(7, OK)]);
        assert_eq!(stage.subscriber.payloads(), ["m"], "and nothing of what follows the offence");
        // What is not of a kind that may pass what is held comes in the next turn.
        match stage.conversation.ends_after_release() {
            Some(Ending::Closed(farewell)) => assert_eq!(farewell.reason, ReasonCode::ProtocolError),
            None => assert_eq!(stage.ends(&offence), ReasonCode::ProtocolError),
            other => panic!("{other:?}"),
        }
        assert!(stage.conversation.ends_after_release().is_none(), "once");
    }
}

#[test]
fn nothing_behind_a_forbidden_acknowledgement_takes_effect() {
    let mut stage = Stage::new(V5, Limits::default());
    publish(&stage.conversation.session, "to p", QoS::ExactlyOnce, &mut stage.bench);
    stage.peer.read();
    for behind in [pub5("sub/a", "m", 1, 2), subscribe("a"), retained5("sub/a", "m", 0, 0), ping()] {
        let bytes = [ack(AckKind::Puback, 1), behind].concat();
        assert_eq!(stage.ends(&bytes), ReasonCode::ProtocolError);
        assert!(stage.peer.read().is_empty() && stage.subscriber.read().is_empty());
    }
}

#[test]
fn a_turn_that_has_done_enough_leaves_the_rest_for_the_next() {
    let mut stage = Stage::new(V5, Limits::default());
    let many: Vec<Arc<Subscription>> = (0..2_000)
        .map(|number| {
            let (session, ..) =
                connected(100 + number, "many", terms(), &Limits::default(), &mut stage.bench);
            subscription(&session, "sub/#", QoS::AtMostOnce)
        })
        .collect();
    stage.routes.0.extend(many);
    let message = pub5("sub/a", "m", 1, 1);
    let count = 100;
    let bytes: Vec<u8> = (0..count).flat_map(|_| message.clone()).collect();
    let (mut done, mut turns) = (0, 0);
    while done < bytes.len() {
        let turned = stage.turn(&bytes[done..]);
        assert!(turned.consumed > 0 && turned.consumed <= 9 * message.len(), "{}", turned.consumed);
        let is_last = done + turned.consumed == bytes.len();
        assert_eq!(matches!(turned.next, Next::Yield), !is_last, "{:?}", turned.next);
        done += turned.consumed;
        turns += 1;
    }
    assert!(turns >= 11, "{turns}");
    assert_eq!(stage.peer.read().len(), count, "each is answered, in whatever turn");
    // Held ones are released in parts, too.
    let held: Vec<u8> = (0..count).flat_map(|_| retained5("sub/a", "m", 0, 0)).collect();
    let (held, _) = stage.holds(&held);
    let mut held = held.into_iter().enumerate();
    let mut parts = 1;
    while !stage.conversation.release(&mut held, &[], &stage.routes, &mut stage.bench) {
        stage.bench.finish();
        parts += 1;
    }
    assert!(parts >= 11, "{parts}");
}

#[test]
fn mqtt_3_1_2_24_a_packet_whose_answer_the_client_does_not_take_is_not_acted_on() {
    let mut stage = Stage::new(V5, Limits::default());
    stage.conversation = {
        let (session, connection) = (Arc::clone(&stage.conversation.session), stage.conversation.connection);
        let agreed = Agreed { maximum_packet_size: 20, ..agreed(V5) };
        Conversation::new(session, connection, identity("p"), Arc::new(Limits::default()), agreed)
    };
    let many = |count: usize| {
        let mut bytes = Vec::new();
        let filters =
            (0..count).map(|_| ("a".to_owned(), SubscriptionOptions::new(QoS::AtMostOnce))).collect();
        let packet =
            Subscribe { packet_id: packet_id(5), filters, subscription_id: None, user_properties: vec![] };
        packet.encode(V5, &mut bytes);
        bytes
    };
    // Two of fixed header, two of identifier, one of properties.
    assert!(matches!(stage.turn(&many(15)).next, Next::Ask(Request::Subscribe(_))));
    assert_eq!(stage.ends(&many(16)), ReasonCode::PacketTooLarge);
}

#[test]
fn what_only_a_server_may_say_in_disconnect_is_an_offence() {
    for reason in [ReasonCode::SessionTakenOver, ReasonCode::ServerShuttingDown, ReasonCode::KeepAliveTimeout]
    {
        assert_eq!(
            Stage::new(V5, Limits::default()).ends(&disconnect(reason, None)),
            ReasonCode::ProtocolError
        );
    }
}

#[test]
fn mqtt_4_9_0_1_what_an_earlier_connection_left_unreleased_takes_nothing_from_the_receive_maximum() {
    let limits = Limits { receive_maximum: 2, ..Limits::default() };
    let mut stage = Stage::new(V5, limits);
    let publishes = |ids: [u16; 2]| ids.map(|id| pub5("sub/a", "m", 2, id)).concat();
    assert_eq!(stage.reads(&publishes([1, 2])).len(), 2);
    stage.conversation.session.inbound.lock().connection_begins(stage.bench.counters());
    assert_eq!(stage.reads(&publishes([3, 4])), [pubrec(3, OK), pubrec(4, OK)]);
    // A repeat of an earlier one is known, and takes nothing either.
    assert_eq!(stage.reads(&pub5("sub/a", "m", 2, 1)), [pubrec(1, OK)]);
    assert_eq!(stage.reads(&ack(AckKind::Pubrel, 1)).len(), 1);
    assert_eq!(stage.ends(&pub5("sub/a", "m", 2, 5)), ReasonCode::ReceiveMaximumExceeded);
}

#[test]
fn acknowledgements_of_a_batch_are_handled_and_make_room() {
    let mut stage = Stage::new(V5, Limits { in_flight: 2, ..Limits::default() });
    let session: Arc<Session> = Arc::clone(&stage.conversation.session);
    for payload in ["1", "2", "3", "4"] {
        publish(&session, payload, QoS::ExactlyOnce, &mut stage.bench);
    }
    assert_eq!(stage.peer.payloads(), ["1", "2"]);
    let bytes = [ack(AckKind::Pubrec, 1), ack(AckKind::Pubrec, 2), ping(), ack(AckKind::Pubcomp, 1)].concat();
    let seen = stage.reads(&bytes);
    // Acknowledgements take effect before what stands behind them.
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[..2], [1, 2].map(|id| Seen::Ack(AckKind::Pubrel, id, OK)));
    assert_eq!(seen[2], Seen::Pingresp);
    assert!(matches!(&seen[3], Seen::Publish(next) if next.payload == *b"3"));
}

#[test]
fn mqtt_3_14_4_1_nothing_follows_disconnect() {
    let mut stage = Stage::new(V5, Limits { in_flight: 1, ..Limits::default() });
    let session = Arc::clone(&stage.conversation.session);
    publish(&session, "1", QoS::AtLeastOnce, &mut stage.bench);
    publish(&session, "2", QoS::AtLeastOnce, &mut stage.bench);
    let farewell = aldis_session::Farewell::new(ReasonCode::ProtocolError, "what it did");
    stage.conversation.say_farewell(farewell, &mut stage.bench);
    // Before it is even written, and after.
    let all = subscription(&session, "#", QoS::AtLeastOnce);
    let message = Arc::new(scripted_wire::publication("topic/name", "3", QoS::AtMostOnce));
    let offered = session.offer(&[all], &aldis_session::Offering::of(&message), &mut stage.bench);
    assert_eq!(offered, Offered::Dropped(DropReason::Offline));
    stage.bench.finish();
    assert_eq!(publish(&session, "4", QoS::AtLeastOnce, &mut stage.bench), Offered::Queued);
    let seen = stage.peer.read();
    assert_eq!(seen.last(), Some(&Seen::Disconnect(ReasonCode::ProtocolError)), "{seen:?}");
}

#[test]
fn a_client_that_never_reads_its_answers_is_ended() {
    let limits = Limits { outbox_bytes: 100, answers_bytes: 100, packet_size: 100, ..Limits::default() };
    let mut stage = Stage::new(V5, limits);
    stage.peer.wire.will([scripted_wire::Step::Block]);
    let pings: Vec<u8> = (0..100).flat_map(|_| ping()).collect();
    assert!(matches!(stage.turn(&pings).next, Next::Read));
    assert_eq!(stage.ends(&pings), ReasonCode::QuotaExceeded);
}

#[test]
fn finding_3_a_conversation_that_was_taken_over_answers_nothing_into_the_new_connection() {
    let mut stage = Stage::new(V5, Limits::default());
    let session = Arc::clone(&stage.conversation.session);
    session.outbox.lock().detach(stage.conversation.connection, &mut stage.bench);
    let mut new = Peer::new(V5);
    scripted_wire::connect(&session, &mut new, terms(), &mut stage.bench);
    assert_eq!(new.read().len(), 1);
    stage.turn(&[pub5("sub/a", "m", 1, 1), ping(), ack(AckKind::Pubrec, 1)].concat());
    let suback = Suback::new(packet_id(1), vec![0]);
    stage.conversation.append(&Packet::Suback(suback), &mut stage.bench);
    stage.bench.finish();
    assert!(new.wire.new_frames().is_empty() && stage.peer.read().is_empty());
}

/// A shared subscription of which nobody can take anything is work, too.
#[test]
fn offering_to_groups_is_work_for_a_turn() {
    struct Groups(Vec<Arc<Group>>);
    impl Router for Groups {
        fn generation(&self) -> u64 {
            1
        }
        fn resolve(&self, _: &str) -> Arc<Route> {
            Arc::new(Route { targets: self.0.iter().cloned().map(Target::Group).collect(), steps: 1 })
        }
    }
    let mut stage = Stage::new(V5, Limits::default());
    let session = scripted_wire::session(9, "away", &Limits::default());
    let groups = (0..2_000).map(|number| {
        let group = Arc::new(Group::new(
            number,
            Arc::from("$share/g/sub"),
            Arc::new(Limits::default()),
            &Arc::default(),
        ));
        group.join(&subscription(&session, "$share/g/sub", QoS::AtLeastOnce));
        group.offline(9);
        group
    });
    let groups = Groups(groups.collect());
    let bytes = pub5("sub", "m", 1, 1).repeat(100);
    let turned = stage.conversation.turn(Input::Borrowed(&bytes), &groups, &mut stage.bench);
    assert!(matches!(turned.next, Next::Yield));
    assert!(turned.consumed <= 10 * bytes.len() / 100, "{}", turned.consumed);
}

/// A route over as many subscriptions of one session as are asked for, of a generation that is set by hand.
struct Overlapping {
    subscriptions: Vec<Arc<Subscription>>,
    generation: Cell<u64>,
    last: RefCell<Weak<Route>>,
}

impl Overlapping {
    fn new(count: usize) -> Overlapping {
        Overlapping::of("sub/#", count)
    }

    fn of(filter: &str, count: usize) -> Overlapping {
        let session = scripted_wire::session(9, "away", &Limits::default());
        let filter = TopicFilter::parse(filter, 128).unwrap();
        let options = SubscriptionOptions::new(QoS::AtMostOnce);
        let mut subscriptions: Vec<Arc<Subscription>> = Vec::new();
        for _ in 0..count {
            let one = Subscription::new(Arc::clone(&session), filter.clone(), options, None);
            subscriptions.push(Arc::new(one.beside(subscriptions.first())));
        }
        Overlapping { subscriptions, generation: Cell::new(1), last: RefCell::default() }
    }

    fn is_kept(&self) -> bool {
        self.last.borrow().strong_count() > 0
    }
}

impl Router for Overlapping {
    fn generation(&self) -> u64 {
        self.generation.get()
    }
    fn resolve(&self, _: &str) -> Arc<Route> {
        let targets = vec![Target::overlap(self.subscriptions.clone())];
        let route = Arc::new(Route { targets, steps: 1 });
        *self.last.borrow_mut() = Arc::downgrade(&route);
        route
    }
}

/// A route to one session is large if thousands of its subscriptions overlap: ten thousand connections that
/// each remember it are gigabytes.
#[test]
fn a_route_over_many_subscriptions_of_one_session_is_kept_by_the_thread() {
    // Long filters, too, which an idle connection would keep although they have ended.
    let long = format!("sub/{}", "a".repeat(1_100));
    for (filter, count, by_connection) in
        [("sub/#", 2, true), ("sub/#", 1_000, false), (&long, 1, true), (&long, 2, false)]
    {
        let mut stage = Stage::new(V5, Limits::default());
        let router = Overlapping::of(filter, count);
        stage.conversation.turn(Input::Borrowed(&pub5("sub/a", "m", 0, 0)), &router, &mut stage.bench);
        assert!(router.is_kept());
        stage.bench = scripted_wire::bench();
        assert_eq!(router.is_kept(), by_connection, "{count} times {filter}");
    }
}

/// What ended is not kept by those who once published to it, as soon as they say anything.
#[test]
fn a_turn_forgets_routes_of_an_earlier_generation() {
    for count in [2, 1_000] {
        let mut stage = Stage::new(V5, Limits::default());
        let router = Overlapping::new(count);
        stage.conversation.turn(Input::Borrowed(&pub5("sub/a", "m", 0, 0)), &router, &mut stage.bench);
        stage.conversation.turn(Input::Borrowed(&ping()), &router, &mut stage.bench);
        assert!(router.is_kept());
        router.generation.set(2);
        stage.conversation.turn(Input::Borrowed(&ping()), &router, &mut stage.bench);
        assert!(!router.is_kept(), "{count}");
    }
}

/// What they ask for together is worked out once and not for each message, until one of them changes.
#[test]
fn overlapping_subscriptions_are_not_asked_for_each_message() {
    let mut stage = Stage::new(V5, Limits::default());
    let router = Overlapping::new(30_000);
    let bytes = pub5("sub/a", "m", 0, 0).repeat(1_000);
    let mut turn = || stage.conversation.turn(Input::Borrowed(&bytes), &router, &mut stage.bench);
    let turned = turn();
    assert!(matches!(turned.next, Next::Read), "{turned:?}");
    router.subscriptions[7].end();
    let turned = turn();
    assert!(matches!(turned.next, Next::Yield), "{turned:?}");
    assert_eq!(turned.consumed, bytes.len() / 1_000);
    router.generation.set(2);
    assert!(matches!(turn().next, Next::Read));
}
