//! Records as bytes: a length, a byte that says which record it is, its fields in the order of their declaration.

use crate::codec::{Rest, put_bytes, put_number, put_option};
use crate::record::{Origin, Put, Queue, Record, SharePlace, WillRecord};
use aldis_packet::{PacketId, QoS, RetainHandling, SubscriptionOptions};
use crc32c::crc32c;

/// Which record it is. Numbers are never given anew: a store may hold them for years.
mod kind {
    pub(super) const CONNECT: u8 = 1;
    pub(super) const DISCONNECT: u8 = 2;
    pub(super) const END: u8 = 3;
    pub(super) const SUBSCRIBE: u8 = 4;
    pub(super) const UNSUBSCRIBE: u8 = 5;
    pub(super) const REPLAYED: u8 = 6;
    pub(super) const QUEUE: u8 = 7;
    pub(super) const RETAIN: u8 = 8;
    pub(super) const PUT: u8 = 9;
    pub(super) const UNRETAIN: u8 = 10;
    pub(super) const SENT: u8 = 11;
    pub(super) const RECEIVED: u8 = 12;
    pub(super) const DONE: u8 = 13;
    pub(super) const RELEASED: u8 = 14;
    pub(super) const WILL_DUE: u8 = 22;
    pub(super) const WILL_SENT: u8 = 15;
    pub(super) const OWED: u8 = 23;
    pub(super) const MOVED: u8 = 16;
    pub(super) const CLOCK: u8 = 17;
    pub(super) const LOCATED: u8 = 18;
    pub(super) const HELD: u8 = 19;
    pub(super) const USED: u8 = 20;
    pub(super) const NUMBERS: u8 = 21;
    pub(super) const GROUP: u8 = 24;
    pub(super) const SHARE: u8 = 25;
    pub(super) const SHARE_DONE: u8 = 26;
    pub(super) const GROUP_END: u8 = 27;
}

const QOS: u8 = 3;
const RETAIN: u8 = 4;
const HAS_IDS: u8 = 8;
const HAS_SLOT: u8 = 16;
const HAS_SHARE: u8 = 32;
const NO_LOCAL: u8 = 8;
const AS_PUBLISHED: u8 = 16;
const HANDLING: u32 = 5;
const REPLAYS: u8 = 0x80;

