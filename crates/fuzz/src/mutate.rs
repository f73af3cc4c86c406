//! Inputs made of those that are there: a few small changes to one of the corpus, or two of them spliced.
//!
//! Blind: it does not know what a change led to. A coverage-guided fuzzer does, and finds more in a night; this
//! runs anywhere, the same way each time.

use crate::random::Random;

/// Longer inputs cost time and say nothing new.
const LONGEST: usize = 1_000;

/// Bytes at which formats and numbers turn.
const TURNS: [u8; 14] = [0, 1, 2, 3, 0x10, 0x26, 0x7F, 0x80, 0x81, 0xFF, b'/', b'+', b'#', b'$'];

/// The next input: changed entries of the corpus mostly, and bytes at random.
pub fn next(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    if corpus.is_empty() || random.below(5) == 0 {
        let most = if random.below(4) == 0 { 600 } else { 60 };
        let length = random.below(most);
        return random.bytes(length);
    }
    let mut input = corpus[random.below(corpus.len())].clone();
    if random.below(4) == 0 {
        let other = &corpus[random.below(corpus.len())];
        input.truncate(random.below(input.len() + 1));
        input.extend_from_slice(&other[random.below(other.len() + 1)..]);
    }
    for _ in 0..1 + random.below(6) {
        change(random, &mut input);
    }
    input.truncate(LONGEST);
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>) {
    let at = random.below(input.len() + 1);
    let end = (at + 1 + random.below(8)).min(input.len());
    match random.below(8) {
        0 => {
            let count = 1 + random.below(4);
            let new = random.bytes(count);
            input.splice(at..at, new);
        }
        1 if at < end => drop(input.drain(at..end)),
        2 if at < end => {
            let again = input[at..end].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, again);
        }
        3 => input.truncate(at.max(2)),
        operation => {
            let Some(byte) = input.get_mut(at) else { return };
            *byte = match operation {
                4 => *byte ^ 1 << random.below(8),
                5 => byte.wrapping_add(1),
                6 => TURNS[random.below(TURNS.len())],
                _ => random.byte(),
            };
        }
    }
}
