//! Runs the model until Enter is pressed, to look at it from outside: all rules kept, or one broken, as in
//! `cargo run -p aldis-conformance --example model -- 5 MQTT-3.3.1-2`.
#![allow(clippy::print_stdout, reason = "it tells where it listens")]

use aldis_conformance::Version;
use aldis_conformance::model::{Manner, Model, Rule};

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let broken = match words.as_slice() {
        [] => None,
        [version, id] => {
            let version = Version::ALL.into_iter().find(|known| known.name() == version);
            let rule = version.and_then(|version| Rule::planted(version, id));
            Some(rule.ok_or_else(|| std::io::Error::other("the model cannot break that rule"))?)
        }
        _ => return Err(std::io::Error::other("a version and an identifier are wanted, or neither")),
    };
    let model = Model::start(broken, Manner::OneCopy)?;
    println!("{:#?}", model.doors());
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
