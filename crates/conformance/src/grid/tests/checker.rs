//! A reader of what clients send, written apart from the table and from everything that spoils packets: it
//! knows the standards once more. It says what is wrong with a packet, or nothing.

use crate::wire::Version;
use crate::wire::property::{Holder, Kind, rule_of};

/// What is wrong with the packet, as far as it shows in the packet alone.
pub(super) fn check(version: Version, packet: &[u8]) -> Result<(), String> {
    let (first, rest) = packet.split_first().ok_or("no byte")?;
    let mut whole = Reader { rest, version };
    let length = whole.variable(version.is_5())? as usize;
    if length != whole.rest.len() {
        return Err(format!("{} bytes behind a Remaining Length of {length}", whole.rest.len()));
    }
    let flags = first & 15;
    let fixed = |wanted: u8| if flags == wanted { Ok(()) } else { Err(format!("flags {flags:04b}")) };
    match first >> 4 {
        1 => fixed(0).and_then(|()| whole.connect())?,
        3 => whole.publish(flags)?,
        4 => fixed(0).and_then(|()| whole.ack(Holder::Puback))?,
        5 => fixed(0).and_then(|()| whole.ack(Holder::Pubrec))?,
        6 => fixed(2).and_then(|()| whole.ack(Holder::Pubrel))?,
        7 => fixed(0).and_then(|()| whole.ack(Holder::Pubcomp))?,
        8 => fixed(2).and_then(|()| whole.filters(Holder::Subscribe))?,
        10 => fixed(2).and_then(|()| whole.filters(Holder::Unsubscribe))?,
        12 => fixed(0)?,
        14 => fixed(0).and_then(|()| whole.ending(Holder::Disconnect))?,
        15 => return Err("AUTH without a method".to_owned()),
        other => return Err(format!("type {other}")),
    }
    if whole.rest.is_empty() { Ok(()) } else { Err(format!("{} bytes behind the end", whole.rest.len())) }
}

