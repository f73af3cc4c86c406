//! Shared subscriptions: one member gets each message, nobody's wake-up is lost (finding 20), and the
//! totals of the broker come back to nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod member;

use aldis_packet::{AckKind, QoS, ReasonCode};
use aldis_session::{
    Act, ClientTerms, Counters, DropReason, Group, Identity, Limits, NoObserver, Offering, Publication,
    Rights, Verdict, Workbench,
};
use member::scripted_wire::{Peer, Step, acknowledge, bench, publication, publish, terms};
use member::{Member, group, scripted_wire, window};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

const OK: ReasonCode = ReasonCode::Success;
const QOS0: QoS = QoS::AtMostOnce;
const QOS1: QoS = QoS::AtLeastOnce;
const QOS2: QoS = QoS::ExactlyOnce;

fn offer(group: &Arc<Group>, payload: &str, qos: QoS, bench: &mut Workbench) {
    let message = Arc::new(publication("topic/name", payload.to_owned(), qos));
    offer_this(group, &message, bench);
}

fn offer_this(group: &Arc<Group>, message: &Arc<Publication>, bench: &mut Workbench) {
    group.offer(&Offering::of(message), bench);
    bench.finish();
}

/// `[waiting, in flight, queued bytes, offered less all that ended]`: all 0 when everything is settled.
fn open(bench: &Workbench) -> [i64; 4] {
    let counters = bench.counters();
    let dropped: u64 = counters.dropped.iter().map(|count| count.load(Relaxed)).sum();
    let ended = dropped + counters.completed.load(Relaxed) + counters.expired.load(Relaxed);
    [
        counters.waiting.load(Relaxed),
        counters.in_flight.load(Relaxed),
        counters.queued_bytes.load(Relaxed),
        counters.offered.load(Relaxed) - ended as i64,
    ]
}

fn dropped(bench: &Workbench, reason: DropReason) -> u64 {
    bench.counters().dropped[reason as usize].load(Relaxed)
}

#[test]
fn members_take_turns() {
    let (mut bench, group) = (bench(), group());
    let mut members: Vec<_> = (1..=3).map(|n| Member::join(&group, n, terms(), &mut bench)).collect();
    for n in 0..9 {
        offer(&group, &n.to_string(), [QOS0, QOS1, QOS2][n % 3], &mut bench);
    }
    for (n, member) in members.iter_mut().enumerate() {
        let expected: Vec<_> = (0..3).map(|round| (n + 3 * round).to_string()).collect();
        assert_eq!(member.peer.payloads(), expected);
    }
    // One who leaves or joins twice does not disturb the rest.
    group.join(&members[0].subscription);
    assert!(!members[1].leave(&group, &mut bench));
    for n in 0..4 {
        offer(&group, &n.to_string(), QOS0, &mut bench);
    }
    let taken: Vec<_> = members.iter_mut().map(|member| member.peer.payloads().len()).collect();
    assert_eq!(taken, [2, 0, 2]);
}

#[test]
fn a_full_member_is_passed_over_and_the_queue_is_served_in_order() {
    let (mut bench, group) = (bench(), group());
    let mut a = Member::join(&group, 1, window(1), &mut bench);
    let mut b = Member::join(&group, 2, window(1), &mut bench);
    for payload in ["1", "2", "3", "4", "5"] {
        offer(&group, payload, QOS1, &mut bench);
    }
    assert_eq!(
        (a.peer.payloads(), b.peer.payloads(), group.queued()),
        (vec!["1".into()], vec!["2".into()], 3)
    );
    b.ack(AckKind::Puback, 1, &mut bench);
    b.ack(AckKind::Puback, 2, &mut bench);
    assert_eq!(b.peer.payloads(), ["3", "4"]);
    a.ack(AckKind::Puback, 1, &mut bench);
    assert_eq!(a.peer.payloads(), ["5"]);
    a.ack(AckKind::Puback, 2, &mut bench);
    b.ack(AckKind::Puback, 3, &mut bench);
    assert_eq!(open(&bench), [0; 4]);
    // Both have room again and take turns.
    offer(&group, "6", QOS1, &mut bench);
    offer(&group, "7", QOS1, &mut bench);
    assert_eq!(a.peer.payloads().len() + b.peer.payloads().len(), 2);
}

