//! Deliveries that wait for a client: for its window, its socket, or its return.
//!
//! Order is promised for messages of one quality of service, so QoS 0, which needs no room in the
//! window, has a line of its own and may pass the others when they wait for acknowledgements.

use crate::away::Away;
use crate::delivery::Delivery;
use crate::line::{Line, Waiting};
use aldis_packet::QoS;
use aldis_store::Head;
use std::time::Instant;

impl Waiting for Delivery {
    fn weight(&self) -> usize {
        self.weight()
    }
    fn place(&self) -> usize {
        self.place()
    }
    fn expires_at(&self) -> Option<Instant> {
        self.publication.expires_at
    }
}

/// Two lines in the order of arrival, bounded by whoever pushes. An empty queue, as nearly every session
/// has, is a null pointer.
#[derive(Debug, Default)]
pub struct Queue(Option<Box<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    qos0: Line<Delivery>,
    others: Line<Delivery>,
    /// Behind the others, on disk, by their numbers in the log.
    away: Line<Away>,
    arrivals: u64,
}

/// Something that has left a queue.
pub(crate) struct Gone {
    /// Its number in the log; 0 if it is not recorded.
    pub(crate) number: u64,
    weight: usize,
    place: usize,
}

impl Gone {
    fn new(number: u64, thing: &impl Waiting) -> Gone {
        Gone { number, weight: thing.weight(), place: thing.place() }
    }
}

impl Waiting for Gone {
    fn weight(&self) -> usize {
        self.weight
    }
    fn place(&self) -> usize {
        self.place
    }
    fn expires_at(&self) -> Option<Instant> {
        None
    }
}

impl Lines {
    fn of(&mut self, qos: QoS) -> &mut Line<Delivery> {
        if qos == QoS::AtMostOnce { &mut self.qos0 } else { &mut self.others }
    }

    fn pop(&mut self, window_has_room: bool) -> Option<Delivery> {
        let other = self.others.first().filter(|_| window_has_room);
        let line = match (self.qos0.first(), other) {
            (Some(qos0), Some(other)) if other < qos0 => &mut self.others,
            (Some(_), _) => &mut self.qos0,
            (None, Some(_)) => &mut self.others,
            (None, None) => return None,
        };
        line.pop().map(|(_, delivery)| delivery)
    }

    fn pop_back(&mut self) -> Option<Delivery> {
        let qos0_is_newer = self.qos0.last() > self.others.last();
        let line = if qos0_is_newer { &mut self.qos0 } else { &mut self.others };
        let last = line.pop_back().or_else(|| self.others.pop_back()).or_else(|| self.qos0.pop_back());
        last.map(|(_, delivery)| delivery)
    }
}

impl Queue {
    fn sum(&self, of: impl Fn(&Line<Delivery>) -> usize) -> usize {
        self.0.as_ref().map_or(0, |lines| of(&lines.qos0) + of(&lines.others))
    }

    fn away<T>(&self, of: impl Fn(&Line<Away>) -> T) -> Option<T> {
        self.0.as_ref().map(|lines| of(&lines.away))
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.sum(Line::len) + self.away(Line::len).unwrap_or(0)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes that the messages which wait stand for.
    pub fn bytes(&self) -> usize {
        self.sum(Line::bytes) + self.away(Line::bytes).unwrap_or(0)
    }

    /// Those of them that no other queue shares.
    pub(crate) fn own_bytes(&self) -> usize {
        self.sum(Line::own_bytes)
    }

    /// Whether a new delivery at `qos` would have to stand behind others.
    pub fn has_before(&self, qos: QoS) -> bool {
        let Some(lines) = &self.0 else { return false };
        if qos == QoS::AtMostOnce {
            return !lines.qos0.is_empty();
        }
        !lines.others.is_empty() || !lines.away.is_empty()
    }

    /// Whether messages that are recorded wait on disk only, behind those that are in memory, too.
    pub(crate) fn is_long(&self, head: Head) -> bool {
        let Some(lines) = &self.0 else { return false };
        let is_full = lines.others.len() >= head.messages || lines.others.bytes() >= head.bytes;
        self.has_away() || is_full
    }

    /// Whether messages wait on disk only.
    pub(crate) fn has_away(&self) -> bool {
        self.0.as_ref().is_some_and(|lines| !lines.away.is_empty())
    }

    /// Whether less than half of what may be in memory is left.
    pub(crate) fn wants_more(&self, head: Head) -> bool {
        let Some(lines) = &self.0 else { return false };
        self.has_away() && lines.others.len() <= head.messages / 2 && lines.others.bytes() <= head.bytes / 2
    }

    pub(crate) fn first_away(&self) -> Option<u64> {
        self.away(Line::first).flatten()
    }

    pub(crate) fn push_away(&mut self, number: u64, away: Away) {
        self.0.get_or_insert_default().away.put(number, away);
    }

    /// Takes the message that has this number on disk, to be put among those in memory.
    pub(crate) fn take_away(&mut self, number: u64) -> Option<Away> {
        self.take(|lines| lines.away.take(number))
    }

    /// Takes the first of those on disk, for good.
    pub(crate) fn pop_away(&mut self) -> Option<Away> {
        self.take(|lines| lines.away.pop().map(|(_, away)| away))
    }

    /// Puts a delivery at the end of its line.
    pub fn push(&mut self, delivery: Delivery) {
        let lines = self.0.get_or_insert_default();
        lines.arrivals += 1;
        let number = lines.arrivals;
        lines.of(delivery.terms.qos).put(number, delivery);
    }

    /// Takes something out; with the last thing the memory of the queue goes.
    fn take<T>(&mut self, what: impl FnOnce(&mut Lines) -> Option<T>) -> Option<T> {
        let taken = what(self.0.as_mut()?);
        let is_empty =
            |lines: &Lines| lines.qos0.is_empty() && lines.others.is_empty() && lines.away.is_empty();
        if self.0.as_deref().is_some_and(is_empty) {
            self.0 = None;
        }
        taken
    }

    /// Takes the delivery that came first; one that needs the window only if `window_has_room`.
    pub fn pop(&mut self, window_has_room: bool) -> Option<Delivery> {
        self.take(|lines| lines.pop(window_has_room))
    }

    /// Takes the delivery of QoS 1 or 2 that came first, if `window_has_room`.
    pub(crate) fn pop_other(&mut self, window_has_room: bool) -> Option<Delivery> {
        if !window_has_room {
            return None;
        }
        self.take(|lines| lines.others.pop().map(|(_, delivery)| delivery))
    }

    /// Takes the delivery that came last.
    pub(crate) fn pop_back(&mut self) -> Option<Delivery> {
        self.take(Lines::pop_back)
    }

    /// Takes a delivery whose message has expired.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<Gone> {
        self.take(|lines| {
            let here = lines.qos0.take_expired(now).or_else(|| lines.others.take_expired(now));
            let here = here.map(|(_, delivery)| Gone::new(delivery.number, &delivery));
            here.or_else(|| lines.away.take_expired(now).map(|(number, away)| Gone::new(number, &away)))
        })
    }

    /// Takes all of the QoS 0 line at once.
    pub(crate) fn take_qos0(&mut self) -> Queue {
        let qos0 = self.take(|lines| (!lines.qos0.is_empty()).then(|| std::mem::take(&mut lines.qos0)));
        Queue(qos0.map(|qos0| Box::new(Lines { qos0, ..Lines::default() })))
    }
}
