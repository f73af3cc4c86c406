//! From an accepted socket to an accepted CONNECT: nothing is kept for a stranger but the bytes of
//! its first packet, up to a limit and a deadline.

use crate::authentication::Authenticator;
use crate::notices::Kind;
use crate::transport::ReadHalf;
use aldis_packet::{Connect, ProtocolVersion, Quoted, ReasonCode};
use aldis_session::{
    Counters, First, Limits, Memory, Negotiated, Refusal, Violation, first_packet, refuse, refuse_within,
};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::timeout;

/// Bytes read at once from a stranger; a CONNECT is usually shorter than this.
const PIECE: usize = 1024;

/// Bytes that a CONNECT may have at the memory watermark, too.
const SMALL: usize = 4 << 10;

/// Why there is no conversation.
pub(crate) enum NoGreeting {
    /// The connection ended before a whole CONNECT came.
    Silence(&'static str),
    /// The deadline passed before a whole CONNECT came.
    Timeout,
    /// The CONNECT is refused, or what came instead of one.
    Refused(Box<Refused>),
}

/// A refusal, with what its log line says.
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) kind: Kind,
    /// Who it was, if the CONNECT could be read.
    pub(crate) who: Option<Who>,
    /// Why, in more words than the refusal itself has.
    pub(crate) words: Option<String>,
}

impl Refused {
    pub(crate) fn new(refusal: Refusal, kind: Kind, who: Option<Who>) -> Refused {
        Refused { refusal, kind, who, words: None }
    }
}

/// Who a client says it is. `Display` is part of a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) client_id: Arc<str>,
    pub(crate) user_name: Option<Arc<str>>,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}, {}", Quoted(&self.client_id), User(self.user_name.as_deref()))
    }
}

/// A user name as log lines have it.
pub(crate) struct User<'a>(pub(crate) Option<&'a str>);

impl fmt::Display for User<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "user {}", Quoted(name)),
            None => f.write_str("anonymous"),
        }
    }
}

/// An accepted CONNECT, and the bytes that came behind it.
pub(crate) struct Greeting {
    pub(crate) negotiated: Box<Negotiated>,
    /// Whether the user name was verified.
    pub(crate) verified: bool,
    pub(crate) behind: Vec<u8>,
}

/// Reads the first packet, shows it to `seen`, and decides whether its client may connect.
/// `authenticator` is `None` for connections inside the process. However this ends, `received` is how
/// many bytes came.
pub(crate) async fn greet(
    half: &mut ReadHalf,
    limits: &Limits,
    counters: &Arc<Counters>,
    authenticator: Option<&Authenticator>,
    received: &mut usize,
    seen: impl FnOnce(&Connect),
) -> Result<Greeting, NoGreeting> {
    let read = timeout(limits.first_packet_timeout, read_connect(half, limits, counters, received));
    let (connect, behind) = read.await.map_err(|_| NoGreeting::Timeout)??;
    seen(&connect);
    let (version, properties) = (connect.version, &connect.properties);
    let maximum_packet_size = properties.maximum_packet_size.unwrap_or(u32::MAX);
    let who = |connect: &Connect| {
        let Connect { client_id, user_name, .. } = connect;
        Some(Who { client_id: Arc::from(&**client_id), user_name: user_name.as_deref().map(Arc::from) })
    };
    let verified = match authenticator {
        None => false,
        Some(authenticator) => {
            let checked = authenticator.check(connect.user_name.as_deref(), connect.password.as_deref());
            let checked = checked.await;
            checked.map_err(|why| {
                let refusal = refuse_within(version, maximum_packet_size, why);
                refused(refusal, login_kind(why.reason), who(&connect))
            })?
        }
    };
    let is = who(&connect);
    let negotiated = Negotiated::new(*connect, limits, assigned_id).map_err(|refusal| {
        let kind = Kind::Refused(refusal.why.reason);
        refused(refusal, kind, is)
    })?;
    Ok(Greeting { negotiated: Box::new(negotiated), verified, behind })
}

fn refused(refusal: Refusal, kind: Kind, who: Option<Who>) -> NoGreeting {
    NoGreeting::Refused(Box::new(Refused::new(refusal, kind, who)))
}

fn login_kind(reason: ReasonCode) -> Kind {
    match reason {
        ReasonCode::BadUserNameOrPassword => Kind::WrongPassword,
        ReasonCode::NotAuthorized => Kind::Anonymous,
        other => Kind::Refused(other),
    }
}

async fn read_connect(
    half: &mut ReadHalf,
    limits: &Limits,
    counters: &Arc<Counters>,
    received: &mut usize,
) -> Result<(Box<Connect>, Vec<u8>), NoGreeting> {
    let mut bytes = Vec::new();
    let mut held = Memory::default();
    loop {
        let have = bytes.len();
        let more = have.clamp(PIECE, 64 << 10);
        bytes.resize(have + more, 0);
        if bytes.capacity() > held.bytes() {
            held = Memory::of(bytes.capacity(), counters);
        }
        let count = read(half, bytes.get_mut(have..).unwrap_or_default()).await;
        bytes.truncate(have + count.as_ref().copied().unwrap_or(0));
        *received = bytes.len();
        match count {
            Ok(0) => return Err(NoGreeting::Silence("it closed before its CONNECT was whole")),
            Err(_) => {
                return Err(NoGreeting::Silence("the connection was lost before its CONNECT was whole"));
            }
            Ok(_) => {}
        }
        let is_tight = bytes.len() > SMALL && counters.holds_more_than(limits.memory_watermark);
        match if is_tight { small_first_packet(&bytes, limits) } else { first_packet(&bytes, limits) } {
            Ok(First::Partial(_)) => {}
            Ok(First::Connect(connect, size)) => return Ok((connect, bytes.split_off(size))),
            Err(refusal) => {
                let kind = Kind::Refused(refusal.why.reason);
                return Err(refused(refusal, kind, None));
            }
        }
    }
}

/// The first packet at the memory watermark, where only a small one is taken.
fn small_first_packet(bytes: &[u8], limits: &Limits) -> Result<First, Refusal> {
    let first_packet_size = limits.first_packet_size.min(SMALL);
    first_packet(bytes, &Limits { first_packet_size, ..limits.clone() }).map_err(|refusal| {
        if refusal.why.reason != ReasonCode::PacketTooLarge {
            return refusal;
        }
        let what = "limits.memory_watermark is reached, and the first packet is large";
        let why = Violation::new(ReasonCode::QuotaExceeded, "", what);
        match refusal.connack {
            // Only to a client of MQTT 5.
            Some(_) => refuse(ProtocolVersion::V5, why),
            None => Refusal { why, ..refusal },
        }
    })
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