impl Record<'_> {
    /// Appends it with its length before it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        // Most records are shorter than 128 bytes; the length of a longer one is put in between.
        out.push(0);
        self.put(out);
        let length = (out.len() - start - 1) as u64;
        if length < 0x80 {
            if let Some(place) = out.get_mut(start) {
                *place = length as u8;
            }
            return;
        }
        let mut long = Vec::with_capacity(10);
        put_number(length, &mut long);
        out.splice(start..=start, long);
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Record::Connect { session, client_id, user_name, session_expiry, will } => {
                numbered(kind::CONNECT, *session, out);
                put_bytes(client_id.as_bytes(), out);
                put_text(*user_name, out);
                put_number((*session_expiry).into(), out);
                put_will(will.as_ref(), out);
            }
            Record::Disconnect { session, session_expiry, will, at } => {
                numbered(kind::DISCONNECT, *session, out);
                put_number((*session_expiry).into(), out);
                out.push((*will).into());
                put_number(*at, out);
            }
            Record::End { session } => numbered(kind::END, *session, out),
            Record::Subscribe { session, filter, options, subscription_id, replays } => {
                numbered(kind::SUBSCRIBE, *session, out);
                put_bytes(filter.as_bytes(), out);
                out.push(options_byte(*options) | if *replays { REPLAYS } else { 0 });
                put_number(subscription_id.unwrap_or(0).into(), out);
            }
            Record::Unsubscribe { session, filter } => filtered(kind::UNSUBSCRIBE, *session, filter, out),
            Record::Replayed { session, filter } => filtered(kind::REPLAYED, *session, filter, out),
            Record::Queue(queue) => put_queue(queue, out),
            Record::Retain { message, topic, removes } => {
                numbered(kind::RETAIN, *message, out);
                put_bytes(topic.as_bytes(), out);
                out.push((*removes).into());
            }
            Record::Group { .. }
            | Record::Share { .. }
            | Record::ShareDone { .. }
            | Record::GroupEnd { .. } => {
                self.put_of_group(out);
            }
            Record::Put(put) => put_message(kind::PUT, put, out),
            Record::Unretain { topic } => {
                out.push(kind::UNRETAIN);
                put_bytes(topic.as_bytes(), out);
            }
            Record::Sent { session, number, slot } => {
                numbers_of(kind::SENT, &[*session, *number, *slot], out)
            }
            Record::Received { session, number } => numbers_of(kind::RECEIVED, &[*session, *number], out),
            Record::Done { session, number } => numbers_of(kind::DONE, &[*session, *number], out),
            Record::Released { session, packet_id } => {
                numbers_of(kind::RELEASED, &[*session, packet_id.get().into()], out);
            }
            Record::WillDue { session } => numbered(kind::WILL_DUE, *session, out),
            Record::WillSent { will } => numbered(kind::WILL_SENT, *will, out),
            Record::Moved(put) => put_message(kind::MOVED, put, out),
            Record::Clock { at } => numbered(kind::CLOCK, *at, out),
            Record::Held { session, packet_id } => {
                numbers_of(kind::HELD, &[*session, packet_id.get().into()], out);
            }
            Record::Located { .. } | Record::Owed { .. } => self.put_of_checkpoint(out),
            Record::Used { session, number, slot } => {
                numbers_of(kind::USED, &[*session, *number, *slot], out)
            }
            Record::Numbers { session, message } => numbers_of(kind::NUMBERS, &[*session, *message], out),
        }
    }

    /// Records that only checkpoints have.
    fn put_of_checkpoint(&self, out: &mut Vec<u8>) {
        match self {
            Record::Located { message, segment, offset, length, expires_at } => {
                numbers_of(kind::LOCATED, &[*message, *segment, *offset, (*length).into()], out);
                put_option(*expires_at, out);
            }
            Record::Owed { client_id, user_name, will } => {
                out.push(kind::OWED);
                put_bytes(client_id.as_bytes(), out);
                put_text(*user_name, out);
                put_will(Some(will), out);
            }
            _ => {}
        }
    }

    /// Records about shared subscriptions.
    fn put_of_group(&self, out: &mut Vec<u8>) {
        match self {
            Record::Group { group, filter, last } => {
                filtered(kind::GROUP, *group, filter, out);
                put_number(*last, out);
            }
            Record::Share { place, message } => {
                numbers_of(kind::SHARE, &[place.group, place.number, *message], out);
            }
            Record::ShareDone { place } => numbers_of(kind::SHARE_DONE, &[place.group, place.number], out),
            Record::GroupEnd { group } => numbered(kind::GROUP_END, *group, out),
            _ => {}
        }
    }

    /// The bytes of the record that `bytes` begin with, and what follows it; `None` if there is none.
    #[must_use]
    pub fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let mut rest = Rest(bytes);
        rest.bytes()?;
        bytes.split_at_checked(bytes.len() - rest.0.len())
    }

    /// The record that `bytes` begin with, and what follows it; `None` if there is none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
        let mut rest = Rest(bytes);
        let mut fields = Rest(rest.bytes()?);
        let record = fields_of(&mut fields)?;
        fields.is_empty().then_some((record, rest.0))
    }
}

fn numbered(kind: u8, number: u64, out: &mut Vec<u8>) {
    out.push(kind);
    put_number(number, out);
}

fn numbers_of(kind: u8, numbers: &[u64], out: &mut Vec<u8>) {
    out.push(kind);
    numbers.iter().for_each(|number| put_number(*number, out));
}

fn filtered(kind: u8, session: u64, filter: &str, out: &mut Vec<u8>) {
    numbered(kind, session, out);
    put_bytes(filter.as_bytes(), out);
}

/// A text that may be missing.
fn put_text(text: Option<&str>, out: &mut Vec<u8>) {
    put_option(text.map(|text| text.len() as u64), out);
    out.extend_from_slice(text.unwrap_or("").as_bytes());
}

fn put_queue(queue: &Queue<'_>, out: &mut Vec<u8>) {
    numbers_of(kind::QUEUE, &[queue.session, queue.number, queue.message], out);
    let mut flags = queue.qos as u8 | if queue.retain { RETAIN } else { 0 };
    flags |= if queue.ids.is_empty() { 0 } else { HAS_IDS };
    flags |= if queue.slot.is_some() { HAS_SLOT } else { 0 };
    flags |= if queue.share.is_some() { HAS_SHARE } else { 0 };
    out.push(flags);
    if !queue.ids.is_empty() {
        put_number(queue.ids.len() as u64, out);
        queue.ids.iter().for_each(|id| put_number(u64::from(*id), out));
    }
    if let Some(slot) = queue.slot {
        put_number(slot, out);
    }
    if let Some(place) = queue.share {
        put_number(place.group, out);
        put_number(place.number, out);
    }
}

