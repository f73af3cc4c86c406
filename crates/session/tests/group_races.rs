//! Shared subscriptions between the two halves of a pull: what others do while a member carries a message,
//! and what a member does that can take nothing for now.
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
    Act, ClientTerms, DropReason, Group, Identity, Limits, Offering, Rights, Verdict, Workbench,
};
use member::scripted_wire::{Peer, acknowledge, bench, connected, publication, publish, subscription, terms};
use member::{Member, group, scripted_wire, window};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const QOS1: QoS = QoS::AtLeastOnce;

fn offer(group: &Arc<Group>, topic: &str, payload: &str, bench: &mut Workbench) {
    let message = Arc::new(publication(topic, payload.to_owned(), QOS1));
    group.offer(&Offering::of(&message), bench);
    bench.finish();
}

/// Nothing waits, nothing is in flight, and the account adds up.
fn expect_settled(bench: &Workbench) {
    let counters = bench.counters();
    let dropped: u64 = counters.dropped.iter().map(|count| count.load(Relaxed)).sum();
    let ended = dropped + counters.completed.load(Relaxed) + counters.expired.load(Relaxed);
    let levels = [&counters.waiting, &counters.in_flight, &counters.queued_bytes, &counters.held_bytes];
    assert_eq!(levels.map(|level| level.load(Relaxed)), [0; 4]);
    assert_eq!(counters.offered.load(Relaxed), ended as i64);
}

