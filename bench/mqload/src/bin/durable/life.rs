//! Consumers: of a queue that waits, and of one that is written meanwhile.

use crate::client::Client;
use crate::publish::Publisher;
use crate::Asked;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Appends the PUBACK of a delivery.
pub fn acknowledge(kind: u8, body: &[u8], answers: &mut Vec<u8>) {
    if kind >> 4 == 3 && kind & 6 == 2 && body.len() >= 2 {
        let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
        if let Some(id) = body.get(2 + topic..4 + topic) {
            answers.extend_from_slice(&[0x40, 2, id[0], id[1]]);
        }
    }
}

/// The number with which a payload of ours begins.
fn number(body: &[u8]) -> Option<u64> {
    let topic = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
    Some(u64::from_be_bytes(body.get(4 + topic..12 + topic)?.try_into().ok()?))
}

/// What a consumer has seen.
#[derive(Default)]
struct Seen {
    messages: u64,
    repeated: u64,
    /// Numbers that were skipped.
    missing: u64,
    next: u64,
}

impl Seen {
    fn take(&mut self, kind: u8, body: &[u8]) {
        if kind >> 4 != 3 {
            return;
        }
        let Some(number) = number(body) else { return };
        if number < self.next {
            self.repeated += 1;
            return;
        }
        self.missing += number - self.next;
        self.next = number + 1;
        self.messages += 1;
    }

    /// Reads and acknowledges until the number `until` was seen. What was seen shows in `consumed`.
    fn consume(&mut self, client: &mut Client, until: &dyn Fn() -> u64, consumed: &AtomicU64) -> io::Result<()> {
        let mut answers = Vec::new();
        while self.next < until() {
            client.read(|kind, body| {
                self.take(kind, body);
                acknowledge(kind, body, &mut answers);
            })?;
            client.write(&answers)?;
            answers.clear();
            consumed.store(self.next, Relaxed);
        }
        Ok(())
    }

    fn line(&self, secs: f64) -> String {
        format!(
            "{{\"messages\":{},\"secs\":{secs:.4},\"msgs_per_s\":{:.1},\"missing\":{},\"repeated\":{}}}",
            self.messages,
            self.messages as f64 / secs,
            self.missing,
            self.repeated
        )
    }
}

/// Takes a queue that waits.
pub fn consume(asked: &Asked) -> io::Result<String> {
    let start = Instant::now();
    let mut client = Client::connect(asked.port, &asked.client, true)?;
    if !client.is_present {
        return Err(io::Error::other("the broker does not know the session"));
    }
    let mut seen = Seen::default();
    seen.consume(&mut client, &|| asked.count, &AtomicU64::new(0))?;
    let secs = start.elapsed().as_secs_f64();
    client.leave()?;
    Ok(seen.line(secs))
}

/// Publishes and consumes at once.
pub fn run(asked: &Asked) -> io::Result<String> {
    let mut client = Client::connect(asked.port, &asked.client, !asked.clean)?;
    if !client.is_present {
        client.subscribe(&asked.topic)?;
    }
    let consumed = AtomicU64::new(0);
    // Known at the end only.
    let until = AtomicU64::new(u64::MAX);
    let start = Instant::now();
    let seen = std::thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            let mut seen = Seen::default();
            seen.consume(&mut client, &|| until.load(Relaxed), &consumed).map(|()| seen)
        });
        let published = publish(asked, &consumed, &until);
        let seen = consumer.join().unwrap_or_else(|_| Err(io::Error::other("the consumer panicked")));
        published.and(seen)
    })?;
    let secs = start.elapsed().as_secs_f64();
    client.leave()?;
    Ok(seen.line(secs))
}

fn publish(asked: &Asked, consumed: &AtomicU64, until: &AtomicU64) -> io::Result<()> {
    let mut publisher = Publisher::new(asked)?;
    let end = asked.end();
    while asked.wants_more(publisher.sent, end) {
        let ahead = publisher.sent.saturating_sub(consumed.load(Relaxed));
        publisher.send(asked.ahead.saturating_sub(ahead).min(asked.left(publisher.sent)))?;
        if ahead >= asked.ahead {
            std::thread::sleep(Duration::from_millis(1));
        }
        publisher.hear()?;
    }
    // The last message ends the consumer, which waits for packets: so this is known before it is sent.
    until.store(publisher.sent + 1, Relaxed);
    publisher.finish()?;
    publisher.send(1)?;
    publisher.finish()
}
