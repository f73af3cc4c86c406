//! `cargo xtask test`: every test of the repository, one stage after the other.
//!
//! A stage that fails does not stop the ones after it, unless they need it; a stage whose files are
//! missing fails, it is never skipped.

mod clients;
mod tools;

use crate::arguments::Arguments;
use crate::conformance;
use crate::process::{exists, run, run_for_last_line};
use crate::repository;
use crate::sim;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

const HELP: &str = "cargo xtask test [--only STAGE] [--long] [--list]

Builds the broker and runs every test: Rust tests, lints, formatting, and real MQTT clients against the
release binary. On a fresh Debian machine it installs what the tests need and says what and why.

--only STAGE   this stage and those it needs (repeatable)
--long         sets ALDIS_LONG=1: tests that take minutes run too
--list         the stages in their order";

/// The release binary that the stages with real clients start.
const BINARY: &str = "target/release/aldis";

/// What a stage found out besides that it passed.
type Outcome = Result<String, String>;

/// One stage.
struct Stage {
    name: &'static str,
    does: &'static str,
    /// The stages without which this one has nothing to test.
    needs: &'static [&'static str],
    /// Stages that go before it, but leave it something to test when they fail: a client that could not
    /// be fetched fails its own tests by name, not those of the others.
    after: &'static [&'static str],
    run: fn(&Place) -> Outcome,
}

impl Stage {
    const fn new(name: &'static str, does: &'static str, run: fn(&Place) -> Outcome) -> Self {
        Self { name, does, needs: &[], after: &[], run }
    }

    const fn needs(self, needs: &'static [&'static str]) -> Self {
        Self { needs, ..self }
    }

    const fn after(self, after: &'static [&'static str]) -> Self {
        Self { after, ..self }
    }
}

const STAGES: [Stage; 13] = [
    Stage::new("tools", "install what the tests need and is missing", tools::install),
    Stage::new("build", "cargo run --release, as far as its version", build),
    Stage::new("rust", "unit and integration tests", rust_tests).after(&["tools"]),
    Stage::new("doc", "examples in the documentation", doc_tests),
    Stage::new("sim", "the simulator, and the proof that it notices faults", simulator),
    Stage::new("clippy", "lints, warnings are errors", clippy).after(&["tools"]),
    Stage::new("fmt", "formatting", formatting).after(&["tools"]),
    Stage::new("clients-setup", "fetch and build real MQTT clients", clients::set_up).after(&["tools"]),
    Stage::new("clients", "real clients against the broker", clients::run_all)
        .needs(&["build"])
        .after(&["tools", "clients-setup"]),
    Stage::new("clients-self-test", "these scripts notice failures", clients::self_test)
        .needs(&["build"])
        .after(&["tools", "clients-setup"]),
    Stage::new("conformance", "every statement of the standards, and malformed packets", |place| {
        conformance::aldis(&place.root)
    })
    .needs(&["build"]),
    Stage::new(
        "blackbox-setup",
        "build a file system that loses power, and a broker that does not sync",
        clients::set_up_black_box,
    ),
    Stage::new("blackbox", "scripts against the release binary", clients::black_box)
        .needs(&["build"])
        .after(&["tools", "blackbox-setup"]),
];

/// How a stage went.
struct Report {
    name: &'static str,
    seconds: f64,
    outcome: Outcome,
}

/// Runs the subcommand; true when every stage passed.
pub(crate) fn main(given: Vec<String>) -> Result<bool, String> {
    let mut given = Arguments::new(given);
    if given.flag("--help") || given.flag("-h") {
        println!("{HELP}");
        return Ok(true);
    }
    if given.flag("--list") {
        STAGES.iter().for_each(|stage| println!("{:18} {}", stage.name, stage.does));
        return Ok(true);
    }
    let is_long = given.flag("--long");
    let only = given.values("--only")?;
    given.finish()?;
    let chosen = chosen(&only)?;
    let place = Place { root: repository::root()?, is_long };
    let mut reports: Vec<Report> = Vec::new();
    for (at, stage) in (1..).zip(&chosen) {
        println!("\n== stage {at} of {}: {}, {}", chosen.len(), stage.name, stage.does);
        let start = Instant::now();
        let failed =
            |needed: &&&str| reports.iter().any(|report| report.name == **needed && report.outcome.is_err());
        let missing = stage.needs.iter().find(failed);
        let outcome = match missing {
            Some(needed) => Err(format!("not run: it needs the stage {needed}, which failed")),
            None => (stage.run)(&place),
        };
        if let Err(why) = &outcome {
            println!("== stage {} FAILED: {why}", stage.name);
        }
        reports.push(Report { name: stage.name, seconds: start.elapsed().as_secs_f64(), outcome });
    }
    if is_long {
        println!("\n(with ALDIS_LONG=1)");
    }
    println!("\n{}", summary(&reports));
    Ok(reports.iter().all(|report| report.outcome.is_ok()))
}

