//! `cargo xtask sim`: replays a seed, or runs many and tells the shortest story of the first that fails.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to a terminal")]

use aldis_sim::kinds::gaps;
use aldis_sim::many::{Sum, run_many};
use aldis_sim::plan::{Cut, Feature};
use aldis_sim::run::{Outcome, run};
use aldis_sim::shrink::shrink;
use std::process::ExitCode;

const HELP: &str = "cargo xtask sim [--seed N | --seeds COUNT] [OPTIONS]

--seed N               replay one seed and tell its story
--seeds COUNT          run so many seeds (20000 unless told otherwise)
--from N               the first of them (0)
--threads COUNT        on so many threads (as many as there are cores)
--without A,B          leave these out: clients by number, other things by name
--steps COUNT          steps before everybody is asked to come to an end
--schedule N           another order of the same run
--whole                tell the story of a failing seed as it is, not a shorter one
--names                what --without knows";

/// What is asked for.
#[derive(Default)]
struct Wish {
    seed: Option<u64>,
    seeds: Option<u64>,
    from: u64,
    threads: Option<usize>,
    whole: bool,
    cut: Cut,
}

fn main() -> ExitCode {
    // A panic is a finding like any other, and told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let wish = match parse(std::env::args().skip(1)) {
        Ok(Some(wish)) => wish,
        Ok(None) => return ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("sim: {why}");
            return ExitCode::FAILURE;
        }
    };
    let is_good = match wish.seed {
        Some(seed) => replay(seed, &wish),
        None => many(&wish),
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Wish>, String> {
    let mut wish = Wish::default();
    while let Some(name) = arguments.next() {
        let mut number = || -> Result<u64, String> {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
            value.parse().map_err(|_| format!("{name}: `{value}` is no number"))
        };
        match name.as_str() {
            "--seed" => wish.seed = Some(number()?),
            "--seeds" => wish.seeds = Some(number()?),
            "--from" => wish.from = number()?,
            "--threads" => wish.threads = Some(number()?.max(1) as usize),
            "--steps" => wish.cut.steps = Some(number()? as usize),
            "--schedule" => wish.cut.schedule = number()?,
            "--whole" => wish.whole = true,
            "--without" => {
                let what = arguments.next().ok_or("--without needs names or numbers")?;
                for what in what.split(',') {
                    leave_out(what, &mut wish.cut)?;
                }
            }
            "--names" => {
                Feature::ALL.iter().for_each(|(_, name)| println!("{name}"));
                return Ok(None);
            }
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(None);
            }
            other => return Err(format!("`{other}` is no option here; --help lists them")),
        }
    }
    Ok(Some(wish))
}

fn leave_out(what: &str, cut: &mut Cut) -> Result<(), String> {
    if let Ok(client) = what.parse() {
        cut.clients.push(client);
        return Ok(());
    }
    let known = Feature::ALL.iter().find(|(_, name)| *name == what);
    let (feature, _) = known.ok_or_else(|| format!("nothing is called `{what}`; --names lists what is"))?;
    cut.features.push(*feature);
    Ok(())
}

fn replay(seed: u64, wish: &Wish) -> bool {
    let outcome = run(seed, &wish.cut, true);
    if outcome.failure.is_none() {
        tell(&outcome);
        println!("seed {seed}: {} steps, {} clients, nothing wrong", outcome.steps, outcome.clients);
        return true;
    }
    explain(seed, wish, outcome);
    false
}

fn many(wish: &Wish) -> bool {
    let count = wish.seeds.unwrap_or(20_000);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let step = (count / 10).max(1);
    let sum = run_many(wish.from, count, wish.threads.unwrap_or(cores), &wish.cut, &|done| {
        if done % step == 0 || done == count {
            eprintln!("{done} of {count} seeds");
        }
    });
    report(&sum);
    if let Some((seed, outcome)) = sum.failures.iter().next() {
        println!("\n{} of {count} seeds fail; the first is {seed}", sum.failures.len());
        explain(*seed, wish, outcome.clone());
        return false;
    }
    // Fewer seeds need not show everything.
    let gaps = if count >= 20_000 && wish.cut == Cut::default() { gaps(&sum.census) } else { Vec::new() };
    gaps.iter().for_each(|gap| println!("{gap}"));
    println!(
        "{count} seeds, {} steps, {} to {} clients, at least {} steps each: {} failed",
        sum.steps,
        sum.clients.0,
        sum.clients.1,
        sum.least_steps,
        gaps.len()
    );
    gaps.is_empty()
}

fn report(sum: &Sum) {
    for (kind, times) in &sum.census.0 {
        println!("{times:10}  {kind}");
    }
}

/// The shortest story that is found for a failing seed.
fn explain(seed: u64, wish: &Wish, outcome: Outcome) {
    let mut cut = wish.cut.clone();
    if !wish.whole {
        let shrunk = shrink(seed, cut, outcome);
        eprintln!("(shrunk in {} runs)", shrunk.runs);
        cut = shrunk.cut;
    }
    let outcome = run(seed, &cut, true);
    tell(&outcome);
    if let Some(failure) = &outcome.failure {
        println!(
            "\nseed {seed}, step {}, by the checker `{}`: {}",
            failure.step, failure.checker, failure.what
        );
    }
    println!("again: cargo xtask sim --seed {seed} --whole{}", options(&cut));
}

fn tell(outcome: &Outcome) {
    outcome.story.iter().for_each(|line| println!("{line}"));
}

/// A cut as options of the command line.
fn options(cut: &Cut) -> String {
    let clients = cut.clients.iter().map(usize::to_string);
    let features = cut.features.iter().map(|feature| feature.name().to_owned());
    let without: Vec<String> = clients.chain(features).collect();
    let mut options = String::new();
    if !without.is_empty() {
        options.push_str(&format!(" --without {}", without.join(",")));
    }
    if let Some(steps) = cut.steps {
        options.push_str(&format!(" --steps {steps}"));
    }
    if cut.schedule > 0 {
        options.push_str(&format!(" --schedule {}", cut.schedule));
    }
    options
}
