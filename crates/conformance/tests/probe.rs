//! The probe sees each feature where it is offered, and none where it is not.
#![allow(clippy::unwrap_used, reason = "it is a test")]

use aldis_conformance::model::{Manner, Model};
use aldis_conformance::probe::answers;
use aldis_conformance::{Doors, Feature};

#[test]
fn what_a_broker_offers_answers() {
    let model = Model::start(None, Manner::OneCopy).unwrap();
    for feature in Feature::ALL {
        assert!(answers(feature, &model.doors()), "{feature:?} is offered");
    }
}

#[test]
fn what_a_broker_does_not_offer_does_not_answer() {
    let model = Model::start(None, Manner::Sparing).unwrap();
    let plain = Doors::plain(model.doors().plain);
    for feature in Feature::ALL {
        // SCRAM is at the plain door in any manner. The topic that nobody may publish to closes the connection here,
        // for which there may be other reasons.
        let offered = feature == Feature::EnhancedAuthentication;
        assert_eq!(answers(feature, &plain), offered, "{feature:?}");
    }
}