fn put_will(will: Option<&WillRecord<'_>>, out: &mut Vec<u8>) {
    let Some(will) = will else { return out.push(0) };
    out.push(1);
    put_number(will.number, out);
    out.push(will.qos as u8 | if will.retain { RETAIN } else { 0 });
    put_number(will.delay.into(), out);
    put_option(will.message_expiry.map(u64::from), out);
    put_bytes(will.topic.as_bytes(), out);
    put_bytes(will.properties, out);
    put_bytes(will.payload, out);
}

/// Bodies lie on disk for long, and are read one by one: each has a checksum of its own.
fn put_message(kind: u8, put: &Put<'_>, out: &mut Vec<u8>) {
    let start = out.len() + 1;
    numbered(kind, put.message, out);
    out.push(put.qos as u8 | if put.retain { RETAIN } else { 0 });
    match put.origin {
        Origin::Nothing => out.push(0),
        Origin::Inbound { session, packet_id } => numbers_of(1, &[session, packet_id.get().into()], out),
        Origin::Will { will } => numbered(2, will, out),
    }
    put_option(put.expires_at, out);
    put_text(put.publisher, out);
    put_bytes(put.topic.as_bytes(), out);
    put_bytes(put.properties, out);
    put_bytes(put.payload, out);
    let sum = crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&sum.to_le_bytes());
}

fn options_byte(options: SubscriptionOptions) -> u8 {
    options.qos as u8
        | if options.no_local { NO_LOCAL } else { 0 }
        | if options.retain_as_published { AS_PUBLISHED } else { 0 }
        | (options.retain_handling as u8) << HANDLING
}

fn fields_of<'a>(fields: &mut Rest<'a>) -> Option<Record<'a>> {
    Some(match fields.byte()? {
        kind::CONNECT => Record::Connect {
            session: fields.number()?,
            client_id: fields.text()?,
            user_name: text(fields)?,
            session_expiry: fields.short()?,
            will: will(fields)?,
        },
        kind::DISCONNECT => Record::Disconnect {
            session: fields.number()?,
            session_expiry: fields.short()?,
            will: fields.byte()? != 0,
            at: fields.number()?,
        },
        kind::END => Record::End { session: fields.number()? },
        kind::SUBSCRIBE => {
            let (session, filter) = (fields.number()?, fields.text()?);
            let byte = fields.byte()?;
            let subscription_id = Some(fields.short()?).filter(|id| *id != 0);
            let options = options(byte & !REPLAYS)?;
            Record::Subscribe { session, filter, options, subscription_id, replays: byte & REPLAYS != 0 }
        }
        kind::UNSUBSCRIBE => Record::Unsubscribe { session: fields.number()?, filter: fields.text()? },
        kind::REPLAYED => Record::Replayed { session: fields.number()?, filter: fields.text()? },
        kind::QUEUE => Record::Queue(queue(fields)?),
        kind::RETAIN => {
            Record::Retain { message: fields.number()?, topic: fields.text()?, removes: fields.byte()? != 0 }
        }
        kind::GROUP => {
            Record::Group { group: fields.number()?, filter: fields.text()?, last: fields.number()? }
        }
        kind::SHARE => Record::Share { place: place(fields)?, message: fields.number()? },
        kind::SHARE_DONE => Record::ShareDone { place: place(fields)? },
        kind::GROUP_END => Record::GroupEnd { group: fields.number()? },
        kind::PUT => Record::Put(message(fields)?),
        kind::UNRETAIN => Record::Unretain { topic: fields.text()? },
        kind::SENT => {
            let [session, number, slot] = numbers(fields)?;
            Record::Sent { session, number, slot }
        }
        kind::RECEIVED => Record::Received { session: fields.number()?, number: fields.number()? },
        kind::DONE => Record::Done { session: fields.number()?, number: fields.number()? },
        kind::RELEASED => Record::Released { session: fields.number()?, packet_id: packet_id(fields)? },
        kind::WILL_DUE => Record::WillDue { session: fields.number()? },
        kind::WILL_SENT => Record::WillSent { will: fields.number()? },
        kind::OWED => {
            Record::Owed { client_id: fields.text()?, user_name: text(fields)?, will: will(fields)?? }
        }
        kind::MOVED => Record::Moved(message(fields)?),
        kind::CLOCK => Record::Clock { at: fields.number()? },
        kind::LOCATED => {
            let [message, segment, offset] = numbers(fields)?;
            let (length, expires_at) = (fields.short()?, fields.option()?);
            Record::Located { message, segment, offset, length, expires_at }
        }
        kind::HELD => Record::Held { session: fields.number()?, packet_id: packet_id(fields)? },
        kind::USED => {
            let [session, number, slot] = numbers(fields)?;
            Record::Used { session, number, slot }
        }
        kind::NUMBERS => Record::Numbers { session: fields.number()?, message: fields.number()? },
        _ => return None,
    })
}

