//! Deliveries that wait for a client: for its window, its socket, or its return.
//!
//! Order is promised for messages of one quality of service, so QoS 0, which needs no room in the
//! window, has a line of its own and may pass the others when they wait for acknowledgements.

use crate::delivery::Delivery;
use crate::line::{Line, Waiting};
use aldis_packet::QoS;
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
    arrivals: u64,
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

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.sum(Line::len)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes that the messages which wait stand for.
    pub fn bytes(&self) -> usize {
        self.sum(Line::bytes)
    }

    /// Those of them that no other queue shares.
    pub(crate) fn own_bytes(&self) -> usize {
        self.sum(Line::own_bytes)
    }

    /// Whether a new delivery at `qos` would have to stand behind others.
    pub fn has_before(&self, qos: QoS) -> bool {
        let Some(lines) = &self.0 else { return false };
        if qos == QoS::AtMostOnce { !lines.qos0.is_empty() } else { !lines.others.is_empty() }
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
        if self.0.as_ref().is_some_and(|lines| lines.qos0.is_empty() && lines.others.is_empty()) {
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
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<Delivery> {
        let taken =
            self.take(|lines| lines.qos0.take_expired(now).or_else(|| lines.others.take_expired(now)));
        taken.map(|(_, delivery)| delivery)
    }

    /// Takes all of the QoS 0 line at once.
    pub(crate) fn take_qos0(&mut self) -> Queue {
        let qos0 = self.take(|lines| (!lines.qos0.is_empty()).then(|| std::mem::take(&mut lines.qos0)));
        Queue(qos0.map(|qos0| Box::new(Lines { qos0, ..Lines::default() })))
    }
}
