//! What the broker keeps: retained messages, wills, sessions; take-over.

use crate::connection::Options;
use crate::expect::{self, Failure, Outcome};
use crate::message::{Message, numbered};
use crate::peer::{Peer, Run};
use rumqttc::v5::mqttbytes::v5::{DisconnectReasonCode, PublishProperties};
use tokio::time::Instant;

/// A new subscriber receives exactly `expected` (any order among topics), then live messages.
async fn retained_exactly(run: &Run, publisher: &mut Peer<'_>, label: &str, expected: &[Message]) -> Outcome {
    let late = Peer::connect(run, label).await?;
    late.subscribe(&run.topic("kept/#"), 2).await?;
    late.wait_count(expected.len()).await?;
    let last = Message::text(&run.topic("kept/last"), "last", 2);
    publisher.send(std::slice::from_ref(&last)).await?;
    late.wait_until("the last message", |got| got.contains(&last)).await?;
    late.expect_any_order(label, &[expected, &[last]].concat()).await?;
    late.disconnect().await
}

/// Publishes a message, and the live subscriber gets it without RETAIN.
async fn put(publisher: &mut Peer<'_>, live: &Peer<'_>, message: &Message) -> Outcome {
    publisher.send(std::slice::from_ref(message)).await?;
    live.expect_exactly("live", &[message.clone().live()]).await
}

/// Set, replaced, deleted; RETAIN is 1 only on what was kept; a deletion is delivered live.
pub(crate) async fn retained(run: &Run) -> Outcome {
    let [a, b, c] = ["kept/a", "kept/b", "kept/c"].map(|name| run.topic(name));
    let filter = run.topic("kept/+");
    let live = Peer::connect(run, "live").await?;
    live.subscribe(&filter, 2).await?;
    let mut publisher = Peer::connect(run, "publisher").await?;
    let first = [
        Message::text(&a, "one", 1).retained(),
        Message::text(&b, "two", 0).retained(),
        Message::text(&c, "three", 2).retained(),
    ];
    for message in &first {
        put(&mut publisher, &live, message).await?;
    }
    live.unsubscribe(&filter).await?;
    retained_exactly(run, &mut publisher, "set", &first).await?;
    live.subscribe(&filter, 2).await?;
    live.expect_any_order("subscribed again", &first).await?;

    let uno = Message::text(&a, "uno", 2).retained();
    put(&mut publisher, &live, &uno).await?;
    put(&mut publisher, &live, &Message::text(&b, "not kept", 1)).await?;
    live.unsubscribe(&filter).await?;
    let [_, two, three] = first;
    let replaced = [uno.clone(), two, three];
    retained_exactly(run, &mut publisher, "replaced", &replaced).await?;
    live.subscribe(&filter, 2).await?;
    live.expect_any_order("replaced", &replaced).await?;

    put(&mut publisher, &live, &Message::text(&b, "", 1).retained()).await?;
    put(&mut publisher, &live, &Message::text(&c, "", 0).retained()).await?;
    put(&mut publisher, &live, &Message::text(&run.topic("kept/never"), "", 2).retained()).await?;
    live.disconnect().await?;
    retained_exactly(run, &mut publisher, "deleted", &[uno]).await?;
    publisher.send(&[Message::text(&a, "", 1).retained()]).await?;
    retained_exactly(run, &mut publisher, "all deleted", &[]).await
}

/// Published on an abrupt close with QoS, RETAIN, properties; not after a clean DISCONNECT. (rumqttc
/// cannot say in its DISCONNECT that it wants the will.)
pub(crate) async fn will(run: &Run) -> Outcome {
    let watcher = Peer::connect(run, "watcher").await?;
    watcher.subscribe(&run.topic("kept/#"), 2).await?;
    let mut publisher = Peer::connect(run, "publisher").await?;
    let mut carried = PublishProperties::default();
    if run.is_five {
        carried.content_type = Some("text/plain".to_owned());
        carried.payload_format_indicator = Some(1);
        carried.user_properties = pairs(&[("cause", "power"), ("cause", "again")]);
    }
    let mut kept = Vec::new();
    for level in [0, 1, 2] {
        for retain in [false, true] {
            let topic = run.topic(&format!("kept/{level}/{}", u8::from(retain)));
            let died = Message::text(&topic, &format!("died {level}"), level).with(carried.clone());
            let last_words = Message { retain, ..died.clone() };
            let name = format!("mortal{level}{retain}");
            // A will belongs to one connection: the first one has none.
            Peer::connect(run, &name).await?.disconnect().await?;
            let options = Options { will: Some(last_words.clone()), ..Options::CLEAN };
            Peer::connect_with(run, &name, options).await?.kill().await?;
            watcher.expect_exactly("will", &[died]).await?;
            kept.extend(retain.then_some(last_words));
        }
    }
    let will = Some(Message::text(&run.topic("kept/clean"), "in good order", 1));
    let clean = Peer::connect_with(run, "clean", Options { will, ..Options::CLEAN }).await?;
    clean.disconnect().await?;
    let end = [Message::text(&run.topic("kept/end"), "end", 2)];
    publisher.send(&end).await?;
    watcher.expect_exactly("after DISCONNECT", &end).await?;
    retained_exactly(run, &mut publisher, "retained wills", &kept).await?;
    watcher.expect_exactly("last", &[Message::text(&run.topic("kept/last"), "last", 2)]).await
}