fn queue(fields: &mut Rest<'_>) -> Option<Queue<'static>> {
    let [session, number, message] = numbers(fields)?;
    let flags = fields.byte()?;
    let mut ids = Vec::new();
    if flags & HAS_IDS != 0 {
        for _ in 0..fields.number()? {
            ids.push(fields.short()?);
        }
    }
    let slot = if flags & HAS_SLOT != 0 { Some(fields.number()?) } else { None };
    let share = if flags & HAS_SHARE != 0 { Some(place(fields)?) } else { None };
    let (qos, retain) = (QoS::from_u8(flags & QOS)?, flags & RETAIN != 0);
    Some(Queue { session, number, message, qos, retain, ids: ids.into(), slot, share })
}

fn place(fields: &mut Rest<'_>) -> Option<SharePlace> {
    Some(SharePlace { group: fields.number()?, number: fields.number()? })
}

fn numbers(fields: &mut Rest<'_>) -> Option<[u64; 3]> {
    Some([fields.number()?, fields.number()?, fields.number()?])
}

fn packet_id(fields: &mut Rest<'_>) -> Option<PacketId> {
    PacketId::new(fields.number()?.try_into().ok()?)
}

fn text<'a>(fields: &mut Rest<'a>) -> Option<Option<&'a str>> {
    let Some(length) = fields.option()? else { return Some(None) };
    let (text, rest) = fields.0.split_at_checked(usize::try_from(length).ok()?)?;
    fields.0 = rest;
    std::str::from_utf8(text).ok().map(Some)
}

fn will<'a>(fields: &mut Rest<'a>) -> Option<Option<WillRecord<'a>>> {
    if fields.byte()? == 0 {
        return Some(None);
    }
    let number = fields.number()?;
    let flags = fields.byte()?;
    let delay = fields.short()?;
    let message_expiry = match fields.option()? {
        Some(seconds) => Some(seconds.try_into().ok()?),
        None => None,
    };
    let (topic, properties, payload) = (fields.text()?, fields.bytes()?, fields.bytes()?);
    let (qos, retain) = (QoS::from_u8(flags & QOS)?, flags & RETAIN != 0);
    Some(Some(WillRecord { number, topic, payload, properties, qos, retain, delay, message_expiry }))
}

fn message<'a>(fields: &mut Rest<'a>) -> Option<Put<'a>> {
    let whole = fields.0;
    let (body, sum) = whole.split_last_chunk::<4>()?;
    if crc32c(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut body = Rest(body);
    let put = message_in(&mut body)?;
    fields.0 = &[];
    body.is_empty().then_some(put)
}

fn message_in<'a>(fields: &mut Rest<'a>) -> Option<Put<'a>> {
    let message = fields.number()?;
    let flags = fields.byte()?;
    let origin = match fields.byte()? {
        0 => Origin::Nothing,
        1 => Origin::Inbound { session: fields.number()?, packet_id: packet_id(fields)? },
        2 => Origin::Will { will: fields.number()? },
        _ => return None,
    };
    Some(Put {
        message,
        origin,
        qos: QoS::from_u8(flags & QOS)?,
        retain: flags & RETAIN != 0,
        expires_at: fields.option()?,
        publisher: text(fields)?,
        topic: fields.text()?,
        properties: fields.bytes()?,
        payload: fields.bytes()?,
    })
}