#[test]
fn finding_20_a_member_whose_socket_was_full_gets_what_waits_when_it_is_not() {
    for qos in [QOS0, QOS1] {
        let (mut bench, group) = (bench(), group());
        let mut member = Member::join(&group, 1, terms(), &mut bench);
        member.peer.wire.will([Step::Block]);
        for n in 0..5 {
            offer(&group, &n.to_string(), qos, &mut bench);
        }
        assert_eq!(group.queued(), 4, "the socket is full");
        member.see_to_errands(&mut bench);
        assert_eq!(member.peer.payloads(), ["0", "1", "2", "3", "4"], "{qos:?}");
        offer(&group, "5", qos, &mut bench);
        assert_eq!(member.peer.payloads(), ["5"], "{qos:?}: ready again");
    }
}

#[test]
fn finding_20_who_is_told_and_leaves_passes_the_word_on() {
    for leaves in [false, true] {
        let (mut bench, group) = (bench(), group());
        let members: Vec<_> = (1..=3).map(|n| Member::join(&group, n, terms(), &mut bench)).collect();
        offer(&group, "m", QOS1, &mut bench);
        // The first had it; when its session ends, the second is told and goes before it looks.
        members[0].end(&group, &mut bench);
        assert_eq!(group.queued(), 1);
        if leaves {
            members[1].leave(&group, &mut bench);
        } else {
            group.offline(2);
        }
        let mut last = members.into_iter().nth(2).unwrap();
        last.see_to_errands(&mut bench);
        assert_eq!(last.peer.payloads(), ["m"], "leaves: {leaves}");
    }
}

#[test]
fn finding_20_a_new_member_takes_what_waits() {
    let (mut bench, group) = (bench(), group());
    let _full = Member::join(&group, 1, window(1), &mut bench);
    offer(&group, "1", QOS1, &mut bench);
    offer(&group, "2", QOS1, &mut bench);
    let mut new = Member::join(&group, 2, terms(), &mut bench);
    new.see_to_errands(&mut bench);
    assert_eq!(new.peer.payloads(), ["2"]);
}

#[test]
fn an_errand_for_a_group_that_was_left_ends() {
    let (mut bench, group) = (bench(), group());
    let member = Member::join(&group, 1, terms(), &mut bench);
    let other = Member::join(&group, 2, terms(), &mut bench);
    offer(&group, "1", QOS1, &mut bench);
    member.end(&group, &mut bench);
    other.leave(&group, &mut bench);
    other.see_to_errands(&mut bench);
    assert!(!other.session.outbox.lock().errands(other.connection).pump);
}

#[test]
fn finding_20_who_is_told_and_cannot_take_it_does_not_keep_it_from_others() {
    let (mut bench, group) = (bench(), group());
    let first = Member::join(&group, 1, terms(), &mut bench);
    let stuck = Member::join(&group, 2, window(1), &mut bench);
    let mut last = Member::join(&group, 3, terms(), &mut bench);
    offer(&group, "m", QOS1, &mut bench);
    // The window of the second is full with a message from elsewhere, which the group does not know.
    scripted_wire::publish(&stuck.session, "other", QOS1, &mut bench);
    first.end(&group, &mut bench);
    last.see_to_errands(&mut bench);
    assert_eq!(last.peer.payloads(), ["m"]);
}