struct Reader<'a> {
    rest: &'a [u8],
    version: Version,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("too short")?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u32, String> {
        Ok(self.take(bytes)?.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn variable(&mut self, shortest: bool) -> Result<u32, String> {
        let mut value = 0;
        for place in 0..4 {
            let byte = self.number(1)?;
            value |= (byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                let spare = shortest && place > 0 && byte == 0;
                return if spare { Err("a number that is too long".to_owned()) } else { Ok(value) };
            }
        }
        Err("a number of five bytes".to_owned())
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let length = self.number(2)? as usize;
        let text = std::str::from_utf8(self.take(length)?).map_err(|error| error.to_string())?;
        if text.contains('\0') { Err("U+0000".to_owned()) } else { Ok(text) }
    }

    fn topic(&mut self) -> Result<&'a str, String> {
        let topic = self.text()?;
        if topic.is_empty() || topic.contains(['#', '+']) {
            Err(format!("topic `{topic}`"))
        } else {
            Ok(topic)
        }
    }

    fn id(&mut self) -> Result<(), String> {
        if self.number(2)? == 0 { Err("identifier 0".to_owned()) } else { Ok(()) }
    }

    fn connect(&mut self) -> Result<(), String> {
        let (name, level) = (self.text()?, self.number(1)?);
        if name != self.version.protocol() || level != u32::from(self.version.level()) {
            return Err(format!("{name} {level}"));
        }
        let flags = self.number(1)?;
        let (will, qos) = (flags & 4 != 0, flags >> 3 & 3);
        if flags & 1 != 0 || qos == 3 || !will && flags & 0x38 != 0 {
            return Err(format!("connect flags {flags:02X}"));
        }
        if self.version == Version::V311 && flags & 0xC0 == 0x40 {
            return Err("a password alone".to_owned());
        }
        self.take(2)?;
        self.properties(Holder::Connect)?;
        let id = self.text()?;
        if id.is_empty() && self.version == Version::V311 && flags & 2 == 0 {
            return Err("no client identifier".to_owned());
        }
        if will {
            self.properties(Holder::Will)?;
            self.topic()?;
            let length = self.number(2)? as usize;
            self.take(length)?;
        }
        if flags & 0x80 != 0 {
            self.text()?;
        }
        if flags & 0x40 != 0 {
            let length = self.number(2)? as usize;
            self.take(length)?;
        }
        Ok(())
    }

    fn publish(&mut self, flags: u8) -> Result<(), String> {
        let qos = flags >> 1 & 3;
        if qos == 3 || qos == 0 && flags & 8 != 0 {
            return Err(format!("flags {flags:04b}"));
        }
        self.topic()?;
        if qos > 0 {
            self.id()?;
        }
        self.properties(Holder::Publish)?;
        self.rest = &[];
        Ok(())
    }

    fn ack(&mut self, holder: Holder) -> Result<(), String> {
        self.id()?;
        self.ending(holder)
    }

    fn ending(&mut self, holder: Holder) -> Result<(), String> {
        if !self.version.is_5() || self.rest.is_empty() {
            return Ok(());
        }
        let known: &[u32] = match holder {
            Holder::Puback | Holder::Pubrec => &[0, 16, 128, 131, 135, 144, 145, 151, 153],
            Holder::Pubrel | Holder::Pubcomp => &[0, 146],
            _ => &[0, 4, 128, 129, 130, 131, 144, 147, 148, 149, 150, 151, 152, 153],
        };
        let code = self.number(1)?;
        if !known.contains(&code) {
            return Err(format!("reason code {code}"));
        }
        if self.rest.is_empty() { Ok(()) } else { self.properties(holder) }
    }

    fn filters(&mut self, holder: Holder) -> Result<(), String> {
        self.id()?;
        self.properties(holder)?;
        loop {
            let filter = self.text()?;
            check_filter(filter, self.version.is_5())?;
            if holder == Holder::Subscribe {
                let options = self.number(1)?;
                let handling = options >> 4 & 3;
                let good = if self.version.is_5() { options < 64 && handling < 3 } else { options < 4 };
                let local = filter.starts_with("$share/") && options & 4 != 0 && self.version.is_5();
                if !good || local || options & 3 == 3 {
                    return Err(format!("options {options:08b}"));
                }
            }
            if self.rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn properties(&mut self, holder: Holder) -> Result<(), String> {
        if !self.version.is_5() {
            return Ok(());
        }
        let length = self.variable(true)? as usize;
        let mut inner = Reader { rest: self.take(length)?, version: self.version };
        let mut seen = Vec::new();
        while !inner.rest.is_empty() {
            let id = inner.variable(true)?;
            inner.property(holder, id)?;
            if id != 38 && seen.contains(&id) {
                return Err(format!("property {id} twice"));
            }
            seen.push(id);
        }
        let data_alone = seen.contains(&22) && !seen.contains(&21);
        if data_alone { Err("data without a method".to_owned()) } else { Ok(()) }
    }

    fn property(&mut self, holder: Holder, id: u32) -> Result<(), String> {
        let rule = u8::try_from(id).ok().and_then(rule_of).ok_or(format!("unknown property {id}"))?;
        if !rule.may_stand_in(holder) || (holder, id) == (Holder::Publish, 11) {
            return Err(format!("property {id} in {holder:?}"));
        }
        let number = match rule.kind {
            Kind::Byte => self.number(1)?,
            Kind::Two => self.number(2)?,
            Kind::Four => self.number(4)?,
            Kind::Variable => self.variable(true)?,
            Kind::Text if id == 8 => self.topic().map(|_| 0)?,
            Kind::Text => self.text().map(|_| 0)?,
            Kind::Pair => self.text().and(self.text()).map(|_| 0)?,
            Kind::Binary => {
                let length = self.number(2)? as usize;
                self.take(length).map(|_| 0)?
            }
        };
        let (from, to) = rule.bounds.unwrap_or((0, u32::MAX));
        let late_expiry = (holder, id) == (Holder::Disconnect, 17) && number != 0;
        if number_kind(rule.kind) && !(from..=to).contains(&number) || late_expiry {
            return Err(format!("property {id} of {number}"));
        }
        Ok(())
    }
}

fn number_kind(kind: Kind) -> bool {
    !matches!(kind, Kind::Text | Kind::Pair | Kind::Binary)
}

fn check_filter(filter: &str, shares: bool) -> Result<(), String> {
    let wrong = || Err(format!("filter `{filter}`"));
    let mut filter = filter;
    if let (true, Some(shared)) = (shares, filter.strip_prefix("$share/")) {
        match shared.split_once('/') {
            Some((name, rest)) if !name.is_empty() && !name.contains(['#', '+']) => filter = rest,
            _ => return wrong(),
        }
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let hash = level == "#" && levels.peek().is_none();
        if level.contains('#') && !hash || level.contains('+') && level != "+" {
            return wrong();
        }
    }
    if filter.is_empty() { wrong() } else { Ok(()) }
}
