//! The `$SYS` topics: what the broker tells its clients about itself, under Mosquitto's names.
//!
//! Every `sys_interval` the figures are worked out ([`figures`]) and those that have changed are
//! published, retained, like any message from inside. At QoS 0, where Mosquitto takes 2: a figure is
//! replaced in seconds, and a session that is offline must not gather the old ones.
//!
//! Not here: `$SYS/broker/connection/…`, where the bridges of other brokers speak for themselves, and events
//! about single clients.

pub(crate) mod figures;

use crate::clock;
use crate::process::Process;
use crate::publisher::{PublishError, Publisher};
use crate::server::Doors;
use crate::snapshot::Snapshot;
use aldis_packet::QoS;
use aldis_session::{Memory, Publication, Stamp};
use aldis_store::Origin;
use bytes::Bytes;
use figures::{Figure, figures};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How often the load averages go on while nothing is published: metrics have them, too.
const WHILE_OFF: Duration = Duration::from_secs(10);

/// Publishes at each of `intervals` until the server shuts down; zero is "never". A new interval
/// holds at once.
pub(crate) async fn run(doors: Arc<Doors>, mut intervals: watch::Receiver<Duration>) {
    let mut tree = Tree::new(Publisher::new(doors.broker.clone(), None));
    let mut closing = std::pin::pin!(doors.closing());
    loop {
        let pause = *intervals.borrow_and_update();
        let mut ticks = interval(if pause.is_zero() { WHILE_OFF } else { pause });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // The end before a change, and a change before one more round in the old rhythm.
            tokio::select! {
                biased;
                () = &mut closing => return,
                changed = intervals.changed() => match changed {
                    Err(_) => return,
                    Ok(()) if *intervals.borrow() != pause => break,
                    Ok(()) => continue,
                },
                _ = ticks.tick() => {}
            }
            let figures = look(&doors);
            let published = if pause.is_zero() { tree.remove().await } else { tree.publish(&figures).await };
            match published {
                Ok(()) => {}
                Err(PublishError::Closed) => return,
                Err(error) => tracing::debug!(target: "aldis", "$SYS is not published: {error}"),
            }
        }
    }
}

/// The figures now. Takes the averages one step on.
fn look(doors: &Doors) -> Vec<Figure> {
    let (snapshot, process) = (Snapshot::take(doors), Process::look());
    let mut trends = doors.trends.lock();
    trends.observe(&snapshot, &process, clock::now());
    figures(&snapshot, &trends, &process)
}

/// What was published last, to publish only what differs.
struct Tree {
    publisher: Publisher,
    published: BTreeMap<Arc<str>, String>,
}

impl Tree {
    fn new(publisher: Publisher) -> Tree {
        Tree { publisher, published: BTreeMap::new() }
    }

    async fn publish(&mut self, figures: &[Figure]) -> Result<(), PublishError> {
        let changed = changes(&mut self.published, figures);
        let topics: Vec<_> = changed.iter().map(|(topic, _)| Arc::clone(topic)).collect();
        // What was delivered and not kept is tried again, as is all if nothing was delivered.
        for position in self.send(changed).await.inspect_err(|_| self.published.clear())? {
            // Not forgotten: an earlier figure may be retained, and is to be removed one day.
            if let Some(figure) = topics.get(position).and_then(|topic| self.published.get_mut(topic)) {
                figure.clear();
            }
        }
        Ok(())
    }

    /// Takes the retained figures away: nobody is to read them as those of now.
    async fn remove(&mut self) -> Result<(), PublishError> {
        let topics = std::mem::take(&mut self.published);
        self.send(topics.into_keys().map(|topic| (topic, Bytes::new())).collect()).await.map(drop)
    }

    /// One command to the Broker for all of them; answers which were not kept, by position.
    async fn send(&self, messages: Vec<(Arc<str>, Bytes)>) -> Result<Vec<usize>, PublishError> {
        let counters = self.publisher.counters();
        let retained = messages.into_iter().map(|(topic, payload)| {
            let publication = Publication {
                topic,
                payload,
                properties: Bytes::new(),
                qos: QoS::AtMostOnce,
                retain: true,
                expires_at: None,
                publisher: None,
                memory: Memory::default(),
                stamp: Stamp::default(),
            };
            Arc::new(publication.counted(counters))
        });
        let retained: Vec<_> = retained.collect();
        let refused = self.publisher.publish_all(&retained, Origin::Nothing).await?;
        Ok(refused.into_iter().map(|(position, _)| position).collect())
    }
}

/// The figures whose payload is not the one published last, which they become.
fn changes(published: &mut BTreeMap<Arc<str>, String>, figures: &[Figure]) -> Vec<(Arc<str>, Bytes)> {
    let mut changed = Vec::new();
    for figure in figures {
        let (topic, payload) = (Arc::<str>::from(figure.topic.as_str()), figure.payload());
        if published.get(&topic) != Some(&payload) {
            changed.push((Arc::clone(&topic), Bytes::from(payload.clone())));
            published.insert(topic, payload);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, changes, figures::figures};
    use crate::process::Process;
    use crate::snapshot::Snapshot;
    use crate::trends::Trends;

    #[test]
    fn only_what_has_changed_is_published() {
        let mut published = BTreeMap::new();
        let of = |snapshot: &Snapshot| figures(snapshot, &Trends::default(), &Process::default());
        let quiet = Snapshot::default();
        let all = of(&quiet);
        assert_eq!(changes(&mut published, &all).len(), all.len());
        assert_eq!(changes(&mut published, &all), []);
        let busy = of(&Snapshot { uptime_seconds: 10, retained_messages: 3, ..quiet });
        let changed: Vec<_> = changes(&mut published, &busy)
            .into_iter()
            .map(|(topic, payload)| format!("{topic}={}", String::from_utf8_lossy(&payload)))
            .collect();
        let expected = [
            "$SYS/broker/uptime=10 seconds",
            "$SYS/broker/messages/stored=3",
            "$SYS/broker/store/messages/count=3",
            "$SYS/broker/retained messages/count=3",
        ];
        assert_eq!(changed, expected);
    }
}
