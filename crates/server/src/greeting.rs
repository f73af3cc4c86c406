//! From an accepted socket to an accepted CONNECT: nothing is kept for a stranger but the bytes of
//! its first packet, up to a limit and a deadline.

use crate::authentication::Authenticator;
use crate::transport::ReadHalf;
use aldis_packet::Connect;
use aldis_session::{First, Limits, Negotiated, Refusal, first_packet, refuse_within};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::timeout;

/// Bytes read at once from a stranger; a CONNECT is usually shorter than this.
const PIECE: usize = 1024;

/// Why there is no conversation.
pub(crate) enum NoGreeting {
    /// The connection ended, or the deadline passed, before a whole CONNECT came.
    Silence(&'static str),
    /// The CONNECT is refused.
    Refused(Refusal),
}

/// An accepted CONNECT, and the bytes that came behind it.
pub(crate) struct Greeting {
    pub(crate) negotiated: Box<Negotiated>,
    /// Whether the user name was verified.
    pub(crate) verified: bool,
    pub(crate) behind: Vec<u8>,
    pub(crate) received: usize,
}

/// Reads the first packet, shows it to `seen`, and decides whether its client may connect.
/// `authenticator` is `None` for connections inside the process.
pub(crate) async fn greet(
    half: &mut ReadHalf,
    limits: &Limits,
    authenticator: Option<&Authenticator>,
    seen: impl FnOnce(&Connect),
) -> Result<Greeting, NoGreeting> {
    let read = timeout(limits.first_packet_timeout, read_connect(half, limits));
    let (connect, behind, received) = match read.await {
        Ok(read) => read?,
        Err(_) => return Err(NoGreeting::Silence("no CONNECT within limits.first_packet_timeout")),
    };
    seen(&connect);
    let (version, properties) = (connect.version, &connect.properties);
    let maximum_packet_size = properties.maximum_packet_size.unwrap_or(u32::MAX);
    let verified = match authenticator {
        None => false,
        Some(authenticator) => {
            let checked = authenticator.check(connect.user_name.as_deref(), connect.password.as_deref());
            let checked = checked.await;
            checked.map_err(|why| NoGreeting::Refused(refuse_within(version, maximum_packet_size, why)))?
        }
    };
    let negotiated = Negotiated::new(*connect, limits, assigned_id).map_err(NoGreeting::Refused)?;
    Ok(Greeting { negotiated: Box::new(negotiated), verified, behind, received })
}

async fn read_connect(
    half: &mut ReadHalf,
    limits: &Limits,
) -> Result<(Box<Connect>, Vec<u8>, usize), NoGreeting> {
    let mut bytes = Vec::new();
    loop {
        let have = bytes.len();
        let more = have.clamp(PIECE, 64 << 10);
        bytes.resize(have + more, 0);
        let count = read(half, bytes.get_mut(have..).unwrap_or_default()).await;
        bytes.truncate(have + count.as_ref().copied().unwrap_or(0));
        match count {
            Ok(0) => return Err(NoGreeting::Silence("it closed before its CONNECT was whole")),
            Err(_) => {
                return Err(NoGreeting::Silence("the connection was lost before its CONNECT was whole"));
            }
            Ok(_) => {}
        }
        match first_packet(&bytes, limits).map_err(NoGreeting::Refused)? {
            First::Partial(_) => {}
            First::Connect(connect, size) => {
                let received = bytes.len();
                return Ok((connect, bytes.split_off(size), received));
            }
        }
    }
}

async fn read(half: &mut ReadHalf, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = ReadBuf::new(buffer);
    poll_fn(|cx| Pin::new(&mut *half).poll_read(cx, &mut read)).await?;
    Ok(read.filled().len())
}

/// A client id for a client that gave none: unique in this process and, by its random part, beyond.
fn assigned_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let random = crate::random::u64();
    format!("aldis-{random:016x}-{}", NEXT.fetch_add(1, Relaxed))
}
