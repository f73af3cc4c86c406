//! What the test tells the file system: a line of words, and a line for an answer.
//!
//! | command | does |
//! |---|---|
//! | `cut SEED` | the power goes; operations wait |
//! | `restore` | it is back, and what is left is there |
//! | `syncs honest`, `syncs ignored`, `syncs failing` | what a sync does |
//! | `writes honest`, `writes failing` | what a write does |
//! | `sync-takes MICROSECONDS` | how long |
//! | `space BYTES`, `space plenty` | how much there is |
//! | `counts` | what has happened |

use crate::disk::Syncs;
use crate::mount::Power;
use std::time::Duration;

/// Does what a line says; the answer, or what is wrong with the line.
///
/// # Errors
/// It is no command.
pub fn obey(power: &Power, line: &str) -> Result<String, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["cut", seed] => {
            let loss = power.cut(number(seed)?);
            let (sectors, names) = (loss.sectors, loss.names);
            return Ok(format!(
                "sectors_kept={} sectors_lost={} names_kept={} names_lost={}",
                sectors.kept, sectors.lost, names.kept, names.lost
            ));
        }
        ["counts"] => {
            let (counts, used) = power.counts();
            let (writes, syncs, caught) = (counts.writes, counts.syncs, counts.caught);
            return Ok(format!("writes={writes} syncs={syncs} caught={caught} used={used}"));
        }
        ["restore"] => power.restore(),
        ["syncs", "honest"] => power.set(|disk| disk.syncs = Syncs::Honest),
        ["syncs", "ignored"] => power.set(|disk| disk.syncs = Syncs::Ignored),
        ["syncs", "failing"] => power.set(|disk| disk.syncs = Syncs::Failing),
        ["writes", "honest"] => power.set(|disk| disk.writes_fail = false),
        ["writes", "failing"] => power.set(|disk| disk.writes_fail = true),
        ["sync-takes", time] => power.set_sync_takes(Duration::from_micros(number(time)?)),
        ["space", "plenty"] => power.set(|disk| disk.space = None),
        ["space", bytes] => {
            let bytes = usize::try_from(number(bytes)?).map_err(|error| error.to_string())?;
            power.set(|disk| disk.space = Some(bytes));
        }
        _ => return Err(format!("no command: {line}")),
    }
    Ok("done".to_owned())
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|error| format!("{word}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::obey;
    use crate::mount::Power;

    #[test]
    fn commands_are_obeyed_and_others_are_refused() {
        let power = Power::default();
        let all = [
            "syncs ignored",
            "syncs failing",
            "syncs honest",
            "sync-takes 100",
            "space 4096",
            "space plenty",
        ];
        for line in all {
            assert_eq!(obey(&power, line).as_deref(), Ok("done"), "{line}");
        }
        let nothing = "sectors_kept=0 sectors_lost=0 names_kept=0 names_lost=0";
        assert_eq!(obey(&power, "cut 7").as_deref(), Ok(nothing));
        assert_eq!(obey(&power, "restore").as_deref(), Ok("done"));
        assert_eq!(obey(&power, "counts").as_deref(), Ok("writes=0 syncs=0 caught=0 used=0"));
        for line in ["", "cut", "cut x", "syncs", "space -1", "cut 1 2"] {
            assert!(obey(&power, line).is_err(), "{line}");
        }
    }
}
