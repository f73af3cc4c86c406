//! The threads around the state: one accepts at each door, two serve each connection, one ticks.
//!
//! The thread that reads hands whole packets to the broker; the thread that writes takes bytes from a channel
//! without a bound, so that nothing in the broker ever waits for a client. A model lives for a few tests, so the
//! channel stays small.

use super::Door;
use super::broker::Broker;
use super::reader::take_frame;
use super::rule::Rule::{V5, V311};
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
        self.read(number, stream);
        self.broker().ended(number);
    }

    fn read(&self, number: u64, mut stream: TcpStream) {
        let rules = self.broker().rules;
        let streams = rules.keep(&[V311("MQTT-7.1.1-1"), V5("MQTT-4.2-1")]);
        let mut bytes = Vec::new();
        let mut chunk = [0; 16 << 10];
        loop {
            let count = match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(count) => count,
            };
            bytes.extend(chunk.iter().take(count));
            loop {
                match take_frame(rules, &mut bytes) {
                    Ok(Some((first, body))) => self.broker().frame(number, first, &body),
                    Ok(None) => break,
                    Err(violation) => {
                        bytes.clear();
                        self.broker().violated(number, violation);
                        break;
                    }
                }
            }
            self.broker().chunk_processed(number);
            if !streams {
                bytes.clear();
            }
        }
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
