//! Bytes read as a list of choices: what a target does next is what the next byte says.
//!
//! The meaning of a corpus entry depends on this file alone; changing it makes the corpus worthless.

/// What is left of an input.
#[derive(Clone, Debug)]
pub struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    /// All of an input.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Choices<'a> {
        Choices { rest: data }
    }

    /// Whether every choice has been made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    /// A number below `bound`: from one byte, or from two where one is not enough.
    pub fn below(&mut self, bound: usize) -> usize {
        let byte = usize::from(self.byte());
        let number = if bound > 256 { byte << 8 | usize::from(self.byte()) } else { byte };
        number % bound.max(1)
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A topic of one to four levels, of few names, so that topics meet.
    pub fn topic(&mut self) -> String {
        const NAMES: [&str; 12] = [
            "a",
            "b",
            "",
            "$SYS",
            "ä",
            "A",
            "a ",
            "c",
            "d",
            "$",
            "a-level-longer-than-twenty-two-bytes",
            "e",
        ];
        let levels = 1 + self.below(4);
        let names: Vec<&str> = (0..levels).map(|_| self.pick(&NAMES)).collect();
        names.join("/")
    }

    /// A topic filter, valid and without `$share/`.
    pub fn filter(&mut self) -> String {
        let topic = self.topic();
        let wild = self.byte();
        let mut levels: Vec<&str> = topic.split('/').collect();
        for (bit, level) in levels.iter_mut().enumerate() {
            if wild >> bit & 1 == 1 {
                *level = "+";
            }
        }
        match wild >> 4 & 0b11 {
            0 => levels.push("#"),
            1 => levels[topic.matches('/').count()] = "#",
            _ => {}
        }
        levels.join("/")
    }

    /// Everything that is left, as bytes.
    pub fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// At most so many bytes.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        taken
    }
}
