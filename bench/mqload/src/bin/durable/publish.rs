//! Publishers: with many in flight, or one message after the other.

use crate::client::Client;
use crate::hist::Hist;
use crate::{mqtt, Asked};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A publisher with at most so many messages in flight. The payload begins with the message's number.
pub struct Publisher {
    client: Client,
    packet: Vec<u8>,
    id_at: usize,
    payload_at: usize,
    out: Vec<u8>,
    window: usize,
    /// Identifiers without PUBACK, oldest first.
    in_flight: VecDeque<u16>,
    pub sent: u64,
    pub acknowledged: u64,
    /// PUBACKs out of order.
    pub disordered: u64,
    next_id: u16,
}

impl Publisher {
    pub fn new(asked: &Asked) -> io::Result<Publisher> {
        let client = Client::connect(asked.port, "publisher", false)?;
        let (packet, id_at, payload_at) = mqtt::publish(&asked.topic, 1, asked.payload);
        let out = Vec::with_capacity(asked.window * packet.len());
        Ok(Publisher {
            client,
            packet,
            id_at,
            payload_at,
            out,
            window: asked.window,
            in_flight: VecDeque::new(),
            sent: 0,
            acknowledged: 0,
            disordered: 0,
            next_id: 0,
        })
    }

    /// Publishes on another topic from now on, retained.
    fn retained_on(&mut self, topic: &str, payload: usize) {
        (self.packet, self.id_at, self.payload_at) = mqtt::publish(topic, 1, payload);
        self.packet[0] |= 1;
    }

    fn put(&mut self) {
        self.next_id = self.next_id % 65_535 + 1;
        self.packet[self.id_at..self.id_at + 2].copy_from_slice(&self.next_id.to_be_bytes());
        self.packet[self.payload_at..self.payload_at + 8].copy_from_slice(&self.sent.to_be_bytes());
        self.out.extend_from_slice(&self.packet);
        self.in_flight.push_back(self.next_id);
        self.sent += 1;
    }

    /// How many may be sent now.
    fn room(&self) -> usize {
        self.window - self.in_flight.len()
    }

    /// Sends at most so many more, as far as the window lets it.
    pub fn send(&mut self, at_most: u64) -> io::Result<()> {
        for _ in 0..at_most.min(self.room() as u64) {
            self.put();
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.client.write(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    /// Reads once, if anything is in flight.
    pub fn hear(&mut self) -> io::Result<()> {
        if self.in_flight.is_empty() {
            return Ok(());
        }
        let Publisher { client, in_flight, acknowledged, disordered, .. } = self;
        client.read(|kind, body| {
            if kind != 0x40 || body.len() < 2 {
                return;
            }
            let id = u16::from_be_bytes([body[0], body[1]]);
            if let Some(at) = in_flight.iter().position(|one| *one == id) {
                *disordered += u64::from(at > 0);
                in_flight.remove(at);
                *acknowledged += 1;
            }
        })
    }

    /// Waits for what is in flight.
    pub fn finish(&mut self) -> io::Result<()> {
        while !self.in_flight.is_empty() {
            self.hear()?;
        }
        Ok(())
    }
}

/// Publishes until there are enough, or it is time.
pub fn run(asked: &Asked) -> io::Result<String> {
    let mut publisher = Publisher::new(asked)?;
    let (start, end) = (Instant::now(), asked.end());
    while asked.wants_more(publisher.sent, end) {
        let most = asked.left(publisher.sent);
        if asked.topics > 0 {
            for _ in 0..most.min(publisher.room() as u64) {
                let topic = format!("{}/{}", asked.topic, publisher.sent % asked.topics);
                publisher.retained_on(&topic, asked.payload);
                publisher.put();
            }
            publisher.flush()?;
        } else {
            publisher.send(most)?;
        }
        publisher.hear()?;
    }
    publisher.finish()?;
    let secs = start.elapsed().as_secs_f64();
    // Payload and topic; MQTT 3.1.1 has no properties.
    let content_each = asked.payload + asked.topic.len();
    Ok(format!(
        "{{\"messages\":{},\"secs\":{secs:.4},\"msgs_per_s\":{:.1},\"content_each\":{content_each},\"disordered\":{}}}",
        publisher.acknowledged,
        publisher.acknowledged as f64 / secs,
        publisher.disordered,
    ))
}

/// Publishes one message after the other, at a rate, and tells how long each PUBACK took.
pub fn pace(asked: &Asked) -> io::Result<String> {
    let reader = asked.online.then(|| reader(asked)).transpose()?;
    let mut publisher = Publisher::new(asked)?;
    let rate = if asked.rate > 0.0 { asked.rate } else { 100.0 };
    let mut times = Hist::new();
    let (start, end) = (Instant::now(), asked.end());
    while Instant::now() < end {
        let due = start + Duration::from_secs_f64(publisher.sent as f64 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let begun = Instant::now();
        publisher.send(1)?;
        publisher.finish()?;
        times.record(begun.elapsed().as_nanos() as u64);
    }
    if let Some(stop) = reader {
        stop.store(true, Relaxed);
    }
    Ok(format!(
        "{{\"messages\":{},\"p50_us\":{:.1},\"p99_us\":{:.1},\"max_us\":{:.1}}}",
        times.total,
        times.quantile(0.5) as f64 / 1e3,
        times.quantile(0.99) as f64 / 1e3,
        times.max as f64 / 1e3,
    ))
}

/// A thread that reads the session and acknowledges, until it is told to stop. It ends with the process.
fn reader(asked: &Asked) -> io::Result<&'static AtomicBool> {
    let stop: &AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let mut client = Client::connect(asked.port, &asked.client, true)?;
    if !client.is_present {
        client.subscribe(&asked.topic)?;
    }
    std::thread::spawn(move || {
        let mut answers = Vec::new();
        while !stop.load(Relaxed) {
            let read = client.read(|kind, body| crate::life::acknowledge(kind, body, &mut answers));
            if read.and_then(|()| client.write(&answers)).is_err() && !stop.load(Relaxed) {
                eprintln!("the session has lost its connection");
                return;
            }
            answers.clear();
        }
    });
    Ok(stop)
}
