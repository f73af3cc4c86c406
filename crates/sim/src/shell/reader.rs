//! The bytes of one connection on their way in: read in pieces, handed to a turn, the rest kept.

use crate::wire::Link;
use crate::world::World;
use aldis_session::{Input, Memory, Next, Turned};
use bytes::{Buf, Bytes};

/// Packets larger than this get a buffer of their own, which payloads are then shared from.
const LARGE: usize = 256;
/// Bytes that count as hearing from a client although its packet is not whole.
const SIGN_OF_LIFE: usize = 1000;

/// The reading side of a connection.
#[derive(Debug, Default)]
pub struct Reader {
    rest: Vec<u8>,
    /// The rest may be whole packets, which come before anything that is read.
    is_unread: bool,
    /// Whole size of a large packet that the rest begins with.
    large: Option<usize>,
    memory: Memory,
    unheard: usize,
}

/// What a look at the connection brought.
#[derive(Debug)]
pub enum Read {
    /// Nothing is there.
    Pending,
    /// The client sends nothing more, or the connection is lost.
    End,
    /// A turn was made.
    Turned(Next),
}

impl Reader {
    /// A reader with bytes that came behind the CONNECT.
    pub fn new(first: Vec<u8>, world: &World) -> Reader {
        let mut reader = Reader { is_unread: !first.is_empty(), rest: first, ..Reader::default() };
        reader.recount(world);
        reader
    }

    fn recount(&mut self, world: &World) {
        self.memory = Memory::of(self.rest.len(), &world.counters());
    }

    /// Whether bytes wait that were read already, and may be whole packets.
    pub fn has_unread(&self) -> bool {
        self.is_unread
    }

    /// Whether a look would bring something.
    pub fn is_ready(&self, link: &Link) -> bool {
        self.is_unread || link.is_readable()
    }

    /// Whether a whole packet came since this was asked last, or a good part of a large one.
    pub fn has_heard(&mut self) -> bool {
        let heard = self.unheard >= SIGN_OF_LIFE;
        if heard {
            self.unheard = 0;
        }
        heard
    }

    /// Reads once and gives what there is to `turn`; `count` is how many bytes are new.
    pub fn turn(
        &mut self,
        link: &Link,
        world: &World,
        turn: impl FnOnce(Input<'_>, usize) -> Turned,
    ) -> Read {
        let mut count = 0;
        if !self.is_unread {
            match link.read(world.read_size()) {
                Ok(None) => return Read::Pending,
                Err(_) => return Read::End,
                Ok(Some(bytes)) if bytes.is_empty() => return Read::End,
                Ok(Some(bytes)) => {
                    world.read(link.number, &bytes);
                    count = bytes.len();
                    self.rest.extend(bytes);
                }
            }
            if self.large.is_some_and(|size| self.rest.len() < size) {
                self.unheard += count;
                self.recount(world);
                return Read::Pending;
            }
        }
        let mut bytes = Bytes::from(std::mem::take(&mut self.rest));
        let was_large = self.large.take().is_some();
        let input = if was_large { Input::Shared(&bytes) } else { Input::Borrowed(&bytes) };
        let turned = turn(input, count);
        self.unheard += if turned.consumed > 0 { SIGN_OF_LIFE } else { count };
        bytes.advance(turned.consumed.min(bytes.len()));
        let goes_on = matches!(turned.next, Next::Ask(_) | Next::Yield) || was_large;
        self.is_unread = !bytes.is_empty() && goes_on;
        self.large = turned.expects.filter(|size| *size > LARGE && !self.is_unread);
        self.rest = bytes.to_vec();
        self.recount(world);
        if !self.rest.is_empty() && !self.is_unread {
            world.count("half a frame read");
        }
        Read::Turned(turned.next)
    }
}
