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

/// Two lines in the order of arrival, bounded by whoever pushes.
#[derive(Debug, Default)]
pub struct Queue {
    qos0: Line<Delivery>,
    others: Line<Delivery>,
    arrivals: u64,
}

impl Queue {
    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.qos0.len() + self.others.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.qos0.is_empty() && self.others.is_empty()
    }

    /// Bytes that the messages which wait stand for.
    pub fn bytes(&self) -> usize {
        self.qos0.bytes() + self.others.bytes()
    }

    /// Those of them that no other queue shares.
    pub(crate) fn own_bytes(&self) -> usize {
        self.qos0.own_bytes() + self.others.own_bytes()
    }

    fn line(&mut self, qos: QoS) -> &mut Line<Delivery> {
        if qos == QoS::AtMostOnce { &mut self.qos0 } else { &mut self.others }
    }

    /// Whether a new delivery at `qos` would have to stand behind others.
    pub fn has_before(&self, qos: QoS) -> bool {
        if qos == QoS::AtMostOnce { !self.qos0.is_empty() } else { !self.others.is_empty() }
    }

    /// Puts a delivery at the end of its line.
    pub fn push(&mut self, delivery: Delivery) {
        self.arrivals += 1;
        let number = self.arrivals;
        self.line(delivery.terms.qos).put(number, delivery);
    }

    /// Takes the delivery that came first; one that needs the window only if `window_has_room`.
    pub fn pop(&mut self, window_has_room: bool) -> Option<Delivery> {
        let other = self.others.first().filter(|_| window_has_room);
        let line = match (self.qos0.first(), other) {
            (Some(qos0), Some(other)) if other < qos0 => &mut self.others,
            (Some(_), _) => &mut self.qos0,
            (None, Some(_)) => &mut self.others,
            (None, None) => return None,
        };
        line.pop().map(|(_, delivery)| delivery)
    }

    /// Takes the delivery that came last.
    pub(crate) fn pop_back(&mut self) -> Option<Delivery> {
        let line = if self.qos0.last() > self.others.last() { &mut self.qos0 } else { &mut self.others };
        line.pop_back()
            .or_else(|| self.others.pop_back())
            .or_else(|| self.qos0.pop_back())
            .map(|(_, last)| last)
    }

    /// Takes a delivery whose message has expired.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<Delivery> {
        self.qos0.take_expired(now).or_else(|| self.others.take_expired(now))
    }

    /// Takes all of the QoS 0 line at once.
    pub(crate) fn take_qos0(&mut self) -> Queue {
        Queue { qos0: std::mem::take(&mut self.qos0), ..Queue::default() }
    }
}
