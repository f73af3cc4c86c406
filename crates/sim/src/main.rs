//! `cargo xtask sim`: runs seeds of the simulator.
fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let cut = aldis_sim::plan::Cut::default();
    let mut census = aldis_sim::census::Census::default();
    let (from, to) = (arguments[0], arguments[1]);
    let mut steps = 0;
    let mut by = std::collections::BTreeMap::<&str, Vec<u64>>::new();
    for seed in from..to {
        let outcome = aldis_sim::run::run(seed, &cut, to == from + 1);
        for line in &outcome.story {
            println!("{line}");
        }
        census.merge(&outcome.census);
        steps += outcome.steps;
        if let Some(failure) = outcome.failure {
            let seeds = by.entry(failure.checker).or_default();
            if seeds.len() < 3 {
                println!("seed {seed}: {failure:?}");
            }
            seeds.push(seed);
        }
    }
    for (checker, seeds) in by {
        println!("{checker}: {} seeds, {:?}", seeds.len(), &seeds[..seeds.len().min(5)]);
    }
    for (kind, times) in &census.0 {
        println!("{times:10} {kind}");
    }
    println!("{steps} steps");
}
