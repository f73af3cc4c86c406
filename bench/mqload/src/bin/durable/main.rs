//! Measures what it costs to keep messages: the bare disk, a queue that grows, a whole life of messages, the time
//! until an acknowledgement. One JSON line on standard output. It knows no broker: who runs, on which folder, and
//! what that costs, is the business of `cargo xtask bench --durable`.
//!
//! MQTT 3.1.1 over plain TCP with blocking sockets; QoS 1, lasting sessions.

mod client;
mod disk;
#[path = "../../hist.rs"]
#[allow(dead_code, reason = "what mqload needs beside")]
mod hist;
mod life;
#[path = "../../mqtt.rs"]
#[allow(dead_code, reason = "what mqload needs beside")]
mod mqtt;
mod publish;

use std::time::{Duration, Instant};

const HELP: &str = "durable WORK [OPTIONS]

WORK       disk        write and sync batches of --bytes in a loop, or --rate of them a second
           subscribe   make the lasting session --client, subscribed to --topic, and leave it
           publish     publish to --topic with --window in flight, --count messages or for --secs
           consume     take --count messages of the session --client and acknowledge them
           life        publish and consume at once, --count messages or for --secs, --ahead messages between
                       the two at most
           pace        publish --rate messages a second, one after the other, and time each PUBACK

--port N        of the broker on 127.0.0.1 (default 1883)
--client NAME   the lasting session (default keeper)      --topic NAME   (default plant/line/sensor)
--payload N     bytes (default 200)                       --window N     in flight (default 1000)
--count N       messages (0: for --secs)                  --secs S       (default 3)
--topics N      publish: retained, on as many topics in turn (default 0: one topic, not retained)
--rate N        a second (default 100; disk: as fast as it can)
--ahead N       life: messages published and not consumed (default 20000)
--online        pace: the session reads and acknowledges meanwhile
--clean         life: the session ends with its connection, so nothing need be kept
--folder DIR    disk: where its file lies                 --bytes N      disk: of a batch";

/// What was asked for.
pub struct Asked {
    pub port: u16,
    pub client: String,
    pub topic: String,
    pub payload: usize,
    pub window: usize,
    pub count: u64,
    pub secs: f64,
    pub topics: u64,
    pub rate: f64,
    pub ahead: u64,
    pub online: bool,
    pub clean: bool,
    pub folder: String,
    pub bytes: usize,
}

impl Asked {
    /// When a work that is bounded by time ends.
    pub fn end(&self) -> Instant {
        Instant::now() + Duration::from_secs_f64(self.secs)
    }

    /// Whether a publisher that has sent so many goes on: until there are enough, or it is time.
    pub fn wants_more(&self, sent: u64, end: Instant) -> bool {
        if self.count > 0 { sent < self.count } else { Instant::now() < end }
    }

    /// How many it may send yet.
    pub fn left(&self, sent: u64) -> u64 {
        if self.count > 0 { self.count - sent } else { u64::MAX }
    }
}

fn main() {
    let (work, asked) = read();
    let line = match work.as_str() {
        "disk" => disk::run(&asked),
        "subscribe" => client::make_session(&asked),
        "publish" => publish::run(&asked),
        "consume" => life::consume(&asked),
        "life" => life::run(&asked),
        "pace" => publish::pace(&asked),
        _ => usage(&format!("there is no work `{work}`")),
    };
    match line {
        Ok(line) => println!("{line}"),
        Err(why) => {
            println!("{{\"error\":{:?}}}", why.to_string());
            std::process::exit(1);
        }
    }
}

fn read() -> (String, Asked) {
    let mut asked = Asked {
        port: 1883,
        client: "keeper".into(),
        topic: "plant/line/sensor".into(),
        payload: 200,
        window: 1000,
        count: 0,
        secs: 3.0,
        topics: 0,
        rate: 0.0,
        ahead: 20_000,
        online: false,
        clean: false,
        folder: String::new(),
        bytes: 0,
    };
    let mut given = std::env::args().skip(1);
    let work = given.next().filter(|work| work != "--help").unwrap_or_else(|| usage("no work named"));
    while let Some(key) = given.next() {
        match key.as_str() {
            "--online" => asked.online = true,
            "--clean" => asked.clean = true,
            _ => {}
        }
        if matches!(key.as_str(), "--online" | "--clean") {
            continue;
        }
        let value = given.next().unwrap_or_else(|| usage(&format!("{key} needs a value")));
        let number = || value.parse::<f64>().unwrap_or_else(|_| usage(&format!("{key} {value}: not a number")));
        match key.as_str() {
            "--port" => asked.port = number() as u16,
            "--client" => asked.client = value,
            "--topic" => asked.topic = value,
            "--payload" => asked.payload = (number() as usize).max(8),
            "--window" => asked.window = (number() as usize).clamp(1, 60_000),
            "--count" => asked.count = number() as u64,
            "--secs" => asked.secs = number(),
            "--topics" => asked.topics = number() as u64,
            "--rate" => asked.rate = number(),
            "--ahead" => asked.ahead = number() as u64,
            "--folder" => asked.folder = value,
            "--bytes" => asked.bytes = number() as usize,
            _ => usage(&format!("unknown option {key}")),
        }
    }
    (work, asked)
}

fn usage(why: &str) -> ! {
    eprintln!("durable: {why}\n\n{HELP}");
    std::process::exit(2)
}
