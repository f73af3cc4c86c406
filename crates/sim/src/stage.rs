//! The run that is under way on this thread.
//!
//! The pure crates call out at few places: to write, to ask for a route, to show a packet. There the simulator
//! lets others come in between; to find them, it looks here.

use crate::world::World;
use std::cell::RefCell;
use std::rc::Rc;

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// Puts a run on the stage, or takes it off.
pub fn set(world: Option<Rc<World>>) {
    WORLD.with(|on_stage| *on_stage.borrow_mut() = world);
}

/// Does `work` with the run that is on the stage.
pub fn with(work: impl FnOnce(&World)) {
    let world = WORLD.with(|on_stage| on_stage.borrow().clone());
    if let Some(world) = world {
        work(&world);
    }
}
