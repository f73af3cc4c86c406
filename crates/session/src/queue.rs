//! Deliveries that wait for a client: for its window, its socket, or its return.
//!
//! Order is promised for messages of one quality of service, so QoS 0, which needs no room in the
//! window, has a line of its own and may pass the others when they wait for acknowledgements.

use crate::delivery::Delivery;
use aldis_packet::QoS;
use std::collections::VecDeque;

/// Two lines in the order of arrival, bounded by whoever pushes.
#[derive(Debug, Default)]
pub struct Queue {
    qos0: VecDeque<(u64, Delivery)>,
    others: VecDeque<(u64, Delivery)>,
    arrivals: u64,
    bytes: usize,
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

    /// Bytes of memory of the messages that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a new delivery at `qos` would have to stand behind others.
    pub fn has_before(&self, qos: QoS) -> bool {
        if qos == QoS::AtMostOnce { !self.qos0.is_empty() } else { !self.others.is_empty() }
    }

    /// Puts a delivery at the end of its line.
    pub fn push(&mut self, delivery: Delivery) {
        self.bytes += delivery.publication.weight();
        self.arrivals += 1;
        let line = if delivery.terms.qos == QoS::AtMostOnce { &mut self.qos0 } else { &mut self.others };
        line.push_back((self.arrivals, delivery));
    }

    /// Takes the delivery that came first; one that needs the window only if `window_has_room`.
    pub fn pop(&mut self, window_has_room: bool) -> Option<Delivery> {
        let qos0 = self.qos0.front().map(|(arrived, _)| *arrived);
        let other = self.others.front().map(|(arrived, _)| *arrived).filter(|_| window_has_room);
        let line = match (qos0, other) {
            (None, None) => return None,
            (Some(a), Some(b)) if a < b => &mut self.qos0,
            (Some(_), None) => &mut self.qos0,
            (_, Some(_)) => &mut self.others,
        };
        let (_, delivery) = line.pop_front()?;
        self.bytes -= delivery.publication.weight();
        if line.is_empty() {
            *line = VecDeque::new();
        }
        Some(delivery)
    }

    /// Takes everything, in the order of arrival.
    pub fn drain(&mut self) -> Vec<Delivery> {
        std::iter::from_fn(|| self.pop(true)).collect()
    }

    /// Takes the QoS 0 line.
    pub fn drain_qos0(&mut self) -> Vec<Delivery> {
        let line = std::mem::take(&mut self.qos0);
        line.into_iter()
            .map(|(_, delivery)| {
                self.bytes -= delivery.publication.weight();
                delivery
            })
            .collect()
    }
}
