//! Chapter 1: accept a connection and report what it says. See docs/chapters/1-accept.md.
//!
//! ```sh
//! cargo run -p aldis-server --example chapter_1_accept
//! mosquitto_pub -t hello -m world
//! ```
#![allow(clippy::print_stdout, reason = "the terminal is where this program reports")]
#![allow(clippy::disallowed_methods, reason = "a task for each connection, which ends with it")]

use std::fmt::Write;
use std::io;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// Bytes read at once.
const BUFFER: usize = 1024;

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:1883").await?;
    println!("listening on {}; try: mosquitto_pub -t hello -m world", listener.local_addr()?);
    serve(listener, |line| println!("{line}")).await
}

/// Accepts for ever. Each connection gets a task of its own, so that a silent one keeps nobody waiting.
pub(crate) async fn serve(
    listener: TcpListener,
    report: impl Fn(String) + Clone + Send + Sync + 'static,
) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        let report = report.clone();
        tokio::spawn(async move {
            report(format!("{peer} connects"));
            match listen(stream, |bytes| report(format!("{peer} says {}", shown(bytes)))).await {
                Ok(()) => report(format!("{peer} has closed")),
                Err(error) => report(format!("{peer} is lost: {error}")),
            }
        });
    }
}

/// Reads until the peer closes. What one read brings is an accident: the end of one packet, three
/// packets at once, or the half of one.
async fn listen(mut stream: TcpStream, heard: impl Fn(&[u8])) -> io::Result<()> {
    let mut buffer = [0; BUFFER];
    loop {
        let count = stream.read(&mut buffer).await?;
        match buffer.get(..count) {
            None | Some([]) => return Ok(()),
            Some(bytes) => heard(bytes),
        }
    }
}

/// Bytes for the eye: as numbers, then as text where they are text.
fn shown(bytes: &[u8]) -> String {
    let mut line = format!("{} bytes:", bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(line, " {byte:02x}");
    }
    line.push_str("  ");
    line.extend(bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }));
    line
}