fn options(byte: u8) -> Option<SubscriptionOptions> {
    let retain_handling = match byte >> HANDLING {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return None,
    };
    let qos = QoS::from_u8(byte & QOS)?;
    let (no_local, retain_as_published) = (byte & NO_LOCAL != 0, byte & AS_PUBLISHED != 0);
    Some(SubscriptionOptions { qos, no_local, retain_as_published, retain_handling })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_will() -> WillRecord<'static> {
        WillRecord {
            number: 77,
            topic: "will",
            payload: b"gone",
            properties: b"\x01\x01",
            qos: QoS::AtLeastOnce,
            retain: true,
            delay: 30,
            message_expiry: Some(u32::MAX),
        }
    }

    fn a_put() -> Put<'static> {
        Put {
            message: 1 << 40,
            origin: Origin::Nothing,
            publisher: Some("publisher"),
            topic: "a/b",
            properties: b"",
            payload: &[7; 300],
            qos: QoS::ExactlyOnce,
            retain: false,
            expires_at: None,
        }
    }

    fn all() -> Vec<Record<'static>> {
        let (will, put, packet_id) = (a_will(), a_put(), PacketId::FIRST);
        let queue = Queue {
            session: 300,
            number: 2,
            message: 1 << 40,
            qos: QoS::AtLeastOnce,
            retain: true,
            ids: vec![1, 268_435_455].into(),
            slot: Some(0),
            share: Some(SharePlace { group: 7, number: 1 << 50 }),
        };
        let place = SharePlace { group: 7, number: 300 };
        let options = SubscriptionOptions {
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::DoNotSend,
            ..SubscriptionOptions::new(QoS::ExactlyOnce)
        };
        let connect = |user_name, will| Record::Connect {
            session: 1,
            client_id: "c",
            user_name,
            session_expiry: u32::MAX,
            will,
        };
        let subscribe = |subscription_id, replays| Record::Subscribe {
            session: 1,
            filter: "$share/g/#",
            options,
            subscription_id,
            replays,
        };
        vec![
            connect(None, None),
            connect(Some(""), Some(will)),
            connect(Some("u"), Some(WillRecord { message_expiry: None, ..will })),
            Record::Disconnect { session: 1, session_expiry: 9, will: true, at: 1 << 41 },
            Record::End { session: 1 },
            subscribe(None, false),
            subscribe(Some(5), true),
            Record::Unsubscribe { session: 1, filter: "#" },
            Record::Replayed { session: 1, filter: "#" },
            Record::Queue(queue.clone()),
            Record::Queue(Queue { ids: vec![].into(), slot: None, share: None, ..queue }),
            Record::Group { group: 7, filter: "$share/g/#", last: 300 },
            Record::Share { place, message: 1 << 40 },
            Record::ShareDone { place },
            Record::GroupEnd { group: 7 },
            Record::Retain { message: 3, topic: "t", removes: true },
            Record::Put(put),
            Record::Put(Put { origin: Origin::Inbound { session: 4, packet_id }, publisher: None, ..put }),
            Record::Moved(Put { origin: Origin::Will { will: 4 }, expires_at: Some(0), ..put }),
            Record::Unretain { topic: "t" },
            Record::Sent { session: 1, number: 2, slot: 3 },
            Record::Received { session: 1, number: 2 },
            Record::Done { session: 1, number: 2 },
            Record::Released { session: 1, packet_id },
            Record::WillDue { session: 1 },
            Record::WillSent { will: 77 },
            Record::Owed { client_id: "c", user_name: None, will },
            Record::Clock { at: u64::MAX },
            Record::Located { message: 1, segment: 2, offset: 3, length: u32::MAX, expires_at: Some(9) },
            Record::Held { session: 1, packet_id },
            Record::Used { session: 1, number: 2, slot: 3 },
            Record::Numbers { session: 1, message: 2 },
        ]
    }

    #[test]
    fn records_come_back_one_behind_the_other() {
        let mut bytes = Vec::new();
        all().iter().for_each(|record| record.encode(&mut bytes));
        let mut rest = &bytes[..];
        for record in all() {
            let (decoded, behind) = Record::decode(rest).unwrap();
            assert_eq!(decoded, record);
            rest = behind;
        }
        assert!(rest.is_empty());
        assert_eq!(Record::decode(rest), None);
    }

    #[test]
    fn a_record_that_is_cut_is_none() {
        for record in all() {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            for end in 0..bytes.len() {
                assert_eq!(Record::decode(&bytes[..end]), None, "{record:?} cut at {end}");
            }
        }
    }
}