/// A delayed will waits its delay; a session resumed in time never dies.
pub(crate) async fn will_delay(run: &Run) -> Outcome {
    let watcher = Peer::connect(run, "watcher").await?;
    watcher.subscribe(&run.topic("died/#"), 1).await?;
    let died = |name: &str| Message::text(&run.topic(&format!("died/{name}")), "died", 1);
    let mortal = |name: &str, clean, delay| Options {
        clean,
        expiry: 60,
        will: Some(died(name)),
        will_delay: Some(delay),
        is_manual: false,
    };
    let saved = Peer::connect_with(run, "saved", mortal("saved", true, 2)).await?;
    let lost = Peer::connect_with(run, "lost", mortal("lost", true, 2)).await?;
    saved.kill().await?;
    let mut back = Peer::connect_with(run, "saved", mortal("saved", false, 2)).await?;
    expect::equal("session present", back.session_present, true)?;
    lost.kill().await?;
    let killed = Instant::now();
    watcher.expect_exactly("will", &[died("lost")]).await?;
    let waited = killed.elapsed().as_secs_f64();
    if waited < 1.5 {
        return Err(Failure(format!("the will with a delay of 2 s was published after {waited:.2} s")));
    }
    if !run.is_against_mosquitto {
        // Mosquitto 2.0 loses this will. A clean start ends the session, and so the delay.
        Peer::connect_with(run, "replaced", mortal("replaced", true, 300)).await?.kill().await?;
        end_session(run, "replaced").await?;
        watcher.expect_exactly("session ended", &[died("replaced")]).await?;
    }
    let last = [died("last")];
    back.send(&last).await?;
    watcher.expect_exactly("last", &last).await?;
    back.disconnect().await?;
    end_session(run, "saved").await?;
    end_session(run, "lost").await
}

/// User properties.
pub(crate) fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A client whose session lasts; the broker must have one for it, or not.
async fn lasting<'run>(run: &'run Run, name: &str, session_present: bool) -> Outcome<Peer<'run>> {
    let peer = Peer::connect_with(run, name, Options::LASTING).await?;
    expect::equal("session present", peer.session_present, session_present)?;
    Ok(peer)
}

/// A clean session: the old one is gone.
async fn end_session(run: &Run, name: &str) -> Outcome {
    let last = Peer::connect(run, name).await?;
    expect::equal("session present after a clean start", last.session_present, false)?;
    last.disconnect().await
}

/// Compares in the order of each QoS, which is what MQTT promises.
async fn expect_by_qos(peer: &Peer<'_>, what: &str, expected: &[Message], compares_dup: bool) -> Outcome {
    peer.wait_count(expected.len()).await?;
    let (mut received, mut expected) = (peer.take(), expected.to_vec());
    received.iter_mut().for_each(|message| message.dup &= compares_dup);
    received.sort_by_key(|message| message.qos);
    expected.sort_by_key(|message| message.qos);
    expect::compare(what, &received, &expected)
}

/// A lasting session queues QoS 1 and 2 while its client is away, whole and in order.
pub(crate) async fn session(run: &Run) -> Outcome {
    let topic = run.topic("session/a");
    let filter = run.topic("session/#");
    let mut publisher = Peer::connect(run, "publisher").await?;
    let peer = lasting(run, "lasting", false).await?;
    peer.subscribe(&filter, 2).await?;
    peer.disconnect().await?;
    let mut queued = Vec::new();
    for (level, count) in [(2, 300), (1, 300), (2, 50)] {
        let sent = numbered(&topic, count, level);
        publisher.send(&sent).await?;
        queued.extend(sent);
    }
    let peer = lasting(run, "lasting", true).await?;
    expect_by_qos(&peer, "queued while away", &queued, true).await?;
    let live = numbered(&topic, 5, 1);
    publisher.send(&live).await?;
    peer.expect_exactly("live", &live).await?;

    peer.kill().await?;
    let queued = [numbered(&topic, 20, 2), numbered(&topic, 20, 1)];
    for sent in &queued {
        publisher.send(sent).await?;
    }
    let peer = lasting(run, "lasting", true).await?;
    // The first of these may have been sent to the connection that was just ending.
    expect_by_qos(&peer, "queued after an abrupt close", &queued.concat(), false).await?;
    peer.disconnect().await?;

    let peer = lasting(run, "lasting", true).await?;
    let once = numbered(&topic, 1, 1);
    publisher.send(&once).await?;
    peer.expect_exactly("nothing twice", &once).await?;
    peer.disconnect().await?;
    publisher.send(&numbered(&topic, 3, 1)).await?;
    end_session(run, "lasting").await?;
    let peer = lasting(run, "lasting", false).await?;
    peer.subscribe(&filter, 2).await?;
    let fresh = numbered(&topic, 1, 2);
    publisher.send(&fresh).await?;
    peer.expect_exactly("a new session begins empty", &fresh).await?;
    peer.disconnect().await?;
    end_session(run, "lasting").await
}

