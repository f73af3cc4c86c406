//! What a packet says, in a form that two decoders can be compared by: named values, no types of either.

use std::fmt;

/// A packet as a decoder read it.
#[derive(Clone, PartialEq, Eq)]
pub struct Reading {
    /// Its type, `PUBLISH`.
    pub packet: &'static str,
    /// By name; values of one name in the order of the packet.
    fields: Vec<(&'static str, Value)>,
}

/// A field's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Numbers, flags, codes.
    Number(u64),
    /// A string.
    Text(String),
    /// Binary data.
    Bytes(Vec<u8>),
    /// A user property.
    Pair(String, String),
    /// A topic filter with its options byte.
    Filter(String, u8),
}

impl Reading {
    /// A packet without fields.
    #[must_use]
    pub fn new(packet: &'static str) -> Reading {
        Reading { packet, fields: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: Value) -> Reading {
        self.fields.push((name, value));
        // Stable: the order within a name stays.
        self.fields.sort_by_key(|(name, _)| *name);
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(self, name: &'static str, number: impl Into<u64>) -> Reading {
        self.with(name, Value::Number(number.into()))
    }

    /// Adds a number if it is there.
    #[must_use]
    pub fn number_if(self, name: &'static str, number: Option<impl Into<u64>>) -> Reading {
        match number {
            Some(number) => self.number(name, number),
            None => self,
        }
    }

    /// Adds a string.
    #[must_use]
    pub fn text(self, name: &'static str, text: &str) -> Reading {
        self.with(name, Value::Text(text.to_owned()))
    }

    /// Adds a string if it is there.
    #[must_use]
    pub fn text_if(self, name: &'static str, text: Option<&str>) -> Reading {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// Adds binary data.
    #[must_use]
    pub fn bytes(self, name: &'static str, bytes: &[u8]) -> Reading {
        self.with(name, Value::Bytes(bytes.to_vec()))
    }

    /// Adds binary data if it is there.
    #[must_use]
    pub fn bytes_if(self, name: &'static str, bytes: Option<&[u8]>) -> Reading {
        match bytes {
            Some(bytes) => self.bytes(name, bytes),
            None => self,
        }
    }

    /// Adds a user property.
    #[must_use]
    pub fn pair(self, name: &'static str, key: &str, value: &str) -> Reading {
        self.with(name, Value::Pair(key.to_owned(), value.to_owned()))
    }

    /// Adds a topic filter with its options.
    #[must_use]
    pub fn filter(self, filter: &str, options: u8) -> Reading {
        self.with("filter", Value::Filter(filter.to_owned(), options))
    }

    /// The number of this name, if there is one.
    #[must_use]
    pub fn get_number(&self, name: &str) -> Option<u64> {
        self.values(name)
            .find_map(|value| if let Value::Number(number) = value { Some(*number) } else { None })
    }

    /// The values of this name, in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.fields.iter().filter(move |(field, _)| *field == name).map(|(_, value)| value)
    }

    /// Whether some string in it fulfils a condition.
    #[must_use]
    pub fn any_text(&self, condition: impl Fn(&str) -> bool) -> bool {
        self.fields.iter().any(|(_, value)| match value {
            Value::Number(_) | Value::Bytes(_) => false,
            Value::Text(text) | Value::Filter(text, _) => condition(text),
            Value::Pair(name, value) => condition(name) || condition(value),
        })
    }

    /// The same without the fields of this name.
    #[must_use]
    pub fn without(&self, name: &str) -> Reading {
        let fields = self.fields.iter().filter(|(field, _)| *field != name).cloned().collect();
        Reading { packet: self.packet, fields }
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.packet)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, ", {name} {value:?}"))
    }
}
