//! A connection: bytes on their way in two directions, as between two sockets.
//!
//! Towards the broker everything is taken; towards the client there is room for so many bytes, and a client
//! that does not read leaves none. What is read and written at the broker's end is shown to the [`tap`], which
//! sees packets where this sees bytes.
//!
//! [`tap`]: crate::tap

use crate::stage;
use aldis_session::Wire;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// Everything was taken.
    All,
    /// A part.
    Part,
    /// Nothing for now.
    Nothing,
    /// The connection is gone.
    Failed,
}

#[derive(Debug, Default)]
struct Pipes {
    up: VecDeque<u8>,
    down: VecDeque<u8>,
    /// Bytes that fit on the way down.
    room: usize,
    /// The client sends nothing more; what it has sent can still be read.
    client_done: bool,
    /// The connection is lost in both directions.
    broken: bool,
    /// The broker has closed its side.
    broker_done: bool,
    /// The bell of the broker's side.
    rung: bool,
    /// Somebody is in the middle of a write.
    writing: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Link {
    /// Its number.
    pub number: usize,
    // The trait wants it to be shared between threads; here there is one.
    pipes: Mutex<Pipes>,
}

impl Link {
    /// A connection that has room for so many bytes on the way to the client.
    pub fn new(number: usize, room: usize) -> Link {
        Link { number, pipes: Mutex::new(Pipes { room, ..Pipes::default() }) }
    }

    fn pipes(&self) -> MutexGuard<'_, Pipes> {
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the client's end ----

    /// The client sends bytes; lost if the connection is.
    pub fn send(&self, bytes: &[u8]) {
        let mut pipes = self.pipes();
        if !pipes.broken && !pipes.client_done {
            pipes.up.extend(bytes);
        }
    }

    /// The client reads up to so many bytes.
    pub fn receive(&self, count: usize) -> Vec<u8> {
        let mut pipes = self.pipes();
        let count = count.min(pipes.down.len());
        pipes.down.drain(..count).collect()
    }

    /// Bytes that the client could read.
    pub fn unread(&self) -> usize {
        self.pipes().down.len()
    }

    /// Whether nothing more will come from the broker.
    pub fn is_over(&self) -> bool {
        let pipes = self.pipes();
        pipes.broken || (pipes.broker_done && pipes.down.is_empty())
    }

    /// The client closes; what it sent before can still be read.
    pub fn close(&self) {
        self.pipes().client_done = true;
    }

    /// The connection is lost, with whatever is on its way.
    pub fn lose(&self) {
        let mut pipes = self.pipes();
        pipes.broken = true;
        pipes.up.clear();
        pipes.down.clear();
    }

    /// The broker is gone, with whatever it had not read; what it wrote may arrive or not.
    pub fn crash(&self, arrives: bool) {
        let mut pipes = self.pipes();
        pipes.broker_done = true;
        pipes.up.clear();
        if !arrives {
            pipes.down.clear();
        }
    }

    /// There is room without end from now on.
    pub fn widen(&self) {
        self.pipes().room = usize::MAX;
    }

    // ---- the broker's end ----

    /// Reads up to `count` bytes; `None` if nothing is there, nothing at all at the end.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn read(&self, count: usize) -> io::Result<Option<Vec<u8>>> {
        let mut pipes = self.pipes();
        if pipes.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if pipes.up.is_empty() {
            return Ok(pipes.client_done.then(Vec::new));
        }
        let count = count.min(pipes.up.len());
        Ok(Some(pipes.up.drain(..count).collect()))
    }

    /// Whether a read would bring something, be it the end.
    pub fn is_readable(&self) -> bool {
        let pipes = self.pipes();
        pipes.broken || pipes.client_done || !pipes.up.is_empty()
    }

    /// Whether a write would do something, be it fail.
    pub fn is_writable(&self) -> bool {
        let pipes = self.pipes();
        pipes.broken || pipes.client_done || pipes.down.len() < pipes.room
    }

    /// The broker closes.
    pub fn end(&self) {
        self.pipes().broker_done = true;
    }

    /// Whether the broker has closed.
    pub fn has_ended(&self) -> bool {
        self.pipes().broker_done
    }

    /// Takes the ring of the bell, if there was one.
    pub fn take_ring(&self) -> bool {
        std::mem::take(&mut self.pipes().rung)
    }

    /// Whether the bell was rung.
    pub fn is_rung(&self) -> bool {
        self.pipes().rung
    }

    fn take_in(&self, slices: &[IoSlice<'_>]) -> (Wrote, Vec<u8>) {
        let mut pipes = self.pipes();
        if pipes.broken || pipes.client_done || pipes.broker_done {
            return (Wrote::Failed, Vec::new());
        }
        let mut room = pipes.room.saturating_sub(pipes.down.len());
        let mut taken = Vec::new();
        let mut all = true;
        for slice in slices {
            let part = slice.len().min(room);
            taken.extend_from_slice(&slice[..part]);
            room -= part;
            all &= part == slice.len();
        }
        pipes.down.extend(&taken);
        let wrote = match (all, taken.is_empty()) {
            (true, _) => Wrote::All,
            (false, true) => Wrote::Nothing,
            (false, false) => Wrote::Part,
        };
        (wrote, taken)
    }
}

impl Wire for Link {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let alone = !std::mem::replace(&mut self.pipes().writing, true);
        stage::with(|world| {
            world.watch_writer(self.number, alone);
            // The Outbox is unlocked: others come in between, before the bytes leave.
            world.meanwhile();
        });
        let (wrote, taken) = self.take_in(slices);
        stage::with(|world| {
            world.wrote(self.number, wrote, &taken);
            // And after they have left, before the writer says so.
            world.meanwhile();
        });
        self.pipes().writing = false;
        match wrote {
            Wrote::All | Wrote::Part => Ok(taken.len()),
            Wrote::Nothing => Err(io::ErrorKind::WouldBlock.into()),
            Wrote::Failed => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    fn wake(&self) {
        self.pipes().rung = true;
        stage::with(|world| world.nudge(self.number));
    }
}
