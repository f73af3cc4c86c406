//! The workbench that an actor borrows for one visit, as the server's threads lend theirs.

use crate::agenda::Actor;
use crate::seams::Between;
use crate::world::World;
use aldis_session::{Session, Workbench};
use std::sync::Arc;

/// Outboxes that one visit writes itself. The server has 64; a run has no more than twelve clients.
const WRITES_A_TURN: usize = 4;

/// Does `work` at a workbench and then writes what it appended.
pub fn at_desk<T>(world: &World, work: impl FnOnce(&mut Workbench) -> T) -> T {
    let bench = world.benches.borrow_mut().pop();
    let mut bench = bench.unwrap_or_else(|| {
        Workbench::new(world.counters(), Arc::new(Between), world.instant())
            .recording_in(Arc::clone(&world.lights().journal))
    });
    bench.begin(world.instant(), world.memory_full());
    world.visits.set(world.visits.get() + 1);
    let done = work(&mut bench);
    while bench.dirty_count() > WRITES_A_TURN {
        world.hand_part(bench.give_away(WRITES_A_TURN));
    }
    bench.finish();
    world.visits.set(world.visits.get() - 1);
    world.benches.borrow_mut().push(bench);
    done
}

/// Writes Outboxes that were given away.
pub fn write_part(world: &World, part: usize) {
    let dirty: Vec<Arc<Session>> = world.parts.borrow_mut().remove(&part).unwrap_or_default();
    at_desk(world, |bench| bench.take_over(dirty));
}

/// The actor that writes a part.
pub fn part(number: usize) -> Actor {
    Actor::Part(number)
}
