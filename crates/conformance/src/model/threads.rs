//! The threads around the state: one accepts at each door, two serve each connection, one ticks.
//!
//! The thread that reads hands whole packets to the broker; the thread that writes takes bytes from a channel
//! without a bound, so that nothing in the broker ever waits for a client. A model lives for a few tests, so the
//! channel stays small.

use super::Door;
use super::broker::Broker;
use super::reader::take_frame;
use super::rule::Rule::{V5, V311};
use super::rule::Rules;
use super::websocket::{self, Asked};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(20);

/// What all threads share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    broker: Arc<Mutex<Broker>>,
    stop: Arc<AtomicBool>,
}

impl Shared {
    pub(super) fn new(broker: Broker) -> Self {
        Self { broker: Arc::new(Mutex::new(broker)), stop: Arc::new(AtomicBool::new(false)) }
    }

    /// The broker; a panic of another thread does not end it for this one.
    fn broker(&self) -> MutexGuard<'_, Broker> {
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all connections, and the other threads as soon as they look.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.broker().stop();
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Does what time demands, until the model stops.
    pub(super) fn tick(&self) {
        while !self.is_stopped() {
            std::thread::sleep(TICK);
            self.broker().tick();
        }
    }

    /// Lets clients in at one door, until the model stops.
    pub(super) fn accept(&self, door: Door, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.is_stopped() {
                return;
            }
            if let Ok(stream) = stream {
                let shared = self.clone();
                std::thread::spawn(move || shared.serve(door, stream));
            }
        }
    }

    /// Serves one connection to its end.
    fn serve(&self, door: Door, stream: TcpStream) {
        let (Ok(socket), Ok(writer)) = (stream.try_clone(), stream.try_clone()) else { return };
        let _ = stream.set_nodelay(true);
        let (out, bytes) = channel();
        let number = self.broker().opened(door, out, socket);
        std::thread::spawn(move || write(writer, &bytes));
        let reading = Reading { shared: self, number, rules: self.broker().rules, bytes: Vec::new() };
        match door {
            Door::WebSocket => reading.frames(stream),
            _ => reading.packets(stream),
        }
        self.broker().ended(number);
    }
}

/// The reading of one connection.
struct Reading<'a> {
    shared: &'a Shared,
    number: u64,
    rules: Rules,
    /// What was read and is no whole packet yet.
    bytes: Vec<u8>,
}

impl Reading<'_> {
    /// Reads packets from the stream itself.
    fn packets(mut self, mut stream: TcpStream) {
        let streams = self.rules.keep(&[V311("MQTT-7.1.1-1"), V5("MQTT-4.2-1")]);
        while let Some(chunk) = next_chunk(&mut stream) {
            self.process(&chunk, usize::MAX);
            if !streams {
                self.bytes.clear();
            }
        }
    }

    /// Reads the greeting of WebSocket, and then packets from its frames.
    fn frames(mut self, mut stream: TcpStream) {
        let mut raw = Vec::new();
        let mut greeted = false;
        while let Some(chunk) = next_chunk(&mut stream) {
            raw.extend(chunk);
            if !greeted {
                let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                let request: Vec<u8> = raw.drain(..end + 4).collect();
                let answer = websocket::greeting(self.rules, &String::from_utf8_lossy(&request));
                greeted = answer.is_ok();
                let text = answer.unwrap_or_else(str::to_owned);
                self.shared.broker().say(self.number, text.into_bytes());
                if !greeted {
                    return;
                }
            }
            while let Some(asked) = websocket::take(self.rules, &mut raw) {
                match asked {
                    Asked::Data(data) => self.process(&data, websocket::packets_of_a_frame(self.rules)),
                    Asked::Answer(frame) => self.shared.broker().say(self.number, frame),
                    Asked::Nothing => {}
                    Asked::Close => return,
                }
                if !websocket::aligns_nothing(self.rules) {
                    self.bytes.clear();
                }
            }
        }
    }

    /// Hands the whole packets of what was read to the broker, at most so many.
    fn process(&mut self, chunk: &[u8], most: usize) {
        self.bytes.extend(chunk);
        for _ in 0..most {
            match take_frame(self.rules, &mut self.bytes) {
                Ok(Some((first, body))) => self.shared.broker().frame(self.number, first, &body),
                Ok(None) => break,
                Err(violation) => {
                    self.bytes.clear();
                    self.shared.broker().violated(self.number, violation);
                    break;
                }
            }
        }
        self.shared.broker().chunk_processed(self.number);
    }
}

/// What was sent next; none at the end of the stream.
fn next_chunk(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut chunk = [0; 16 << 10];
    match stream.read(&mut chunk) {
        Ok(0) | Err(_) => None,
        Ok(count) => Some(chunk.iter().take(count).copied().collect()),
    }
}

/// Writes what comes, and ends the stream when nothing more can come.
fn write(mut stream: TcpStream, bytes: &Receiver<Vec<u8>>) {
    for bytes in bytes {
        if stream.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}
