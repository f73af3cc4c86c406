//! What arrived while something else was awaited, in order. Not here: why it was kept.

use crate::error::ClientError;
use crate::message::Message;
use crate::received::Received;
use std::collections::VecDeque;

/// The bytes that a client keeps at most while it waits for an answer, 256 MiB: enough for a broker that sends
/// 100,000 retained messages of 2 KiB before the SUBACK, and too little to harm the machine.
pub const MAXIMUM_KEPT: usize = 256 << 20;

/// Two queues, so that whoever takes messages only need not search through all the rest. Numbers tell what came
/// first.
#[derive(Default, Debug)]
pub(crate) struct Kept {
    messages: VecDeque<(u64, Message)>,
    others: VecDeque<(u64, Received)>,
    next_number: u64,
    size: usize,
}

impl Kept {
    /// Puts a packet behind all that is kept.
    pub(crate) fn put(&mut self, packet: Received) -> Result<(), ClientError> {
        let size = self.size + packet.size();
        if size > MAXIMUM_KEPT {
            return Err(ClientError::TooMuchKept);
        }
        self.size = size;
        match packet {
            Received::Publish(message) => self.messages.push_back((self.next_number, message)),
            other => self.others.push_back((self.next_number, other)),
        }
        self.next_number += 1;
        Ok(())
    }

    /// Takes the packet that came first.
    pub(crate) fn take(&mut self) -> Option<Received> {
        let message_is_first = match (self.messages.front(), self.others.front()) {
            (Some((message, _)), Some((other, _))) => message < other,
            (message, _) => message.is_some(),
        };
        let packet = if message_is_first {
            self.messages.pop_front().map(|(_, message)| Received::Publish(message))
        } else {
            self.others.pop_front().map(|(_, other)| other)
        }?;
        self.size = self.size.saturating_sub(packet.size());
        Some(packet)
    }

    /// Takes the message that came first, and leaves everything else.
    pub(crate) fn take_message(&mut self) -> Option<Message> {
        let packet = Received::Publish(self.messages.pop_front()?.1);
        self.size = self.size.saturating_sub(packet.size());
        packet.into_message()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aldis_packet::QoS;
    use bytes::Bytes;

    fn message(payload: &Bytes) -> Received {
        Received::Publish(Message {
            topic: "t".to_owned(),
            payload: payload.clone(),
            qos: QoS::AtMostOnce,
            retain: false,
            dup: false,
            packet_id: None,
            message_expiry: None,
            topic_alias: None,
            topic_omitted: false,
            subscription_ids: Vec::new(),
            properties: Bytes::new(),
        })
    }

    #[test]
    fn what_is_kept_has_a_limit_and_taking_makes_room() {
        let (mut kept, payload) = (Kept::default(), Bytes::from(vec![0; 1 << 20]));
        for _ in 0..255 {
            kept.put(message(&payload)).unwrap();
        }
        assert!(matches!(kept.put(message(&payload)), Err(ClientError::TooMuchKept)));
        assert!(kept.take().is_some());
        assert!(kept.take_message().is_some());
        kept.put(message(&payload)).unwrap();
        kept.put(message(&payload)).unwrap();
        while kept.take().is_some() {}
        assert_eq!(kept.size, 0);
    }

    #[test]
    fn order_is_kept_across_the_two_queues() {
        let (mut kept, payload) = (Kept::default(), Bytes::from_static(b"x"));
        for packet in [Received::Pingresp, message(&payload), Received::Pingresp, message(&payload)] {
            kept.put(packet).unwrap();
        }
        let types: Vec<_> = std::iter::from_fn(|| kept.take()).map(|packet| packet.packet_type()).collect();
        use aldis_packet::PacketType::{Pingresp, Publish};
        assert_eq!(types, [Pingresp, Publish, Pingresp, Publish]);
    }
}
