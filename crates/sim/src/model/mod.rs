//! The model clients: what a program at the other end of a wire does that keeps to MQTT 3.1, 3.1.1 or 5.
//!
//! Their protocol state is their own: nothing of `aldis-session` is in it. They do what they do at random, and are
//! honest: they repeat with DUP and in order, they acknowledge in order, they keep to every limit that they were
//! told. What a dishonest client can do is for other tests.

pub mod client;
pub mod connecting;
pub mod publishing;
pub mod reading;
pub mod subscribing;
