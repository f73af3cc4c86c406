//! Chapter 2: from bytes to packets; CONNECT and PINGREQ are answered. See docs/chapters/2-packets.md.
//!
//! ```sh
//! cargo run -p aldis-server --example chapter_2_packets
//! mosquitto_pub -V 5 -t hello -m world
//! ```
#![allow(clippy::print_stdout, reason = "the terminal is where this program reports")]
#![allow(clippy::disallowed_methods, reason = "a task for each connection, which ends with it")]

use aldis_packet::{
    Connack, DecodeError, DecodeLimits, Framed, Packet, ProtocolVersion, ReasonCode, decode, encode_pingresp,
    next_frame,
};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of the largest packet that is taken: without a limit, a stranger decides how much memory we use.
const LARGEST_PACKET: usize = 64 << 10;

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:1883").await?;
    println!("listening on {}; try: mosquitto_pub -V 5 -t hello -m world", listener.local_addr()?);
    serve(listener, |line| println!("{line}")).await
}

pub(crate) async fn serve(
    listener: TcpListener,
    report: impl Fn(String) + Clone + Send + Sync + 'static,
) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        let report = report.clone();
        tokio::spawn(async move {
            match converse(stream, |packet| report(format!("{peer} -> {packet}"))).await {
                Ok(why) => report(format!("{peer} {why}")),
                Err(error) => report(format!("{peer} is lost: {error}")),
            }
        });
    }
}

/// The shell: it moves bytes and knows nothing of what they mean.
async fn converse(mut stream: TcpStream, received: impl Fn(&Packet<'_>)) -> io::Result<String> {
    let mut conversation = Conversation { version: ProtocolVersion::V311, over: false };
    let (mut bytes, mut answers) = (Vec::new(), Vec::new());
    loop {
        match conversation.turn(&bytes, &mut answers, &received) {
            // The beginning of a packet stays and comes first the next time.
            Ok(consumed) => drop(bytes.drain(..consumed)),
            Err(error) => return Ok(format!("is closed: {error}")),
        }
        stream.write_all(&answers).await?;
        answers.clear();
        if conversation.over {
            return Ok("has disconnected".to_owned());
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok("has closed".to_owned());
        }
    }
}

/// The core: it knows what bytes mean, and neither sockets nor tasks. So it can be tested with a byte
/// slice, and used over anything that carries bytes.
struct Conversation {
    /// What CONNECT said; how everything after it is written.
    version: ProtocolVersion,
    over: bool,
}

impl Conversation {
    /// Handles the whole packets in `bytes`; gives how many bytes those were.
    fn turn(
        &mut self,
        bytes: &[u8],
        answers: &mut Vec<u8>,
        received: impl Fn(&Packet<'_>),
    ) -> Result<usize, DecodeError> {
        let mut consumed = 0;
        while let Some(rest) = bytes.get(consumed..)
            && let Framed::Whole { frame, size } = next_frame(rest, LARGEST_PACKET)?
        {
            let packet = decode(&frame, self.version, &DecodeLimits::default())?;
            received(&packet);
            self.packet(&packet, answers);
            consumed += size;
        }
        Ok(consumed)
    }

    fn packet(&mut self, packet: &Packet<'_>, answers: &mut Vec<u8>) {
        match packet {
            Packet::Connect(connect) => {
                self.version = connect.version;
                Connack::new(false, ReasonCode::Success).encode(self.version, u32::MAX, answers);
            }
            Packet::Pingreq => encode_pingresp(answers),
            Packet::Disconnect(_) => self.over = true,
            _ => {}
        }
    }
}
