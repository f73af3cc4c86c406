//! One run, from its seed to what was found.

use crate::census::Census;
use crate::plan::{Cut, Plan};
use crate::stage;
use crate::watch::Failure;
use crate::world::World;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Instant;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub failure: Option<Failure>,
    pub census: Census,
    pub steps: usize,
    pub clients: usize,
    pub story: Vec<String>,
}

/// Runs a seed. With `tells` its story is told.
pub fn run(seed: u64, cut: &Cut, tells: bool) -> Outcome {
    let plan = Plan::new(seed, cut.clone());
    let clients = plan.personas.len();
    let world = Rc::new(World::new(plan, start(), tells));
    stage::set(Some(Rc::clone(&world)));
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    stage::set(None);
    if let Err(panic) = ran {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|what| (*what).to_owned()));
        if let Ok(mut watch) = world.watch.try_borrow_mut() {
            watch.fail("panic", what.unwrap_or_default());
        }
    }
    let mut watch = world.watch.borrow_mut();
    watch.close_census(&world.counters(), &world.population());
    Outcome {
        failure: watch.failure.clone(),
        census: std::mem::take(&mut watch.census),
        steps: watch.step,
        clients,
        story: watch.story.take().unwrap_or_default(),
    }
}

/// What every clock begins with. It is never read again.
#[expect(clippy::disallowed_methods, reason = "a time to begin with; virtual time is what counts")]
fn start() -> Instant {
    Instant::now()
}