/// What was received but not acknowledged comes again, first, in order and with DUP.
pub(crate) async fn redelivery(run: &Run) -> Outcome {
    redelivered(run, 1).await
}

/// The same at QoS 2, without PUBREC: then it comes with DUP, and once it is complete never again.
pub(crate) async fn exactly_once(run: &Run) -> Outcome {
    redelivered(run, 2).await
}

async fn redelivered(run: &Run, level: u8) -> Outcome {
    let topic = run.topic("again");
    let mut publisher = Peer::connect(run, "publisher").await?;
    let options = Options { is_manual: true, ..Options::LASTING };
    let peer = Peer::connect_with(run, "forgetful", options).await?;
    peer.subscribe(&topic, level).await?;
    let first = numbered(&topic, 5, level);
    publisher.send(&first).await?;
    peer.expect_exactly("the first time", &first).await?;
    peer.kill().await?;

    let mut fresh = Message::text(&topic, "5", level);
    publisher.send(std::slice::from_ref(&fresh)).await?;
    let peer = lasting(run, "forgetful", true).await?;
    let mut expected: Vec<Message> =
        first.into_iter().map(|message| Message { dup: true, ..message }).collect();
    peer.wait_count(expected.len() + 1).await?;
    let received = peer.take();
    // The last one may have been sent to the connection that was just ending: its DUP may be either.
    fresh.dup = received.last().is_some_and(|message| message.dup);
    expected.push(fresh);
    expect::compare("the second time", &received, &expected)?;
    peer.disconnect().await?;

    let peer = lasting(run, "forgetful", true).await?;
    let last = [Message::text(&topic, "last", level)];
    publisher.send(&last).await?;
    peer.expect_exactly("acknowledged at last", &last).await?;
    peer.disconnect().await?;
    end_session(run, "forgetful").await
}

/// A filter taken back brings nothing more; another filter on the same topic stays.
pub(crate) async fn unsubscribe(run: &Run) -> Outcome {
    let mut peer = Peer::connect(run, "changing").await?;
    let (topic, wide) = (run.topic("changing/a"), run.topic("changing/+"));
    peer.subscribe(&topic, 2).await?;
    let heard = [Message::text(&topic, "heard", 2)];
    peer.send(&heard).await?;
    peer.expect_exactly("subscribed", &heard).await?;
    peer.subscribe(&wide, 1).await?;
    peer.unsubscribe(&topic).await?;
    let heard = Message::text(&topic, "heard at QoS 1", 2);
    peer.send(std::slice::from_ref(&heard)).await?;
    peer.expect_exactly("the wide one", &[heard.at(1)]).await?;
    peer.subscribe(&run.topic("last"), 1).await?;
    peer.unsubscribe(&wide).await?;
    let last = Message::text(&run.topic("last"), "last", 1);
    peer.send(&[Message::text(&topic, "not heard", 2)]).await?;
    peer.send(std::slice::from_ref(&last)).await?;
    peer.expect_exactly("unsubscribed", &[last]).await
}

/// A second client with the same id ends the first one's connection and takes its session.
pub(crate) async fn take_over(run: &Run) -> Outcome {
    let topic = run.topic("take-over");
    let mut publisher = Peer::connect(run, "publisher").await?;
    let mut first = lasting(run, "same", false).await?;
    first.subscribe(&topic, 1).await?;
    let before = [Message::text(&topic, "before", 1)];
    publisher.send(&before).await?;
    first.expect_exactly("before", &before).await?;
    first.settle().await?;
    let second = lasting(run, "same", true).await?;
    let ended = first.ended().await?;
    // Mosquitto 2.0.11 just closes.
    if run.is_five && !run.is_against_mosquitto {
        let reason = Some(DisconnectReasonCode::SessionTakenOver);
        let what = format!("reason of the DISCONNECT ({})", ended.why);
        expect::equal(&what, ended.disconnect, reason)?;
    }
    let after = ["after", "last"].map(|payload| Message::text(&topic, payload, 1));
    publisher.send(&after).await?;
    second.expect_exactly("after", &after).await?;
    if first.count() > 0 {
        let got = expect::shorten(&first.take());
        return Err(Failure(format!("the first client received {got} after the take-over")));
    }
    second.disconnect().await?;
    end_session(run, "same").await
}
