//! A small deterministic generator, and random topics that collide often.

/// Marsaglia's xorshift with 64 bits: the same seed gives the same test.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        // Spread over all bits; odd times odd is never zero, the one state xorshift cannot leave.
        Random((2 * seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    pub(crate) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// A topic of one to four levels; now and then one of forty names, so that nodes grow wide.
    pub(crate) fn topic(&mut self) -> String {
        let mut levels = Vec::new();
        for depth in 0..=self.below(4) {
            levels.push(match self.below(10) {
                0..3 => format!("n{:02}", self.below(40)),
                3 if depth == 0 => "$SYS".to_owned(),
                3 => "a-level-longer-than-twenty-two-bytes".to_owned(),
                _ => self.pick(&["", "a", "b", "ä", "a ", "A"]).to_owned(),
            });
        }
        levels.join("/")
    }

    /// A topic in which some levels have become wildcards.
    pub(crate) fn filter(&mut self) -> String {
        let topic = self.topic();
        let mut levels: Vec<&str> = topic.split('/').collect();
        for level in &mut levels {
            if self.below(3) == 0 {
                *level = "+";
            }
        }
        match self.below(6) {
            0 => levels.push("#"),
            1 => *levels.last_mut().unwrap() = "#",
            _ => {}
        }
        levels.join("/")
    }
}

/// The rules of section 4.7 once more, by recursion over levels, as the standard words them.
pub(crate) fn naive_matches(filter: &str, topic: &str) -> bool {
    fn below(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => below(filter, topic),
            ([level, filter @ ..], [name, topic @ ..]) => level == name && below(filter, topic),
            _ => false,
        }
    }
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    below(&filter.split('/').collect::<Vec<_>>(), &topic.split('/').collect::<Vec<_>>())
}
