//! A message on its way: [`Publication`] owns it, [`Offering`] is the same message seen from the
//! read buffer of its publisher.
//!
//! Most messages are never owned: their bytes go from the publisher's read buffer straight into the
//! buffers of the subscribers. Only who must keep one (a queue, a window, the retained store) asks
//! [`Offering::publication`] for a shared copy, which is then made once for all of them.

use crate::counters::Counters;
use crate::memory::Memory;
use crate::stamp::Stamp;
use aldis_packet::QoS;
use bytes::Bytes;
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Instant;

/// A message that is kept: queued, in flight, retained, or a will.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Topic name.
    pub topic: Arc<str>,
    /// Application payload.
    pub payload: Bytes,
    /// Encoded MQTT 5 properties that are passed on as they came, in their order.
    pub properties: Bytes,
    /// Quality of service that it was published with.
    pub qos: QoS,
    /// RETAIN flag that it was published with.
    pub retain: bool,
    /// When it expires, if it does (message expiry interval).
    pub expires_at: Option<Instant>,
    /// Client id of its publisher; `None` for messages of the broker itself.
    pub publisher: Option<Arc<str>>,
    /// Its share of the memory that is counted as held, for as long as anybody keeps it.
    pub memory: Memory,
    /// Its place in the log, if it is recorded there.
    pub stamp: Stamp,
}

/// What a kept message costs beyond its bytes, roughly: its fields, reference counts and allocations.
const OVERHEAD: usize = 160;

impl Publication {
    /// Bytes of memory that this message stands for.
    pub fn weight(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len() + OVERHEAD
    }

    /// The same message, counted as held from now on.
    #[must_use]
    pub fn counted(mut self, counters: &Arc<Counters>) -> Publication {
        self.memory = Memory::of(self.weight(), counters);
        self
    }

    /// Whether its message expiry interval has passed.
    pub fn expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// A message while it is offered to subscribers.
pub struct Offering<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Application payload.
    pub payload: &'a [u8],
    /// Encoded properties that are passed on.
    pub properties: &'a [u8],
    /// Quality of service that it was published with.
    pub qos: QoS,
    /// RETAIN flag: as published, or set for a copy from the retained store.
    pub retain: bool,
    /// When it expires, if it does.
    pub expires_at: Option<Instant>,
    /// Client id of its publisher.
    pub publisher: Option<&'a Arc<str>>,
    /// The buffer that `payload` and `properties` lie in, if that buffer can be shared.
    pub buffer: Option<&'a Bytes>,
    /// The owned form, made at first use.
    pub owned: OnceCell<Arc<Publication>>,
}

impl<'a> Offering<'a> {
    /// The view of a message that is owned already.
    pub fn of(publication: &'a Arc<Publication>) -> Offering<'a> {
        Offering {
            topic: &publication.topic,
            payload: &publication.payload,
            properties: &publication.properties,
            qos: publication.qos,
            retain: publication.retain,
            expires_at: publication.expires_at,
            publisher: publication.publisher.as_ref(),
            buffer: None,
            owned: OnceCell::from(Arc::clone(publication)),
        }
    }

    /// The owned form, shared by all who keep it, and counted once for all of them.
    pub fn publication(&self, counters: &Arc<Counters>) -> &Arc<Publication> {
        self.owned.get_or_init(|| {
            let share = |part: &[u8]| match self.buffer {
                Some(buffer) if !part.is_empty() => buffer.slice_ref(part),
                _ => Bytes::copy_from_slice(part),
            };
            let publication = Publication {
                topic: Arc::from(self.topic),
                payload: share(self.payload),
                // Properties may have been put together anew and then lie outside of the buffer.
                properties: Bytes::copy_from_slice(self.properties),
                qos: self.qos,
                retain: self.retain,
                expires_at: self.expires_at,
                publisher: self.publisher.cloned(),
                memory: Memory::default(),
                stamp: Stamp::default(),
            };
            Arc::new(publication.counted(counters))
        })
    }

    /// Bytes of memory that keeping this message would cost.
    pub fn weight(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len() + OVERHEAD
    }

    /// Whether its message expiry interval has passed.
    pub fn expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}
