//! How numbers and texts lie in a record: numbers of variable length, seven bits a byte, the lowest first; texts and
//! bytes behind their length.

/// Appends a number: one byte below 128, ten at most.
pub(crate) fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends bytes behind their length.
pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a number that may be missing, as the number after it.
pub(crate) fn put_option(number: Option<u64>, out: &mut Vec<u8>) {
    put_number(number.map_or(0, |number| number.saturating_add(1)), out);
}

/// What is left of encoded bytes. Everything read is `None` behind their end, and where they are wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest<'a>(pub(crate) &'a [u8]);

impl<'a> Rest<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn short(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    pub(crate) fn option(&mut self) -> Option<Option<u64>> {
        Some(self.number()?.checked_sub(1))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(number, &mut bytes);
            put_bytes(b"text", &mut bytes);
            put_option(Some(7), &mut bytes);
            put_option(None, &mut bytes);
            let mut rest = Rest(&bytes);
            assert_eq!(rest.number(), Some(number));
            assert_eq!(rest.text(), Some("text"));
            assert_eq!((rest.option(), rest.option()), (Some(Some(7)), Some(None)));
            assert!(rest.is_empty());
            assert_eq!(rest.byte(), None);
        }
    }

    #[test]
    fn what_is_wrong_is_not_read() {
        assert_eq!(Rest(&[0x80; 11]).number(), None);
        assert_eq!(Rest(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).number(), None);
        assert_eq!(Rest(&[5, b'a']).bytes(), None);
        assert_eq!(Rest(&[1, 0xff]).text(), None);
    }
}
