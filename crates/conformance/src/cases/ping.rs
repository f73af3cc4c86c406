//! 3.12 PINGREQ and 3.13 PINGRESP.

use super::cases;
use crate::outcome::Outcome;
use crate::stage::Stage;

cases! {
    V311 "MQTT-3.12.4-1" a_pingreq_is_answered_with_a_pingresp;
    V5 "MQTT-3.12.4-1" a_pingreq_is_answered_with_a_pingresp;
}

fn a_pingreq_is_answered_with_a_pingresp(stage: &Stage<'_>) -> Outcome {
    let mut client = stage.client("c")?;
    client.quiet()?;
    client.quiet()
}
