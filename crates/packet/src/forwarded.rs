//! The properties that travel with a message from its publisher to its subscribers, kept in their encoded form:
//! nothing is decoded and encoded again on the way, and their order cannot change [MQTT-3.3.2-18],
//! [MQTT-3.1.3-10]. Not here: properties that belong to one hop (expiry, alias, subscription identifiers).

use crate::property::Property;
use crate::reader::Reader;
use crate::version::ProtocolVersion;
use bytes::Bytes;

/// The properties of an encoded block, in order.
#[derive(Clone)]
pub struct ForwardedProperties<'a> {
    reader: Reader<'a>,
}

/// Reads a block as [`PublishProperties::forwarded`](crate::PublishProperties) and
/// [`Will::forwarded`](crate::Will) hold it: properties one after the other, without a property length. A
/// block that is not valid ends early.
#[must_use]
pub fn forwarded_properties(bytes: &[u8]) -> ForwardedProperties<'_> {
    ForwardedProperties { reader: Reader::new(bytes, ProtocolVersion::V5) }
}

impl<'a> Iterator for ForwardedProperties<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        if self.reader.is_empty() {
            return None;
        }
        let property = self.reader.byte().and_then(|id| Property::read_value(id, &mut self.reader));
        if property.is_err() {
            self.reader = Reader::new(&[], ProtocolVersion::V5);
        }
        property.ok()
    }
}

/// Encodes the properties that are passed on with a message, in the order given, without a property length.
/// Others (expiry, alias, …) are left out: they have fields of their own wherever a block is used.
pub fn encode_forwarded<'a>(properties: impl IntoIterator<Item = Property<'a>>) -> Bytes {
    let mut block = Vec::new();
    for property in properties {
        if property.is_forwarded() {
            property.encode(&mut block);
        }
    }
    Bytes::from(block)
}

/// Collects the encoded bytes of forwarded properties out of a block, copying only if they do not lie next to
/// each other.
pub(crate) struct Collect<'a> {
    block: &'a [u8],
    start: usize,
    end: usize,
    copied: Vec<u8>,
}

impl<'a> Collect<'a> {
    pub(crate) fn new(block: &'a [u8]) -> Collect<'a> {
        Collect { block, start: 0, end: 0, copied: Vec::new() }
    }

    /// Adds the bytes `from..to` of the block; they are behind all that was added before.
    pub(crate) fn add(&mut self, from: usize, to: usize) {
        if !self.copied.is_empty() {
            self.copied.extend_from_slice(self.block.get(from..to).unwrap_or_default());
        } else if self.start == self.end {
            (self.start, self.end) = (from, to);
        } else if self.end == from {
            self.end = to;
        } else {
            self.copied.extend_from_slice(self.run());
            self.copied.extend_from_slice(self.block.get(from..to).unwrap_or_default());
        }
    }

    pub(crate) fn finish(self) -> std::borrow::Cow<'a, [u8]> {
        if self.copied.is_empty() { self.run().into() } else { self.copied.into() }
    }

    fn run(&self) -> &'a [u8] {
        self.block.get(self.start..self.end).unwrap_or_default()
    }
}