#[test]
fn mqtt_4_8_2_5_what_comes_back_when_a_session_ends() {
    let (mut bench, group) = (bench(), group());
    let not_lasting = ClientTerms { lasting: false, ..terms() };
    for leaver in [terms(), not_lasting] {
        let ends = Member::join(&group, 1, leaver, &mut bench);
        for (payload, qos) in [("1", QOS1), ("2", QOS2), ("3", QOS1), ("4", QOS2), ("5", QOS1)] {
            offer(&group, payload, qos, &mut bench);
        }
        acknowledge(&ends.session, ends.connection, AckKind::Pubrec, 4, OK, &mut bench).unwrap();
        acknowledge(&ends.session, ends.connection, AckKind::Puback, 5, OK, &mut bench).unwrap();
        let before = dropped(&bench, DropReason::SessionEnded);
        let mut stays = Member::join(&group, 2, terms(), &mut bench);
        ends.end(&group, &mut bench);
        stays.see_to_errands(&mut bench);
        // Not acknowledged QoS 1, in order; QoS 2 goes to nobody else.
        let seen = stays.peer.publishes();
        let text: Vec<_> = seen.iter().map(|seen| String::from_utf8_lossy(&seen.payload)).collect();
        assert_eq!(text, ["1", "3"]);
        assert!(seen.iter().all(|seen| !seen.dup && seen.qos == 1));
        assert_eq!(dropped(&bench, DropReason::SessionEnded) - before, 2);
        stays.ack(AckKind::Puback, 1, &mut bench);
        stays.ack(AckKind::Puback, 2, &mut bench);
        assert!(stays.end(&group, &mut bench));
        bench.finish();
        assert_eq!(open(&bench), [0; 4]);
    }
}

#[test]
fn a_member_that_is_only_offline_keeps_what_it_had_begun() {
    let (mut bench, group) = (bench(), group());
    let a = Member::join(&group, 1, terms(), &mut bench);
    offer(&group, "begun", QOS1, &mut bench);
    assert!(a.session.outbox.lock().detach(a.connection, &mut bench).is_some());
    group.offline(1);
    offer(&group, "new", QOS1, &mut bench);
    offer(&group, "zero", QOS0, &mut bench);
    assert_eq!((group.queued(), dropped(&bench, DropReason::NoMember)), (1, 1));
    let mut b = Member::join(&group, 2, terms(), &mut bench);
    b.session.pull_from_groups(&mut bench);
    bench.finish();
    assert_eq!(b.peer.payloads(), ["new"]);
    let mut peer = Peer::new(terms().version);
    scripted_wire::connect(&a.session, &mut peer, terms(), &mut bench);
    a.session.pull_from_groups(&mut bench);
    assert_eq!(peer.read().len(), 2, "CONNACK and the one it had begun");
    offer(&group, "again", QOS1, &mut bench);
    offer(&group, "again", QOS1, &mut bench);
    assert_eq!((peer.publishes().len(), b.peer.publishes().len()), (1, 1));
}

#[test]
fn mqtt_4_8_2_6_a_refusal_discards_the_message_for_the_whole_group() {
    for (kind, qos) in [(AckKind::Puback, QOS1), (AckKind::Pubrec, QOS2)] {
        let (mut bench, group) = (bench(), group());
        let a = Member::join(&group, 1, terms(), &mut bench);
        let mut b = Member::join(&group, 2, terms(), &mut bench);
        offer(&group, "m", qos, &mut bench);
        let refusal = ReasonCode::QuotaExceeded;
        acknowledge(&a.session, a.connection, kind, 1, refusal, &mut bench).unwrap();
        a.end(&group, &mut bench);
        b.see_to_errands(&mut bench);
        assert_eq!((group.queued(), b.peer.publishes().len()), (0, 0));
        assert_eq!(dropped(&bench, DropReason::RefusedByClient), 1);
    }
}

#[test]
fn a_group_without_members_keeps_nothing() {
    let (mut bench, group) = (bench(), group());
    let a = Member::join(&group, 1, terms(), &mut bench);
    offer(&group, "in flight", QOS1, &mut bench);
    // UNSUBSCRIBE first, then the end of the session, whose message comes back to nobody.
    assert!(a.leave(&group, &mut bench));
    let given = scripted_wire::end(&a.session, &mut bench);
    assert_eq!(given.len(), 1);
    group.take_back(given, &mut bench);
    // A publisher that resolved its route a moment ago.
    for qos in [QOS0, QOS1, QOS2] {
        offer(&group, "late", qos, &mut bench);
    }
    assert_eq!(group.queued(), 0);
    assert_eq!(open(&bench), [0; 4]);
}