/// Messages that come back from an ended session never take the place of one that is being carried.
#[test]
fn what_is_carried_and_what_comes_back_both_keep_their_place() {
    let (mut bench, group) = (bench(), group());
    let mut carrier = Member::join(&group, 1, window(1), &mut bench);
    let ends = Member::join(&group, 2, window(3), &mut bench);
    for number in 0..9 {
        offer(&group, "t", &number.to_string(), &mut bench);
    }
    // 0 went to the first, 1 to 3 to the second; the rest waits.
    assert_eq!((carrier.peer.payloads(), group.queued()), (vec!["0".to_owned()], 5));
    carrier.ack_only(1, &mut bench);
    let carried = group.take(&carrier.session, false, &mut bench).unwrap();
    group.offline(2);
    let given = scripted_wire::end(&ends.session, &mut bench);
    assert_eq!(given.len(), 3);
    group.take_back(given, &mut bench);
    // Its own message takes the only place in the window: the carried one has to go back.
    publish(&carrier.session, "its own", QOS1, &mut bench);
    assert!(!group.deliver(carried, &carrier.session, &mut bench));
    ends.leave(&group, &mut bench);
    assert_eq!(group.queued(), 8, "every one of them");
    for id in 2..=12 {
        carrier.ack(AckKind::Puback, id, &mut bench);
        carrier.see_to_errands(&mut bench);
    }
    let mut payloads = carrier.peer.payloads();
    payloads.retain(|payload| payload != "its own");
    let first = payloads.iter().position(|payload| payload == "1").unwrap();
    assert_eq!(payloads[first..first + 3], ["1", "2", "3"], "in their order: {payloads:?}");
    payloads.sort();
    assert_eq!(payloads, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    expect_settled(&bench);
}

impl Member {
    /// Acknowledges and takes nothing yet.
    fn ack_only(&self, id: u16, bench: &mut Workbench) {
        let (kind, ok) = (AckKind::Puback, ReasonCode::Success);
        acknowledge(&self.session, self.connection, kind, id, ok, bench).unwrap();
    }
}

/// At the memory watermark a worker that holds a job asks for the next one when it has acknowledged, and not
/// again and again.
#[test]
fn a_member_that_waits_for_memory_does_not_ask_without_end() {
    let (mut bench, group) = (bench(), group());
    let mut member = Member::join(&group, 1, window(2), &mut bench);
    for number in 0..4 {
        offer(&group, "t", &format!("{number}{}", "x".repeat(70_000)), &mut bench);
    }
    bench.memory_full = true;
    let mut taken = 2;
    for id in 1..=4 {
        member.ack_only(id, &mut bench);
        assert!(member.see_to_errands(&mut bench) < 5);
        // More than is kept in any case stays in flight until the last of the first two is acknowledged.
        taken += usize::from(id > 1 && taken < 4);
        assert_eq!(group.queued(), 4 - taken, "{id}");
    }
    let numbers: Vec<_> = member.peer.payloads().iter().map(|job| job[..1].to_owned()).collect();
    assert_eq!(numbers, ["0", "1", "2", "3"]);
    expect_settled(&bench);
}

/// A message that its carrier cannot deliver after the last member has left is dropped and counted, and not
/// kept by a group that is gone.
#[test]
fn what_is_carried_when_the_last_member_leaves_is_counted() {
    let (mut bench, group) = (bench(), group());
    let member = Member::join(&group, 1, window(1), &mut bench);
    offer(&group, "t", "in flight", &mut bench);
    offer(&group, "t", "waits", &mut bench);
    member.ack_only(1, &mut bench);
    let carried = group.take(&member.session, false, &mut bench).unwrap();
    member.leave(&group, &mut bench);
    assert!(!group.deliver(carried, &member.session, &mut bench));
    bench.finish();
    assert_eq!(group.queued(), 0);
    assert_eq!(bench.counters().dropped[DropReason::SessionEnded as usize].load(Relaxed), 1);
    scripted_wire::end(&member.session, &mut bench);
    bench.finish();
    expect_settled(&bench);
}

/// Only the client with this number may receive below a topic.
struct Only(&'static str, &'static str);

impl Rights for Only {
    fn allows(&self, client_id: &str, _: Option<&str>, act: Act, topic: &str) -> Verdict {
        (act != Act::Receive || !topic.starts_with(self.1) || client_id == self.0).into()
    }
}

fn restrict(member: &Member, rights: &Arc<Only>) {
    let rights: Option<Arc<dyn Rights>> = Some(Arc::clone(rights) as _);
    let identity = Identity { rights, ..scripted_wire::identity(&member.session.client_id) };
    member.session.outbox.lock().outbound.identity = identity;
}

/// Who looks through a long queue for nothing, after it carried a message, passes on the word about what came
/// meanwhile.
#[test]
fn finding_20_a_member_that_gives_up_looking_passes_the_word_on() {
    let (mut bench, group) = (bench(), group());
    let rights = Arc::new(Only("m3", "for 3"));
    let carrier = Member::join(&group, 1, window(2), &mut bench);
    let full = Member::join(&group, 3, window(1), &mut bench);
    [&carrier, &full].iter().for_each(|member| restrict(member, &rights));
    // The third is full; both places of the first are taken; one message waits for it, then many for the third.
    for _ in 0..3 {
        offer(&group, "t", "in flight", &mut bench);
    }
    offer(&group, "t", "next", &mut bench);
    for _ in 0..2_000 {
        offer(&group, "for 3", "not for others", &mut bench);
    }
    carrier.ack_only(1, &mut bench);
    let carried = group.take(&carrier.session, false, &mut bench).unwrap();
    let mut other = Member::join(&group, 2, window(5), &mut bench);
    restrict(&other, &rights);
    other.see_to_errands(&mut bench);
    // While the first carries, a message comes that the other one may have: it is left to the carrier.
    offer(&group, "t", "for anybody", &mut bench);
    assert!(group.deliver(carried, &carrier.session, &mut bench));
    assert!(group.take(&carrier.session, true, &mut bench).is_none());
    for _ in 0..20 {
        other.see_to_errands(&mut bench);
        carrier.see_to_errands(&mut bench);
    }
    assert_eq!(other.peer.payloads(), ["for anybody"]);
}

/// What a member was shown and might not have is shown to it again when it comes back, perhaps as another user.
#[test]
fn a_member_that_comes_back_is_shown_everything_again() {
    let (mut bench, group) = (bench(), group());
    let member = Member::join(&group, 1, window(1), &mut bench);
    let keeper = Member::join(&group, 2, window(1), &mut bench);
    restrict(&member, &Arc::new(Only("m2", "t")));
    for _ in 0..2 {
        offer(&group, "t", "m", &mut bench);
    }
    member.session.pull_from_groups(&mut bench);
    assert_eq!(group.queued(), 1, "it waits for the other one, who is full");
    group.offline(2);
    member.session.outbox.lock().detach(member.connection, &mut bench);
    group.offline(1);
    restrict(&member, &Arc::new(Only("m1", "t")));
    let mut peer = Peer::new(terms().version);
    scripted_wire::connect(&member.session, &mut peer, terms(), &mut bench);
    bench.finish();
    assert_eq!(peer.read().len(), 2, "CONNACK and the message");
    drop(keeper);
}

/// A membership that a long SUBSCRIBE makes after its connection is gone is that of a member who is away.
#[test]
fn who_joins_without_a_connection_is_offline() {
    let (mut bench, group) = (bench(), group());
    let session = scripted_wire::session(1, "away", &Limits::default());
    group.join(&subscription(&session, "$share/g/#", QOS1));
    let message = Arc::new(publication("t", "m", QoS::AtMostOnce));
    group.offer(&Offering::of(&message), &mut bench);
    bench.finish();
    assert_eq!(bench.counters().dropped[DropReason::NoMember as usize].load(Relaxed), 1);
}

/// SUBSCRIBE to a group, get a message that has to wait, UNSUBSCRIBE, again and again: nothing grows.
#[test]
fn groups_that_were_left_are_not_kept_in_a_list() {
    let mut bench = bench();
    let terms = ClientTerms { receive_maximum: 1, ..terms() };
    let (session, ..) = connected(1, "s", terms, &Limits::default(), &mut bench);
    publish(&session, "fills the window", QOS1, &mut bench);
    let mut groups = Vec::new();
    for number in 0..500 {
        let group = Arc::new(Group::new(
            number,
            Arc::from("$share/g/#"),
            Arc::new(Limits::default()),
            &Arc::default(),
        ));
        let subscription = subscription(&session, "$share/g/#", QOS1);
        session.add_group(&group);
        group.join(&subscription);
        offer(&group, "t", "m", &mut bench);
        assert_eq!(group.queued(), 1);
        subscription.end();
        session.remove_group(number);
        group.leave(1, &mut bench);
        groups.push(Arc::downgrade(&group));
    }
    let kept = groups.iter().filter(|group| group.strong_count() > 0).count();
    assert!(kept <= 40, "{kept} of 500 are still there");
}