/// The stages to run, in order: all, or those named and what they need.
fn chosen(only: &[String]) -> Result<Vec<&'static Stage>, String> {
    if let Some(unknown) = only.iter().find(|name| !STAGES.iter().any(|stage| stage.name == **name)) {
        return Err(format!("there is no stage `{unknown}`; --list names them"));
    }
    let mut wanted: Vec<&str> = only.iter().map(String::as_str).collect();
    // A stage stands after those it needs, so one walk backwards finds them all.
    for stage in STAGES.iter().rev().filter(|_| !only.is_empty()) {
        if wanted.contains(&stage.name) {
            wanted.extend(stage.needs.iter().chain(stage.after));
        }
    }
    Ok(STAGES.iter().filter(|stage| only.is_empty() || wanted.contains(&stage.name)).collect())
}

fn summary(reports: &[Report]) -> String {
    let mut text = String::new();
    for Report { name, seconds, outcome } in reports {
        let (word, detail) = match outcome {
            Ok(detail) => ("passed", detail),
            Err(why) => ("FAILED", why),
        };
        let detail = detail.lines().next().unwrap_or_default();
        text.push_str(format!("{name:18} {seconds:7.1} s  {word}  {detail}").trim_end());
        text.push('\n');
    }
    let failed = reports.iter().filter(|report| report.outcome.is_err()).count();
    format!("{text}{} passed, {failed} failed", reports.len() - failed)
}

/// Where the stages run, and how.
pub(crate) struct Place {
    root: PathBuf,
    is_long: bool,
}

impl Place {
    /// A program in the root of the repository, told whether long tests run.
    fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(name);
        command.args(arguments).current_dir(&self.root);
        if self.is_long {
            command.env("ALDIS_LONG", "1");
        }
        command
    }

    fn cargo(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.program("cargo", arguments)).map(|()| String::new())
    }

    /// Runs a script of ours; it passes when it ends well and its last line is `N passed, 0 failed`, N > 0.
    fn script(&self, path: &str, arguments: &[&str]) -> Outcome {
        if !self.root.join(path).is_file() {
            return Err(format!("{path} is missing"));
        }
        let last = run_for_last_line(self.program("python3", &[path]).args(arguments))?;
        if has_passed(&last) {
            return Ok(last);
        }
        Err(format!("{path} ended with `{last}`, not with `N passed, 0 failed`"))
    }
}

/// With the README's first command, which has to find the broker among the binaries of the workspace.
fn build(place: &Place) -> Outcome {
    let said = run_for_last_line(&mut place.program("cargo", &["run", "--release", "--", "--version"]))
        .map_err(|why| format!("`cargo run --release` does not start the broker: {why}"))?;
    if !said.starts_with("aldis ") {
        return Err(format!("`cargo run --release -- --version` said `{said}`: that is not the broker"));
    }
    if place.root.join(BINARY).is_file() { Ok(said) } else { Err(format!("no {BINARY} was built")) }
}

fn rust_tests(place: &Place) -> Outcome {
    if exists("cargo-nextest") {
        return place.cargo(&["nextest", "run", "--workspace"]).map(|_| "by cargo-nextest".to_owned());
    }
    place
        .cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--examples"])
        .map(|_| "by cargo test".to_owned())
}

fn doc_tests(place: &Place) -> Outcome {
    place.cargo(&["test", "--doc", "--workspace"])
}

fn simulator(place: &Place) -> Outcome {
    sim::stage(place.is_long)
}

fn clippy(place: &Place) -> Outcome {
    place.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

fn formatting(place: &Place) -> Outcome {
    place.cargo(&["fmt", "--all", "--check"])
}

fn has_passed(last_line: &str) -> bool {
    let passed = last_line.strip_suffix(" passed, 0 failed").and_then(|count| count.rsplit(' ').next());
    passed.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::{Report, chosen, has_passed, summary};

    #[test]
    fn a_stage_brings_along_what_it_needs_in_order() {
        let names = |only: &[&str]| -> Vec<&str> {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            chosen(&only).unwrap().into_iter().map(|stage| stage.name).collect()
        };
        assert_eq!(names(&["fmt"]), ["tools", "fmt"]);
        assert_eq!(names(&["clients", "doc"]), ["tools", "build", "doc", "clients-setup", "clients"]);
        assert_eq!(names(&[]).len(), super::STAGES.len());
        assert!(chosen(&["client".to_owned()]).is_err_and(|why| why.contains("`client`")));
    }

    #[test]
    fn only_a_last_line_with_passes_and_no_failure_has_passed() {
        assert!(has_passed("12 passed, 0 failed"));
        assert!(has_passed("run.py: 1 passed, 0 failed"));
        for bad in ["0 passed, 0 failed", "3 passed, 1 failed", "ok", "", "x passed, 0 failed"] {
            assert!(!has_passed(bad), "{bad}");
        }
    }

    #[test]
    fn the_summary_ends_with_the_counts_of_stages() {
        let of = |name, outcome| Report { name, seconds: 1.0, outcome };
        let reports = [of("build", Ok(String::new())), of("fmt", Err("line 1\nline 2".to_owned()))];
        let text = summary(&reports);
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("FAILED  line 1\n"), "{text}");
        assert!(text.ends_with("\n1 passed, 1 failed"), "{text}");
    }
}