#[test]
fn the_last_member_takes_the_queue_with_it() {
    let (mut bench, group) = (bench(), group());
    let a = Member::join(&group, 1, window(1), &mut bench);
    for _ in 0..4 {
        offer(&group, "m", QOS2, &mut bench);
    }
    assert_eq!(group.queued(), 3);
    assert!(a.end(&group, &mut bench));
    bench.finish();
    assert_eq!(dropped(&bench, DropReason::SessionEnded), 4);
    assert_eq!(open(&bench), [0; 4]);
}

#[test]
fn the_queue_of_a_group_has_limits_and_forgets_what_expires() {
    let limits = Limits { queue_messages: 3, ..Limits::default() };
    let group = Arc::new(Group::new(9, Arc::from("$share/g/#"), Arc::new(limits), &Arc::default()));
    let mut bench = bench();
    let mut member = Member::join(&group, 1, window(1), &mut bench);
    offer(&group, "first", QOS1, &mut bench);
    for seconds in [1, 100, 2] {
        let mut message = publication("topic/name", seconds.to_string(), QOS1);
        message.expires_at = Some(bench.now + Duration::from_secs(seconds));
        offer_this(&group, &Arc::new(message), &mut bench);
    }
    offer(&group, "too many", QOS1, &mut bench);
    assert_eq!(dropped(&bench, DropReason::QueueFull), 1);
    bench.now += Duration::from_secs(10);
    member.ack(AckKind::Puback, 1, &mut bench);
    assert_eq!((member.peer.payloads(), group.queued()), (vec!["first".into(), "100".into()], 0));
    assert_eq!(bench.counters().expired.load(Relaxed), 2);
    bench.memory_full = true;
    offer(&group, "too much", QOS1, &mut bench);
    assert_eq!(dropped(&bench, DropReason::MemoryWatermark), 1);
}

/// Lets only `who` receive `secret/...`.
struct OnlyFor(&'static str);

impl Rights for OnlyFor {
    fn allows(&self, client_id: &str, _: Option<&str>, act: Act, topic: &str) -> Verdict {
        Verdict::from(act != Act::Receive || !topic.starts_with("secret") || client_id == self.0)
    }
}

#[test]
fn law_11_a_message_that_a_member_may_not_receive_does_not_stop_the_group() {
    for (allowed, reaches) in [("nobody", 0), ("m2", 1)] {
        let (mut bench, group) = (bench(), group());
        let mut members: Vec<_> = (1..=2).map(|n| Member::join(&group, n, terms(), &mut bench)).collect();
        for member in &members {
            let mut outbox = member.session.outbox.lock();
            let identity = outbox.outbound.identity.clone();
            outbox.outbound.identity = Identity { rights: Some(Arc::new(OnlyFor(allowed))), ..identity };
        }
        let secret = Arc::new(publication("secret/a", "secret", QOS1));
        offer_this(&group, &secret, &mut bench);
        for n in 0..4 {
            offer(&group, &n.to_string(), QOS0, &mut bench);
        }
        for member in &members {
            member.see_to_errands(&mut bench);
        }
        let taken: Vec<_> = members.iter_mut().map(|member| member.peer.payloads()).collect();
        assert_eq!(taken.concat().len(), 4 + reaches, "{allowed}: {taken:?}");
        assert!(!taken[0].contains(&"secret".to_owned()));
        assert_eq!(dropped(&bench, DropReason::NotAuthorized), 1 - reaches as u64);
        assert_eq!(group.queued(), 0);
    }
}

/// Publishers and members on threads of their own; a member looks only when it is woken, or has
/// something to read. Whatever was offered gets to somebody, without another push.
#[test]
fn finding_20_no_wake_up_is_lost_between_threads() {
    const PUBLISHERS: usize = 2;
    const MESSAGES: usize = 4_000;
    for (round, qos) in [QOS1, QOS0, QOS1, QOS0].into_iter().enumerate() {
        let counters = Arc::new(Counters::default());
        let new_bench = || Workbench::new(Arc::clone(&counters), Arc::new(NoObserver), Instant::now());
        let group = group();
        let members: Vec<_> = (1..=3).map(|n| Member::join(&group, n, window(1), &mut new_bench())).collect();
        let begin = Barrier::new(PUBLISHERS);
        thread::scope(|scope| {
            for _ in 0..PUBLISHERS {
                scope.spawn(|| {
                    let mut bench = new_bench();
                    begin.wait();
                    for n in 0..MESSAGES {
                        offer(&group, &n.to_string(), qos, &mut bench);
                    }
                });
            }
            for mut member in members {
                let (counters, mut bench) = (Arc::clone(&counters), new_bench());
                scope.spawn(move || {
                    let deadline = Instant::now() + Duration::from_secs(20);
                    while counters.completed.load(Relaxed) < (PUBLISHERS * MESSAGES) as u64 {
                        assert!(Instant::now() < deadline, "round {round}: something waits for ever");
                        if qos == QOS0 && member.peer.wire.is_at_end() {
                            member.peer.wire.will([Step::Take(5), Step::Block]);
                        }
                        let acks: Vec<_> = member.peer.publishes().iter().map(|seen| seen.id).collect();
                        for id in acks.into_iter().filter(|id| *id != 0) {
                            member.ack(AckKind::Puback, id, &mut bench);
                        }
                        if member.peer.wire.wakes() > 0 {
                            member.see_to_errands(&mut bench);
                        }
                        thread::yield_now();
                    }
                });
            }
        });
        assert_eq!(group.queued(), 0);
    }
}

#[test]
fn every_member_counts_its_own_and_the_group_its_queue() {
    let (mut bench, group) = (bench(), group());
    let a = Member::join(&group, 1, window(1), &mut bench);
    for _ in 0..3 {
        offer(&group, "m", QOS1, &mut bench);
    }
    assert_eq!(a.session.outbox.lock().outbound.ledger.offered, 1);
    assert_eq!(open(&bench)[..2], [2, 1]);
    let mut by_reason = BTreeMap::new();
    for reason in DropReason::ALL {
        by_reason.insert(reason.name(), dropped(&bench, reason));
    }
    assert!(by_reason.len() == DropReason::ALL.len() && by_reason.values().all(|count| *count == 0));
}

/// Law 7: with one member a shared subscription keeps the order of its publishers, also when they come
/// between the two halves of a pull.
#[test]
fn law_7_what_comes_while_a_member_carries_a_message_stands_behind_it() {
    for room_goes in [false, true] {
        let (mut bench, group) = (bench(), group());
        let limits = ClientTerms { receive_maximum: 2, ..terms() };
        let mut member = Member::join(&group, 1, limits, &mut bench);
        for payload in ["0", "1", "2", "3"] {
            offer(&group, payload, QOS1, &mut bench);
        }
        acknowledge(&member.session, member.connection, AckKind::Puback, 1, OK, &mut bench).unwrap();
        let carried = group.take(&member.session, false, &mut bench).unwrap();
        offer(&group, "4", QOS1, &mut bench);
        if room_goes {
            // Another message takes the place in the window: the carried one goes back to the front.
            publish(&member.session, "its own", QOS1, &mut bench);
        }
        let more = group.deliver(carried, &member.session, &mut bench);
        assert_eq!(more, !room_goes);
        group.pull(&member.session, &mut bench);
        for id in 2..=8 {
            member.ack(AckKind::Puback, id, &mut bench);
            member.see_to_errands(&mut bench);
        }
        let mut payloads = member.peer.payloads();
        payloads.retain(|payload| payload != "its own");
        assert_eq!(payloads, ["0", "1", "2", "3", "4"]);
        assert_eq!(open(&bench), [0; 4]);
    }
}

#[test]
fn mqtt_3_3_2_5_expired_messages_take_no_place_in_a_group_either() {
    let limits = Arc::new(Limits { queue_messages: 3, ..Limits::default() });
    let group = Arc::new(Group::new(9, Arc::from("$share/g/#"), limits, &Arc::default()));
    let mut bench = bench();
    let mut member = Member::join(&group, 1, window(1), &mut bench);
    let offer = |payload: &str, expires: Option<u64>, bench: &mut Workbench| {
        let expires_at = expires.map(|seconds| bench.now + Duration::from_secs(seconds));
        let message = publication("topic/name", payload.to_owned(), QOS1);
        offer_this(&group, &Arc::new(Publication { expires_at, ..message }), bench);
    };
    offer("in flight", None, &mut bench);
    for _ in 0..3 {
        offer("expires", Some(1), &mut bench);
    }
    bench.now += Duration::from_secs(2);
    for payload in ["a", "b", "c", "too many"] {
        offer(payload, None, &mut bench);
    }
    assert_eq!((group.queued(), dropped(&bench, DropReason::QueueFull)), (3, 1));
    assert_eq!(bench.counters().expired.load(Relaxed), 3);
    for id in 1..=4 {
        member.ack(AckKind::Puback, id, &mut bench);
    }
    assert_eq!(member.peer.payloads(), ["in flight", "a", "b", "c"]);
    assert_eq!(open(&bench), [0; 4]);
}

/// Counts how often it is asked about a topic below `no/`, which member 1 may not receive.
struct NotForOne(AtomicUsize);

impl Rights for NotForOne {
    fn allows(&self, _: &str, _: Option<&str>, act: Act, topic: &str) -> Verdict {
        let denied = act == Act::Receive && topic.starts_with("no/");
        self.0.fetch_add(usize::from(denied), Relaxed);
        Verdict::from(!denied)
    }
}

/// A member that may not receive what waits for another looks at each message once, not once for each of its
/// own acknowledgements, and at so many in one visit.
#[test]
fn a_member_looks_once_at_what_it_may_not_receive() {
    const FORBIDDEN: usize = 3_000;
    let (mut bench, group) = (bench(), group());
    let mut one = Member::join(&group, 1, terms(), &mut bench);
    let two = Member::join(&group, 2, window(1), &mut bench);
    let rights = Arc::new(NotForOne(AtomicUsize::new(0)));
    let identity = Identity { rights: Some(Arc::clone(&rights) as _), ..scripted_wire::identity("m1") };
    one.session.outbox.lock().outbound.identity = identity;
    for n in 0..FORBIDDEN {
        let message = Arc::new(publication("no/one", n.to_string(), QOS1));
        offer_this(&group, &message, &mut bench);
    }
    let waiting = group.queued();
    assert!(waiting >= FORBIDDEN - 1);
    rights.0.store(0, Relaxed);
    let mut visits = 0;
    offer(&group, "for one", QOS1, &mut bench);
    while one.peer.payloads() != ["for one"] {
        assert!(
            one.session.outbox.lock().errands(one.connection).pump,
            "it is told of what is left to look at"
        );
        one.session.pull_from_groups(&mut bench);
        bench.finish();
        visits += 1;
    }
    assert!((2..10).contains(&visits), "bounded visits: {visits}");
    let asked = rights.0.load(Relaxed);
    assert!(asked <= FORBIDDEN + 64, "{asked}");
    for id in 1..=50 {
        offer(&group, "for one", QOS1, &mut bench);
        one.ack(AckKind::Puback, id, &mut bench);
        one.see_to_errands(&mut bench);
    }
    assert!(rights.0.load(Relaxed) <= asked + 200, "{}", rights.0.load(Relaxed));
    drop(two);
}
